"""JSON schemas in strict mode: validation as a provider does it, and values that fit a schema. Pure."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator, Mapping
from typing import TypeAlias

Schema: TypeAlias = Mapping[str, object]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_KNOWN = {"type", "$ref", "anyOf", "allOf", "enum", "const"}
_NOT_PERMITTED = (
    *("oneOf", "not", "if", "then", "else", "default", "uniqueItems", "prefixItems", "contains"),
    *("patternProperties", "propertyNames", "minProperties", "maxProperties", "unevaluatedProperties"),
    *("dependentRequired", "dependentSchemas"),
)
_MOST = {"levels of nesting": 10, "properties": 5000, "enum values": 1000}


class SchemaError(ValueError):
    """The provider would refuse this schema; the message is its answer."""


def check_format(wanted: Schema) -> None:
    """Check a `response_format` of type `json_schema`; raises SchemaError."""
    named = wanted.get("json_schema")
    if not isinstance(named, dict):
        raise SchemaError("Missing required parameter: 'response_format.json_schema'")
    name, schema = named.get("name"), named.get("schema")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise SchemaError(f"Invalid 'response_format.json_schema.name': {name!r:.80}")
    if not isinstance(schema, dict):
        raise SchemaError("Missing required parameter: 'response_format.json_schema.schema'")
    if named.get("strict"):
        try:
            _check_root(schema)
        except SchemaError as error:
            raise SchemaError(f"Invalid schema for response_format '{name}': {error}") from None


def _check_root(schema: Schema) -> None:
    if schema.get("type") != "object":
        raise SchemaError(f"schema must be a JSON Schema of 'type: \"object\"', got {schema.get('type')!r}")
    counts = dict.fromkeys(_MOST, 0)
    for path, node in _walk(schema, ()):
        context = f"In context={path!r}"
        if not isinstance(node, dict):
            raise SchemaError(f"{context}, {node!r:.60} is not of type 'object'")
        _check_node(node, schema, context)
        counts["properties"] += len(_object(node.get("properties")))
        counts["enum values"] += len(_list(node.get("enum")))
    counts["levels of nesting"] = _depth(schema, schema, ())
    for what, count in counts.items():
        if count > _MOST[what]:
            raise SchemaError(f"schema exceeds the maximum of {_MOST[what]} {what}: {count}")


def _walk(node: object, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], object]]:
    yield path, node
    if not isinstance(node, dict):
        return
    for word in ("properties", "$defs"):
        for name, part in _object(node.get(word)).items():
            yield from _walk(part, (*path, word, name))
    if "items" in node:
        yield from _walk(node["items"], (*path, "items"))
    for word in ("anyOf", "allOf"):
        for number, part in enumerate(_list(node.get(word))):
            yield from _walk(part, (*path, word, str(number)))


def _check_node(node: Schema, root: Schema, context: str) -> None:
    for word in _NOT_PERMITTED:
        if word in node:
            raise SchemaError(f"{context}, '{word}' is not permitted")
    if not _KNOWN & node.keys():
        raise SchemaError(f"{context}, schema must have a 'type' key")
    ref = node.get("$ref")
    if ref is not None and len(node) > 1:
        raise SchemaError(f"{context}, $ref cannot have keywords beside it")
    if ref is not None and _resolved(node, root) is node:
        raise SchemaError(f"{context}, reference {ref!r} can only point to '#/$defs/…'")
    if node.get("type") == "array" and "items" not in node:
        raise SchemaError(f"{context}, array schema missing items")
    if node.get("type") != "object" and "properties" not in node:
        return
    if node.get("additionalProperties") is not False:
        raise SchemaError(f"{context}, 'additionalProperties' is required to be supplied and to be false")
    required = {name for name in _list(node.get("required")) if isinstance(name, str)}
    if required != _object(node.get("properties")).keys():
        raise SchemaError(
            f"{context}, 'required' is required to be supplied and to be an array including every key in "
            "properties"
        )


def _depth(node: object, root: Schema, inside: tuple[str, ...]) -> int:
    """Return how deep objects are nested; a recursive reference is not followed again."""
    if not isinstance(node, dict):
        return 0
    ref = node.get("$ref")
    if isinstance(ref, str):
        return 0 if ref in inside else _depth(_resolved(node, root), root, (*inside, ref))
    parts = [*_object(node.get("properties")).values(), node.get("items")]
    parts += _list(node.get("anyOf")) + _list(node.get("allOf"))
    below = max((_depth(part, root, inside) for part in parts), default=0)
    return below + (node.get("type") == "object")


def _resolved(node: Schema, root: Schema) -> Schema:
    """Return the target of a node's reference; the node itself if there is no such target."""
    name = str(node.get("$ref", "")).removeprefix("#/$defs/")
    found = _object(root.get("$defs")).get(name)
    return found if isinstance(found, dict) else node


