"""The routes of `/v1/files`."""

from __future__ import annotations

import anyio
import anyio.to_thread
from aiohttp import web

from .._errors import GatewayError, invalid
from .callers import Callers
from .listing import page_of
from .store import FileStore
from .upload import received

_CHUNK = 256 * 1024
"""Bytes of a content that are in memory."""

_MOST_LISTED = 10_000


class FileRoutes:
    """Handlers for the files of all callers; each sees its own only."""

    def __init__(self, store: FileStore, callers: Callers, body_timeout: float) -> None:
        self._store = store
        self._callers = callers
        self._body_timeout = body_timeout

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes."""
        router.add_post("/v1/files", self._create)
        router.add_get("/v1/files", self._list)
        router.add_get("/v1/files/{id}", self._show)
        router.add_delete("/v1/files/{id}", self._delete)
        router.add_get("/v1/files/{id}/content", self._content)

    async def _create(self, request: web.Request) -> web.Response:
        owner = self._callers.owner(request)
        file = await received(request, self._store, owner, self._body_timeout)
        return self._callers.json(request, file.body())

    async def _list(self, request: web.Request) -> web.Response:
        query = request.query
        found = self._store.of(self._callers.owner(request))
        if "purpose" in query:
            found = [one for one in found if one.purpose == query["purpose"]]
        order = query.get("order", "desc")
        if order not in ("asc", "desc"):
            raise invalid("'order' must be 'asc' or 'desc'", "order")
        ordered = found if order == "desc" else found[::-1]
        return self._callers.json(request, page_of(ordered, query, limit=_MOST_LISTED, most=_MOST_LISTED))

    async def _show(self, request: web.Request) -> web.Response:
        file = self._store.get(self._callers.owner(request), request.match_info["id"])
        return self._callers.json(request, file.body())

    async def _delete(self, request: web.Request) -> web.Response:
        file = self._store.get(self._callers.owner(request), request.match_info["id"])
        user = self._store.user_of(file.id)
        if user is not None:
            message = f"{user} has not ended and needs the file: cancel it first"
            raise GatewayError(409, message, param="id", code="file_in_use")
        await self._store.remove(file)
        return self._callers.json(request, {"id": file.id, "object": "file", "deleted": True})

    async def _content(self, request: web.Request) -> web.StreamResponse:
        file = self._store.get(self._callers.owner(request), request.match_info["id"])
        content = await anyio.to_thread.run_sync(self._store.open, file)
        with content:
            response = web.StreamResponse(headers=self._callers.headers(request))
            response.content_type = "application/jsonl"
            response.content_length = file.size
            await response.prepare(request)
            while chunk := await anyio.to_thread.run_sync(content.read, _CHUNK):
                await response.write(chunk)
        return response
