"""Code of users within a job: whatever it raises costs its own row at most."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator

import segmind_async as sa
from segmind_async._jobs.classify import Labels
from segmind_async._jobs.journal.journal import Journal
from segmind_async._jobs.journal.reader import JournalReader
from segmind_async._jobs.results import ParsedAnswer
from segmind_async._jobs.run import JobRun
from segmind_async.testing import ScriptedTransport, answer
from tests.support import KEY, client

ROWS = [{"id": f"r{n}", "prompt": "1"} for n in range(3)]


class UnspeakableError(Exception):
    """Has no text, nor anything else that may be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


def fail(_: object) -> Any:
    raise UnspeakableError


class Failing(sa.Hooks):
    def call_ended(self, event: object) -> None:
        raise UnspeakableError

    def __repr__(self) -> str:
        raise UnspeakableError


class Unprintable:
    def __str__(self) -> str:
        raise UnspeakableError

    __repr__ = __str__


async def ended(run: JobRun[Any]) -> list[sa.Outcome[Any]]:
    async with run as running:
        return sorted([outcome async for outcome in running], key=lambda outcome: outcome.index)


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(lambda: {"options": sa.JobOptions(read=fail)}, id="read"),
        pytest.param(lambda: {"options": sa.JobOptions(truth=fail)}, id="truth"),
        pytest.param(lambda: {"parse": Annotated[int, AfterValidator(fail)]}, id="validator"),
    ],
)
async def test_an_exception_without_a_text_fails_its_row_in_every_run(
    tmp_path: Path, made: Callable[[], dict[str, Any]]
) -> None:
    transport = ScriptedTransport(otherwise=lambda _: answer("1"))
    async with client(transport) as opened:
        for _ in range(2):
            got = await ended(opened.run_job(ROWS, journal=tmp_path / "j", **made()))
            assert [one.status for one in got] == ["failed"] * 3
            assert all("its message cannot be read" in str(one.error) for one in got)
    assert len(transport.requests) == 3


async def test_a_validator_that_came_to_fail_without_a_text_fails_rows_of_the_journal(tmp_path: Path) -> None:
    transport = ScriptedTransport(otherwise=lambda _: answer("1"))
    async with client(transport) as opened:
        await ended(opened.run_job(ROWS, journal=tmp_path / "j", parse=int))
        wanted = Annotated[int, AfterValidator(fail)]
        got = await ended(opened.run_job(ROWS, journal=tmp_path / "j", parse=wanted))
    assert [one.status for one in got] == ["failed"] * 3
    assert all("its message cannot be read" in str(one.error) for one in got)


@pytest.mark.parametrize("which", ["progress", "hook"])
async def test_an_observer_without_a_text_costs_nothing(tmp_path: Path, which: str) -> None:
    hooks = [Failing()] if which == "hook" else []
    async with sa.SegmindClient(KEY, transport=ScriptedTransport(), hooks=hooks) as opened:
        run = opened.run_job(ROWS, journal=tmp_path / "j", progress=fail if which == "progress" else None)
        assert [one.status for one in await ended(run)] == ["ok"] * 3


async def test_rows_that_end_in_an_exception_without_a_text_end_in_that(tmp_path: Path) -> None:
    def rows() -> Iterator[dict[str, str]]:
        yield from ROWS
        raise UnspeakableError

    async with client() as opened:
        got = []
        run = opened.run_job(rows(), journal=tmp_path / "j")
        with pytest.raises(UnspeakableError):
            async with run:
                async for outcome in run:
                    got.append(outcome)  # those before the exception
    assert [one.status for one in got] == ["ok"] * 3
    assert run.report.fan_out is not None
    assert str(run.report.fan_out.stop_message).startswith("UnspeakableError: its message cannot be read")


async def test_a_value_without_a_text_in_a_column_costs_nothing(tmp_path: Path) -> None:
    async with client() as opened:
        rows = [{**row, "other": Unprintable()} for row in ROWS]
        assert [one.status for one in await ended(opened.run_job(rows, journal=tmp_path / "j"))] == ["ok"] * 3


def crash(_: object) -> Any:
    raise asyncio.CancelledError  # as good as a crash: nothing of this row is seen again


@pytest.mark.parametrize("which", ["read", "truth"])
async def test_an_answer_is_on_the_disk_before_code_of_the_users_sees_it(tmp_path: Path, which: str) -> None:
    seen: list[list[bytes]] = []

    def look(_: object) -> Any:
        with closing(sqlite3.connect(tmp_path / "j")) as database:
            seen.append([raw for (raw,) in database.execute("SELECT raw FROM drafts")])
        return ParsedAnswer() if which == "read" else None

    options = sa.JobOptions(read=look) if which == "read" else sa.JobOptions(truth=look)
    async with client() as opened:
        await ended(opened.run_job(ROWS[:1], journal=tmp_path / "j", options=options))
    assert [[b"echo: 1" in raw for raw in raws] for raws in seen] == [[True]]


@pytest.mark.parametrize("which", ["read", "truth"])
@pytest.mark.parametrize("again", ["read", "nothing"])
async def test_an_answer_whose_reader_has_crashed_is_read_by_the_next_run(
    tmp_path: Path, which: str, again: str
) -> None:
    crashing = sa.JobOptions(read=crash) if which == "read" else sa.JobOptions(truth=crash)
    transport = ScriptedTransport()
    async with client(transport, limits=sa.Limits(1)) as opened:
        assert await ended(opened.run_job(ROWS[:1], journal=tmp_path / "j", options=crashing)) == []
        reading = sa.JobOptions(
            read=lambda completion: ParsedAnswer(label=f"{completion.text} for {completion.cost}"),
            truth=lambda row: row.id,
        )
        options = reading if again == "read" else sa.JobOptions()
        run = opened.run_job(ROWS[:1], journal=tmp_path / "j", options=options)
        (outcome,) = await ended(run)
    assert len(transport.requests) == 1
    assert (outcome.text, str(outcome.cost), run.report.counts) == ("echo: 1", "0.001", {"ok": 1})
    with JournalReader(tmp_path / "j") as reader:
        (record,) = reader.rows()
        assert str(reader.totals().spent) == "0.001"
        assert reader._database.execute("SELECT count(*) FROM drafts").fetchone() == (0,)
    assert (record.label, record.truth) == (("echo: 1 for 0.001", "r0") if again == "read" else (None, None))


async def test_an_answer_of_a_crashed_reader_that_the_next_one_fails_on_is_a_failed_row(
    tmp_path: Path,
) -> None:
    transport = ScriptedTransport()
    async with client(transport, limits=sa.Limits(1)) as opened:
        for read in (crash, fail):
            run = opened.run_job(ROWS[:1], journal=tmp_path / "j", options=sa.JobOptions(read=read))
            got = await ended(run)
    assert [str(one.error) for one in got] == ["UnspeakableError: its message cannot be read"]
    assert (len(transport.requests), run.report.counts) == (1, {"failed": 1})


async def test_answers_that_the_package_reads_itself_are_written_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = Labels(["echo: 1", "other"])
    monkeypatch.setattr(Journal, "draft", fail)
    async with client() as opened:
        for options in (sa.JobOptions(), sa.JobOptions(read=labels.read, truth=labels.truth_in("id"))):
            run = opened.run_job(ROWS, journal=tmp_path / str(id(options)), options=options)
            assert [one.status for one in await ended(run)] == ["ok"] * 3
