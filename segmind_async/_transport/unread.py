"""Bytes that have arrived on a connection, and that nobody has read yet."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio


class Unread:
    """Looks whether bytes, or the end of the stream, wait in the kernel for an open connection."""

    __slots__ = ("_is_encrypted", "_number", "_poll")

    def __init__(self, transport: asyncio.BaseTransport) -> None:
        self._is_encrypted = transport.get_extra_info("sslcontext") is not None
        socket = transport.get_extra_info("socket")
        self._number: int | None = None if socket is None else socket.fileno()
        self._poll: select.poll | None = None
        if self._number is not None and hasattr(select, "poll"):
            self._poll = select.poll()
            self._poll.register(self._number, select.POLLIN)

    def waits(self, *, is_new: bool) -> bool:
        """Return whether anything waits that no request has asked for.

        On a new connection over TLS these are the tickets that follow the handshake; the first answer comes
        after them. Later ones count: to open a new connection is the cheaper mistake.
        """
        if is_new and self._is_encrypted:
            return False
        if self._poll is not None:
            return bool(self._poll.poll(0))
        return self._number is not None and bool(select.select([self._number], (), (), 0)[0])
