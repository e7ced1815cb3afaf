"""The ledger: what is on the account, what calls in flight may still cost, and whether the next call fits.

It grants or refuses at once and never waits. Amounts are units of 10⁻¹⁰ credit, times are monotonic
seconds. Balances arrive late, out of order, damaged or not at all, and others spend from the same account;
`Ledger.observe` says which balances are believed.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

from .budget import Budget
from .cost_model import CostModel, Exposure
from .external_spend import ExternalSpend
from .protocol import Hold, LedgerStatistics, ListPrice, Price, Shortfall

DOUBT_SETTLES_AFTER = 60.0
"""Seconds after which a call whose answer was lost has surely ended on the server, and a balance shows
whether it was billed. The slowest published mean is 67 s, of all models but three under 30 s."""

_MAX_UNPRICED = 256
"""Calls that wait for a balance to show what they cost; beyond it they keep their guessed cost."""

_NOTHING_IN_FLIGHT = Exposure()
_NO_CALLS: Mapping[CostModel, int] = {}

_Z_RESERVED = 2.0
"""Standard deviations of a sum of the service's own estimates that are kept free."""

_IN_TRANSIT = 1.1
"""Calls in flight here over those in flight on the service: what is in transit counts here only."""

_MAX_BLOCK = 16
"""Calls without a named cost that are priced together, at most."""

_FEW = 5
"""Calls in flight below which the share of each in the balance says less than the estimate that was named."""


@dataclass(slots=True)
class _Unpriced:
    """An answered call for which the service named no cost: booked as `guess` until a balance shows it."""

    hold: Hold
    guess: int
    latency: float
    listed: ListPrice | None


