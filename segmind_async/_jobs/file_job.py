"""A job on a file, as the command runs it: handles Ctrl-C and writes the output file."""

from __future__ import annotations

import signal
import threading
from collections.abc import AsyncIterator, Callable, Container, Iterator
from contextlib import AbstractContextManager, aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import anyio

from ..models import Status, StopReason
from .formats.file_format import OutputFormat
from .formats.layout import InputColumns, Layout, layout
from .formats.output import BATCH_COLUMNS, open_output
from .journal.commit_thread import wait_for
from .journal.record import Record
from .report.row_counts import INVALID_ROW, JobReport
from .results import batch_row_of, row_of
from .rows import Row
from .run import JobRun

OpenRows: TypeAlias = Callable[[], AbstractContextManager[Iterator[Row]]]

_GRACE = 60.0
"""Seconds after the first Ctrl-C for calls in flight to end."""


CountRows: TypeAlias = Callable[[threading.Event], int | None]
"""Counts the rows of a file in a thread, for the progress; returns None when the event is set."""


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of an input that a job takes, if these are not all of them."""

    indices: Container[int]
    last: int
    """The largest of them."""
    open_all: OpenRows
    """Opens the whole input: the output has its other finished rows too."""


@dataclass(frozen=True, slots=True)
class Output:
    """The file that a job writes, and what stands in it."""

    path: Path
    prefix: str | None = None
    """Stands before the names of results; None: only before those that the input has too."""
    uniform: bool = False
    """Whether all rows of the input have the same columns: those of a table."""
    form: OutputFormat | None = None
    """None: what the name of the file says."""
    passed_on: bool = False
    """Whether the file is only passed on, and not to be known by later runs."""


OUTPUTS_FACT = "outputs"
"""Name of the journal's fact with the files that this job has written."""


async def run_file(
    make_run: Callable[[Iterator[Row]], JobRun],
    open_rows: OpenRows,
    output: Path | Output,
    count_rows: CountRows | None = None,
    part: Part | None = None,
) -> JobReport:
    """Run a job over all rows of a file, and write one row for each to *output*.

    The file is parsed twice: while sending, and to write the output in its order. With a *part* of the rows,
    the output has the rows of that part, and those of the others that earlier runs have finished.

    The first Ctrl-C stops the sending and lets calls in flight end; the second cancels them. *output* is
    written when the job has ended, for any reason but a crash of the process.

    Raises OSError or sqlite3.Error if a file cannot be written; the journal keeps what it has.
    """
    target = output if isinstance(output, Output) else Output(output)
    with open_rows() as rows:
        run = make_run(rows)
        run.skip_finished = True  # `matched` reads them for the output
        async with run:
            await _consume_with_signals(run, count_rows)
            await run.end()
            report = await _OutputWriter(run, target, part).write(part.open_all if part else open_rows)
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


class _OutputWriter:
    """Writes one row of output for each row of the input, in its order, and counts them."""

    def __init__(self, run: JobRun, output: Output, part: Part | None) -> None:
        self._run = run
        self._output = output
        self._part = part
        self._finished = 0
        """Records of the journal that are still to be met."""

    async def write(self, open_rows: OpenRows) -> JobReport:
        """Write the rows of *open_rows*, and return their report."""
        run = self._run
        report = JobReport(resumed=run.report.resumed, recovered=run.report.recovered)
        report.resubmitted, report.repeated = run.report.resubmitted, run.report.repeated
        await self._note_output()
        self._finished = await wait_for(run.journal.finished())
        columns, make = BATCH_COLUMNS, batch_row_of
        if self._output.form is not OutputFormat.OPENAI_BATCH:
            shape = await anyio.to_thread.run_sync(self._layout, open_rows)
            columns, make = shape.columns, lambda row, record: shape.row(row.columns, row_of(row, record))
        with open_rows() as rows, open_output(self._output.path, columns, self._output.form) as put:
            async with aclosing(run.matched(rows)) as matched:
                await self._put_rows(matched, report, lambda row, record: put(make(row, record)))
        report.never_sent = sum(not record.attempts for record in run.not_kept.values())
        report.asked_again = len(run.not_kept) - report.never_sent
        return report

    async def _put_rows(
        self,
        matched: AsyncIterator[tuple[Row, Record | None]],
        report: JobReport,
        put: Callable[[Row, Record | None], None],
    ) -> None:
        async for row, record in matched:
            if self._is_past_end(row):
                return
            if self._is_written(report, row, record):
                put(row, record)

    async def _note_output(self) -> None:
        """Note in the journal which file it explains, before that is written."""
        if self._output.passed_on:
            return
        journal, path = self._run.journal, str(self._output.path.resolve())
        known = await wait_for(journal.fact(OUTPUTS_FACT))
        outputs = known if isinstance(known, list) else []
        if path not in outputs:
            await wait_for(journal.set_fact(OUTPUTS_FACT, [*outputs, path]))

    def _layout(self, open_rows: OpenRows) -> Layout:
        """Return the columns of the output; reads the rows that it will have, or the first one of a table."""
        inputs = InputColumns()
        with open_rows() as rows:
            for row in rows:
                inputs.add(row.columns)
                if (self._output.uniform and row.columns) or self._is_past_end(row):
                    break
        return layout(inputs.columns, self._output.prefix)

    def _is_past_end(self, row: Row) -> bool:
        """Return whether no row from *row* on belongs to the part or is finished."""
        return self._part is not None and row.index > self._part.last and self._finished <= 0

    def _is_written(self, report: JobReport, row: Row, record: Record | None) -> bool:
        """Return whether the output has a row, and count it."""
        if record is not None and record.number is not None:
            self._finished -= 1
            report.kept += record.number <= self._run.journal.kept
        if self._part is not None and row.index not in self._part.indices:
            if record is None:
                return False
            report.resumed += 1
        _count(report, row, record)
        return True


def _count(report: JobReport, row: Row, record: Record | None) -> None:
    if row.request is None:
        report.count(Status.FAILED, INVALID_ROW, row.problem)
    elif record is None:
        report.count(Status.UNSENT, None, None)
    else:
        report.add(record)
