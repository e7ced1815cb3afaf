"""Rows are counted without being parsed."""

from __future__ import annotations

import gzip
import threading
from pathlib import Path

import pytest

from segmind_async._jobs.formats import row_count
from segmind_async._jobs.formats.file_format import Format
from segmind_async._jobs.formats.row_count import count_rows

CSV = b'id,text\n1,"one\nline, and ""another"""\n2,"\n\n"\n3,plain\n'


@pytest.mark.parametrize(
    ("name", "content", "rows"),
    [
        pytest.param("a.jsonl", b'{"a":1}\n{"a":2}\n', 2, id="json-lines"),
        pytest.param("a.jsonl", b'{"a":1}\n{"a":2}', 2, id="no-line-break-at-the-end"),
        pytest.param("a.jsonl", b"", 0, id="empty"),
        pytest.param("a.csv", CSV, 3, id="line-breaks-between-quotes"),
        pytest.param("a.csv", b"id,text\n", 0, id="header-only"),
        pytest.param("a.csv", b"", 0, id="empty-csv"),
        pytest.param("a.csv.gz", gzip.compress(CSV), 3, id="compressed"),
    ],
)
@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 1 << 20])
def test_rows_are_counted_whatever_the_chunks(
    name: str, content: bytes, rows: int, chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_count, "_CHUNK", chunk)
    (path := tmp_path / name).write_bytes(content)
    assert count_rows(path, None, threading.Event()) == rows


def test_the_count_so_far_is_told_and_never_too_high(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_count, "_CHUNK", 7)
    (path := tmp_path / "a.csv").write_bytes(CSV * 9)
    told: list[int] = []
    total = count_rows(path, None, threading.Event(), told.append)
    assert total is not None
    assert told == sorted(told)
    assert total - 1 <= told[-1] <= total
    assert len(set(told)) > 10


def test_parquet_names_its_rows(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"text": ["a", "b", "c"]}), tmp_path / "rows.bin")
    assert count_rows(tmp_path / "rows.bin", Format.PARQUET, threading.Event()) == 3


def test_counting_stops_when_nobody_needs_it(tmp_path: Path) -> None:
    (path := tmp_path / "a.jsonl").write_bytes(b"{}\n")
    (stop := threading.Event()).set()
    assert count_rows(path, None, stop) is None
