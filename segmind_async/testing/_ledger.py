"""A ledger without limits that records what the admission asks of it."""

from __future__ import annotations

from typing import NamedTuple

from .._money.budget import Budget
from .._money.cost_model import CostModel
from .._money.protocol import Hold, LedgerStatistics, Price, Shortfall


class LedgerCall(NamedTuple):
    """One call of a ledger's method."""

    method: str
    arguments: tuple[object, ...]


class UnlimitedLedger:
    """Grants every hold, whatever the balance and the budgets say, and keeps what it was called with.

    It books costs that the service names, so that `Budget.spent` is right, and keeps the last balance it
    observed. It learns nothing: cost models stay at their first guess, and nothing is ever held or in doubt.
    A client runs on it if `SegmindClient._new_ledger` returns one.
    """

    def __init__(self, floor: int = 0) -> None:
        self.root = Budget(None, None, floor)
        self.in_flight = 0
        self.balance: int | None = None
        self.calls: list[LedgerCall] = []
        """Every call of a method that changes the books, in order."""

    def __repr__(self) -> str:
        return f"UnlimitedLedger({self.in_flight} in flight, {len(self.calls)} calls)"

    @property
    def blind(self) -> bool:
        """False: no balance is needed."""
        return False

    @property
    def doubts_settle_at(self) -> float | None:
        """None: nothing is ever in doubt."""
        return None

    def reserve(
        self, budget: Budget, model: CostModel, predicted: float | None, now: float
    ) -> Hold | Shortfall:
        """Grant a hold; never returns a shortfall."""
        self._record("reserve", budget, model, predicted, now)
        self.in_flight += 1
        return Hold(model, now, predicted, 0, budget, model, self.in_flight - 1, self.balance)

    def inherit_hold(self, budget: Budget, model: CostModel, now: float) -> Hold:
        """Grant a hold for a call that an earlier process has sent."""
        self._record("inherit_hold", budget, model, now)
        self.in_flight += 1
        return Hold(model, now, None, 0, budget, model, self.in_flight - 1, self.balance)

    def settle(self, hold: Hold, price: Price, balance: int | None, now: float) -> int | None:
        """End a hold, and book the cost if the service named it, whatever it is."""
        self._record("settle", hold, price, balance, now)
        self.in_flight -= 1
        for budget in hold.budget.line:
            budget.spent += price.named or 0
        if balance is not None:
            self.balance = balance
        return None

    def release(self, hold: Hold) -> None:
        """End a hold."""
        self._record("release", hold)
        self.in_flight -= 1

    def doubt(self, hold: Hold, now: float) -> None:
        """End a hold; its amount is not kept."""
        self._record("doubt", hold, now)
        self.in_flight -= 1

    def refuse(self, hold: Hold, balance: int | None, needed: int | None, now: float) -> None:
        """End a hold; the refusal teaches nothing."""
        self._record("refuse", hold, balance, needed, now)
        self.in_flight -= 1

    def observe(self, balance: int, sent_at: float, now: float) -> None:
        """Keep a balance, in whatever order they arrive."""
        self._record("observe", balance, sent_at, now)
        self.balance = balance

    def observe_header(self, balance: int, sent_at: float, now: float) -> None:
        """Keep a balance, in whatever order they arrive."""
        self._record("observe_header", balance, sent_at, now)
        self.balance = balance

    def forget_reservations(self) -> None:
        """Do nothing: no reservations are known."""
        self._record("forget_reservations")

    def guard_account(self, on: bool) -> None:
        """Do nothing: the account is never guarded."""
        self._record("guard_account", on)

    def inherit_doubt(self, units: int, at: float) -> None:
        """Do nothing: nothing is ever in doubt."""
        self._record("inherit_doubt", units, at)

    def forget_others(self) -> None:
        """Do nothing: nobody else is minded."""
        self._record("forget_others")

    def spent_elsewhere(self, units: int) -> None:
        """Do nothing: nobody else is minded."""
        self._record("spent_elsewhere", units)

    def shift(self, seconds: float) -> None:
        """Do nothing: no instants are kept."""
        self._record("shift", seconds)

    def statistics(self, now: float) -> LedgerStatistics:
        """Return a snapshot, in which nothing is held or in doubt."""
        return LedgerStatistics(self.in_flight, self.balance, 0, 0, self.root.spent)

    def _record(self, method: str, *arguments: object) -> None:
        self.calls.append(LedgerCall(method, arguments))
