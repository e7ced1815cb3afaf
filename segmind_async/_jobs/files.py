"""A job on a file: a program's whole work, so it listens for Ctrl-C and writes its results as a file."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TypeAlias

import anyio

from ..models import Status, StopReason
from .formats.output import open_output
from .journal.record import Record
from .report.row_counts import INVALID_ROW, JobReport
from .results import row_of
from .rows import Row
from .run import JobRun

OpenRows: TypeAlias = Callable[[], AbstractContextManager[Iterator[Row]]]

_GRACE = 60.0
"""Seconds that calls in flight get to end after a first Ctrl-C."""


async def run_file(
    make_run: Callable[[Iterator[Row]], JobRun], open_rows: OpenRows, output: Path
) -> JobReport:
    """Run a job over all rows of a file, and write one row for each to *output*.

    The file is read twice: while sending, and to write the output in its order.

    Ctrl-C ends the sending and lets what is in flight end; a second one ends at once. *output* appears when
    the job has ended, for whatever reason but a crash of the process, in input order.

    Raises OSError or sqlite3.Error if the disk does not take it; what was written before is kept.
    """
    with open_rows() as rows:
        run = make_run(rows)
        run.skip_finished = True  # `matched` reads them for the output
        async with run:
            await _drained(run)
            await run.end()
            report = await _written(run, open_rows, output)
    report.fan_out = run.report.fan_out
    return report


async def _drained(run: JobRun) -> None:
    """Take what comes, it has been kept already, and listen for signals."""
    failed: Exception | None = None
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as consuming:
            tasks.start_soon(_listen, run, consuming)
            failed = await _consumed(run)
        tasks.cancel_scope.cancel()
    if failed is not None:
        raise failed


async def _consumed(run: JobRun) -> Exception | None:
    """Take all outcomes; what ends them too early is returned, for a task group would wrap it."""
    try:
        async for _ in run:
            pass
    except Exception as error:  # noqa: BLE001  # whatever it is
        return error
    return None


async def _listen(run: JobRun, consuming: anyio.CancelScope) -> None:
    """Stop sending at the first signal; at the second, or when the grace is over, stop at once."""
    if threading.current_thread() is not threading.main_thread():
        return  # signals come to the main thread alone
    with suppress(NotImplementedError), anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        await anext(signals)
        run.stop("interrupted", StopReason.INTERRUPTED)
        with anyio.move_on_after(_GRACE):
            await anext(signals)
        consuming.cancel()


async def _written(run: JobRun, open_rows: OpenRows, output: Path) -> JobReport:
    """Write the result of every row, in order of the input, and count."""
    report = JobReport(resumed=run.report.resumed, recovered=run.report.recovered)
    report.resubmitted, report.repeated = run.report.resubmitted, run.report.repeated
    with open_rows() as rows, open_output(output) as put:
        async for row, record in run.matched(rows):
            _count(report, row, record)
            put(row_of(row, record))
    return report


def _count(report: JobReport, row: Row, record: Record | None) -> None:
    if row.request is None:
        report.count(Status.FAILED, INVALID_ROW, row.problem)
    elif record is None:
        report.count(Status.UNSENT, None, None)
    else:
        report.book(record)
