"""`serve`: opens a client and a gateway over it, until a signal."""

from __future__ import annotations

import signal

import anyio

from ...gateway import Gateway, GatewayOptions
from ..client_options import ClientOptions, open_client
from ..console import say
from ..exit_codes import Exit


async def run(client_options: ClientOptions, options: GatewayOptions) -> Exit:
    """Serve until SIGINT or SIGTERM; then calls in flight may end. A second signal cancels them."""
    stopping = anyio.Event()
    async with open_client(client_options) as client, anyio.create_task_group() as tasks:
        async with Gateway(client, options) as gateway:
            await tasks.start(_handle_signals, stopping, tasks.cancel_scope)
            needs = "with a token" if options.needs_token else "without a token, on this machine only"
            say(f"serving {gateway.url} {needs}; Ctrl-C stops")
            await stopping.wait()
            say(f"stopping: calls in flight have {options.grace:g} s; Ctrl-C again cancels them")
        tasks.cancel_scope.cancel()
    return Exit.OK


async def _handle_signals(
    stopping: anyio.Event, serving: anyio.CancelScope, *, task_status: anyio.abc.TaskStatus[None]
) -> None:
    """Set *stopping* at the first signal, and cancel what still runs at the second."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        await anext(signals)
        stopping.set()
        await anext(signals)
        serving.cancel()
