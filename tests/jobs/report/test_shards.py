"""The report of a folder of journals leaves out what is damaged, and says so."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from segmind_async._jobs.journal.journal import Journal
from segmind_async._jobs.journal.record import Record
from segmind_async._jobs.report.shards import read_shards

ANSWER = b'{"choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}]}'


async def write(path: Path, rows: int) -> None:
    with Journal(path, {"model": "m"}) as journal:
        for row in range(rows):
            await journal.keep(Record(f"id {row}", b"d", "ok", units=1, attempts=1, at=1.0, raw=ANSWER))


@pytest.mark.parametrize(
    ("damage", "ok", "state"),
    [
        pytest.param("UPDATE rows SET units = 7 WHERE number = 2", 4, "1 damaged rows left out", id="row"),
        pytest.param(
            "UPDATE rows SET message = CAST(x'ff' AS TEXT) WHERE number = 2", 4, "1 damaged rows left out",
            id="no-text",
        ),
        pytest.param("UPDATE answers SET raw = x'00' WHERE number = 2", 5, "shards finished", id="answer"),
        pytest.param("DROP TABLE samples", 2, "1 journals cannot be read", id="table"),
    ],
)  # fmt: skip
async def test_what_is_damaged_is_left_out_and_counted(
    damage: str, ok: int, state: str, tmp_path: Path
) -> None:
    await write(tmp_path / "a.journal", 3)
    await write(tmp_path / "b.journal", 2)
    with closing(sqlite3.connect(tmp_path / "a.journal")) as database, database:
        database.execute(damage)
    report = read_shards(tmp_path)
    assert report.counts["ok"] == ok
    assert report.state.endswith(state)
