"""The seam between the admission and a ledger: budgets, holds, prices, and the calls between the two.

The admission knows `LedgerProtocol` alone; `_money.ledger.Ledger` is the one that clients use, and
`SegmindClient._new_ledger` the one line that names it. A hold is money put aside for one attempt. The ledger
reserves it before the attempt is sent, and exactly one of these ends it: it is settled (the call was answered
and has a cost), released (nothing was billed), doubted (the answer was lost, so it may have been billed) or
refused (the service answered that the credits do not suffice).

Amounts are units of 10⁻¹⁰ credit, times are monotonic seconds. Pure: nothing here waits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from .cost_model import CostModel, Exposure, InFlightCall
from .price_model import PriceModel


class Budget:
    """Money that some calls may spend: the account down to a floor, or a part of another budget."""

    __slots__ = ("cap", "capped", "doubted", "exposure", "exposures", "floor", "id", "line", "spent")

    def __init__(self, parent: Budget | None, cap: int | None = None, floor: int = 0, id: str = "") -> None:
        self.id: str = id
        """Identifies this budget in errors: unique over processes; empty for the ledger's root."""
        self.line: tuple[Budget, ...] = (self, *parent.line) if parent else (self,)
        """This budget and all those around it, the ledger's root last."""
        self.cap: int | None = cap
        """Units that its calls may cost; None for no limit but those of the budgets around it."""
        self.floor: int = max(floor, parent.floor) if parent else floor
        """Units that its calls leave on the account."""
        self.spent: int = 0
        """Units that its settled calls have cost."""
        self.doubted: int = 0
        """Units of its calls in doubt. They stay: a balance shows what the account was billed, and not
        which budget's calls that were."""
        self.exposure: Exposure = Exposure()
        """Its calls in flight; empty where `exposures` of its calls leave it out."""
        self.capped: tuple[Budget, ...] = tuple(budget for budget in self.line if budget.cap is not None)
        """The budgets of the line that may be used up before the account is."""
        counted = (
            budget.exposure for budget in self.line if budget.cap is not None or budget is self.line[-1]
        )
        self.exposures: tuple[Exposure, ...] = tuple(counted)
        """The exposures in which a call in flight counts: those of the capped budgets and of the root."""

    def __repr__(self) -> str:
        return f"Budget(cap={self.cap}, floor={self.floor}, spent={self.spent}, doubted={self.doubted})"

    @property
    def left(self) -> int | None:
        """Units left of the cap, calls in flight not subtracted; None without a cap."""
        return None if self.cap is None else self.cap - self.spent - self.doubted


@dataclass(slots=True, eq=False)
class Hold(InFlightCall):
    """The money put aside for one attempt. `model` is the cost model that predicted its cost."""

    budget: Budget
    own_model: CostModel
    """The cost model that learns from its cost."""
    others: int
    """Calls that were in flight when it was granted."""


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Why the money does not suffice for a call now."""

    budget: Budget | None
    """The budget that is short; None if it is the account."""
    available: int
    """Units that may still be spent there; negative if it is overdrawn."""
    needed: int
    """Units that this call may cost, with no other call in flight."""
    final: bool
    """Whether no end of a call in flight can change it: only a top-up, or a doubt that was not billed."""


@dataclass(frozen=True, slots=True)
class ListPrice:
    """The list price of an answered call in its two parts, and the model of the real price."""

    price_model: PriceModel
    input: float
    output: float

    @property
    def units(self) -> int:
        """The cost of the call by what the price model has learnt so far."""
        return self.price_model.price(self.input, self.output)


class Price(NamedTuple):
    """What an answered call cost: `named` by the service, else `listed` by its tokens, else unknown."""

    named: int | None = None
    listed: ListPrice | None = None


@dataclass(frozen=True, slots=True)
class LedgerStatistics:
    """A snapshot of a ledger, in units."""

    in_flight: int
    """Calls with a hold."""
    balance: int | None
    """See `LedgerProtocol.balance`."""
    held: int
    """What the calls in flight may still cost together."""
    in_doubt: int
    """What calls whose answer was lost may have cost."""
    spent: int
    """What settled calls have cost."""


class LedgerProtocol(Protocol):
    """What the admission needs of a ledger. No method waits; all are called from one event loop."""

    @property
    def root(self) -> Budget:
        """The budget of all calls: the account down to the client's floor."""
        ...

    @property
    def in_flight(self) -> int:
        """Calls with a hold."""
        ...

    @property
    def balance(self) -> int | None:
        """Units on the account as far as known; None before any balance was observed."""
        ...

    @property
    def doubts_settle_at(self) -> float | None:
        """When a balance will show of every call in doubt whether it was billed; None if none is in doubt."""
        ...

    def reserve(
        self, budget: Budget, model: CostModel, predicted: float | None, now: float
    ) -> Hold | Shortfall:
        """Put money aside for one call, or return what is short; then nothing is held.

        *predicted* is a predictor of its cost in units, None if there is none.
        """
        ...

    def settle(self, hold: Hold, price: Price, balance: int | None, now: float) -> None:
        """End the hold of an answered call. *balance* came with the answer; None if none did."""
        ...

    def release(self, hold: Hold) -> None:
        """End the hold of a call that was not billed."""
        ...

    def doubt(self, hold: Hold, now: float) -> None:
        """End the hold of a call that may have been billed, and keep its amount aside as in doubt."""
        ...

    def refuse(self, hold: Hold, balance: int | None, needed: int | None, now: float) -> None:
        """End the hold of a call that the service refused for lack of credits.

        *balance* and *needed* are what the refusal names, in units; None where it names nothing.
        """
        ...

    def observe(self, balance: int, sent_at: float, now: float) -> None:
        """Take in a balance, read by a request that was sent at *sent_at* and answered *now*."""
        ...

    def forget_reservations(self) -> None:
        """Forget what refusals have taught about the service's own reservations."""
        ...

    def inherit_doubt(self, units: int, at: float) -> None:
        """Take over the amount that an earlier process had in flight or in doubt when it ended, at *at*."""
        ...

    def shift(self, seconds: float) -> None:
        """Add *seconds* to every instant kept: the client goes on in a loop whose clock has another zero."""
        ...

    def statistics(self, now: float) -> LedgerStatistics:
        """Return a snapshot."""
        ...
