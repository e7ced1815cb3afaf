"""What a transport holds open in each running loop, and when it closes. Requests are made elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from typing import Generic, Protocol, TypeVar
from weakref import WeakKeyDictionary

import aiohttp

from ..errors import ClientClosedError
from .connections import Connector, Request, Response


class _Closable(Protocol):
    async def close(self) -> None: ...


S = TypeVar("S", bound=_Closable)


class PerLoop(Generic[S]):
    """One session, or what stands for it, for each running loop, opened on first use.

    A session ends with `aclose()` or with its loop, whichever comes first, so that a client may
    outlive one `asyncio.run()` and serve the next.
    """

    def __init__(self, make: Callable[[], S]) -> None:
        self._make = make
        self._loop: asyncio.AbstractEventLoop | None = None
        self._session: S | None = None
        self._owners: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncGenerator[S, None]] = (
            WeakKeyDictionary()
        )
        self.closed = False

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"{len(self._owners)} open"
        return f"{type(self).__name__}({state})"

    def opened(self, loop: asyncio.AbstractEventLoop) -> S | None:
        """Return *loop*'s session if it is open and was the last one used."""
        return self._session if loop is self._loop else None

    async def session(self) -> S:
        """Return the running loop's session; raises ClientClosedError after `aclose()`."""
        loop = asyncio.get_running_loop()
        if loop is self._loop and self._session is not None:
            return self._session
        if self.closed:
            raise ClientClosedError("this client is closed; open a new one")
        owner = self._own()
        self._owners[loop] = owner
        # No other task can run in between: the generator reaches its yield without waiting.
        self._loop, self._session = loop, await anext(owner)
        return self._session

    async def aclose(self) -> None:
        """Close the running loop's session; others close with their loops. Idempotent."""
        self.closed = True
        owner = self._owners.pop(asyncio.get_running_loop(), None)
        if owner is not None:
            await owner.aclose()

    async def _own(self) -> AsyncGenerator[S, None]:
        """Hold one session open.

        An async generator, because a loop closes those when it ends (`loop.shutdown_asyncgens()`, called
        by `asyncio.run`): the only public hook for closing the sockets of a loop that ends without
        `aclose()`.
        """
        session = self._make()
        try:
            yield session
        finally:
            if self._session is session:
                self._loop = self._session = None
            await session.close()


class SessionPool(PerLoop[aiohttp.ClientSession]):
    """One `aiohttp.ClientSession` for each running loop."""

    def __init__(self, headers: Mapping[str, str], proxy: str | None = None) -> None:
        # In closures, so that neither the key nor a password is in an attribute of this object. To a proxy
        # aiohttp (3.14) sends the headers of the session, outside the tunnel: there must not be any.
        of_session, of_request = (headers, {}) if proxy is None else ({}, headers)
        super().__init__(lambda: _make_session(of_session, proxy))
        self.headers_with: Callable[[Iterable[tuple[str, str]]], Mapping[str, str] | None] = lambda more: (
            {**of_request, **dict(more)} or None
        )
        """Returns the headers of a request that has *more* of its own."""


def _make_session(headers: Mapping[str, str], proxy: str | None) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=Connector(),
        request_class=Request,
        response_class=Response,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers=headers,
        proxy=proxy,
    )
