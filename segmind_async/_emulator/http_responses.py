"""The responses of the emulated service in aiohttp's terms, and the ways of failing to respond."""

from __future__ import annotations

import asyncio
import json
import math
from datetime import UTC, datetime
from email.utils import format_datetime

import anyio
from aiohttp import web

from . import faults

EPOCH = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
"""Wall time at the zero of the loop's clock: fixed, so that a loop with virtual time has wall time too."""

FOREVER = 10.0 * 365 * 24 * 3600
"""Seconds: longer than any test."""


def now() -> float:
    """Return the running loop's time."""
    return asyncio.get_running_loop().time()


def date() -> str:
    """Return the `Date` header for the present time."""
    return format_datetime(datetime.fromtimestamp(math.floor(EPOCH + now()), UTC), usegmt=True)


def as_json(status: int, body: object) -> web.Response:
    """Return a JSON response."""
    return web.Response(
        status=status, text=json.dumps(body), content_type="application/json", headers={"Date": date()}
    )


def of_fault(answer: faults.Answer, headers: dict[str, str]) -> web.Response:
    """Return the response that a fault defines."""
    all_headers = {"Date": date(), **headers, "Content-Type": answer.content_type, **answer.headers}
    return web.Response(status=answer.status, body=answer.body, headers=all_headers)


def drop(request: web.Request) -> web.Response:
    """Abort the connection; the returned response is never sent."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=499)


async def misbehave(
    request: web.Request, fault: faults.Fault, body: bytes, headers: dict[str, str]
) -> web.StreamResponse:
    """Send a response that no caller can use, for a call that ran."""
    if isinstance(fault, faults.Silence):
        await anyio.sleep(min(fault.seconds, FOREVER))
        return drop(request)
    transport = request.transport
    if transport is None or transport.is_closing():
        return drop(request)  # the caller has gone in the meantime
    if isinstance(fault, faults.NoHttp):
        transport.write(fault.data)
        transport.close()
        return web.Response(status=499)
    if isinstance(fault, faults.Reset):
        return drop(request)
    response = web.StreamResponse(headers={**headers, "Content-Type": "application/json"})
    if isinstance(fault, faults.Cut):
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: int(len(body) * fault.share)])
        return drop(request)
    assert isinstance(fault, faults.Drip)
    response.enable_chunked_encoding()
    await response.prepare(request)
    while request.transport is not None and not request.transport.is_closing():
        await response.write(b" ")
        await anyio.sleep(fault.interval)
    return response
