"""A job on a file, as the command runs it: handles Ctrl-C and writes the output file."""

from __future__ import annotations

import signal
import threading
from collections.abc import AsyncIterator, Callable, Container, Iterator, Mapping
from contextlib import AbstractContextManager, aclosing
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TypeAlias

import anyio

from ..._process.stop_signals import on_stop_signals
from ...models import Status, StopReason
from ..formats.columns import Columns
from ..formats.file_format import OutputFormat
from ..formats.layout import InputColumns, Layout, layout
from ..formats.output import BATCH_COLUMNS, open_output
from ..journal.commit_thread import wait_for
from ..journal.record import Record
from ..report.row_counts import INVALID_ROW, JobReport
from ..results import batch_row_of, row_of
from ..rows import Row
from ..run import JobRun

OpenRows: TypeAlias = Callable[[], AbstractContextManager[Iterator[Row]]]

GRACE = 60.0
"""Seconds after the first Ctrl-C for calls in flight to end."""

_TELL_EVERY = 0.25
"""Seconds between two reports of how many rows of the output are written."""

_LOOK_EVERY = 256
"""Rows of the output between two looks at the clock."""


CountRows: TypeAlias = Callable[[threading.Event, Callable[[int], None]], int | None]
"""Counts the rows of a file in a thread, for the progress: calls a function with how many it has counted so
far, and returns None when the event is set."""


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
    fields: Columns | None = None
    """Columns of the fields of structured answers; None: the column `parsed` has them."""
    only: bool = False
    """Whether nothing is sent, and the file is written from what earlier runs have finished."""


OUTPUTS_FACT = "outputs"
"""Name of the journal's fact with the files that this job has written."""


class Stage(Enum):
    """The stage of a job on a file."""

    SENDING = "sending"
    ENDING = "ending"
    """No more is sent; calls in flight may end."""
    WRITING = "writing"
    """The results are being written."""
    WRITING_LAST = "writing, for the last time"
    """The same; another signal leaves them unwritten."""
    LEFT = "left"
    """The results are not written."""


_AFTER_SIGNAL: Mapping[Stage, Stage] = {
    Stage.SENDING: Stage.ENDING,
    Stage.ENDING: Stage.WRITING_LAST,
    Stage.WRITING: Stage.WRITING_LAST,
    Stage.WRITING_LAST: Stage.LEFT,
    Stage.LEFT: Stage.LEFT,
}

TellStage: TypeAlias = Callable[[Stage, int], None]
"""Is called with each new stage, and while results are written with the number of their rows so far."""


class NotWrittenError(Exception):
    """The user did not wait for the results to be written; the journal has them."""

    def __init__(self, report: JobReport) -> None:
        super().__init__(report)
        self.report = report
        """Counts of this run and of the finished rows that it has met."""


async def run_file(
    make_run: Callable[[Iterator[Row]], JobRun],
    open_rows: OpenRows,
    output: Path | Output,
    count_rows: CountRows | None = None,
    part: Part | None = None,
    tell: TellStage | None = None,
) -> JobReport:
    """Run a job over all rows of a file, and write one row for each to *output*.

    The file is parsed twice: while sending, and to write the output in its order. With a *part* of the rows,
    the output has the rows of that part, and those of the others that earlier runs have finished.

    The first Ctrl-C (SIGTERM, SIGHUP) stops the sending and lets calls in flight end for `GRACE` seconds; the
    second cancels them. *output* is written when the job has ended, for any reason but a crash of the
    process.

    Raises NotWrittenError after one more signal while it is being written, OSError or sqlite3.Error if a
    file cannot be written; the journal keeps what it has.
    """
    target = output if isinstance(output, Output) else Output(output)
    with open_rows() as rows:
        run = make_run(rows)
        run.skip_finished = True  # `matched` reads them for the output
        run.reporter.part = part is not None
        async with run:
            ending = _Ending(run, tell)
            with on_stop_signals(ending.on_signal):
                report = await _send_and_write(run, ending, target, open_rows, count_rows, part)
            if report is None:
                raise NotWrittenError(run.report)
    report.fan_out = run.report.fan_out
    return report


