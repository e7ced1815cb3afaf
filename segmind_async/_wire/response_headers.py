"""Read response headers: balance, cost, and the time to wait.

Every header may be missing, or in a form that is not documented. A value that cannot be read is None, never
0, and nothing here raises. Source of the names: Segmind's documentation as of 2026-08.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime

BALANCE = "x-remaining-credits"
COST = "x-cost"
REQUEST_ID = "x-request-id"
RESET_AT = "x-rate-limit-reset-at-utc"
RETRY_AFTER = "retry-after"
RETRY_AFTER_MS = "retry-after-ms"
DATE = "date"
GATEWAY = "x-segmind-gateway"
"""Sent by this library's own gateway with every answer; its value is a version."""
BUDGET = "x-segmind-budget"
"""Of a request to a gateway: the budget that the call counts in."""
BUDGET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
"""What a budget of a gateway may be named."""
CLIENT = "x-segmind-client"
"""Of a request to a gateway: an id of the client, by which it asks how many of its calls wait there."""
ATTEMPT = "x-segmind-attempt"
"""Of a request to a gateway: an id of this attempt, by which its client asks whether it was sent on."""
PRIORITY = "x-segmind-priority"
TIMEOUT = "x-segmind-timeout"
"""Of a request to a gateway: seconds that the call may take from when it is sent on."""
TRACE_CONTEXT = ("traceparent", "tracestate")
"""Of a request: the trace and the span that it belongs to (W3C Trace Context)."""
MIN_TIMEOUT = 0.001
"""The least of these seconds; they are written with three decimals."""
ELAPSED = "x-segmind-elapsed"
"""Of a gateway's refusal: seconds from when it sent the call on until it gave up."""
SHOULD_RETRY = "x-should-retry"
"""`false` says that another attempt cannot help; read from a gateway only."""

_DECIMAL = re.compile(r"[0-9]{1,20}(?:\.[0-9]{0,40})?(?:[eE][+-]?[0-9]{1,2})?", re.ASCII)

MAX_CREDITS = Decimal(10) ** 8
"""More than any account has: a higher figure is an error."""

MAX_COST = Decimal(10) ** 4
"""Credits. No call costs that much: the highest published mean is 0.08. A higher figure is an error, and a
journal could not sum up many of them in 64 bits."""

MAX_RESET_AHEAD = 15 * 60.0
"""Seconds. Rate windows last a minute: a reset further ahead means that the format was misread."""

MAX_RETRY_AFTER = 7 * 24 * 3600.0
"""Seconds. A longer wait is an error of the server."""

MAX_REQUEST_ID = 200
"""Characters. The service's ids have fewer than 40."""

# The years 2001 to 2286 in seconds; the same numbers × 1000 are milliseconds.
_EPOCH_SECONDS = (1e9, 1e10)


def balance_in(headers: Mapping[str, str]) -> Decimal | None:
    """Return the credits on the account as the headers give them; None if they do not, or not readably."""
    return credits_in(headers.get(BALANCE))


def cost_in(headers: Mapping[str, str]) -> Decimal | None:
    """Return the credits the call cost as the headers give them; None if they do not, or not readably."""
    cost = credits_in(headers.get(COST))
    return cost if cost is None or cost < MAX_COST else None


def is_gateway(headers: Mapping[str, str]) -> bool:
    """Return whether the answer is that of a gateway, which minds money and pace for all who call it."""
    return GATEWAY in headers


def is_final(headers: Mapping[str, str]) -> bool:
    """Return whether a gateway says that the same request would meet the same refusal."""
    return is_gateway(headers) and headers.get(SHOULD_RETRY) == "false"


def request_id_in(headers: Mapping[str, str]) -> str | None:
    """Return the id of a request, as text that can be stored and shown; None without one.

    What was not UTF-8 becomes question marks, and a long id is shortened.
    """
    value = headers.get(REQUEST_ID)
    if value is None or (value.isascii() and len(value) <= MAX_REQUEST_ID):
        return value
    return value[:MAX_REQUEST_ID].encode("utf-8", "replace").decode()


def credits_in(value: object) -> Decimal | None:
    """Read an amount of credits: any plain or scientific decimal from 0 upwards, else None."""
    if value is None:
        return None
    text = value.strip() if isinstance(value, str) else str(value) if _is_number(value) else ""
    if len(text) > 64 or not _DECIMAL.fullmatch(text):
        return None
    amount = Decimal(text)
    return amount if amount < MAX_CREDITS else None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def elapsed_in(headers: Mapping[str, str]) -> float:
    """Return the seconds that a gateway has spent on a call that failed; 0 if it names none."""
    return (_number(headers.get(ELAPSED, "")) or 0.0) if is_gateway(headers) else 0.0


def seconds_to_wait(headers: Mapping[str, str], wall_now: float) -> float | None:
    """Return the seconds that the server asks to wait; None if it does not.

    *headers* have lower-case names; *wall_now* is the wall clock in epoch seconds. Absolute times are
    compared with the answer's own `Date` if it has one, so that a wrong local clock does no harm. Of several
    values the longest counts.
    """
    now = _server_now(headers, wall_now)
    waits = (
        _retry_after(headers.get(RETRY_AFTER), now),
        _milliseconds(headers.get(RETRY_AFTER_MS)),
        _until_reset(headers.get(RESET_AT), now),
    )
    return max((wait for wait in waits if wait is not None), default=None)


def _server_now(headers: Mapping[str, str], wall_now: float) -> float:
    date = headers.get(DATE)
    server_now = _http_date(date) if date else None
    return wall_now if server_now is None else server_now


def _retry_after(text: str | None, now: float) -> float | None:
    if text is None:
        return None
    wait = _number(text)
    if wait is None:
        at = _http_date(text)
        wait = None if at is None else at - now
    return wait if wait is not None and 0 <= wait <= MAX_RETRY_AFTER else None


def _milliseconds(text: str | None) -> float | None:
    wait = None if text is None else _number(text)
    return wait / 1000 if wait is not None and wait / 1000 <= MAX_RETRY_AFTER else None


def _until_reset(text: str | None, now: float) -> float | None:
    if text is None:
        return None
    at = _epoch_of(text.strip())
    ahead = None if at is None else at - now
    return ahead if ahead is not None and 0 <= ahead <= MAX_RESET_AHEAD else None


def _epoch_of(text: str) -> float | None:
    """Read epoch seconds, epoch milliseconds or ISO 8601 (no zone means UTC)."""
    number = _number(text)
    if number is not None:
        low, high = _EPOCH_SECONDS
        if low <= number < high:
            return number
        return number / 1000 if low <= number / 1000 < high else None
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _number(text: str) -> float | None:
    text = text.strip()
    return float(text) if len(text) <= 64 and _DECIMAL.fullmatch(text) else None


def _http_date(text: str) -> float | None:
    try:
        moment = parsedate_to_datetime(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
