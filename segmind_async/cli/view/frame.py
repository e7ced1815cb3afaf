"""The lines of the live view, and the one line for what is not a terminal.

It reads no clock: the time comes with each progress record. Text of a model or of the server is neither
interpreted as markup nor able to control the terminal. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from textwrap import wrap

from rich.text import Text

from ..._jobs.files.ending import GRACE, Stage
from ..._jobs.progress import JobProgress, Recent, seconds_to_end, seconds_to_floor
from ..._jobs.report.samples import SampleRow, Samples
from ..._text.escaping import one_line
from ..._text.quantities import credits_text, duration
from ..._text.wait_reasons import Wait, WaitReason
from ...models import StopReason
from ..wording import count, latency_text, rate_text, rough
from .fitting import Part, fitted

_WIDE = 130
"""Columns from which the view has two halves."""

_NARROW = 60
"""Columns below which the view is one line."""

_LABEL = 10
"""Columns of a line's label."""

_TURN = 5.0
"""Seconds from which the wait for the pace is worth a line of its own."""

_CLASSES, _SLOWEST, _STATE = 4, 3, 3
"""Numbers of error classes, slow rows and lines of state that are shown."""


def line(progress: JobProgress, recent: Recent) -> str:
    """Return the progress of a job as one line without colours, of any length."""
    if (ending := ending_text(progress, recent)) is not None:
        return ending
    rows = _rows_text(progress) if progress.total is None else f"{_rows_text(progress)} rows"
    parts = [f"{rows} done, {count(progress.failed)} failed"]
    if progress.resumed:
        parts[0] += f", {count(progress.resumed)} from earlier runs"
    if progress.pending is not None:
        parts[0] += f", {count(progress.pending)} to go"
    if recent.rate is not None:
        parts.append(rate_text(recent.rate))
    parts.append(f"{progress.in_flight} in flight, limit {progress.statistics.limit}")
    needed = f", {credits_text(progress.needed)} needed to finish" if progress.needed is not None else ""
    left = (
        "" if progress.statistics.balance is None else f", {credits_text(progress.statistics.balance)} left"
    )
    parts.append(f"{credits_text(progress.spent)} credits spent{left}{needed}")
    if (end := _end(progress, recent)) is not None:
        parts.append(end.text)
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
    wait = _remarkable_wait(progress)
    return None if wait is None else _in_words_of_options(str(wait))


def _remarkable_wait(progress: JobProgress) -> Wait | None:
    """Return what the whole job waits for, unless it is its turn in the pace: that is how a pace works."""
    wait = progress.statistics.wait
    if wait is None or (wait.reason is not WaitReason.OUTAGE and progress.in_flight):
        return None
    is_turn = wait.reason is WaitReason.PACE and wait.left is not None and wait.left < _TURN
    return None if is_turn else wait


def frame(progress: JobProgress, recent: Recent, samples: Samples, width: int) -> list[Text]:
    """Return the lines of the view, none longer than *width* columns.

    From 130 columns it has two halves; below 60 it is one line.
    """
    if width < _NARROW:
        return [_only_line(progress, recent, width)]
    details = _errors(samples) + _slowest(samples)
    lines = [_bar(progress, width)]
    if width < _WIDE:
        lines += _facts(progress, recent, width) + details
    else:
        left = width * 11 // 20
        lines += _halves(_facts(progress, recent, left - 2), details, left)
    state = state_of(progress, recent)
    if state is not None:
        # At the top and in full: lines below may be cut off, and this one may call for action.
        lines[1:1] = [Text(part, style="bold yellow") for part in wrap(state, width)[:_STATE]]
    for text in lines:
        text.truncate(width, overflow="ellipsis")
    return lines


def _halves(facts: list[Text], details: list[Text], left: int) -> list[Text]:
    """Return lines with *facts* in the first *left* columns, and *details* beside them."""
    lines = []
    for row in range(max(len(facts), len(details))):
        text = facts[row] if row < len(facts) else Text()
        if row < len(details):
            text = Text.assemble(text, " " * (left - text.cell_len), details[row])
        lines.append(text)
    return lines


