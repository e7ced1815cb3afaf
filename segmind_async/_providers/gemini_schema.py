"""Translate a JSON schema into the dialect of Gemini's `parameters`.

Gemini takes a subset of OpenAPI's schema objects (Google's API reference, `Schema`, 2026-08): no `$ref`,
no `const`, enums of strings only, `nullable` in place of a null type. Keywords outside it are dropped: they
only narrow the model's arguments, which are validated when they arrive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .._structured.strict_schema import as_object, as_pairs, is_map
from ..errors import InvalidRequestError
from ..models import JsonDict, JsonObject

_KEPT = frozenset(
    {
        "type",
        "description",
        "required",
        "minItems",
        "maxItems",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "pattern",
        "nullable",
    }
)


def gemini_schema(schema: JsonObject) -> JsonDict:
    """Translate *schema*; raises InvalidRequestError for one that contains itself."""
    definitions = schema.get("$defs")
    return _translated(schema, definitions if isinstance(definitions, Mapping) else {}, ())


def _translated(schema: JsonObject, definitions: JsonObject, inside: tuple[str, ...]) -> JsonDict:
    reference = schema.get("$ref")
    if isinstance(reference, str):
        name = reference.rpartition("/")[2]
        if name in inside:
            raise InvalidRequestError(
                f"the schema of {name!r} contains itself, which Gemini models do not take"
            )
        target = definitions.get(name)
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        merged = {**target, **beside} if isinstance(target, Mapping) else beside
        return _translated(merged, definitions, (*inside, name))
    schema = _with_properties(schema)
    found: JsonDict = {key: value for key, value in schema.items() if key in _KEPT}
    found.update(_values(schema))
    for key in ("anyOf", "oneOf", "allOf"):
        options = schema.get(key)
        if isinstance(options, Sequence):
            found.update(_either([_translated(one, definitions, inside) for one in options]))
    items = schema.get("items")
    if isinstance(items, Mapping):
        found["items"] = _translated(items, definitions, inside)
    properties = schema.get("properties")
    if isinstance(properties, Mapping) and properties:
        found["properties"] = {
            name: _translated(one, definitions, inside) for name, one in properties.items()
        }
    return found


def _with_properties(schema: JsonObject) -> JsonObject:
    """Return dicts as lists of pairs and tuples as objects: without properties or items both are refused.

    `Tool.arguments` turns them back.
    """
    if is_map(schema) and isinstance(schema.get("additionalProperties"), Mapping):
        return as_pairs(dict(schema), ())
    return as_object(dict(schema), ()) if "prefixItems" in schema else schema


def _values(schema: JsonObject) -> JsonDict:
    """Return `const` or `enum` as an enum of strings; empty if a value is not a string."""
    allowed = [schema["const"]] if "const" in schema else schema.get("enum")
    if not isinstance(allowed, Sequence) or not all(isinstance(value, str) for value in allowed):
        return {}
    return {"type": "string", "enum": list(allowed)}


def _either(options: list[JsonDict]) -> JsonDict:
    """Return the schema for "one of these"; a null type becomes `nullable`."""
    real = [one for one in options if one.get("type") != "null"]
    nullable: JsonDict = {"nullable": True} if len(real) < len(options) else {}
    return {**real[0], **nullable} if len(real) == 1 else {"anyOf": real, **nullable}
