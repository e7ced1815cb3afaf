"""Budgets: how much some calls may spend, nested in each other, with the ledger's root outermost. Pure.

`Ledger.reserve` enforces them.
"""

from __future__ import annotations

from .doubts import Doubts
from .exposure import Exposure


class Budget:
    """Money that some calls may spend: the account down to a floor, or a part of another budget."""

    __slots__ = ("cap", "capped", "doubts", "exposure", "floor", "id", "line", "spent")

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
        self.doubts: Doubts = Doubts()
        """Its calls in doubt. They stay: a balance shows what the account was billed, and not which budget's
        calls that were."""
        self.exposure: Exposure = Exposure()
        """Its calls in flight; empty without a cap, where nobody asks."""
        self.capped: tuple[Budget, ...] = tuple(budget for budget in self.line if budget.cap is not None)
        """The budgets of the line that may be used up before the account is."""

    def __repr__(self) -> str:
        return f"Budget(cap={self.cap}, floor={self.floor}, spent={self.spent}, doubted={self.doubted})"

    @property
    def doubted(self) -> int:
        """Units of its calls in doubt."""
        return self.doubts.units

    @property
    def left(self) -> int | None:
        """Units left of the cap, calls in flight not subtracted; None without a cap."""
        return None if self.cap is None else self.cap - self.spent - self.doubted
