"""A job of 10⁷ rows and seven days with failures of everything, in virtual time, and its journals.

`week` runs the admission of all gateways, and one key alone that is drawn down to its floor many times.
Beside it real shards are run against the emulator on loopback: what they leave on the disk, and how long one
takes that has its answers already.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from anyio.from_thread import start_blocking_portal

from segmind_async import Limits
from segmind_async.emulator import Emulator
from segmind_async.engines import ShardJob, read_folder, run_shard

from . import virtual
from .tables import Table
from .week import DAY, HOUR, Books, Plan, Week, drawn_down

ROWS = 10_000_000


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--part", type=int, default=20, help="run one of so many parts of the week; 1: all of it, hours"
    )
    parser.add_argument("--keys", type=int, default=Plan.keys, help="run only so many of the eight keys")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shards", type=int, default=20, help="real shards of 1000 rows")
    parser.add_argument(
        "--draws", type=int, default=500, help="times that one key is drawn down to its floor"
    )
    parser.add_argument("--table", choices=("week", "draws", "disk"), help="one of the three")


def run(options: argparse.Namespace) -> list[Table]:
    tables = []
    if options.table in (None, "week"):
        tables.append(week_table(Plan(seed=options.seed).of_keys(options.keys), options.part))
    if options.table in (None, "draws"):
        tables.append(draws_table(Plan(seed=options.seed), options.draws))
    if options.table in (None, "disk"):
        tables.append(disk_table(measured(options.shards, 1000)))
    return tables


def week_table(whole: Plan, part: int) -> Table:
    plan = whole.share(part)

    # As the command does: hundreds of calls in flight are no rubbish.
    gc.freeze()
    gc.set_threshold(20_000)
    before = time.process_time()
    books = virtual.run(Week(plan).run())
    cpu = time.process_time() - before
    lines = [
        ("rows", f"{plan.rows:,}".replace(",", " ")),
        ("keys, gateways, processes", f"{plan.keys}, {plan.keys}, {plan.keys * plan.processes}"),
        ("virtual time", f"{books.finished_at / HOUR:.1f} h, for {books.finished_at * part / DAY:.1f} days"),
        *sorted((what, str(count)) for what, count in books.events.items()),
        ("time over that of all keys without a failure", f"{books.finished_at / books.nominal:.3f}"),
        ("time over what the service allowed meanwhile", f"{books.finished_at / books.ideal:.3f}"),
        ("rows paid twice", f"{books.paid_twice} ({books.paid_twice / plan.rows:.2%})"),
        ("of them at most: in flight at a kill", str(books.in_flight_at_kills)),
        ("of them at most: answers lost on the way", str(books.lost)),
        ("rows given up: in doubt twice, not sent a third time", str(books.failed)),
        ("times an account was drawn down to its floor", str(books.draws)),
        ("of them fell below it", str(books.broken)),
        ("credits below a floor, worst of the keys", f"{books.below_floor:.4f}"),
        ("406s with money on the account", str(books.own_406)),
        ("429s a call", f"{books.rate_limited / books.calls:.4f}"),
        *((f"highest RSS after {share:.0%} of the rows, MB", f"{peak:.0f}") for share, peak in _ends(books)),
        ("CPU a row, service and network included, µs", f"{cpu / plan.rows * 1e6:.0f}"),
    ]
    print(*(": ".join(line) for line in lines), sep="\n", file=sys.stderr, flush=True)
    told = "the whole week" if part == 1 else f"one of {part} parts of the week"
    if plan.keys < Plan.keys:
        told += f", {plan.keys} of {Plan.keys} keys"
    return Table("scale, week", ("what", told), lines)


def draws_table(plan: Plan, draws: int) -> Table:
    left = sorted(virtual.run(drawn_down(plan, draws)))
    broken = [-one for one in left if one < 0]
    lines = [
        ("times drawn down to the floor", str(draws)),
        ("of them fell below it", f"{len(broken)} ({len(broken) / draws:.1%})"),
        ("furthest below, in calls", f"{max(broken, default=0) / plan.cost:.1f}"),
        ("left above the floor, in calls: median", f"{left[draws // 2] / plan.cost:.1f}"),
        ("left above the floor, in calls: 99th percentile", f"{left[draws * 99 // 100] / plan.cost:.1f}"),
    ]
    return Table("scale, draws", ("what", "one key, no failures"), lines)


def _ends(books: Books) -> list[tuple[float, float]]:
    return [books.memory[0], books.memory[-1]]


@dataclass(frozen=True)
class Disk:
    """Of real shards, each of the same size."""

    rows: int
    shards: int
    journals: int
    """Bytes of all of them."""
    index: int
    again: float
    """CPU seconds for a shard that has all its answers in its journal."""
    divided: float
    """The same for one that finds all its answers in the journals of others."""
    report: float
    """CPU seconds to sum up all journals."""


@contextmanager
def _serving(emulator: Emulator) -> Iterator[Emulator]:
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(emulator):
        yield emulator


def measured(shards: int, size: int) -> Disk:
    """Run real shards, run them again, and run other shards of the same rows."""
    rows = [{"text": f"mail {n}: " + "Where is my parcel? " * 20} for n in range(shards * size)]
    blocks = [rows[first : first + size] for first in range(0, len(rows), size)]
    with (
        tempfile.TemporaryDirectory() as folder,
        _serving(Emulator(latency=0.001, balance=10_000)) as emulator,
    ):
        os.environ.update(SEGMIND_API_KEY=emulator.key, SEGMIND_BASE_URL=emulator.url)
        job = ShardJob(Path(folder) / "journal", prompt="Classify: {text}", limits=Limits(64))

        def cpu(of: list[list[dict[str, str]]]) -> float:
            before = time.process_time()
            for block in of:
                for _ in run_shard(block, job):
                    pass
            return (time.process_time() - before) / len(of)

        cpu(blocks)
        again = cpu(blocks)
        before = time.process_time()
        read_folder(job.journal)
        report = time.process_time() - before
        journals = sum(path.stat().st_size for path in Path(folder).rglob("*.journal"))
        index = sum(path.stat().st_size for path in Path(folder).rglob("answers.index"))
        shifted = rows[size // 2 :] + rows[: size // 2]
        divided = cpu([shifted[first : first + size] for first in range(0, len(rows), size)])
    return Disk(size, shards, journals, index, again, divided, report)


def disk_table(disk: Disk) -> Table:
    rows = disk.rows * disk.shards
    lines = []
    for what, each, unit, form in (
        ("journals", disk.journals / rows, "bytes", _bytes),
        ("index of all journals", disk.index / rows, "bytes", _bytes),
        ("a shard that has its answers", disk.again / disk.rows, "CPU µs", _cpu),
        ("a shard whose answers others have", disk.divided / disk.rows, "CPU µs", _cpu),
        ("sums of all journals", disk.report / rows, "CPU µs", _cpu),
    ):
        shown = each * 1e6 if unit == "CPU µs" else each
        lines.append((what, f"{shown:.0f} {unit}", form(each * ROWS), form(each * 100 * ROWS)))
    return Table("scale, disk", ("what", "a row", "10⁷ rows", "10⁹ rows"), lines)


def _bytes(count: float) -> str:
    return f"{count / 1e9:.1f} GB" if count < 1e12 else f"{count / 1e12:.2f} TB"


def _cpu(seconds: float) -> str:
    return f"{seconds / 60:.1f} min" if seconds < HOUR else f"{seconds / HOUR:.1f} h"
