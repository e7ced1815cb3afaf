"""One transport for each of several keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .._wire.failures import Failure
from .base import Transport, WireRequest, WireResponse


class TransportByKey:
    """Sends each request with the transport of its key; each has connections of its own."""

    def __init__(self, transports: Sequence[Transport]) -> None:
        self._transports = tuple(transports)

    def __repr__(self) -> str:
        return f"TransportByKey({len(self._transports)} keys, {self._transports[0]!r})"

    async def send(self, request: WireRequest, time_left: float) -> WireResponse | Failure:
        """Send once, with the key that *request* names."""
        return await self._transports[request.key].send(request, time_left)

    async def aclose(self) -> None:
        """Close the connections of all keys."""
        for transport in self._transports:
            await transport.aclose()


def by_key(transports: Iterable[Transport]) -> Transport:
    """Return one transport for all keys: the only one, or one that chooses."""
    first, *others = transports
    return TransportByKey([first, *others]) if others else first
