"""The server: it listens, and ends gracefully."""

from __future__ import annotations

from types import TracebackType

from aiohttp import web

from ..client import SegmindClient
from ._handlers import Handlers
from ._options import GatewayOptions


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
        # A call whose caller has gone is cancelled with its handler, instead of being paid for nobody.
        self._runner = web.AppRunner(
            Handlers(client, self.options).app(),
            access_log=None,
            handler_cancellation=True,
            shutdown_timeout=self.options.grace,
        )

    def __repr__(self) -> str:
        return f"Gateway({self.url or 'not started'})"

    async def __aenter__(self) -> Gateway:
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self.options.host, self.options.port).start()
        except BaseException:
            await self._runner.cleanup()
            raise
        port = self._runner.addresses[0][1]
        host = self.options.host.strip("[]")
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{port}/v1"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, found: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
