"""Lets attempts in: a slot, credits and a start time, or a wait, first come first served.

All three are decided in one synchronous step when an attempt may start: nothing is booked ahead, and nobody
keeps a slot while waiting for money. Who waits, waits in the queue of its scope; a scope whose own budget
is short steps aside and does not block the others.

It knows nothing of HTTP. The pure objects decide (`Account`, `Throttle`, `Queue`); here they meet the event
loop: futures, one timer, and the exact way back for whoever is cancelled.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, auto
from typing import TypeAlias
from uuid import uuid4

from .._hooks.changes import OnChange, Watch
from .._money.base import (
    Budget,
    Hold,
    LedgerProtocol,
    Price,
    Shortfall,
)
from .._money.cost_model import CostModel
from .._money.units import credits_of, floor_units
from .._rate.circuit_breaker import CircuitBreaker
from .._rate.gate import Phase
from .._rate.pacer import PacerState
from .._rate.throttle import StartTag, Throttle
from .._wire.failures import (
    Billing,
    Failure,
    FailureKind,
    Resend,
)
from ..models import Statistics, WaitingFor
from .attempt import Event, State, step
from .queue import Priority, Queue, Scope


class Closed(Enum):
    """Returned instead of a lease by a scope that was closed."""

    CLOSED = auto()


@dataclass(slots=True)
class Ticket:
    """A call's place in the queue; it keeps it over all its attempts."""

    scope: CallScope
    model: CostModel
    predicted: float | None
    number: int = 0
    """Given when it first has to wait."""


@dataclass(slots=True)
class _Waiter:
    ticket: Ticket
    future: asyncio.Future[Lease | Shortfall | Closed]


@dataclass(slots=True)
class Lease:
    """What an admitted attempt holds; exactly one of `answered`, `failed` and `cancelled` ends it."""

    admission: Admission
    scope: CallScope
    hold: Hold
    tag: StartTag
    state: State = State.ADMITTED
    ended_at: float = math.nan

    @property
    def took(self) -> float:
        """Seconds from its start to its end."""
        return self.ended_at - self.hold.started_at

    def dispatched(self) -> None:
        """Say that the attempt is handed to the transport; from now on it may be billed."""
        self.state = step(self.state, Event.DISPATCHED)

    def answered(self, price: Price, reading: int | None) -> None:
        """End it with a 200: what it cost, and the balance in units that came with it."""
        now = self._end(Event.ANSWERED)
        admission = self.admission
        admission._ledger.settle(self.hold, price, reading, now)
        admission.throttle.answered(self.tag, now, succeeded=True)
        admission.breaker.succeeded(now)
        admission.ended(self, now)

    def failed(self, failure: Failure, reading: int | None = None) -> None:
        """End it with a failure, and the balance in units if one came with it."""
        now = self._end(_EVENTS[failure.billing])
        admission = self.admission
        if self.state is State.IN_DOUBT:
            admission._ledger.doubt(self.hold, now)
        elif failure.kind is FailureKind.OUT_OF_CREDITS:
            admission._ledger.refuse(self.hold, _units(failure.balance), _units(failure.needed), now)
        else:
            admission._ledger.release(self.hold)
        if reading is not None:
            admission._ledger.observe(reading, self.hold.started_at, now)
        admission.learn(self.tag, failure, now)
        admission.ended(self, now)

    def cancelled(self) -> None:
        """End it because its task is being cancelled, sent or not."""
        now = self._end(Event.CANCELLED)
        admission = self.admission
        if self.state is State.IN_DOUBT:
            admission._ledger.doubt(self.hold, now)
        else:
            admission._ledger.release(self.hold)
        admission.throttle.abandoned(self.tag, now)
        admission.ended(self, now)

    def _end(self, event: Event) -> float:
        self.state = step(self.state, event)
        self.ended_at = now = self.admission.now()
        return now


_EVENTS = {Billing.NOT_SENT: Event.NOT_SENT, Billing.REFUSED: Event.REFUSED, Billing.IN_DOUBT: Event.LOST}


