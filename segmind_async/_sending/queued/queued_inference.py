"""Queued inference as a transport: it submits a POST to `/v2`, polls, and returns the answer.

The service answers a submission at once with an id, runs the model meanwhile, and keeps the result for
about an hour. With the id the answer can be fetched, also after a crash; so the id is stored before
anything else happens. Reading is free and safe to repeat, submitting is neither.

The rest of the library does not know of it: a lease lasts from the submission to the answer. Reads take
start times of the same pace as other requests, since it is not documented whether they count.

Source of the protocol: Segmind's documentation as of 2026-08.
"""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from typing import Protocol

import anyio
from pydantic_core import to_json

from ..._transport.base import WireRequest, WireResponse
from ..._wire import response_headers
from ..._wire.failures import Billing, Failure, FailureKind, Resend, unreadable
from ..._wire.json import UnreadableError, read_object
from ..accounts.account import OF_THE_KEY
from ..retry import RetryState
from ..service import Service, get, refused
from .poll_schedule import Polling

_ID = re.compile(r"[A-Za-z0-9._-]{1,200}", re.ASCII)
"""Ids that may be put into a path."""

_PROPAGATION = 30.0
"""Seconds after a submission during which the service may not know its id yet."""

_MAX_NOT_FOUND = 3
"""Consecutive polls that must not find an id before it is given up: submitting again is paying again."""

_FINISHED = frozenset({"COMPLETED", "FAILED"})


class Submissions(Protocol):
    """Stores the ids of queued requests."""

    def take(self, request: WireRequest) -> str | None:
        """Remove and return an id of the same request that no call waits for; None if there is none."""
        ...

    def put_back(self, request: WireRequest, id: str) -> None:
        """Store an id that is still queued for the next call with the same request."""
        ...

    async def keep(self, request: WireRequest, id: str) -> None:
        """Store an id durably before returning; it is stored also if the caller is cancelled."""
        ...

    def expired(self, id: str) -> None:
        """Remove an id that the service no longer knows: its request will be submitted again."""
        ...

    def failed(self, id: str) -> None:
        """Remove an id whose work has failed; it was not billed."""
        ...


class QueuedTransport:
    """Sends chats through the queue of *service*, and other requests unchanged."""

    def __init__(self, service: Service, submissions: Submissions) -> None:
        self._service = service
        self._submissions = submissions
        self._requests = QueuedRequests(service)

    def __repr__(self) -> str:
        return f"QueuedTransport({self._service.transport!r}, {self._requests!r})"

    async def aclose(self) -> None:
        """Do nothing: the connections belong to the transport of *service*."""

    async def send(self, request: WireRequest, time_left: float) -> WireResponse | Failure:
        """Submit, poll and fetch, or fetch what was submitted earlier, within *time_left* seconds.

        If cancelled, or out of time, the id stays stored: the answer can still be fetched.
        """
        if request.body is None:
            return await self._service.send(request, time_left)
        requests, deadline = self._requests, anyio.current_time() + time_left
        known = self._submissions.take(request)
        if known is not None:
            earlier = requests.answer_to_earlier(request, known, min(deadline, _work_until(request)))
            got = await self._awaited(request, known, earlier)
            if got is not None:
                return got
            self._submissions.expired(known)
        submitted = await requests.submit(request, deadline - anyio.current_time())
        if not isinstance(submitted, str):
            return submitted
        with anyio.CancelScope(shield=True):
            # Paid for, and reachable by this id alone: it must be stored whatever happens.
            await self._submissions.keep(request, submitted)
        answer = requests.answer(request, submitted, min(deadline, _work_until(request)))
        return await self._awaited(request, submitted, answer) or lost(submitted)

    async def _awaited(
        self, request: WireRequest, id: str, answer: Awaitable[WireResponse | Failure | None]
    ) -> WireResponse | Failure | None:
        """Await an answer; without one, the id is stored for the next call with the same request."""
        got: WireResponse | Failure | None = None
        still_queued = True
        try:
            got = await answer
            still_queued = isinstance(got, Failure)
        finally:
            if still_queued:
                self._submissions.put_back(request, id)
        if isinstance(got, WireResponse) and got.status != 200:
            self._submissions.failed(id)
        return got


