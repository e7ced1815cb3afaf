"""The exit codes of the command, and which one an error or a finished job means."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Awaitable, Callable, Mapping
from enum import IntEnum
from importlib.util import find_spec
from typing import NoReturn

import anyio
import typer

from .._jobs.files.file_job import NotWrittenError
from .._jobs.report.row_counts import JobReport
from .._process import early_interrupt
from .._process.stop_signals import as_interrupt
from .._text.error_text import class_and_message
from ..errors import (
    AccessError,
    ConfigurationError,
    CreditsError,
    InvalidRequestError,
    NotFoundError,
    RequestError,
    SegmindError,
)
from ..models import Status, StopReason
from .console import drop, is_gone, say


class Exit(IntEnum):
    """Exit code of the process."""

    OK = 0
    """All rows are ok."""
    SOME_FAILED = 1
    """Some rows failed, up to `max_failures`; or a single call failed and may succeed later."""
    USAGE = 2
    """The command, an option or a file cannot work as given."""
    CREDITS = 3
    """Stopped for want of credits; the same command continues."""
    REFUSED = 4
    """The service refused the key, the model or the request."""
    LOCAL_IO = 5
    """A local file could not be read or written."""
    OUTAGE = 6
    """The service failed for longer than `max_outage`, or the cluster did; the same command continues."""
    INTERRUPTED = 130
    """SIGINT, SIGTERM or SIGHUP; the same command continues."""


MEANINGS: Mapping[Exit, str] = {
    Exit.OK: "All rows are ok.",
    Exit.SOME_FAILED: "Some rows failed, --max-failures included; or one call failed, and may succeed later.",
    Exit.USAGE: "An option or a file cannot work as given; nothing was sent.",
    Exit.CREDITS: "Stopped for want of credits; the same command continues.",
    Exit.REFUSED: "The service refused the key, the model or the request.",
    Exit.LOCAL_IO: "A local file could not be read or written.",
    Exit.OUTAGE: "The service failed for longer than --max-outage, or a cluster; the same command continues.",
    Exit.INTERRUPTED: "Interrupted (Ctrl-C, SIGTERM, SIGHUP); the same command continues.",
}
"""The meaning of each exit code, as the help prints it."""

EXIT_AFTER_STOP = {
    StopReason.CREDITS: Exit.CREDITS,
    StopReason.INTERRUPTED: Exit.INTERRUPTED,
    StopReason.MAX_FAILURES: Exit.SOME_FAILED,
    StopReason.OUTAGE: Exit.OUTAGE,
    StopReason.REFUSED: Exit.REFUSED,
    StopReason.DISK: Exit.LOCAL_IO,
    # The command itself never stops a job for these: an error is raised through it, and it takes all rows.
    StopReason.ERROR: Exit.SOME_FAILED,
    StopReason.STOPPED: Exit.SOME_FAILED,
    StopReason.CONSUMER_LEFT: Exit.SOME_FAILED,
}


def exit_for_report(report: JobReport) -> Exit:
    """Return the exit code of a job that has ended."""
    assert report.fan_out is not None
    if report.fan_out.stop_reason is not None:
        return EXIT_AFTER_STOP[report.fan_out.stop_reason]
    return Exit.SOME_FAILED if report.counts[Status.FAILED] else Exit.OK


def exit_for_error(error: SegmindError) -> Exit:
    """Return the exit code of a command that ended with *error*."""
    if isinstance(error, ConfigurationError | InvalidRequestError):
        return Exit.USAGE
    if isinstance(error, CreditsError):
        return Exit.CREDITS
    if isinstance(error, AccessError | NotFoundError | RequestError):
        return Exit.REFUSED
    return Exit.SOME_FAILED


def run_to_exit(main: Callable[[], Awaitable[Exit]]) -> NoReturn:
    """Run a command and exit with its code; an error becomes one line on stderr. Uses uvloop if installed."""
    was_early = early_interrupt.give_back()
    try:
        code = anyio.run(
            _interruptible, main, backend_options={"use_uvloop": find_spec("uvloop") is not None}
        )
        sys.stdout.flush()
    except (KeyboardInterrupt, NotWrittenError):
        code = Exit.INTERRUPTED
        say("interrupted")
    except SegmindError as error:
        code = exit_for_error(error)
        say(class_and_message(error))
    except OSError as error:
        # Whoever read the output, such as head, has seen enough.
        code = Exit.OK if is_gone(error) else _local_failure(error)
        drop(sys.stdout)
    except sqlite3.Error as error:
        code = _local_failure(error)
    if was_early:
        early_interrupt.install()
    raise typer.Exit(code)


async def _interruptible(main: Callable[[], Awaitable[Exit]]) -> Exit:
    with as_interrupt():
        return await main()


def _local_failure(error: Exception) -> Exit:
    say(class_and_message(error))
    return Exit.LOCAL_IO
