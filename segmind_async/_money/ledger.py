"""The ledger: what the account holds, what calls in flight may still cost, and who may send the next one.

It grants or refuses at once and never waits. Amounts are units of 10⁻¹⁰ credit, times are monotonic
seconds. What the service tells arrives late, out of order, damaged or not at all, and others spend
from the same account; the rules for that stand at `Ledger.observe`.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from .balance_costs import BalanceCosts
from .budget import Budget
from .cost_model import CostModel
from .doubts import Doubts
from .exposure import Exposure
from .external_spend import ExternalSpend
from .lognormal import NO_MOMENTS, Moments
from .protocol import Hold, LedgerStatistics, ListPrice, Price, Shortfall
from .service_reservations import ServiceReservations, is_free

_UNPRICED_KEPT = 256
"""Calls that wait for a balance to tell what they cost; where none ever comes, guesses must do."""

_NOTHING_IN_FLIGHT = Exposure()


_BLIND = 16
"""Answers without cost and balance after which the balance is asked for."""


@dataclass(slots=True)
class _Unpriced:
    """A finished call for which the service named no cost: booked by guess until the balance tells."""

    hold: Hold
    guess: int
    latency: float
    listed: ListPrice | None


class Ledger:
    """What is known of the account's money, and the holds on it."""

    def __init__(self, floor: int = 0) -> None:
        self.root = Budget(None, None, floor)
        self.in_flight = 0
        self.exposure = Exposure()
        """The calls in flight on this account. The root may be shared by several accounts; this is not."""
        self._spent = 0
        """Units that settled calls have cost this account."""
        self._reading: int | None = None
        self._lowered_at = -math.inf
        self._bound = math.inf
        """A balance that was asked for, less all named costs of calls that were started since."""
        self._bound_at = -math.inf
        self._answered = 0
        # Costs of calls that ended without a reading of their own, and when: not yet in `_reading`.
        self._unread: deque[tuple[float, int]] = deque()
        self._unread_sum = 0
        self._doubts = Doubts()
        self._unpriced: list[_Unpriced] = []
        """Calls without a cost and without a balance of their own."""
        self._blind_after = 1
        """How many of them are let be before the balance is to be asked for; doubles with every time."""
        self._balance_costs: BalanceCosts[_Unpriced] = BalanceCosts()
        self._by_balance = False
        """Whether costs are taken from the balances of single answers."""
        self._fallen = 0
        """Units that the balance fell by for the unpriced calls."""
        self._external = ExternalSpend()
        self._reservations = ServiceReservations()
        self._guards_account = True
        self._full = False
        """The service refused the last call for want of credits, and none of ours has ended since."""

    def __repr__(self) -> str:
        return f"Ledger(balance={self.balance}, in_flight={self.in_flight}, in_doubt={self.in_doubt})"

    @property
    def balance(self) -> int | None:
        """Units on the account, as far as known: the last reading less what ended since without one, and no
        more than the last balance asked for less all that own calls are known to have cost since.
        """
        if self._reading is None:
            return None
        balance = self._reading - self._unread_sum
        return balance if balance <= self._bound else int(self._bound)

    @property
    def in_doubt(self) -> int:
        """Units of calls that may have been billed although their answer was lost."""
        return self._doubts.units

    @property
    def doubts_settle_at(self) -> float | None:
        """When the last doubt can be cleared by a balance; None if there is none."""
        return self._doubts.settle_at

    def statistics(self, now: float) -> LedgerStatistics:
        """Return a snapshot."""
        held = self.exposure.required(now, None)
        return LedgerStatistics(self.in_flight, self.balance, held, self.in_doubt, self._spent)

    @property
    def blind(self) -> bool:
        """Whether so many answers named neither cost nor balance that the balance should be asked for."""
        return len(self._unpriced) >= self._blind_after

    def reserve(
        self, budget: Budget, model: CostModel, predicted: float | None, now: float
    ) -> Hold | Shortfall:
        """Grant or refuse one call: no budget it draws on may be overdrawn by all that is in flight."""
        own_model, model = model, model.predictor
        known = self.balance
        hold = Hold(
            model, now, predicted, model.summand_bound(predicted), budget, own_model, self.in_flight, known
        )
        shortfall = self._budget_shortfall(hold) if budget.capped else None
        if shortfall is None:
            shortfall = self._account_shortfall(hold)
        if shortfall is not None:
            return shortfall
        self._add(hold)
        return hold

    def inherit_hold(self, budget: Budget, model: CostModel, now: float) -> Hold:
        """Put money aside for a call that an earlier run has sent and that still runs, whatever is there."""
        own_model, model = model, model.predictor
        bound = model.summand_bound(None)
        hold = Hold(model, now, None, bound, budget, own_model, self.in_flight, self.balance)
        self._add(hold)
        return hold

    def _add(self, hold: Hold) -> None:
        for level in hold.budget.capped:
            level.exposure.add(hold)
        self.exposure.add(hold)
        hold.own_model.started(hold)
        self.in_flight += 1

    def _budget_shortfall(self, hold: Hold) -> Shortfall | None:
        for level in hold.budget.capped:
            left = level.left
            assert left is not None
            if level.exposure.fits(left, hold):
                continue
            # A first call teaches, also where less is left than the published mean.
            alone = _alone(hold) if hold.model.known else min(left, _alone(hold))
            if alone > left or left <= 0 or len(level.exposure):
                return Shortfall(level, left, alone, final=not len(level.exposure))
        return None

    def _account_shortfall(self, hold: Hold) -> Shortfall | None:
        model, floor, now = hold.model, hold.budget.floor, hold.started_at
        balance = hold.balance
        if not self._guards_account and floor <= 0:
            return None
        if balance is None:
            # Unknown never means plenty: one call, then with every answer one more.
            if self.in_flight <= self._answered:
                return None
            return Shortfall(None, 0, model.bound(now), final=False)
        room = balance - self.in_doubt - floor
        others = NO_MOMENTS
        if not self._external.silent:
            model.fitted(now)  # how long calls take is known from a fit alone
            others = self._external.until(now, model.longest() if self.in_flight else model.latency())
        if self.in_flight:
            reserved = self._reservations.with_one_more(model) if self._reservations.each else 0.0
            if not self._full and reserved <= balance and self.exposure.fits(room, hold, others):
                return None
        elif self.exposure.fits(room, hold, others) or _alone(hold, others) <= room:
            return None
        # With nothing in flight only doubts can be in the way: there is no completion to wait for.
        return Shortfall(None, room, _alone(hold), final=self.in_flight == 0)

    def settle(self, hold: Hold, price: Price, balance: int | None, now: float) -> int | None:
        """Book an answered call: what it cost, and the balance the service named with it.

        Returns what is booked in place of an absurd cost, None if the cost is believed.
        """
        self._answered += 1
        self._drop(hold)
        latency = now - hold.started_at
        units, in_place = price.named, None
        if units is None:
            units = hold.model.typical() if price.listed is None else price.listed.units
            self._settle_unpriced(_Unpriced(hold, units, latency, price.listed), balance, now)
        else:
            bounded = self._bounded(units, hold, balance)
            in_place = bounded if bounded != units and hold.own_model.is_absurd(units) else None
            units = bounded
            self._settle_priced(hold, price, units, latency)
            if self._by_balance and balance is not None:
                self._balance_costs.add(None, balance, now)
        if balance is None:
            self._unread.append((now, units))
            self._unread_sum += units
        else:
            self.observe_header(balance, hold.started_at, now)
        if self._by_balance:
            self._book_known(now)
        return in_place

    def _settle_priced(self, hold: Hold, price: Price, units: int, latency: float) -> None:
        self._fallen -= units
        hold.own_model.learn(hold, units, latency)
        if price.listed is not None:
            price.listed.price_model.learn(units, price.listed.total)
        if hold.started_at >= self._bound_at:
            self._bound -= units
        self._spend(hold, units)

    def _spend(self, hold: Hold, units: int) -> None:
        """Book units on the account and on all budgets of a call; negative to correct a guess."""
        self._spent += units
        for budget in hold.budget.line:
            budget.spent += units

    def release(self, hold: Hold) -> None:
        """Give back the hold of a call that was not billed."""
        self._drop(hold)
        hold.own_model.released(hold)

    def doubt(self, hold: Hold, now: float) -> None:
        """Keep the hold of a call that may have been billed, until a later balance covers it."""
        self._drop(hold)
        hold.own_model.released(hold)
        moments = hold.model.moments(now - hold.started_at, hold.predicted)
        self._doubts.add(now, moments)
        for budget in hold.budget.line:
            budget.doubts.add(now, moments)

    def guard_account(self, on: bool) -> None:
        """Guard the account, or leave it to a gateway; a floor above 0 is kept in any case."""
        self._guards_account = on

    def inherit_doubt(self, units: int, at: float) -> None:
        """Take over what an earlier run of this program had in flight or in doubt when it ended, at *at*."""
        self._doubts.add(at, Moments(units, 0.0, 0.0))

    def refuse(self, hold: Hold, balance: int | None, needed: int | None, now: float) -> None:
        """Learn from a 406 for want of credits, and give its hold back.

        The service reserves an estimate for each call it runs, and refuses the next when these fill the
        balance. A balance it names that lies far below the known one while own calls run is what is free of
        reservations, and no reading of the balance.
        """
        self.release(hold)
        self._full = self.in_flight > 0
        known, others, free = self.balance, min(hold.others, self.in_flight), None
        if balance is None:
            if known is None:
                # Whatever it is, it did not suffice; a read of the balance may tell better.
                self.observe_header(0, hold.started_at, now)
        elif others and known is not None and is_free(balance, known, needed, self.exposure.mean(now)):
            free = balance
        else:
            self.observe_header(balance, hold.started_at, now)
        known = self.balance
        assert known is not None
        self._reservations.refused(hold.model, free, needed, known, others)

    def observe(self, balance: int, sent_at: float, now: float) -> None:
        """Take in a balance that was asked for, by a request that was sent at *sent_at* and answered *now*.

        It alone can raise the balance beyond what own calls are known to have cost.
        """
        if self._takes(balance, sent_at):
            self._bound, self._bound_at = balance, now
        self.observe_header(balance, sent_at, now)

    def observe_header(self, balance: int, sent_at: float, now: float) -> None:
        """Take in a balance that came with the answer to a request sent at *sent_at*.

        Readings arrive out of order, and a balance only falls unless somebody tops it up. So a lower one
        counts at once. A higher one is believed only if its request went out after the lower one had
        arrived: a balance on its way at that time may be older than the lower one.
        """
        if not self._takes(balance, sent_at):
            return
        last = self._reading
        if last is None or balance != last:
            self._lowered_at = now
        self._reading = balance
        if last is not None:
            self._fell(last - balance, now)
        # What ended before the request went out is in the balance; the rest may or may not be.
        while self._unread and self._unread[0][0] <= sent_at:
            self._unread_sum -= self._unread.popleft()[1]
        self._doubts.settle(sent_at)

    def _takes(self, reading: int, sent_at: float) -> bool:
        return self._reading is None or reading <= self._reading or sent_at >= self._lowered_at

    def forget_reservations(self) -> None:
        """Drop what was learnt of the service's own reservations: a top-up or a probe asks anew."""
        self._reservations.forget()

    def forget_others(self) -> None:
        """Forget what others seem to have spent: it was another key of this account."""
        self._external = ExternalSpend()

    def spent_elsewhere(self, units: int) -> None:
        """Note a cost of another key of this account: a fall of the balance by it is no stranger's."""
        self._fallen -= units

    def shift(self, seconds: float) -> None:
        """Move every instant: the client lives on in a loop whose clock has another zero."""
        self._lowered_at += seconds
        self._bound_at += seconds
        self._external.shift(seconds)
        self._unread = deque((at + seconds, units) for at, units in self._unread)
        self._doubts.shift(seconds)

    def _drop(self, hold: Hold) -> None:
        """Take a call out of what is in flight."""
        for level in hold.budget.capped:
            level.exposure.remove(hold)
        self.exposure.remove(hold)
        self._full = False
        self.in_flight -= 1

    def _keep_in_budgets(self, hold: Hold) -> None:
        """Go on holding a finished call's money in its budgets: only the balance shows its cost yet."""
        for level in hold.budget.capped:
            level.exposure.add(hold)

    def _bounded(self, named: int, hold: Hold, reading: int | None) -> int:
        """Return a named cost, no more than the balance allows: it held that much, and fell by that much.

        Where no fall shows it, an absurd cost is not believed of a single answer.
        """
        if hold.balance is None:
            return hold.own_model.believed(named)
        if reading is not None and reading < hold.balance:
            return min(named, hold.balance - reading)
        return min(hold.own_model.believed(named), hold.balance)

    def _settle_unpriced(self, call: _Unpriced, reading: int | None, now: float) -> None:
        """Have a balance tell what a call cost: its own, or the next that is read."""
        if reading is not None:
            self._by_balance = True
            self._balance_costs.begin(reading if self._reading is None else self._reading)
            self._balance_costs.add(call, reading, now)
            self._keep_in_budgets(call.hold)
            return
        self._unpriced.append(call)
        self._spend(call.hold, call.guess)
        if len(self._unpriced) >= _UNPRICED_KEPT:
            self._close_block(None)

    def _book_known(self, now: float) -> None:
        """Book the calls whose cost their balances have told."""
        for call, cost in self._balance_costs.known(now, self.in_flight):
            self._book(call, None if cost is None else cost - self._of_others(call.hold.own_model, cost, now))

    def _of_others(self, own_model: CostModel, cost: int, now: float) -> int:
        """Return what is not a call's own of the fall that came with it: others spent before it ended."""
        more = own_model.not_its_own(cost)
        self._external.add(more, cost, now)
        return more

    def _book(self, call: _Unpriced, cost: int | None) -> None:
        hold = call.hold
        for level in hold.budget.capped:
            level.exposure.remove(hold)
        if cost is None:
            hold.own_model.released(hold)
            return
        hold.own_model.learn(hold, cost, call.latency)
        if call.listed is not None:
            call.listed.price_model.learn(cost, call.listed.total)
        self._spend(hold, cost)

    def _fell(self, fall: int, now: float) -> None:
        """Learn from what the balance fell by since the last reading."""
        self._fallen += fall
        if fall < 0:
            # Paid in: what was spent meanwhile cannot be told.
            self._close_block(None)
            assert self._reading is not None
            for call in self._balance_costs.restart(self._reading):
                self._book(call, call.guess)
        elif self._by_balance:
            self._fallen = 0
        elif not self._unpriced:
            # The costs of all calls are named: the rest is what others spend, and readings out of order.
            self._external.add(self._fallen, fall, now)
            self._fallen = 0
        elif self._fallen > 0 or fall == 0:
            self._close_block(max(0, self._fallen) or None)

    def _close_block(self, fallen: int | None) -> None:
        """Price the calls without a balance of their own: by a share in its fall, or as guessed."""
        guessed = sum(call.guess for call in self._unpriced) or 1
        for call in self._unpriced:
            units = call.guess if fallen is None else fallen * call.guess // guessed
            call.hold.own_model.learn(call.hold, units, call.latency)
            if fallen is not None and call.listed is not None:
                call.listed.price_model.learn(units, call.listed.total)
            self._spend(call.hold, units - call.guess)
        self._unpriced.clear()
        self._blind_after = min(2 * self._blind_after, _BLIND)
        self._fallen = 0


def _alone(hold: Hold, others: Moments = NO_MOMENTS) -> int:
    """Return the units that a call needs with nothing else in flight.

    While its estimate is a guess, that is what it is expected to cost: a call teaches, and no margin around
    a guess may keep it from being sent.
    """
    model = hold.model
    if model.guessed:
        return model.typical()
    return _NOTHING_IN_FLIGHT.required(hold.started_at, model, hold.predicted, others)
