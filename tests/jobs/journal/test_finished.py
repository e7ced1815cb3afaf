"""Look-ups of finished rows: what they find, under which key, and that no commit delays them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from segmind_async._jobs.journal.commit_thread import wait_for
from segmind_async._jobs.journal.finished import Asked, FinishedRows
from segmind_async._jobs.journal.journal import Journal
from segmind_async._jobs.journal.record import Record
from tests.jobs.journals import look_up


def record(n: int, status: str = "ok", **more: Any) -> Record:
    return Record(f"id {n}", b"d%d" % n, status, units=n, seconds=0.5, raw=b"raw %d" % n, **more)


async def test_a_row_is_found_once_it_was_committed_and_refreshed(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", {}) as journal, closing(await FinishedRows.open(tmp_path / "j")) as finished:
        assert repr(finished) == "FinishedRows(last=0)"
        await journal.keep(record(1))
        assert await look_up(finished, ("id 1", b"d1")) == [("id 1", None, None, 1, False)]
        await finished.refresh()
        await finished.begin_pass()
        (one,) = await look_up(finished, ("id 1", b"d1"))
        assert one.record is not None
        assert (one.record.raw, one.record.number, one.occurrence) == (b"raw 1", 1, 1)
        assert repr(finished) == "FinishedRows(last=1)"


async def test_without_answers_a_record_has_what_a_report_and_an_estimate_need(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", {}) as journal:
        await journal.keep(record(1, "failed", error_type="ServerError", message="m", label="a", truth="b"))
        with closing(await FinishedRows.open(tmp_path / "j")) as finished:
            (one,) = await finished.look_up([Asked("id 1", b"d1")])
    assert one.record == Record(
        "id 1", b"d1", "failed", "ServerError", "m", units=1, seconds=0.5, label="a", truth="b", number=1
    )


async def test_the_latest_record_of_a_key_counts(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", {}) as journal, closing(await FinishedRows.open(tmp_path / "j")) as finished:
        await journal.keep(record(1, "failed"))
        await finished.refresh()
        await journal.keep(record(1, replaces=1))
        await finished.refresh()
        (one,) = await look_up(finished, ("id 1", b"d1"))
    assert one.record is not None
    assert (one.record.status, one.record.number) == ("ok", 2)


async def test_a_row_that_is_replaced_meanwhile_is_not_damaged(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", {}) as journal:
        await journal.keep(record(1, "failed"))
        with closing(await FinishedRows.open(tmp_path / "j")) as finished:
            await journal.keep(record(1, replaces=1))
            (one,) = await look_up(finished, ("id 1", b"d1"))
    assert one.record is not None
    assert (one.record.status, one.record.number) == ("failed", 1)


@pytest.mark.parametrize(
    ("status", "has_answer", "is_found"),
    [
        pytest.param("ok", True, True, id="ok"),
        pytest.param("ok", False, False, id="its answer was taken out"),
        pytest.param("failed", True, False, id="failed"),
    ],
)
async def test_what_was_replaced_is_found_by_its_request_if_it_was_answered(
    tmp_path: Path, status: str, has_answer: bool, is_found: bool
) -> None:
    with Journal(tmp_path / "j", {}) as journal:
        await journal.keep(record(1, status))
        await journal.keep(Record("id 1", b"other", "ok", raw=b"new", replaces=1))
        if not has_answer:
            await wait_for(
                journal._writer.submit(
                    lambda database: database.execute("DELETE FROM answers WHERE number = 1")
                )
            )
        with closing(await FinishedRows.open(tmp_path / "j")) as finished:
            (one,) = await finished.look_up([Asked("id 1", b"d1")])
    assert ((one.record is not None), one.returns) == (is_found, is_found)
    assert one.other is not None
    assert one.other.number == 2


async def test_the_second_row_of_a_name_has_a_key_of_its_own(tmp_path: Path) -> None:
    Journal(tmp_path / "j", {}).close()
    with closing(await FinishedRows.open(tmp_path / "j")) as finished:
        names = ["id a", "id a", "id a (2)", "id #2 a", "request a", "id a"]
        keys = [one.key for one in await look_up(finished, *((name, b"d") for name in names))]
        assert keys == ["id a", "id#2 a", "id a (2)", "id #2 a", "request a", "id#3 a"]
        shared = await finished.look_up([Asked(name, b"d") for name in ("id a", "x", "x")], shared=True)
        assert [(one.key, one.occurrence) for one in shared] == [("id a", 4), ("x", 1), ("x", 2)]
        await finished.begin_pass()
        assert await look_up(finished, ("id a", b"d")) == [("id a", None, None, 1, False)]


async def test_no_commit_delays_a_look_up(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", {}) as journal:
        await journal.keep(record(1))
        await wait_for(journal.flush())
    with (
        closing(await FinishedRows.open(tmp_path / "j")) as finished,
        closing(sqlite3.connect(tmp_path / "j", isolation_level=None)) as writer,
    ):
        writer.execute("BEGIN EXCLUSIVE")  # as during a commit, for as long as the disk takes
        (one,) = await finished.look_up([Asked("id 1", b"d1")])
        assert one.record is not None
        with (
            closing(sqlite3.connect(tmp_path / "j", timeout=0)) as other,
            pytest.raises(sqlite3.OperationalError, match="locked"),
        ):
            other.execute("SELECT * FROM rows")
        writer.execute("ROLLBACK")


async def test_a_journal_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(sqlite3.OperationalError):
        await FinishedRows.open(tmp_path / "j")
    assert not (tmp_path / "j").exists()
