"""The budgets of a gateway while it runs: which one a request counts in, and the client that holds to it."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from uuid import uuid4

import anyio

from ..._money.units import ceil_units, credits_of
from ..._wire.response_headers import MAX_CREDITS
from ...client import SegmindClient
from .._errors import GatewayError
from .book import Attempt, BudgetBook, Entry
from .rules import BudgetRule, BudgetState

_log = logging.getLogger("segmind_async.gateway")


@dataclass(slots=True)
class _Open:
    """A budget in its present period."""

    period: str
    client: SegmindClient
    capped_at: Decimal | None
    """Credits that were left when this client was made; None for no limit."""


@dataclass(slots=True)
class Booked:
    """A call that is booked when it has ended."""

    client: SegmindClient
    """Makes it."""
    entry: Entry | None = None
    """Its note in the book, written before it is sent; None without one."""
    runs_on: bool = False
    """Whether it is left to the next gateway: it goes on without this one, and its note stays."""


class Budgets:
    """The budgets of one gateway."""

    def __init__(
        self,
        client: SegmindClient,
        rules: Sequence[BudgetRule],
        book: BudgetBook | None,
        wall_clock: Callable[[], float] = time.time,  # noqa: TID251  # days are in wall time
    ) -> None:
        self._client = client
        self._rules = {rule.name: rule for rule in rules}
        self._book = book
        self._wall_clock = wall_clock
        self._open: dict[str, _Open] = {}

    def rule(self, name: str) -> BudgetRule:
        """Return the budget of a name; raises GatewayError, a 400, if there is none."""
        found = self._rules.get(name)
        if found is None:
            raise GatewayError(
                400, f"there is no budget {name[:80]!r}", param="x-segmind-budget", code="unknown_budget"
            )
        return found

    def knows(self, name: str | None) -> bool:
        """Return whether there is a budget of this name."""
        return name in self._rules

    def client_of(self, rule: BudgetRule | None) -> SegmindClient:
        """Return the client whose calls count in the budget's present period; the gateway's for None."""
        return self._client if rule is None else self._opened(rule).client

    def left(self, rule: BudgetRule | None) -> Decimal | None:
        """Return the credits that are left to a budget, calls in doubt subtracted; None without a limit."""
        return None if rule is None else self._opened(rule).client.statistics().budget_left

    def states(self, calls: Mapping[str | None, int]) -> list[BudgetState]:
        """Return how each budget stands, with the *calls* that are taken of each."""
        found = []
        for rule in self._rules.values():
            client = self._opened(rule).client
            in_flight = client._options.scope.in_flight
            found.append(BudgetState(rule, calls.get(rule.name, 0), in_flight, self.left(rule)))
        return found

    @asynccontextmanager
    async def booked(
        self, rule: BudgetRule | None, model: str, attempt: str | None = None
    ) -> AsyncIterator[Booked]:
        """Yield the client for one call of *model*; its cost is written to disk however it ends.

        *attempt* is the id by which its caller asks whether it was sent on; None if it will not ask. The call
        ends in a GatewayError if its caller has asked before.
        """
        if self._book is None:
            yield Booked(self.client_of(rule))
            return
        if rule is None or rule.cap is None:
            client, budget, period, cost = self.client_of(rule), "", "", _nothing
        else:
            opened = self._opened(rule)
            assert opened.capped_at is not None
            # A call's own scope says what this call alone has cost, doubts included.
            client = opened.client.budget(max_credits=opened.capped_at)
            budget, period, cost = rule.name, opened.period, partial(_spent, opened.capped_at, client)
        units = ceil_units(client.with_options(model=model).statistics().estimate)
        entry = Entry(uuid4().hex, budget, period, units)
        note = _Note(self._book, entry, None if attempt is None else Attempt(attempt, self._wall_clock()))
        booked = Booked(client._derived(replace(client._options, before_sending=note.write)), entry)
        async with _written_at_end(self._book, entry, booked, cost):
            yield booked

    @asynccontextmanager
    async def inherited(self, entry: Entry) -> AsyncIterator[Booked]:
        """Yield the client for a call that an earlier process has noted and that still runs."""
        assert self._book is not None
        rule = self._rules.get(entry.budget)
        client = self._client
        if rule is not None and rule.cap is not None and self._opened(rule).period == entry.period:
            client = self._opened(rule).client
        client = client.budget(max_credits=MAX_CREDITS)
        booked = Booked(client, entry)
        cost = partial(_spent, MAX_CREDITS, client) if entry.budget else _nothing
        async with _written_at_end(self._book, entry, booked, cost):
            yield booked

    def _opened(self, rule: BudgetRule) -> _Open:
        period = rule.period(self._wall_clock())
        found = self._open.get(rule.name)
        if found is None or found.period != period:
            left = None
            if rule.cap is not None:
                spent = 0 if self._book is None else self._book.spent(rule.name, period)
                left = max(Decimal(0), rule.cap - credits_of(spent))
            scoped = self._client.budget(
                max_credits=left, max_in_flight=rule.max_in_flight, priority=rule.priority
            )
            found = self._open[rule.name] = _Open(period, scoped, left)
        return found


class _Note:
    """A call's note in the book, written when its first attempt is about to be sent."""

    def __init__(self, book: BudgetBook, entry: Entry, attempt: Attempt | None) -> None:
        self._book = book
        self._entry = entry
        self._attempt = attempt
        self._begun = False

    async def write(self) -> None:
        """Write it if that is not done; raises GatewayError if the call must not be sent."""
        if self._begun:
            return
        # The book works in order: a note whose caller leaves now is deleted after it was written.
        self._begun = True
        if not await self._book.sending(self._entry, self._attempt):
            raise GatewayError(
                409, "its caller lost the connection, and was told that this was not sent", code="withdrawn"
            )


@asynccontextmanager
async def _written_at_end(
    book: BudgetBook, entry: Entry, booked: Booked, cost: Callable[[], int]
) -> AsyncIterator[None]:
    """Run the block, then write the *cost* of its call, in units, in place of its note."""
    try:
        yield
    finally:
        if not booked.runs_on:
            with anyio.CancelScope(shield=True):
                await _write(book, entry, cost)


async def _write(book: BudgetBook, entry: Entry, cost: Callable[[], int]) -> None:
    try:
        await book.ended(entry, cost())
    except Exception:  # noqa: BLE001  # the answer is paid: its caller gets it whatever fails here
        _log.exception(
            "the cost of a call cannot be written; what was expected of it is counted when the gateway "
            "starts again"
        )


def _nothing() -> int:
    """Return the units that a call costs its budget if no limit concerns it."""
    return 0


def _spent(cap: Decimal, scoped: SegmindClient) -> int:
    """Return the units that the calls of *scoped*, a budget of *cap* credits, have cost."""
    left = scoped.statistics().budget_left
    assert left is not None
    return ceil_units(cap - left)
