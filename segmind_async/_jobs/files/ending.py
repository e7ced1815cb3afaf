"""How a job on files ends at Ctrl-C: it stops sending, then cancels, then leaves results unwritten."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from enum import Enum
from typing import TypeAlias

import anyio

from ...models import StopReason
from ..run import JobRun

GRACE = 60.0
"""Seconds after the first Ctrl-C for calls in flight to end."""


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


class Ending:
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
