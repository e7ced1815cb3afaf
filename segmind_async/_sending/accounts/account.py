"""One key's account: its ledger, its throttle, and whether the service accepts the key. Pure.

A client has one for each of its keys. What the calls of all keys share is not here: the queue, the budgets,
the circuit breaker and the estimates of costs.
"""

from __future__ import annotations

import math

from ..._money.budget import Budget
from ..._money.cost_model import CostModel
from ..._money.protocol import Hold, LedgerProtocol
from ..._rate.gate import Phase
from ..._rate.start_tracker import StartTag
from ..._rate.throttle import Throttle
from ..._text.wait_reasons import WaitReason
from ..._wire.failures import Failure, FailureKind
from .standing import KeyStanding, Standing

_REFUSED = (FailureKind.UNAUTHENTICATED, FailureKind.FORBIDDEN, FailureKind.SPEND_LIMIT)

OF_THE_KEY = frozenset({*_REFUSED, FailureKind.OUT_OF_CREDITS})
"""Failures that say nothing of the request: with another key it may succeed. None of them is billed."""


class Account:
    """Money and pace of one key. It does not hold the key itself."""

    __slots__ = (
        "_asked_until",
        "_spares",
        "answers",
        "behind_gateway",
        "index",
        "last_read",
        "last_read_at",
        "ledger",
        "name",
        "rate_limited",
        "read_ended_at",
        "same_as",
        "standing",
        "started_at",
        "throttle",
    )

    def __init__(self, ledger: LedgerProtocol, throttle: Throttle, name: str = "", index: int = 0) -> None:
        self.ledger: LedgerProtocol = ledger
        self.throttle: Throttle = throttle
        self.name: str = name
        """What may be shown of the key."""
        self.index: int = index
        """Its place among the keys of the client, `WireRequest.key`."""
        self.standing: KeyStanding = KeyStanding()
        self.rate_limited: int = 0
        """429 answers so far."""
        self.answers: int = 0
        """Calls that were answered so far."""
        self.started_at: float = -math.inf
        """When the last call was sent with it, seconds; kept where there are several keys."""
        self.last_read: int = 0
        """The balance that was last read by a request of its own, whatever the ledger made of it; units."""
        self.last_read_at: float = -math.inf
        """When that was, seconds; -inf before the first time."""
        self.read_ended_at: float = -math.inf
        """When the last read of the balance ended, well or not, seconds; -inf before the first time."""
        self._asked_until = -math.inf
        """Until when the service has asked for nothing to be sent, in answers of 429; seconds."""
        self.behind_gateway: bool = False
        """Whether a gateway minds its money and pace."""
        self.same_as: Account | None = None
        """The account that this one was found to be, under another key which takes the calls of both."""
        self._spares: list[Account] = []
        """Those that were found to be this one."""

    def __repr__(self) -> str:
        return f"Account({self.name!r}, {self.standing!r}, {self.ledger!r}, {self.throttle!r})"

    @property
    def takes(self) -> bool:
        """Whether it takes calls, as far as money and pace allow."""
        return self.standing.takes

    @property
    def state(self) -> str:
        """Why it takes calls or not, in words."""
        state = self.standing.state.value
        return state if self.same_as is None else f"{state} as {self.same_as.name}"

    @property
    def must_read_balance(self) -> bool:
        """Whether a floor can only be kept if the balance is read first."""
        return self.ledger.balance is None or self.ledger.blind

    def was_read(self, balance: int, sent_at: float, now: float) -> None:
        """Take in a balance that was read by a request sent at *sent_at*."""
        self.last_read, self.last_read_at, self.read_ended_at = balance, now, now
        self.ledger.observe(balance, sent_at, now)
        self.standing.was_read()

    def was_not_read(self, now: float) -> None:
        """Note that its balance could not be read: it is out if no floor can be kept by what is known."""
        self.read_ended_at = now
        self.standing.was_not_read(now, known=not self.must_read_balance)

    def was_read_since(self, at: float) -> bool:
        """Return whether a read of its balance has succeeded since *at* (seconds)."""
        return self.ledger.balance is not None and self.last_read_at >= at

    def learn(self, tag: StartTag, failure: Failure | None, now: float) -> None:
        """Learn of the pace and of the key from a failure; None: from a read that succeeded."""
        if failure is None:
            self.throttle.answered(tag, now)
        elif failure.kind is FailureKind.RATE_LIMITED:
            self.rate_limited += 1
            if failure.retry_after is not None:
                self._asked_until = max(self._asked_until, now + failure.retry_after)
            if self.behind_gateway:
                self.throttle.asked_to_wait(tag, now, failure.retry_after)
            else:
                self.throttle.refused(tag, now, failure.retry_after)
        elif failure.status is None:
            self.throttle.abandoned(tag)
        else:
            self.throttle.answered(tag, now)
            self._judge(failure.kind, now)

    def _judge(self, kind: FailureKind, now: float) -> None:
        if self.same_as is not None:
            return  # it takes no calls, and comes back by other ways
        if kind in _REFUSED:
            self.standing.refused(now)
            self._give_way(now)
        elif kind is FailureKind.OUT_OF_CREDITS and not self.ledger.in_flight:
            # Another key that was wrongly put aside may have credits. After a trial that has been looked up.
            for spare in self._spares if self.standing.state is not Standing.ON_TRIAL else ():
                spare.standing.read_soon()
            self.standing.emptied(now)

    def takes_over(self, other: Account, now: float) -> None:
        """Take the calls of *other*, which was found to be this account; what it holds is held here too."""
        other.standing.spare(now)
        for spare in (other, *other._spares):
            spare.same_as = self
            self._spares.append(spare)
        other._spares.clear()
        self._hold_for(other, now)

    def releases(self, other: Account) -> None:
        """Leave the calls of *other* to it again, which has an account of its own after all."""
        self._spares.remove(other)
        other.same_as = None
        other.standing.parted()
        self.ledger.forget_others()

    def _give_way(self, now: float) -> None:
        """Have other keys of this account take its calls, now that its own is refused."""
        for other in self._spares:
            other.same_as = None
            other.standing.replaces()
            other._hold_for(self, now)
        self._spares.clear()

    def _hold_for(self, other: Account, now: float) -> None:
        """Hold what calls in flight with another key of it may cost, until a balance covers them."""
        self.ledger.forget_others()
        money = other.ledger.statistics(now)
        if units := money.held + money.in_doubt:
            self.ledger.inherit_doubt(units, now)

    def leave_to_gateway(self, *, behind_gateway: bool) -> None:
        """Leave money and pace to a gateway from now on, or guard them here."""
        self.behind_gateway = behind_gateway
        self.throttle.keeps_pace = not behind_gateway
        self.ledger.guard_account(not behind_gateway)

    def inherit(self, budget: Budget, model: CostModel, now: float) -> tuple[Hold, StartTag]:
        """Count a call that an earlier process has sent and that still runs, whatever the limits say."""
        hold = self.ledger.inherit_hold(budget, model, now)
        return hold, self.throttle.start(now, hold.others)

    def throttled(self, at: float, now: float) -> WaitReason:
        """Return why no start is allowed before *at*."""
        gate = self.throttle.gate
        if gate.phase is Phase.OPEN:
            return WaitReason.PACE
        if gate.phase is not Phase.CLOSED or at == math.inf:
            return WaitReason.PROBE
        if gate.closed_until <= now:
            return WaitReason.PACE
        return WaitReason.ASKED if gate.closed_until <= self._asked_until else WaitReason.REFUSED

    def is_due(self, now: float) -> bool:
        """Return whether its balance is to be read now, and may be: the read takes a start.

        That of a spare is read together with the one that it is compared to.
        """
        if self.standing.read_at > now:
            return False
        if self.same_as is not None and not self.same_as.may_start(now):
            return False
        return self.may_start(now)

    def may_start(self, now: float) -> bool:
        """Return whether its pace and its gate allow a start now."""
        return self.throttle.next_start(now, self.ledger.in_flight) <= now

    def shift(self, seconds: float) -> None:
        """Add *seconds* to every instant kept: the client goes on in a loop whose clock has another zero."""
        self.ledger.shift(seconds)
        self.throttle.shift(seconds)
        self.standing.shift(seconds)
        self.started_at += seconds
        self.last_read_at += seconds
        self.read_ended_at += seconds
        self._asked_until += seconds
