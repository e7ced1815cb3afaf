"""The transport over aiohttp, and the only module that knows aiohttp's errors."""

from __future__ import annotations

import asyncio
import io
import math

import aiohttp

from .._wire.failures import Billing, Failure, FailureKind, unreadable
from .._wire.headers import Headers
from .._wire.response_headers import REQUEST_ID
from ..config import Timeouts
from ..errors import MAX_BODY
from .base import WireRequest, WireResponse
from .connections import Connector, Copies, Response, SurplusError
from .deadlines import Deadline, Deadlines
from .session_pool import SessionPool

# aiohttp writes smaller bodies to the socket in one piece, and warns about larger ones.
_IN_ONE_PIECE = 512 * 1024

TOO_EARLY = "an answer came before the request was sent whole"
REPEATED = "the connection repeated the answer to the request before"


class AiohttpTransport:
    """Sends over the running loop's aiohttp session."""

    def __init__(self, base_url: str, sessions: SessionPool, timeouts: Timeouts, max_bytes: int) -> None:
        self._base_url = base_url
        self._queued_url = base_url.removesuffix("/v1") + "/v2"
        self._sessions = sessions
        self._deadlines = Deadlines()
        self._copies = Copies()
        self._attempt = math.inf if timeouts.attempt is None else timeouts.attempt
        self._idle = timeouts.idle
        self._max_bytes = max_bytes
        # The total is bounded by `Deadlines`, at a tenth of the cost of aiohttp's timeout. aiohttp rounds
        # timeouts above the threshold up to whole seconds; inf switches that off.
        self._timeout = aiohttp.ClientTimeout(total=None, connect=timeouts.connect, ceil_threshold=math.inf)

    def __repr__(self) -> str:
        return f"AiohttpTransport({self._base_url!r}, {self._sessions!r})"

    async def send(self, request: WireRequest, time_left: float) -> WireResponse | Failure:
        """Send once over a pooled connection. Redirects are not followed: they would leak the key."""
        # Read once: in Python 3.11 it is a system call.
        loop = asyncio.get_running_loop()
        session = self._sessions.opened(loop) or await self._sessions.session()
        deadline = self._deadlines.after(
            loop, time_left if request.patient else min(time_left, self._attempt)
        )
        body = request.body
        try:
            with deadline:
                response = await session.request(
                    "GET" if body is None else "POST",
                    (self._queued_url if request.queued else self._base_url) + request.path,
                    data=body if body is None or len(body) <= _IN_ONE_PIECE else io.BytesIO(body),
                    allow_redirects=False,
                    headers=self._sessions.headers_with(request.headers),
                    timeout=self._timeout,
                )
        except TimeoutError as error:
            if isinstance(session.connector, Connector) and session.connector.has_cancelled(error):
                return failure_of(aiohttp.ConnectionTimeoutError("the attempt ended before"))
            return failure_of(error)
        except (aiohttp.ClientError, OSError) as error:
            return failure_of(error)
        content = response.content
        if content.is_eof() and content.exception() is None:
            # Most bodies arrive together with their headers, and the connection is already released.
            if not response.closed:
                response.close()  # a 101: aiohttp leaves its connection to who asked for the other protocol
            return self._answer(response, content.read_nowait(-1))
        return await self._read(response, deadline)

    async def aclose(self) -> None:
        """Close the running loop's session."""
        self._deadlines.close()
        await self._sessions.aclose()

    async def _read(self, response: aiohttp.ClientResponse, deadline: Deadline) -> WireResponse | Failure:
        chunks: list[bytes] = []
        try:
            with deadline:
                await self._read_into(chunks, response)
        except (aiohttp.ClientError, OSError) as error:
            if may_be_billed(response.status):
                return failure_of(error)
            # The status alone shows that nothing was billed; the partial body is used for the message.
        finally:
            if response.content.at_eof():
                response.release()
            else:
                # Cancelled, too long or broken: the rest of the body must not be read by the next request.
                response.close()
        return self._answer(response, b"".join(chunks))

    async def _read_into(self, chunks: list[bytes], response: aiohttp.ClientResponse) -> None:
        """Append chunks of the body, and stop as soon as it is longer than allowed or, of a refusal, kept."""
        content, left = response.content, self._max_bytes if may_be_billed(response.status) else MAX_BODY
        while left >= 0 and not content.at_eof():
            if content.is_eof():
                chunk = content.read_nowait(-1)
            else:
                async with asyncio.timeout(self._idle):
                    chunk = await content.readany()
            chunks.append(chunk)
            left -= len(chunk)

    def _answer(self, response: aiohttp.ClientResponse, body: bytes) -> WireResponse | Failure:
        headers = Headers(response.headers)
        surplus = self._surplus(response, body)
        if surplus is not None:
            return Failure(
                FailureKind.UNREADABLE, surplus, Billing.IN_DOUBT, body=body[:MAX_BODY], headers=headers
            )
        if not may_be_billed(response.status):
            return WireResponse(response.status, headers, body[:MAX_BODY])
        if len(body) > self._max_bytes:
            reason = f"the body is longer than {self._max_bytes} bytes"
            return unreadable(reason, headers, body, FailureKind.TOO_LARGE, response.status)
        return WireResponse(response.status, headers, body)

    def _surplus(self, response: aiohttp.ClientResponse, body: bytes) -> str | None:
        """Return why it may answer another request, after closing its connection; else None."""
        if not isinstance(response, Response):
            return None
        if response.is_early and may_be_billed(response.status):
            reason = TOO_EARLY
        elif self._copies.is_one(response.protocol, response.headers.get(REQUEST_ID), body):
            reason = REPEATED
        else:
            return None
        response.end_connection()
        return reason


