"""Sends the rows of a batch: bulk calls of its budget, booked and carried as those of other callers are."""

from __future__ import annotations

import time
from collections.abc import AsyncIterable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from ..._hooks.trace import trace
from ..._jobs.options import JobOptions, JobPlan
from ..._jobs.rows import Row
from ..._jobs.run import JobRun, ToSend
from ..._providers.answers import as_openai
from ..._sending.admission import CallScope
from ..._sending.fan_out import FanOut
from ..._sending.options import FanOutOptions
from ..._sending.service import Service
from ...client import SegmindClient
from ...errors import SegmindError
from ...models import ChatCompletion, ChatRequest
from .._budgets.budgets import Budgets
from .._budgets.rules import BudgetRule
from .._tool_support import ToolSupport
from .batch import Batch

_LONGEST_OUTAGE = 7 * 24 * 3600.0
"""Seconds that rows wait out: the time of their batch ends earlier."""


class Ended(Protocol):
    """Is told the cost of each call that has ended, and whether it failed."""

    def __call__(self, cost: Decimal | None, *, failed: bool) -> None:
        """Count a call."""
        ...


class GatewayCalls(NamedTuple):
    """How calls of this gateway are made."""

    client: SegmindClient
    budgets: Budgets
    tools: ToolSupport
    ended: Ended


class RowCalls:
    """The calls of one batch."""

    def __init__(self, calls: GatewayCalls, batch: Batch) -> None:
        self._calls = calls
        self._traced_as = batch.id
        self._rule: BudgetRule | None = None if batch.budget is None else calls.budgets.rule(batch.budget)
        self._scopes: dict[int, CallScope] = {}
        """Of the calls that have not ended."""

    def close(self) -> None:
        """Send none of those that wait; those in flight end."""
        for scope in self._scopes.values():
            self._calls.client._service.admission.close(scope)

    async def send(self, request: ChatRequest) -> ChatCompletion[Any]:
        """Return the answer to a row, its `raw` in OpenAI's form whatever the provider."""
        assert request.model is not None
        ended = self._calls.ended
        try:
            async with self._calls.budgets.booked(self._rule, request.model) as booked:
                completion = await self._sent(booked.client.budget(priority="bulk"), request)
        except SegmindError as error:
            ended(error.details.cost, failed=True)
            raise
        ended(completion.cost, failed=False)
        # What tools carried through a schema have called stands in no provider's raw answer.
        written = as_openai(completion, created=int(time.time()))  # noqa: TID251  # as in OpenAI's answers
        return replace(completion, raw=written)

    async def _sent(self, client: SegmindClient, request: ChatRequest) -> ChatCompletion[Any]:
        scope = client._options.scope
        self._scopes[id(scope)] = scope
        try:
            with trace(self._traced_as):
                return await self._calls.tools.chat(client, request)
        finally:
            del self._scopes[id(scope)]

    def job(self, journal: Path, rows: AsyncIterable[Row]) -> JobRun[Any]:
        """Return a run of the library's job runner over *rows*, an async iterable, with these calls."""
        client = self._calls.budgets.client_of(self._rule).budget(priority="bulk")
        options = FanOutOptions.checked(
            workers=client._workers(client._options.scope),
            ordered=False,
            on_exhausted="stop",
            max_failures=None,
            max_outage=_LONGEST_OUTAGE,
        )

        def fan_out(service: Service, to_send: ToSend, _most: Decimal | None) -> FanOut[Any]:
            return FanOut(service, replace(options, send=self.send), client._options, to_send)

        # Answers stay valid whatever the gateway's own default model is.
        plan = JobPlan.of(journal, client._options.model, {}, JobOptions(keep_finished=True), None, None)
        return JobRun(client._service, fan_out, rows, replace(plan, keeps_state=False))
