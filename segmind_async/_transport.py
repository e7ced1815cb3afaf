"""One wire request out, one wire response or failure back. The only place that knows aiohttp's errors.

A transport never raises for what a network or a server can do: it returns a `Failure` that says
whether the request may have run, and so may have been billed.
"""

from __future__ import annotations

import asyncio
import io
import math
from collections.abc import Mapping
from typing import NamedTuple, Protocol

import aiohttp

from ._core.failures import Billing, Failure, Kind, unreadable
from ._sessions import SessionPool
from .config import Timeouts

# aiohttp hands smaller bodies to the socket in one piece, and warns about larger ones.
_IN_ONE_PIECE = 512 * 1024


class WireRequest(NamedTuple):
    """One HTTP request: a POST if it has a body, else a GET."""

    path: str
    """Below the base URL, as `/gpt-5.4-mini`."""
    body: bytes | None = None
    queued: bool = False
    """Whether the path is of queued inference, `/v2`, beside the base URL's `/v1`."""


class WireResponse(NamedTuple):
    """One HTTP answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


class Transport(Protocol):
    """What sends wire requests."""

    async def send(self, request: WireRequest, time_left: float) -> WireResponse | Failure:
        """Send once and wait for the answer, *time_left* seconds at most (inf: no bound).

        If cancelled, the request may have gone out all the same.
        """
        ...

    async def aclose(self) -> None:
        """Let go of every connection."""
        ...


class AiohttpTransport:
    """Sends over the running loop's aiohttp session."""

    def __init__(self, base_url: str, sessions: SessionPool, timeouts: Timeouts, max_bytes: int) -> None:
        self._base_url = base_url
        self._queued_url = base_url.removesuffix("/v1") + "/v2"
        self._sessions = sessions
        self._attempt = math.inf if timeouts.attempt is None else timeouts.attempt
        self._idle = timeouts.idle
        self._connect = timeouts.connect
        self._max_bytes = max_bytes
        self._whole = self._timeout(self._attempt)

    def __repr__(self) -> str:
        return f"AiohttpTransport({self._base_url!r}, {self._sessions!r})"

    async def send(self, request: WireRequest, time_left: float) -> WireResponse | Failure:
        """Send once over a pooled connection. Redirects are not followed: they would carry the key along."""
        session = await self._sessions.session()
        timeout = self._whole if time_left >= self._attempt else self._timeout(time_left)
        body = request.body
        try:
            response = await session.request(
                "GET" if body is None else "POST",
                (self._queued_url if request.queued else self._base_url) + request.path,
                data=body if body is None or len(body) <= _IN_ONE_PIECE else io.BytesIO(body),
                allow_redirects=False,
                timeout=timeout,
            )
        except (aiohttp.ClientError, OSError) as error:
            return _failure(error)
        return await self._read(response)

    async def aclose(self) -> None:
        """Close the running loop's session."""
        await self._sessions.aclose()

    def _timeout(self, total: float) -> aiohttp.ClientTimeout:
        # aiohttp rounds longer timeouts up to whole seconds; a deadline here means what it says.
        return aiohttp.ClientTimeout(
            total=None if total == math.inf else total, connect=self._connect, ceil_threshold=math.inf
        )

    async def _read(self, response: aiohttp.ClientResponse) -> WireResponse | Failure:
        headers = {name.lower(): value for name, value in response.headers.items()}
        chunks: list[bytes] = []
        try:
            whole = await self._read_into(chunks, response)
        except (aiohttp.ClientError, OSError) as error:
            if response.status == 200:
                return _failure(error)
            # The status alone says that nothing was billed; what came of the body is a bonus.
            whole = True
        finally:
            if response.content.at_eof():
                response.release()
            else:
                # Cancelled, too long or broken: what is left of the body must not meet the next request.
                response.close()
        body = b"".join(chunks)
        if not whole and response.status == 200:
            return unreadable(
                f"the body is longer than {self._max_bytes} bytes", headers, body, Kind.TOO_LARGE
            )
        return WireResponse(response.status, headers, body)

    async def _read_into(self, chunks: list[bytes], response: aiohttp.ClientResponse) -> bool:
        """Append what comes; False as soon as it is more than allowed."""
        content, left = response.content, self._max_bytes
        while not content.at_eof():
            if content.is_eof():
                chunk = content.read_nowait(-1)
            else:
                async with asyncio.timeout(self._idle):
                    chunk = await content.readany()
            chunks.append(chunk)
            left -= len(chunk)
            if left < 0:
                return False
        return True


def _failure(error: aiohttp.ClientError | OSError) -> Failure:
    """Say what an error of aiohttp's means for the request.

    Only errors of the connector prove that nothing was sent: a connection lost later may have carried
    the request to a server that runs it to its end.
    """
    kind, billing, what = _meaning(error)
    if isinstance(error, aiohttp.ClientResponseError):
        # Its text and repr hold the request's headers, and so the key.
        return Failure(kind, f"{what}: {error.message}", billing)
    return Failure(kind, f"{what}: {error}" if str(error) else what, billing, cause=_without_frames(error))


def _meaning(error: Exception) -> tuple[Kind, Billing, str]:
    for types, kind, billing, what in _MEANINGS:
        if isinstance(error, types):
            return kind, billing, what
    raise AssertionError(f"no meaning for {type(error).__name__}")


# From the special to the general: the first that fits counts.
_MEANINGS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], Kind, Billing, str], ...] = (
    (aiohttp.ConnectionTimeoutError, Kind.TIMED_OUT, Billing.NOT_SENT, "no connection in time"),
    (
        (aiohttp.ClientConnectorCertificateError, aiohttp.ServerFingerprintMismatch),
        Kind.CERTIFICATE,
        Billing.NOT_SENT,
        "the server's certificate is not trusted",
    ),
    (
        (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError),
        Kind.UNREACHABLE,
        Billing.NOT_SENT,
        "no connection",
    ),
    (TimeoutError, Kind.TIMED_OUT, Billing.IN_DOUBT, "no answer in time"),
    (aiohttp.ClientResponseError, Kind.UNREADABLE, Billing.IN_DOUBT, "the answer is no HTTP"),
    (aiohttp.ClientPayloadError, Kind.DISCONNECTED, Billing.IN_DOUBT, "the answer was cut or damaged"),
    ((aiohttp.ClientError, OSError), Kind.DISCONNECTED, Billing.IN_DOUBT, "the connection was lost"),
)


def _without_frames(error: BaseException) -> BaseException:
    """Cut the tracebacks of a chain: their frames hold the request's headers, and so the key."""
    link: BaseException | None = error
    seen: set[int] = set()
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return error
