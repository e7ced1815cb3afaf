"""The live view of a running job on stderr: redrawn on a terminal, else a line every ten seconds.

It reads no clock: the time comes with each progress record. Text of a model or of the server is neither
interpreted as markup nor able to control the terminal.
"""

from __future__ import annotations

from textwrap import wrap
from types import TracebackType

from rich.console import Console, Group
from rich.text import Text

from .._jobs.file_job import GRACE, Stage
from .._jobs.progress import JobProgress, Recent, seconds_to_end, seconds_to_floor
from .._jobs.report.samples import SampleRow, Samples
from .._text.quantities import credits_text, duration
from ..models import StopReason, WaitReason
from .console import drop
from .wording import count, latency_text, one_line, rate_text

LINE_EVERY = 10.0
"""Seconds between two lines if stderr is not a terminal."""

DRAW_EVERY = 0.25
"""Seconds between two redraws; more often would be unreadable."""

_WIDE = 130
"""Columns from which the view has two halves."""

_LABEL = 10
"""Columns of a line's label."""

_CLASSES, _SLOWEST, _STATE = 4, 3, 3
"""Numbers of error classes, slow rows and lines of state that are shown."""

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
        if not has_stopped and progress.elapsed - (before.elapsed if before else 0.0) < pause:
            return
        self._shown = progress
        if self._draws:
            self._draw(frame(progress, self._recent, self.samples, self._console.width))
        else:
            self._write(line(progress, self._recent) + "\n")

    def tell(self, stage: Stage, written: int) -> None:
        """Show the stage of the job, and while its results are written how many of their rows are."""
        if stage not in {Stage.WRITING, Stage.WRITING_LAST}:
            return
        done = self._shown.total if self._shown is not None else None
        text = writing_text(stage, written, done)
        if self._draws:
            self._draw([Text(part) for part in wrap(text, self._console.width)])
        elif (written and self._told % _TOLD_EVERY == 0) or (not written and stage is Stage.WRITING_LAST):
            self._write(text + "\n")
        self._told += written > 0

    def clear(self) -> None:
        """Erase the view from the screen."""
        self._write(self._erase_sequence())
        self._frame = []

    def _draw(self, lines: list[Text]) -> None:
        # The cursor is below the last line, and lines scrolled off the screen cannot be redrawn.
        lines = lines[: max(1, self._console.height - 1)]
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


def can_draw(console: Console) -> bool:
    """Return whether *console* is a terminal that supports redrawing."""
    return console.is_terminal and not console.is_dumb_terminal and not console.legacy_windows


def line(progress: JobProgress, recent: Recent) -> str:
    """Return the progress of a job as one line without colours."""
    if (ending := ending_text(progress, recent)) is not None:
        return ending
    of_total = f" of {count(progress.total)}" if progress.total is not None else ""
    parts = [f"{count(progress.done)}{of_total} rows done, {count(progress.failed)} failed"]
    if progress.resumed:
        parts[0] += f", {count(progress.resumed)} from earlier runs"
    if progress.pending is not None:
        parts[0] += f", {count(progress.pending)} to go"
    parts.append(rate_text(recent.rate))
    parts.append(f"{progress.in_flight} in flight, limit {progress.statistics.limit}")
    needed = f", {credits_text(progress.needed)} needed to finish" if progress.needed is not None else ""
    left = credits_text(progress.statistics.balance)
    parts.append(f"{credits_text(progress.spent)} credits spent, {left} left{needed}")
    ends_in = seconds_to_end(progress, recent.rate)
    if ends_in is not None:
        parts.append(f"about {duration(ends_in)} to go")
    if (state := state_of(progress, recent)) is not None:
        parts.append(state)
    return "; ".join(parts)


def writing_text(stage: Stage, written: int, total: int | None) -> str:
    """Return what is said while the results are written; of *total* rows, if that is known."""
    whole = f" of {count(total)}" if total is not None else ""
    text = f"writing the results: {count(written)}{whole} rows"
    return f"{text}; Ctrl-C again leaves them unwritten" if stage is Stage.WRITING_LAST else text


