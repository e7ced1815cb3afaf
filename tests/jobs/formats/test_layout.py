"""Which columns an output has: those of the input, and the results beside them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from segmind_async._jobs.formats.columns import ColumnType
from segmind_async._jobs.formats.layout import InputColumns, clashes, layout
from segmind_async._jobs.formats.output import RESULT_COLUMNS

TEXT, COUNT, NUMBER, FLAG, ANY = (
    ColumnType.TEXT,
    ColumnType.COUNT,
    ColumnType.NUMBER,
    ColumnType.FLAG,
    ColumnType.ANY,
)


@pytest.mark.parametrize(
    ("values", "column_type"),
    [
        pytest.param([None], TEXT, id="nothing"),
        pytest.param(["a", None], TEXT, id="text"),
        pytest.param([None, 1, 2], COUNT, id="counts"),
        pytest.param([1, 2.5], NUMBER, id="counts-and-numbers"),
        pytest.param([True, None], FLAG, id="flags"),
        pytest.param([True, 1], ANY, id="flags-and-counts"),
        pytest.param([1, "a"], ANY, id="mixed"),
        pytest.param([2**70], ANY, id="larger-than-a-file-can-hold"),
        pytest.param([[1]], ANY, id="lists"),
        pytest.param([Decimal(1)], ANY, id="others"),
    ],
)
def test_a_column_has_the_type_of_its_values(values: list[object], column_type: ColumnType) -> None:
    inputs = InputColumns()
    for value in values:
        inputs.add({"a": value})
    assert inputs.columns == {"a": column_type}


def test_only_results_that_clash_are_renamed() -> None:
    got = layout({"text": TEXT, "n": COUNT})
    assert list(got.columns)[:2] == ["text", "n"]
    assert got.names["text"] == "result_text"
    assert [name for key, name in got.names.items() if key != name] == ["result_text"]
    assert got.row({"text": "q"}, {"text": "a", "id": "3"})["result_text"] == "a"
    assert got.row({"text": "q"}, {"text": "a", "id": "3"})["n"] is None


def test_an_output_can_be_the_input_of_another_job() -> None:
    first = layout({"text": TEXT})
    second = layout(dict.fromkeys(first.columns, TEXT))
    assert second.names["text"] == "result2_text"
    assert second.names["label"] == "result2_label"
    assert len(second.columns) == len(first.columns) + len(RESULT_COLUMNS) - 1


def test_the_id_stands_there_once_and_is_never_empty() -> None:
    got = layout({"id": ANY})
    assert "id" not in got.names
    assert got.row({"id": 7}, {"id": "7"})["id"] == 7
    assert got.row({"id": ""}, {"id": "3"})["id"] == "3"


def test_a_prefix_stands_before_all_results() -> None:
    got = layout({"text": TEXT, "id": TEXT}, "r_")
    assert list(got.names.values()) == [f"r_{name}" for name in RESULT_COLUMNS]
    assert clashes(["text", "r_text"], "r_") == ["r_text"]
    taken = layout({"r_text": TEXT}, "r_")
    assert taken.names["text"] == "r2_text"


def test_fields_of_an_answer_stand_in_place_of_the_parsed_answer() -> None:
    got = layout({"name": TEXT}, None, {"age": COUNT, "name": TEXT, "text": TEXT})
    assert "parsed" not in got.columns
    assert got.fields == {"age": "age", "name": "parsed_name", "text": "parsed_text"}
    assert got.columns["age"] is COUNT
    row = got.row({"name": "input"}, {"text": "{}", "parsed": {"age": 3, "name": "n", "text": 7}})
    assert (row["name"], row["text"], row["age"]) == ("input", "{}", 3)
    assert (row["parsed_name"], row["parsed_text"]) == ("n", None)
    assert "age" not in got.row({}, {"parsed": None})


def test_fields_have_the_prefix_of_the_results() -> None:
    got = layout({"parsed_id": TEXT, "r_age": TEXT}, "r_", {"age": COUNT, "id": TEXT})
    assert got.fields == {"age": "r_parsed_age", "id": "r_parsed_id"}
    assert list(got.names) == [name for name in RESULT_COLUMNS if name != "parsed"]
