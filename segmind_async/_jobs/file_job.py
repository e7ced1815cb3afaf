"""A job on a file, as the command runs it: handles Ctrl-C and writes the output file."""

from __future__ import annotations

import math
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
"""Seconds after the first Ctrl-C for calls in flight to end."""


CountRows: TypeAlias = Callable[[threading.Event], int | None]
"""Counts the rows of a file in a thread, for the progress; returns None when the event is set."""


async def run_file(
    make_run: Callable[[Iterator[Row]], JobRun],
    open_rows: OpenRows,
    output: Path,
    count_rows: CountRows | None = None,
) -> JobReport:
    """Run a job over all rows of a file, and write one row for each to *output*.

    The file is parsed twice: while sending, and to write the output in its order.

    The first Ctrl-C stops the sending and lets calls in flight end; the second cancels them. *output* is
    written when the job has ended, for any reason but a crash of the process.

    Raises OSError or sqlite3.Error if a file cannot be written; the journal keeps what it has.
    """
    with open_rows() as rows:
        run = make_run(rows)
        run.skip_finished = True  # `matched` reads them for the output
        async with run:
            await _consume_with_signals(run, count_rows)
            await run.end()
            report = await _write_output(run, open_rows, output)
    report.fan_out = run.report.fan_out
    return report


async def _consume_with_signals(run: JobRun, count_rows: CountRows | None) -> None:
    """Consume all outcomes, which the journal has already, handle signals, and count the rows meanwhile."""
    failed: Exception | None = None
    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as consuming:
            tasks.start_soon(_handle_signals, run, consuming)
            if count_rows is not None:
                tasks.start_soon(_expect_rows, run, count_rows)
            failed = await _consume(run)
        tasks.cancel_scope.cancel()
    if failed is not None:
        raise failed


async def _consume(run: JobRun) -> Exception | None:
    """Consume all outcomes; return the error that ended them, which a task group would wrap."""
    try:
        async for _ in run:
            pass
    except Exception as error:  # noqa: BLE001  # raised again by the caller
        return error
    return None


async def _handle_signals(run: JobRun, consuming: anyio.CancelScope) -> None:
    """Stop sending at the first signal; cancel calls in flight at the second, or after the grace period."""
    if threading.current_thread() is not threading.main_thread():
        return  # only the main thread receives signals
    with suppress(NotImplementedError), anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        await anext(signals)
        run.stop("interrupted", StopReason.INTERRUPTED)
        with anyio.move_on_after(_GRACE):
            await anext(signals)
        consuming.cancel()


async def _expect_rows(run: JobRun, count_rows: CountRows) -> None:
    """Let the progress know how many rows there are, before they have all been read."""
    stop = threading.Event()
    try:
        rows = await anyio.to_thread.run_sync(count_rows, stop, abandon_on_cancel=True)
    except Exception:  # noqa: BLE001  # the job reads the same file, and reports what is wrong with it
        return
    finally:
        stop.set()
    if rows is not None:
        run.reporter.expect(rows)


async def _write_output(run: JobRun, open_rows: OpenRows, output: Path) -> JobReport:
    """Write one row of output for each row of the input, in its order, and count them."""
    report = JobReport(resumed=run.report.resumed, recovered=run.report.recovered)
    report.resubmitted, report.repeated = run.report.resubmitted, run.report.repeated
    with open_rows() as rows, open_output(output) as put:
        async for row, record in run.matched(rows):
            _count(report, row, record)
            put(row_of(row, record))
            report.kept += record is not None and (record.number or math.inf) <= run.journal.kept
    report.never_sent = sum(not record.attempts for record in run.not_kept.values())
    report.asked_again = len(run.not_kept) - report.never_sent
    return report


def _count(report: JobReport, row: Row, record: Record | None) -> None:
    if row.request is None:
        report.count(Status.FAILED, INVALID_ROW, row.problem)
    elif record is None:
        report.count(Status.UNSENT, None, None)
    else:
        report.add(record)
