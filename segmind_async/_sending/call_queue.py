"""The order of waiting calls: first come first served over scopes; no scope's shortage blocks the others.

A call waits in the queue of its scope. Scopes that may be served are in two heaps, one for interactive and
one for bulk calls, by the number of their first call. A scope that is short of a limit of its own steps
aside, and is tried again when something ends in the scope that was short. Every step costs O(log scopes),
however many calls wait.

It decides the order alone: the caller decides whether the next call may start.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterable
from typing import Generic, Literal, NamedTuple, TypeAlias, TypeVar

from .._money.budget import Budget

Priority: TypeAlias = Literal["interactive", "bulk"]

_INTERACTIVE_IN_A_ROW = 8
"""Leases for interactive calls in a row after which a waiting bulk call gets one, so that neither starves."""

_NEVER = 1 << 62
"""Key of a scope that is in neither heap."""

W = TypeVar("W")


class AccountUse(NamedTuple):
    """What the calls of a scope have come to with one of several accounts."""

    units: int = 0
    """Their named costs."""
    rate_limited: int = 0
    """Their 429 answers."""


_NO_USE = AccountUse()


class Scope(Generic[W]):
    """Calls that share limits: all those of a client, of a derived client, or of one fan-out."""

    __slots__ = (
        "aside",
        "blocked",
        "budget",
        "by_account",
        "closed",
        "in_flight",
        "key",
        "limited",
        "line",
        "max_in_flight",
        "priority",
        "waiting",
    )

    def __init__(
        self, parent: Scope[W] | None, budget: Budget, max_in_flight: int | None, priority: Priority
    ) -> None:
        self.line: tuple[Scope[W], ...] = (self, *parent.line) if parent else (self,)
        """This scope and all those around it, the client's last."""
        self.budget: Budget = budget
        self.max_in_flight: int | None = max_in_flight
        self.limited: tuple[Scope[W], ...] = tuple(one for one in self.line if one.max_in_flight is not None)
        """The scopes of the line with a `max_in_flight` of their own."""
        self.priority: Priority = priority
        self.closed: bool = False
        """Whether no call of it gets a lease any more."""
        self.in_flight: int = 0
        self.by_account: dict[int, AccountUse] = {}
        """What its calls have come to with each of several accounts, by index; empty with one."""
        self.waiting: OrderedDict[int, W] = OrderedDict()
        """The waiting calls by number, in their order."""
        self.key: int = _NEVER
        """The number of its valid entry in a heap; other entries are stale."""
        self.blocked: list[tuple[int, Scope[W]]] = []
        """Heap of the scopes that stepped aside until something ends in this one."""
        self.aside: Scope[W] | None = None
        """The scope in whose `blocked` this one is, or from which it was just taken; None otherwise."""

    def __repr__(self) -> str:
        return (
            f"Scope({self.priority}, {self.in_flight} in flight, {len(self.waiting)} waiting, {self.budget})"
        )

    def count_use(self, account: int, units: int, rate_limited: int = 0) -> None:
        """Count what a call of it has come to with one of several accounts, in all scopes of the line."""
        for scope in self.line:
            known = scope.by_account.get(account, _NO_USE)
            scope.by_account[account] = AccountUse(known.units + units, known.rate_limited + rate_limited)

    def full(self) -> Scope[W] | None:
        """Return the first scope of the line that has no slot left; None if each has one."""
        for scope in self.limited:
            if scope.max_in_flight is not None and scope.in_flight >= scope.max_in_flight:
                return scope
        return None


class Queue(Generic[W]):
    """The waiting calls of all scopes."""

    __slots__ = ("_bulk", "_in_a_row", "_interactive", "_numbers", "waiting")

    def __init__(self) -> None:
        self._interactive: list[tuple[int, Scope[W]]] = []
        self._bulk: list[tuple[int, Scope[W]]] = []
        self._in_a_row = 0
        self._numbers = 0
        self.waiting: int = 0
        """Number of waiting calls."""

    def __repr__(self) -> str:
        return f"Queue({self.waiting} waiting in {len(self._interactive)}+{len(self._bulk)} scopes)"

    def must_wait(self, scope: Scope[W]) -> bool:
        """Return whether a waiting call is before a new call of *scope*."""
        if scope.priority == "bulk":
            return bool(self._bulk or self._interactive or scope.waiting)
        return bool(self._interactive or scope.waiting) or self._bulk_is_due()

    def add(self, scope: Scope[W], waiter: W, number: int) -> int:
        """Append *waiter* and return its number, counted from 1.

        One with the *number* of an earlier wait, not 0, becomes the first of its scope.
        """
        returns = number > 0
        if not returns:
            self._numbers = number = self._numbers + 1
        scope.waiting[number] = waiter
        if returns:
            # It has waited for its turn already.
            scope.waiting.move_to_end(number, last=False)
        self.waiting += 1
        if scope.aside is None:
            self.enqueue(scope)
        return number

    def remove(self, scope: Scope[W], number: int) -> bool:
        """Remove a call; return False if it does not wait."""
        if scope.waiting.pop(number, None) is None:
            return False
        self.waiting -= 1
        return True

    def clear(self, scope: Scope[W]) -> Iterable[W]:
        """Remove and return all waiting calls of *scope*."""
        waiters = list(scope.waiting.values())
        scope.waiting.clear()
        self.waiting -= len(waiters)
        return waiters

    def take(self) -> Scope[W] | None:
        """Remove the next scope from its heap and return it; None if no scope may be served.

        The caller must then call `first_admitted`, `enqueue` or `step_aside` for it.
        """
        while self._interactive or self._bulk:
            bulk = not self._interactive or self._bulk_is_due()
            number, scope = heapq.heappop(self._bulk if bulk else self._interactive)
            if number != scope.key:
                continue  # stale: an entry with a lower number has replaced it
            scope.key = _NEVER
            if scope.waiting:
                return scope
            self.first_admitted(scope)
        return None

    def enqueue(self, scope: Scope[W]) -> None:
        """Put *scope*, in which a call waits, into its heap."""
        number = next(iter(scope.waiting))
        if number < scope.key:
            scope.key = number
            heap = self._interactive if scope.priority == "interactive" else self._bulk
            heapq.heappush(heap, (number, scope))

    def first_admitted(self, scope: Scope[W]) -> None:
        """Go on after the first call of *scope*, which was taken, has left the queue: try the next ones."""
        source, scope.aside = scope.aside, None
        if scope.waiting:
            self.enqueue(scope)
        if source is not None:
            self.retry_one(source)

    def granted(self, priority: Priority) -> None:
        """Count a lease, from the queue or past it, for the shares of interactive and bulk calls."""
        self._in_a_row = self._in_a_row + 1 if priority == "interactive" else 0

    def step_aside(self, scope: Scope[W], level: Scope[W]) -> None:
        """Keep *scope*, which was taken, out of the heaps until something ends in *level*."""
        source, scope.aside = scope.aside, level
        heapq.heappush(level.blocked, (next(iter(scope.waiting)), scope))
        if source is not None and source is not level:
            self.retry_one(source)

    def retry_one(self, level: Scope[W]) -> None:
        """Enqueue the first scope that stepped aside for *level*; the next follows if it is admitted."""
        while level.blocked:
            _, scope = heapq.heappop(level.blocked)
            if scope.waiting:
                self.enqueue(scope)
                return
            scope.aside = None

    def _bulk_is_due(self) -> bool:
        return bool(self._bulk) and self._in_a_row >= _INTERACTIVE_IN_A_ROW
