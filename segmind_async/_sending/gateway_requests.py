"""Calls that go to a gateway: what they tell it, and what is asked when the connection to it was lost.

A gateway has most calls wait, so one that dies has sent few of them on. The others cost nothing, and may be
sent again as often as it takes. Which are which stands in its file, and its successor is asked.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple
from uuid import uuid4

import anyio
import backoff

from .._text.wait_reasons import WaitReason
from .._transport.base import WireRequest
from .._wire import response_headers
from .._wire.failures import Billing, Failure, FailureKind, Resend
from .._wire.json import UnreadableError, read_object
from .admission import CallScope
from .service import Service, refused

_ASK_WITHIN = 5.0
"""Seconds for a question to a gateway, which has the answer at hand."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.2, 5.0
"""Seconds between two questions to a gateway that is not there, before jitter."""


def to_gateway(
    wire: WireRequest,
    client: str,
    left: float,
    scope: CallScope,
    budget: str | None,
    context: Mapping[str, str],
) -> WireRequest:
    """Return the request for a gateway, which has calls wait as the queue here would.

    *client* is the id of the client, *budget* one of the gateway's, *context* the headers of a trace. The
    call takes the *left* seconds from when the gateway sends it on, as `timeouts.total` is taken here.
    """
    headers = [
        (response_headers.PRIORITY, str(scope.priority)),
        (response_headers.CLIENT, client),
        (response_headers.ATTEMPT, uuid4().hex),
    ]
    if budget is not None:
        headers.append((response_headers.BUDGET, budget))
    headers.extend(context.items())
    if left < math.inf:
        headers.append((response_headers.TIMEOUT, f"{max(left, response_headers.MIN_TIMEOUT):.3f}"))
    return wire._replace(patient=True, headers=tuple(headers))


class Sent(NamedTuple):
    """An attempt that went to a gateway."""

    wire: WireRequest
    scope: CallScope
    at: float
    """Seconds of the loop, whose clock may stand still while the machine sleeps."""
    wall: float
    """The same instant in epoch seconds."""


async def settle_doubt(service: Service, sent: Sent, lost: Failure, left: float) -> Failure:
    """Return how *lost*, the failure of a call whose gateway was lost, is billed, as the gateway tells.

    Waits until the gateway is there again, at most *left* seconds, and no longer than until the scope is
    closed. Without an answer it stays in doubt. Either says what the wait took, as a gateway does.
    """
    admission, asked_at, took, was_away = service.admission, service.admission.now(), 0.0, False
    attempt = dict(sent.wire.headers)[response_headers.ATTEMPT]
    pauses = backoff.expo(base=2, factor=_FIRST_PAUSE, max_value=_LONGEST_PAUSE)
    next(pauses)  # the generator's first step only starts it
    while True:
        age = max(admission.now() - sent.at, service.wall_clock() - sent.wall)
        was_sent = await _was_sent(service, attempt, age)
        took = admission.now() - asked_at
        pause = backoff.full_jitter(next(pauses))
        if was_sent is not None or took + pause >= left or sent.scope.closed:
            break
        was_away = True
        with admission.pause(WaitReason.OUTAGE, admission.now() + pause):
            await anyio.sleep(pause)
    told = {response_headers.GATEWAY: "", response_headers.ELAPSED: f"{took:.3f}"}
    if was_sent is not False:
        return replace(lost, headers=told)
    message = f"{lost.message}; the gateway had not sent the call on"
    # One that was there all the time will be so again: what cuts the connections would do it for ever.
    kind = FailureKind.GATEWAY_GONE if was_away else lost.kind
    return Failure(kind, message, Billing.NOT_SENT, headers=told)


async def _was_sent(service: Service, attempt: str, age: float) -> bool | None:
    """Ask whether a call was sent on; True also if nobody knows any more, None if nobody answers yet."""
    got = await service.send(WireRequest(f"/attempts/{attempt}/{math.ceil(age)}"), _ASK_WITHIN)
    if isinstance(got, Failure):
        return None if got.resend in (Resend.YES, Resend.WHEN_BACK) else True
    if got.status == 200 and response_headers.is_gateway(got.headers):
        with suppress(UnreadableError):
            return read_object(got.body).get("sent") is not False
        return True
    # That of a proxy whose gateway is not there, or of a gateway which does not know such questions.
    return None if refused(service, got).resend is Resend.YES else True