class Ledger:
    """The books of one account: its balance, and the holds on it. See `LedgerProtocol`."""

    def __init__(self, floor: int = 0) -> None:
        self.root = Budget(None, None, floor)
        self.in_flight = 0
        self._balance_reading: int | None = None
        """The last balance that was believed."""
        self._lowered_at = -math.inf
        """When that balance arrived."""
        self._answered = 0
        self._unread: deque[tuple[float, int]] = deque()
        """Ends and costs of calls that were answered without a balance, and are not in the last one yet."""
        self._unread_sum = 0
        self._doubts: deque[tuple[float, int]] = deque()
        """Instants and units of the calls in doubt."""
        self.in_doubt = 0
        """Units of calls that may have been billed although their answer was lost."""
        self._unpriced: list[_Unpriced] = []
        self._unlisted = False
        """Whether one of the unpriced calls has no list price either."""
        self._block = 1
        """Unpriced calls that are priced together."""
        self._fallen = 0
        """Units by which the balance fell for the unpriced calls."""
        self._external = ExternalSpend()
        self._reserved: dict[CostModel, float] = {}
        """Units that the service itself reserves for a call, on average, learnt from its 406 answers."""
        self._out: Counter[CostModel] = Counter()
        """Calls in flight of each model."""
        self._full = False
        """Whether the service refused the last call for lack of credits, and none has ended since."""

    def __repr__(self) -> str:
        return f"Ledger(balance={self.balance}, in_flight={self.in_flight}, in_doubt={self.in_doubt})"

    @property
    def balance(self) -> int | None:
        """Units on the account as far as known: the last balance less what calls have cost since.

        None before any balance was observed.
        """
        return None if self._balance_reading is None else self._balance_reading - self._unread_sum

    @property
    def doubts_settle_at(self) -> float | None:
        """The instant from which a balance settles the last doubt; None if nothing is in doubt."""
        return self._doubts[-1][0] + DOUBT_SETTLES_AFTER if self._doubts else None

    def statistics(self, now: float) -> LedgerStatistics:
        """Return a snapshot."""
        held = self.root.exposure.required(now, None)
        return LedgerStatistics(self.in_flight, self.balance, held, self.in_doubt, self.root.spent)

    def reserve(
        self, budget: Budget, model: CostModel, predicted: float | None, now: float
    ) -> Hold | Shortfall:
        """Put money aside for one call, or return what is short.

        It is granted if no budget of the line, nor the account, may be overdrawn by it and all in flight.
        """
        own_model, model = model, model.predictor
        bound = model.summand_bound(predicted)
        hold = Hold(model, now, predicted, bound, budget, own_model, self.in_flight)
        shortfall = self._budget_shortfall(hold) if budget.capped else None
        if shortfall is None:
            shortfall = self._account_shortfall(hold)
        if shortfall is not None:
            return shortfall
        for exposure in budget.exposures:
            exposure.add(hold)
        self.in_flight += 1
        self._out[model.whole] += 1
        return hold

    def _budget_shortfall(self, hold: Hold) -> Shortfall | None:
        for level in hold.budget.capped:
            left = level.left
            if left is not None and not level.exposure.fits(left, hold):
                alone = _NOTHING_IN_FLIGHT.required(hold.started_at, hold.model, hold.predicted)
                return Shortfall(level, left, alone, final=alone > left)
        return None

    def _account_shortfall(self, hold: Hold) -> Shortfall | None:
        model, floor = hold.model, hold.budget.floor
        balance = self.balance
        if balance is None:
            # An unknown balance never counts as plenty: one call, and one more with every answer.
            if self.in_flight <= self._answered:
                return None
            return Shortfall(None, 0, model.upper_bound(), final=False)
        room = balance - self.in_doubt - floor - self._external.until(hold.started_at, model.latency())
        fits_there = not self._full and (
            not self._reserved or self._reserved_by_service(model, self._out) <= balance
        )
        if fits_there and self.root.exposure.fits(room, hold):
            return None
        reserved_alone = math.ceil(self._reserved_by_service(model, _NO_CALLS))
        alone = _NOTHING_IN_FLIGHT.required(hold.started_at, model, hold.predicted)
        alone = max(alone, reserved_alone - floor)
        # With nothing in flight only doubts can be in the way, and no call's end will settle them.
        return Shortfall(None, room, alone, final=alone > balance - floor or self.in_flight == 0)

    def _reserved_by_service(self, candidate: CostModel, out: Mapping[CostModel, int]) -> float:
        """Return the units that the service reserves for the calls in *out* and one more, as far as learnt.

        Its estimates are assumed to spread as costs do. They are fixed when a call starts, so age is ignored.
        """
        mean = variance = 0.0
        for model, units in self._reserved.items():
            count = out.get(model, 0) + (model is candidate.whole)
            mean += units * count
            variance += (units * model.relative_spread()) ** 2 * max(0, count - 1)
        return mean + _Z_RESERVED * math.sqrt(variance)

    def settle(self, hold: Hold, price: Price, balance: int | None, now: float) -> None:
        """End the hold of an answered call, and book its cost in every budget of the line.

        Without a named cost it is booked by its list price, else by the mean of its model, until a fall of
        the balance shows what the unpriced calls have cost together.
        """
        self._drop(hold)
        self._answered += 1
        latency = now - hold.started_at
        units = price.named
        if units is None:
            units = hold.model.typical() if price.listed is None else price.listed.units
            self._unpriced.append(_Unpriced(hold, units, latency, price.listed))
            self._unlisted = self._unlisted or price.listed is None
            if len(self._unpriced) >= _MAX_UNPRICED:
                self._close_block(None)
        else:
            self._fallen -= units
            hold.own_model.finished(units, latency, hold.predicted)
        for budget in hold.budget.line:
            budget.spent += units
        if balance is None:
            self._unread.append((now, units))
            self._unread_sum += units
        else:
            self.observe(balance, hold.started_at, now)

    def release(self, hold: Hold) -> None:
        """End the hold of a call that was not billed."""
        self._drop(hold)

    def doubt(self, hold: Hold, now: float) -> None:
        """End the hold of a call that may have been billed, and keep an upper bound of its cost aside.

        The account gets it back with a balance read late enough; the budgets of the line never do.
        """
        self._drop(hold)
        units = hold.model.upper_bound()
        self._doubts.append((now, units))
        self.in_doubt += units
        for budget in hold.budget.line:
            budget.doubted += units

    def inherit_doubt(self, units: int, at: float) -> None:
        """Take over the amount that an earlier process had in flight or in doubt when it ended, at *at*."""
        self._doubts.appendleft((at, units))
        self.in_doubt += units

    def refuse(self, hold: Hold, balance: int | None, needed: int | None, now: float) -> None:
        """End the hold of a call that the service refused for lack of credits, and learn from it.

        The service reserves an estimate for each call it runs, and refuses the next one when these fill the
        balance. So the calls in flight share what the balance holds beyond this call's own need. If the
        refusal names no need, one call more than were in flight did not fit.
        """
        self._drop(hold)
        self._full = self.in_flight > 0
        if balance is not None:
            self.observe(balance, hold.started_at, now)
        elif self._balance_reading is None:
            # The balance is unknown and did not suffice: 0 until one is read.
            self.observe(0, hold.started_at, now)
        known = self.balance
        assert known is not None
        others = min(hold.others, self.in_flight)
        if needed is None:
            each = known / (others + 1)
        else:
            each = needed if others < _FEW else _IN_TRANSIT * (known - needed) / others
        whole = hold.model.whole
        self._reserved[whole] = max(each, self._reserved.get(whole, 0.0))

    def observe(self, balance: int, sent_at: float, now: float) -> None:
        """Take in a balance, read by a request that was sent at *sent_at* and answered *now*.

        Balances arrive out of order, and one only falls unless somebody tops it up. So a lower one counts at
        once. A higher one is believed only if its request was sent after the lower one had arrived: a balance
        on its way at that time may be older than the lower one.
        """
        last = self._balance_reading
        if last is not None and balance > last and sent_at < self._lowered_at:
            return
        if last is None or balance != last:
            self._lowered_at = now
        self._balance_reading = balance
        if last is not None:
            self._fell(last - balance, now)
        # What ended before the request was sent is in this balance; the rest may or may not be.
        while self._unread and self._unread[0][0] <= sent_at:
            self._unread_sum -= self._unread.popleft()[1]
        while self._doubts and self._doubts[0][0] + DOUBT_SETTLES_AFTER <= sent_at:
            self.in_doubt -= self._doubts.popleft()[1]

    def forget_reservations(self) -> None:
        """Forget what was learnt of the service's own reservations: after a top-up they no longer hold."""
        self._reserved.clear()

    def shift(self, seconds: float) -> None:
        """Add *seconds* to every instant kept: the client goes on in a loop whose clock has another zero."""
        self._lowered_at += seconds
        self._external.shift(seconds)
        self._unread = deque((at + seconds, units) for at, units in self._unread)
        self._doubts = deque((at + seconds, units) for at, units in self._doubts)

    def _drop(self, hold: Hold) -> None:
        for exposure in hold.budget.exposures:
            exposure.remove(hold)
        self._full = False
        self.in_flight -= 1
        self._out[hold.model.whole] -= 1

    def _fell(self, fall: int, now: float) -> None:
        """Learn from the units by which the balance fell since the last one."""
        self._fallen += fall
        if fall < 0:
            # Topped up: what was spent in between is unknown.
            self._close_block(None)
        elif not self._unpriced:
            # The costs of all calls are named: the rest is external spend, and balances out of order.
            self._external.add(self._fallen, fall, now)
            self._fallen = 0
        elif self._fallen > 0 and (self._unlisted or len(self._unpriced) >= self._block):
            self._close_block(self._fallen)

    def _close_block(self, fallen: int | None) -> None:
        """Price the unpriced calls: by the fall of the balance, or as guessed if *fallen* is None."""
        shares = self._shares(fallen)
        for call, units in zip(self._unpriced, shares, strict=True):
            call.hold.own_model.finished(units, call.latency, call.hold.predicted)
            for budget in call.hold.budget.line:
                budget.spent += units - call.guess
        self._unpriced.clear()
        self._unlisted = False
        self._fallen = 0

    def _shares(self, fallen: int | None) -> list[int]:
        calls = self._unpriced
        if fallen is None:
            return [call.guess for call in calls]
        listed = [call.listed for call in calls if call.listed is not None]
        if len(listed) == len(calls) and len({id(price.price_model) for price in listed}) == 1:
            inputs, outputs = sum(price.input for price in listed), sum(price.output for price in listed)
            listed[0].price_model.learn(fallen, inputs, outputs, len(calls))
            # The first call runs alone, so its fall is exact; later falls mix, so more calls go together.
            self._block = min(2 * self._block, _MAX_BLOCK)
            return [price.units for price in listed]
        guessed = sum(call.guess for call in calls) or 1
        return [fallen * call.guess // guessed for call in calls]
