"""Formatting of numbers, durations and texts for the live view, the reports and the HTML page."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from .._jobs.report.report import Report
from .._text.escaping import one_line


def count(number: int) -> str:
    """Format a count: 10 000."""
    return f"{number:,}".replace(",", " ")


def rough(amount: Decimal) -> str:
    """Format an estimate with three significant digits."""
    return f"{Decimal(f'{amount:.3g}'):f}"


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
    if a_second >= 100:
        return f"{count(round(a_second))} a second"
    return f"{a_second:.1f} a second" if a_second >= 1 or not a_second else f"{a_second * 60:.1f} a minute"


def percent(share: float | None) -> str:
    """Format a share to a tenth of a percent; None becomes a dash."""
    return "–" if share is None else f"{100 * share:.1f} %"


def job_name(report: Report) -> str:
    """Return the name of a job: that of its journal without the suffix."""
    return one_line(Path(report.journal).name.removesuffix(".journals").removesuffix(".journal"))


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
