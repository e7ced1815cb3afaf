"""Queued inference as a transport: a POST goes in, and its answer comes out, by way of `/v2`.

The service answers a submission at once with an id, does the work meanwhile, and keeps the result for
about an hour. Whoever has the id can fetch the answer, also after a crash; so the id is handed on to be
kept before anything else happens. Reading is free and safe to repeat, submitting is neither.

The rest of the library does not know of it: a lease lasts from the submission to the answer, and reads
take start times of the same pace as everything else, since nobody says whether they count.

Source of the protocol: Segmind's documentation as of 2026-08.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

import anyio
from pydantic_core import to_json

from .._transport.base import WireRequest, WireResponse
from .._wire import response_headers
from .._wire.failures import (
    Billing,
    Failure,
    FailureKind,
    Resend,
    unreadable,
)
from .._wire.json import UnreadableError, read_object
from .polling import Polling
from .retry import RetryState
from .service import Service, get, refused

_ID = re.compile(r"[A-Za-z0-9._-]{1,200}", re.ASCII)
"""What an id may look like that is put into a path."""

_NOT_THERE_YET = 30.0
"""Seconds after a submission for which an unknown id is one that has not spread yet."""

_MISSED = 3
"""Looks in a row that must not find an id before it is given up: to ask again is to pay again."""

_FINISHED = frozenset({"COMPLETED", "FAILED"})


class Submissions(Protocol):
    """Where the ids of queued requests are kept."""

    def take(self, request: WireRequest) -> str | None:
        """Return an id of this same request that nobody waits for, None if there is none; each one once."""
        ...

    def put_back(self, request: WireRequest, id: str) -> None:
        """Leave an id, whose work goes on, to whoever asks the same next."""
        ...

    async def keep(self, request: WireRequest, id: str) -> None:
        """Have an id on the disk when this returns, also if the waiting for it is cancelled."""
        ...

    def expired(self, id: str) -> None:
        """Strike out an id that the service no longer knows: its request is submitted again."""
        ...

    def failed(self, id: str) -> None:
        """Strike out an id whose work has failed; it was not billed."""
        ...


class QueuedTransport:
    """Sends chats through the queue of *service*, and everything else as it is."""

    def __init__(self, service: Service, submissions: Submissions) -> None:
        self._service = service
        self._submissions = submissions
        self._polling = Polling()

    def __repr__(self) -> str:
        return f"QueuedTransport({self._service.transport!r}, {self._polling!r})"

    async def aclose(self) -> None:
        """Leave the connections to whom they belong."""

    async def send(self, request: WireRequest, time_left: float) -> WireResponse | Failure:
        """Submit, wait and fetch, or fetch what was submitted earlier; *time_left* bounds all of it.

        If cancelled, or out of time, the id is kept all the same: the answer can still be fetched.
        """
        if request.body is None:
            return await self._service.transport.send(request, time_left)
        deadline = anyio.current_time() + time_left
        known = self._submissions.take(request)
        if known is not None:
            got = await self._awaited(request, known, deadline, fresh=False)
            if got is not None:
                return got
            self._submissions.expired(known)
        submitted = await self._submit(request, deadline)
        if not isinstance(submitted, str):
            return submitted
        got = await self._awaited(request, submitted, deadline, fresh=True)
        if got is None:
            lost = f"the service no longer knows the request it has queued as {submitted}"
            return Failure(FailureKind.DISCONNECTED, lost, Billing.IN_DOUBT, request_id=submitted)
        return got

    async def _awaited(
        self, request: WireRequest, id: str, deadline: float, *, fresh: bool
    ) -> WireResponse | Failure | None:
        """Wait for an answer; without one, the id is left to whoever asks the same next."""
        got: WireResponse | Failure | None = None
        goes_on = True
        try:
            got = await self._answer(request.path, id, deadline, fresh=fresh)
            goes_on = isinstance(got, Failure)
        finally:
            if goes_on:
                self._submissions.put_back(request, id)
        return got

    async def _submit(self, request: WireRequest, deadline: float) -> str | WireResponse | Failure:
        """Return the id of the queued request; else what a caller of `/v1` would have got."""
        left = deadline - anyio.current_time()
        got = await self._service.transport.send(request._replace(queued=True), left)
        if isinstance(got, Failure) or got.status != 200:
            return got
        try:
            name = read_object(got.body).get("request_id")
        except UnreadableError as error:
            return unreadable(str(error), got.headers, got.body)
        if not isinstance(name, str) or not _ID.fullmatch(name):
            return unreadable("it names no request_id", got.headers, got.body)
        with anyio.CancelScope(shield=True):
            # Paid for, and known by nothing but this id: nothing may come in between.
            await self._submissions.keep(request, name)
        return name

    async def _answer(
        self, path: str, id: str, deadline: float, *, fresh: bool
    ) -> WireResponse | Failure | None:
        """Wait for the end of the work and fetch what came of it; None if the id is unknown there."""
        clock = anyio.current_time
        begun_at = clock()
        spreads_until = begun_at + (_NOT_THERE_YET if fresh else 0.0)
        self._polling.began()
        try:
            got = await self._ended(id, self._polling.first(path) if fresh else 0.0, deadline, spreads_until)
        finally:
            self._polling.left()
        if fresh and isinstance(got, WireResponse):
            self._polling.ended(path, clock() - begun_at)
        return got

    async def _ended(
        self, id: str, pause: float, deadline: float, spreads_until: float
    ) -> WireResponse | Failure | None:
        clock, looks, missed = anyio.current_time, 0, 0
        while True:
            await anyio.sleep(min(pause, max(0.0, deadline - clock())))
            got = await self._look(id, deadline)
            if isinstance(got, WireResponse):
                return got
            missed = missed + 1 if isinstance(got, Failure) and got.status == 404 else 0
            if missed >= _MISSED and clock() >= spreads_until:
                return None
            if isinstance(got, Failure) and got.resend is Resend.NEVER and not missed:
                return got
            if clock() >= deadline:
                late = f"no result of the queued request {id} in time; it may still be fetched"
                return Failure(FailureKind.TIMED_OUT, late, Billing.IN_DOUBT, request_id=id)
            looks += 1
            pause = self._next_pause(looks, got)

    def _next_pause(self, looks: int, got: Failure | None) -> float:
        pause = self._polling.next(looks, self._service.admission.throttle.pacer.rate)
        return pause if got is None or got.retry_after is None else max(pause, got.retry_after)

    async def _look(self, id: str, deadline: float) -> WireResponse | Failure | None:
        """Look how far the work is: its answer, why there is none, or None while it goes on."""
        found = await self._get(f"/requests/{id}/status", deadline)
        if isinstance(found, Failure) or found.get("status") not in _FINISHED:
            return found if isinstance(found, Failure) else None
        if found["status"] == "COMPLETED":
            found = await self._get(f"/requests/{id}", deadline)
            if isinstance(found, Failure) or found.get("status") not in _FINISHED:
                return found if isinstance(found, Failure) else None
        if found["status"] == "FAILED":
            self._submissions.failed(id)
            return WireResponse(
                422, {response_headers.REQUEST_ID: id}, to_json({"error": found.get("error") or found})
            )
        return _as_if_direct(id, found)

    async def _get(self, path: str, deadline: float) -> dict[str, object] | Failure:
        left = max(0.0, deadline - anyio.current_time())
        with anyio.move_on_after(left):
            return (await get(self._service, WireRequest(path, queued=True), RetryState(left), self._read))[0]
        return Failure(FailureKind.TIMED_OUT, "no look at a queued request in time", Billing.REFUSED)

    def _read(self, response: WireResponse) -> dict[str, object] | Failure:
        # A failed request answers with 422 and tells the rest in its body.
        if response.status not in (200, 422):
            return refused(self._service, response)
        try:
            found = read_object(response.body)
        except UnreadableError as error:
            return unreadable(str(error), response.headers, response.body)
        return {"status": "FAILED", **found} if response.status == 422 else found


def _as_if_direct(id: str, found: dict[str, object]) -> WireResponse:
    """Make the answer that `/v1` would have given."""
    metrics = found.get("metrics")
    told: Mapping[str, object] = metrics if isinstance(metrics, dict) else {}
    headers = {response_headers.REQUEST_ID: id}
    for name, value in (
        (response_headers.COST, told.get("cost")),
        (response_headers.BALANCE, told.get("remaining_credits")),
    ):
        if value is not None:
            headers[name] = str(value)
    output = found.get("output")
    # For chat the provider's JSON comes as a string inside the JSON.
    return WireResponse(200, headers, output.encode() if isinstance(output, str) else to_json(output))
