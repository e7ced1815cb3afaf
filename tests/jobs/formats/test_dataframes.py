"""Data frames as rows, and results beside them: the same for every kind of frame."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Literal

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import segmind_async as sa
from segmind_async._jobs.formats.dataframes import COLUMNS, frame_of, rows_of
from segmind_async._jobs.prompt_template import template
from segmind_async.testing import ScriptedTransport, answer
from tests.jobs.mappings import open_mappings
from tests.support import KEY

Make = Callable[[dict[str, Any]], Any]

KINDS = [
    pytest.param(pd.DataFrame, id="pandas"),
    pytest.param(pl.DataFrame, id="polars"),
    pytest.param(pa.table, id="pyarrow"),
]


def columns_of(frame: Any) -> dict[str, list[Any]]:
    if isinstance(frame, pd.DataFrame):
        return {str(name): [None if pd.isna(value) else value for value in frame[name]] for name in frame}
    if isinstance(frame, pl.DataFrame):
        return frame.to_dict(as_series=False)
    return dict(frame.to_pydict())


@pytest.mark.parametrize("make", KINDS)
def test_rows(make: Make) -> None:
    frame = make({"text": ["a", None, "c"], "n": [1, 2, 3], "f": [0.5, None, float("nan")]})
    assert list(rows_of(frame)) == [
        {"text": "a", "n": 1, "f": 0.5},
        {"text": None, "n": 2, "f": None},
        {"text": "c", "n": 3, "f": None},
    ]


def test_what_pandas_calls_missing_is_none_and_its_numbers_are_pythons() -> None:
    frame = pd.DataFrame(
        {
            "whole": pd.array([1, None], dtype="Int64"),
            "at": pd.to_datetime(["2020-01-01", None]),
            "mixed": pd.Series(["x", float("nan")], [7, 7], object),
            "tags": [["a"], ["b", "c"]],
        },
        index=[7, 7],
    )
    got = list(rows_of(frame))
    assert got[1] == {"whole": None, "at": None, "mixed": None, "tags": ["b", "c"]}
    assert type(got[0]["whole"]) is int
    with open_mappings(got, template("{mixed} {tags} {at}")) as rows:
        assert [row.request.messages if row.request else row.problem for row in rows] == [
            'x ["a"] 2020-01-01 00:00:00',
            "row 2: no value in column 'mixed'",
        ]


@pytest.mark.parametrize("make", KINDS)
async def test_results_stand_beside_the_rows_they_are_of(make: Make) -> None:
    frame = make({"text": ["a", "b", "c", "d"], "label": [1, 2, 3, 4]})
    transport = ScriptedTransport()
    async with sa.SegmindClient(KEY, transport=transport) as client:
        asked = [f"{row['text']} {row['label']}" for row in rows_of(frame)]
        outcomes = await client.chat_many(asked[:3])
    outcomes[1] = sa.Outcome(1, str(1), sa.Status.FAILED, None, sa.BadRequestError("HTTP 400: no"), 1)
    random.Random(2).shuffle(outcomes)
    joined = frame_of(outcomes, like=frame)
    assert type(joined) is type(frame)
    got = columns_of(joined)
    assert list(got) == ["text", "label", *[f"result_{name}" for name in COLUMNS]]
    assert got["label"] == [1, 2, 3, 4]
    assert got["result_status"] == ["ok", "failed", "ok", None]
    assert got["result_text"] == ["echo: a 1", None, "echo: c 3", None]
    assert got["result_error"] == [None, "BadRequestError: HTTP 400: no", None, None]
    assert got["result_attempts"] == [1, 1, 1, None]
    assert got["result_cost"][0] == outcomes[[o.index for o in outcomes].index(0)].cost


@pytest.mark.parametrize("make", KINDS)
def test_rows_of_an_output_are_results_too_and_the_types_do_not_depend_on_them(make: Make) -> None:
    frame = make({"text": ["a", "b"]})
    fine = {
        "index": 1, "status": "ok", "label": "x", "parsed": {"a": [1]}, "cost": "0.0000195", "elapsed": 0.5,
        "usage": {"input_tokens": 3, "output_tokens": None},
    }  # fmt: skip
    nothing, something = frame_of([], like=frame), frame_of([fine], like=frame)
    got = columns_of(something)
    assert got["result_cost"] == [None, Decimal("0.0000195")]
    assert got["result_parsed"] == [None, '{"a":[1]}']
    assert got["result_input_tokens"] == [None, 3]
    assert got["result_output_tokens"] == [None, None]
    types = [
        list(table.schema if isinstance(table, pa.Table) else table.dtypes) for table in (nothing, something)
    ]
    assert types[0] == types[1]


def test_an_index_of_pandas_stays_what_it_was() -> None:
    frame = pd.DataFrame({"text": ["a", "b", "c"]}, index=[9, 9, 1])
    joined = frame_of([{"index": 2, "text": "last"}], like=frame)
    assert list(joined.index) == [9, 9, 1]
    assert joined["result_text"].tolist()[2] == "last"


def test_frames_that_will_not_do_are_refused() -> None:
    frame = pl.DataFrame({"text": ["a"]})
    with pytest.raises(sa.ConfigurationError, match="a list is not a data frame"):
        rows_of([1])
    with pytest.raises(
        sa.ConfigurationError, match=r"a polars LazyFrame is computed when it is read; collect"
    ):
        rows_of(frame.lazy())
    with pytest.raises(sa.ConfigurationError, match="prefix='': the frame has a column 'text'"):
        frame_of([], like=frame, prefix="")
    with pytest.raises(sa.ConfigurationError, match="a result has index 1, and the frame 1 rows"):
        frame_of([{"index": 1}], like=frame)
    with pytest.raises(
        sa.ConfigurationError, match="will not do: Expected unique column names, got: - 'x' 2 times"
    ):
        rows_of(pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["x", "x"]))


def test_without_narwhals_the_error_says_what_to_install() -> None:
    script = "import sys; sys.modules['narwhals'] = None\nfrom segmind_async.jobs import rows_of\nrows_of(1)"
    got = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (
        "ConfigurationError: data frames need narwhals: pip install 'segmind-async[dataframe]'" in got.stderr
    )


@pytest.mark.parametrize("make", KINDS)
async def test_values_of_a_type_stand_in_the_frame(make: Make) -> None:
    frame = make({"text": ["a", "b"]})
    replies = [answer('{"value": "ham"}'), answer('{"value": "spam"}')]
    async with sa.SegmindClient(KEY, transport=ScriptedTransport(replies), limits=sa.Limits(1)) as client:
        outcomes = await client.chat_many(["a", "b"], parse=Literal["spam", "ham"])
    assert columns_of(frame_of(outcomes, like=frame))["result_parsed"] == ["ham", "spam"]
