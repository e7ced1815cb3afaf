"""Columns of the fields of structured answers."""

from __future__ import annotations

from typing import Any

import pytest

from segmind_async._jobs.formats.columns import ColumnType
from segmind_async._jobs.formats.parsed_columns import fitting, parsed_columns

TEXT, COUNT, NUMBER, FLAG, JSON, ANY = (
    ColumnType.TEXT, ColumnType.COUNT, ColumnType.NUMBER, ColumnType.FLAG, ColumnType.JSON, ColumnType.ANY,
)  # fmt: skip


@pytest.mark.parametrize(
    ("part", "column_type"),
    [
        pytest.param({"type": "string"}, TEXT, id="text"),
        pytest.param({"type": "integer"}, COUNT, id="count"),
        pytest.param({"type": "number"}, NUMBER, id="number"),
        pytest.param({"type": "boolean"}, FLAG, id="flag"),
        pytest.param({"type": ["string", "null"]}, TEXT, id="text-or-null"),
        pytest.param({"anyOf": [{"type": "integer"}, {"type": "null"}]}, COUNT, id="count-or-null"),
        pytest.param({"oneOf": [{"type": "integer"}, {"type": "number"}]}, NUMBER, id="both-numbers"),
        pytest.param({"anyOf": [{"type": "integer"}, {"type": "string"}]}, JSON, id="mixed"),
        pytest.param({"$ref": "#/$defs/Kind"}, TEXT, id="by-reference"),
        pytest.param({"$ref": "#/$defs/Nothing"}, JSON, id="to-nowhere"),
        pytest.param({"type": "array"}, JSON, id="list"),
        pytest.param({"type": "object"}, JSON, id="object"),
        pytest.param({"type": "null"}, JSON, id="nothing-but-null"),
        pytest.param({}, JSON, id="anything"),
        pytest.param(True, JSON, id="no-schema"),
    ],
)
def test_a_field_has_the_column_type_of_its_schema(part: object, column_type: ColumnType) -> None:
    schema = {
        "type": "object",
        "properties": {"a": part},
        "$defs": {"Kind": {"type": "string"}, "Nothing": 3},
    }
    assert parsed_columns(schema) == {"a": column_type}


@pytest.mark.parametrize("schema", [{}, {"type": "array"}, {"properties": 3}, {"$ref": "#/$defs/x"}])
def test_other_schemas_have_no_columns(schema: dict[str, Any]) -> None:
    assert parsed_columns(schema) == {}


def test_a_schema_that_is_a_reference() -> None:
    schema = {"$ref": "#/$defs/A", "$defs": {"A": {"properties": {"n": {"type": "integer"}}}}}
    assert parsed_columns(schema) == {"n": COUNT}


@pytest.mark.parametrize(
    ("column_type", "value", "written"),
    [
        pytest.param(TEXT, "a", "a", id="text"),
        pytest.param(TEXT, 1, None, id="no-text"),
        pytest.param(COUNT, 3, 3, id="count"),
        pytest.param(COUNT, 3.0, 3, id="count-as-number"),
        pytest.param(COUNT, 3.5, None, id="no-count"),
        pytest.param(COUNT, 2**63, None, id="too-large-for-a-file"),
        pytest.param(COUNT, "3", None, id="text-for-a-count"),
        pytest.param(NUMBER, 3, 3.0, id="number"),
        pytest.param(NUMBER, "3", None, id="no-number"),
        pytest.param(NUMBER, 10**400, None, id="too-large-for-a-float"),
        pytest.param(FLAG, True, True, id="flag"),
        pytest.param(COUNT, True, None, id="flag-for-a-count"),
        pytest.param(FLAG, 1, None, id="no-flag"),
        pytest.param(JSON, [1], [1], id="json"),
        pytest.param(TEXT, None, None, id="none"),
    ],
)
def test_only_values_of_its_type_stand_in_a_column(
    column_type: ColumnType, value: object, written: object
) -> None:
    got = fitting(column_type, value)
    assert (got, type(got)) == (written, type(written))
