"""The live view of a running job on stderr: redrawn on a terminal, else a line every ten seconds.

It reads no clock: the time comes with each progress record. Only before the first one a timer turns a sign.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from textwrap import wrap
from types import TracebackType

from rich.console import Console, Group
from rich.text import Text

from .._jobs.files.ending import Stage
from .._jobs.progress import JobProgress, Recent
from .._jobs.report.samples import Samples
from .._text.escaping import plain
from .console import drop
from .view.frame import frame, line, writing_text

LINE_EVERY = 10.0
"""Seconds between two lines if stderr is not a terminal."""

DRAW_EVERY = 0.25
"""Seconds between two redraws; more often would be unreadable."""

_TICK = 0.1
"""Seconds between two steps of what turns while nothing can be said yet."""

_TURNS = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"

_TOLD_EVERY = 40
"""Reports of rows written between two lines if stderr is not a terminal: as many as come in ten seconds."""


class Live:
    """Shows the progress records it is called with, as a context manager.

    *console* defaults to stderr. A dumb terminal, a file or a pipe gets lines.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.samples: Samples = Samples()
        """Samples of rows, filled by the job: `JobRun.samples`."""
        self._console = console or Console(stderr=True, highlight=False)
        self._draws = can_draw(self._console)
        self._recent = Recent()
        self._shown: JobProgress | None = None
        self._frame: list[Text] = []
        """The lines on the screen."""
        self._told = 0
        """Reports of rows written so far."""
        self._ticker: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"Live({'drawing' if self._draws else 'lines'}, shown={self._shown is not None})"

    def __enter__(self) -> Live:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def __call__(self, progress: JobProgress) -> None:
        """Show a progress record, unless the last one was shown just before."""
        self._recent.add(progress)
        before = self._shown
        has_stopped = progress.fan_out.stop_reason != (before.fan_out.stop_reason if before else None)
        pause = DRAW_EVERY if self._draws else LINE_EVERY
        # On a terminal the first record is shown at once: an empty screen looks as if nothing ran.
        is_due = progress.elapsed - (before.elapsed if before else 0.0) >= pause
        if not (has_stopped or is_due or (before is None and self._draws)):
            return
        self._stop_ticker()
        self._shown = progress
        if self._draws:
            self._draw(frame(progress, self._recent, self.samples, self._console.width))
        else:
            self._write(plain(line(progress, self._recent)) + "\n")

    def begin(self, what: Callable[[], str]) -> None:
        """Show on a terminal that something goes on, until the first record or `clear`; *what* says what."""
        self._stop_ticker()
        if self._draws:
            self._tick(asyncio.get_running_loop(), what, 0)

    def _tick(self, loop: asyncio.AbstractEventLoop, what: Callable[[], str], step: int) -> None:
        text = Text(f"{_TURNS[step % len(_TURNS)]} {what()}")
        text.truncate(self._console.width, overflow="ellipsis")
        self._draw([text])
        self._ticker = loop.call_later(_TICK, self._tick, loop, what, step + 1)

    def _stop_ticker(self) -> None:
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None

    def tell(self, stage: Stage, written: int) -> None:
        """Show the stage of the job, and while its results are written how many of their rows are."""
        if stage not in {Stage.WRITING, Stage.WRITING_LAST}:
            return
        self._stop_ticker()
        done = self._shown.total if self._shown is not None else None
        text = writing_text(stage, written, done)
        if self._draws:
            self._draw([Text(part) for part in wrap(text, self._console.width)])
        elif (written and self._told % _TOLD_EVERY == 0) or (not written and stage is Stage.WRITING_LAST):
            self._write(plain(text) + "\n")
        self._told += written > 0

    def clear(self) -> None:
        """Erase the view from the screen."""
        self._stop_ticker()
        self._write(self._erase_sequence())
        self._frame = []

    def _draw(self, lines: list[Text]) -> None:
        # The cursor is below the last line, and lines scrolled off the screen cannot be redrawn.
        lines = [_plain(text) for text in lines[: max(1, self._console.height - 1)]]
        try:
            with self._console.capture() as drawn:
                self._console.print(Group(*lines), no_wrap=True, overflow="ellipsis", crop=True)
        except OSError:  # of an earlier write that is still in the buffer
            drop(self._console.file)
            return
        self._write(self._erase_sequence() + drawn.get())
        self._frame = lines

    def _erase_sequence(self) -> str:
        """Return the control sequence that erases the last drawing."""
        if not self._frame:
            return ""
        if max(text.cell_len for text in self._frame) > self._console.width:
            # The terminal has become narrower: how it has wrapped the old lines is unknown.
            return "\x1b[H\x1b[2J"
        return f"\r\x1b[{len(self._frame)}A\x1b[J"

    def _write(self, text: str) -> None:
        if not text:
            return
        try:
            self._console.file.write(text)
            self._console.file.flush()
        except OSError:
            # The terminal or the reader of the pipe may be gone; the job continues.
            drop(self._console.file)


def _plain(text: Text) -> Text:
    """Return a line without control characters: rich lets some of them through."""
    return text if text.plain.isprintable() else Text(plain(text.plain))


def can_draw(console: Console) -> bool:
    """Return whether *console* is a terminal that supports redrawing."""
    return console.is_terminal and not console.is_dumb_terminal and not console.legacy_windows
