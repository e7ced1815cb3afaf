"""What is on the disk stays there: journals that are locked, foreign, damaged, full or torn."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import segmind_async as sa
from segmind_async.jobs import journal as module
from segmind_async.jobs.journal import Journal, JournalError, Record

SETTINGS = {"model": "m", "prompt": None, "labels": ["a", "b"]}


def record(n: int, status: str = "ok") -> Record:
    return Record(f"id {n}", b"d%d" % n, status, b'{"text":"%d"}' % n)


def test_what_is_kept_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path, SETTINGS) as journal:
        for future in [journal.keep(record(n)) for n in range(200)]:
            future.result()
        journal.keep(record(7, "failed")).result()
        journal.note("state", {"rate": 5.5}).result()
        assert repr(journal) == f"Journal({str(path)!r})"
    with Journal(path, SETTINGS) as journal:
        assert journal.counts().result() == {"ok": 199, "failed": 1}
        assert journal.finished(["id 3", "id 7", "id x"]).result() == {
            "id 3": record(3),
            "id 7": record(7, "failed"),
        }
        assert journal.finished([]).result() == {}
        assert journal.noted("state").result() == {"rate": 5.5}
        assert journal.noted("nothing").result() is None
        journal.drop("failed").result()
        assert journal.counts().result() == {"ok": 199}
        journal.close()
        journal.close()


def test_occurrences_are_counted_within_one_run(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", SETTINGS) as journal:
        assert journal.occurrences(["a", "b", "a"]).result() == [1, 1, 2]
        assert journal.occurrences(["a"]).result() == [3]
        journal.forget_occurrences().result()
        assert journal.occurrences(["a"]).result() == [1]
    with Journal(tmp_path / "j", SETTINGS) as journal:
        assert journal.occurrences(["a"]).result() == [1]


def test_a_second_process_is_refused_and_told_who_works(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path, SETTINGS):
        script = f"from segmind_async.jobs.journal import *\nJournal(Path({str(path)!r}), {SETTINGS!r})"
        got = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert got.returncode == 1
        assert f"JournalError: process {os.getpid()} is working on this journal" in got.stderr
    Journal(path, SETTINGS).close()


@pytest.mark.parametrize(("name", "value"), [("model", "other"), ("prompt", "p"), ("labels", ["a"])])
def test_another_job_is_refused_with_the_setting_that_differs(
    tmp_path: Path, name: str, value: object
) -> None:
    Journal(tmp_path / "j", SETTINGS).close()
    with pytest.raises(JournalError, match=f"with {name}=.*and now {name}=") as caught:
        Journal(tmp_path / "j", {**SETTINGS, name: value})
    assert isinstance(caught.value, sa.ConfigurationError)
    Journal(tmp_path / "j", SETTINGS).close()


def test_a_foreign_file_is_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("my notes " * 1000)
    with pytest.raises(JournalError, match="not a database"):
        Journal(text, SETTINGS)
    assert text.read_text() == "my notes " * 1000
    database = tmp_path / "other.db"
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE t (x)")
    connection.commit()
    connection.close()
    with pytest.raises(JournalError, match="no journal of a job"):
        Journal(database, SETTINGS)


def test_a_newer_version_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "VERSION", 99)
    Journal(tmp_path / "j", SETTINGS).close()
    monkeypatch.undo()
    with pytest.raises(JournalError, match="has version 99, this release writes 1"):
        Journal(tmp_path / "j", SETTINGS)


def test_a_journal_cut_anywhere_is_whole_or_refused(tmp_path: Path) -> None:
    path, cut = tmp_path / "j", tmp_path / "cut"
    with Journal(path, SETTINGS) as journal:
        for n in range(300):
            journal.keep(record(n))
    size, chance = path.stat().st_size, random.Random(1)
    for length in sorted({0, 1, 100, size - 1, *(chance.randrange(size) for _ in range(60))}):
        shutil.copy(path, cut)
        os.truncate(cut, length)
        try:
            with Journal(cut, SETTINGS) as journal:
                assert length == 0, "a torn journal passed for a whole one"
                assert journal.counts().result() == {}
        except JournalError as error:
            assert str(cut) in str(error)


def test_a_damaged_page_is_found(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path, SETTINGS) as journal:
        for n in range(3000):
            journal.keep(record(n))
    data = bytearray(path.read_bytes())
    data[8192:12288] = bytes(4096)
    path.write_bytes(data)
    with pytest.raises(JournalError, match=r"is damaged|cannot be used"):
        Journal(path, SETTINGS)


@pytest.mark.parametrize("nth", [1, 2, 5])
def test_a_write_that_fails_is_told_to_whoever_waits_and_to_nobody_else(tmp_path: Path, nth: int) -> None:
    class Failing(sqlite3.Connection):
        commits = 0

        def commit(self) -> None:
            Failing.commits += 1
            if Failing.commits == nth + 2:  # after those of opening
                raise sqlite3.OperationalError("database or disk is full")
            super().commit()

    real = sqlite3.connect
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite3, "connect", lambda path, **options: real(path, factory=Failing, **options))
        with Journal(tmp_path / "j", SETTINGS) as journal:
            kept: list[int] = []
            lost: list[int] = []
            for n in range(10):
                future = journal.keep(record(n))
                (lost if future.exception() else kept).append(n)
    assert len(lost) == 1
    with Journal(tmp_path / "j", SETTINGS) as journal:
        found = journal.finished([f"id {n}" for n in range(10)]).result()
    assert sorted(found) == sorted(f"id {n}" for n in kept)


def test_a_question_that_fails_hurts_no_other(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", SETTINGS) as journal:
        bad = journal.keep(Record("k", b"", "ok", object()))  # type: ignore[arg-type]
        good = journal.keep(record(1))
        assert isinstance(bad.exception(), sqlite3.Error)
        assert good.result() is None
        cancelled = journal.keep(record(2))
        cancelled.cancel()
        assert journal.counts().result()["ok"] >= 1


@pytest.mark.parametrize(
    ("version", "safe"),
    [((3, 40, 1), False), ((3, 44, 5), False), ((3, 44, 6), True), ((3, 45, 0), False), ((3, 50, 7), True), ((3, 51, 2), False), ((3, 51, 3), True), ((3, 60, 0), True), ((4, 0, 0), True)],
)  # fmt: skip
def test_where_wal_is_safe(version: tuple[int, ...], safe: bool) -> None:
    assert module._wal_is_safe(version) is safe


def test_it_works_with_wal_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_wal_is_safe", lambda _version: True)
    with Journal(tmp_path / "j", SETTINGS) as journal:
        journal.keep(record(1)).result()
    with Journal(tmp_path / "j", SETTINGS) as journal:
        assert journal.counts().result() == {"ok": 1}


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        Journal(tmp_path / "missing" / "j", SETTINGS)
