"""A job over stops of every kind: nothing lost, nothing asked twice that could be helped."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import segmind_async as sa
from segmind_async._jobs.files.ending import Stage
from segmind_async._jobs.files.file_job import NotWrittenError, run_file
from segmind_async._jobs.files.output_files import Output, Part
from segmind_async._jobs.formats.row_count import count_rows
from segmind_async._jobs.journal.journal import Journal
from segmind_async._jobs.journal.reader import JournalReader
from segmind_async._jobs.own_request import own_request
from segmind_async._jobs.progress_reporter import Progress
from segmind_async._jobs.rows import open_rows
from segmind_async._rate.pacer import PacerState
from segmind_async._sending.accounts.account import Account
from segmind_async._sending.admission import Admission
from segmind_async.emulator import Emulator
from segmind_async.jobs import JobOptions, JobReport
from segmind_async.testing import ScriptedTransport
from tests.jobs.processes import command, finish, numbered, results, wait_for, write
from tests.support import KEY, always, serving, status

SETTINGS = {"model": "gpt-5.4-mini", "delivery": "direct", "parse": None}


async def run(
    rows: Path,
    transport: ScriptedTransport,
    options: JobOptions | None = None,
    progress: Progress | None = None,
    **limits: Any,
) -> tuple[JobReport, list[dict[str, Any]]]:
    async with sa.SegmindClient(KEY, transport=transport, limits=sa.Limits(**limits)) as client:
        report = await on_file(client, rows, options, progress=progress)
    return report, results(rows.with_name("out.jsonl"))


async def on_file(
    client: sa.SegmindClient,
    rows: Path,
    options: JobOptions | None = None,
    limit: int | None = None,
    progress: Progress | None = None,
) -> JobReport:
    options = options or JobOptions()
    return await run_file(
        lambda given: client.run_job(
            given, journal=rows.with_name("journal"), options=options, progress=progress
        ),
        lambda: open_rows(rows, own_request, limit),
        rows.with_name("out.jsonl"),
        lambda stop, tell: count_rows(rows, None, stop, tell),
    )


def asked(transport: ScriptedTransport) -> Counter[str]:
    return Counter(
        json.loads(request.body)["messages"][-1]["content"] for request in transport.requests if request.body
    )


async def test_the_same_again_asks_nothing(tmp_path: Path) -> None:
    rows = write(tmp_path / "in.jsonl", numbered(300))
    transport = ScriptedTransport()
    first, before = await run(rows, transport)
    again, after = await run(rows, transport)
    assert before == after
    assert [row["text"] for row in after] == [f"echo: row {n}" for n in range(300)]
    assert (first.resumed, again.resumed, again.counts) == (0, 300, {"ok": 300})
    assert set(asked(transport).values()) == {1}


@pytest.mark.slow
async def test_reordered_grown_and_changed_input_is_matched_row_by_row(tmp_path: Path) -> None:
    rows = write(tmp_path / "in.jsonl", numbered(100))
    transport = ScriptedTransport()
    await run(rows, transport)
    shuffled = numbered(120)
    shuffled[5]["prompt"] = "changed"
    random.Random(1).shuffle(shuffled)
    write(rows, shuffled)
    report, got = await run(rows, transport)
    assert report.resumed == 99
    assert [row["id"] for row in got] == [row["id"] for row in shuffled]
    assert [row["text"] for row in got] == [f"echo: {row['prompt']}" for row in shuffled]
    assert asked(transport).total() == 100 + 21


async def test_rows_without_an_id_are_known_by_what_they_ask_and_duplicates_stay(tmp_path: Path) -> None:
    rows = write(tmp_path / "in.jsonl", [{"prompt": "a"}, {"prompt": "b"}, {"prompt": "a"}, {"prompt": "a"}])
    transport = ScriptedTransport()
    await run(rows, transport)
    assert asked(transport) == {"a": 3, "b": 1}
    write(rows, [{"prompt": "b"}, {"prompt": "a"}, {"prompt": "a"}, {"prompt": "c"}])
    report, got = await run(rows, transport)
    assert (report.resumed, asked(transport)["c"]) == (3, 1)
    assert [row["text"] for row in got] == ["echo: b", "echo: a", "echo: a", "echo: c"]


async def test_the_report_counts_rows_whose_answers_were_damaged(tmp_path: Path) -> None:
    rows = write(tmp_path / "in.jsonl", numbered(5))
    await run(rows, ScriptedTransport())
    with closing(sqlite3.connect(tmp_path / "journal")) as database:
        database.execute("UPDATE answers SET raw = zeroblob(9) WHERE number = 3")
        database.commit()
    transport = ScriptedTransport()
    report, _ = await run(rows, transport)
    assert (report.damaged, report.counts["ok"], asked(transport).total()) == (1, 5, 1)


async def test_failed_rows_stay_failed_unless_asked_again(tmp_path: Path) -> None:
    rows = write(tmp_path / "in.jsonl", numbered(10))
    refusing = ScriptedTransport(otherwise=always(status(400, "not today")))
    report, got = await run(rows, refusing)
    assert (report.counts, report.errors) == ({"failed": 10}, {"BadRequestError": 10})
    assert got[0]["error"] == "BadRequestError: HTTP 400: not today"
    fine = ScriptedTransport()
    assert (await run(rows, fine))[0].counts == {"failed": 10}
    assert asked(fine).total() == 0
    report, got = await run(rows, fine, JobOptions(retry_failed=True))
    assert (report.counts, report.errors) == ({"ok": 10}, {})


async def test_a_wrong_key_spoils_no_row(tmp_path: Path) -> None:
    rows = write(tmp_path / "in.jsonl", numbered(30))
    report, got = await run(rows, ScriptedTransport(otherwise=always(status(401, "wrong key"))))
    assert report.counts["failed"] >= 1
    assert report.counts["failed"] + report.counts["unsent"] == 30
    assert got[0]["error"] == "AuthenticationError: HTTP 401: wrong key"
    report, got = await run(rows, ScriptedTransport())
    assert report.counts == {"ok": 30}


@pytest.mark.parametrize("content", ["", "{}\n{}\n"])
async def test_nothing_to_send(tmp_path: Path, content: str) -> None:
    rows = tmp_path / "in.jsonl"
    rows.write_text(content)
    report, got = await run(rows, ScriptedTransport())
    assert report.counts["failed"] == len(got) == content.count("\n")


async def test_a_stop_for_credits_goes_on_after_a_top_up(tmp_path: Path) -> None:
    rows = write(tmp_path / "in.jsonl", numbered(100))
    async with Emulator(cost="0.01", balance="0.5") as emulator:
        async with sa.SegmindClient(emulator.key, emulator.url) as client:
            for expected in ("unsent", None):
                report = await on_file(client, rows)
                assert (report.counts["unsent"] > 0) == (expected == "unsent")
                emulator.state.top_up(5)
        assert set(emulator.billed().values()) == {1}
    assert report.counts == {"ok": 100}


@pytest.mark.slow
async def test_a_restart_does_not_double_the_rate_window(tmp_path: Path) -> None:
    rows = write(tmp_path / "in.jsonl", numbered(90))
    async with Emulator(requests_per_minute=60, balance=100) as emulator:
        began = time.time()
        for limit in (50, 90):
            async with sa.SegmindClient(
                emulator.key, emulator.url, limits=sa.Limits(requests_per_minute=60)
            ) as client:
                await on_file(client, rows, limit=limit)
        assert time.time() - began < 30  # the wall's clock; the loop's is virtual
    assert emulator.state.account.refused == {}


async def test_what_was_in_flight_at_a_crash_is_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = write(tmp_path / "in.jsonl", numbered(3))
    with Journal(tmp_path / "journal", SETTINGS) as journal:
        state = {"ages": [1.0, 2.0], "rate": 30.0, "in_doubt": 4 * 10**10, "at": time.time() - 5}
        state["monotonic"] = time.monotonic() - 5
        journal.set_fact("state", state).result()
    taken: list[tuple[Account, PacerState, int, float]] = []
    monkeypatch.setattr(Admission, "resume", lambda _self, *told: taken.append(told))
    await run(rows, ScriptedTransport())
    ((_account, pace, in_doubt, elapsed),) = taken
    assert (pace, in_doubt) == (PacerState((1.0, 2.0), 30.0), 4 * 10**10)
    assert 5 <= elapsed < 60
    with Journal(tmp_path / "journal", SETTINGS) as journal:
        noted: Any = journal.fact("state").result()
    assert noted.keys() == {"ages", "rate", "in_doubt", "costs", "at", "monotonic", "by"}


@pytest.mark.slow
def test_killed_again_and_again_every_row_is_there_once_and_hardly_any_paid_twice(tmp_path: Path) -> None:
    rows, slots = write(tmp_path / "in.jsonl", numbered(400)), 8
    chance = random.Random(1)
    with serving(Emulator(latency=0.01, balance=100)) as emulator:
        kills = 0
        for _ in range(5):
            process = command(emulator, rows, "--max-in-flight", str(slots))
            wait_for(emulator, emulator.requests + chance.randrange(1, 60))
            process.kill()
            finish(process)
            kills += 1
        code, said = finish(command(emulator, rows, "--max-in-flight", str(slots)))
        billed = emulator.billed()
    assert code == 0, said
    assert [row["text"] for row in results(tmp_path / "out.jsonl")] == [f"echo: row {n}" for n in range(400)]
    assert len(billed) == 400
    assert sum(billed.values()) - 400 <= kills * slots
    assert "by earlier runs" in said


async def test_progress_is_told_while_it_runs(tmp_path: Path) -> None:
    rows = write(tmp_path / "in.jsonl", numbered(40))
    told: list[sa.JobProgress] = []
    transport = ScriptedTransport(latency=5.0)
    report, _ = await run(rows, transport, progress=told.append, max_in_flight=8)
    assert report.counts == {"ok": 40}
    assert len(told) >= 10
    assert [each.ok for each in told] == sorted(each.ok for each in told)
    assert {each.run for each in told} == {1}
    assert (told[-1].ok, told[-1].total, told[-1].pending) == (40, 40, 0)
    assert any(each.rows < 40 and each.total == 40 for each in told)
    with JournalReader(tmp_path / "journal") as journal:
        written = [sa.JobProgress.from_json(each.facts) for each in journal.samples()]
    # A job that takes longer is written down less often than it is told.
    assert written[-1] == told[-1]
    assert all(each in told for each in written)


async def told_stages(
    rows: Path, transport: ScriptedTransport, signals_at: set[Stage], *, only: bool = False
) -> tuple[list[Stage], JobReport]:
    """Run a job that gets Ctrl-C as soon as each of some stages is told; return the stages told."""
    stages: list[Stage] = []

    def tell(stage: Stage, _: int) -> None:
        stages.append(stage)
        if stage in signals_at:
            signal.raise_signal(signal.SIGINT)

    async with sa.SegmindClient(KEY, transport=transport, limits=sa.Limits(8)) as client:
        try:
            report = await run_file(
                lambda given: client.run_job(given, journal=rows.with_name("journal")),
                lambda: open_rows(rows, own_request),
                Output(rows.with_name("out.jsonl"), only=only),
                tell=tell,
            )
        except NotWrittenError as error:
            return stages, error.report
    return stages, report


async def test_a_signal_while_results_are_written_is_a_warning_and_the_next_one_ends_it(
    tmp_path: Path,
) -> None:
    rows = write(tmp_path / "in.jsonl", numbered(10))
    stages, report = await told_stages(rows, ScriptedTransport(), {Stage.WRITING})
    assert stages == [Stage.WRITING, Stage.WRITING_LAST]
    assert len(results(tmp_path / "out.jsonl")) == report.counts["ok"] == 10

    (tmp_path / "out.jsonl").unlink()
    stages, report = await told_stages(rows, ScriptedTransport(), {Stage.WRITING, Stage.WRITING_LAST})
    assert stages == [Stage.WRITING, Stage.WRITING_LAST, Stage.LEFT]
    assert (report.counts["ok"], report.resumed) == (10, 10)
    assert not (tmp_path / "out.jsonl").exists()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


async def test_results_are_written_without_sending(tmp_path: Path) -> None:
    rows = write(tmp_path / "in.jsonl", numbered(4))
    await run(rows, ScriptedTransport())
    (tmp_path / "out.jsonl").unlink()
    write(rows, numbered(10))
    transport = ScriptedTransport()
    _, report = await told_stages(rows, transport, set(), only=True)
    assert report.counts == {"ok": 4, "unsent": 6}
    assert [row["status"] for row in results(tmp_path / "out.jsonl")] == ["ok"] * 4 + ["unsent"] * 6
    assert not transport.requests


async def test_calls_in_flight_have_a_minute_after_the_first_signal(tmp_path: Path) -> None:
    rows = write(tmp_path / "in.jsonl", numbered(20))
    transport, sent = ScriptedTransport(latency=100.0), 0.0

    def at_first_report(progress: sa.JobProgress) -> None:
        nonlocal sent
        if progress.in_flight and not sent:
            sent = progress.elapsed
            signal.raise_signal(signal.SIGTERM)

    report, _ = await run(rows, transport, progress=at_first_report, max_in_flight=8)
    assert report.fan_out is not None
    assert report.fan_out.stop_reason is sa.StopReason.INTERRUPTED
    assert report.fan_out.elapsed == pytest.approx(sent + 60.0)
    assert report.counts == {"unsent": 20}


@pytest.mark.slow
async def test_rows_that_are_still_being_counted_are_at_least_so_many(tmp_path: Path) -> None:
    rows = write(tmp_path / "in.jsonl", numbered(400))
    seen: list[sa.JobProgress] = []
    counting = threading.Event()

    def count_slowly(stop: threading.Event, tell: Callable[[int], None]) -> int | None:
        tell(123)
        counting.set()
        stop.wait(1)  # of real time, which virtual time keeps pace with meanwhile
        return None

    async with sa.SegmindClient(KEY, transport=ScriptedTransport(latency=5.0), limits=sa.Limits(4)) as client:
        await run_file(
            lambda given: client.run_job(given, journal=tmp_path / "journal", progress=seen.append),
            lambda: open_rows(rows, own_request),
            tmp_path / "out.jsonl",
            count_slowly,
        )
    assert counting.is_set()
    assert (seen[0].elapsed, seen[0].done) == (0, 0)  # there is something to see at once
    known = [each for each in seen if each.total is None and each.elapsed > 5]
    assert {max(123, each.rows) for each in known} == {each.counted for each in known} > {123}
    assert (seen[-1].total, seen[-1].counted) == (400, 0)


async def test_a_part_is_not_what_the_next_run_expects(tmp_path: Path) -> None:
    rows = write(tmp_path / "in.jsonl", numbered(40))
    seen: list[sa.JobProgress] = []
    part = Part(range(8), 7, lambda: open_rows(rows, own_request))
    async with sa.SegmindClient(KEY, transport=ScriptedTransport(latency=1.0), limits=sa.Limits(4)) as client:
        for limit in (8, None):
            seen.clear()
            await run_file(
                lambda given: client.run_job(given, journal=tmp_path / "journal", progress=seen.append),
                lambda: open_rows(rows, own_request, limit),  # noqa: B023  # called at once
                tmp_path / "out.jsonl",
                part=part if limit else None,
            )
            assert seen[-1].total == (limit or 40)
    assert {each.total for each in seen} == {None, 40}