def _units(credits: Decimal | None) -> int | None:
    return None if credits is None else floor_units(credits)


CallScope: TypeAlias = Scope[_Waiter]
"""A scope of calls: see `Scope`."""


@dataclass(frozen=True, slots=True)
class NoSlot:
    """As many attempts are in flight in `scope` as it allows; the root scope stands for the whole client."""

    scope: CallScope


@dataclass(frozen=True, slots=True)
class NotBefore:
    """No start is allowed before the instant `at` (seconds); inf if an answer must come first."""

    at: float


Missing: TypeAlias = NoSlot | NotBefore | Shortfall
"""Why an attempt gets no lease now."""


@dataclass(frozen=True, slots=True)
class _Block:
    """What a missing resource means for the queue."""

    reason: WaitingFor
    level: CallScope | None = None
    """Where something must end before the scope is tried again; None if every other scope is blocked too."""
    wake_at: float = math.inf
    """When to try again, seconds; inf if only the end of an attempt or a balance can change it."""


class Admission:
    """The one door that every attempt of a client and all its derived clients goes through."""

    def __init__(self, ledger: LedgerProtocol, throttle: Throttle, on_change: OnChange | None = None) -> None:
        self._ledger = ledger
        self.throttle = throttle
        self.breaker = CircuitBreaker()
        self.name = uuid4().hex
        self._budgets = 0
        """Budgets created so far; numbers them."""
        self._watch = None if on_change is None else Watch(on_change, throttle, self.breaker)
        self._short_of: WaitingFor | None = None
        self.queue: Queue[_Waiter] = Queue()
        self.root = Scope[_Waiter](None, ledger.root, None, "interactive")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._last_seen = 0.0
        """The last instant at which the queue was looked at: the time when no loop runs."""
        self.last_read_at = -math.inf
        """When the balance was last read by a request of its own, seconds; -inf before the first time."""
        self._reads: deque[asyncio.Future[StartTag]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return (
            f"Admission({self._ledger.in_flight} in flight, {self.queue.waiting} waiting, "
            f"{self._ledger!r}, {self.throttle!r})"
        )

    def now(self) -> float:
        """Return the time of the loop that this admission serves, in seconds.

        Without a loop, or after it was closed, it is the time at which the queue was last looked at.
        """
        return self._last_seen if self._loop is None or self._loop.is_closed() else self._loop.time()

    @property
    def in_flight(self) -> int:
        """Attempts in flight."""
        return self._ledger.in_flight

    @property
    def balance(self) -> int | None:
        """Units on the account as far as known; None before any balance was observed."""
        return self._ledger.balance

    @property
    def doubts_settle_at(self) -> float | None:
        """When a balance will show of every attempt in doubt whether it was billed; None without any."""
        return self._ledger.doubts_settle_at

    def forget_reservations(self) -> None:
        """Forget what refusals for lack of credits have taught: the next attempt tries it anew."""
        self._ledger.forget_reservations()

    def scope(
        self,
        parent: CallScope,
        *,
        cap: int | None = None,
        floor: int = 0,
        max_in_flight: int | None = None,
        priority: Priority | None = None,
        own_budget: bool = False,
    ) -> CallScope:
        """Return a scope with limits of its own within those of *parent*. Amounts are units.

        It shares the budget of *parent* unless it has a cap or a higher floor. *own_budget* gives it one in
        any case, for a caller that reads from it what the calls of this scope alone have cost.
        """
        budget = parent.budget
        if own_budget or cap is not None or floor > budget.floor:
            self._budgets += 1
            budget = Budget(budget, cap, floor, f"{self.name}-{self._budgets}")
        return Scope(parent, budget, max_in_flight, priority or parent.priority)

    def acquire_nowait(self, ticket: Ticket) -> Lease | None:
        """Let *ticket*'s call in if it may be sent at once, and nobody stands before it."""
        self._enter()
        if ticket.scope.closed or self.queue.must_wait(ticket.scope):
            return None
        got = self._admit(ticket, self.now())
        return got if isinstance(got, Lease) else None

    async def acquire(self, ticket: Ticket) -> Lease | Shortfall | Closed:
        """Wait until *ticket*'s call may be sent, or never will be. If cancelled, nothing is held."""
        self._enter()
        if ticket.scope.closed:
            return Closed.CLOSED
        future: asyncio.Future[Lease | Shortfall | Closed] = asyncio.get_running_loop().create_future()
        ticket.number = self.queue.add(ticket.scope, _Waiter(ticket, future), ticket.number)
        self._pump()
        try:
            return await future
        except asyncio.CancelledError:
            self._leave(ticket, future)
            raise

    async def start_read(self) -> StartTag:
        """Wait for a start time alone: a read of the balance takes no slot and costs nothing."""
        self._enter()
        future: asyncio.Future[StartTag] = asyncio.get_running_loop().create_future()
        self._reads.append(future)
        self._pump()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                self.throttle.abandoned(future.result(), self.now())
            raise

    def read_ended(self, tag: StartTag, failure: Failure | None) -> None:
        """Count a read's answer, or what became of it, and let in who waited for it."""
        self.learn(tag, failure, self.now())
        self._pump()

    def close(self, scope: CallScope) -> None:
        """Let nobody of *scope* in any more; who waits is told so at once."""
        scope.closed = True
        for waiter in self.queue.clear(scope):
            if not waiter.future.done():
                waiter.future.set_result(Closed.CLOSED)

    def ended(self, lease: Lease, now: float) -> None:
        """Count one attempt less, and let in who waited for it."""
        for level in lease.scope.line:
            level.in_flight -= 1
            if level.blocked:
                self.queue.unblock(level)
        if self._watch is not None:
            self._watch.look(lease.hold.model.whole, now)
        if self.queue.waiting or self._reads:
            self._pump()
        else:
            self._last_seen = now

    def observe(self, reading: int, sent_at: float) -> None:
        """Take in a balance that was asked for, and look again who may be let in."""
        self.last_read_at = self.now()
        self._ledger.observe(reading, sent_at, self.last_read_at)
        self.queue.unblock(self.root)
        self._pump()

    def learn(self, tag: StartTag, failure: Failure | None, now: float) -> None:
        """Tell pace, limit and outage what a failure, or a read that went well, says of them."""
        if failure is not None and failure.resend in (Resend.YES, Resend.RARELY):
            self.breaker.failed(now)
        if failure is None:
            self.throttle.answered(tag, now, succeeded=True)
        elif failure.kind is FailureKind.RATE_LIMITED:
            self.throttle.refused(tag, now, failure.retry_after, self._ledger.in_flight)
        elif failure.status is None:
            self.throttle.abandoned(tag, now)
        else:
            self.throttle.answered(tag, now, succeeded=False)

    def state(self) -> tuple[PacerState, int]:
        """Return what a restart must know: the pace, and the units that may still be billed."""
        self._enter()
        now = self.now()
        money = self._ledger.statistics(now)
        return self.throttle.pacer.state(now), money.held + money.in_doubt

    def resume(self, pace: PacerState, in_doubt: int, elapsed: float) -> None:
        """Go on from a state, taken *elapsed* seconds ago, before anything has started here."""
        self._enter()
        self.throttle.pacer.restore(pace, self.now(), elapsed)
        if in_doubt:
            self._ledger.inherit_doubt(in_doubt, self.now() - elapsed)

    def statistics(self, model: CostModel) -> Statistics:
        """Return a snapshot; the estimate is that of *model*."""
        now = self.now()
        money = self._ledger.statistics(now)
        return Statistics(
            in_flight=money.in_flight,
            waiting=self.queue.waiting,
            limit=self.throttle.limit,
            limit_reason=self.throttle.concurrency_limit.reason,
            requests_per_minute=self.throttle.pacer.rate,
            pace_reason=self.throttle.pacer.reason,
            closed_for=max(0.0, self.throttle.gate.closed_until - now),
            balance=None if money.balance is None else credits_of(money.balance),
            held=credits_of(money.held + money.in_doubt),
            spent=credits_of(money.spent),
            estimate=credits_of(model.typical()),
            estimate_reason=model.reason,
            waiting_for=self._short_of if self.queue.waiting else None,
            outage=None if self.breaker.opened_at is None else now - self.breaker.opened_at,
        )

    def _enter(self) -> None:
        """Note the running loop; the client may have outlived the last one."""
        loop = asyncio.get_running_loop()
        if loop is self._loop:
            return
        if self._loop is not None:
            if not self._loop.is_closed() and (self._ledger.in_flight or self.queue.waiting):
                raise RuntimeError("this client has calls in another event loop that runs; use one a loop")
            self._timer = None
            ahead = self._last_seen - loop.time()
            if ahead > 0:
                self._ledger.shift(-ahead)
                self.throttle.shift(-ahead)
                self.breaker.shift(-ahead)
        self._loop = loop

    def _leave(self, ticket: Ticket, future: asyncio.Future[Lease | Shortfall | Closed]) -> None:
        if not self.queue.remove(ticket.scope, ticket.number) and future.done() and not future.cancelled():
            # Granted and cancelled in the same turn of the loop: hand it on.
            got = future.result()
            if isinstance(got, Lease):
                got.cancelled()

    def _admit(self, ticket: Ticket, now: float) -> Lease | Missing:
        """Grant a lease, or return what is missing; then nothing is held."""
        scope = ticket.scope
        if self._ledger.in_flight >= self.throttle.limit:
            return NoSlot(self.root)
        if scope.limited and (full := scope.full()) is not None:
            return NoSlot(full)
        start = self.throttle.next_start(now, self._ledger.in_flight)
        if start > now:
            return NotBefore(start)
        hold = self._ledger.reserve(scope.budget, ticket.model, ticket.predicted, now)
        if isinstance(hold, Shortfall):
            return hold
        for level in scope.line:
            level.in_flight += 1
        self.queue.granted(scope.priority)
        return Lease(self, scope, hold, self.throttle.start(now, hold.others))

    def _pump(self) -> None:
        """Grant leases in the order of the queue, until something is missing that all scopes need."""
        now = self._last_seen = self.now()
        if not self._serve_reads(now):
            return
        while (scope := self.queue.take()) is not None:
            number, waiter = next(iter(scope.waiting.items()))
            if waiter.future.done():
                # Cancelled a moment ago; its task has not run since.
                self.queue.remove(scope, number)
                self.queue.served(scope)
                continue
            got = self._admit(waiter.ticket, now)
            if isinstance(got, Lease) or (isinstance(got, Shortfall) and got.final):
                self.queue.remove(scope, number)
                waiter.future.set_result(got)
                self.queue.served(scope)
                continue
            block = self._block(scope, got)
            self._short_of = block.reason
            if block.level is None:
                self.queue.serve(scope)
                self._wake_at(block.wake_at)
                return
            self.queue.step_aside(scope, block.level)

    def _serve_reads(self, now: float) -> bool:
        """Let the reads of the balance start, before all else; False if one has to wait."""
        while self._reads:
            start = self.throttle.next_start(now, self._ledger.in_flight)
            if start > now:
                self._wake_at(start)
                return False
            future = self._reads.popleft()
            if not future.done():
                future.set_result(self.throttle.start(now, self._ledger.in_flight))
        return True

    def _block(self, scope: CallScope, missing: Missing) -> _Block:
        """Return what *missing* means for *scope* and for the scopes behind it in the queue."""
        match missing:
            case NoSlot(full):
                return _Block("slot") if full is self.root else _Block("budget", full)
            case NotBefore(at):
                return _Block("pace" if self.throttle.gate.phase is Phase.OPEN else "gate", wake_at=at)
            case Shortfall(budget=None):
                # A floor of its own blocks this scope alone; the floor of the client blocks every scope.
                return _Block("credits", self.root if scope.budget.floor > self._ledger.root.floor else None)
            case Shortfall(budget=short):
                return _Block("budget", next(level for level in scope.line if level.budget is short))

    def _wake_at(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at < math.inf:
            assert self._loop is not None
            self._timer = self._loop.call_at(at, self._pump)
