"""A report says what went through each of several keys, over all runs and journals of a job."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest

import segmind_async as sa
from segmind_async._jobs.journal.reader import Sample
from segmind_async._jobs.progress import JobProgress, KeyUse
from segmind_async._jobs.report.keys import KeyReport, KeySums
from segmind_async._jobs.report.report import read_report
from segmind_async._jobs.report.shards import read_shards
from tests.jobs.journals import progress
from tests.sending.accounts.support import KEYS, NAMES, balances, client_of, emulator_of


async def test_all_runs_add_up_and_other_work_of_the_client_does_not_count(tmp_path: Path) -> None:
    rows = [str(n) for n in range(40)]
    async with emulator_of([5, 4], cost="0.01", latency=1.0) as emulator:
        async with client_of(emulator, limits=sa.Limits(3)) as client:
            await client.chat_many(["elsewhere"] * 5)
            with anyio.move_on_after(2.5):
                async with client.run_job(rows, journal=tmp_path / "j") as job:
                    async for _ in job:
                        pass
            async with client.run_job(rows, journal=tmp_path / "j") as job:
                async for _ in job:
                    pass
        left = balances(emulator)
        report = read_report(tmp_path / "j")
    assert [(key.name, key.balance, key.state) for key in report.keys] == [
        (NAMES[0], left[0], "in use"),
        (NAMES[1], left[1], "in use"),
    ]
    spent = [key.spent for key in report.keys]
    assert sum(spent) == report.totals.spent == Decimal("0.4")
    assert min(spent) > Decimal("0.1")
    assert report.of_no_known_key == 0
    assert report.as_json()["keys"]


async def test_what_no_key_is_known_of_is_said(tmp_path: Path) -> None:
    async with emulator_of([5, 5], cost="0.01", latency=1.0) as emulator:
        for keys, count in ((KEYS[:1], 7), (KEYS[:2], 10)):
            async with sa.SegmindClient(api_keys=keys, base_url=emulator.url) as client:
                async with client.run_job([str(n) for n in range(count)], journal=tmp_path / "j") as job:
                    async for _ in job:
                        pass
            report = read_report(tmp_path / "j")
            assert len(report.keys) == (0 if len(keys) == 1 else 2)
            assert report.of_no_known_key == Decimal("0.07")
    assert sum(key.spent for key in report.keys) == Decimal("0.03")


@pytest.mark.parametrize("at_once", [False, True])
async def test_shards_are_added_up(tmp_path: Path, at_once: bool) -> None:
    async with emulator_of([5, 5], cost="0.01", latency=1.0) as emulator, client_of(emulator) as client:

        async def send(name: str) -> None:
            rows = [f"{name} {n}" for n in range(10)]
            async with client.run_job(rows, journal=tmp_path / f"{name}.journal") as job:
                async for _ in job:
                    pass

        async with anyio.create_task_group() as tasks:
            for name in "abcd":
                if at_once:
                    tasks.start_soon(send, name)
                else:
                    await send(name)
        left = balances(emulator)
    report = read_shards(tmp_path)
    assert [key.balance for key in report.keys] == left
    assert sum(key.spent for key in report.keys) == report.totals.spent == Decimal("0.4")
    assert report.of_no_known_key == 0


async def test_429s_are_those_of_the_job_alone(tmp_path: Path) -> None:
    service: dict[str, Any] = {"requests_per_minute": 30, "cost": "0.01", "latency": 1.0}
    async with emulator_of([5, 5], **service) as emulator, client_of(emulator) as client:
        await client.chat_many([str(n) for n in range(80)])
        before = client.statistics().rate_limited
        async with client.run_job([f"row {n}" for n in range(80)], journal=tmp_path / "j") as job:
            async for _ in job:
                pass
    assert job.report.fan_out is not None
    assert before > 0
    found = sum(key.rate_limited for key in read_report(tmp_path / "j").keys)
    assert found == job.report.fan_out.rate_limited


def run(number: int, *keys: tuple[str, str, int], state: str = "in use", elapsed: float = 1.0) -> JobProgress:
    return progress(
        run=number,
        elapsed=elapsed,
        keys=tuple(KeyUse(name, Decimal(spent), limited) for name, spent, limited in keys),
    )


def with_state(base: JobProgress, name: str, state: str) -> JobProgress:

    found = sa.KeyStatistics(name, state, balance=Decimal(3))
    return replace(base, statistics=replace(base.statistics, keys=(found,)))


def test_the_last_record_of_each_run_counts_and_the_newest_state() -> None:
    sums = KeySums()
    newest = [
        with_state(run(1, ("a", "1", 2)), "a", "in use"),
        with_state(run(1, ("a", "2", 3), elapsed=2.0), "a", "in use"),
        with_state(run(2, ("a", "4", 1)), "a", "refused"),
    ]
    sums.add(newest, [Sample(at, {}) for at in (1.0, 2.0, 3.0)])
    # A journal that is read later, and is older.
    sums.add([with_state(run(1, ("a", "8", 0), ("b", "1", 0)), "a", "in use")], [Sample(2.5, {})])
    assert sums.reports() == (
        KeyReport("a", Decimal(14), 4, "refused", Decimal(3)),
        KeyReport("b", Decimal(1)),
    )