def _only_line(progress: JobProgress, recent: Recent, width: int) -> Text:
    """Return the line of a narrow terminal: rows, money left, time left, or what the job waits for."""
    left, end = progress.statistics.balance, _end(progress, recent)
    parts = [
        Part(_rows_text(progress, short=True)),
        Part(_short_state(progress) or "", 1, "bold yellow"),
        Part("" if left is None else f"{rough(left)} left", 2),
        Part("" if end is None else end.short, 3, "" if end is None else end.style),
        Part(f"{count(progress.failed)} failed" if progress.failed else "", 4, "red"),
    ]
    return fitted("", parts, width)


def _short_state(progress: JobProgress) -> str | None:
    """Return the state of the job in a few words; None in normal operation."""
    if progress.fan_out.stop_reason is not None:
        return f"stopping: {count(progress.in_flight)} in flight" if progress.in_flight else "stopping"
    if (wait := _remarkable_wait(progress)) is None:
        return None
    left = "" if wait.left is None else f" {duration(ceil(wait.left))}"
    return f"waiting{left} ({wait.reason.value.replace('_', ' ')})"


def _rows_text(progress: JobProgress, *, short: bool = False) -> str:
    """Return the rows that are done, and of how many: 120 of 12 000, or of 12 000+ while they are counted."""
    done, of = count(progress.done), "/" if short else " of "
    if progress.total is not None:
        return f"{done}{of}{count(progress.total)}"
    if progress.counted <= progress.done:
        return f"{done} rows"
    return f"{done}{of}{count(progress.counted)}+{'' if short else ' rows'}"


def _bar(progress: JobProgress, width: int) -> Text:
    """Return a bar of the rows that are ok, failed and pending."""
    done, total = progress.done, progress.total
    figures = f" {_rows_text(progress)}"
    if total is None:
        # No length yet: a bar would show a share that falls while the rows are counted.
        return Text.assemble(("─" * (width - len(figures)), "dim"), (figures, "bold"))
    share = min(1.0, done / total) if total else 1.0
    # Rounded down: 100 % is shown only when every row is done.
    figures += f" · {int(share * 1000) / 10:.1f} %"
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


def _facts(progress: JobProgress, recent: Recent, width: int) -> list[Text]:
    """Return the lines of every job; those of which nothing is known yet are left out."""
    lines = {
        "rows": _rows(progress),
        "rate": _rate(progress, recent),
        "in flight": _in_flight(progress),
        "credits": _money(progress),
        "time": _time(progress, recent),
        "latency": _latency(progress),
    }
    return [fitted(f"{label:<{_LABEL}}", parts, width) for label, parts in lines.items() if parts]


def _rows(progress: JobProgress) -> list[Part]:
    return [
        Part(f"{count(progress.ok)} ok"),
        Part(f"{count(progress.failed)} failed", 0, "red" if progress.failed else ""),
        Part(f"{count(progress.invalid)} invalid" if progress.invalid else "", 2),
        Part(f"{count(progress.resumed)} from earlier runs" if progress.resumed else "", 3),
        Part("" if progress.pending is None else f"{count(progress.pending)} to go", 1),
    ]


def _rate(progress: JobProgress, recent: Recent) -> list[Part]:
    pace, limited = progress.statistics.requests_per_minute, progress.fan_out.rate_limited
    if recent.rate is None and pace is None and not limited:
        return []
    return [
        Part("" if recent.rate is None else rate_text(recent.rate)),
        Part("" if pace is None else f"at most {count(round(pace))} calls a minute", 2),
        Part(f"{count(limited)} × 429" if limited else "", 1),
        Part("" if pace is None else _in_words_of_options(progress.statistics.pace_reason), 3, "dim"),
    ]