class QueuedRequests:
    """Submits requests to the queue of *service*, and awaits their answers by polling."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._polling = Polling()

    def __repr__(self) -> str:
        return repr(self._polling)

    async def submit(self, request: WireRequest, time_left: float) -> str | WireResponse | Failure:
        """Return the id of the queued request; else the response or failure, as from `/v1`.

        The id must be stored before anything else is awaited.
        """
        got = await self._service.send(request._replace(queued=True), time_left)
        if isinstance(got, Failure) or got.status != 200:
            return got
        try:
            name = read_object(got.body).get("request_id")
        except UnreadableError as error:
            return unreadable(str(error), got.headers, got.body)
        if not isinstance(name, str) or not _ID.fullmatch(name):
            return unreadable("it names no request_id", got.headers, got.body)
        return name

    async def answer_to_earlier(
        self, request: WireRequest, id: str, deadline: float
    ) -> WireResponse | Failure | None:
        """Await what was submitted earlier, by whichever key it was; None if none of them knows it."""
        for account in self._service.admission.accounts.beginning_with(request.key):
            is_own = account.index == request.key
            got = await self.answer(request._replace(key=account.index), id, deadline, fresh=False)
            if got is None or (not is_own and isinstance(got, Failure) and got.kind in OF_THE_KEY):
                continue
            return got if is_own or isinstance(got, Failure) else _without_balance(got)
        return None

    async def answer(
        self, request: WireRequest, id: str, deadline: float, *, fresh: bool = True
    ) -> WireResponse | Failure | None:
        """Wait until the work has ended and fetch its result; None if the service does not know the id.

        *fresh*: it was submitted just now. *deadline* is in seconds of the loop. Work that has failed is a
        response with the status 422.
        """
        clock = anyio.current_time
        began_at = clock()
        propagated_at = began_at + (_PROPAGATION if fresh else 0.0)
        self._polling.began()
        try:
            got = await self._poll_until_finished(
                WireRequest(f"/requests/{id}", queued=True, key=request.key),
                self._polling.first(request.path) if fresh else 0.0,
                deadline,
                propagated_at,
            )
        finally:
            self._polling.left()
        took = clock() - began_at
        if isinstance(got, Failure) and self._service.admission.behind_gateway:
            # Otherwise a gateway names the time that it has spent on a call.
            return replace(got, headers={**self._own_headers(id), response_headers.ELAPSED: f"{took:.3f}"})
        if fresh and isinstance(got, WireResponse):
            self._polling.ended(request.path, took)
        return got

    async def _poll_until_finished(
        self, result: WireRequest, pause: float, deadline: float, propagated_at: float
    ) -> WireResponse | Failure | None:
        clock, polls, not_found = anyio.current_time, 0, 0
        name = _id_in(result)
        while True:
            await anyio.sleep(min(pause, max(0.0, deadline - clock())))
            got = await self._poll(result, deadline)
            if isinstance(got, WireResponse):
                return got
            not_found = not_found + 1 if isinstance(got, Failure) and got.status == 404 else 0
            if not_found >= _MAX_NOT_FOUND and clock() >= propagated_at:
                return None
            if isinstance(got, Failure) and got.resend is Resend.NEVER and not not_found:
                return got
            if clock() >= deadline:
                late = f"no result of the queued request {name} in time; it may still be fetched"
                return Failure(FailureKind.TIMED_OUT, late, Billing.IN_DOUBT, request_id=name)
            polls += 1
            pause = self._next_pause(polls, got)

    def _next_pause(self, polls: int, got: Failure | None) -> float:
        pause = self._polling.next(polls, self._service.admission.accounts.rate)
        return pause if got is None or got.retry_after is None else max(pause, got.retry_after)

    async def _poll(self, result: WireRequest, deadline: float) -> WireResponse | Failure | None:
        """Return the answer if the work has ended, a failure if it cannot be read, None while it runs."""
        name = _id_in(result)
        found = await self._get(result._replace(path=f"{result.path}/status"), deadline)
        if isinstance(found, Failure) or found.get("status") not in _FINISHED:
            return found if isinstance(found, Failure) else None
        if found["status"] == "COMPLETED":
            found = await self._get(result, deadline)
            if isinstance(found, Failure) or found.get("status") not in _FINISHED:
                return found if isinstance(found, Failure) else None
        if found["status"] == "FAILED":
            error = to_json({"error": found.get("error") or found})
            return WireResponse(422, self._own_headers(name), error)
        return _as_if_direct(self._own_headers(name), found)

    def _own_headers(self, name: str) -> dict[str, str]:
        """Return the headers that `/v1` would have sent whatever the answer."""
        headers = {response_headers.REQUEST_ID: name}
        if self._service.admission.behind_gateway:
            headers[response_headers.GATEWAY] = ""
        return headers

    async def _get(self, request: WireRequest, deadline: float) -> dict[str, object] | Failure:
        left = max(0.0, deadline - anyio.current_time())
        with anyio.move_on_after(left):
            return (await get(self._service, request, RetryState(left), self._read))[0]
        return Failure(FailureKind.TIMED_OUT, "no poll of a queued request in time", Billing.REFUSED)

    def _read(self, response: WireResponse) -> dict[str, object] | Failure:
        # A failed request answers with 422 and the reason in its body.
        if response.status not in (200, 422):
            return refused(self._service, response)
        try:
            found = read_object(response.body)
        except UnreadableError as error:
            return unreadable(str(error), response.headers, response.body)
        return {"status": "FAILED", **found} if response.status == 422 else found


def _id_in(result: WireRequest) -> str:
    return result.path.removeprefix("/requests/")


def _without_balance(got: WireResponse) -> WireResponse:
    """Return an answer without the balance of the account that has paid for it, which is not the lease's."""
    headers = {name: value for name, value in got.headers.items() if name != response_headers.BALANCE}
    return got._replace(headers=headers)


def lost(id: str) -> Failure:
    """Return the failure of a request that the service has queued and no longer knows."""
    message = f"the service no longer knows the request it has queued as {id}"
    return Failure(FailureKind.DISCONNECTED, message, Billing.IN_DOUBT, request_id=id)


def _work_until(request: WireRequest) -> float:
    """Return the instant until which work that begins now is awaited; inf where its call limits the time.

    A gateway limits only how long a submission takes: the time its caller names is that of the work.
    """
    named = dict(request.headers).get(response_headers.TIMEOUT)
    return math.inf if named is None else anyio.current_time() + float(named)


def _as_if_direct(headers: dict[str, str], found: dict[str, object]) -> WireResponse:
    """Return the response that `/v1` would have given, with these *headers* among others."""
    metrics = found.get("metrics")
    figures: Mapping[str, object] = metrics if isinstance(metrics, dict) else {}
    for name, value in (
        (response_headers.COST, figures.get("cost")),
        (response_headers.BALANCE, figures.get("remaining_credits")),
    ):
        if value is not None:
            headers[name] = str(value)
    output = found.get("output")
    # For chat the provider's JSON comes as a string inside the JSON.
    return WireResponse(200, headers, output.encode() if isinstance(output, str) else to_json(output))
