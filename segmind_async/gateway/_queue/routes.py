"""The routes that read what became of submissions, in the service's own form."""

from __future__ import annotations

from aiohttp import web

from .._errors import GatewayError
from .._files.callers import Callers
from .._segmind import form
from .runs import QueuedRuns

RESULT, STATUS = "segmind-result", "segmind-status"
"""Names of the routes, whose errors are in Segmind's own form."""


class QueueRoutes:
    """Handlers for the submissions of all callers; each sees its own, and those that no gateway has made."""

    def __init__(self, runs: QueuedRuns, callers: Callers) -> None:
        self._runs = runs
        self._callers = callers

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes."""
        router.add_get(form.RESULT_PATH, self._read, name=RESULT)
        router.add_get(f"{form.RESULT_PATH}/status", self._read, name=STATUS)

    async def _read(self, request: web.Request) -> web.Response:
        """Answer here while it runs; what came of it is the service's to tell."""
        name = request.match_info["id"]
        run = self._runs.find(name)
        if run is not None and run.owner != self._callers.owner(request):
            raise GatewayError(
                404, f"there is no request {name!r}, or it has expired", code="request_not_found"
            )
        if run is not None and run.running:
            return self._callers.json(request, form.running(name))
        got = await self._runs.read(request.path.removeprefix("/v2"), 0 if run is None else run.key)
        headers = self._callers.headers(request)
        return web.Response(
            body=got.body, status=got.status, headers=headers, content_type="application/json"
        )
