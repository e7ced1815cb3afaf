"""The routes of the live page: the page itself, and the stream of its figures."""

from __future__ import annotations

import re
import time
from base64 import b64encode
from collections.abc import Mapping
from decimal import Decimal
from hashlib import sha256
from importlib.resources import files

import anyio
from aiohttp import web

from ...client import SegmindClient
from .._budgets.budgets import Budgets
from .._errors import GatewayError
from .._load import Load
from .._openai.event_stream import HEADERS, event
from .feed import Feed, FeedFull
from .history import History
from .recent_errors import RecentErrors
from .snapshot import Moment, snapshot

MOST_VIEWERS = 32
"""Streams that are open at once."""

_STALLED = 30.0
"""Seconds after which a viewer that takes nothing is given up."""

_STOPPING = b"event: stopping\ndata: {}\n\n"

_HTML = files("segmind_async.gateway._page").joinpath("page.html").read_text(encoding="utf-8")


def _hashes(tag: str) -> str:
    """Return the sources of a content security policy that allow the page's own elements, and no others."""
    texts = re.findall(f"<{tag}>(.*?)</{tag}>", _HTML, re.DOTALL)
    return " ".join(f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'" for text in texts)


_PAGE_HEADERS: Mapping[str, str] = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": "; ".join(
        (
            "default-src 'none'",
            f"script-src {_hashes('script')}",
            f"style-src {_hashes('style')}",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        )
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class LivePage:
    """What a gateway shows of itself. It is told of the calls that end and the errors that are answered."""

    def __init__(self, client: SegmindClient, budgets: Budgets, load: Load) -> None:
        self._client = client
        self._budgets = budgets
        self._load = load
        self._history = History(anyio.current_time())
        self._errors = RecentErrors()
        self._feed = Feed(self._moment, MOST_VIEWERS)

    @property
    def viewers(self) -> int:
        """How many streams are open."""
        return self._feed.readers

    def ended(self, cost: Decimal | None, *, failed: bool) -> None:
        """Count a call that has ended, and what it has cost."""
        self._history.add(anyio.current_time(), cost, failed=failed)

    def refused(self, request: web.Request, problem: GatewayError, budget: str | None) -> None:
        """Note an error that a caller, of a *budget* or of none, is told."""
        self._errors.add(problem, f"{request.method} {request.path}", budget, _epoch())

    def turned_away(self, problem: GatewayError) -> None:
        """Note an error that a caller without access is told."""
        self._errors.add_stranger(problem, _epoch())

    def close(self) -> None:
        """End all streams, so that they do not hold up the end of the gateway."""
        self._feed.close()

    async def show(self, _request: web.Request) -> web.Response:
        """Answer with the page. It holds no figures, and is for everybody: they come over the stream."""
        return web.Response(text=_HTML, headers=_PAGE_HEADERS)

    async def stream(
        self, request: web.Request, audience: str | None, headers: Mapping[str, str]
    ) -> web.StreamResponse:
        """Answer with one snapshot a second, for a budget or for all, until one of both sides ends.

        Raises GatewayError if there are too many viewers, or if the page of another site asks.
        """
        if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin"):
            raise GatewayError(403, "the page of another site may not look", "permission_error")
        try:
            with self._feed.joined():
                response = web.StreamResponse(headers={**headers, **HEADERS})
                await response.prepare(request)
                await self._send_all(response, audience)
                return response
        except FeedFull:
            message = f"{MOST_VIEWERS} viewers look at this gateway already"
            raise GatewayError(503, message, "api_error", "too_many_viewers", retry_after=10) from None

    async def _send_all(self, response: web.StreamResponse, audience: str | None) -> None:
        """Send what is new, a viewer that is slow only what is the latest."""
        seen = 0
        try:
            while (found := await self._feed.newer(seen)) is not None:
                seen, moment = found
                with anyio.fail_after(_STALLED):
                    await response.write(event(snapshot(moment, audience)))
            await response.write(_STOPPING)
        except (ConnectionResetError, TimeoutError):
            pass

    def _moment(self) -> Moment:
        now = anyio.current_time()
        return Moment(
            _epoch(),
            self._history.uptime(now),
            self._history.minutes(now),
            self._history.cost_per_hour(now),
            self._client.statistics(),
            self._budgets.states(self._load.calls),
            self._errors.latest(),
        )


def _epoch() -> float:
    return time.time()  # noqa: TID251  # people read it
