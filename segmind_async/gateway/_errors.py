"""Refusals as values: their status, and the headers that tell an SDK whether to send again. Pure.

SDKs decide by status and headers whether they send again: openai-python and openai-node repeat 408, 409, 429
and 5xx unless `x-should-retry: false` forbids it (their `_should_retry`, openai-python 3.57).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from .. import errors
from .._wire.response_headers import ELAPSED
from ..errors import SegmindError

INVALID = "invalid_request_error"
QUOTA = "insufficient_quota"
BUSY_FOR = 1.0
"""Seconds after which a caller may ask again where nothing says how long it takes."""


@dataclass(eq=False)
class GatewayError(Exception):
    """A request that is refused, or a call that failed: what its caller receives."""

    status: int
    message: str
    type: str = INVALID
    code: str | None = None
    param: str | None = None
    """The field of the request that is wrong; None if no single one is."""
    final: bool = False
    """Whether an SDK is told not to send it again; below 500 it is told so for all but 429."""
    retry_after: float | None = None
    """Seconds to wait before that."""
    cost: Decimal | None = None
    """Credits it cost nevertheless."""
    model: str | None = None
    """The model that was called; None if no call was made."""
    request_id: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """Further headers."""


def invalid(message: str, param: str | None = None, code: str | None = None) -> GatewayError:
    """Return the problem of a request that must change."""
    return GatewayError(400, message, code=code, param=param)


def headers_of(problem: GatewayError) -> dict[str, str]:
    """Return the headers that tell an SDK what to do."""
    headers = dict(problem.headers)
    if problem.final or (problem.status < 500 and problem.status != 429):
        headers["x-should-retry"] = "false"
    if problem.retry_after is not None:
        headers["Retry-After"] = str(max(1, math.ceil(problem.retry_after)))
    return headers


def gateway_error_of(error: SegmindError, *, timed: bool = False) -> GatewayError:
    """Return what the caller of the gateway is told of a failed call; *timed*: it has named a timeout."""
    status, kind, code = _kind_of(error)
    # Sending a call again that may have been billed can bill it twice: that takes a new request.
    paid = isinstance(error, errors.InvalidResponseError | errors.OutputError)
    doubted = error.details.in_doubt > 0 or paid
    return GatewayError(
        status,
        error.message,
        kind,
        code,
        _PARAMS.get(type(error)),
        # The time that a caller has named is used up: sending again would spend it once more.
        final=doubted
        or isinstance(error, errors.AccessError)
        or (timed and isinstance(error, errors.APITimeoutError)),
        retry_after=(error.retry_after or BUSY_FOR) if status == 503 else None,
        cost=error.details.cost,
        model=error.details.model,
        request_id=error.request_id,
        headers={ELAPSED: f"{error.details.elapsed:.3f}"} if error.details.elapsed else {},
    )


def budget_error(error: errors.BudgetExceededError, name: str, *, daily: bool) -> GatewayError:
    """Return what the caller is told when a budget is used up: which, and when it is filled again."""
    found = gateway_error_of(error)
    until = "; it is filled again at midnight UTC" if daily else ""
    found.message = f"budget {name!r}: {error.message}{until}"
    return found


_PARAMS: Mapping[type[SegmindError], str] = {
    errors.NotFoundError: "model",
    errors.ModelRetiredError: "model",
    errors.ToolsNotSupportedError: "tools",
}

_KINDS: tuple[tuple[type[SegmindError], tuple[int, str, str | None]], ...] = (
    (errors.NotFoundError, (404, INVALID, "model_not_found")),
    (errors.ModelRetiredError, (404, INVALID, "model_retired")),
    (errors.ToolsNotSupportedError, (400, INVALID, "tools_not_supported")),
    (errors.OutputTruncatedError, (400, INVALID, "output_truncated")),
    (errors.RefusalError, (400, INVALID, "content_filter")),
    (errors.OutputError, (502, "api_error", "upstream_unreadable")),
    (errors.RequestError, (400, INVALID, None)),
    # The caller's token was right: the gateway's own key is what is refused.
    (errors.AuthenticationError, (502, "api_error", "upstream_key_refused")),
    (errors.PermissionDeniedError, (403, "permission_error", "model_not_allowed")),
    (errors.BudgetExceededError, (402, QUOTA, QUOTA)),
    (errors.CreditsError, (402, QUOTA, QUOTA)),
    # The gateway paces its calls itself; a 429 means only that a queue here is full.
    (errors.RateLimitError, (503, "api_error", "upstream_rate_limited")),
    (errors.APITimeoutError, (504, "api_error", "timeout")),
    (errors.APIConnectionError, (502, "api_error", "upstream_unreachable")),
    (errors.ServerError, (502, "api_error", "upstream_failed")),
    (errors.InvalidResponseError, (502, "api_error", "upstream_unreadable")),
    (errors.ClientClosedError, (503, "api_error", "shutting_down")),
)


def _kind_of(error: SegmindError) -> tuple[int, str, str | None]:
    return next((kind for known, kind in _KINDS if isinstance(error, known)), (500, "api_error", None))
