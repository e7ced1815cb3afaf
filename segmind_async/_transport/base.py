"""The seam between the library and the network: one request out, one response or failure back.

A transport never raises for an error of the network or the server: it returns a `Failure` that says
whether the request may have run, and so may have been billed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from .._wire.failures import Failure


class WireRequest(NamedTuple):
    """One HTTP request: a POST if it has a body, else a GET."""

    path: str
    """Path below the base URL, such as `/gpt-5.4-mini`."""
    body: bytes | None = None
    queued: bool = False
    """Whether the path belongs to queued inference, `/v2`, beside the base URL's `/v1`."""
    headers: tuple[tuple[str, str], ...] = ()
    """Headers of this POST alone, ASCII."""
    patient: bool = False
    """Whether `Timeouts.attempt` does not apply: a gateway may let it wait before it is sent on."""
    key: int = 0
    """Which of the client's keys it is sent with, by its place among them."""


class WireResponse(NamedTuple):
    """One HTTP response, read to its end."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


class Transport(Protocol):
    """Sends HTTP requests to the service, key and base URL included."""

    async def send(self, request: WireRequest, time_left: float) -> WireResponse | Failure:
        """Send once and wait for the response, at most *time_left* seconds (inf: no limit).

        Never repeats a request: retries, and what they may cost, are decided above. If cancelled, the
        request may have been sent.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...
