"""One trace through a gateway, as OpenTelemetry's SDK receives it."""

from __future__ import annotations

from typing import Any

import pytest

from segmind_async import SegmindClient
from segmind_async.testing import ScriptedTransport, answer
from tests.gateway.support import asked, world
from tests.support import KEY
from tests.telemetry.test_otel import Collector

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize("transport", ["public", "direct"])
async def test_a_call_of_our_client_is_the_parent_of_the_gateways(transport: Any) -> None:
    inside, outside = Collector(), Collector()
    async with (
        world(client={"hooks": [inside.hooks]}) as w,
        SegmindClient("any-key", w.gateway.url, transport=transport, hooks=[outside.hooks]) as worker,
    ):
        await worker.balance()
        await worker.chat("one")
        await worker.chat("two")
    assert len(inside.spans) == 2
    for here, there in zip(inside.spans, outside.spans, strict=True):
        assert here.parent is not None
        assert here.parent.span_id == there.context.span_id
        assert here.context.trace_id == there.context.trace_id


@pytest.mark.parametrize(
    ("header", "parent"),
    [
        (f"00-{TRACE}-{SPAN}-01", (int(TRACE, 16), int(SPAN, 16))),
        ("garbage", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("path", ["/chat/completions", "/gpt-5.4-mini"])
async def test_the_trace_of_any_caller_is_continued(path: str, header: str, parent: Any) -> None:
    collector = Collector()
    async with world(client={"hooks": [collector.hooks]}) as w:
        response = await w.post(path, asked(), headers={"traceparent": header})
        assert response.status == 200
        # The next one is none of its.
        await w.post(path, asked())
    first, second = collector.spans
    found = None if first.parent is None else (first.parent.trace_id, first.parent.span_id)
    assert (found, second.parent) == (parent, None)


async def test_the_service_is_not_told_of_traces() -> None:
    collector, transport = Collector(), ScriptedTransport([answer("hi")])
    async with SegmindClient(KEY, transport=transport, hooks=[collector.hooks]) as client:
        await client.chat("hello")
    assert len(collector.spans) == 1
    assert [request.headers for request in transport.requests] == [()]
