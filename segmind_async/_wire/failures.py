"""Failures of an attempt as values: read from status and text here alone, and turned into errors.

Holds the table of the service's statuses and texts (Segmind's documentation as of 2026-08), and whether
another attempt can help; when it is made is decided in `_sending`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum, auto

from .. import errors
from ..errors import MAX_BODY, ErrorDetails, SegmindError
from .json import UnreadableError, read_object
from .response_headers import credits_in, is_final, request_id_in


class FailureKind(Enum):
    """Why an attempt failed, as far as the reason decides the reaction."""

    BAD_REQUEST = auto()
    NOT_FOUND = auto()
    RETIRED = auto()
    UNAUTHENTICATED = auto()
    FORBIDDEN = auto()
    OUT_OF_CREDITS = auto()
    SPEND_LIMIT = auto()
    RATE_LIMITED = auto()
    SERVER_ERROR = auto()
    """A 500: soon after a change of the request usually a bad parameter."""
    UNAVAILABLE = auto()
    """A status of a proxy, or of an overloaded service."""
    PERMANENT = auto()
    """A status that does not change with another attempt: 3xx, 501, 505."""
    UNREACHABLE = auto()
    """No connection."""
    GATEWAY_GONE = auto()
    """No connection to a gateway, known by an earlier answer or the settings; it will be started."""
    DISCONNECTED = auto()
    """The connection was lost before the answer was complete."""
    TIMED_OUT = auto()
    CERTIFICATE = auto()
    UNREADABLE = auto()
    """A 200 whose body is not an answer."""
    TOO_LARGE = auto()
    """A body over the limit; another answer would be as long."""


class Billing(Enum):
    """Whether a failed attempt may have been billed. The service bills only status 200."""

    NOT_SENT = auto()
    """Not billed: the request did not go out."""
    REFUSED = auto()
    """Not billed: the status was none of success."""
    IN_DOUBT = auto()
    """The body went out and no readable answer came back: the call may have run and been billed."""


class Resend(Enum):
    """Whether another attempt can help."""

    NEVER = auto()
    YES = auto()
    RARELY = auto()
    """At most `RetryPolicy.server_error_retries` times."""
    WHEN_OPEN = auto()
    """When the rate gate opens; not counted as a retry."""
    WHEN_BACK = auto()
    """As long as there is time; not counted as a retry."""
    WHEN_FUNDED = auto()
    """When the ledger has more available: after a completion or a top-up."""


_RULES: Mapping[FailureKind, tuple[type[SegmindError], Resend]] = {
    FailureKind.BAD_REQUEST: (errors.BadRequestError, Resend.NEVER),
    FailureKind.NOT_FOUND: (errors.NotFoundError, Resend.NEVER),
    FailureKind.RETIRED: (errors.ModelRetiredError, Resend.NEVER),
    FailureKind.UNAUTHENTICATED: (errors.AuthenticationError, Resend.NEVER),
    FailureKind.FORBIDDEN: (errors.PermissionDeniedError, Resend.NEVER),
    FailureKind.OUT_OF_CREDITS: (errors.InsufficientCreditsError, Resend.WHEN_FUNDED),
    FailureKind.SPEND_LIMIT: (errors.SpendLimitError, Resend.NEVER),
    FailureKind.RATE_LIMITED: (errors.RateLimitError, Resend.WHEN_OPEN),
    FailureKind.SERVER_ERROR: (errors.ServerError, Resend.RARELY),
    FailureKind.UNAVAILABLE: (errors.ServerError, Resend.YES),
    FailureKind.PERMANENT: (errors.InvalidResponseError, Resend.NEVER),
    FailureKind.UNREACHABLE: (errors.APIConnectionError, Resend.YES),
    FailureKind.GATEWAY_GONE: (errors.APIConnectionError, Resend.WHEN_BACK),
    FailureKind.DISCONNECTED: (errors.APIConnectionError, Resend.YES),
    FailureKind.TIMED_OUT: (errors.APITimeoutError, Resend.YES),
    FailureKind.CERTIFICATE: (errors.APIConnectionError, Resend.NEVER),
    FailureKind.UNREADABLE: (errors.InvalidResponseError, Resend.YES),
    FailureKind.TOO_LARGE: (errors.InvalidResponseError, Resend.NEVER),
}

_BY_STATUS = {
    401: FailureKind.UNAUTHENTICATED,
    402: FailureKind.OUT_OF_CREDITS,
    403: FailureKind.FORBIDDEN,
    404: FailureKind.NOT_FOUND,
    408: FailureKind.UNAVAILABLE,
    410: FailureKind.RETIRED,
    425: FailureKind.UNAVAILABLE,
    429: FailureKind.RATE_LIMITED,
    500: FailureKind.SERVER_ERROR,
    **dict.fromkeys((502, 503, 504, 520, 521, 522, 523, 524, 529), FailureKind.UNAVAILABLE),
}

# Status 406 has four causes, distinguished by the text alone. The first match counts: texts about a spend
# limit mention credits too. A text that matches none of them concerns a parameter's value.
_CAUSES_OF_406 = (
    (re.compile(r"content[ -]?type", re.I), FailureKind.BAD_REQUEST),
    (re.compile(r"spend(ing)? (limit|cap)|(team|member).{0,40} (limit|cap)", re.I), FailureKind.SPEND_LIMIT),
    (re.compile(r"credit|balance|insufficient|funds|top[ -]?up|\A\s*\Z", re.I), FailureKind.OUT_OF_CREDITS),
)

_AMOUNT = r"\D{0,40}?([0-9][0-9.]*(?:[eE][+-]?[0-9]+)?)"
_BALANCE = re.compile(rf"(?:balance|have|remaining|available){_AMOUNT}", re.I)
_NEEDED = re.compile(rf"(?:need|requir|cost|estimate)\w*{_AMOUNT}", re.I)


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed attempt."""

    kind: FailureKind
    message: str
    billing: Billing
    status: int | None = None
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    request_id: str | None = None
    retry_after: float | None = None
    """Seconds the server asked to wait."""
    balance: Decimal | None = None
    """Credits on the account, from the text of a 406."""
    needed: Decimal | None = None
    """Credits this call would need, from the text of a 406."""
    cause: BaseException | None = None
    final: bool = False
    """Whether a gateway has said that another attempt cannot help."""

    @property
    def resend(self) -> Resend:
        """Whether another attempt can help."""
        return Resend.NEVER if self.final else _RULES[self.kind][1]

    def error(self, details: ErrorDetails, floor: Decimal = Decimal(0)) -> SegmindError:
        """Return the error for the caller; *floor* is the balance, in credits, that the call had to leave."""
        error_type = _RULES[self.kind][0]
        if error_type is errors.InsufficientCreditsError:
            error: SegmindError = errors.InsufficientCreditsError(
                self.message, details, self.balance, self.needed, floor
            )
        else:
            error = error_type(self.message, details)
        error.__cause__ = self.cause
        return error


