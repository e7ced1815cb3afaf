"""What is on the disk stays there: journals that are locked, foreign, damaged, full or torn."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import segmind_async as sa
from segmind_async._jobs.journal import commit_thread as writer
from segmind_async._jobs.journal import journal as module
from segmind_async._jobs.journal import lock, tables
from segmind_async._jobs.journal.commit_thread import wait_for
from segmind_async._jobs.journal.finished import FinishedRows
from segmind_async._jobs.journal.journal import Journal
from segmind_async._jobs.journal.journal_error import JournalError
from segmind_async._jobs.journal.reader import JournalReader
from segmind_async._jobs.journal.record import Record
from tests.jobs.journals import look_up

SETTINGS = {"model": "m", "prompt": None, "labels": ["a", "b"]}


def record(n: int, status: str = "ok", **more: Any) -> Record:
    return Record(f"id {n}", b"d%d" % n, status, units=n, raw=b'{"text":"%d"}' % n, **more)


def counts(journal: Journal) -> Future[dict[str, int]]:
    query = "SELECT status, count(*) FROM rows WHERE NOT replaced GROUP BY status"
    return journal._writer.submit(lambda database: dict(database.execute(query).fetchall()))


async def found(journal: Journal, *numbers: int) -> dict[int, Record]:
    await wait_for(journal.flush())
    with closing(await FinishedRows.open(journal.path)) as finished:
        looked_up = await look_up(finished, *((f"id {n}", b"d%d" % n) for n in numbers))
    return {n: one.record for n, one in zip(numbers, looked_up, strict=True) if one.record is not None}


async def test_what_is_kept_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path, SETTINGS) as journal:
        for kept in [journal.keep(record(n)) for n in range(200)]:
            await kept
        journal.set_fact("state", {"rate": 5.5})
        assert repr(journal) == f"Journal({str(path)!r})"
        assert await found(journal, 3, 999) == {3: replace(record(3), number=4)}
    with Journal(path, SETTINGS) as journal:
        assert await wait_for(counts(journal)) == {"ok": 200}
        assert await wait_for(journal.spent()) == sum(range(200))
        assert await wait_for(journal.fact("state")) == {"rate": 5.5}
        assert await wait_for(journal.fact("nothing")) is None
        assert await found(journal) == {}
        journal.close()
        journal.close()
        with pytest.raises(ValueError, match="closed"):
            counts(journal)
        assert "closed" in repr(journal._writer)


async def test_the_last_record_of_a_row_counts_and_what_it_cost_before_is_not_forgotten(
    tmp_path: Path,
) -> None:
    with Journal(tmp_path / "j", SETTINGS) as journal:
        await journal.keep(record(7, "failed", error_type="ServerError"))
        (first,) = (await found(journal, 7)).values()
        await journal.keep(replace(record(7), replaces=first.number))
        (second,) = (await found(journal, 7)).values()
        assert (first.status, second.status) == ("failed", "ok")
        assert await wait_for(counts(journal)) == {"ok": 1}
        assert await wait_for(journal.spent()) == 14
    with Journal(tmp_path / "j", SETTINGS) as journal:
        assert await found(journal, 7) == {7: second}
    with JournalReader(tmp_path / "j") as reader:
        assert [each.status for each in reader.rows()] == ["ok"]
        assert str(reader.totals().spent) == "1.4E-9"


async def test_submissions_end_with_the_row_that_they_were_made_for(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", SETTINGS) as journal:
        for n in range(3):
            await journal.submitted(f"request {n}", b"digest", 100.0 - n)
        await journal.keep(record(1), "request 1")
        journal.forget_submission("request 2")
    with Journal(tmp_path / "j", SETTINGS) as journal:
        assert await wait_for(journal.submissions()) == [("request 0", b"digest", 100.0)]


@pytest.mark.slow
def test_a_second_process_is_refused_and_told_who_works(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path, SETTINGS), JournalReader(path) as reader:
        script = f"from pathlib import Path\nfrom segmind_async._jobs.journal.journal import Journal\nJournal(Path({str(path)!r}), {SETTINGS!r})"
        got = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert got.returncode == 1
        assert f"JournalError: process {os.getpid()} is working on this journal" in got.stderr
        assert reader.owner == f"process {os.getpid()}"
    with JournalReader(path) as reader:
        assert reader.owner is None
    Journal(path, SETTINGS).close()


@pytest.mark.parametrize(("name", "value"), [("model", "other"), ("prompt", "p"), ("labels", ["a"])])
async def test_another_job_is_refused_with_the_setting_that_differs(
    tmp_path: Path, name: str, value: object
) -> None:
    with Journal(tmp_path / "j", SETTINGS) as journal:
        await journal.keep(record(1))
    with pytest.raises(JournalError, match=f"with {name}=.*and now {name}=") as caught:
        Journal(tmp_path / "j", {**SETTINGS, name: value})
    assert isinstance(caught.value, sa.ConfigurationError)
    Journal(tmp_path / "j", SETTINGS).close()


async def test_a_setting_that_did_not_exist_when_the_job_began_was_off(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", SETTINGS) as journal:
        await journal.keep(record(1))
    Journal(tmp_path / "j", {**SETTINGS, "new": False, "newer": None}).close()
    with pytest.raises(JournalError, match="with new=None, and now new=True"):
        Journal(tmp_path / "j", {**SETTINGS, "new": True})


def opens(path: Path) -> None:
    Journal(path, SETTINGS).close()


def reads(path: Path) -> None:
    JournalReader(path).close()


@pytest.mark.parametrize("use", [opens, reads])
def test_a_foreign_file_is_left_alone(tmp_path: Path, use: Callable[[Path], None]) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("my notes " * 1000)
    with pytest.raises(JournalError, match="not a database"):
        use(text)
    assert text.read_text() == "my notes " * 1000
    database = tmp_path / "other.db"
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE t (x)")
    connection.commit()
    connection.close()
    with pytest.raises(JournalError, match="not the journal of a job"):
        use(database)


@pytest.mark.parametrize("use", [opens, reads])
def test_another_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(tables, "VERSION", 99)
    Journal(tmp_path / "j", SETTINGS).close()
    monkeypatch.undo()
    with pytest.raises(JournalError, match="has version 99, this release writes 7"):
        use(tmp_path / "j")


def test_a_journal_that_is_not_there_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="there is no journal"):
        JournalReader(tmp_path / "j")


async def test_a_reader_sees_what_a_writer_has_kept_while_it_writes(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", SETTINGS) as journal:
        await journal.keep(record(1, attempts=2, in_doubt=1))
        await wait_for(journal.sample(5.0, {"ok": 1}))
        with JournalReader(tmp_path / "j") as reader:
            assert repr(reader).startswith("JournalReader(")
            assert [each.raw for each in reader.rows()] == [None]
            await journal.keep(record(2, "failed"))
            assert [each.raw for each in reader.rows(raw=True)] == [b'{"text":"1"}', b'{"text":"2"}']
            assert reader.counts() == {"ok": 1, "failed": 1}
            totals = reader.totals()
            assert (totals.attempts, totals.in_doubt, totals.unpriced) == (2, 1, 0)
            assert str(totals.spent) == "3E-10"
            assert reader.settings() == SETTINGS
            assert reader.fact("state") is None
            assert [(each.at, each.facts) for each in reader.samples()] == [(5.0, {"ok": 1})]


@pytest.mark.slow
async def test_a_journal_cut_anywhere_in_its_last_page_is_refused(tmp_path: Path) -> None:
    path, cut = tmp_path / "j", tmp_path / "cut"
    with Journal(path, SETTINGS) as journal:
        for n in range(100):
            await journal.keep(record(n))
    size = path.stat().st_size
    lengths = [*range(size - 4096, size, 5), *range(1, size - 4096, 997)]
    whole = path.read_bytes()
    for length in lengths:
        cut.write_bytes(whole[:length])
        with pytest.raises(JournalError, match="cut"):
            Journal(cut, SETTINGS)
    cut.write_bytes(whole)
    with Journal(cut, SETTINGS) as journal:
        assert await wait_for(counts(journal)) == {"ok": 100}


@pytest.mark.slow
async def test_a_damaged_page_is_found(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path, SETTINGS) as journal:
        for kept in [journal.keep(record(n)) for n in range(3000)]:
            await kept
    data = bytearray(path.read_bytes())
    data[8192:12288] = bytes(4096)
    path.write_bytes(data)
    with pytest.raises(JournalError, match=r"is damaged|cannot be used"):
        Journal(path, SETTINGS)


class Failing(sqlite3.Connection):
    """A connection of which the N-th statement or commit fails, and as many after it."""

    plan: range
    at: str
    seen = 0

    def _may(self, what: str) -> None:
        if what == Failing.at:
            Failing.seen += 1
            if Failing.seen in Failing.plan:
                raise sqlite3.OperationalError("database or disk is full")

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        if statement.startswith(("INSERT INTO rows", "INSERT INTO answers")):
            self._may("write")
        return super().execute(statement, *values)

    def commit(self) -> None:
        self._may("commit")
        super().commit()


def failing(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level="DEFERRED", factory=Failing)


@pytest.mark.parametrize("at", ["write", "commit"])
@pytest.mark.parametrize("nth", [3, *(pytest.param(n, marks=pytest.mark.slow) for n in range(4, 12))])
async def test_a_commit_that_fails_once_is_made_in_the_room_of_the_reserve(
    tmp_path: Path, at: str, nth: int
) -> None:
    path = tmp_path / "j"
    Failing.at, Failing.plan, Failing.seen = at, range(nth, nth + 1), 0
    with Journal(path, SETTINGS, connect=failing) as journal:
        assert path.with_name("j.reserve").stat().st_size == writer.RESERVE
        for n in range(12):
            await journal.keep(record(n))
        assert isinstance(journal.commit_error, sqlite3.OperationalError), "who sends must hear of it"
        assert not path.with_name("j.reserve").exists()
    with Journal(path, SETTINGS) as journal:
        assert len(await found(journal, *range(12))) == 12
        assert journal.commit_error is None


@pytest.mark.slow
@pytest.mark.parametrize("at", ["write", "commit"])
@pytest.mark.parametrize("nth", range(3, 9))
async def test_a_commit_that_fails_again_is_told_to_who_waits_and_spoils_nothing_else(
    tmp_path: Path, at: str, nth: int
) -> None:
    path = tmp_path / "j"
    Failing.at, Failing.plan, Failing.seen = at, range(nth, nth + 2), 0
    kept, lost = [], []
    with Journal(path, SETTINGS, connect=failing) as journal:
        for n in range(12):
            try:
                await journal.keep(record(n))
                kept.append(n)
            except sqlite3.OperationalError:
                lost.append(n)
    assert len(lost) == 1
    with Journal(path, SETTINGS) as journal:
        assert sorted(await found(journal, *range(12))) == kept


async def test_a_question_that_fails_hurts_no_other(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", SETTINGS) as journal:
        bad = journal.keep(Record("k", b"", "ok", object()))  # type: ignore[arg-type]
        good = journal.keep(record(1))
        with pytest.raises(sqlite3.Error):
            await bad
        await good
        given_up = journal.keep(record(2))
        given_up.cancel()
        looking = counts(journal)
        looking.cancel()
        assert sorted(await found(journal, 1, 2)) == [1, 2], (
            "given up by who waited, and written all the same"
        )
        assert journal.commit_error is None


async def test_rows_that_were_written_before_one_of_their_group_failed_are_written_once(
    tmp_path: Path,
) -> None:
    held = threading.Event()
    with Journal(tmp_path / "j", SETTINGS) as journal:
        journal._writer.submit(lambda _database: held.wait(10))
        good = [journal.keep(record(n)) for n in (1, 2)]
        # The third of a group is written by a statement of its own.
        bad = journal.keep(Record("k", b"", "ok", object()))  # type: ignore[arg-type]
        held.set()
        for one in good:
            await one
        with pytest.raises(sqlite3.Error):
            await bad
        assert sorted(await found(journal, 1, 2)) == [1, 2]
        assert await wait_for(counts(journal)) == {"ok": 2}


def test_what_was_asked_before_the_end_is_done_although_its_loop_has_ended(tmp_path: Path) -> None:
    import asyncio

    held = threading.Event()
    journal = Journal(tmp_path / "j", SETTINGS)
    journal._writer.submit(lambda _database: held.wait(10))

    async def keep() -> None:
        for n in range(100):
            journal.keep(record(n))

    asyncio.run(keep())
    held.set()
    journal.close()
    with JournalReader(tmp_path / "j") as reader:
        assert reader.counts() == {"ok": 100}


def test_a_disk_without_room_to_begin_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_file: int, _from: int, _length: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space left"):
        Journal(tmp_path / "j", SETTINGS)
    monkeypatch.undo()
    Journal(tmp_path / "j", SETTINGS).close()


@pytest.mark.parametrize(
    ("version", "safe"),
    [((3, 40, 1), False), ((3, 44, 5), False), ((3, 44, 6), True), ((3, 45, 0), False), ((3, 50, 7), True), ((3, 51, 2), False), ((3, 51, 3), True), ((3, 60, 0), True), ((4, 0, 0), True)],
)  # fmt: skip
def test_where_wal_is_safe(version: tuple[int, ...], safe: bool) -> None:
    assert module._wal_is_safe(version) is safe


@pytest.mark.parametrize(("kind", "mode"), [("ext4", "wal"), ("nfs4", "delete"), ("fuse.sshfs", "delete")])
async def test_wal_is_used_where_it_is_safe_and_never_over_a_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, mode: str
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"root / ext4 rw 0 0\nhost {tmp_path} {kind} rw 0 0\nproc /proc proc rw 0 0\n")
    monkeypatch.setattr(lock, "_MOUNTS", mounts)
    monkeypatch.setattr(module, "_wal_is_safe", lambda _version: True)
    with Journal(tmp_path / "j", SETTINGS) as journal:
        await journal.keep(record(1))
    shutil.copy(tmp_path / "j", tmp_path / "copy")
    connection = sqlite3.connect(tmp_path / "copy")
    assert connection.execute("PRAGMA journal_mode").fetchone() == (mode,)
    connection.close()
    with Journal(tmp_path / "j", SETTINGS) as journal:
        assert await wait_for(counts(journal)) == {"ok": 1}
    monkeypatch.setattr(lock, "_MOUNTS", tmp_path / "missing")
    assert lock.is_on_network(tmp_path), "where nothing can be found out, the careful way"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        Journal(tmp_path / "missing" / "j", SETTINGS)


async def test_a_disk_that_takes_nothing_at_all_is_told_and_nobody_waits_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(_path: Path, **_: object) -> None:
        raise OSError(30, "Read-only file system")

    Failing.at, Failing.plan, Failing.seen = "commit", range(2, 10_000), 0
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", read_only)
        with Journal(tmp_path / "j", SETTINGS, connect=failing) as journal:
            with pytest.raises(sqlite3.OperationalError):
                await journal.keep(record(1))
            with pytest.raises(sqlite3.OperationalError):
                await journal.keep(record(2))
            assert isinstance(journal.commit_error, sqlite3.OperationalError)
    with pytest.raises(ValueError, match="closed"):
        journal.keep(record(3))


def test_of_many_who_lock_and_let_go_one_holds_it_at_a_time(tmp_path: Path) -> None:
    path, held, most = tmp_path / "j.lock", 0, 0

    def work() -> int:
        nonlocal held, most
        taken = 0
        for _ in range(300):
            one = lock.Lock(path)
            if one.take() is None:
                held += 1
                most = max(most, held)
                taken += 1
                held -= 1
                one.release()
        return taken

    with ThreadPoolExecutor(8) as pool:
        taken = sum(future.result() for future in [pool.submit(work) for _ in range(8)])
    assert taken
    assert most == 1
    assert not path.exists()
