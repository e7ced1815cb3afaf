"""The routes of `/v1/batches`; and those that say how to turn files and batches on."""

from __future__ import annotations

from aiohttp import web

from .._errors import GatewayError
from .._files.callers import Callers
from .._files.listing import page_of
from .._repeats import is_repeat
from .order import read_order
from .storage import Storage

_LISTED, _MOST_LISTED = 20, 100


class BatchRoutes:
    """Handlers for the batches of all callers; each sees its own only."""

    def __init__(self, storage: Storage, callers: Callers) -> None:
        self._batches = storage.batches
        self._files = storage.files
        self._runner = storage.runner
        self._callers = callers

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes."""
        router.add_post("/v1/batches", self._create)
        router.add_get("/v1/batches", self._list)
        router.add_get("/v1/batches/{id}", self._show)
        router.add_post("/v1/batches/{id}/cancel", self._cancel)

    async def _create(self, request: web.Request) -> web.Response:
        owner, budget = self._callers.owner(request), self._callers.budget(request)
        order = read_order(await self._callers.body(request))
        self._files.get(owner, order.input_file_id)
        # An SDK that got no answer sends the request again: its rows are not to be paid twice.
        batch = self._batches.repeated(owner, order) if is_repeat(request.headers) else None
        if batch is None:
            batch = await self._runner.create(owner, budget, order)
        return self._callers.json(request, self._runner.seen(batch).body())

    async def _list(self, request: web.Request) -> web.Response:
        own = self._batches.of(self._callers.owner(request))
        found = [self._runner.seen(one) for one in own]
        page = page_of(found, request.query, limit=_LISTED, most=_MOST_LISTED)
        return self._callers.json(request, page)

    async def _show(self, request: web.Request) -> web.Response:
        batch = self._batches.get(self._callers.owner(request), request.match_info["id"])
        return self._callers.json(request, self._runner.seen(batch).body())

    async def _cancel(self, request: web.Request) -> web.Response:
        batch = self._batches.get(self._callers.owner(request), request.match_info["id"])
        return self._callers.json(request, (await self._runner.cancel(batch)).body())


def refuse_all(router: web.UrlDispatcher) -> None:
    """Add routes that say how files and batches are turned on."""
    for path in ("/v1/files", "/v1/batches"):
        router.add_route("*", path, _refuse)
        router.add_route("*", path + "/{rest:.*}", _refuse)


async def _refuse(_request: web.Request) -> web.Response:
    raise GatewayError(
        404,
        "this gateway keeps no files: start it with --files DIR (GatewayOptions.files) to serve files and "
        "batches",
        code="files_not_served",
    )
