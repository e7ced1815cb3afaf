"""Columns for the fields of structured answers, from their JSON schema. Pure: no IO, no waiting."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .columns import Columns, ColumnType

_TYPES: Final[Mapping[str, ColumnType]] = {
    "string": ColumnType.TEXT,
    "integer": ColumnType.COUNT,
    "number": ColumnType.NUMBER,
    "boolean": ColumnType.FLAG,
}
_LARGEST_COUNT = 2**63


def parsed_columns(schema: Mapping[str, object]) -> Columns:
    """Return a column for each property of an object; none for the schema of another type.

    Texts, numbers and flags have columns of their type, null among them or not; whatever else, lists and
    objects above all, stands there as JSON.
    """
    properties = _resolved(schema, schema).get("properties")
    if not isinstance(properties, Mapping):
        return {}
    return {str(name): _type_of(part, schema) for name, part in properties.items()}


def _type_of(part: object, root: Mapping[str, object]) -> ColumnType:
    choices = _choices(part, root)
    found = {_TYPES.get(str(one), ColumnType.JSON) for one in choices if one != "null"}
    if found == {ColumnType.COUNT, ColumnType.NUMBER}:
        return ColumnType.NUMBER
    return found.pop() if len(found) == 1 else ColumnType.JSON


def _choices(part: object, root: Mapping[str, object]) -> list[object]:
    """Return the names of the types that a part of the schema allows; one without a name stands for any."""
    schema = _resolved(part, root)
    alternatives = schema.get("anyOf", schema.get("oneOf"))
    if isinstance(alternatives, list):
        return [name for one in alternatives for name in _choices_of_one(one, root)]
    return _choices_of_one(schema, root)


def _choices_of_one(part: object, root: Mapping[str, object]) -> list[object]:
    named = _resolved(part, root).get("type")
    return named if isinstance(named, list) else [named]


def _resolved(part: object, root: Mapping[str, object]) -> Mapping[str, object]:
    """Follow a reference into the definitions of the schema; what is not a schema has no properties."""
    schema = part if isinstance(part, Mapping) else {}
    reference, definitions = schema.get("$ref"), root.get("$defs")
    if isinstance(reference, str) and isinstance(definitions, Mapping):
        target = definitions.get(reference.rpartition("/")[2])
        return target if isinstance(target, Mapping) else {}
    return schema


def fitting(column_type: object, value: object) -> object:
    """Return a value for a column of *column_type*; None if it is of another type.

    The type's own serialisers may write another one than the schema says. The answer's text has it.
    """
    if column_type is ColumnType.JSON or value is None:
        return value
    if isinstance(value, bool):
        return value if column_type is ColumnType.FLAG else None
    if column_type is ColumnType.COUNT:
        is_whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        return int(value) if is_whole and abs(value) < _LARGEST_COUNT else None  # type: ignore[call-overload,arg-type]
    if column_type is ColumnType.NUMBER:
        return float(value) if isinstance(value, int | float) and abs(value) < _LARGEST_COUNT else None
    return value if column_type is ColumnType.TEXT and isinstance(value, str) else None
