"""The index of what all shards have answered: each row is read into it once, and it never says what is not so."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
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

FOREIGN = b"no database, but long enough to be read as one" * 90


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


def other_tables(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as database:
        database.executescript("CREATE TABLE answers (x); CREATE TABLE journals (x)")


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda path: path.write_bytes(FOREIGN), id="no-database"),
        pytest.param(other_tables, id="other-tables"),
        pytest.param(lambda path: path.write_bytes(path.read_bytes()[:-100]), id="cut"),
        pytest.param(
            lambda path: path.write_bytes(path.read_bytes()[:4096] + FOREIGN * 8), id="broken-pages"
        ),
        pytest.param(lambda path: path.write_bytes(b""), id="empty"),
    ],
)
async def test_an_index_that_is_damaged_or_foreign_is_made_anew(
    spoil: Callable[[Path], object], tmp_path: Path
) -> None:
    await write(tmp_path / "a.journal", "1", "2")
    with AnswerIndex(tmp_path) as index:
        index.begin(tmp_path / "a.journal")
        index.finish(tmp_path / "a.journal")
    spoil(tmp_path / NAME)
    await write(tmp_path / "b.journal", "3")
    with AnswerIndex(tmp_path) as index:
        index.begin(tmp_path / "b.journal")
        index.refresh()
        assert found(index, "1", "2", "3") == {"1": "a 1", "2": "a 2", "3": "b 3"}
        index.finish(tmp_path / "b.journal")


async def test_an_index_that_is_damaged_is_not_deleted_where_a_new_one_stands(tmp_path: Path) -> None:
    await write(tmp_path / "a.journal", "1")
    with AnswerIndex(tmp_path) as index:
        index.refresh()
        spare = (tmp_path / NAME).read_bytes()
        (tmp_path / NAME).rename(tmp_path / "spare")
        (tmp_path / "spare").write_bytes(FOREIGN * 8)
        (tmp_path / NAME).write_bytes(spare)
        before = (tmp_path / NAME).stat().st_ino
        assert found(index, "1") == {"1": "a 1"}
        assert (tmp_path / NAME).stat().st_ino == before


async def test_an_index_that_another_process_makes_anew_is_opened_again(
    index: AnswerIndex, tmp_path: Path
) -> None:
    await write(tmp_path / "a.journal", "1")
    index.finish(tmp_path / "a.journal")
    (tmp_path / NAME).unlink()
    with AnswerIndex(tmp_path) as other:
        other.begin(tmp_path / "a.journal")
        index.begin(tmp_path / "b.journal")
        assert index.refresh() == 0
        assert found(other, "1") == found(index, "1") == {"1": "a 1"}


def foreign_database(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE other (value)")


UNREADABLE = [
    pytest.param(lambda path: path.write_bytes(FOREIGN), id="no-database"),
    pytest.param(foreign_database, id="another-database"),
    pytest.param(lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]), id="torn"),
]


@pytest.mark.parametrize("spoil", UNREADABLE)
async def test_a_journal_that_cannot_be_read_is_passed_over_and_named(
    spoil: Callable[[Path], object], index: AnswerIndex, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await write(tmp_path / "a.journal", "1")
    await write(tmp_path / "b.journal", "2")
    spoil(tmp_path / "a.journal")
    assert index.refresh() == 1
    assert found(index, "1", "2") == {"2": "b 2"}
    assert "a journal is passed over" in caplog.text
    assert "a.journal" in caplog.text


@pytest.mark.parametrize("spoil", UNREADABLE)
async def test_of_a_journal_that_cannot_be_read_any_more_others_have_the_copies(
    spoil: Callable[[Path], object], index: AnswerIndex, tmp_path: Path
) -> None:
    await write(tmp_path / "a.journal", "1", "2")
    await write(tmp_path / "b.journal", "2")
    index.finish(tmp_path / "a.journal")
    index.finish(tmp_path / "b.journal")
    whole = (tmp_path / "a.journal").read_bytes()
    spoil(tmp_path / "a.journal")
    assert found(index, "1", "2") == {"2": "b 2"}
    (tmp_path / "a.journal").write_bytes(whole)
    index.refresh()
    assert found(index, "1", "2") == {"1": "a 1", "2": "b 2"}


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param("UPDATE answers SET raw = x'7b7d' WHERE number = 1", id="answer"),
        pytest.param("UPDATE rows SET units = 7 WHERE number = 1", id="row"),
        pytest.param("UPDATE rows SET message = CAST(x'ff' AS TEXT) WHERE number = 1", id="no-text"),
    ],
)
async def test_a_damaged_record_is_none_until_it_is_answered_again(
    damage: str, index: AnswerIndex, read: list[int], tmp_path: Path
) -> None:
    await write(tmp_path / "a.journal", "1", "2")
    index.finish(tmp_path / "a.journal")
    with closing(sqlite3.connect(tmp_path / "a.journal")) as database, database:
        database.execute(damage)
    assert found(index, "1", "2") == {"2": "a 2"}
    await write(tmp_path / "b.journal", "1")
    index.finish(tmp_path / "b.journal")
    assert found(index, "1", "2") == {"1": "b 1", "2": "a 2"}
    assert read == [2, 1], "the others are not read again"


async def test_a_journal_of_another_release_is_not_passed_over(index: AnswerIndex, tmp_path: Path) -> None:
    await write(tmp_path / "a.journal", "1")
    index.finish(tmp_path / "a.journal")
    index.begin(tmp_path / "a.journal")
    with closing(sqlite3.connect(tmp_path / "a.journal")) as database:
        database.execute("PRAGMA user_version = 6")
    for used in (index.refresh, lambda: index.find([b"1"])):
        with pytest.raises(sa.JournalError, match="has version 6, this release writes"):
            used()


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
