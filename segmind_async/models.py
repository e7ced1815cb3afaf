"""Requests, answers and reports: values without behaviour, the same for every provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Generic, TypeAlias, cast

from ._text.wait_reasons import Wait
from .agent_result import T_co

if TYPE_CHECKING:
    from .errors import SegmindError

DEFAULT_MODEL = "gpt-5.4-mini"

Message: TypeAlias = Mapping[str, object]
"""`{"role": "system" | "user" | "assistant" | "tool", "content": str | [part, …]}`. A part is
`{"type": "text", "text": …}`, an image (see `image()`), or anything else the provider takes."""

Messages: TypeAlias = str | Sequence[Message]
"""A conversation; a bare string is one user message."""

JsonObject: TypeAlias = Mapping[str, object]
"""A JSON object to be read."""

JsonDict: TypeAlias = dict[str, object]
"""A JSON object that is being built, or that was just parsed."""


class ChatRequest:
    """One call to be made: messages, and what differs from the client's defaults.

    `id` comes back on the outcome; None means the row's position. `parameters` go to the provider as
    they are (`temperature=0`, `max_tokens=50`, `response_format={…}`). Immutable by convention.
    """

    __slots__ = ("id", "messages", "model", "parameters")

    def __init__(
        self, messages: Messages, *, model: str | None = None, id: str | None = None, **parameters: object
    ) -> None:
        self.messages: Messages = messages
        self.model: str | None = model
        self.id: str | None = id
        self.parameters: JsonObject = parameters

    @classmethod
    def of(cls, messages: Messages, model: str | None, parameters: JsonObject) -> ChatRequest:
        """Make a request from parameters that stand in a mapping, whatever their names."""
        request = cls(messages, model=model)
        request.parameters = parameters
        return request

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ChatRequest):
            return NotImplemented
        return self._fields() == other._fields()

    # It holds lists and dicts, as its messages do.
    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # of object it is a method

    def _fields(self) -> tuple[object, ...]:
        return (self.messages, self.model, self.id, self.parameters)

    def __repr__(self) -> str:
        text = repr(self.messages)
        shown = text if len(text) <= 80 else f"{text[:77]}…"
        names = sorted(self.parameters)
        return f"ChatRequest({shown}, model={self.model!r}, id={self.id!r}, parameters={names})"


Request: TypeAlias = Messages | ChatRequest
"""What a fan-out takes: a string, a list of messages, or a `ChatRequest`."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer as the provider counted them; None where it did not say."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    total_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a function requested by the model; `arguments` is its JSON text, not validated."""

    id: str | None
    name: str
    arguments: str
    signature: str | None = None
    """Opaque text that Gemini expects back with the call; `assistant(completion)` includes it."""


@dataclass(frozen=True, slots=True)
class ChatCompletion(Generic[T_co]):
    """An answer, the same for all providers; `ChatCompletion[T]` with `parse=T`."""

    text: str
    """Text of the answer; empty if the model only called tools or spent all tokens on thinking."""
    finish_reason: str | None = None
    """As the provider sends it: `stop`, `length`, `end_turn`, `MAX_TOKENS`, …"""
    usage: Usage = Usage()
    tool_calls: tuple[ToolCall, ...] = ()
    model: str = ""
    """Slug of the model the request was sent to."""
    cost: Decimal | None = None
    """Credits of all attempts of this call; None if the service did not say. In place of an absurd cost
    that no balance shows, it has what such a call typically costs."""
    credits_remaining: Decimal | None = None
    """The account's balance right after this call, None if the service did not say."""
    request_id: str | None = None
    attempts: int = 1
    in_doubt: int = 0
    """Earlier attempts that may have been billed although their answer was lost."""
    elapsed: float = 0.0
    """Seconds from the first slot to the answer, waits between attempts included."""
    raw: JsonObject = field(default_factory=dict, repr=False)
    """The provider's JSON, unknown fields included."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Response headers, names in lower case."""
    parsed: T_co = cast("T_co", None)  # noqa: RUF009  # None is what T is without `parse`
    """The answer as a value of the type given as `parse`; None without it."""


@dataclass(frozen=True, slots=True)
class Balance:
    """Balance of the account in credits (1 credit = 1 USD)."""

    credits: Decimal
    free_credits: Decimal

    @property
    def total(self) -> Decimal:
        """Sum of both, which calls can spend."""
        return self.credits + self.free_credits


class Status(StrEnum):
    """Final state of a row."""

    OK = "ok"
    FAILED = "failed"
    UNSENT = "unsent"
    CANCELLED = "cancelled"


