"""The index of what all shards have answered: each row is read into it once, and it never says what is not so."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

import segmind_async as sa
from segmind_async._jobs.journal.journal import Journal
from segmind_async._jobs.journal.reader import JournalReader
from segmind_async._jobs.journal.record import Record
from segmind_async.emulator import Emulator
from segmind_async.engines import read_folder, run_shard
from segmind_async.engines._index import NAME, AnswerIndex

from .test_shards import job, run_all, texts


async def write(path: Path, *digests: str, status: str = "ok") -> None:
    with Journal(path, {}) as journal:
        for digest in digests:
            raw = f"{path.stem} {digest}".encode() if status == "ok" else None
            await journal.keep(Record(f"request {digest}", digest.encode(), status, raw=raw))


def found(index: AnswerIndex, *digests: str) -> dict[str, str]:
    """Return statuses or answers by digest."""
    records = index.find([digest.encode() for digest in digests])
    return {record.digest.decode(): (record.raw or record.status.encode()).decode() for record in records}


@pytest.fixture
def index(tmp_path: Path) -> Iterator[AnswerIndex]:
    with AnswerIndex(tmp_path) as opened:
        yield opened


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows each journal was read for, one after the other."""
    counts: list[int] = []
    original = JournalReader.digests

    def counted(self: JournalReader, after: int, last: int) -> Iterator[tuple[int, bytes, str]]:
        entries = list(original(self, after, last))
        counts.append(len(entries))
        return iter(entries)

    monkeypatch.setattr(JournalReader, "digests", counted)
    return counts


async def test_each_row_is_read_once_and_a_finished_journal_is_not_opened(
    index: AnswerIndex, read: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write(tmp_path / "a.journal", "1", "2")
    index.begin(tmp_path / "a.journal")
    assert (index.refresh(), index.refresh()) == (2, 0)
    await write(tmp_path / "a.journal", "3")
    assert index.refresh() == 1
    index.finish(tmp_path / "a.journal")
    monkeypatch.setattr(JournalReader, "last", lambda _: pytest.fail("a finished journal was read"))
    assert index.refresh() == 0
    monkeypatch.undo()
    assert found(index, "1", "3", "4") == {"1": "a 1", "3": "a 3"}
    assert read == [2, 1]


async def test_a_finished_journal_that_is_begun_again_is_looked_into(
    index: AnswerIndex, tmp_path: Path
) -> None:
    await write(tmp_path / "a.journal", "1", status="failed")
    index.finish(tmp_path / "a.journal")
    assert found(index, "1") == {"1": "failed"}
    index.begin(tmp_path / "a.journal")
    await write(tmp_path / "a.journal", "1")
    assert index.refresh() == 1
    assert found(index, "1") == {"1": "a 1"}


async def test_a_record_that_replaces_another_stands_for_it(
    index: AnswerIndex, read: list[int], tmp_path: Path
) -> None:
    await write(tmp_path / "a.journal", "1", status="failed")
    index.refresh()
    with Journal(tmp_path / "a.journal", {}) as journal:
        await journal.keep(Record("request 1", b"1", "failed", message="again", replaces=1))
    index.refresh()
    assert [record.message for record in index.find([b"1"])] == ["again"]
    assert read == [1, 1]


@pytest.mark.parametrize("names", ["ab", "ba"])
async def test_an_answer_counts_more_than_a_failure(names: str, index: AnswerIndex, tmp_path: Path) -> None:
    for name, status in zip(names, ("ok", "failed"), strict=True):
        await write(tmp_path / f"{name}.journal", "1", status=status)
    index.refresh()
    assert found(index, "1") == {"1": f"{names[0]} 1"}


async def test_a_journal_that_is_deleted_leaves_the_answers_of_others(
    index: AnswerIndex, tmp_path: Path
) -> None:
    await write(tmp_path / "a.journal", "1", "2")
    await write(tmp_path / "b.journal", "2")
    index.finish(tmp_path / "a.journal")
    index.finish(tmp_path / "b.journal")
    (tmp_path / "a.journal").unlink()
    index.refresh()
    assert found(index, "1", "2") == {"2": "b 2"}


async def test_a_journal_that_was_exchanged_is_read_anew(index: AnswerIndex, tmp_path: Path) -> None:
    await write(tmp_path / "a.journal", "1", "2")
    index.finish(tmp_path / "a.journal")
    (tmp_path / "a.journal").unlink()
    await write(tmp_path / "a.journal", "3", "2")
    assert found(index, "1", "2") == {"2": "a 2"}
    assert found(index, "3") == {"3": "a 3"}


async def test_a_journal_that_was_begun_and_not_yet_made_is_no_deleted_one(
    index: AnswerIndex, tmp_path: Path
) -> None:
    await write(tmp_path / "a.journal", "1")
    index.finish(tmp_path / "a.journal")
    index.begin(tmp_path / "b.journal")
    (tmp_path / "c.journal").touch()
    assert index.refresh() == 0


async def test_an_index_that_is_damaged_is_named(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"no database, but long enough to be read as one" * 30)
    with pytest.raises(sa.JournalError, match=r"answers\.index' is damaged .*delete it"):
        AnswerIndex(tmp_path)


def test_an_error_leaves_the_index_as_it_was(index: AnswerIndex, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "a.journal") as database:
        database.execute("CREATE TABLE other (value)")
    database.close()
    with pytest.raises(sa.JournalError, match=r"a\.journal' is a database, but not the journal of a job"):
        index.refresh()
    (tmp_path / "a.journal").unlink()
    assert index.refresh() == 0


def test_all_shards_together_read_each_row_of_the_others_at_most_once(
    emulator: Emulator, read: list[int], tmp_path: Path
) -> None:
    shards, size = 8, 5
    run_all(texts(shards * size), size, job(tmp_path))
    # Each time into all others would be 8 * 7 / 2 * 5 rows.
    assert sum(read) == shards * size
    run_all(texts(shards * size), 2 * size, job(tmp_path))
    assert sum(read) == 2 * shards * size
    assert emulator.requests == shards * size


def test_an_index_that_is_deleted_is_made_anew(emulator: Emulator, tmp_path: Path) -> None:
    run_all(texts(6), 2, job(tmp_path))
    (path,) = tmp_path.rglob(NAME)
    path.unlink()
    assert {row["result_status"] for row in run_shard(texts(6), job(tmp_path))} == {"ok"}
    assert emulator.requests == 6
    assert read_folder(tmp_path / "journal").shards == 4
    with sqlite3.connect(next(tmp_path.rglob(NAME))) as database:
        assert database.execute("SELECT count(*) FROM answers").fetchone() == (6,)
    database.close()
