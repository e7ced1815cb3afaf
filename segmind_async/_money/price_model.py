"""The price of tokens, learnt from falls of the balance; for services that name no cost.

A call's list price has two parts, one for its input tokens and one for its output tokens. The real price is
a factor on each, near 1 until falls of the balance show otherwise. A fall is never sure to be that of one
call alone, so falls are taken in blocks, and the ratio of the two factors moves less than their level.

Pure. Amounts are units of 10⁻¹⁰ credit. Method: ridge regression in normal equations, with forgetting.
"""

from __future__ import annotations

_LEVEL = 0.05
"""Weight of the prior that the level of the list price is right: that of one twentieth of a call."""

_RATIO = 4.0
"""Weight of the prior that its ratio of input to output is right: that of four calls."""

_FORGET = 0.98
"""Factor on the weight of earlier blocks with every new one."""


class PriceModel:
    """The factors on the list price of one model, by least squares."""

    __slots__ = ("_input", "_output", "_uf", "_uu", "_uv", "_vf", "_vv")

    def __init__(self) -> None:
        self._uu = self._uv = self._vv = self._uf = self._vf = 0.0
        self._input = self._output = 1.0

    def __repr__(self) -> str:
        return f"PriceModel(input × {self._input:.3g}, output × {self._output:.3g})"

    def price(self, inputs: float, outputs: float) -> int:
        """Return the cost of a call with these list prices of its two parts; all in units."""
        return max(0, round(self._input * inputs + self._output * outputs))

    def learn(self, fall: int, inputs: float, outputs: float, calls: int) -> None:
        """Learn that the balance fell by *fall* units for so many *calls* with these list prices together."""
        scale = inputs + outputs
        if scale <= 0:
            return
        # Noise grows with the root of the sum: each block counts by its calls.
        weight = calls / scale**2
        self._uu = _FORGET * self._uu + weight * inputs * inputs
        self._uv = _FORGET * self._uv + weight * inputs * outputs
        self._vv = _FORGET * self._vv + weight * outputs * outputs
        self._uf = _FORGET * self._uf + weight * inputs * fall
        self._vf = _FORGET * self._vf + weight * outputs * fall
        # Towards level 1: (input + output − 2)² · _LEVEL.
        # Towards equal factors: (input − output)² · _RATIO · level².
        level = _LEVEL
        ratio = _RATIO / max(self._level(), 1e-6) ** 2
        uu, vv = self._uu + level + ratio, self._vv + level + ratio
        uv = self._uv + level - ratio
        uf, vf = self._uf + 2 * level, self._vf + 2 * level
        determinant = uu * vv - uv * uv
        self._input = max(0.0, (uf * vv - vf * uv) / determinant)
        self._output = max(0.0, (vf * uu - uf * uv) / determinant)

    def _level(self) -> float:
        """Return the factor on the whole list price that the falls show, whatever its parts."""
        total = self._uu + 2 * self._uv + self._vv
        return (self._uf + self._vf) / total if total else 1.0
