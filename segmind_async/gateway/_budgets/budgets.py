"""The budgets of a gateway while it runs: which one a request counts in, and the client that holds to it."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from uuid import uuid4

import anyio

from ..._money.exposure import required_by
from ..._money.units import ceil_units, credits_of
from ..._sending import restart
from ..._wire.response_headers import MAX_CREDITS
from ...client import SegmindClient
from .._errors import GatewayError
from .book import Attempt, BudgetBook, Entry
from .rules import BudgetRule, BudgetState

_log = logging.getLogger("segmind_async.gateway")

_STATE_EVERY = 1.0
"""Seconds between two writes of what the next process is to know."""


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
        wall_clock: Callable[[], float] | None = None,
    ) -> None:
        self._client = client
        self._rules = {rule.name: rule for rule in rules}
        self._book = book
        self.wall_clock: Callable[[], float] = wall_clock or time.time  # noqa: TID251  # days are in wall time
        """Epoch seconds."""
        self._open: dict[str, _Open] = {}
        self._state_kept_at = -math.inf

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
        entry = Entry(uuid4().hex, budget, period, units, model, self.wall_clock())
        note = _Note(self, self._book, entry, attempt)
        booked = Booked(client._derived(replace(client._options, before_sending=note.write)), entry)
        async with _written_at_end(self._book, entry, booked, cost):
            try:
                yield booked
            finally:
                self.keep_state()

    def keep_state(self, *, last: bool = False) -> None:
        """Keep what the next process is to know of pace, doubts and costs: once a second, and a *last* time.

        The last time is before calls are cut off that the next one sees the end of: they are in no doubt.
        """
        now = anyio.current_time()
        if self._book is None or (not last and now - self._state_kept_at < _STATE_EVERY):
            return
        self._state_kept_at = math.inf if last else now
        service = self._client._service
        # The calls in flight stand in the book one by one.
        self._book.keep_state(restart.state_of(service.admission, service.estimates, in_flight=False))

    def take_over(self) -> None:
        """Go on where an earlier process ended: with its pace, what it knew of costs, and its calls."""
        if self._book is None:
            return
        service, left_over, elapsed = self._client._service, self._book.left_over, None
        try:
            state = None if self._book.state is None else json.loads(self._book.state)
            elapsed = restart.resume(service.admission, service.estimates, state)
        except (ValueError, KeyError, TypeError, AttributeError):
            _log.exception(
                "what the last gateway knew of pace and costs cannot be read; both are learnt again"
            )
        died_at = self.wall_clock() - (elapsed or 0.0)
        calls = [(service.estimates.of(entry.model), max(0.0, died_at - entry.at)) for entry in left_over]
        known = [(model, age) for model, age in calls if model.known]
        guessed = [entry.units for entry, (model, _) in zip(left_over, calls, strict=True) if not model.known]
        service.admission.inherit_doubt(required_by(known, anyio.current_time()) + sum(guessed))

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
        period = rule.period(self.wall_clock())
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

    def __init__(self, budgets: Budgets, book: BudgetBook, entry: Entry, attempt: str | None) -> None:
        self._budgets = budgets
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
        now = self._budgets.wall_clock()
        attempt = None if self._attempt is None else Attempt(self._attempt, now)
        self._budgets.keep_state()
        if not await self._book.sending(self._entry._replace(at=now), attempt):
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
