"""A job on files, as the command runs it: sends its rows and writes the results."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeAlias

import anyio

from ..._process.stop_signals import on_stop_signals
from ..report.row_counts import JobReport
from ..rows import Row
from ..run import JobRun
from .ending import Ending, TellStage
from .output_files import OpenRows, Output, OutputWriter, Part

CountRows: TypeAlias = Callable[[threading.Event, Callable[[int], None]], int | None]
"""Counts the rows of a file in a thread, for the progress: calls a function with how many it has counted so
far, and returns None when the event is set."""


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
        run.results_only = target.only
        run.reporter.part = part is not None
        async with run:
            ending = Ending(run, tell)
            with on_stop_signals(ending.on_signal):
                report = await _send_and_write(run, ending, target, open_rows, count_rows, part)
            if report is None:
                raise NotWrittenError(run.report)
    report.fan_out = run.report.fan_out
    return report


async def _send_and_write(
    run: JobRun,
    ending: Ending,
    output: Output,
    open_rows: OpenRows,
    count_rows: CountRows | None,
    part: Part | None,
) -> JobReport | None:
    """Send all rows, and write the output; return None if a signal has left it unwritten."""
    await _consume_and_count(run, ending, count_rows)
    ending.begin_writing()
    await run.end()
    with ending.writing:
        writer = OutputWriter(run, output, part, ending.told_written)
        return await writer.write(part.open_all if part else open_rows)
    return None


async def _consume_and_count(run: JobRun, ending: Ending, count_rows: CountRows | None) -> None:
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
