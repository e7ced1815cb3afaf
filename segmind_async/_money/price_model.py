"""What calls cost over their list price: one factor, learnt from calls whose cost is known.

It prices answers for which the service names neither cost nor balance, and those whose cost the balance
has not shown yet.

Pure. Amounts are units of 10⁻¹⁰ credit.
"""

from __future__ import annotations

_LIST_PRICE = 0.05
"""Weight of the list price itself: as one twentieth of a call."""

_FORGET = 0.98
"""Weight that earlier calls keep with every new one."""


class PriceModel:
    """A factor on the list price of one model: the ratio of sums, which single calls hardly move."""

    __slots__ = ("_calls", "_factor", "_listed", "_paid")

    def __init__(self) -> None:
        self._paid = self._listed = 0.0
        self._calls = 0.0
        self._factor = 1.0

    def __repr__(self) -> str:
        return f"PriceModel(list price × {self._factor:.3g})"

    def price(self, listed: float) -> int:
        """Return what a call of this list price costs."""
        return max(0, round(self._factor * listed))

    def learn(self, paid: int, listed: float, calls: int = 1) -> None:
        """Take in that *calls* calls of these list prices together cost *paid*."""
        if listed <= 0:
            return
        kept = _FORGET**calls
        self._paid = kept * self._paid + paid
        self._listed = kept * self._listed + listed
        self._calls = kept * self._calls + calls
        prior = _LIST_PRICE * self._listed / self._calls
        self._factor = (self._paid + prior) / (self._listed + prior)
