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

from .budget import Budget
from .cost_model import CostModel, InFlightCall
from .price_model import PriceModel


@dataclass(slots=True, eq=False)
class Hold(InFlightCall):
    """The money put aside for one attempt. `model` is the cost model that predicted its cost."""

    budget: Budget
    own_model: CostModel
    """The cost model that learns from its cost."""
    others: int
    """Calls that were in flight when it was granted."""
    balance: int | None
    """The balance that was known when it was granted."""


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
    def total(self) -> float:
        """Both parts together."""
        return self.input + self.output

    @property
    def units(self) -> int:
        """The cost of the call by what the price model has learnt so far."""
        return self.price_model.price(self.total)


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
        """The budget of all calls: the account down to the client's floor.

        A client with several accounts has a ledger for each and one tree of budgets, under the root of the
        first. A hold's budgets may so count calls of other ledgers too.
        """
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

    def inherit_hold(self, budget: Budget, model: CostModel, now: float) -> Hold:
        """Put money aside for a call that an earlier process has sent and that still runs.

        It is held whatever balance and budgets say.
        """
        ...

    def settle(self, hold: Hold, price: Price, balance: int | None, now: float) -> int | None:
        """End the hold of an answered call. *balance* came with the answer; None if none did.

        Returns the units to book in place of a named cost that cannot be right; None if it may be.
        """
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

    @property
    def blind(self) -> bool:
        """Whether so many answers came without cost and balance that the balance should be read."""
        ...

    def observe(self, balance: int, sent_at: float, now: float) -> None:
        """Take in a balance that was asked for, by a request sent at *sent_at* and answered *now*."""
        ...

    def observe_header(self, balance: int, sent_at: float, now: float) -> None:
        """Take in a balance that came with the response to a request of another kind, sent at *sent_at*."""
        ...

    def forget_reservations(self) -> None:
        """Forget what refusals have taught about the service's own reservations."""
        ...

    def guard_account(self, on: bool) -> None:
        """Say whether this ledger guards the account; if not, a gateway does it for all who call it.

        Budgets with a limit or a floor of their own are kept in any case.
        """
        ...

    def inherit_doubt(self, units: int, at: float) -> None:
        """Take over the amount that an earlier process had in flight or in doubt when it ended, at *at*."""
        ...

    def forget_others(self) -> None:
        """Forget what others seem to have spent: it was another key of this account."""
        ...

    def spent_elsewhere(self, units: int) -> None:
        """Note a cost of another key of this account, by which its balance has fallen or will."""
        ...

    def shift(self, seconds: float) -> None:
        """Add *seconds* to every instant kept: the client goes on in a loop whose clock has another zero."""
        ...

    def statistics(self, now: float) -> LedgerStatistics:
        """Return a snapshot."""
        ...
