"""`serve`: opens a client and a gateway over it, until a signal."""

from __future__ import annotations

import signal

import anyio

from ..._process.stop_signals import on_stop_signals
from ...client import SegmindClient
from ...gateway import Gateway, GatewayOptions
from ..client_options import ClientOptions, open_client
from ..console import say
from ..exit_codes import Exit


async def run(client_options: ClientOptions, options: GatewayOptions) -> Exit:
    """Serve until SIGINT, SIGTERM or SIGHUP; then calls in flight may end. A second signal cancels them."""
    stopping, serving = anyio.Event(), anyio.CancelScope()

    def on_signal(number: signal.Signals) -> None:
        if not stopping.is_set():
            stopping.set()
        elif number.name != "SIGHUP":  # one closed terminal sends many
            serving.cancel()

    async with open_client(client_options) as client:
        with on_stop_signals(on_signal), serving:
            await _serve(client, options, stopping)
    return Exit.OK


async def _serve(client: SegmindClient, options: GatewayOptions, stopping: anyio.Event) -> None:
    async with Gateway(client, options) as gateway:
        needs = "with a token" if options.needs_token else "without a token, on this machine only"
        say(f"serving {gateway.url} {needs}; Ctrl-C stops")
        await stopping.wait()
        say(f"stopping: calls in flight have {options.grace:g} s; Ctrl-C again cancels them")
