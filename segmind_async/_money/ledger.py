"""The ledger: what the account holds, what calls in flight may still cost, and who may send the next one.

It grants or refuses at once and never waits. Amounts are units of 10⁻¹⁰ credit, times are monotonic
seconds. What the service tells arrives late, out of order, damaged or not at all, and others spend
from the same account; the rules for that stand at `Account.observe`.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from .cost_model import CostModel, Exposure, Held
from .external_spend import ExternalSpend
from .price_model import PriceModel

DOUBT_SETTLES_AFTER = 60.0
"""Seconds after which a call whose answer was lost has surely ended on the server, and a balance shows
whether it was billed. The slowest published mean is 67 s, of all models but three under 30 s."""

_UNPRICED_KEPT = 256
"""Calls that wait for a balance to tell what they cost; where none ever comes, guesses must do."""

_NOTHING_IN_FLIGHT = Exposure()
_NONE_OUT: Mapping[CostModel, int] = {}

_Z_RESERVED = 2.0
"""Standard deviations of a sum of the service's own estimates that are kept free."""

_ON_THE_WAY = 1.1
"""Calls in flight here over those in flight there: answers and requests on the way count here alone."""

_BLOCK = 16
"""Calls without a named cost that are priced together."""

_FEW = 5
"""Calls in flight under which what they share says less of an estimate than the one that was named."""


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Why a call may not be sent now."""

    budget: Budget | None
    """The budget that cannot pay; None if it is the account."""
    available: int
    """Units that may still be spent there."""
    needed: int
    """Units this call may need, alone."""
    final: bool
    """No completion can change it: only more money, or a doubt that turns out unbilled."""


class Budget:
    """Money that some calls may draw on: the account down to a floor, or a budget within another purse."""

    __slots__ = ("cap", "capped", "doubted", "exposure", "exposures", "floor", "id", "line", "spent")

    def __init__(self, parent: Budget | None, cap: int | None = None, floor: int = 0, id: str = "") -> None:
        self.id = id
        """Identifies this budget in errors: unique over processes; empty for the ledger's root."""
        self.line: tuple[Budget, ...] = (self, *parent.line) if parent else (self,)
        """This purse and all it is part of, the account last."""
        self.cap = cap
        self.floor: int = max(floor, parent.floor) if parent else floor
        self.spent = 0
        self.doubted = 0
        """Units of calls that may have been billed: for a budget, nothing ever tells."""
        self.exposure = Exposure()
        self.capped: tuple[Budget, ...] = tuple(budget for budget in self.line if budget.cap is not None)
        """Those of the line that may run dry before the account does."""
        counted = (
            budget.exposure for budget in self.line if budget.cap is not None or budget is self.line[-1]
        )
        self.exposures: tuple[Exposure, ...] = tuple(counted)
        """What a call in flight counts in."""

    def __repr__(self) -> str:
        return f"Budget(cap={self.cap}, floor={self.floor}, spent={self.spent}, doubted={self.doubted})"

    @property
    def left(self) -> int | None:
        """Units left of the cap, calls in flight not counted; None without a cap."""
        return None if self.cap is None else self.cap - self.spent - self.doubted


@dataclass(slots=True, eq=False)
class Hold(Held):
    """The money put aside for one attempt. `model` spoke for it when it was granted."""

    budget: Budget
    kind: CostModel
    """What it teaches."""
    others: int
    """Calls that were in flight when it was granted."""


@dataclass(frozen=True, slots=True)
class Listed:
    """The list price of an answered call, in its two parts, and what makes the real one of it."""

    price_model: PriceModel
    asked: float
    answered: float

    @property
    def units(self) -> int:
        """What the call has cost, as far as the tariff is known."""
        return self.price_model.price(self.asked, self.answered)


class Price(NamedTuple):
    """What an answered call cost: as the service named it, else by its tokens, else unknown."""

    named: int | None = None
    listed: Listed | None = None


@dataclass(slots=True)
class _Unpriced:
    """A finished call for which the service named no cost: booked by guess until the balance tells."""

    hold: Hold
    guess: int
    latency: float
    listed: Listed | None


