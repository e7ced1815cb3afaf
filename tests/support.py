"""What several test rooms share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from anyio.from_thread import start_blocking_portal
from pydantic_core import to_json

from segmind_async import Limits, RetryPolicy, SegmindClient, Timeouts
from segmind_async._wire.failures import Billing, Failure, FailureKind
from segmind_async.emulator import Emulator
from segmind_async.testing import Reply, ScriptedTransport
from segmind_async.transport import WireRequest, WireResponse

KEY = "SG_0123456789abcdef"


def client(
    transport: ScriptedTransport | None = None,
    *,
    limits: Limits | None = None,
    timeouts: Timeouts | None = None,
    retry: RetryPolicy | None = None,
) -> SegmindClient:
    return SegmindClient(
        KEY, limits=limits, timeouts=timeouts, retry=retry, transport=transport or ScriptedTransport()
    )


def status(code: int, text: str = "no", **headers: str) -> WireResponse:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return WireResponse(code, named, to_json({"error": text}))


def lost() -> Failure:
    return Failure(FailureKind.DISCONNECTED, "the connection was lost", Billing.IN_DOUBT)


def unreachable() -> Failure:
    return Failure(FailureKind.UNREACHABLE, "no connection", Billing.NOT_SENT)


def always(reply: Reply) -> Callable[[WireRequest], Reply]:
    return lambda _request: reply


@contextmanager
def serving(emulator: Emulator) -> Iterator[Emulator]:
    """Serve in real time from a thread, for callers that block or run in processes of their own."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(emulator):
        yield emulator