def refusal(status: int, headers: Mapping[str, str], body: bytes, retry_after: float | None) -> Failure:
    """Return the failure for a status other than 200. *headers* have lower-case names.

    Another status of success is no answer of the service either, but one of a proxy that may have lost it:
    it may have been billed.
    """
    body = body[:MAX_BODY]
    if 200 <= status < 300:
        return unreadable("this is no answer of the service", headers, body, status=status)
    text = error_text(body)
    kind = _kind_of(status, text)
    out_of_credits = kind is FailureKind.OUT_OF_CREDITS
    return Failure(
        kind=kind,
        message=f"HTTP {status}: {text}" if text else f"HTTP {status}",
        billing=Billing.REFUSED,
        status=status,
        body=body,
        headers=headers,
        request_id=request_id_in(headers),
        retry_after=retry_after,
        balance=_amount(_BALANCE, text) if out_of_credits else None,
        needed=_amount(_NEEDED, text) if out_of_credits else None,
        final=is_final(headers),
    )


def unreadable(
    reason: str,
    headers: Mapping[str, str],
    body: bytes,
    kind: FailureKind = FailureKind.UNREADABLE,
    status: int = 200,
) -> Failure:
    """Return the failure for a status of success whose body is not an answer.

    The call may have been billed.
    """
    return Failure(
        kind=kind,
        message=f"HTTP {status}, but {reason}",
        billing=Billing.IN_DOUBT,
        status=status,
        body=body[:MAX_BODY],
        headers=headers,
        request_id=request_id_in(headers),
    )


def _kind_of(status: int, text: str) -> FailureKind:
    if status == 406:
        return next(
            (kind for pattern, kind in _CAUSES_OF_406 if pattern.search(text)), FailureKind.BAD_REQUEST
        )
    known = _BY_STATUS.get(status)
    if known is not None:
        return known
    return FailureKind.BAD_REQUEST if 400 <= status < 500 else FailureKind.PERMANENT


def error_text(body: bytes) -> str:
    """Return the message in an error body, in one line; empty without one."""
    try:
        raw = read_object(body)
    except UnreadableError:
        return _one_line(_without_markup(body[:4096].decode("utf-8", "replace")))
    for name in ("error", "message", "detail"):
        text = raw.get(name)
        if isinstance(text, dict):
            text = text.get("message")
        if text:
            return _one_line(text if isinstance(text, str) else repr(text))
    return _one_line(repr(raw)) if any(raw.values()) else ""


def _without_markup(text: str) -> str:
    """Reduce an HTML page, as a proxy sends it, to its title or its text."""
    if "<" not in text:
        return text
    # No pattern goes past a "<": each character is looked at once or twice, whatever the page is.
    title = re.search(r"<title[^<>]*>([^<]*)</title>", text, re.I)
    return title.group(1) if title else re.sub(r"<[^<>]*>", " ", text)


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 500 else f"{line[:499]}…"


def _amount(pattern: re.Pattern[str], text: str) -> Decimal | None:
    found = pattern.search(text)
    return credits_in(found.group(1).rstrip(".")) if found else None
