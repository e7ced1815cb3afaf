"""What a token costs, learnt from what the balance falls by; for services that name no cost.

A call's list price has two parts, one for the tokens it was asked with and one for those it answered.
The real price is taken as a factor on each, near 1 until falls of the balance say otherwise. What is
seen is never one call alone for sure, so falls are taken in blocks, and the ratio of the two factors
moves less readily than their level.

Pure. Amounts are units of 10⁻¹⁰ credit. Method: ridge regression in normal equations, with forgetting.
"""

from __future__ import annotations

_LEVEL = 0.05
"""Weight of the list price's level: as one twentieth of a call."""

_RATIO = 4.0
"""Weight of the list price's ratio between input and output: as four calls."""

_FORGET = 0.98
"""Weight that earlier blocks keep with every new one."""


class PriceModel:
    """Factors on the list price of one model, by least squares."""

    __slots__ = ("_asked", "_told", "_uf", "_uu", "_uv", "_vf", "_vv")

    def __init__(self) -> None:
        self._uu = self._uv = self._vv = self._uf = self._vf = 0.0
        self._asked = self._told = 1.0

    def __repr__(self) -> str:
        return f"Tariff(input × {self._asked:.3g}, output × {self._told:.3g})"

    def price(self, asked: float, answered: float) -> int:
        """Return what a call costs whose two parts have these list prices."""
        return max(0, round(self._asked * asked + self._told * answered))

    def learn(self, fall: int, asked: float, answered: float, calls: int) -> None:
        """Take in that the balance fell by *fall* for calls of these list prices together."""
        scale = asked + answered
        if scale <= 0:
            return
        # Noise grows with the sum as its root does: each block counts by its calls.
        weight = calls / scale**2
        self._uu = _FORGET * self._uu + weight * asked * asked
        self._uv = _FORGET * self._uv + weight * asked * answered
        self._vv = _FORGET * self._vv + weight * answered * answered
        self._uf = _FORGET * self._uf + weight * asked * fall
        self._vf = _FORGET * self._vf + weight * answered * fall
        # Towards level 1: (asked + told − 2)² · _LEVEL; towards one ratio: (asked − told)² · _RATIO · level².
        level = _LEVEL
        ratio = _RATIO / max(self._level(), 1e-6) ** 2
        uu, vv = self._uu + level + ratio, self._vv + level + ratio
        uv = self._uv + level - ratio
        uf, vf = self._uf + 2 * level, self._vf + 2 * level
        determinant = uu * vv - uv * uv
        self._asked = max(0.0, (uf * vv - vf * uv) / determinant)
        self._told = max(0.0, (vf * uu - uf * uv) / determinant)

    def _level(self) -> float:
        """Return the factor on the whole list price that the falls show, without regard to its parts."""
        total = self._uu + 2 * self._uv + self._vv
        return (self._uf + self._vf) / total if total else 1.0
