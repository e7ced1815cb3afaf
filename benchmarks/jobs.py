"""What a journal costs: per row, in memory, at a resume, and the instant in which a crash would pay twice."""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from pydantic_core import to_json

from segmind_async import ChatRequest, JobOptions, Limits, SegmindClient
from segmind_async._jobs.journal.commit_thread import WriterThread
from segmind_async._jobs.journal.submissions import JournaledSubmissions
from segmind_async.testing import ScriptedTransport, answer
from segmind_async.transport import WireRequest, WireResponse

from .memory import script
from .tables import Table, middle, spread

ROWS = 20_000
SUBMISSIONS = 2_000
_ANSWER = answer("word " * 160)

_BUILD = """
import asyncio, resource, sys
from pathlib import Path
from benchmarks.jobs import client, rows
from segmind_async import JobOptions

async def main():
    for count in map(int, sys.argv[2:]):
        async with client() as opened:
            journal = Path(sys.argv[1]) / f"{count}"
            async with opened.run_job(rows(count), journal=journal) as outcomes:
                async for outcome in outcomes:
                    pass
        print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, flush=True)

asyncio.run(main())
"""

_RESUME = """
import asyncio, sys, time
from pathlib import Path
from benchmarks.jobs import client, rows
from segmind_async import ChatRequest

async def main():
    count, changed = int(sys.argv[2]), int(sys.argv[3])
    def given():
        # The last row is new in each of the two runs over one journal.
        for number, row in enumerate(rows(count + changed + 1)):
            yield ChatRequest(f"changed {number}", id=row.id) if number < changed else row
    async with client() as opened:
        began = time.perf_counter()
        run = opened.run_job(given(), journal=Path(sys.argv[1]) / f"{count}")
        run.skip_finished = True
        async with run as outcomes:
            opened_after = time.perf_counter() - began
            async for outcome in outcomes:
                if outcome.id == f"r{count + changed}":
                    print(opened_after, time.perf_counter() - began)
                    return

asyncio.run(main())
"""


_RESUMED = (
    "finished rows", "journal, MB", "s until it is open", "s until a new row after them has its answer",
    "the same with a changed row in front",
)  # fmt: skip


def rows(count: int) -> Iterator[ChatRequest]:
    return (ChatRequest(f"row {n}", id=f"r{n}") for n in range(count))


def client() -> SegmindClient:
    return SegmindClient("k", transport=ScriptedTransport(otherwise=lambda _: _ANSWER, keep=False))


async def fan_out(_: Path) -> None:
    async with client() as opened, opened.fan_out(rows(ROWS)) as outcomes:
        async for _outcome in outcomes:
            pass


async def job(journal: Path) -> None:
    async with client() as opened, opened.run_job(rows(ROWS), journal=journal) as outcomes:
        async for _outcome in outcomes:
            pass


