"""The exceptions of the package, grouped by what the caller can do about them.

    SegmindError
    ├── ConfigurationError        fix an argument: nothing was sent       (also ValueError)
    ├── ClientClosedError         open a new client: nothing was sent     (also RuntimeError)
    ├── RequestError              fix the request
    │   ├── InvalidRequestError   refused here, nothing was sent          (also ValueError)
    │   ├── BadRequestError       400, 405, 413, 415, 422, 406 for another reason than credits
    │   ├── NotFoundError         404: unknown model, expired request id
    │   ├── ModelRetiredError     410
    │   └── ToolsNotSupportedError     the answer shows that no tool reached the model
    ├── AccessError               fix the key or its rights
    │   ├── AuthenticationError   401
    │   └── PermissionDeniedError 403
    ├── CreditsError              pay, or allow more to be spent
    │   ├── InsufficientCreditsError   the account cannot pay for this call
    │   ├── SpendLimitError            a team member's cap is reached
    │   └── BudgetExceededError        a budget of this program is used up: nothing was sent
    ├── RateLimitError            wait: 429
    ├── AgentLimitError           an agent's turns, time or budget are used up
    ├── TransientError            try later
    │   ├── ServerError           5xx, 408, 425
    │   ├── APIConnectionError    no answer came                          (also ConnectionError)
    │   └── APITimeoutError       an answer did not come in time          (also TimeoutError)
    ├── OutputError               change the prompt: the answer was billed
    │   ├── OutputValidationError not of the type given as `parse`, after all repeats
    │   ├── OutputTruncatedError  truncated by the bound on its length
    │   └── RefusalError          the model refused to answer
    └── InvalidResponseError      report a bug: an answer of no known form

The errors only carry facts. Statuses are mapped to them in `_wire.failures`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from .agent_result import AgentResult

KEY_PATTERN = r"SG_[\w-]+"
"""Regular expression of what looks like an API key."""

REDACTED = "SG_[redacted]"
"""Stands for an API key."""

_KEY = re.compile(KEY_PATTERN)

MAX_BODY = 64 * 1024
"""Bytes of a response body that an error keeps: enough to read, small enough to log."""


def redact(text: str) -> str:
    """Replace every text that looks like an API key (`SG_…`)."""
    return _KEY.sub(REDACTED, text) if "SG_" in text else text


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """Facts about a failed call; None or empty where they are unknown."""

    status: int | None = None
    """HTTP status of the last attempt."""
    body: bytes = b""
    """First 64 KiB of the last response."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers of the last response, names in lower case."""
    request_id: str | None = None
    """Segmind's `x-request-id`, as shown in its console."""
    model: str | None = None
    attempts: int = 0
    """HTTP requests sent for this call."""
    in_doubt: int = 0
    """Requests of this call that may have been billed although no readable answer came."""
    elapsed: float = 0.0
    """Seconds from the first slot to the failure."""
    retry_after: float | None = None
    """Seconds the server asked to wait."""
    cost: Decimal | None = None
    """Credits that attempts of this call cost, as far as the service named them."""
    answers: tuple[str, ...] = ()
    """Texts of the answers that were paid before the failure, in order."""


class SegmindError(Exception):
    """Base of all errors that this package raises on purpose."""

    args: tuple[Any, ...]

    def __init__(self, message: str, details: ErrorDetails | None = None, *extra: object) -> None:
        # Exception.__init__ by name: the next class may be OSError, which takes two arguments for an errno.
        Exception.__init__(self, redact(message) or type(self).__name__, details or ErrorDetails(), *extra)

    @property
    def message(self) -> str:
        """The reason in one line; never empty."""
        return str(self.args[0])

    @property
    def details(self) -> ErrorDetails:
        """All facts about the call."""
        details = self.args[1]
        assert isinstance(details, ErrorDetails)
        return details

    @property
    def status(self) -> int | None:
        """HTTP status of the last attempt; None without a response."""
        return self.details.status

    @property
    def body(self) -> bytes:
        """First 64 KiB of the last response."""
        return self.details.body

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of the last response, names in lower case."""
        return self.details.headers

    @property
    def request_id(self) -> str | None:
        """Segmind's `x-request-id`."""
        return self.details.request_id

    @property
    def model(self) -> str | None:
        """Slug of the model."""
        return self.details.model

    @property
    def attempts(self) -> int:
        """HTTP requests sent for this call."""
        return self.details.attempts

    @property
    def elapsed(self) -> float:
        """Seconds from the first slot to the failure."""
        return self.details.elapsed

    @property
    def retry_after(self) -> float | None:
        """Seconds the server asked to wait; None if it did not."""
        return self.details.retry_after

    @property
    def answers(self) -> tuple[str, ...]:
        """Texts of the answers that were paid before the failure, in order; `details.cost` is their cost."""
        return self.details.answers

    def add_paid(self, answers: tuple[str, ...], cost: Decimal | None) -> None:
        """Set the answers that were paid before this error, and their cost; its cause and traceback stay."""
        self.args = (self.message, replace(self.details, answers=answers, cost=cost), *self.args[2:])

    def __str__(self) -> str:
        return self.message

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.message!r}, status={self.status}, attempts={self.attempts})"


