"""What the routes of files and batches ask of the gateway about who calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aiohttp import web
from pydantic_core import to_json

from ...models import JsonDict


class Callers(NamedTuple):
    """What the routes of files and batches ask of the gateway."""

    owner: Callable[[web.Request], str]
    """Returns a digest of the token of a caller."""
    budget: Callable[[web.Request], str | None]
    """Returns the name of the budget that a request counts in."""
    body: Callable[[web.Request], Awaitable[bytes]]
    """Returns the JSON that a request holds."""
    headers: Callable[[web.Request], dict[str, str]]
    """Returns the headers of an answer."""

    def json(self, request: web.Request, body: JsonDict) -> web.Response:
        """Return an answer."""
        headers = self.headers(request)
        return web.Response(body=to_json(body), headers=headers, content_type="application/json")
