"""The connections of one loop: made by aiohttp's connector, kept while idle, closed together."""

from __future__ import annotations

import asyncio
import math
from collections import deque

import aiohttp
from yarl import URL

from ..connections import KEEPALIVE, SurplusError
from .connection import Connection

# The bound of connecting is set here, once, around all addresses that are tried.
_NO_TIMEOUT = aiohttp.ClientTimeout(total=None, ceil_threshold=math.inf)


class ConnectionPool:
    """Connections to one server."""

    def __init__(self, url: str, connect_timeout: float | None) -> None:
        """Must be called within the running loop."""
        self._loop = asyncio.get_running_loop()
        self._connect_timeout = connect_timeout
        self._connector = aiohttp.TCPConnector(limit=0)
        self._connector._factory = self._make  # type: ignore[assignment]  # see aiohttp_names
        self._address = aiohttp.ClientRequest("POST", URL(url), loop=self._loop)
        self._open: set[Connection] = set()
        # The one used last is taken first, so that those not needed grow old.
        self._idle: deque[Connection] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._all_closed: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"ConnectionPool({len(self._open)} open, {len(self._idle)} idle)"

    def take(self) -> Connection | None:
        """Return an idle connection on which nothing has arrived; those with surplus bytes are closed."""
        oldest = self._loop.time() - KEEPALIVE
        while self._idle:
            connection = self._idle.pop()
            if connection.idle_since > oldest and connection.is_quiet:
                return connection
            connection.abort()
        return None

    async def connect(self) -> Connection:
        """Return a new connection; raises an error of aiohttp. If cancelled, none is left open."""
        try:
            async with asyncio.timeout(self._connect_timeout):
                made = await self._connector._create_connection(self._address, [], _NO_TIMEOUT)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError(f"{self._connect_timeout} s for a connection") from error
        assert isinstance(made, Connection)
        if made.is_quiet:
            return made
        made.abort()
        raise SurplusError("the server sent bytes before any request")

    def give(self, connection: Connection) -> None:
        """Keep a connection for the next request."""
        connection.idle_since = self._loop.time()
        self._idle.append(connection)
        if self._timer is None:
            self._timer = self._loop.call_later(KEEPALIVE, self._expire)

    async def close(self) -> None:
        """Close all connections, and wait until they are."""
        if self._timer is not None:
            self._timer.cancel()
        for connection in list(self._open):
            connection.abort()
        self._idle.clear()
        if self._open:
            self._all_closed = self._loop.create_future()
            await self._all_closed
        await self._connector.close()

    def began(self, connection: Connection) -> None:
        """Take note of an open connection."""
        self._open.add(connection)

    def ended(self, connection: Connection) -> None:
        """Take note that it is closed."""
        self._open.discard(connection)
        if not self._open and self._all_closed is not None and not self._all_closed.done():
            self._all_closed.set_result(None)

    def _make(self) -> Connection:
        return Connection(self, self._loop)

    def _expire(self) -> None:
        """Close what was idle for too long, and set the timer for the next."""
        self._timer = None
        now = self._loop.time()
        while self._idle and self._idle[0].idle_since + KEEPALIVE <= now:
            self._idle.popleft().abort()
        if self._idle:
            self._timer = self._loop.call_at(self._idle[0].idle_since + KEEPALIVE, self._expire)
