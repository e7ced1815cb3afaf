"""Requests that the service has queued for callers: each is held and paid for until its end is seen.

The gateway itself awaits the end, whether its caller asks for it or not: the hold, the slot and the budget
are those of any call. Callers are told that it runs; what came of it they read from the service. What still
runs when the gateway ends is left to the next one, if there is a book; it goes on awaiting it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeAlias

from ..._providers.requests import EncodedRequest
from ..._sending.accounts.account import OF_THE_KEY
from ..._sending.call import CallOptions
from ..._sending.queued.queued_call import EarlierCall, Submitted, queued_call
from ..._sending.queued.queued_inference import QueuedRequests
from ..._sending.retry import RetryState
from ..._sending.service import get, refused
from ..._transport.base import WireRequest, WireResponse
from ..._wire.failures import Failure, FailureKind
from ...client import SegmindClient
from ...errors import ErrorDetails, SegmindError
from ...models import ChatCompletion
from .._background_tasks import BackgroundTasks
from .._batches.calls import Ended
from .._budgets.book import BudgetBook, Entry, QueuedNote
from .._budgets.budgets import Booked, Budgets

_log = logging.getLogger("segmind_async.gateway")

LONGEST = 3600.0
"""Seconds for which the end of a submission is awaited; then it may have been billed. The service keeps a
result for about an hour (its documentation of 2026-08), and its slowest model takes 67 s on average."""

_REMEMBERED = 2 * LONGEST
"""Seconds after a submission for which its id is its caller's alone: as long as there may be a result."""

_READ_WITHIN = 30.0
"""Seconds for one read of a status or a result."""

_SHORTEST = 60.0
"""Seconds for which one of an earlier process is awaited, whatever its age: its result may be there."""

Send: TypeAlias = Callable[[Booked, SegmindClient], Awaitable[ChatCompletion]]
"""Makes a call with the client that it is booked for."""


@dataclass(slots=True)
class QueuedRun:
    """One submission."""

    owner: str
    """Whose it is, as a digest of a token."""
    at: float
    """When it was submitted, in epoch seconds."""
    id: str | None = None
    """The service's id; None before it is known."""
    key: int = 0
    """The key it was submitted with, by its place."""
    running: bool = True
    """Whether its end was not seen yet."""


class QueuedRuns:
    """The submissions of one gateway, and of those before it."""

    def __init__(
        self,
        client: SegmindClient,
        budgets: Budgets,
        book: BudgetBook | None,
        ended: Ended,
        wall_clock: Callable[[], float] = time.time,  # noqa: TID251  # ids are kept over restarts
    ) -> None:
        self._client = client
        self._budgets = budgets
        self._book = book
        self._ended = ended
        self._wall_clock = wall_clock
        self._requests = QueuedRequests(client._service)
        self._runs: dict[str, QueuedRun] = {}
        """By id, the oldest first."""
        self._tasks = BackgroundTasks()

    def start(self) -> None:
        """Go on with what earlier gateways have left; to be called before the first request is taken.

        Their money is held from then on.
        """
        for note, entry in () if self._book is None else self._book.queued:
            run = QueuedRun(note.owner, note.at, note.id, note.key, running=entry is not None)
            self._remember(note.id, run)
            if entry is not None:
                self._tasks.begin(self._follow(note, entry, run))

    async def aclose(self) -> None:
        """Await nothing any more; what runs is left to the next gateway."""
        await self._tasks.aclose()

    def find(self, id: str) -> QueuedRun | None:
        """Return the submission with an id; None if no gateway with this book has made it, or long ago."""
        return self._runs.get(id)

    async def submit(
        self,
        owner: str,
        wanted: EncodedRequest,
        start: Callable[[Send], Coroutine[Any, Any, ChatCompletion]],
    ) -> str:
        """Return the id of a new submission, kept already; raises as the call that *start* makes.

        If cancelled before the service has answered, the call is cancelled as well.
        """
        run = QueuedRun(owner, self._wall_clock())
        known: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        task = self._tasks.begin(start(partial(self._send, wanted, run, known)))
        try:
            either: list[asyncio.Future[Any]] = [task, known]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            if run.id is None:
                task.cancel()
            raise
        if not known.done():
            # It has failed before there was an id.
            await task
        return known.result()

    async def read(self, path: str, key: int) -> WireResponse:
        """Return what the service says of a queued request, asked with this key first.

        Raises a SegmindError if it says nothing.
        """
        service = self._client._service
        failure: Failure | None = None
        for account in service.admission.accounts.beginning_with(key):
            request = WireRequest(path, queued=True, key=account.index)
            got, _ = await get(service, request, RetryState(_READ_WITHIN), self._told)
            if isinstance(got, WireResponse):
                return got
            failure = failure or got
            if got.kind is not FailureKind.NOT_FOUND and got.kind not in OF_THE_KEY:
                break
        assert failure is not None
        failure = service.redactor.failure(failure)
        raise failure.error(
            ErrorDetails(failure.status, failure.body, failure.headers, retry_after=failure.retry_after)
        )

    def _told(self, response: WireResponse) -> WireResponse | Failure:
        # A failed request answers with 422 and the reason in its body.
        return response if response.status in (200, 422) else refused(self._client._service, response)

    async def _send(
        self,
        wanted: EncodedRequest,
        run: QueuedRun,
        known: asyncio.Future[str],
        booked: Booked,
        client: SegmindClient,
    ) -> ChatCompletion:
        async def keep(id: str, key: int) -> None:
            run.id, run.key = id, key
            self._remember(id, run)
            if self._book is not None and booked.entry is not None:
                note = QueuedNote(id, booked.entry.id, run.owner, wanted.model or "", key, run.at)
                await self._write(self._book, note)
            if not known.done():
                known.set_result(id)

        call = queued_call(client._service, _patient(client, LONGEST), self._requests, wanted, keep)
        try:
            return await call.run()
        except asyncio.CancelledError:
            booked.runs_on = run.id is not None
            raise
        finally:
            run.running = False

    async def _write(self, book: BudgetBook, note: QueuedNote) -> None:
        try:
            await book.queue(note, note.at - _REMEMBERED)
        except Exception:  # noqa: BLE001  # it is paid: its caller gets the id whatever fails here
            _log.exception("the id of a queued request cannot be written; the next gateway will not know it")

    async def _follow(self, note: QueuedNote, entry: Entry, run: QueuedRun) -> None:
        """Await the end of what an earlier gateway has submitted."""
        left = max(_SHORTEST, note.at + LONGEST - self._wall_clock())
        async with self._budgets.inherited(entry) as booked:
            earlier = Submitted(note.model, note.id, note.key)
            options = _patient(booked.client, left)
            call = EarlierCall(self._client._service, options, self._requests, earlier)
            try:
                completion = await call.run()
                self._ended(completion.cost, failed=False)
            except asyncio.CancelledError:
                booked.runs_on = True
                raise
            except SegmindError as error:
                self._ended(error.details.cost, failed=True)
            finally:
                run.running = False

    def _remember(self, id: str, run: QueuedRun) -> None:
        self._runs[id] = run
        before = self._wall_clock() - _REMEMBERED
        while (oldest := next(iter(self._runs))) != id and self._runs[oldest].at < before:
            del self._runs[oldest]


def _patient(client: SegmindClient, seconds: float) -> CallOptions:
    """Return the options of a call that may take so long."""
    options = client._options
    return replace(options, timeouts=replace(options.timeouts, total=seconds))