def ending_text(progress: JobProgress, recent: Recent) -> str | None:
    """Return what is waited for after Ctrl-C; None if there was none."""
    if progress.fan_out.stop_reason is not StopReason.INTERRUPTED:
        return None
    if not progress.in_flight:
        return "stopping: nothing in flight any more"
    calls = f"{count(progress.in_flight)} call{'s' * (progress.in_flight > 1)} in flight"
    left = duration(max(0.0, GRACE - recent.stopped_for))
    return f"stopping: {calls}, at most {left} more; Ctrl-C again cancels them"


def state_of(progress: JobProgress, recent: Recent) -> str | None:
    """Return what a job waits for, or why it ends; None in normal operation."""
    if (ending := ending_text(progress, recent)) is not None:
        return ending
    if progress.fan_out.stop_reason is not None:
        return one_line(f"no more is sent, what is in flight ends: {progress.fan_out.stop_message}")
    wait = progress.statistics.wait
    if wait is not None and (wait.reason is WaitReason.OUTAGE or not progress.in_flight):
        return str(wait)
    return None


def frame(progress: JobProgress, recent: Recent, samples: Samples, width: int) -> list[Text]:
    """Return the lines of the view, none longer than *width* columns."""
    facts = _facts(progress, recent)
    details = _errors(samples) + _slowest(samples)
    lines = [_bar(progress, width)]
    if width < _WIDE:
        lines += facts + details
    else:
        left = width * 11 // 20
        for row in range(max(len(facts), len(details))):
            text = facts[row].copy() if row < len(facts) else Text()
            text.truncate(left - 2, overflow="ellipsis")
            if row < len(details):
                text = Text.assemble(text, " " * (left - text.cell_len), details[row])
            lines.append(text)
    state = state_of(progress, recent)
    if state is not None:
        # At the top and in full: lines below may be cut off, and this one may call for action.
        lines[1:1] = [Text(part, style="bold yellow") for part in wrap(state, width)[:_STATE]]
    for text in lines:
        text.truncate(width, overflow="ellipsis")
    return lines


def _bar(progress: JobProgress, width: int) -> Text:
    """Return a bar of the rows that are ok, failed and pending."""
    done, total = progress.done, progress.total
    if total is None:
        return Text.assemble(f"{count(done)} rows done", (" of an unknown total", "dim"))
    share = min(1.0, done / total) if total else 1.0
    # Rounded down: 100 % is shown only when every row is done.
    figures = f" {count(done)} of {count(total)} · {int(share * 1000) / 10:.1f} %"
    room = max(10, width - len(figures))
    failed = round(room * min(progress.failed + progress.invalid, done) / total) if total else 0
    filled = int(room * share)
    failed = min(filled, max(failed, int(progress.failed > 0)))
    return Text.assemble(
        ("━" * (filled - failed), "green"),
        ("━" * failed, "red"),
        ("─" * (room - filled), "dim"),
        (figures, "bold"),
    )


def _facts(progress: JobProgress, recent: Recent) -> list[Text]:
    """Return the lines of every job."""
    return [
        _rows(progress),
        *_speed(progress, recent),
        _money(progress),
        _time(progress, recent),
        _latency(progress),
    ]


def _rows(progress: JobProgress) -> Text:
    parts: list[str | tuple[str, str]] = [f"{count(progress.ok)} ok"]
    failed = f" · {count(progress.failed)} failed"
    parts.append((failed, "red") if progress.failed else failed)
    if progress.invalid:
        parts.append(f" · {count(progress.invalid)} invalid")
    if progress.resumed:
        parts.append(f" · {count(progress.resumed)} from earlier runs")
    if progress.pending is not None:
        parts.append(f" · {count(progress.pending)} to go")
    return _labelled_line("rows", *parts)


