"""The server: it listens, and ends gracefully."""

from __future__ import annotations

import logging
from types import TracebackType

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ..client import SegmindClient
from ._batches.storage import Storage
from ._budgets.book import BudgetBook
from ._budgets.budgets import Budgets
from ._handlers import Handlers
from ._options import GatewayOptions


class _Known(logging.Filter):
    """Leaves out requests that are no HTTP: anybody can send them, and their bytes may hold a key."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, HttpProcessingError)


def _server_log() -> logging.Logger:
    log = logging.getLogger("segmind_async.gateway.server")
    if not any(isinstance(one, _Known) for one in log.filters):
        log.addFilter(_Known())
    return log


_SHORTEST_GRACE = 0.001
"""Seconds."""


class Gateway:
    """Serves OpenAI's form of the API in front of one client; `async with Gateway(client) as gateway`.

    All callers share the client's key, ledger, slots and pace. `url` is the base URL for an OpenAI SDK. The
    client must stay open longer than the gateway. Leaving the context stops it gracefully: no new calls, and
    those in flight have `options.grace` seconds to end.
    """

    def __init__(self, client: SegmindClient, options: GatewayOptions | None = None) -> None:
        self.options: GatewayOptions = options or GatewayOptions()
        self.url: str = ""
        """Base URL, with `/v1`; empty until it listens."""
        self._client = client
        self._book: BudgetBook | None = None
        self._budgets: Budgets | None = None
        self._runner: web.AppRunner | None = None
        self._storage: Storage | None = None

    def __repr__(self) -> str:
        return f"Gateway({self.url or 'not started'})"

    async def __aenter__(self) -> Gateway:
        options = self.options
        try:
            if options.files is not None:
                options.files.mkdir(mode=0o700, parents=True, exist_ok=True)
            if options.book is not None:
                self._book = BudgetBook(options.book)
            self._budgets = budgets = Budgets(self._client, options.budgets, self._book)
            budgets.take_over()
            # A call whose caller has gone is cancelled with its handler, instead of being paid for nobody.
            handlers = Handlers(self._client, options, budgets, self._book)
            self._storage = handlers.storage
            self._runner = runner = web.AppRunner(
                handlers.app(),
                access_log=None,
                logger=_server_log(),
                handler_cancellation=True,
                # For aiohttp 0 would mean no limit.
                shutdown_timeout=max(options.grace, _SHORTEST_GRACE),
            )
            await runner.setup()
            handlers.queue.start()
            await web.TCPSite(runner, options.host, options.port).start()
            if self._book is not None:
                # Only now: if this one did not start, the next one must still know of it.
                await self._book.take_over()
            if self._storage is not None:
                await self._storage.start()
        except BaseException:
            await self._stop()
            raise
        port = runner.addresses[0][1]
        host = options.host.strip("[]")
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{port}/v1"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, found: TracebackType | None
    ) -> None:
        await self._stop()

    async def _stop(self) -> None:
        if self._budgets is not None:
            self._budgets.keep_state(last=True)
        try:
            if self._storage is not None:
                self._storage.stop(self.options.grace)
            if self._runner is not None:
                await self._runner.cleanup()
        finally:
            await self._close()

    async def _close(self) -> None:
        try:
            if self._storage is not None:
                await self._storage.aclose()
        finally:
            # After the calls: each books what it has cost when it ends.
            if self._book is not None:
                self._book.close()