class StopReason(StrEnum):
    """Why a fan-out or a job ended before its rows did."""

    CREDITS = "credits"
    """The account or the budget cannot pay for the next call."""
    INTERRUPTED = "interrupted"
    """The process received SIGINT or SIGTERM."""
    MAX_FAILURES = "max_failures"
    """As many rows failed as `max_failures` (or `fail_fast`) allows."""
    OUTAGE = "outage"
    """The service failed for longer than `max_outage`."""
    REFUSED = "refused"
    """The service refused the key or the model, which every row would meet."""
    DISK = "disk"
    """The journal of a job could not be written."""
    ERROR = "error"
    """The iterator of rows raised, or the library has a bug; the consumer receives the error."""
    STOPPED = "stopped"
    """The caller called `stop()`."""
    CONSUMER_LEFT = "consumer_left"
    """The consumer left the context while rows were in flight."""


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T_co]):
    """Result of one row of a fan-out. `index` counts rows from 0 in the order they were read."""

    index: int
    id: str
    """The `id` of the request; its position as text if it has none."""
    status: Status
    completion: ChatCompletion[T_co] | None = None
    error: SegmindError | None = None
    attempts: int = 0
    cost: Decimal | None = None

    @property
    def text(self) -> str | None:
        """Text of the answer; None unless the row is ok."""
        return self.completion.text if self.completion else None

    @property
    def parsed(self) -> T_co | None:
        """The answer as a value of the type given as `parse`, None unless the row is ok."""
        return self.completion.parsed if self.completion else None


@dataclass(frozen=True, slots=True)
class FanOutReport:
    """Counts, costs and times of a fan-out so far; the four counts add up to the rows read."""

    ok: int = 0
    failed: int = 0
    unsent: int = 0
    cancelled: int = 0
    total: int | None = None
    """Rows of the input; None until it has been read to its end, unless it has a length."""
    spent: Decimal = Decimal(0)
    """Credits the calls of this fan-out cost, as named by the service."""
    unpriced: int = 0
    """Answers for which the service named no cost; they are missing from *spent*."""
    credits_remaining: Decimal | None = None
    """The balance as last known."""
    attempts: int = 0
    rate_limited: int = 0
    """429 answers."""
    maybe_paid_twice: int = 0
    """Attempts that may have been billed although their answer was lost, and that were sent again."""
    latency_p50: float | None = None
    """Seconds a call took, from its first slot; None before the first one."""
    latency_p95: float | None = None
    latency_p99: float | None = None
    elapsed: float = 0.0
    """Seconds since the fan-out began."""
    stop_reason: StopReason | None = None
    """Why it ended before its rows did; None if it did not."""
    stop_message: str | None = None
    """The details of `stop_reason`, for people to read; None if it did not stop early."""

    @property
    def rows(self) -> int:
        """Rows with an outcome."""
        return self.ok + self.failed + self.unsent + self.cancelled


@dataclass(frozen=True, slots=True)
class KeyStatistics:
    """A snapshot of one of several keys; the fields are those of `Statistics`, for this key alone."""

    name: str
    """What may be shown of the key: its last four characters."""
    state: str
    """"in use", "on trial", "short of credits", or why it takes no calls: "out of credits", "refused",
    "balance unknown", or "same account as" and the key that takes the calls of both."""
    takes_calls: bool = True
    """Whether calls are sent with it, as far as money and pace allow."""
    in_flight: int = 0
    limit: int = 0
    requests_per_minute: float | None = None
    closed_for: float = 0.0
    rate_limited: int = 0
    balance: Decimal | None = None
    held: Decimal = Decimal(0)
    spent: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Statistics:
    """A snapshot of attempts in flight, waiting calls, limits and credits.

    With several keys the figures are sums over all of them, and `keys` has them one by one.
    """

    in_flight: int = 0
    waiting: int = 0
    limit: int = 0
    """Limit of attempts in flight, in force now."""
    limit_reason: str = ""
    """Why the limit last changed."""
    requests_per_minute: float | None = None
    """Pace in force, None if there is none."""
    pace_reason: str = ""
    """Why the pace last changed."""
    closed_for: float = 0.0
    """Seconds for which sending is still stopped after a 429; 0 if it is not."""
    rate_limited: int = 0
    """429 answers so far, to calls and to reads of the balance."""
    balance: Decimal | None = None
    """Credits on the account as last known, less what has been spent since; None if unknown."""
    floor: Decimal = Decimal(0)
    """Credits that this client leaves on the account."""
    held: Decimal = Decimal(0)
    """Credits reserved for attempts in flight or in doubt."""
    spent: Decimal = Decimal(0)
    """Credits this client's calls have cost."""
    estimate: Decimal = Decimal(0)
    """Credits the next call of the default model is expected to cost."""
    estimate_reason: str = ""
    """Data the estimate is based on."""
    wait: Wait | None = None
    """What the next call is waiting for, and why; None if no call waits."""
    outage: float | None = None
    """Seconds for which the service has failed for all; None if it works."""
    budget_left: Decimal | None = None
    """Credits left in this client's own budget, calls in doubt subtracted; None if it has no limit."""
    keys: tuple[KeyStatistics, ...] = ()
    """The figures of each key, in the order in which they were given; empty with one key."""
