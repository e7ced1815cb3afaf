"""What several test rooms share."""

from __future__ import annotations

from collections.abc import Callable

from pydantic_core import to_json

from segmind_async import Limits, RetryPolicy, SegmindClient, Timeouts
from segmind_async._core.failures import Billing, Failure, Kind
from segmind_async._transport import WireRequest, WireResponse
from segmind_async.testing import Reply, ScriptedTransport

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
    return Failure(Kind.DISCONNECTED, "the connection was lost", Billing.IN_DOUBT)


def unreachable() -> Failure:
    return Failure(Kind.UNREACHABLE, "no connection", Billing.NOT_SENT)


def always(reply: Reply) -> Callable[[WireRequest], Reply]:
    return lambda _request: reply
