"""A job on files, as the command runs it: handles Ctrl-C and writes the results."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from functools import partial
from pathlib import Path
from typing import TypeAlias

import anyio

from ..._process.stop_signals import on_stop_signals
from ...models import StopReason
from ..report.row_counts import JobReport
from ..rows import Row
from ..run import JobRun
from .output_files import OpenRows, Output, OutputWriter, Part

GRACE = 60.0
"""Seconds after the first Ctrl-C for calls in flight to end."""

CountRows: TypeAlias = Callable[[threading.Event, Callable[[int], None]], int | None]
"""Counts the rows of a file in a thread, for the progress: calls a function with how many it has counted so
far, and returns None when the event is set."""


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
    """Run a job over all rows of a file or a folder, and write one row for each to *output*.

    The input is parsed twice: while sending, and to write the output in its order. With a *part* of the rows,
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
        writer = OutputWriter(run, output, part, ending.told_written)
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