def may_be_billed(status: int) -> bool:
    """Return whether the service may have billed a request that it answered with this status."""
    return 200 <= status < 300


def failure_of(error: aiohttp.ClientError | OSError) -> Failure:
    """Return the failure that an error of aiohttp means for the request.

    Only errors of the connector prove that nothing was sent: a connection lost later may have carried
    the request to a server that runs it to its end.
    """
    kind, billing, what = _meaning(error)
    if isinstance(error, aiohttp.ClientResponseError):
        # Its text and repr hold the request's headers, and so the key.
        return Failure(kind, f"{what}: {error.message}", billing)
    return Failure(kind, f"{what}: {error}" if str(error) else what, billing, cause=_without_frames(error))


def _meaning(error: Exception) -> tuple[FailureKind, Billing, str]:
    for types, kind, billing, what in _MEANINGS:
        if isinstance(error, types):
            return kind, billing, what
    raise AssertionError(f"no meaning for {type(error).__name__}")


# From the special to the general: the first match counts.
_MEANINGS: tuple[tuple[type[Exception] | tuple[type[Exception], ...], FailureKind, Billing, str], ...] = (
    (aiohttp.ConnectionTimeoutError, FailureKind.TIMED_OUT, Billing.NOT_SENT, "no connection in time"),
    (
        (aiohttp.ClientConnectorCertificateError, aiohttp.ServerFingerprintMismatch),
        FailureKind.CERTIFICATE,
        Billing.NOT_SENT,
        "the server's certificate is not trusted",
    ),
    (
        (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError),
        FailureKind.UNREACHABLE,
        Billing.NOT_SENT,
        "no connection",
    ),
    (
        SurplusError,
        FailureKind.DISCONNECTED,
        Billing.NOT_SENT,
        "the connection was not used",
    ),
    (TimeoutError, FailureKind.TIMED_OUT, Billing.IN_DOUBT, "no answer in time"),
    (aiohttp.ClientResponseError, FailureKind.UNREADABLE, Billing.IN_DOUBT, "the answer is not HTTP"),
    (
        aiohttp.ClientPayloadError,
        FailureKind.DISCONNECTED,
        Billing.IN_DOUBT,
        "the answer was truncated or damaged",
    ),
    ((aiohttp.ClientError, OSError), FailureKind.DISCONNECTED, Billing.IN_DOUBT, "the connection was lost"),
)


def _without_frames(error: BaseException) -> BaseException:
    """Remove the tracebacks of a chain of errors: their frames hold the request's headers, and so the key."""
    link: BaseException | None = error
    seen: set[int] = set()
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        link.__traceback__ = None
        link = link.__cause__ or link.__context__
    return error
