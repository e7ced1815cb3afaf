"""A running job is told often and written down seldom, and somebody counts its rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest

import segmind_async as sa
from segmind_async._jobs.files.file_job import run_file
from segmind_async._jobs.journal.reader import JournalReader
from segmind_async._jobs.own_request import own_request
from segmind_async._jobs.rows import open_rows
from segmind_async.testing import ScriptedTransport
from tests.support import KEY, status


async def run(
    folder: Path,
    count: int,
    transport: ScriptedTransport,
    tell: Callable[[sa.JobProgress], None],
    options: sa.JobOptions | None = None,
) -> None:
    rows = folder / "in.jsonl"
    rows.write_text("".join(f'{{"prompt": "row {n}"}}\n' for n in range(count)))
    async with sa.SegmindClient(KEY, transport=transport, limits=sa.Limits(4)) as client:
        await run_file(
            lambda given: client.run_job(given, journal=folder / "j", progress=tell, options=options),
            lambda: open_rows(rows, own_request),
            folder / "out.jsonl",
        )


@pytest.mark.slow
async def test_a_long_job_is_told_as_often_as_a_short_one_and_written_down_less(tmp_path: Path) -> None:
    told: list[sa.JobProgress] = []
    await run(tmp_path, 80, ScriptedTransport(latency=50.0), told.append)
    elapsed = told[-1].elapsed
    assert elapsed >= 1000
    assert len(told) == pytest.approx(elapsed / 0.5, rel=0.01)
    with JournalReader(tmp_path / "j") as journal:
        written = [sa.JobProgress.from_json(each.facts) for each in journal.samples()]
    assert len(written) == pytest.approx(400 + 400 * math.log(elapsed / 200), rel=0.05)
    assert written[-1] == told[-1]


@pytest.mark.slow
async def test_the_total_is_known_when_the_input_is_read_and_expected_again_by_the_next_run(
    tmp_path: Path,
) -> None:
    seen: list[sa.JobProgress] = []
    await run(tmp_path, 60, ScriptedTransport([status(400)] * 50, latency=10.0), seen.append)
    assert {(each.rows == 60, each.total) for each in seen} == {(False, None), (True, 60)}
    seen.clear()
    options = sa.JobOptions(retry_failed=True)
    await run(tmp_path, 60, ScriptedTransport(latency=10.0), seen.append, options)
    assert {each.total for each in seen} == {60}
    seen.clear()
    await run(tmp_path, 90, ScriptedTransport(latency=10.0), seen.append)
    # A longer input than expected: its end is not known before it is read.
    assert {each.total for each in seen if 60 <= each.rows < 90} == {None}
    assert seen[-1].total == 90


async def test_a_run_has_the_rows_that_are_worth_a_look(tmp_path: Path) -> None:
    transport = ScriptedTransport([status(400, "not today")], latency=1.0)
    async with sa.SegmindClient(KEY, transport=transport, limits=sa.Limits(4)) as client:
        async with client.run_job(["a", "b", "c"], journal=tmp_path / "j") as outcomes:
            async for _ in outcomes:
                pass
    (one,) = outcomes.samples.errors
    assert (one.name, one.count, one.example.message) == ("BadRequestError", 1, "HTTP 400: not today")
    assert [row.row_index for row in outcomes.samples.slowest] == [0, 1, 2]


async def test_a_progress_that_fails_costs_no_row(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def fail(snapshot: sa.JobProgress) -> None:
        raise ValueError(f"at {snapshot.done}")

    await run(tmp_path, 10, ScriptedTransport(latency=1.0), fail)
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 10
    assert {record.message for record in caplog.records} == {"progress has failed"}
