"""Shows a running job on stderr: on a terminal a display that is drawn anew, else a line now and then.

It reads no clock: standings say how late it is. Nothing of a model's or a server's text is taken for
markup, and none of it can steer the terminal.
"""

from __future__ import annotations

from contextlib import suppress
from textwrap import wrap
from types import TracebackType

from rich.console import Console, Group
from rich.text import Text

from .._jobs.progress import (
    JobProgress,
    Recent,
    seconds_to_end,
    seconds_to_floor,
)
from .._jobs.report.samples import SampleRow, Samples
from ..models import StopReason
from .wording import (
    WAITING_FOR,
    count,
    credits_text,
    duration,
    latency_text,
    one_line,
    rate_text,
)

LINE_EVERY = 10.0
"""Seconds between two lines where there is no terminal."""

DRAW_EVERY = 0.25
"""Seconds between two drawings: more often nobody reads."""

_WIDE = 130
"""Columns from which there is room for two halves."""

_LABEL = 10
"""Columns of what a line is about."""

_CLASSES, _SLOWEST, _STATE = 4, 3, 3
"""Classes of errors, slow rows, and lines of what is remarkable that are shown."""

ON_INTERRUPT = "interrupted: calls in flight get 60 s to end; Ctrl-C again ends at once"


class Live:
    """A job's `progress`, as a context manager: called with how it stands, it shows that.

    *console* is where; without one, stderr. A dumb terminal, a file or a pipe gets lines.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.notable = Samples()
        """Rows worth a look, that somebody else feeds: `JobRun.samples`."""
        self._console = console or Console(stderr=True, highlight=False)
        self._draws = can_draw(self._console)
        self._recent = Recent()
        self._shown: JobProgress | None = None
        self._frame: list[Text] = []
        """What stands on the screen."""

    def __repr__(self) -> str:
        return f"Live({'drawing' if self._draws else 'lines'}, shown={self._shown is not None})"

    def __enter__(self) -> Live:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def __call__(self, standing: JobProgress) -> None:
        """Show how a job stands, unless that was just done."""
        self._recent.add(standing)
        before = self._shown
        has_turned = standing.fan_out.stop_reason != (before.fan_out.stop_reason if before else None)
        pause = DRAW_EVERY if self._draws else LINE_EVERY
        if not has_turned and standing.elapsed - (before.elapsed if before else 0.0) < pause:
            return
        self._shown = standing
        if self._draws:
            self._draw(frame(standing, self._recent, self.notable, self._console.width))
        else:
            self._write(line(standing, self._recent) + "\n")

    def clear(self) -> None:
        """Take the display off the screen, so that what comes next stands in its place."""
        self._write(self._back())
        self._frame = []

    def _draw(self, lines: list[Text]) -> None:
        # The cursor stands below, and nothing above the screen can be drawn anew.
        lines = lines[: max(1, self._console.height - 1)]
        # The terminal, or who read the pipe, may be gone; the job is not done yet.
        with suppress(OSError):
            with self._console.capture() as drawn:
                self._console.print(Group(*lines), no_wrap=True, overflow="ellipsis", crop=True)
            self._write(self._back() + drawn.get())
            self._frame = lines

    def _back(self) -> str:
        """Return what leads back to where the last drawing began, and wipes it off."""
        if not self._frame:
            return ""
        if max(text.cell_len for text in self._frame) > self._console.width:
            # The terminal has become narrower, and nobody can tell how it has wrapped the old lines.
            return "\x1b[H\x1b[2J"
        return f"\r\x1b[{len(self._frame)}A\x1b[J"

    def _write(self, text: str) -> None:
        with suppress(OSError):  # as above
            self._console.file.write(text)
            self._console.file.flush()


def can_draw(console: Console) -> bool:
    """Tell whether *console* is a terminal whose lines can be drawn anew."""
    return console.is_terminal and not console.is_dumb_terminal and not console.legacy_windows


def line(standing: JobProgress, recent: Recent) -> str:
    """Return how a job stands, in one line without colours."""
    if standing.fan_out.stop_reason is StopReason.INTERRUPTED:
        return ON_INTERRUPT
    of_all = f" of {count(standing.total)}" if standing.total is not None else ""
    parts = [f"{count(standing.done)}{of_all} rows done, {count(standing.failed)} failed"]
    if standing.resumed:
        parts[0] += f", {count(standing.resumed)} from earlier runs"
    if standing.pending is not None:
        parts[0] += f", {count(standing.pending)} to go"
    parts.append(rate_text(recent.rate))
    parts.append(f"{standing.in_flight} in flight, limit {standing.statistics.limit}")
    needed = f", {credits_text(standing.needed)} needed to finish" if standing.needed is not None else ""
    left = credits_text(standing.statistics.balance)
    parts.append(f"{credits_text(standing.spent)} credits spent, {left} left{needed}")
    ends_in = seconds_to_end(standing, recent.rate)
    if ends_in is not None:
        parts.append(f"about {duration(ends_in)} to go")
    if (state := state_of(standing)) is not None:
        parts.append(state)
    return "; ".join(parts)


def state_of(standing: JobProgress) -> str | None:
    """Say what a job waits for, or why it ends; None while nothing is remarkable."""
    if standing.fan_out.stop_reason is StopReason.INTERRUPTED:
        return ON_INTERRUPT
    if standing.fan_out.stop_reason is not None:
        return one_line(f"no more is sent, what is in flight ends: {standing.fan_out.stop_message}")
    outage, waiting_for = standing.statistics.outage, standing.statistics.waiting_for
    if outage is not None:
        return f"the service fails for all, for {duration(outage)} now; one call at a time tries it"
    if waiting_for is not None and not standing.in_flight:
        return f"nothing is in flight: all wait for {WAITING_FOR[waiting_for]}"
    return None


def frame(standing: JobProgress, recent: Recent, notable: Samples, width: int) -> list[Text]:
    """Return the lines of the display, none longer than *width* columns."""
    facts = _facts(standing, recent)
    details = _errors(notable) + _slowest(notable)
    lines = [_bar(standing, width)]
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
    state = state_of(standing)
    if state is not None:
        # Above what may be cut off below, and whole: it says what to do.
        lines[1:1] = [Text(part, style="bold yellow") for part in wrap(state, width)[:_STATE]]
    for text in lines:
        text.truncate(width, overflow="ellipsis")
    return lines


def _bar(standing: JobProgress, width: int) -> Text:
    """Draw how much is done: the part that went well, what failed, and what is still to do."""
    done, total = standing.done, standing.total
    if total is None:
        return Text.assemble(f"{count(done)} rows done", (" of nobody knows yet how many", "dim"))
    share = min(1.0, done / total) if total else 1.0
    # Not rounded up: it is all done only when it is.
    figures = f" {count(done)} of {count(total)} · {int(share * 1000) / 10:.1f} %"
    room = max(10, width - len(figures))
    failed = round(room * min(standing.failed + standing.invalid, done) / total) if total else 0
    filled = int(room * share)
    failed = min(filled, max(failed, int(standing.failed > 0)))
    return Text.assemble(
        ("━" * (filled - failed), "green"),
        ("━" * failed, "red"),
        ("─" * (room - filled), "dim"),
        (figures, "bold"),
    )


def _facts(standing: JobProgress, recent: Recent) -> list[Text]:
    """Return the lines that every job has."""
    return [
        _rows(standing),
        *_speed(standing, recent),
        _money(standing),
        _time(standing, recent),
        _latency(standing),
    ]


def _rows(standing: JobProgress) -> Text:
    parts: list[str | tuple[str, str]] = [f"{count(standing.ok)} ok"]
    failed = f" · {count(standing.failed)} failed"
    parts.append((failed, "red") if standing.failed else failed)
    if standing.invalid:
        parts.append(f" · {count(standing.invalid)} unusable")
    if standing.resumed:
        parts.append(f" · {count(standing.resumed)} from earlier runs")
    if standing.pending is not None:
        parts.append(f" · {count(standing.pending)} to go")
    return _about("rows", *parts)


def _speed(standing: JobProgress, recent: Recent) -> list[Text]:
    pace = standing.statistics.requests_per_minute
    limit = f"at most {count(round(pace))} calls a minute" if pace is not None else "no limit known"
    why = "" if pace is None else _why(standing.statistics.pace_reason)
    waiting = f" · {count(standing.waiting)} waiting" if standing.waiting else ""
    if standing.waiting and standing.statistics.waiting_for is not None:
        waiting += f" for {WAITING_FOR[standing.statistics.waiting_for]}"
    refused = f" · {count(standing.fan_out.rate_limited)} × 429" if standing.fan_out.rate_limited else ""
    return [
        _about("rate", rate_text(recent.rate), f" · {limit}", refused, (why, "dim")),
        _about(
            "in flight",
            f"{standing.in_flight} of {standing.statistics.limit}",
            waiting,
            (_why(standing.statistics.limit_reason), "dim"),
        ),
    ]


def _why(reason: str) -> str:
    return f" ({one_line(reason)})" if reason else ""


def _money(standing: JobProgress) -> Text:
    before = f" + {credits_text(standing.spent_before)} before" if standing.spent_before else ""
    held, left = credits_text(standing.statistics.held), credits_text(standing.statistics.balance)
    parts: list[str | tuple[str, str]] = [
        f"{credits_text(standing.spent)} spent{before}",
        f" · {held} held · {left} left",
    ]
    needed, spendable = standing.needed, standing.spendable
    if needed is not None:
        short = spendable is not None and needed > spendable
        text = f" · {credits_text(needed)} needed"
        parts.append((text, "bold yellow") if short else text)
    if standing.fan_out.maybe_paid_twice:
        parts.append((f" · {count(standing.fan_out.maybe_paid_twice)} perhaps paid twice", "yellow"))
    if standing.floor:
        parts.append((f" (floor {standing.floor.normalize():f})", "dim"))
    return _about("credits", *parts)


def _time(standing: JobProgress, recent: Recent) -> Text:
    parts: list[str | tuple[str, str]] = [f"{duration(standing.elapsed)} so far"]
    if standing.fan_out.stop_reason is not None:
        return _about("time", *parts)  # it ends sooner than its rows do
    ends_in = seconds_to_end(standing, recent.rate)
    floor_in = seconds_to_floor(standing, recent.spend_rate)
    if ends_in is not None:
        parts.append(f" · about {duration(ends_in)} to go")
    if floor_in is not None:
        what = "credits used up" if not standing.floor else "floor reached"
        soon = ends_in is None or floor_in < ends_in
        text = f" · {what} in {duration(floor_in)}"
        parts.append((text, "bold yellow") if soon else (text, "dim"))
    return _about("time", *parts)


def _latency(standing: JobProgress) -> Text:
    quantiles = (standing.fan_out.latency_p50, standing.fan_out.latency_p95, standing.fan_out.latency_p99)
    names = ("half within", "95 % within", "99 % within")
    return _about(
        "latency",
        " · ".join(f"{name} {latency_text(value)}" for name, value in zip(names, quantiles, strict=True)),
    )


def _errors(notable: Samples) -> list[Text]:
    """Return the classes of errors, each with what the first of them said."""
    lines: list[Text] = []
    errors = notable.errors
    for one in errors[:_CLASSES]:
        text = one_line(one.example.message or "")
        lines.append(
            _about(
                "errors" if not lines else "",
                (f"{count(one.count)} × ", "red"),
                (one_line(one.name), "red"),
                (f"  {text}", "dim"),
            )
        )
    if len(errors) > _CLASSES:
        rest = sum(one.count for one in errors[_CLASSES:])
        lines.append(_about("", (f"{count(rest)} of {len(errors) - _CLASSES} classes more", "dim")))
    return lines


def _slowest(notable: Samples) -> list[Text]:
    return [
        _about("slowest" if not n else "", _slow(row)) for n, row in enumerate(notable.slowest[:_SLOWEST])
    ]


def _slow(row: SampleRow) -> Text:
    text = Text(f"{latency_text(row.seconds):>6}  {one_line(row.name)}")
    if row.error is not None:
        text.append(f"  {one_line(row.error)}", style="red")
    if row.excerpt is not None:
        text.append(f"  {one_line(row.excerpt)}", style="dim")
    return text


def _about(label: str, *parts: str | tuple[str, str] | Text) -> Text:
    return Text.assemble((f"{label:<{_LABEL}}", "dim"), *parts)
