"""Grants leases to attempts: a slot, credits and a start time at once, or a wait, first come first served.

All three are decided in one synchronous step at the instant of the start: nothing is booked ahead, and no
attempt keeps a slot while it waits for credits. A call waits in the queue of its scope; a scope whose own
budget is short steps aside and does not block the others.

It knows nothing of HTTP. The pure objects decide (a ledger, `Throttle`, `Queue`); this module connects them
with the event loop: futures, one timer, and what a cancelled call gives back.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import Enum, auto
from typing import NamedTuple, TypeAlias
from uuid import uuid4

from .._hooks.changes import ChangeDetector
from .._money.budget import Budget
from .._money.cost_model import CostModel
from .._money.protocol import Hold, Price, Shortfall
from .._money.units import credits_of, floor_units
from .._rate.circuit_breaker import CircuitBreaker
from .._rate.pacer import PacerState
from .._rate.start_tracker import StartTag
from .._text.wait_reasons import Wait, WaitReason
from .._wire.failures import Billing, Failure, FailureKind, Resend
from ..hooks import Change
from ..models import Statistics
from .accounts.account import Account
from .accounts.accounts import Accounts
from .accounts.refusals import Refusals
from .accounts.statistics import statistics_of
from .call_queue import Priority, Queue, Scope
from .missing import Missing, NoSlot, NotBefore, block_of, delay
from .reservation_states import Event, State, step
from .waits import Pause, Waits


class Closed(Enum):
    """Returned instead of a lease by a scope that was closed."""

    CLOSED = auto()


@dataclass(slots=True)
class Ticket:
    """A call's place in the queue, kept over all its attempts."""

    scope: CallScope
    model: CostModel
    predicted: float | None
    """Predictor of its cost in units; None if there is none."""
    number: int = 0
    """Its place in the order of arrival; 0 until it first has to wait."""
    refusals: Refusals | None = None
    """Which of several accounts have refused it; None before the first."""


@dataclass(slots=True)
class _Waiter:
    """A call in the queue, and where its lease or refusal is delivered."""

    ticket: Ticket
    future: asyncio.Future[Lease | Shortfall | Closed]


class _Read(NamedTuple):
    """A read of a balance that waits for its start."""

    account: Account
    future: asyncio.Future[StartTag]


@dataclass(slots=True)
class Lease:
    """The slot, hold and start of one attempt; one of `answered`, `failed` and `cancelled` ends it, once."""

    admission: Admission
    account: Account
    """The account that pays for it."""
    scope: CallScope
    hold: Hold
    tag: StartTag
    state: State = State.ADMITTED
    ended_at: float = math.nan
    """Seconds; NaN until it has ended."""
    ended_alone: bool = False
    """Whether no other attempt of its account was in flight when it failed, before that let one start."""

    @property
    def took(self) -> float:
        """Seconds from its start to its end; NaN before."""
        return self.ended_at - self.hold.started_at

    def dispatched(self) -> None:
        """Note that the attempt is handed to the transport: from now on it may be billed."""
        self.state = step(self.state, Event.DISPATCHED)

    def answered(self, price: Price, balance: int | None) -> int | None:
        """End it with a 200: its price, and the balance in units that came with it, None without one.

        Returns the units that are booked in place of an absurd cost; None if the cost is believed.
        """
        now = self._end(Event.ANSWERED)
        admission, account = self.admission, self.account
        try:
            in_place = account.ledger.settle(self.hold, price, balance, now)
            account.throttle.answered(self.tag, now)
            if admission.accounts.several:
                admission.accounts.answered(account, price.named, balance, now)
                named = price.named if in_place is None else in_place
                self.scope.count_use(account.index, named or 0)
            admission.breaker.succeeded(now)
        finally:
            admission.ended(self, now)
        return in_place

    def failed(self, failure: Failure, balance: int | None = None) -> None:
        """End it with a failure, and the balance in units that came with it, None without one."""
        now = self._end(_EVENTS[failure.billing])
        admission, ledger = self.admission, self.account.ledger
        try:
            if self.state is State.IN_DOUBT:
                admission.accounts.doubt(self.account, self.hold, now)
            elif failure.kind is FailureKind.OUT_OF_CREDITS:
                ledger.refuse(self.hold, _units(failure.balance), _units(failure.needed), now)
            else:
                ledger.release(self.hold)
            if balance is not None:
                ledger.observe_header(balance, self.hold.started_at, now)
            self.ended_alone = not ledger.in_flight
            if admission.accounts.several and failure.kind is FailureKind.RATE_LIMITED:
                self.scope.count_use(self.account.index, 0, rate_limited=1)
            admission.learn(self.account, self.tag, failure, now)
        finally:
            admission.ended(self, now)

    def cancelled(self) -> None:
        """End it because its task is cancelled; the hold stays in doubt if the attempt was sent."""
        now = self._end(Event.CANCELLED)
        admission, account = self.admission, self.account
        try:
            if self.state is State.IN_DOUBT:
                admission.accounts.doubt(account, self.hold, now)
            else:
                account.ledger.release(self.hold)
            account.throttle.abandoned(self.tag)
        finally:
            admission.ended(self, now)

    def _end(self, event: Event) -> float:
        self.state = step(self.state, event)
        # The loop itself, not `Admission.now`: this is on the way of every call.
        self.ended_at = now = asyncio.get_running_loop().time()
        return now


