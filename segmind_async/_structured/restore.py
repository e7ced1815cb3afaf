"""Turn an answer to a strict schema back into what its type describes: pairs into dicts, objects into tuples.

`strict_schema` has asked for them in another form. A model that answered in the type's own form is understood
too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from ..models import JsonDict
from .strict_schema import KEY, VALUE, definitions_of, is_map, item_name

_TYPES: dict[str, type | tuple[type, ...]] = {
    "array": list,
    "boolean": bool,
    "integer": int,
    "null": type(None),
    "number": (int, float),
    "object": dict,
    "string": str,
}


class DuplicateKeyError(ValueError):
    """Two pairs of one list have the same key."""


def is_rewritten(schema: object) -> bool:
    """Return whether any part of a type's schema is asked for in another form."""
    if isinstance(schema, list):
        return any(map(is_rewritten, schema))
    if not isinstance(schema, Mapping):
        return False
    return is_map(schema) or "prefixItems" in schema or any(map(is_rewritten, schema.values()))


def restored(value: Any, schema: JsonDict) -> Any:
    """Return a JSON value in the form that *schema*, of the type, describes; raises DuplicateKeyError.

    Parts that fit no schema are returned as they are, for validation to refuse.
    """
    return _Restorer(schema).value(value, schema)


class _Restorer:
    def __init__(self, root: JsonDict) -> None:
        self._definitions = definitions_of(root)

    def value(self, value: Any, node: Any) -> Any:
        node = self._resolved(node)
        members = [*node.get("anyOf", ()), *node.get("oneOf", ())]
        if members:
            fitting = next((one for one in members if self._fits(value, self._resolved(one))), None)
            return value if fitting is None else self.value(value, fitting)
        for member in node.get("allOf", ()):
            value = self.value(value, member)
        if is_map(node):
            return self._dict(value, node)
        if "prefixItems" in node:
            return self._tuple(value, node["prefixItems"])
        if isinstance(value, dict):
            parts = node.get("properties", {})
            return {name: self.value(one, parts.get(name)) for name, one in value.items()}
        return [self.value(one, node.get("items")) for one in value] if isinstance(value, list) else value

    def _resolved(self, node: Any) -> JsonDict:
        """Return a node with its reference followed; an empty one for what is not a schema."""
        while isinstance(node, dict) and isinstance(ref := node.get("$ref"), str):
            node = self._definitions.get(ref.removeprefix("#/$defs/"))
        return node if isinstance(node, dict) else {}

    def _dict(self, value: Any, node: JsonDict) -> Any:
        found = value
        if _are_pairs(value):
            found = {pair[KEY]: pair[VALUE] for pair in value}
            if len(found) < len(value):
                ((twice, _),) = Counter(pair[KEY] for pair in value).most_common(1)
                raise DuplicateKeyError(f"the key {twice!r} is there twice")
        if not isinstance(found, dict):
            return found
        patterns = node.get("patternProperties")
        of_value = next(iter(patterns.values())) if isinstance(patterns, dict) and patterns else None
        of_value = of_value or node.get("additionalProperties")
        return {name: self.value(one, of_value) for name, one in found.items()}

    def _tuple(self, value: Any, parts: Any) -> Any:
        if isinstance(value, dict) and value.keys() == {item_name(index) for index in range(len(parts))}:
            value = [value[item_name(index)] for index in range(len(parts))]
        if not isinstance(value, list) or len(value) != len(parts):
            return value
        return [self.value(one, part) for one, part in zip(value, parts, strict=True)]

    def _fits(self, value: Any, node: JsonDict) -> bool:
        """Return whether a value is meant by this member of a union, judged by its outside."""
        if "const" in node or "enum" in node:
            allowed: Any = node.get("enum") or [node.get("const")]
            return value in allowed
        if is_map(node):
            return isinstance(value, dict) or _are_pairs(value)
        if "prefixItems" in node:
            parts: Any = node["prefixItems"]
            return isinstance(value, dict | list) and len(value) == len(parts)
        properties = node.get("properties")
        if isinstance(properties, dict):
            return isinstance(value, dict) and self._has_properties(value, properties)
        return isinstance(value, _TYPES.get(str(node.get("type")), object))

    def _has_properties(self, value: JsonDict, properties: JsonDict) -> bool:
        if not value.keys() <= properties.keys():
            return False
        parts = {name: self._resolved(part) for name, part in properties.items() if name in value}
        return all(value[name] == part["const"] for name, part in parts.items() if "const" in part)


def _are_pairs(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(pair, dict) and pair.keys() == {KEY, VALUE} and isinstance(pair[KEY], str)
        for pair in value
    )
