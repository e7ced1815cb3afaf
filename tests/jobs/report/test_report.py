"""A report says what the journal holds, and stays small."""

from __future__ import annotations

import json
import random
import tracemalloc
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import anyio
import pytest

import segmind_async as sa
from segmind_async._jobs.journal.journal import Journal
from segmind_async._jobs.journal.journal_error import JournalError
from segmind_async._jobs.journal.reader import JournalReader
from segmind_async._jobs.journal.record import Record
from segmind_async._jobs.progress import JobProgress
from segmind_async._jobs.report.report import latency_of, read_report
from segmind_async._jobs.report.timeline import cut_off, timeline
from segmind_async._money.units import credits_of
from segmind_async._sending.histogram import Histogram
from segmind_async.emulator import Emulator
from segmind_async.engines import FolderTotals, read_folder
from tests.jobs.journals import Story, fill, progress, records, snapshots
from tests.support import KEY


async def test_a_report_is_what_the_rows_add_up_to(tmp_path: Path) -> None:
    story = Story()
    await fill(tmp_path / "j", story)
    rows = list(records(story, random.Random(1)))
    report = read_report(tmp_path / "j")
    assert report.counts == Counter(record.status for record in rows)
    assert report.finished == story.rows
    assert report.totals.spent == credits_of(sum(record.units or 0 for record in rows))
    priced = [record.units for record in rows if record.units is not None]
    assert report.mean_cost == credits_of(sum(priced) // len(priced))
    assert report.totals.attempts == sum(record.attempts for record in rows)
    assert report.totals.in_doubt == sum(record.in_doubt for record in rows)
    assert {one.name: one.count for one in report.errors} == Counter(
        r.error_type for r in rows if r.error_type
    )
    assert [row.seconds for row in report.slowest] == sorted((r.seconds or 0 for r in rows), reverse=True)[
        :10
    ]
    assert report.scores is not None
    assert report.scores.right == sum(r.label == r.truth for r in rows)
    assert report.latency is not None
    assert sum(one.count for one in report.latency.bins) == report.counts["ok"]
    assert (report.runs, report.pending, report.state) == (2, 0, "finished")
    assert report.ended_at is not None
    assert report.begun_at is not None
    assert report.ended_at - report.begun_at > 3600 > report.worked
    assert report.rate == report.finished / report.worked


async def test_a_report_is_json_with_every_digit(tmp_path: Path) -> None:
    await fill(tmp_path / "j", Story(rows=50))
    report = read_report(tmp_path / "j")
    told = json.loads(json.dumps(report.as_json(), default=str))
    assert told["totals"]["spent"] == str(report.totals.spent)
    assert told["state"] == "finished"
    assert told["scores"]["by_label"][0].keys() == {
        "label",
        "rows",
        "given",
        "right",
        "precision",
        "recall",
        "f1",
    }


async def test_a_journal_without_rows_or_samples_has_a_report_too(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", {}):
        pass
    report = read_report(tmp_path / "j")
    assert (report.finished, report.pending, report.latency, report.timeline) == (0, None, None, ())
    assert (report.rate, report.mean_cost, report.scores, report.begun_at) == (None, None, None, None)
    assert report.state == "not finished: it was ended from outside"


async def test_calls_that_were_cut_off_are_counted_and_are_what_the_service_billed_beside_the_rows(
    tmp_path: Path,
) -> None:
    rows = [str(n) for n in range(60)]
    async with Emulator(cost="0.01", latency=3.0, key=KEY) as emulator:
        # Left on its way, and killed: then nothing is written at the end.
        for killed in (False, True, None):
            async with sa.SegmindClient(KEY, base_url=emulator.url, limits=sa.Limits(8)) as client:
                run = client.run_job(rows, journal=tmp_path / "j")
                with anyio.CancelScope() as scope:
                    async with run as outcomes:
                        async for _ in outcomes:
                            if killed is not None and run.report.counts["ok"] >= 8:
                                await anyio.sleep(1)
                                if killed:
                                    run.reporter._keeps = False
                                scope.cancel()
                                await anyio.sleep(0)
        billed = sum(emulator.billed().values())
        spent = emulator.state.account.spent
    report = read_report(tmp_path / "j")
    assert report.counts == {"ok": 60, "failed": 0}
    assert billed == 60 + report.cut_off > 60
    assert spent == report.totals.spent + report.cut_off * Decimal("0.01")
    assert (report.totals.in_doubt, read_shards_of(tmp_path).cut_off) == (0, report.cut_off)


def read_shards_of(folder: Path) -> FolderTotals:
    (folder / "j").rename(folder / "j.journal")
    return read_folder(folder)


def test_calls_of_the_run_that_goes_on_are_not_cut_off() -> None:
    records = [
        progress(run=1, elapsed=1.0, in_flight=3),
        progress(run=1, elapsed=2.0, in_flight=5),
        progress(run=2, elapsed=1.0, cancelled=4),
        progress(run=3, elapsed=1.0, in_flight=7),
    ]
    assert cut_off(records, running=False) == 16
    assert cut_off(records, running=True) == 9
    assert cut_off([], running=True) == 0


async def test_a_running_job_is_told_from_one_that_stopped(tmp_path: Path) -> None:
    await fill(tmp_path / "j", Story(rows=50, complete=False))
    stopped = read_report(tmp_path / "j")
    assert stopped.state == "stopped early: interrupted"
    assert stopped.pending == 50 - stopped.finished
    with JournalReader(tmp_path / "j") as reader:
        settings = reader.settings()
    with Journal(tmp_path / "j", settings) as journal:
        running = read_report(tmp_path / "j")
        assert running.state.startswith("running, by process ")
        # Rows that ended after the last sample are no longer to do.
        late = Record("id late", b"", "ok", at=2_000_000_000.0)
        await journal.keep(late)
        assert read_report(tmp_path / "j").pending == (stopped.pending or 0) - 1


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        pytest.param({"content": " yes\n"}, "yes", id="text"),
        pytest.param(
            {"content": None, "tool_calls": [{"id": "1", "function": {"name": "find", "arguments": "{}"}}]},
            "calls find",
            id="a-call-of-a-tool",
        ),
        pytest.param({"content": ""}, None, id="nothing"),
    ],
)
async def test_a_sample_row_shows_what_was_answered(
    tmp_path: Path, message: dict[str, object], shown: str | None
) -> None:
    raw = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
    with Journal(tmp_path / "j", {}) as journal:
        await journal.keep(Record("id r", b"", "ok", raw=raw))
    (row,) = read_report(tmp_path / "j").ordinary
    assert row.answer == shown


