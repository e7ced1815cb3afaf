"""Finds keys that draw on one account, from the answers that come anyway. Pure.

An answer names its cost and the balance it left; both together are the balance before it. Two answers in
a row that came with different keys are a *link* if the second found exactly what the first had left: at
that moment both keys had the same balance. One link proves nothing: balances can be equal by chance, round
ones above all. But between two links both balances fell by the same amount. On accounts of their own they
do so only if the calls of either key cost the same in that time; if they did not, each balance fell by what
the other key spent.

So the *lead*, what one key has spent more than the other, is compared from link to link. Somebody else may
spend just the difference once, where all calls cost the same; hence the lead has to change several times.
Calls in doubt, or without a named cost, leave the lead unknown: it is then taken anew. Where the service
rounds balances there are no links, and nothing is found.

Amounts are units of 10⁻¹⁰ credit.
"""

from __future__ import annotations

from typing import NamedTuple

_PROOF = 3
"""Changes of the lead, from link to link, that prove one account."""


class _Left(NamedTuple):
    """What the last answer of all keys left on its account."""

    key: int
    balance: int


class _Link(NamedTuple):
    """The last link of two keys."""

    lead: int
    unknown: int
    """Calls of unknown cost, of both keys, before it."""
    changes: int
    """How often the lead was another one than at the link before."""


class SharedBalances:
    """The answers of all keys of a client."""

    __slots__ = ("_last", "_links", "_spent", "_unknown")

    def __init__(self, keys: int) -> None:
        self._spent = [0] * keys
        self._unknown = [0] * keys
        self._last: _Left | None = None
        self._links: dict[tuple[int, int], _Link] = {}

    def __repr__(self) -> str:
        return f"SharedBalances({self._links})"

    def lost(self, key: int) -> None:
        """Note a call of *key* of which nobody knows whether it was billed, or for how much."""
        self._unknown[key] += 1
        self._last = None

    def answered(self, key: int, cost: int | None, balance: int | None) -> int | None:
        """Take in an answer; return the other key that is now known to draw on the same account.

        *cost* and *balance* are those that the answer named, None without one.
        """
        if cost is None:
            self.lost(key)
            return None
        last, self._last = self._last, None if balance is None else _Left(key, balance)
        other = None
        if balance is not None and last is not None and last.key != key and balance + cost == last.balance:
            other = last.key if self._is_proof(*sorted((key, last.key))) else None
        # After the comparison: a link is at the moment before this call was billed.
        self._spent[key] += cost
        return other

    def _is_proof(self, first: int, second: int) -> bool:
        """Take in a link of two keys, and return whether it was the last that was needed."""
        lead = self._spent[first] - self._spent[second]
        unknown = self._unknown[first] + self._unknown[second]
        before = self._links.get((first, second))
        changes = 0 if before is None else before.changes
        if before is not None and before.unknown == unknown:
            changes += lead != before.lead
        if changes >= _PROOF:
            del self._links[first, second]
            return True
        self._links[first, second] = _Link(lead, unknown, changes)
        return False
