"""Who is next: first come first served over scopes, without one scope's shortage holding up the others.

Whoever waits, waits in the queue of its scope. Scopes that may be served stand in two heaps, one for
interactive and one for bulk calls, by the number of who waits first in them; a scope that is short of
something of its own steps aside, and gets another try when something ends where it was short. Every
step costs O(log scopes), however many wait.

It decides order alone: whether the next one may go is the caller's to find out.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterable
from typing import Generic, Literal, TypeAlias, TypeVar

from .._money.base import Budget

Priority: TypeAlias = Literal["interactive", "bulk"]

_INTERACTIVE_IN_A_ROW = 8
"""Grants to interactive calls after which a waiting bulk call gets one: neither starves the other."""

_NEVER = 1 << 62
"""Key of a scope that is in no heap."""

W = TypeVar("W")


class Scope(Generic[W]):
    """Calls that share limits: all of a client, one of its budgets, or one fan-out."""

    __slots__ = (
        "aside",
        "blocked",
        "budget",
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
        """This scope and all it is part of, the client last."""
        self.budget = budget
        self.max_in_flight = max_in_flight
        self.limited: tuple[Scope[W], ...] = tuple(one for one in self.line if one.max_in_flight is not None)
        """Those of the line that have slots of their own."""
        self.priority: Priority = priority
        self.closed = False
        """Whether nobody is let in any more."""
        self.in_flight = 0
        self.waiting: OrderedDict[int, W] = OrderedDict()
        self.key = _NEVER
        """The number under which it stands in a heap."""
        self.blocked: list[tuple[int, Scope[W]]] = []
        """Heap of scopes that wait for something to end in this one."""
        self.aside: Scope[W] | None = None
        """The scope in whose `blocked` this one stands, or from which it was just taken."""

    def __repr__(self) -> str:
        return (
            f"Scope({self.priority}, {self.in_flight} in flight, {len(self.waiting)} waiting, {self.budget})"
        )

    def full(self) -> Scope[W] | None:
        """Return the scope, of this one and those around it, that has no slot left."""
        for scope in self.limited:
            if scope.max_in_flight is not None and scope.in_flight >= scope.max_in_flight:
                return scope
        return None


class Queue(Generic[W]):
    """All who wait, over all scopes."""

    __slots__ = ("_bulk", "_in_a_row", "_interactive", "_numbers", "waiting")

    def __init__(self) -> None:
        self._interactive: list[tuple[int, Scope[W]]] = []
        self._bulk: list[tuple[int, Scope[W]]] = []
        self._in_a_row = 0
        self._numbers = 0
        self.waiting = 0
        """How many wait."""

    def __repr__(self) -> str:
        return f"Queue({self.waiting} waiting in {len(self._interactive)}+{len(self._bulk)} scopes)"

    def must_wait(self, scope: Scope[W]) -> bool:
        """Tell whether somebody stands before a newcomer to *scope*."""
        if scope.priority == "bulk":
            return bool(self._bulk or self._interactive or scope.waiting)
        return bool(self._interactive or scope.waiting) or self._bulk_is_due()

    def add(self, scope: Scope[W], waiter: W, number: int) -> int:
        """Line *waiter* up and return its number; one that comes back with a *number* goes first."""
        comes_back = number > 0
        if not comes_back:
            self._numbers = number = self._numbers + 1
        scope.waiting[number] = waiter
        if comes_back:
            # It has waited its turn once already.
            scope.waiting.move_to_end(number, last=False)
        self.waiting += 1
        if scope.aside is None:
            self.serve(scope)
        return number

    def remove(self, scope: Scope[W], number: int) -> bool:
        """Take out who gave up waiting; False if it does not wait."""
        if scope.waiting.pop(number, None) is None:
            return False
        self.waiting -= 1
        return True

    def clear(self, scope: Scope[W]) -> Iterable[W]:
        """Take out, and return, all who wait in *scope*."""
        waiters = list(scope.waiting.values())
        scope.waiting.clear()
        self.waiting -= len(waiters)
        return waiters

    def take(self) -> Scope[W] | None:
        """Return the scope whose turn it is, out of its heap; None if nobody may be served."""
        while self._interactive or self._bulk:
            bulk = not self._interactive or self._bulk_is_due()
            number, scope = heapq.heappop(self._bulk if bulk else self._interactive)
            if number != scope.key:
                continue  # a better entry has replaced it
            scope.key = _NEVER
            if scope.waiting:
                return scope
            self.served(scope)
        return None

    def serve(self, scope: Scope[W]) -> None:
        """Put *scope*, in which somebody waits, among those that may be served."""
        number = next(iter(scope.waiting))
        if number < scope.key:
            scope.key = number
            heap = self._interactive if scope.priority == "interactive" else self._bulk
            heapq.heappush(heap, (number, scope))

    def served(self, scope: Scope[W]) -> None:
        """Go on after the first of *scope*, which was taken, got in: the next ones may be tried."""
        source, scope.aside = scope.aside, None
        if scope.waiting:
            self.serve(scope)
        if source is not None:
            self.unblock(source)

    def granted(self, priority: Priority) -> None:
        """Count a grant, in the queue or past it, for the share between interactive and bulk."""
        self._in_a_row = self._in_a_row + 1 if priority == "interactive" else 0

    def step_aside(self, scope: Scope[W], level: Scope[W]) -> None:
        """Let *scope*, which was taken, wait until something ends in *level*."""
        source, scope.aside = scope.aside, level
        heapq.heappush(level.blocked, (next(iter(scope.waiting)), scope))
        if source is not None and source is not level:
            self.unblock(source)

    def unblock(self, level: Scope[W]) -> None:
        """Give the first of those that wait for *level* another try; the next follows if it gets in."""
        while level.blocked:
            _, scope = heapq.heappop(level.blocked)
            if scope.waiting:
                self.serve(scope)
                return
            scope.aside = None

    def _bulk_is_due(self) -> bool:
        return bool(self._bulk) and self._in_a_row >= _INTERACTIVE_IN_A_ROW