async def test_a_sample_that_cannot_be_read_is_a_clear_error(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", {}) as journal:
        journal.sample(1.0, {"ok": "many"}).result()
    with pytest.raises(JournalError, match="holds a sample that cannot be read"):
        read_report(tmp_path / "j")


@pytest.mark.slow
async def test_a_report_takes_no_more_memory_for_more_rows(tmp_path: Path) -> None:
    peaks = []
    for rows in (1000, 8000):
        await fill(tmp_path / str(rows), replace(Story(), rows=rows, runs=1))
        tracemalloc.start()
        read_report(tmp_path / str(rows))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # One look at the journal holds 1024 rows.
    assert peaks[1] < peaks[0] + 8_000_000


@pytest.mark.parametrize(
    ("seconds", "edges", "counts"),
    [
        pytest.param([1.0], [(1.0, 1.05)], None, id="one-value"),
        pytest.param(
            [n / 100 for n in range(1, 2001)], [(0.0, 2.0), (2.0, 4.0)], [198, 202], id="round-width"
        ),
    ],
)
def test_bars_have_round_widths(
    seconds: list[float], edges: list[tuple[float, float]], counts: list[int] | None
) -> None:
    histogram = Histogram()
    for value in seconds:
        histogram.add(value)
    latency = latency_of(histogram)
    assert latency is not None
    assert sum(one.count for one in latency.bins) == len(seconds)
    assert len(latency.bins) <= 21
    for one, edge in zip(latency.bins, edges, strict=False):
        assert (one.least, one.below) == pytest.approx(edge)
    if counts is not None:
        assert [one.count for one in latency.bins[: len(counts)]] == pytest.approx(counts, abs=5)


def test_the_last_bar_takes_the_stragglers() -> None:
    histogram = Histogram()
    for value in [1.0] * 999 + [500.0]:
        histogram.add(value)
    latency = latency_of(histogram)
    assert latency is not None
    assert (latency.bins[-1].below, latency.bins[-1].count) == (None, 1)
    assert latency_of(Histogram()) is None


def story_of(rows: int, runs: int) -> list[JobProgress]:
    story = Story(rows=rows, runs=runs)
    chance = random.Random(1)
    return [snapshot for snapshot, _ in snapshots(story, list(records(story, chance)), chance)]


@pytest.mark.parametrize(("rows", "runs"), [(40, 1), (6000, 3), (3000, 9)])
def test_a_timeline_is_short_and_tells_the_whole_of_it(rows: int, runs: int) -> None:
    all_of_it = story_of(rows, runs)
    moments = timeline(all_of_it, most=100)
    assert len(moments) <= 100 + runs
    assert [one.worked for one in moments] == sorted(one.worked for one in moments)
    last = all_of_it[-1]
    assert moments[-1].progress.spent_by_all == last.spent_before + last.spent
    assert sum(one.rate_limited for one in moments) == sum(
        max(snapshot.fan_out.rate_limited for snapshot in all_of_it if snapshot.run == run)
        for run in {snapshot.run for snapshot in all_of_it}
    )


def test_a_rate_is_that_of_the_seconds_just_past() -> None:
    run = [progress(elapsed=float(n), ok=10 * min(n, 100)) for n in range(1, 201)]
    rates = {one.worked: one.rate for one in timeline(run, most=200)}
    assert (rates[1.0], rates[50.0], rates[100.0], rates[106.0]) == (10.0, 10.0, 10.0, 0.0)
    assert rates[102.0] == pytest.approx(10 * 3 / 5)


def test_a_timeline_of_nothing_and_of_a_moment() -> None:
    assert timeline([]) == ()
    (only,) = timeline([progress(spent=Decimal(3), rate_limited=2)])
    assert (only.rate, only.rate_limited, only.progress.spent) == (0.0, 2, 3)


def test_very_many_short_runs_make_no_long_timeline() -> None:
    runs = [progress(run=n, elapsed=1.0) for n in range(1, 2000)]
    assert len(timeline(runs)) <= 241
