"""A server that answers with the bytes it is told, when it is told, whatever HTTP says."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

Behaviour = Callable[["Connection"], Awaitable[None]]
"""What the server does with one connection; afterwards it is closed."""


class Connection:
    """One accepted connection, seen from the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self._reader = reader
        self._writer = writer
        self.number = number
        """How many connections were accepted before."""

    async def request(self) -> bytes | None:
        """Read one whole request, and return its body; None if the client has closed the connection."""
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
            length = next(
                (line.split(b":")[1] for line in head.lower().split(b"\r\n") if b"content-length" in line),
                b"0",
            )
            return await self._reader.readexactly(int(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    async def some(self) -> bytes:
        """Read what has arrived, at least one byte unless the client has closed the connection."""
        return await self._reader.read(65536)

    async def send(self, data: bytes) -> bool:
        """Send *data* at once; return False if the client has closed the connection."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except ConnectionError:
            return False
        return not self._writer.is_closing()

    async def pause(self, seconds: float) -> None:
        """Send nothing for a while."""
        await asyncio.sleep(seconds)

    async def turns(self) -> None:
        """Let the client read what was sent."""
        for _ in range(5):
            await asyncio.sleep(0)

    def send_now(self, data: bytes) -> None:
        """Send a little without a turn of the loop."""
        assert os.write(self._writer.get_extra_info("socket").fileno(), data) == len(data)

    async def send_slowly(self, data: bytes, size: int = 1, pause: float = 0.0) -> None:
        """Send *data* in pieces of *size*, *pause* seconds apart."""
        for start in range(0, len(data), size):
            await self.send(data[start : start + size])
            await self.pause(pause)

    def end_writing(self) -> None:
        """Close this side only, over TLS without notice of it."""
        # Of a copy: the sockets of uvloop cannot.
        with socket.socket(fileno=os.dup(self._writer.get_extra_info("socket").fileno())) as copy:
            copy.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """End the connection with a reset instead of an orderly close."""
        raw = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()

    def abort(self) -> None:
        """Close the connection at once, over TLS without notice of it."""
        self._writer.transport.abort()

    async def until_closed(self) -> None:
        """Read and drop everything until the client closes the connection."""
        try:
            while await self._reader.read(65536):
                pass
        except ConnectionError:
            return

    async def close(self) -> None:
        """Close the connection, if it is still open."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return


class HostileServer:
    """Accepts connections on loopback and behaves on each as told."""

    def __init__(self, behaviour: Behaviour, tls: ssl.SSLContext | None = None) -> None:
        self._behaviour = behaviour
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0
        """Connections accepted so far."""

    @property
    def url(self) -> str:
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/v1"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024, ssl=self._tls)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        connection = Connection(reader, writer, self.connections)
        self.connections += 1
        try:
            await self._behaviour(connection)
            await connection.close()
        except asyncio.CancelledError:
            connection.abort()  # the server ends: so does this task, quietly
        finally:
            self._tasks.discard(task)


def answer(text: str, status: str = "200 OK", **headers: str) -> bytes:
    """Return the bytes of a good answer."""
    body = b'{"choices": [{"message": {"content": "%s"}}]}' % text.encode()
    named = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n{named}\r\n"
    )
    return head.encode() + body
