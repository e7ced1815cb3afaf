"""Results on disk: whole or not at all, the same columns always, and read back as they were."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import stat
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import segmind_async as sa
from segmind_async._jobs.formats import parquet
from segmind_async._jobs.formats.columns import ColumnType
from segmind_async._jobs.formats.output import RESULT_COLUMNS, check_output, open_output
from segmind_async._jobs.prompt_template import template
from segmind_async._jobs.results import FIELDS
from segmind_async._jobs.rows import open_rows

FAILED: dict[str, Any] = {"id": "a", "index": 0, "status": "failed", "error": "InvalidRow: line 1"}
FINE: dict[str, Any] = {
    "id": "b",
    "index": 1,
    "status": "ok",
    "text": 'say "hi",\r\n\rüber\n',
    "parsed": {"a": [1, None]},
    "attempts": 2,
    "cost": "0.0000195123",
    "usage": {"input_tokens": 3, "output_tokens": None},
    "elapsed": 0.25,
}


def write(path: Path, *rows: dict[str, Any]) -> bytes:
    with open_output(path) as put:
        for row in rows:
            put(row)
    return path.read_bytes()


def whole(row: dict[str, Any], **differing: Any) -> dict[str, Any]:
    return {**dict.fromkeys(RESULT_COLUMNS), **row, **differing}


def test_the_columns_are_those_of_a_result() -> None:
    assert tuple(RESULT_COLUMNS) == FIELDS


@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ","), ("a.tsv", "\t")])
def test_a_table_is_separated_as_its_name_says_and_read_back(
    name: str, delimiter: str, tmp_path: Path
) -> None:
    text = write(tmp_path / name, FAILED, FINE).decode()
    assert text.splitlines()[0] == delimiter.join(RESULT_COLUMNS)
    with open_rows(tmp_path / name, template("{text}")) as rows:
        assert [row.columns["text"] for row in rows][1] == FINE["text"]


def test_json_lines(tmp_path: Path) -> None:
    got = [json.loads(line) for line in write(tmp_path / "a.jsonl", FAILED, FINE).splitlines()]
    assert got == [whole(FAILED), whole(FINE)]
    assert list(got[0]) == list(RESULT_COLUMNS)
    assert write(tmp_path / "a", {**FINE, "cost": Decimal("0.1")}).endswith(b'"elapsed":0.25}\n')


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv"])
def test_packed_results_are_the_same_bytes_each_time(tmp_path: Path, name: str) -> None:
    packed = write(tmp_path / (name + ".gz"), FAILED, FINE)
    assert gzip.decompress(packed) == write(tmp_path / name, FAILED, FINE)
    assert packed == write(tmp_path / ("other " + name + ".gz"), FAILED, FINE)


def test_csv_is_read_back_as_it_was(tmp_path: Path) -> None:
    text = write(tmp_path / "a.csv", FAILED, FINE).decode()
    got = list(csv.DictReader(io.StringIO(text, newline="")))
    assert list(got[0]) == list(RESULT_COLUMNS)
    assert (got[0]["status"], got[0]["text"], got[0]["usage"]) == ("failed", "", "")
    assert (got[1]["text"], got[1]["cost"]) == (FINE["text"], "0.0000195123")
    assert json.loads(got[1]["usage"]) == FINE["usage"]
    assert json.loads(got[1]["parsed"]) == FINE["parsed"]
    with open_rows(tmp_path / "a.csv", template("{text}")) as rows:
        assert [row.request.messages for row in rows if row.request] == ["", FINE["text"]]


@pytest.mark.parametrize("text", ["=1+1", "@SUM(A1)", "+1", "-1", "\t=x", "a\rb", "\n", " ", "null"])
def test_what_a_spreadsheet_takes_for_something_else_stays_what_the_model_said(
    tmp_path: Path, text: str
) -> None:
    written = write(tmp_path / "a.csv", {**FINE, "text": text}).decode()
    assert next(csv.DictReader(io.StringIO(written, newline="")))["text"] == text


def test_parquet_has_one_schema_whatever_comes(tmp_path: Path) -> None:
    schemas = []
    for name, rows in [("none", []), ("failed", [FAILED]), ("both", [FAILED, FINE])]:
        path = tmp_path / f"{name}.parquet"
        write(path, *rows)
        schemas.append(pq.read_schema(path))
    assert schemas[0] == schemas[1] == schemas[2]
    assert schemas[0].field("cost").type == pa.decimal128(38, 18)
    got = pq.read_table(tmp_path / "both.parquet").to_pylist()
    assert got[0] == whole(FAILED)
    assert got[1] == whole(FINE, cost=Decimal("0.0000195123"), parsed='{"a":[1,null]}')


def test_parquet_of_other_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    with open_output(
        path, {"n": ColumnType.NUMBER, "yes": ColumnType.FLAG, "cost": ColumnType.AMOUNT}
    ) as put:
        put({"n": 1, "yes": True, "cost": Decimal("1E-30")})
        put({"cost": "12345678901234567890.1", "more": "is not asked for"})
        put({"n": 2**53 + 1})
    assert pq.read_table(path).to_pylist() == [
        {"n": 1.0, "yes": True, "cost": Decimal(0)},
        {"n": None, "yes": None, "cost": Decimal("12345678901234567890.1")},
        {"n": 2.0**53, "yes": None, "cost": None},
    ]


def test_parquet_is_written_in_groups_of_bounded_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "_GROUP_ROWS", 10)
    monkeypatch.setattr(parquet, "_GROUP_BYTES", 1000)
    path = tmp_path / "a.parquet"
    write(path, *[{"text": "short"}] * 25, *[{"text": "x" * 400}] * 5)
    file = pq.ParquetFile(path)
    assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [10, 10, 8, 2]
    assert len(file.read()) == 30


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv.gz", "a.parquet"])
def test_what_ends_with_an_error_leaves_what_was_there_before(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("before")
    with pytest.raises(RuntimeError, match="in the middle"):
        with open_output(path) as put:
            put(FINE)
            raise RuntimeError("in the middle")
    assert path.read_text() == "before"
    assert [found.name for found in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv.gz", "a.parquet"])
def test_the_name_appears_after_all_is_on_the_disk(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[bool, bool, int]] = []
    fsync = os.fsync

    def note(descriptor: int) -> None:
        what = os.fstat(descriptor)
        synced.append((stat.S_ISDIR(what.st_mode), (tmp_path / name).exists(), what.st_size))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    content = write(tmp_path / name, *[FINE] * 100)
    (of_file, of_folder) = synced
    assert of_file == (False, False, len(content))
    assert of_folder[:2] == (True, True)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("folder", "is not a plain file"),
        ("a.parquet.gz", "Parquet is packed already"),
        ("é" * 124 + ".csv", "its name has 252 bytes, and a file that is written here may have 250"),
    ],
)
def test_a_place_that_will_not_do_is_refused_beforehand(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / "folder").mkdir()
    for check in (lambda path: write(path, FINE), check_output):
        with pytest.raises(sa.ConfigurationError, match=says):
            check(tmp_path / name)
    check_output(tmp_path / "new.parquet")
    write(tmp_path / ("x" * 246 + ".csv"), FINE)


@pytest.mark.skipif(os.name != "posix", reason="devices")
def test_a_device_is_not_replaced_by_a_file() -> None:
    with pytest.raises(sa.ConfigurationError, match="'/dev/null' is not a plain file"):
        check_output(Path("/dev/null"))


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"),
        ('=HYPERLINK("http://x")', '\'=HYPERLINK("http://x")'),
        ("+1 555 1234", "'+1 555 1234"),
        ("-2+3", "'-2+3"),
        ("- a list", "'- a list"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\n=1", "'\n=1"),
        ("＝1+1", "'＝1+1"),
        ("-5", "-5"),
        ("+3.25e-7", "+3.25e-7"),
        ("-.5", "-.5"),
        ("a=1", "a=1"),
        ("'=1", "'=1"),
        ("", ""),
    ],
    ids=ascii,
)
def test_in_safe_csv_no_text_is_a_formula_and_numbers_stay(tmp_path: Path, cell: str, written: str) -> None:
    row = {**FINE, "text": cell, "label": cell, "elapsed": -0.5}
    for name, expected in (("a.csv", written), ("a.csv.gz", written), ("a.jsonl", cell)):
        with open_output(tmp_path / name, csv_safe=True) as put:
            put(row)
        data = (tmp_path / name).read_bytes()
        if name.endswith(".jsonl"):
            (found,) = [json.loads(data)]
        else:
            text = gzip.decompress(data) if name.endswith(".gz") else data
            (found,) = csv.DictReader(io.StringIO(text.decode(), newline=""))
            assert found["elapsed"] == "-0.5"
            assert found["parsed"] == '{"a":[1,null]}'
        assert (found["text"], found["label"]) == (expected, expected)


def test_in_safe_csv_the_header_holds_no_formula_either(tmp_path: Path) -> None:
    with open_output(tmp_path / "a.csv", {"=1": ColumnType.ANY}, csv_safe=True) as put:
        put({"=1": "=2"})
    assert (tmp_path / "a.csv").read_text().splitlines() == ["'=1", "'=2"]


def test_otherwise_texts_in_csv_stay_as_they_are(tmp_path: Path) -> None:
    data = write(tmp_path / "a.csv", {**FINE, "text": "=1+1"})
    assert next(csv.DictReader(io.StringIO(data.decode(), newline="")))["text"] == "=1+1"
