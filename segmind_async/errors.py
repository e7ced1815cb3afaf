"""The exceptions a user can meet, split by what the caller can do about them.

    SegmindError
    ├── ConfigurationError        fix an argument: nothing was sent       (also ValueError)
    ├── ClientClosedError         open a new client: nothing was sent     (also RuntimeError)
    ├── RequestError              fix the request
    │   ├── InvalidRequestError   refused here, nothing was sent          (also ValueError)
    │   ├── BadRequestError       400, 405, 413, 415, 422, 406 for another reason than money
    │   ├── NotFoundError         404: unknown model, expired request id
    │   ├── ModelRetiredError     410
    │   └── ToolsNotSupportedError     an answer shows that no tool reached the model
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
    ├── OutputError               ask otherwise: the model answered, and was paid
    │   ├── OutputValidationError not what `parse` asks for, also when asked again
    │   ├── OutputTruncatedError  cut off by the bound on its length
    │   └── RefusalError          the model would not answer
    └── InvalidResponseError      report a bug: an answer that fits no known shape

This module knows nothing of HTTP, retries or money; it only names what can go wrong.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from .agent_result import AgentResult

_KEY = re.compile(r"SG_\w+")

MAX_BODY = 64 * 1024
"""Bytes of an answer's body that an error keeps: enough to read, small enough to log."""


def redact(text: str) -> str:
    """Replace everything that looks like an API key (`SG_…`)."""
    return _KEY.sub("SG_[redacted]", text) if "SG_" in text else text


@dataclass(frozen=True, slots=True)
class ErrorDetails:
    """What is known of the call that failed; None or empty where it is not."""

    status: int | None = None
    """HTTP status of the last attempt."""
    body: bytes = b""
    """First 64 KiB of the last answer."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers of the last answer, names in lower case."""
    request_id: str | None = None
    """Segmind's `x-request-id`, as shown in its console."""
    model: str | None = None
    attempts: int = 0
    """HTTP requests sent for this call."""
    in_doubt: int = 0
    """How many of them may have been billed although no readable answer came."""
    elapsed: float = 0.0
    """Seconds from the first slot to the end."""
    retry_after: float | None = None
    """Seconds the server asked to wait."""
    cost: Decimal | None = None
    """Credits that attempts of this call are known to have cost."""


class SegmindError(Exception):
    """Base of everything this library raises on purpose."""

    def __init__(self, message: str, details: ErrorDetails | None = None, *extra: object) -> None:
        # Exception's own __init__, by name: next in line may be OSError, which reads two arguments as errno.
        Exception.__init__(self, redact(message) or type(self).__name__, details or ErrorDetails(), *extra)

    @property
    def message(self) -> str:
        """What happened, in one line; never empty."""
        return str(self.args[0])

    @property
    def details(self) -> ErrorDetails:
        """All fields at once."""
        details = self.args[1]
        assert isinstance(details, ErrorDetails)
        return details

    @property
    def status(self) -> int | None:
        """HTTP status of the last attempt, None if none came."""
        return self.details.status

    @property
    def body(self) -> bytes:
        """First 64 KiB of the last answer."""
        return self.details.body

    @property
    def headers(self) -> Mapping[str, str]:
        """Headers of the last answer, names in lower case."""
        return self.details.headers

    @property
    def request_id(self) -> str | None:
        """Segmind's `x-request-id`."""
        return self.details.request_id

    @property
    def model(self) -> str | None:
        """The model that was asked."""
        return self.details.model

    @property
    def attempts(self) -> int:
        """HTTP requests sent for this call."""
        return self.details.attempts

    @property
    def elapsed(self) -> float:
        """Seconds from the first slot to the end."""
        return self.details.elapsed

    @property
    def retry_after(self) -> float | None:
        """Seconds the server asked to wait, None if it did not say."""
        return self.details.retry_after

    def __str__(self) -> str:
        return self.message

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.message!r}, status={self.status}, attempts={self.attempts})"


class ConfigurationError(SegmindError, ValueError):
    """An argument cannot be used; the message names it and the way out."""


class ClientClosedError(SegmindError, RuntimeError):
    """The client was closed; open a new one."""


class RequestError(SegmindError):
    """The request itself must change; sending it again will not help."""


class InvalidRequestError(RequestError, ValueError):
    """The request was refused here, before anything was sent."""


class BadRequestError(RequestError):
    """The service refused the request as it is."""


class NotFoundError(RequestError):
    """The service knows no such model, or the request id has expired."""


class ModelRetiredError(RequestError):
    """The model is no longer served."""


class ToolsNotSupportedError(RequestError):
    """The model answered as if it had been given no tools: they do not reach it. The answer is in `body`.

    Agents can do without: `tools_via="schema"`.
    """


class AccessError(SegmindError):
    """The key, or what it may do, must change."""


class AuthenticationError(AccessError):
    """The key is missing, wrong or expired."""


class PermissionDeniedError(AccessError):
    """The key is valid, but may not call this model."""


class CreditsError(SegmindError):
    """Money is missing; the balance or a limit must change."""


class InsufficientCreditsError(CreditsError):
    """The account cannot pay for this call.

    `balance` and `needed` are credits, None where nobody told. `floor` is what the caller asked to
    keep. `status` is 406 if the service refused, None if the call was held back here.
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
    """The service limits the rate and asks to wait longer than this call may."""


class AgentLimitError(SegmindError):
    """An agent came to a limit of its own before it had an answer.

    `result` is all that it had by then; `result.ended` names the limit.
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
    """Something between here and the model failed; the same call may succeed later."""


class ServerError(TransientError):
    """The service or a proxy before it failed."""


class APIConnectionError(TransientError, ConnectionError):
    """No answer came: not connected, or the connection was lost."""


class APITimeoutError(TransientError, TimeoutError):
    """An answer did not come in time."""


class OutputError(SegmindError):
    """The model answered, and the answer is not what was asked for. `details.cost` says what was paid.

    `answers` are the model's words, one text for each time it was asked.
    """

    def __init__(
        self, message: str, details: ErrorDetails | None = None, answers: tuple[str, ...] = ()
    ) -> None:
        super().__init__(message, details, answers)
        self.answers = answers


class OutputValidationError(OutputError):
    """The answers are not what `parse` asks for; the message says what is wrong with the last one."""


class OutputTruncatedError(OutputError):
    """The answer was cut off: allow more tokens (`max_tokens`), or ask for less."""


class RefusalError(OutputError):
    """The model, or a filter of its provider, would not answer."""


class InvalidResponseError(SegmindError):
    """The answer fits no shape this library knows; with status 200 it may have been billed."""