def _in_flight(progress: JobProgress) -> list[Part]:
    wait, waiting = progress.statistics.wait, progress.waiting
    # With nothing in flight the limit is not what calls wait for: that is said above.
    why = _in_words_of_options(progress.statistics.limit_reason) if progress.in_flight else ""
    return [
        Part(f"{count(progress.in_flight)} of {count(progress.statistics.limit)}"),
        Part(why, 3, "dim"),
        Part(f"{count(waiting)} waiting" if waiting else "", 1),
        Part(
            _in_words_of_options(str(wait)) if progress.in_flight and waiting and wait is not None else "",
            2,
            "dim",
        ),
    ]


def _in_words_of_options(reason: str) -> str:
    """Return why a limit is as it is; who reads it has given an option and no argument."""
    return (
        one_line(reason).replace("max_in_flight", "--max-in-flight").replace("requests_per_minute", "--rpm")
    )


def _money(progress: JobProgress) -> list[Part]:
    left, held = progress.statistics.balance, progress.statistics.held
    needed, twice = progress.needed, progress.fan_out.maybe_paid_twice
    before = f" + {credits_text(progress.spent_before)} before" if progress.spent_before else ""
    short = needed is not None and progress.spendable is not None and needed > progress.spendable
    return [
        Part(f"{credits_text(progress.spent)} spent{before}", 1),
        Part(f"{credits_text(held)} held" if held else "", 5),
        Part("" if left is None else f"{credits_text(left)} left"),
        Part("" if needed is None else f"{credits_text(needed)} needed", 2, "bold yellow" if short else ""),
        Part(f"{count(twice)} maybe paid twice" if twice else "", 3, "yellow"),
        Part(f"floor {progress.floor.normalize():f}" if progress.floor else "", 4, "dim"),
    ]


def _time(progress: JobProgress, recent: Recent) -> list[Part]:
    end = _end(progress, recent)
    so_far = Part(f"{duration(progress.elapsed)} so far", 1)
    return [so_far] if end is None else [so_far, Part(end.text, 0, end.style)]


@dataclass(frozen=True, slots=True)
class _End:
    """What ends a job, and when."""

    text: str
    short: str
    style: str = ""


def _end(progress: JobProgress, recent: Recent) -> _End | None:
    """Return when the job ends, by its rows or by its credits, whichever is sooner; None if not known."""
    if progress.fan_out.stop_reason is not None:
        return None  # it ends before its rows do
    wait = _remarkable_wait(progress)
    if wait is not None and wait.reason in {WaitReason.OUTAGE, WaitReason.TOP_UP}:
        return None  # it stands still until somebody else does something
    ends_in = seconds_to_end(progress, recent.rate)
    floor_in = seconds_to_floor(progress, recent.spend_rate)
    if floor_in is not None and (ends_in is None or floor_in < ends_in):
        text, short = _bound(progress)
        return _End(f"{text} in {_soon(floor_in)}", f"{short} in {duration(floor_in)}", "bold yellow")
    if ends_in is None:
        return None
    return _End(f"all done in {_soon(ends_in)}", f"{duration(ends_in)} to go")


def _soon(seconds: float) -> str:
    return f"about {duration(seconds)}" if seconds >= 1 else "a moment"


def _bound(progress: JobProgress) -> tuple[str, str]:
    """Return which bound the job's credits reach first, in full and in short."""
    left, most = progress.statistics.balance, progress.max_credits
    if most is not None and (left is None or most - progress.spent_by_all < left - progress.floor):
        return "--max-credits reached", "max"
    return ("floor reached", "floor") if progress.floor else ("credits used up", "empty")


def _latency(progress: JobProgress) -> list[Part]:
    found = (progress.fan_out.latency_p50, progress.fan_out.latency_p95, progress.fan_out.latency_p99)
    names = ("p50", "p95", "p99")
    return [
        Part(f"{name} {latency_text(value)}", rank)
        for rank, (name, value) in enumerate(zip(names, found, strict=True))
        if value is not None
    ]


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
        classes = len(errors) - _CLASSES
        more = f"{count(rest)} more of {count(classes)} other class{'es' * (classes > 1)}"
        lines.append(_labelled_line("", (more, "dim")))
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
