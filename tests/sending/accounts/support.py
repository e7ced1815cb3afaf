"""An emulator with several accounts, and a client with their keys."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import segmind_async as sa
from segmind_async.emulator import Emulator

KEYS = [f"SG_0123456789abcde{n}" for n in range(8)]
NAMES = [f"…cde{n}" for n in range(8)]


def emulator_of(balances: Sequence[float | str], **options: Any) -> Emulator:
    """Return an emulator with an account for each of the first keys."""
    emulator = Emulator(key=KEYS[0], balance=balances[0], **options)
    for key, balance in zip(KEYS[1:], balances[1:], strict=False):
        emulator.state.add_account(key, balance)
    return emulator


def client_of(emulator: Emulator, **settings: Any) -> sa.SegmindClient:
    """Return a client with the keys of all accounts."""
    return sa.SegmindClient(api_keys=[*emulator.state.accounts], base_url=emulator.url, **settings)


def sent_with(emulator: Emulator, key: int) -> int:
    """Return how many requests came with this key."""
    return sum(record.key == KEYS[key] for record in emulator.calls)


def balances(emulator: Emulator) -> list[Decimal]:
    """Return what is left on each account."""
    return [account.balance for account in emulator.state.accounts.values()]


def states(client: sa.SegmindClient) -> list[str]:
    """Return the state of each key."""
    return [key.state for key in client.statistics().keys]