_EVENTS = {Billing.NOT_SENT: Event.NOT_SENT, Billing.REFUSED: Event.REFUSED, Billing.IN_DOUBT: Event.LOST}


def _units(credits: Decimal | None) -> int | None:
    return None if credits is None else floor_units(credits)


CallScope: TypeAlias = Scope[_Waiter]
"""A scope of calls: see `Scope`."""


class Admission:
    """Admits every attempt of a client and of all clients derived from it."""

    def __init__(
        self,
        accounts: Accounts,
        report_change: Callable[[Change], None] | None = None,
        report_wait: Callable[[Wait], None] | None = None,
    ) -> None:
        self.accounts: Accounts = accounts
        self.breaker: CircuitBreaker = CircuitBreaker()
        self.name: str = uuid4().hex
        """Identifies this admission over processes: a restart compares it."""
        self._budgets = 0
        """Budgets created so far, for their ids."""
        self._changes = (
            None if report_change is None else ChangeDetector(report_change, accounts.all, self.breaker)
        )
        self.behind_gateway: bool = False
        """Whether the answers come from a gateway, which minds money and pace for all who call it."""
        self.waits: Waits = Waits(report_wait)
        self.queue: Queue[_Waiter] = Queue()
        self.root: Scope[_Waiter] = Scope[_Waiter](None, accounts.first.ledger.root, None, "interactive")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._last_tried_at = 0.0
        """The last instant at which waiting calls were tried; it stands for the time when no loop runs."""
        self._reads: deque[_Read] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"Admission({self.in_flight} in flight, {self.queue.waiting} waiting, {self.accounts!r})"

    def now(self) -> float:
        """Return the time of the loop that this admission serves, in seconds.

        Without a loop, or after it was closed, it is the last instant at which waiting calls were tried.
        """
        return self._last_tried_at if self._loop is None or self._loop.is_closed() else self._loop.time()

    @property
    def in_flight(self) -> int:
        """Attempts in flight."""
        return self.root.in_flight

    @property
    def balance(self) -> int | None:
        """Units on all accounts as far as known; None before any balance was observed."""
        return self.accounts.balance

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
        """Return a lease if the call may be sent at once and no call is before it; else None."""
        loop = self._bind_loop()
        if ticket.scope.closed or self.queue.must_wait(ticket.scope):
            return None
        now = loop.time()
        if self.accounts.several and self.accounts.due(now):
            return None
        got = self._admit(ticket, now)
        return got if isinstance(got, Lease) else None

    async def acquire(self, ticket: Ticket) -> Lease | Shortfall | Closed:
        """Wait for a lease.

        Returns a `Shortfall` that no end of a call in flight can change, or `Closed` if the scope is closed.
        If cancelled, nothing is held.
        """
        self._bind_loop()
        if ticket.scope.closed:
            return Closed.CLOSED
        future: asyncio.Future[Lease | Shortfall | Closed] = asyncio.get_running_loop().create_future()
        ticket.number = self.queue.add(ticket.scope, _Waiter(ticket, future), ticket.number)
        self._serve_queue()
        try:
            return await future
        except asyncio.CancelledError:
            self._withdraw(ticket, future)
            raise

    async def start_read(self, account: Account) -> StartTag:
        """Wait for a start alone: a read of the balance takes no slot and no credits.

        `read_ended` must follow, or `Throttle.abandoned` if it is cancelled.
        """
        self._bind_loop()
        future: asyncio.Future[StartTag] = asyncio.get_running_loop().create_future()
        self._reads.append(_Read(account, future))
        self._serve_queue()
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled():
                account.throttle.abandoned(future.result())
            raise

    def read_ended(self, account: Account, tag: StartTag, failure: Failure | None) -> None:
        """Note how a read ended; None: well. Then try the waiting calls."""
        self.learn(account, tag, failure, self.now())
        self._serve_queue()

    def due_reads(self) -> list[Account]:
        """Return the accounts of several whose balance is to be read now; the caller must read them.

        They are due again a while later.
        """
        now = self.now()
        due = self.accounts.due(now)
        for account in due:
            account.standing.reading(now)
        return due

    def close(self, scope: CallScope) -> None:
        """Grant no lease in *scope* any more; its waiting calls get `Closed` at once."""
        scope.closed = True
        for waiter in self.queue.clear(scope):
            if not waiter.future.done():
                waiter.future.set_result(Closed.CLOSED)

    def ended(self, lease: Lease, now: float) -> None:
        """Give the slots of *lease* back, and try the waiting calls."""
        for level in lease.scope.line:
            level.in_flight -= 1
            if level.blocked:
                self.queue.retry_one(level)
        if self._changes is not None:
            self._changes.check(lease.hold.model.whole, now)
        if self.queue.waiting or self._reads:
            self._serve_queue()
        else:
            self._last_tried_at = now
            if self.waits.paused:
                self.tell_wait()

    @contextmanager
    def pause(self, reason: WaitReason, until: float) -> Iterator[Pause]:
        """Note that a call waits outside of the queue while the context lasts, until *until* (seconds)."""
        with self.waits.pause(Pause(reason, self.now(), until)) as pause:
            self.tell_wait()
            yield pause

    def tell_wait(self) -> None:
        """Report what is waited for, if nothing is in flight and it is not what was reported last."""
        self.waits.tell(self.now(), self.root.in_flight, queued=self.queue.waiting > 0)

    def observe(self, account: Account, balance: int, sent_at: float) -> None:
        """Take in a balance that was read by a request sent at *sent_at*, and try the waiting calls."""
        account.was_read(balance, sent_at, self.now())
        self.queue.retry_one(self.root)
        self._serve_queue()

    def not_read(self, account: Account) -> None:
        """Note that a balance could not be read: of several keys, one that must be read first is out."""
        account.was_not_read(self.now())

    def learn(self, account: Account, tag: StartTag, failure: Failure | None, now: float) -> None:
        """Let account and circuit breaker learn from a failure; None: from a read that succeeded."""
        if failure is not None and failure.resend in (Resend.YES, Resend.RARELY, Resend.WHEN_BACK):
            self.breaker.failed(now)
        account.learn(tag, failure, now)

    def met(self, *, gateway: bool, status: int) -> None:
        """Note whether a response came from a gateway; to be called before its lease ends.

        A proxy between them may answer for it, but not with an answer of its own.
        """
        if gateway != self.behind_gateway and (gateway or status == 200):
            self.leave_to_gateway(behind_gateway=gateway)

    def leave_to_gateway(self, *, behind_gateway: bool) -> None:
        """Leave money and pace to a gateway from now on, or guard them here."""
        self.behind_gateway = behind_gateway
        for account in self.accounts.all:
            account.leave_to_gateway(behind_gateway=behind_gateway)

    def state(self, account: Account) -> tuple[PacerState, int, int]:
        """Return what a restart needs: the pace, and the units held for calls in flight and in doubt."""
        self._bind_loop()
        now = self.now()
        money = account.ledger.statistics(now)
        return account.throttle.pacer.state(now), money.held, money.in_doubt

    def resume(self, account: Account, pace: PacerState, in_doubt: int, elapsed: float) -> None:
        """Go on from a state taken *elapsed* seconds ago; to be called before the first start."""
        self._bind_loop()
        account.throttle.pacer.restore(pace, self.now(), elapsed)
        if in_doubt:
            account.ledger.inherit_doubt(in_doubt, self.now() - elapsed)

    def inherit_doubt(self, units: int) -> None:
        """Hold what an earlier process had in flight or in doubt when it ended.

        Of several accounts each holds it: which one may be billed is not known.
        """
        self._bind_loop()
        if units:
            for account in self.accounts.all:
                account.ledger.inherit_doubt(units, self.now())

    def statistics(self, model: CostModel) -> Statistics:
        """Return a snapshot with the estimate of *model*."""
        now = self.now()
        found = replace(
            statistics_of(self.accounts, now),
            waiting=self.queue.waiting,
            estimate=credits_of(model.typical()),
            estimate_reason=model.reason,
            outage=None if self.breaker.opened_at is None else now - self.breaker.opened_at,
        )
        return self.waits.shown_in(found, now)

    def _bind_loop(self) -> asyncio.AbstractEventLoop:
        """Serve the running loop from now on, and return it.

        Raises RuntimeError while another one has calls here.
        """
        loop = asyncio.get_running_loop()
        if loop is self._loop:
            return loop
        if self._loop is not None:
            if not self._loop.is_closed() and (self.in_flight or self.queue.waiting):
                raise RuntimeError("this client has calls in another event loop that runs; use one a loop")
            self._timer = None
            ahead = self._last_tried_at - loop.time()
            if ahead > 0:
                for account in self.accounts.all:
                    account.shift(-ahead)
                self.breaker.shift(-ahead)
                self.waits.unblock()
        self._loop = loop
        return loop

    def _withdraw(self, ticket: Ticket, future: asyncio.Future[Lease | Shortfall | Closed]) -> None:
        if not self.queue.remove(ticket.scope, ticket.number) and future.done() and not future.cancelled():
            # Granted and cancelled in the same turn of the loop: the next call gets the slot.
            got = future.result()
            if isinstance(got, Lease):
                got.cancelled()

    def _admit(self, ticket: Ticket, now: float) -> Lease | Missing:
        """Grant a lease, or return what is missing; then nothing is held."""
        scope = ticket.scope
        if scope.limited and (full := scope.full()) is not None:
            return NoSlot(full)
        if self.accounts.several:
            return self._admit_to_any(ticket, now)
        return self._admit_to(self.accounts.first, ticket, now)

    def _admit_to(self, account: Account, ticket: Ticket, now: float) -> Lease | Missing:
        ledger, throttle, scope = account.ledger, account.throttle, ticket.scope
        if ledger.in_flight >= throttle.limit:
            return NoSlot(self.root)
        start = throttle.next_start(now, ledger.in_flight)
        if start > now:
            return NotBefore(start, account)
        hold = ledger.reserve(scope.budget, ticket.model, ticket.predicted, now)
        if isinstance(hold, Shortfall):
            return hold
        for level in scope.line:
            level.in_flight += 1
        self.queue.granted(scope.priority)
        return Lease(self, account, scope, hold, throttle.start(now, hold.others))

    def _admit_to_any(self, ticket: Ticket, now: float) -> Lease | Missing:
        """Try the accounts in turn; if none can, return the reason that may be over first."""
        reasons: list[Missing] = []
        for account in self.accounts.in_turn(ticket.refusals):
            if not account.standing.has_room(account.ledger.in_flight):
                reasons.append(NoSlot(self.root))
                continue
            got = self._admit_to(account, ticket, now)
            if isinstance(got, Lease):
                account.started_at = now
                account.standing.granted()
                return got
            if isinstance(got, Shortfall):
                if got.budget is not None:
                    return got  # the accounts share the budgets
                if got.final and ticket.scope.budget.floor <= self.root.budget.floor:
                    account.standing.short(now)
            reasons.append(got)
        return min(reasons, key=delay)

    def _serve_queue(self) -> None:
        """Grant leases in the order of the queue, until something is missing that all scopes need."""
        now = self._last_tried_at = self.now()
        reads_at = self._serve_reads(now)
        if reads_at is not None:
            self._wake_at(reads_at)
        while (scope := self.queue.take()) is not None:
            number, waiter = next(iter(scope.waiting.items()))
            if waiter.future.done():
                # Cancelled a moment ago; its task has not run since.
                self.queue.remove(scope, number)
                self.queue.first_admitted(scope)
                continue
            got = self._admit(waiter.ticket, now)
            if isinstance(got, Lease) or (isinstance(got, Shortfall) and got.final):
                self.queue.remove(scope, number)
                waiter.future.set_result(got)
                self.waits.unblock()
                self.queue.first_admitted(scope)
                continue
            block = block_of(got, scope, self._unknown(waiter.ticket), now)
            short = block.shortfall
            money = (None, None) if short is None else (short.available, short.needed)
            self.waits.block(Pause(block.reason, now, block.until, *money))
            if block.level is None:
                self.queue.enqueue(scope)
                self._wake_at(block.wake_at if reads_at is None else min(block.wake_at, reads_at))
                break
            self.queue.step_aside(scope, block.level)
        self.tell_wait()

    def _serve_reads(self, now: float) -> float | None:
        """Start the reads of balances, before any call; return when the next may start, None if all have."""
        next_at = None
        for _ in range(len(self._reads)):
            read = self._reads.popleft()
            if read.future.done():
                continue
            throttle, in_flight = read.account.throttle, read.account.ledger.in_flight
            start = throttle.next_start(now, in_flight)
            if start <= now:
                read.future.set_result(throttle.start(now, in_flight))
                continue
            self._reads.append(read)
            next_at = start if next_at is None else min(next_at, start)
        return next_at

    def _unknown(self, ticket: Ticket) -> WaitReason | None:
        """Return what the ledger would have to know first of the account and its costs; None: it knows it."""
        if self.balance is None:
            return WaitReason.FIRST_BALANCE
        return WaitReason.FIRST_COSTS if ticket.model.predictor.guessed else None

    def _wake_at(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if at < math.inf:
            assert self._loop is not None
            self._timer = self._loop.call_at(at, self._serve_queue)
