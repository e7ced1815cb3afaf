"""Credits as whole units of 10⁻¹⁰, so that sums are exact and no comparison can meet a NaN.

The service publishes balances with up to ten decimals; a finer amount is rounded to the safe side: costs up,
balances down.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

DECIMALS = 10
UNITS_PER_CREDIT = 10**DECIMALS

# Enough digits for any amount that the parser accepts: the default context would round at 28.
_ONE = Decimal(1)
_UNITS = Decimal(UNITS_PER_CREDIT)
_EXACT = Context(prec=100)


def floor_units(credits: Decimal) -> int:
    """Convert an amount that we have, such as a balance, to units; rounds down."""
    return int(_EXACT.multiply(credits, _UNITS).to_integral_value(ROUND_FLOOR))


def ceil_units(credits: Decimal) -> int:
    """Convert an amount that we pay, such as a cost, to units; rounds up."""
    return int(_EXACT.multiply(credits, _UNITS).to_integral_value(ROUND_CEILING))


def credits_of(units: int) -> Decimal:
    """Convert units to credits, exactly, without trailing zeros."""
    amount = _EXACT.scaleb(Decimal(units), -DECIMALS).normalize(_EXACT)
    exponent = amount.as_tuple().exponent
    return amount.quantize(_ONE) if isinstance(exponent, int) and exponent > 0 else amount


def to_decimal(amount: Decimal | float | int) -> Decimal:
    """Return a user's amount by its written form: 0.1 is a tenth, not the nearest binary fraction."""
    return amount if isinstance(amount, Decimal) else Decimal(str(amount))
