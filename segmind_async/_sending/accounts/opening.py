"""Makes the accounts of a client's keys. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..._money.protocol import LedgerProtocol
from ..._money.units import ceil_units, to_decimal
from ..._rate.throttle import Throttle
from ..._wire.redaction import short_names
from ...config import Limits
from .account import Account
from .accounts import Accounts


def open_accounts(
    keys: Sequence[str], limits: Limits, new_ledger: Callable[[int], LedgerProtocol]
) -> Accounts:
    """Return an account for each key, to each of which *limits* apply; *new_ledger* is given the floor."""
    floor = ceil_units(to_decimal(limits.floor))
    names = short_names(keys) if len(keys) > 1 else [""]
    return Accounts(
        [
            Account(
                new_ledger(floor), Throttle(limits.max_in_flight, limits.requests_per_minute), name, index
            )
            for index, name in enumerate(names)
        ]
    )
