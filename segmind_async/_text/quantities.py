"""Credits and durations as short texts for people. Pure."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal


def credits_text(amount: Decimal | None) -> str:
    """Format credits to four decimals, smaller amounts to three digits; None becomes a dash."""
    if amount is None:
        return "–"
    if not amount:
        return "0"
    decimals = max(4, min(10, 2 - amount.adjusted()))
    return f"{amount.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_EVEN):f}"


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
