"""Calls through the service's queue whose id is known before their answer: here, or from an earlier process.

A submission is made once: when its id is known, another attempt only goes on waiting for the same work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import NamedTuple, TypeAlias

import anyio

from ..._providers.requests import EncodedRequest
from ..._transport.base import WireRequest, WireResponse
from ..._wire.failures import Failure
from ..admission import Lease
from ..call import Call, CallOptions
from ..service import Service
from .queued_inference import QueuedRequests, lost

Keep: TypeAlias = Callable[[str, int], Awaitable[None]]
"""Stores the id of a submission, and which key it was made with; shielded from cancellation."""


def queued_call(
    service: Service, options: CallOptions, requests: QueuedRequests, wanted: EncodedRequest, keep: Keep
) -> Call:
    """Return a call that submits *wanted*, has its id kept, and then awaits the answer."""
    return Call(replace(service, transport=_Submission(service, requests, keep)), options, wanted)


class Submitted(NamedTuple):
    """What an earlier process has submitted."""

    model: str
    id: str
    """The service's id."""
    key: int
    """The place, among the keys of that process, of the one it was submitted with."""


class EarlierCall(Call):
    """Awaits what an earlier process has submitted.

    It was sent, so it asks nothing of slots, credits and pace: it counts in them from the beginning.
    """

    __slots__ = ("_key",)

    def __init__(
        self,
        service: Service,
        options: CallOptions,
        requests: QueuedRequests,
        earlier: Submitted,
    ) -> None:
        transport = _Submission(service, requests, _kept_already, earlier.id)
        super().__init__(
            replace(service, transport=transport), options, EncodedRequest(earlier.model, b"", {})
        )
        # Keys may have been taken away since.
        self._key = earlier.key if earlier.key < len(service.admission.accounts.all) else 0

    def _acquire_nowait(self) -> Lease:
        admission, scope = self._service.admission, self._options.scope
        account, now = admission.accounts.all[self._key], asyncio.get_running_loop().time()
        hold, tag = account.inherit(scope.budget, self._ticket.model, now)
        for level in scope.line:
            level.in_flight += 1
        return Lease(admission, account, scope, hold, tag)


async def _kept_already(_id: str, _key: int) -> None:
    raise AssertionError("what is submitted already is not submitted")


class _Submission:
    """The transport of one call: it submits unless it has the *id* already, and awaits the answer."""

    def __init__(self, service: Service, requests: QueuedRequests, keep: Keep, id: str | None = None) -> None:
        self._service = service
        self._requests = requests
        self._keep = keep
        self._id = id

    async def aclose(self) -> None:
        """Do nothing: the connections belong to the transport of the client."""

    async def send(self, request: WireRequest, time_left: float) -> WireResponse | Failure:
        """Submit if that is not done, and await the answer; the whole takes *time_left* seconds at most."""
        if request.body is None:
            # A read of the balance.
            return await self._service.send(request, time_left)
        deadline = anyio.current_time() + time_left
        if self._id is not None:
            return await self._requests.answer_to_earlier(request, self._id, deadline) or lost(self._id)
        got = await self._requests.submit(request, time_left)
        if not isinstance(got, str):
            return got
        self._id = got
        with anyio.CancelScope(shield=True):
            await self._keep(got, request.key)
        return await self._requests.answer(request, got, deadline) or lost(got)
