"""Translate a JSON schema into the strict form that the providers take, or refuse it with a reason.

Strict means: every object lists all its properties, requires each of them and allows no others. Constraints
that can be validated after the answer are dropped. Constructs whose loss would change the meaning are
refused before anything is billed; the error names the place and an alternative.

Source: OpenAI's rules for structured outputs (2026-08); the other providers take the same schemas.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from ..errors import InvalidRequestError
from ..models import JsonDict

Schema: TypeAlias = JsonDict

MAX_LEVELS, MAX_PROPERTIES, MAX_ENUM_VALUES = 10, 5_000, 1_000
"""Levels of nested objects, properties and enum values of one schema, at most."""

_PAIRS = "use a list of models with a key and a value"
_UNION = "use a union of models, and check the rest on reading"
_REFUSED = {
    "patternProperties": _PAIRS,
    "propertyNames": _PAIRS,
    "not": _UNION,
    "if": _UNION,
    "then": _UNION,
    "else": _UNION,
    "dependentRequired": _UNION,
    "dependentSchemas": _UNION,
    "prefixItems": "use a model with named fields instead of a tuple",
}
_TYPE_KEYWORDS = ("type", "$ref", "anyOf", "allOf", "enum", "const")

# A discriminator is a hint for validators only; duplicates in an answer vanish when a set is built.
_DROPPED = ("discriminator", "uniqueItems")


def strict(schema: Schema) -> Schema:
    """Return the strict form of a JSON schema whose references point into its own `$defs`.

    Raises InvalidRequestError with the place, the unsupported construct, and an alternative.
    """
    made = _Strict(schema).node(schema, (), ())
    _check_limits(made)
    return made


class _Strict:
    """Translates one schema recursively; references are looked up in its root."""

    def __init__(self, root: Schema) -> None:
        self._root = root

    def node(self, node: object, path: tuple[str, ...], inside: tuple[str, ...]) -> Schema:
        """Return a subschema in strict form. *inside* holds the definitions inlined around it."""
        if not isinstance(node, dict):
            raise _refusal(path, f"{node!r} is not a schema", "give it a type")
        made = {name: value for name, value in node.items() if name not in _DROPPED}
        if "oneOf" in made:
            # The members of a tagged union exclude each other already.
            made["anyOf"] = made.pop("oneOf")
        _check_keywords(made, path)
        ref = made.get("$ref")
        if isinstance(ref, str) and len(made) > 1:
            return self._inlined(made, ref, path, inside)
        self._close(made, path, inside)
        return self._merged(made, path)

    def _inlined(self, made: Schema, ref: str, path: tuple[str, ...], inside: tuple[str, ...]) -> Schema:
        """Inline a definition whose reference has other keywords beside it: strict schemas forbid those."""
        del made["$ref"]
        if ref in inside:
            # Inlining a recursive definition would not end.
            return {**made, "anyOf": [{"$ref": ref}]}
        return self.node({**self._definition(ref, path), **made}, path, (*inside, ref))

    def _definition(self, ref: str, path: tuple[str, ...]) -> Schema:
        found = _definitions(self._root).get(ref.removeprefix("#/$defs/"))
        if not isinstance(found, dict):
            raise _refusal(path, f"{ref!r} is not defined", "refer to one of its own $defs")
        return found

    def _close(self, made: Schema, path: tuple[str, ...], inside: tuple[str, ...]) -> None:
        """Translate the subschemas; make every property of an object required and allow no others."""
        properties = made.get("properties")
        if isinstance(properties, dict):
            made["properties"] = {
                name: self.node(part, (*path, name), inside) for name, part in properties.items()
            }
            made["required"] = list(properties)
        if made.get("type") == "object":
            made["additionalProperties"] = False
        if "$defs" in made:
            definitions = _definitions(made).items()
            made["$defs"] = {name: self.node(part, (*path, name), inside) for name, part in definitions}
        if "items" in made:
            made["items"] = self.node(made["items"], (*path, "[]"), inside)
        for keyword in ("anyOf", "allOf"):
            members = made.get(keyword)
            if isinstance(members, list):
                made[keyword] = [self.node(part, path, inside) for part in members]

    def _merged(self, made: Schema, path: tuple[str, ...]) -> Schema:
        members = made.get("allOf")
        if not isinstance(members, list) or len(members) != 1:
            return made
        rest = {name: value for name, value in made.items() if name != "allOf"}
        return self.node({**rest, **members[0]}, path, ())


def _check_keywords(node: Schema, path: tuple[str, ...]) -> None:
    """Refuse keywords that no strict schema may have."""
    for keyword, instead in _REFUSED.items():
        if keyword in node:
            raise _refusal(path, f"{keyword!r} is not supported", instead)
    if node.get("default") is not None:
        default = f"the default {node['default']!r} is not supported"
        raise _refusal(path, default, "let it be None (`X | None = None`) and put the default in on reading")
    node.pop("default", None)
    if node.get("type") == "object" and not node.get("properties") and node.get("additionalProperties"):
        raise _refusal(path, "an object of any keys (dict) is not supported", _PAIRS)
    if not any(keyword in node for keyword in _TYPE_KEYWORDS):
        raise _refusal(path, "anything (Any, object) is not supported", "name the types it may have")
    if node.get("type") == "array" and "items" not in node and "prefixItems" not in node:
        raise _refusal(path, "a list of anything is not supported", "name the type of its items")


def _refusal(path: tuple[str, ...], problem: str, instead: str) -> InvalidRequestError:
    place = ".".join(path).replace(".[]", "[]") or "the root"
    return InvalidRequestError(f"the schema at {place}: {problem} in structured output; {instead}")


def _check_limits(schema: Schema) -> None:
    nodes = list(_nodes(schema))
    properties = sum(len(part) for node in nodes if isinstance(part := node.get("properties"), dict))
    values = sum(len(part) for node in nodes if isinstance(part := node.get("enum"), list))
    levels = _levels(schema, _definitions(schema), {})
    for count, limit, noun in (
        (properties, MAX_PROPERTIES, "properties"),
        (values, MAX_ENUM_VALUES, "enum values"),
        (levels, MAX_LEVELS, "levels of objects"),
    ):
        if count > limit:
            raise InvalidRequestError(
                f"the schema has {count} {noun}, and a structured output at most {limit}; split it up"
            )


def _definitions(schema: Schema) -> Mapping[str, object]:
    found = schema.get("$defs")
    return found if isinstance(found, dict) else {}


def _subschemas(node: Schema) -> Iterator[Schema]:
    """Yield the direct subschemas of a node, without its definitions."""
    properties, items = node.get("properties"), node.get("items")
    if isinstance(properties, dict):
        yield from properties.values()
    if isinstance(items, dict):
        yield items
    for keyword in ("anyOf", "allOf"):
        members = node.get(keyword)
        if isinstance(members, list):
            yield from members


def _nodes(node: Schema) -> Iterator[Schema]:
    yield node
    for part in (*_subschemas(node), *_definitions(node).values()):
        assert isinstance(part, dict)
        yield from _nodes(part)


def _levels(node: Schema, definitions: Mapping[str, object], known: dict[str, int]) -> int:
    """Return the deepest nesting of objects; recursive references add no level."""
    name = str(node.get("$ref", "")).removeprefix("#/$defs/")
    target = definitions.get(name)
    if isinstance(target, dict):
        if name not in known:
            known[name] = 0
            known[name] = _levels(target, definitions, known)
        return known[name]
    below = max((_levels(part, definitions, known) for part in _subschemas(node)), default=0)
    return below + (node.get("type") == "object")