def _speed(progress: JobProgress, recent: Recent) -> list[Text]:
    pace = progress.statistics.requests_per_minute
    limit = f"at most {count(round(pace))} calls a minute" if pace is not None else "no limit known"
    why = "" if pace is None else _why(progress.statistics.pace_reason)
    waiting = f" · {count(progress.waiting)} waiting" if progress.waiting else ""
    if progress.waiting and progress.in_flight and progress.statistics.wait is not None:
        waiting += f": {progress.statistics.wait}"
    refused = f" · {count(progress.fan_out.rate_limited)} × 429" if progress.fan_out.rate_limited else ""
    return [
        _labelled_line("rate", rate_text(recent.rate), f" · {limit}", refused, (why, "dim")),
        _labelled_line(
            "in flight",
            f"{progress.in_flight} of {progress.statistics.limit}",
            waiting,
            # With nothing in flight the limit is not what calls wait for: that is said above.
            (_why(progress.statistics.limit_reason) if progress.in_flight else "", "dim"),
        ),
    ]


def _why(reason: str) -> str:
    return f" ({one_line(reason)})" if reason else ""


def _money(progress: JobProgress) -> Text:
    before = f" + {credits_text(progress.spent_before)} before" if progress.spent_before else ""
    held, left = credits_text(progress.statistics.held), credits_text(progress.statistics.balance)
    parts: list[str | tuple[str, str]] = [
        f"{credits_text(progress.spent)} spent{before}",
        f" · {held} held · {left} left",
    ]
    needed, spendable = progress.needed, progress.spendable
    if needed is not None:
        short = spendable is not None and needed > spendable
        text = f" · {credits_text(needed)} needed"
        parts.append((text, "bold yellow") if short else text)
    if progress.fan_out.maybe_paid_twice:
        parts.append((f" · {count(progress.fan_out.maybe_paid_twice)} maybe paid twice", "yellow"))
    if progress.floor:
        parts.append((f" (floor {progress.floor.normalize():f})", "dim"))
    return _labelled_line("credits", *parts)


def _time(progress: JobProgress, recent: Recent) -> Text:
    parts: list[str | tuple[str, str]] = [f"{duration(progress.elapsed)} so far"]
    if progress.fan_out.stop_reason is not None:
        return _labelled_line("time", *parts)  # it ends before its rows do
    ends_in = seconds_to_end(progress, recent.rate)
    floor_in = seconds_to_floor(progress, recent.spend_rate)
    if ends_in is not None:
        parts.append(f" · about {duration(ends_in)} to go")
    if floor_in is not None:
        what = "credits used up" if not progress.floor else "floor reached"
        soon = ends_in is None or floor_in < ends_in
        text = f" · {what} in {duration(floor_in)}"
        parts.append((text, "bold yellow") if soon else (text, "dim"))
    return _labelled_line("time", *parts)


def _latency(progress: JobProgress) -> Text:
    quantiles = (progress.fan_out.latency_p50, progress.fan_out.latency_p95, progress.fan_out.latency_p99)
    names = ("half within", "95 % within", "99 % within")
    return _labelled_line(
        "latency",
        " · ".join(f"{name} {latency_text(value)}" for name, value in zip(names, quantiles, strict=True)),
    )


def _errors(samples: Samples) -> list[Text]:
    """Return the error classes, each with its first message."""
    lines: list[Text] = []
    errors = samples.errors
    for one in errors[:_CLASSES]:
        text = one_line(one.example.message or "")
        lines.append(
            _labelled_line(
                "errors" if not lines else "",
                (f"{count(one.count)} × ", "red"),
                (one_line(one.name), "red"),
                (f"  {text}", "dim"),
            )
        )
    if len(errors) > _CLASSES:
        rest = sum(one.count for one in errors[_CLASSES:])
        lines.append(_labelled_line("", (f"{count(rest)} of {len(errors) - _CLASSES} classes more", "dim")))
    return lines


def _slowest(samples: Samples) -> list[Text]:
    return [
        _labelled_line("slowest" if not n else "", _slow(row))
        for n, row in enumerate(samples.slowest[:_SLOWEST])
    ]


def _slow(row: SampleRow) -> Text:
    text = Text(f"{latency_text(row.seconds):>6}  {one_line(row.name)}")
    if row.error is not None:
        text.append(f"  {one_line(row.error)}", style="red")
    if row.excerpt is not None:
        text.append(f"  {one_line(row.excerpt)}", style="dim")
    return text


def _labelled_line(label: str, *parts: str | tuple[str, str] | Text) -> Text:
    return Text.assemble((f"{label:<{_LABEL}}", "dim"), *parts)
