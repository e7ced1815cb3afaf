"""The direct transport: an exchange on a connection of ours, and what its end means for the request."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping

import aiohttp

from ..._wire.failures import Billing, Failure, FailureKind, unreadable
from ..._wire.headers import Headers
from ..._wire.response_headers import REQUEST_ID
from ...config import Timeouts
from ...errors import MAX_BODY
from ..aiohttp import REPEATED, TOO_EARLY, failure_of, may_be_billed
from ..base import WireRequest, WireResponse
from ..connections import Copies
from ..deadlines import Deadline, Deadlines
from ..session_pool import PerLoop
from .connection import Connection
from .content_coding import DamagedError, decoded
from .direct_pool import ConnectionPool
from .request_head import more_lines, renderer


class DirectTransport:
    """Sends over connections of its own; about half of the CPU time of aiohttp's session."""

    def __init__(self, base_url: str, headers: Mapping[str, str], timeouts: Timeouts, max_bytes: int) -> None:
        self._base_url = base_url
        self._queued_url = base_url.removesuffix("/v1") + "/v2"
        self._head = renderer(headers)
        self._pools = PerLoop(lambda: ConnectionPool(base_url, timeouts.connect))
        self._deadlines = Deadlines()
        self._copies = Copies()
        self._attempt = math.inf if timeouts.attempt is None else timeouts.attempt
        self._idle = timeouts.idle
        self._max_bytes = max_bytes

    def __repr__(self) -> str:
        return f"DirectTransport({self._base_url!r}, {self._pools!r})"

    async def send(self, request: WireRequest, time_left: float) -> WireResponse | Failure:
        """Send once over a pooled connection. Redirects are not followed: they would leak the key."""
        # Read once: in Python 3.11 it is a system call.
        loop = asyncio.get_running_loop()
        pool = self._pools.opened(loop) or await self._pools.session()
        deadline = self._deadlines.after(
            loop, time_left if request.patient else min(time_left, self._attempt)
        )
        connection = pool.take()
        if connection is None:
            try:
                with deadline:
                    connection = await pool.connect()
            except TimeoutError as error:
                in_time = aiohttp.ConnectionTimeoutError("the attempt ended before")
                return failure_of(error if isinstance(error, aiohttp.ClientError) else in_time)
            except (aiohttp.ClientError, OSError) as error:
                return failure_of(error)
        return await self._exchange(connection, pool, request, deadline)

    async def aclose(self) -> None:
        """Close the running loop's connections."""
        self._deadlines.close()
        await self._pools.aclose()

    async def _exchange(
        self, connection: Connection, pool: ConnectionPool, request: WireRequest, deadline: Deadline
    ) -> WireResponse | Failure:
        """Send on a quiet connection, and read the answer. If cancelled, the connection is closed."""
        body = request.body
        head = self._head(
            (self._queued_url if request.queued else self._base_url) + request.path, body is not None
        )
        if body is not None:
            head = b"%b%d\r\n%b\r\n" % (head, len(body), more_lines(request.headers))
        is_kept = False
        lost: Exception | None = None
        try:
            connection.begin(head, body or b"")
            with deadline:
                if not await connection.more():
                    await self._read_rest(connection)
            is_kept = connection.can_be_kept
        except TimeoutError as error:
            lost = error
        finally:
            answer, is_early = connection.head, connection.is_early
            data, broken = connection.end()
            if not is_kept:
                connection.abort()
        lost = lost or broken
        if answer is None or (lost is not None and may_be_billed(answer.code)):
            return _lost(lost)
        got = self._answer(answer.code, Headers(answer.headers), data, is_early)
        repeats = self._copies.is_one(connection, got.headers.get(REQUEST_ID), data)
        if repeats or (is_early and may_be_billed(answer.code)):
            connection.abort()
            return _doubtful(REPEATED if repeats else TOO_EARLY, got.headers, data)
        if is_kept and not is_early and isinstance(got, WireResponse):
            pool.give(connection)
        else:
            connection.abort()
        return got

    async def _read_rest(self, connection: Connection) -> None:
        """Wait until the body is complete, or longer than allowed."""
        answer = connection.head
        assert answer is not None
        most = self._most_of(answer.code)
        while connection.received <= most:
            async with asyncio.timeout(self._idle):
                if await connection.more():
                    return

    def _most_of(self, status: int) -> int:
        """Return how many bytes of a body are read: of a refusal what an error keeps."""
        return self._max_bytes if may_be_billed(status) else MAX_BODY

    def _answer(self, status: int, headers: Headers, body: bytes, is_early: bool) -> WireResponse | Failure:
        coding = headers.get("Content-Encoding")
        if coding is not None and len(body) <= (most := self._most_of(status)):
            try:
                body = decoded(body, coding, most)
            except DamagedError as error:
                if may_be_billed(status):
                    return failure_of(aiohttp.ClientPayloadError(str(error)))
                # The status alone shows that nothing was billed.
                body = b""
        if not may_be_billed(status):
            return WireResponse(status, headers, body[:MAX_BODY])
        if len(body) > self._max_bytes:
            reason = f"the body is longer than {self._max_bytes} bytes"
            return unreadable(reason, headers, body, FailureKind.TOO_LARGE, status)
        return WireResponse(status, headers, body)


def _lost(error: Exception | None) -> Failure:
    """Return the failure of a request that was sent, and of which no whole answer came."""
    if isinstance(error, OSError):
        return failure_of(error)
    message = f"the answer is not HTTP: {type(error).__name__}"
    return Failure(FailureKind.UNREADABLE, message, Billing.IN_DOUBT)


def _doubtful(reason: str, headers: Mapping[str, str], body: bytes) -> Failure:
    return Failure(FailureKind.UNREADABLE, reason, Billing.IN_DOUBT, body=body[:MAX_BODY], headers=headers)