class _Ending:
    """Ends a job stage by stage, at signals."""

    def __init__(self, run: JobRun, tell: TellStage | None) -> None:
        self.stage = Stage.SENDING
        self.consuming = anyio.CancelScope()
        self.writing = anyio.CancelScope()
        self._run = run
        self._tell = tell

    def on_signal(self, number: signal.Signals) -> None:
        """Begin the next stage. Only the first of several SIGHUPs counts: one closed terminal sends many."""
        if self.stage is not Stage.SENDING and number.name == "SIGHUP":
            return
        self._begin(_AFTER_SIGNAL[self.stage])
        if self.stage is Stage.ENDING:
            self.consuming.deadline = anyio.current_time() + GRACE
            self._run.stop("interrupted", StopReason.INTERRUPTED)
        elif self.stage is Stage.WRITING_LAST:
            self.consuming.cancel()
        elif self.stage is Stage.LEFT:
            self.writing.cancel()

    def begin_writing(self) -> None:
        """Note that nothing is in flight any more."""
        if self.stage in {Stage.SENDING, Stage.ENDING}:
            self._begin(Stage.WRITING)

    def told_written(self, rows: int) -> None:
        """Tell how many rows of the output are written."""
        if self._tell is not None:
            self._tell(self.stage, rows)

    def _begin(self, stage: Stage) -> None:
        self.stage = stage
        self.told_written(0)


async def _send_and_write(
    run: JobRun,
    ending: _Ending,
    output: Output,
    open_rows: OpenRows,
    count_rows: CountRows | None,
    part: Part | None,
) -> JobReport | None:
    """Send all rows, and write the output; return None if a signal has left it unwritten."""
    if output.only:
        run.stop("only the results are written")
    await _consume_and_count(run, ending, count_rows)
    ending.begin_writing()
    await run.end()
    with ending.writing:
        writer = _OutputWriter(run, output, part, ending.told_written)
        return await writer.write(part.open_all if part else open_rows)
    return None


async def _consume_and_count(run: JobRun, ending: _Ending, count_rows: CountRows | None) -> None:
    """Consume all outcomes, which the journal has already, and count the rows meanwhile."""
    failed: Exception | None = None
    async with anyio.create_task_group() as tasks:
        if count_rows is not None:
            tasks.start_soon(_expect_rows, run, count_rows)
        with ending.consuming:
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


async def _expect_rows(run: JobRun, count_rows: CountRows) -> None:
    """Let the progress know how many rows there are, before they have all been read."""
    stop = threading.Event()
    try:
        rows = await anyio.to_thread.run_sync(
            count_rows, stop, partial(setattr, run.reporter, "counted"), abandon_on_cancel=True
        )
    except Exception:  # noqa: BLE001  # the job reads the same file, and reports what is wrong with it
        return
    finally:
        stop.set()
    if rows is not None:
        run.reporter.expect(rows)


class _OutputWriter:
    """Writes one row of output for each row of the input, in its order, and counts them."""

    def __init__(
        self, run: JobRun, output: Output, part: Part | None, tell_written: Callable[[int], None]
    ) -> None:
        self._run = run
        self._output = output
        self._part = part
        self._tell_written = tell_written
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
        written, told_at = 0, anyio.current_time()
        async for row, record in matched:
            if self._is_past_end(row):
                return
            if not self._is_written(report, row, record):
                continue
            put(row, record)
            written += 1
            if written % _LOOK_EVERY == 0 and anyio.current_time() - told_at >= _TELL_EVERY:
                told_at = anyio.current_time()
                self._tell_written(written)

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
        return layout(inputs.columns, self._output.prefix, self._output.fields)

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