def _object(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


_FORMATS = {
    "date": "2026-11-01",
    "time": "09:30:00Z",
    "date-time": "2026-11-01T09:30:00Z",
    "duration": "PT90S",
    "email": "echo@example.com",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "5d6f8a6e-7e43-4f51-9e0c-0b1f6c1c2d3e",
    "uri": "https://example.com/",
    "binary": "echo",
}
_DEEP = 6
"""Levels from which on the smallest possible value is chosen."""


class Filler:
    """Makes values that fit a schema, the same ones for the same seed. Strings contain *words*."""

    def __init__(self, schema: Schema, seed: object = 0, words: str = "echo") -> None:
        self._root = schema
        self._chance = random.Random(str(seed))
        self._words = words

    def value(self) -> object:
        """Return the next value."""
        return self._of(self._root, 0)

    def _of(self, node: object, level: int) -> object:
        assert isinstance(node, dict)
        if "$ref" in node:
            return self._of(_resolved(node, self._root), level + 1)
        if "const" in node:
            return node["const"]
        if "enum" in node:
            return self._chance.choice(_list(node["enum"]))
        members = _list(node.get("anyOf")) or _list(node.get("allOf"))[:1]
        if members:
            return self._of(self._member(members, level), level + 1)
        return self._typed(node, level)

    def _member(self, members: list[object], level: int) -> object:
        if level < _DEEP:
            return self._chance.choice(members)
        ends = [part for part in members if _object(part).get("type") not in (None, "object", "array")]
        return ends[-1] if ends else members[0]

    def _typed(self, node: Schema, level: int) -> object:
        value_type = node.get("type")
        value_type = value_type[0] if isinstance(value_type, list) else value_type
        if value_type == "object":
            parts = _object(node.get("properties"))
            return {name: self._of(part, level + 1) for name, part in parts.items()}
        if value_type == "array":
            least = _whole(node.get("minItems"), 0)
            most = _whole(node.get("maxItems"), least + 2)
            count = least if level >= _DEEP else self._chance.randint(least, max(least, min(most, least + 2)))
            return [self._of(node.get("items"), level + 1) for _ in range(count)]
        if value_type == "string":
            return self._text(node)
        if value_type == "boolean":
            return self._chance.random() < 0.5
        return None if value_type == "null" else self._number(node, whole=value_type == "integer")

    def _text(self, node: Schema) -> str:
        known = _FORMATS.get(str(node.get("format")))
        if known is not None:
            return known
        least, most = _whole(node.get("minLength"), 0), _whole(node.get("maxLength"), 10_000)
        return self._words[:most].ljust(least, "o")

    def _number(self, node: Schema, *, whole: bool) -> float:
        low, high = _range(node, int(whole))
        step = node.get("multipleOf")
        if isinstance(step, int | float):
            return step * math.ceil(low / step)
        if whole:
            return self._chance.randint(math.ceil(low), math.floor(high))
        # Well inside: the ends may be excluded.
        return low + (high - low) * self._chance.uniform(0.1, 0.9)


def _range(node: Schema, excluded: int) -> tuple[float, float]:
    """Return the ends of a number's range, 100 wide where it has but one; *excluded* is left out at each."""
    low, high = node.get("minimum"), node.get("maximum")
    above, below = node.get("exclusiveMinimum"), node.get("exclusiveMaximum")
    lows = [low] if isinstance(low, int | float) else []
    lows += [above + excluded] if isinstance(above, int | float) else []
    highs = [high] if isinstance(high, int | float) else []
    highs += [below - excluded] if isinstance(below, int | float) else []
    if not lows and not highs:
        return 0.0, 100.0
    return (max(lows) if lows else min(highs) - 100), (min(highs) if highs else max(lows) + 100)


def _whole(value: object, default: int) -> int:
    return value if isinstance(value, int) else default