class ConfigurationError(SegmindError, ValueError):
    """An argument is invalid; the message names it and a valid form."""


class ClientClosedError(SegmindError, RuntimeError):
    """The client was closed; open a new one."""


class RequestError(SegmindError):
    """The request must change; sending it again does not help."""


class InvalidRequestError(RequestError, ValueError):
    """The request was refused here, before anything was sent."""


class BadRequestError(RequestError):
    """The service refused the request."""


class NotFoundError(RequestError):
    """The service knows no such model, or the request id has expired."""


class ModelRetiredError(RequestError):
    """The model is no longer served."""


class ToolsNotSupportedError(RequestError):
    """The model had to call a tool and answered without one: tools do not reach it. The answer is in `body`.

    Agents work without native tools with `tools_via="schema"`.
    """


class AccessError(SegmindError):
    """The API key or its permissions must change."""


class AuthenticationError(AccessError):
    """The API key is missing, wrong or expired."""


class PermissionDeniedError(AccessError):
    """The API key is valid, but may not call this model."""


class CreditsError(SegmindError):
    """Credits are missing; the balance or a limit must be raised."""


class InsufficientCreditsError(CreditsError):
    """The account cannot pay for this call.

    `balance` and `needed` are credits, None where they are unknown. `floor` is the balance that the caller
    asked to keep. `status` is 406 if the service refused the call, None if it was not sent.
    """

    def __init__(
        self,
        message: str,
        details: ErrorDetails | None = None,
        balance: Decimal | None = None,
        needed: Decimal | None = None,
        floor: Decimal = Decimal(0),
    ) -> None:
        super().__init__(message, details, balance, needed, floor)
        self.balance = balance
        self.needed = needed
        self.floor = floor


class SpendLimitError(CreditsError):
    """A team member's spend limit is reached; the message names period and cap."""


class BudgetExceededError(CreditsError):
    """A budget set in this program cannot pay for this call; nothing was sent.

    `max_credits` is the budget's limit, `spent` what its calls have cost, `needed` the upper bound of this
    call's cost, all in credits. `budget_id` identifies the budget that was exceeded, which may be one around
    the client's own: two errors of one budget carry the same id, also after pickling.
    """

    def __init__(
        self,
        message: str,
        details: ErrorDetails | None = None,
        max_credits: Decimal = Decimal(0),
        spent: Decimal = Decimal(0),
        needed: Decimal = Decimal(0),
        budget_id: str = "",
    ) -> None:
        super().__init__(message, details, max_credits, spent, needed, budget_id)
        self.max_credits = max_credits
        self.spent = spent
        self.needed = needed
        self.budget_id = budget_id


class RateLimitError(SegmindError):
    """The service limits the rate, and asks for a longer wait than the call allows."""


class AgentLimitError(SegmindError):
    """An agent reached one of its limits before it had an answer.

    `result` is its state by then; `result.ended` names the limit.
    """

    def __init__(
        self,
        message: str,
        details: ErrorDetails | None = None,
        result: AgentResult = AgentResult(),  # noqa: B008  # frozen
    ) -> None:
        super().__init__(message, details, result)
        self.result = result


class TransientError(SegmindError):
    """The connection, a proxy or the service failed; the same call may succeed later."""


class ServerError(TransientError):
    """The service, or a proxy in front of it, failed."""


class APIConnectionError(TransientError, ConnectionError):
    """No answer came: no connection was made, or it was lost."""


class APITimeoutError(TransientError, TimeoutError):
    """An answer did not come in time."""


class OutputError(SegmindError):
    """The answer is not of the type asked for. It was billed: `details.cost`.

    `answers` are the texts of all answers, in order.
    """


class OutputValidationError(OutputError):
    """The answers do not match the type given as `parse`; the message explains the last one."""


class OutputTruncatedError(OutputError):
    """The answer was truncated: allow more tokens (`max_tokens`), or ask for less."""


class RefusalError(OutputError):
    """The model, or a filter of its provider, refused to answer."""


class InvalidResponseError(SegmindError):
    """The response has no known form; with status 200 it may have been billed."""
