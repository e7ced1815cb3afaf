"""Hooks: what a client reports while it works, for metrics, accounting and tracing.

Subclass `Hooks`, override what you want to know, and pass instances to `SegmindClient(hooks=[…])`.
Events are values without behaviour. `trace` in each is the path of names set by `trace()`; `call_id`
numbers the calls of a client from 1 and is the same in all events of one call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from ._text.wait_reasons import Wait
from .models import ChatCompletion, ChatRequest, Usage


@dataclass(frozen=True, slots=True)
class CallStarted:
    """A call is about to wait for its first slot.

    With `parse`, each request to correct an answer is a call of its own; so is each renewed try of a row
    in an outage.
    """

    model: str
    trace: str
    call_id: int
    run_id: int | None = None
    """Number of the agent's run that it belongs to; None outside of any, and in the tools of one."""
    request: ChatRequest | None = field(default=None, repr=False, compare=False)
    """The request, with its texts: never in the log."""
    caller_context: Mapping[str, str] = field(default_factory=dict, compare=False)
    """In a gateway: `traceparent` and `tracestate` of the request that it has received."""
    context: dict[str, str] = field(default_factory=dict, compare=False)
    """Headers that go with the call if it is sent to a gateway; a hook may put the same two in."""


@dataclass(frozen=True, slots=True)
class CallEnded:
    """A call has ended: with an answer, an error, or because it was cancelled."""

    model: str
    error_type: str | None
    """Name of the class of the error it ended with, such as `RateLimitError`; None: it was answered."""
    status: int | None
    """HTTP status of the last attempt; None if there was no attempt, or no response."""
    usage: Usage | None
    """Tokens of the answer; None without an answer."""
    cost: Decimal | None
    """Credits of all its attempts; None if the service did not name any."""
    seconds: float
    """From the start of the call to its end, queueing and waits between attempts included."""
    attempts: int
    request_id: str | None
    trace: str
    call_id: int
    completion: ChatCompletion[Any] | None = field(default=None, repr=False, compare=False)
    """The answer, with its text: never in the log. None without one."""


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """One HTTP request of a call has ended, also if it was cancelled."""

    model: str
    attempt: int
    """Number of the attempt within its call, from 1."""
    outcome: str
    """`answered`, `cancelled`, or the kind of failure: `rate_limited`, `server_error`, `timed_out`, …"""
    status: int | None
    """HTTP status; None if no response came."""
    seconds: float
    """From sending to the last byte."""
    cost: Decimal | None
    """Credits it cost; None if the service did not say."""
    in_doubt: bool
    """Whether it may have been billed although no readable answer came."""
    request_id: str | None
    trace: str
    call_id: int


@dataclass(frozen=True, slots=True)
class RetryPlanned:
    """A call will be sent again after a failed attempt; reported before the wait."""

    model: str
    attempt: int
    """Number of the failed attempt, from 1."""
    wait: float
    """Seconds until the next attempt may start; queueing comes on top."""
    reason: str
    """Kind of failure and HTTP status, in one line."""
    trace: str
    call_id: int


@dataclass(frozen=True, slots=True)
class BalanceSeen:
    """The service has reported the balance.

    Balances come with answers, and so out of order; `client.statistics().balance` is what the ledger
    derives from them.
    """

    balance: Decimal
    """Credits on the account."""
    asked: bool
    """Whether it was requested; otherwise it came with an answer."""
    trace: str
    key: str | None = None
    """Whose balance it is: `KeyStatistics.name`; None with one key."""


@dataclass(frozen=True, slots=True)
class AgentStarted:
    """A run of an agent begins."""

    run_id: int
    """Numbers the runs of a client from 1; the same in all events of one run."""
    model: str
    """Its model, else the client's default."""
    trace: str


@dataclass(frozen=True, slots=True)
class AgentEnded:
    """A run of an agent has ended: with a result, an error, or because it was cancelled or left."""

    run_id: int
    error_type: str | None
    """Name of the class of the error it ended with, such as `AgentLimitError`; None without one."""
    turns: int
    """Answers of the model."""
    cost: Decimal | None
    """Credits of its calls; None if the service did not name any."""
    seconds: float
    trace: str


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """An agent is about to run a tool."""

    tool_id: int
    """Numbers the runs of tools of a client from 1."""
    run_id: int | None
    """Number of the agent's run."""
    name: str
    call_id: str | None
    """Id of the tool call, as the model gave it."""
    trace: str
    arguments: str = field(default="", repr=False, compare=False)
    """JSON text: never in the log."""


@dataclass(frozen=True, slots=True)
class ToolEnded:
    """A tool of an agent has ended, or was cancelled."""

    tool_id: int
    run_id: int | None
    name: str
    error_type: str | None
    """`tool_error` if the model was told of an error, `CancelledError`; None: it worked."""
    seconds: float
    trace: str
    result: str | None = field(default=None, repr=False, compare=False)
    """Text for the model: never in the log. None if it was cancelled."""


@dataclass(frozen=True, slots=True)
class Change:
    """A limit, the pace, an estimate or the state of the service has changed.

    `what` is "limit" (attempts in flight), "pace" (starts a minute, None: no limit), "gate" (seconds for
    which a 429 stops all sending), "estimate" (credits of a typical call of `model`; reported when it
    has moved by a fifth), "outage" (1 while the service fails for all, else 0) or, with several keys, "key"
    (1 while it takes calls, else 0; `reason` is its state).
    """

    what: Literal["limit", "pace", "gate", "estimate", "outage", "key"]
    before: float | Decimal | None
    after: float | Decimal | None
    reason: str
    model: str | None = None
    key: str | None = None
    """Whose limit, pace, gate or state it is: `KeyStatistics.name`; None with one key."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing is in flight, and all calls wait: what for, and for how long.

    Reported when it begins, and again when the reason is another one.
    """

    wait: Wait


class Hooks:
    """Base class of hooks: every method does nothing, and only overridden ones are ever called.

    Methods run in the event loop, in the task of their call where there is one, so they must be quick
    and must not call the client. An exception is logged as `hook failed` and never costs the call.
    """

    def call_started(self, event: CallStarted) -> None:
        """Called when a call starts."""

    def call_ended(self, event: CallEnded) -> None:
        """Called when a call has ended, with an answer or not."""

    def attempt_ended(self, event: AttemptEnded) -> None:
        """Called when an HTTP request of a call has ended, with an answer or not."""

    def retry_planned(self, event: RetryPlanned) -> None:
        """Called when a call is going to be sent again."""

    def balance_seen(self, event: BalanceSeen) -> None:
        """Called with each balance, whether it came with an answer or on request."""

    def agent_started(self, event: AgentStarted) -> None:
        """Called when a run of an agent begins."""

    def agent_ended(self, event: AgentEnded) -> None:
        """Called when a run of an agent has ended, with a result or not."""

    def tool_started(self, event: ToolStarted) -> None:
        """Called in the task of a tool, before it runs."""

    def tool_ended(self, event: ToolEnded) -> None:
        """Called in the same task when the tool has ended."""

    def changed(self, event: Change) -> None:
        """Called when something that limits the sending has changed, with the reason."""

    def waiting(self, event: Waiting) -> None:
        """Called when nothing is sent any more although calls wait."""
