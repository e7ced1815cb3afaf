"""One connection: what is written to it, and the reading of the answer by aiohttp's parser in C.

At most one exchange runs on it. Bytes that arrive while none does end the connection.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol, cast

from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpResponseParser

from ..unread import Unread
from .aiohttp_names import is_between_messages

if TYPE_CHECKING:
    from aiohttp import StreamReader
    from aiohttp.http_parser import RawResponseMessage

# The body of an answer never asks for a pause below twice this; the transport counts its bytes itself.
_NO_LIMIT = 2**30
_SWITCHING = 101
# A longer body is written in pieces, each when the one before has left: over TLS the transport does not tell
# what waits below the encryption, so only what has not yet been given to it is known as not sent.
_PIECE = 65536


class Owner(Protocol):
    """What wants to know when connections begin and end."""

    def began(self, connection: Connection) -> None:
        """Take note of an open connection."""
        ...

    def ended(self, connection: Connection) -> None:
        """Take note that it is closed."""
        ...


class _NeverPaused:
    """Stands for the protocol in the parser, which so does not refer to the connection."""

    _reading_paused = False

    @staticmethod
    def resume_reading(*, resume_parser: bool = True) -> None:
        """Do nothing: at its end a body resumes what it has not paused."""


class Connection(asyncio.Protocol):
    """A connection on which one request after the other is sent."""

    __slots__ = (
        "__weakref__",
        "_body",
        "_error",
        "_is_new",
        "_is_paused",
        "_is_spoilt",
        "_loop",
        "_owner",
        "_parser",
        "_transport",
        "_unread",
        "_unsent",
        "_waiter",
        "head",
        "idle_since",
        "is_early",
    )

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop) -> None:
        self._owner = owner
        self._loop = loop
        self._parser = HttpResponseParser(
            cast("Any", _NeverPaused), loop, _NO_LIMIT, read_until_eof=True, auto_decompress=False
        )
        self._transport: asyncio.Transport | None = None
        self._unread: Unread | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._body: StreamReader | None = None
        self._error: Exception | None = None
        self._is_new = True
        self._is_paused = False
        self._unsent: memoryview | None = None
        self._is_spoilt = False
        self.head: RawResponseMessage | None = None
        """Status and headers of the answer, once they have arrived."""
        self.is_early = False
        """Whether the head came before the request was sent whole, so that it may answer another."""
        self.idle_since = 0.0

    def __repr__(self) -> str:
        state = "closed" if self._transport is None else "idle" if self._waiter is None else "in use"
        return f"Connection({state})"

    @property
    def is_quiet(self) -> bool:
        """Whether it is open, and nothing has arrived that no request has asked for."""
        transport = self._transport
        if transport is None or self._is_spoilt or transport.is_closing():
            return False
        unread = self._unread
        return unread is not None and not unread.waits(is_new=self._is_new)

    @property
    def can_be_kept(self) -> bool:
        """Whether the answer was read to its end, nothing came after it, and the server keeps it open."""
        head = self.head
        if self._is_spoilt or head is None or head.should_close or not self.is_complete:
            return False
        return is_between_messages(self._parser)

    @property
    def is_complete(self) -> bool:
        """Whether the answer, or what was received of it before the connection ended, has been read."""
        return self._error is not None or (self._body is not None and self._body.is_eof())

    @property
    def received(self) -> int:
        """Bytes of the body received so far."""
        return 0 if self._body is None else self._body.total_bytes

    def begin(self, head: bytes, body: bytes) -> None:
        """Write a request, in one piece unless it is long. The connection must be quiet."""
        transport = self._transport
        assert transport is not None
        self.head = self._body = self._error = None
        self.is_early = self._is_new = False
        self._waiter = self._loop.create_future()
        if len(body) <= _PIECE:
            transport.write(head + body)
            return
        transport.write(head)
        self._unsent = memoryview(body)
        self._write_more()

    async def more(self) -> bool:
        """Wait for the head; afterwards, for more of the body. Return whether the answer is complete."""
        waiter = self._waiter
        assert waiter is not None
        await waiter
        is_complete = self.is_complete
        if not is_complete:
            self._waiter = self._loop.create_future()
        return is_complete

    def end(self) -> tuple[bytes, Exception | None]:
        """Return the body, as far as received, and what broke it; the exchange is over."""
        body, error = self._body, self._error
        data = b""
        if body is not None:
            broken: Any = body.exception()
            error = error or broken
            data = b"" if broken else body.read_nowait(-1)
        self._waiter = self._body = self._error = self.head = None
        return data, error

    def abort(self) -> None:
        """Close it at once."""
        self._is_spoilt = True
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport of the new connection."""
        self._transport = cast("asyncio.Transport", transport)
        self._unread = Unread(transport)
        self._owner.began(self)

    def pause_writing(self) -> None:
        """Write nothing more of the body: too much waits in the transport."""
        self._is_paused = True

    def resume_writing(self) -> None:
        """Go on with the body."""
        self._is_paused = False
        self._write_more()

    def data_received(self, data: bytes) -> None:
        """Read a part of the answer, or end a connection on which none is due."""
        if self._waiter is None or self.is_complete:
            self.abort()
            return
        try:
            messages, upgraded, _ = self._parser.feed_data(data)
        except HttpProcessingError as error:
            self._fail(error)
            return
        for head, body in messages:
            self._received(head, body)
        if upgraded:
            self._is_spoilt = True
        if self._body is not None:
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the exchange: some answers end with their connection."""
        self._transport = self._unsent = None
        self._is_spoilt = True
        self._owner.ended(self)
        if self._waiter is None or self.is_complete:
            return
        try:
            self._parser.feed_eof()
        except HttpProcessingError as error:
            self._fail(exc or ConnectionResetError(str(error)))
            return
        if exc is not None or not self.is_complete:
            self._fail(exc or ConnectionResetError("the server closed the connection"))
            return
        self._wake()

    def _received(self, head: RawResponseMessage, body: StreamReader) -> None:
        if 100 <= head.code < 200 and head.code != _SWITCHING:
            return
        if self._body is not None:
            self._is_spoilt = True
            return
        assert self._transport is not None
        self.head, self._body = head, body
        self.is_early = self._unsent is not None or self._transport.get_write_buffer_size() > 0

    def _write_more(self) -> None:
        """Write pieces of the body until the transport asks for a pause."""
        while self._unsent is not None and self._transport is not None and not self._is_paused:
            piece, rest = self._unsent[:_PIECE], self._unsent[_PIECE:]
            self._unsent = rest if len(rest) else None
            self._transport.write(piece)

    def _fail(self, error: Exception) -> None:
        self._error = error
        self.abort()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
