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

Answers overtake each other, and then links and leads are not what they seem: two accounts with equal
balances, and calls of one price, have both. What no order of answers changes is the *span* from the balance
that a call found to the one that it left. Those of one account do not overlap, each call takes its own; those
of two accounts in the same range do, nearly all. So each answer whose span overlaps one of another key takes
back one change of their lead.

To take two accounts for one strands the money of the second; to take one for two may break its floor. So
what is found may be wrong, and is undone when reads of both balances show it: `Accounts.tell_apart`. Each
time twice as many changes are needed.

Amounts are units of 10⁻¹⁰ credit.
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

_PROOF = 3
"""Changes of the lead, from link to link, less overlaps, after which two keys are taken for keys of one
account."""

_LEAST = -16
"""The least that overlaps leave of them: after a top-up of an account new spans lie where old ones did."""

_SPANS = 64
"""Last answers of all keys whose spans are compared: more than overtake each other."""


class _Left(NamedTuple):
    """What the last answer of all keys left on its account."""

    key: int
    balance: int


class _Span(NamedTuple):
    """What a call took from the balance: from `high`, which it found, down to `low`, which it left."""

    key: int
    low: int
    high: int


class _Link(NamedTuple):
    """The last link of two keys."""

    lead: int
    unknown: int
    """Calls of unknown cost, of both keys, before it."""


class SharedBalances:
    """The answers of all keys of a client."""

    __slots__ = ("_evidence", "_last", "_links", "_needed", "_spans", "_spent", "_unknown")

    def __init__(self, keys: int) -> None:
        self._spent = [0] * keys
        self._unknown = [0] * keys
        self._last: _Left | None = None
        self._spans: deque[_Span] = deque(maxlen=_SPANS)
        self._links: dict[tuple[int, int], _Link] = {}
        self._evidence: dict[tuple[int, int], int] = {}
        """Of two keys, how often the lead was another one than at the link before, less overlaps."""
        self._needed: dict[tuple[int, int], int] = {}
        """How much is needed of pairs that were taken for one account and were none."""

    def __repr__(self) -> str:
        return f"SharedBalances({self._evidence})"

    def lost(self, key: int) -> None:
        """Note a call of *key* of which nobody knows whether it was billed, or for how much."""
        self._unknown[key] += 1
        self._last = None

    def answered(self, key: int, cost: int | None, balance: int | None) -> int | None:
        """Take in an answer; return the other key that is now taken to draw on the same account.

        *cost* and *balance* are those that the answer named, None without one.
        """
        if cost is None:
            self.lost(key)
            return None
        last, self._last = self._last, None if balance is None else _Left(key, balance)
        other = None
        if balance is not None:
            self._compare(_Span(key, balance, balance + cost))
            if last is not None and last.key != key and balance + cost == last.balance:
                other = last.key if self._is_proof(*sorted((key, last.key))) else None
        # After the comparison: a link is at the moment before this call was billed.
        self._spent[key] += cost
        return other

    def apart(self, first: int, second: int) -> None:
        """Note that two keys that were taken for keys of one account are none; *first* is the lower."""
        self._needed[first, second] = 2 * self._needed.get((first, second), _PROOF)

    def _compare(self, span: _Span) -> None:
        """Take in a span, and which other keys' spans it overlaps."""
        overlapped = {
            other.key
            for other in self._spans
            if other.low < span.high and span.low < other.high and other.key != span.key
        }
        for key in overlapped:
            first, second = sorted((span.key, key))
            self._evidence[first, second] = max(_LEAST, self._evidence.get((first, second), 0) - 1)
        self._spans.append(span)

    def _is_proof(self, first: int, second: int) -> bool:
        """Take in a link of two keys, and return whether it was the last that was needed."""
        pair, before = (first, second), self._links.get((first, second))
        link = _Link(self._spent[first] - self._spent[second], self._unknown[first] + self._unknown[second])
        self._links[pair] = link
        if before is None or before.unknown != link.unknown or before.lead == link.lead:
            return False
        self._evidence[pair] = found = self._evidence.get(pair, 0) + 1
        if found < self._needed.get(pair, _PROOF):
            return False
        del self._links[pair], self._evidence[pair]
        return True
