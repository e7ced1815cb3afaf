"""The schemas that a provider takes for structured output, and the form of a schema that it takes.

A keyword that it does not take moves into the description, where the model reads it; the answer is checked
against the type anyway. Which keywords those are is in each provider's file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .strict_schema import Schema, definitions_of, mapped, nodes_of, reached_from_itself, with_words

_STRUCTURE = frozenset(
    {
        "$defs", "$ref", "additionalProperties", "anyOf", "description", "enum", "items", "properties",
        "required", "type",
    }
)  # fmt: skip
"""Keywords of a strict schema that all providers take."""

_NOISE = frozenset({"deprecated", "readOnly", "writeOnly"})
"""Keywords that tell a model nothing about its answer, and cost tokens."""

_SPECIAL = re.compile(r"\(\?(?!:)|\\[1-9bBAzZpPkGK]|\{\d{3,}|,\d{3,}\}")
"""Parts of a pattern that providers exclude: look-around and flags, back-references, word boundaries, anchors
other than `^` and `$`, Unicode classes, and counts in the hundreds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaRules:
    """What one provider takes in a strict schema, as published."""

    keywords: frozenset[str] = frozenset()
    """Keywords besides the structure."""
    formats: frozenset[str] = frozenset()
    """Values of `format` for strings."""
    min_items: frozenset[int] | None = None
    """Values of `minItems`; None: any."""
    enum_types: tuple[type, ...] = (str, int, float, bool, type(None))
    """Types of the values in `enum`."""
    recursive: bool = True
    """Whether a schema may contain itself."""
    most_unions: int | None = None
    """Uses of `anyOf` in one schema, at most; None: any number."""

    def refusal(self, schema: Schema) -> str | None:
        """Return why no form of a strict *schema* is taken; None if one is."""
        if not self.recursive and _contains_itself(schema):
            return "it contains itself"
        unions = sum("anyOf" in node for node in nodes_of(schema))
        if self.most_unions is not None and unions > self.most_unions:
            return f"it has {unions} unions, and may have {self.most_unions}"
        return None

    def taken(self, schema: Schema) -> Schema:
        """Return a strict *schema* in the form that the provider takes."""
        return mapped(schema, self._node)

    def _node(self, node: Schema) -> Schema:
        if "const" in node and "const" not in self.keywords:
            node = _const_as_enum(node)
        if "enum" in node and not self._takes("enum", node["enum"]):
            node = self._with_enum_taken(node)
        kept = {name: value for name, value in node.items() if self._takes(name, value)}
        for name, value in node.items():
            if name not in kept and name not in _NOISE:
                kept = with_words(kept, name, value)
        return kept

    def _with_enum_taken(self, node: Schema) -> Schema:
        """Return a node whose values of types that no enum takes are allowed by their type, and in words."""
        values = node["enum"]
        assert isinstance(values, list)
        taken = [value for value in values if type(value) in self.enum_types]
        others = {"null" if value is None else "boolean" for value in values if value not in taken}
        members: list[Schema] = [{"enum": taken}] if taken else []
        for kind in sorted(others):
            members.append({"type": kind})
        rest = {name: value for name, value in node.items() if name not in {"enum", "type"}}
        return with_words(
            {**rest, **(members[0] if len(members) == 1 else {"anyOf": members})}, "enum", values
        )

    def _takes(self, name: str, value: Any) -> bool:
        if name == "enum":
            return all(type(one) in self.enum_types for one in value)
        if name in _STRUCTURE:
            return True
        if name == "format":
            return value in self.formats
        if name == "minItems" and self.min_items is not None:
            return value in self.min_items
        if name == "pattern":
            return "pattern" in self.keywords and not _SPECIAL.search(value)
        return name in self.keywords


def _const_as_enum(node: Schema) -> Schema:
    rest = {name: value for name, value in node.items() if name != "const"}
    return rest if node["const"] is None else {**rest, "enum": [node["const"]]}


def _contains_itself(schema: Schema) -> bool:
    """Return whether a definition can be reached from itself."""
    targets = {name: set(_references(part)) for name, part in definitions_of(schema).items()}
    return reached_from_itself(targets) is not None


def _references(node: object) -> Iterator[str]:
    for part in nodes_of(node) if isinstance(node, dict) else ():
        if "$ref" in part:
            yield str(part["$ref"]).removeprefix("#/$defs/")