class Thread:
    """The CPU time of the journal's own thread."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.groups = 0
        self._do = WriterThread._do

    def __enter__(self) -> Thread:
        def timed(writer: WriterThread, *given: object) -> None:
            began = time.thread_time()
            self._do(writer, *given)  # type: ignore[arg-type]  # as it is called
            self.seconds += time.thread_time() - began
            self.groups += 1

        WriterThread._do = timed  # type: ignore[method-assign,assignment]  # to measure it where it works
        return self

    def __exit__(self, *_: object) -> None:
        WriterThread._do = self._do  # type: ignore[method-assign]  # as it was


def cost_of_a_row(rounds: int) -> Table:
    taken: dict[str, list[float]] = {"fan_out": [], "job": []}
    threads: list[float] = []
    per_second: list[float] = []
    for number in range(rounds):
        for name, run in (("fan_out", fan_out), ("job", job)):
            with tempfile.TemporaryDirectory() as folder, Thread() as thread:
                began, wall = time.process_time(), time.perf_counter()
                asyncio.run(run(Path(folder) / f"{number}"))
                taken[name].append((time.process_time() - began) / ROWS * 1e6)
                if name == "job":
                    threads.append(thread.seconds / ROWS * 1e6)
                    per_second.append(ROWS / (time.perf_counter() - wall))
    more = [ours - base for ours, base in zip(taken["job"], taken["fan_out"], strict=True)]
    ratios = [ours / base for ours, base in zip(taken["job"], taken["fan_out"], strict=True)]
    told = [
        ["a row of `fan_out`, without a network", f"{middle(taken['fan_out']):.0f}", "1.00", "–"],
        [
            "the same as a row of `run_job`",
            f"{middle(taken['job']):.0f}",
            f"{middle(ratios):.2f}",
            spread(ratios),
        ],
        ["what the journal adds", f"{middle(more):.0f}", "", ""],
        ["of it the journal's own thread: insert and commit", f"{middle(threads):.0f}", "", ""],
    ]
    above = f"{middle(per_second):.0f} rows a second, each on the disk before it is seen."
    return Table("jobs, a row", ("what", "CPU µs", "over fan_out", "spread"), told, above)


def memory_and_resume(counts: list[int]) -> list[Table]:
    with tempfile.TemporaryDirectory() as folder:
        told = script(_BUILD, folder, *map(str, counts)).split()
        peaks = [int(peak) / 1024 for peak in told[1::2]]
        resumes = []
        for count in counts:
            opened, same = map(float, script(_RESUME, folder, str(count), "0").split())
            _, changed = map(float, script(_RESUME, folder, str(count), "1").split())
            size = (Path(folder) / f"{count}").stat().st_size / 1e6
            seconds = [f"{value:.2f}" for value in (opened, same, changed)]
            resumes.append([_spaced(count), f"{size:.0f}", *seconds])
    memory = [
        [_spaced(count), f"{peak:.1f}", f"{peak - peaks[0]:+.1f}"]
        for count, peak in zip(counts, peaks, strict=True)
    ]
    return [
        Table("jobs, memory", ("rows of one job", "highest RSS, MB", "over the first, MB"), memory),
        Table("jobs, resume", _RESUMED, resumes),
    ]


def exposure() -> Table:
    """Time every id between its receipt and its being on the disk: a crash then would pay twice."""
    seconds: list[float] = []
    keep = JournaledSubmissions.keep

    async def timed(self: JournaledSubmissions, request: WireRequest, id: str) -> None:
        began = time.perf_counter()
        await keep(self, request, id)
        seconds.append(time.perf_counter() - began)

    numbers = iter(range(10**9))
    done = to_json({"status": "COMPLETED", "output": _ANSWER.body.decode(), "metrics": {"cost": 0.001}})

    def reply(request: WireRequest) -> WireResponse:
        if request.body is not None:
            return WireResponse(200, {}, b'{"request_id": "r%d"}' % next(numbers))
        return WireResponse(200, {}, done if request.queued else b'{"credits": 5, "free-credits": 0}')

    async def main(folder: str) -> None:
        transport = ScriptedTransport(otherwise=reply, keep=False)
        async with SegmindClient("k", transport=transport, limits=Limits(max_in_flight=512)) as opened:
            journal, queued = Path(folder) / "j", JobOptions(delivery="queued")
            async with opened.run_job(rows(SUBMISSIONS), journal=journal, options=queued) as outcomes:
                async for _ in outcomes:
                    pass

    JournaledSubmissions.keep = timed  # type: ignore[method-assign]  # to measure it where it works
    try:
        with tempfile.TemporaryDirectory() as folder:
            asyncio.run(main(folder))
    finally:
        JournaledSubmissions.keep = keep  # type: ignore[method-assign]  # as it was
    cuts = statistics.quantiles(seconds, n=100)
    told = [f"{1000 * value:.1f}" for value in (statistics.median(seconds), cuts[94], cuts[98], max(seconds))]
    columns = ("submissions", "p50, ms", "p95", "p99", "longest")
    return Table("jobs, exposure", columns, [[str(len(seconds)), *told]])


def _spaced(count: int) -> str:
    return f"{count:,}".replace(",", " ")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])


def run(options: argparse.Namespace) -> list[Table]:
    return [cost_of_a_row(options.rounds), *memory_and_resume(options.rows), exposure()]