class Ledger:
    """What is known of the account's money, and the holds on it."""

    def __init__(self, floor: int = 0) -> None:
        self.root = Budget(None, None, floor)
        self.in_flight = 0
        self._reading: int | None = None
        self._lowered_at = -math.inf
        self._answered = 0
        # Costs of calls that ended without a reading of their own, and when: not yet in `_reading`.
        self._unread: deque[tuple[float, int]] = deque()
        self._unread_sum = 0
        self._doubts: deque[tuple[float, int]] = deque()
        self.in_doubt = 0
        """Units of calls that may have been billed although their answer was lost."""
        self._unpriced: list[_Unpriced] = []
        self._unlisted = False
        self._block = 1
        self._fallen = 0
        """Units that the balance fell by for the unpriced calls."""
        self._external = ExternalSpend()
        # What the service itself reserves for a call, on average, learnt from its 406 answers.
        self._reserved: dict[CostModel, float] = {}
        self._out: Counter[CostModel] = Counter()
        self._full = False
        """The service refused the last call for want of credits, and none of ours has ended since."""

    def __repr__(self) -> str:
        return f"Ledger(balance={self.balance}, in_flight={self.in_flight}, in_doubt={self.in_doubt})"

    @property
    def balance(self) -> int | None:
        """Units on the account, as far as known: the last reading less what ended since without one."""
        return None if self._reading is None else self._reading - self._unread_sum

    @property
    def doubts_settle_at(self) -> float | None:
        """When the last doubt can be cleared by a balance; None if there is none."""
        return self._doubts[-1][0] + DOUBT_SETTLES_AFTER if self._doubts else None

    @property
    def unread(self) -> bool:
        """Whether no balance has been read yet."""
        return self._reading is None

    def reserve(
        self, budget: Budget, model: CostModel, predicted: float | None, now: float
    ) -> Hold | Shortfall:
        """Grant or refuse one call: no purse it draws on may be overdrawn by all that is in flight."""
        kind, model = model, model.speaker
        hold = Hold(model, now, predicted, model.most(predicted), budget, kind, self.in_flight)
        shortfall = self._budget_shortfall(hold) if budget.capped else None
        if shortfall is None:
            shortfall = self._ledger_shortfall(hold)
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

    def _ledger_shortfall(self, hold: Hold) -> Shortfall | None:
        model, floor = hold.model, hold.budget.floor
        balance = self.balance
        if balance is None:
            # Unknown never means plenty: one call, then with every answer one more.
            if self.in_flight <= self._answered:
                return None
            return Shortfall(None, 0, model.bound(), final=False)
        room = balance - self.in_doubt - floor - self._external.until(hold.started_at, model.latency())
        fits_there = not self._full and (
            not self._reserved or self._reserved_by_service(model, self._out) <= balance
        )
        if fits_there and self.root.exposure.fits(room, hold):
            return None
        reserved_alone = math.ceil(self._reserved_by_service(model, _NONE_OUT))
        alone = _NOTHING_IN_FLIGHT.required(hold.started_at, model, hold.predicted)
        alone = max(alone, reserved_alone - floor)
        # With nothing in flight only doubts can be in the way: there is no completion to wait for.
        return Shortfall(None, room, alone, final=alone > balance - floor or self.in_flight == 0)

    def _reserved_by_service(self, candidate: CostModel, out: Mapping[CostModel, int]) -> float:
        """Return what the service reserves for the calls in *out* and one more, as far as it told.

        Its estimates are taken to spread as costs do, and are fixed when a call starts: age says nothing.
        """
        mean = variance = 0.0
        for model, units in self._reserved.items():
            count = out.get(model, 0) + (model is candidate.whole)
            mean += units * count
            variance += (units * model.relative_spread()) ** 2 * max(0, count - 1)
        return mean + _Z_RESERVED * math.sqrt(variance)

    def settle(self, hold: Hold, price: Price, reading: int | None, now: float) -> None:
        """Book an answered call: what it cost, and the balance the service named with it."""
        self._drop(hold)
        self._answered += 1
        latency = now - hold.started_at
        units = price.named
        if units is None:
            units = hold.model.typical() if price.listed is None else price.listed.units
            self._unpriced.append(_Unpriced(hold, units, latency, price.listed))
            self._unlisted = self._unlisted or price.listed is None
            if len(self._unpriced) >= _UNPRICED_KEPT:
                self._close_block(None)
        else:
            self._fallen -= units
            hold.kind.finished(units, latency, hold.predicted)
        for budget in hold.budget.line:
            budget.spent += units
        if reading is None:
            self._unread.append((now, units))
            self._unread_sum += units
        else:
            self.observe(reading, hold.started_at, now)

    def release(self, hold: Hold) -> None:
        """Give back the hold of a call that was not billed."""
        self._drop(hold)

    def doubt(self, hold: Hold, now: float) -> None:
        """Keep the hold of a call that may have been billed, until a later balance covers it."""
        self._drop(hold)
        units = hold.model.bound()
        self._doubts.append((now, units))
        self.in_doubt += units
        for budget in hold.budget.line:
            budget.doubted += units

    def inherit_doubt(self, units: int, at: float) -> None:
        """Take over what an earlier run of this program had in flight or in doubt when it ended, at *at*."""
        self._doubts.appendleft((at, units))
        self.in_doubt += units

    def refuse(self, hold: Hold, balance: int | None, needed: int | None, now: float) -> None:
        """Learn from a 406 for want of credits, and give its hold back.

        The service reserves an estimate for each call it runs, and refuses the next when these fill the
        balance. That happened just now, so the calls in flight share what it holds beyond this call's own
        need. If it names no need, one call more than were in flight did not fit.
        """
        self._drop(hold)
        self._full = self.in_flight > 0
        if balance is not None:
            self.observe(balance, hold.started_at, now)
        elif self._reading is None:
            # Whatever it is, it did not suffice; a read of the balance may tell better.
            self.observe(0, hold.started_at, now)
        known = self.balance
        assert known is not None
        others = min(hold.others, self.in_flight)
        if needed is None:
            each = known / (others + 1)
        else:
            each = needed if others < _FEW else _ON_THE_WAY * (known - needed) / others
        whole = hold.model.whole
        self._reserved[whole] = max(each, self._reserved.get(whole, 0.0))

    def observe(self, reading: int, sent_at: float, now: float) -> None:
        """Take in a balance, read by a request that was sent at *sent_at* and answered *now*.

        Readings arrive out of order, and a balance only falls unless somebody tops it up. So a lower one
        counts at once. A higher one is believed only if its request went out after the lower one had
        arrived: a reading on its way at that time may be older than the lower one.
        """
        last = self._reading
        if last is not None and reading > last and sent_at < self._lowered_at:
            return
        if last is None or reading != last:
            self._lowered_at = now
        self._reading = reading
        if last is not None:
            self._fell(last - reading, now)
        # What ended before the request went out is in the reading; the rest may or may not be.
        while self._unread and self._unread[0][0] <= sent_at:
            self._unread_sum -= self._unread.popleft()[1]
        while self._doubts and self._doubts[0][0] + DOUBT_SETTLES_AFTER <= sent_at:
            self.in_doubt -= self._doubts.popleft()[1]

    def forget(self) -> None:
        """Drop what was learnt of the service's own reservations: a top-up or a probe asks anew."""
        self._reserved.clear()

    def shift(self, seconds: float) -> None:
        """Move every instant: the client lives on in a loop whose clock has another zero."""
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
        """Learn from what the balance fell by since the last reading."""
        self._fallen += fall
        if fall < 0:
            # Paid in: what was spent meanwhile cannot be told.
            self._close_block(None)
        elif not self._unpriced:
            # The costs of all calls are named: the rest is what others spend, and readings out of order.
            self._external.add(self._fallen, fall, now)
            self._fallen = 0
        elif self._fallen > 0 and (self._unlisted or len(self._unpriced) >= self._block):
            self._close_block(self._fallen)

    def _close_block(self, fallen: int | None) -> None:
        """Price the unpriced calls: by the fall of the balance if it is known, else as guessed."""
        shares = self._shares(fallen)
        for call, units in zip(self._unpriced, shares, strict=True):
            call.hold.kind.finished(units, call.latency, call.hold.predicted)
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
            asked, answered = sum(price.asked for price in listed), sum(price.answered for price in listed)
            listed[0].price_model.learn(fallen, asked, answered, len(calls))
            # The first call runs alone, so its fall is exact; later ones mix, and are taken together.
            self._block = min(2 * self._block, _BLOCK)
            return [price.units for price in listed]
        guessed = sum(call.guess for call in calls) or 1
        return [fallen * call.guess // guessed for call in calls]
