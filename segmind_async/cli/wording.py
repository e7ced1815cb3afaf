"""Formatting of numbers, durations and texts for the live view, the reports and the HTML page."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Decimal
from pathlib import Path

from .._jobs.report.report import Report
from ..models import WaitingFor
from .console import plain

WAITING_FOR: dict[WaitingFor, str] = {
    "slot": "a slot",
    "pace": "their start time",
    "gate": "the end of a 429's wait",
    "credits": "credits",
    "budget": "the budget",
}


def count(number: int) -> str:
    """Format a count: 10 000."""
    return f"{number:,}".replace(",", " ")


def credits_text(amount: Decimal | None) -> str:
    """Format credits to four decimals, smaller amounts to three digits; None becomes a dash."""
    if amount is None:
        return "–"
    if not amount:
        return "0"
    decimals = max(4, min(10, 2 - amount.adjusted()))
    return f"{amount.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_EVEN):f}"


def rough(amount: Decimal) -> str:
    """Format an estimate with three significant digits."""
    return f"{Decimal(f'{amount:.3g}'):f}"


def duration(seconds: float | None) -> str:
    """Format a duration: 8 s, 5:12 min, 1:02 h, 3 d 4 h; None becomes a dash."""
    if seconds is None:
        return "–"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}:{whole % 60:02} min"
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60}:{minutes % 60:02} h"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"


def latency_text(seconds: float | None) -> str:
    """Format a latency to two or three digits; None becomes a dash."""
    if seconds is None:
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s" if seconds >= 0.95 else f"{seconds:.2g} s"
    return f"{seconds:.0f} s"


def rate_text(a_second: float | None) -> str:
    """Format rows per second, or per minute below one; None becomes a dash."""
    if a_second is None:
        return "–"
    return f"{a_second:.1f} a second" if a_second >= 1 or not a_second else f"{a_second * 60:.1f} a minute"


def percent(share: float | None) -> str:
    """Format a share to a tenth of a percent; None becomes a dash."""
    return "–" if share is None else f"{100 * share:.1f} %"


def one_line(text: str) -> str:
    """Return text from outside as one line without control characters."""
    return plain(" ".join(text.split()))


def job_name(report: Report) -> str:
    """Return the name of a job: that of its journal without the suffix."""
    return one_line(Path(report.journal).name.removesuffix(".journal"))


def summary(report: Report) -> list[str]:
    """Return state, model, number of runs and time span, as short texts."""
    model = report.settings.get("model")
    parts = [one_line(report.state)]
    parts += [one_line(model)] if isinstance(model, str) else []
    parts += ["on the emulator"] if report.settings.get("emulate") else []
    parts += [f"{report.runs} runs"] if report.runs > 1 else []
    return parts + _span(report)


def _span(report: Report) -> list[str]:
    """Return the time span of the job in UTC, as a list of one or no text."""
    if report.begun_at is None or report.ended_at is None:
        return []
    begun, ended = (datetime.fromtimestamp(at, UTC) for at in (report.begun_at, report.ended_at))
    until = ended.strftime("%H:%M UTC" if begun.date() == ended.date() else "%Y-%m-%d %H:%M UTC")
    return [f"{begun:%Y-%m-%d %H:%M} to {until}"]
