"""Connections of aiohttp that are used again only while nothing unasked has arrived on them.

HTTP/1.1 has no numbers that tie an answer to its request: the answer is what comes next. A proxy that sends
an answer twice therefore puts every later call on that connection one answer off. aiohttp (3.14) looks at
its pooled connections only to see whether they are open, and hands the surplus to the next request; so
they are looked at here, at the two moments that count: when a connection is taken, and when the request is
written. What has arrived by then is in aiohttp's buffers or in the kernel's, and either ends the connection.

A copy that arrives later, while the next request is on its way, cannot be told from an answer by its time;
`Copies` knows it by the request id that the service gives to each answer. Without such an id it cannot be
told at all.
"""

from __future__ import annotations

from asyncio import CancelledError
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakSet

import aiohttp

from .direct.aiohttp_names import is_between_answers
from .unread import Unread

if TYPE_CHECKING:
    import asyncio

    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.client import ClientTimeout
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

KEEPALIVE = 12.0
"""Seconds an idle connection is kept. Load balancers commonly close theirs after 15 to 60; a POST on a
connection that the server is closing fails in doubt, so the client closes first."""


class SurplusError(aiohttp.ClientConnectionError):
    """The server sent bytes before the request, which was then not sent."""


class Connector(aiohttp.TCPConnector):
    """Gives out connections on which nothing has arrived since their last answer.

    aiohttp's pool may keep at most its keep-alive time what is never given out again.
    """

    def __init__(self) -> None:
        # No limit below the slots: waiting for a connection would count as time on the wire.
        super().__init__(limit=0, keepalive_timeout=KEEPALIVE)
        self._given_out: WeakSet[ResponseHandler] = WeakSet()
        self._cancelled: WeakSet[CancelledError] = WeakSet()

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: ClientTimeout
    ) -> Connection:
        """Return an open connection without surplus bytes; those with some are closed."""
        while True:
            try:
                connection = await super().connect(req, traces, timeout)
            except CancelledError as error:
                self._cancelled.add(error)
                raise
            protocol = connection.protocol
            is_new = protocol not in self._given_out
            if protocol is not None and _is_quiet(protocol, is_new=is_new) and is_between_answers(protocol):
                self._given_out.add(protocol)
                if isinstance(req, Request):
                    req.is_first = is_new
                return connection
            connection.close()
            if is_new:
                raise SurplusError("the server sent bytes before any request")

    def has_cancelled(self, error: TimeoutError) -> bool:
        """Return whether the cancellation that became this error came before there was a connection."""
        return isinstance(error.__cause__, CancelledError) and error.__cause__ in self._cancelled


class Request(aiohttp.ClientRequest):
    """Looks at the connection once more when the request is written.

    Between `connect` and here Python 3.11 runs one turn of the loop, in which uvloop reads what has arrived.
    """

    is_first: bool = False
    """Whether it is the first on its connection."""
    is_being_written: bool = False
    """Whether a part of the body has not yet been given to the connection."""
    surplus: SurplusError | None = None
    """Why it was not written."""

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Write the request, and return the response that is to be started."""
        response = await super().send(conn)
        if isinstance(response, Response):
            response.request = self
        return response

    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
    ) -> None:
        """Write head and body, or end the attempt if bytes have arrived before."""
        protocol = conn.protocol
        if protocol is not None and not _is_quiet(protocol, is_new=self.is_first):
            # `Response.start` raises it, whether it still waits, or has these bytes for its answer.
            self.surplus = SurplusError("the server sent bytes before the request")
            protocol.set_exception(self.surplus)
            return
        self.is_being_written = True
        await super().write_bytes(writer, conn, content_length)
        self.is_being_written = False


class Response(aiohttp.ClientResponse):
    """Remembers the connection after it was released, and whether the answer came too early."""

    request: Request | None = None
    protocol: ResponseHandler | None = None
    is_early: bool = False
    """Whether its head came before the request was sent whole, so that it may be the answer to another."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        """Wait for the head of the answer."""
        self.protocol = connection.protocol
        await super().start(connection)
        if self.request is not None:
            if self.request.surplus is not None:
                raise self.request.surplus
            self.is_early = self.request.is_being_written
        return self

    def end_connection(self) -> None:
        """Close the connection at once, also for a request that may have taken it in the meantime."""
        if self.protocol is not None:
            self.protocol.abort()


class Copies:
    """Knows an answer that repeats the one before it on its connection.

    A server that gives every answer the same id, as test servers do, is found out by the same answer on
    another connection. From then on nothing is taken for a copy.
    """

    def __init__(self) -> None:
        self._last: WeakKeyDictionary[asyncio.BaseProtocol, tuple[str, int]] = WeakKeyDictionary()
        self._newest: tuple[str, int] | None = None
        self._ids_are_unique = True

    def is_one(self, protocol: asyncio.BaseProtocol | None, request_id: str | None, body: bytes) -> bool:
        """Return whether request id and body are those of the answer before on the connection."""
        if protocol is None or not request_id:
            return False
        seen = (request_id, hash(body))
        last = self._last.get(protocol)
        if seen == self._newest and seen != last:
            self._ids_are_unique = False
        self._last[protocol] = self._newest = seen
        return self._ids_are_unique and seen == last


def _is_quiet(protocol: ResponseHandler, *, is_new: bool) -> bool:
    """Return whether nothing has arrived that no request has asked for, the end of the stream included."""
    if protocol.should_close or len(protocol) or protocol.transport is None:
        return False
    return not Unread(protocol.transport).waits(is_new=is_new)
