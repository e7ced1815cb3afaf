"""Spans and metrics as OpenTelemetry's SDK receives them."""

from __future__ import annotations

import gc
import json
from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode

import segmind_async as sa
from segmind_async.telemetry import METRICS
from segmind_async.telemetry._prometheus import KEY_METRICS
from segmind_async.telemetry.otel import OpenTelemetryHooks
from segmind_async.testing import Reply, ScriptedTransport, answer
from segmind_async.transport import WireResponse
from tests.support import KEY, status


class Collector:
    """An SDK that keeps what it receives, and hooks that report to it."""

    def __init__(self, *, record_content: bool = False, sampler: Any = None) -> None:
        self._spans = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider(sampler=sampler)
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meters = MeterProvider([self._reader])
        self.hooks = OpenTelemetryHooks(
            record_content=record_content, tracer_provider=self.tracers, meter_provider=self.meters
        )

    def client(self, replies: Sequence[Reply] = (), **options: Any) -> sa.SegmindClient:
        return sa.SegmindClient(KEY, transport=ScriptedTransport(replies), hooks=[self.hooks], **options)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._spans.get_finished_spans())

    def points(self) -> dict[str, list[Any]]:
        data = self._reader.get_metrics_data()
        found = (
            []
            if data is None
            else [m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics]
        )
        return {metric.name: list(metric.data.data_points) for metric in found}


def call(name: str, arguments: dict[str, Any], key: str = "c1") -> Reply:
    function = {"name": name, "arguments": json.dumps(arguments)}
    message = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": key, "type": "function", "function": function}],
    }
    body = {"choices": [{"message": message, "finish_reason": "tool_calls"}], "usage": {}}
    return WireResponse(200, {"x-cost": "0.001"}, json.dumps(body).encode())


async def test_a_call_is_a_span_of_the_conventions() -> None:
    collector = Collector()
    replies = [status(503, "busy"), answer("hi", cost="0.25", headers={"x-request-id": "r-1"})]
    async with collector.client(replies, retry=sa.RetryPolicy(base=0)) as client:
        with sa.trace("planner"):
            await client.chat(
                "a secret question", temperature=0.5, max_tokens=9, stop="END", seed="no number"
            )
    [span] = collector.spans
    assert (span.name, span.kind, span.status.status_code) == (
        "chat gpt-5.4-mini", trace.SpanKind.CLIENT, StatusCode.UNSET
    )  # fmt: skip
    attributes = dict(span.attributes or {})
    tokens = {attributes.pop("gen_ai.usage.input_tokens"), attributes.pop("gen_ai.usage.output_tokens")}
    assert all(isinstance(one, int) for one in tokens)
    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "segmind",
        "gen_ai.request.model": "gpt-5.4-mini",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.stop_sequences": ("END",),
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.response.id": "r-1",
        "http.response.status_code": 200,
        "segmind.attempts": 2,
        "segmind.cost": 0.25,
        "segmind.trace": "planner",
    }
    [retry] = span.events
    assert retry.name == "segmind.retry"
    assert dict(retry.attributes or {})["segmind.reason"] == "unavailable, HTTP 503"
    assert KEY not in span.to_json()
    assert "secret" not in span.to_json()


async def test_duration_and_tokens_are_histograms() -> None:
    collector = Collector()
    async with collector.client([status(400)]) as client:
        with pytest.raises(sa.BadRequestError):
            await client.chat("bad")
        await client.chat("good")
    points = collector.points()
    durations = {
        point.attributes.get("error.type"): point for point in points["gen_ai.client.operation.duration"]
    }
    assert {error: point.count for error, point in durations.items()} == {None: 1, "BadRequestError": 1}
    assert durations[None].explicit_bounds[:2] == (0.01, 0.02)
    tokens = {point.attributes["gen_ai.token.type"]: point for point in points["gen_ai.client.token.usage"]}
    assert set(tokens) == {"input", "output"}
    assert tokens["input"].attributes["gen_ai.request.model"] == "gpt-5.4-mini"


async def test_errors_and_cancelled_calls_are_failed_spans() -> None:
    collector = Collector()
    async with collector.client([status(401)]) as client:
        with pytest.raises(sa.AuthenticationError):
            await client.chat("x")
    transport = ScriptedTransport(latency=10)
    async with sa.SegmindClient(KEY, transport=transport, hooks=[collector.hooks]) as client:
        with anyio.move_on_after(1):
            await client.chat("x")
    failed, cancelled = collector.spans
    assert (failed.attributes or {})["error.type"] == "AuthenticationError"
    assert failed.status.status_code is StatusCode.ERROR
    assert (cancelled.attributes or {})["error.type"] == "CancelledError"


async def test_texts_are_recorded_only_if_asked_for() -> None:
    collector = Collector(record_content=True)
    picture = sa.image("https://example.com/a.png")
    async with collector.client([answer("An answer.")]) as client:
        await client.chat([sa.system("Be brief."), sa.user("A question.", picture)])
        await client.chat("Short.", stop=["A", "B"])
    first, second = (dict(span.attributes or {}) for span in collector.spans)
    assert json.loads(str(first["gen_ai.input.messages"])) == [
        {"role": "system", "parts": [{"type": "text", "content": "Be brief."}]},
        {"role": "user", "parts": [{"type": "text", "content": "A question."}, {"type": "image_url"}]},
    ]
    assert json.loads(str(first["gen_ai.output.messages"])) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "An answer."}], "finish_reason": "stop"}
    ]
    assert "Short." in str(second["gen_ai.input.messages"])
    assert second["gen_ai.request.stop_sequences"] == ("A", "B")


async def test_an_agents_calls_and_tools_are_inside_of_its_run() -> None:
    collector = Collector()
    inside: list[str] = []

    async def look(city: str) -> str:
        """Look."""
        inside.append(trace.get_current_span().name)  # type: ignore[attr-defined]  # the SDK's
        return (await client.chat(f"What is in {city}?")).text

    async with collector.client(
        [call("look", {"city": "Oslo"}), answer("A fjord."), answer("Done.")]
    ) as client:
        with collector.tracers.get_tracer("mine").start_as_current_span("request"):
            assert (await client.agent(tools=[look]).run("Look at Oslo.")).text == "Done."
            assert trace.get_current_span().name == "request"  # type: ignore[attr-defined]
    by_id = {span.context.span_id: span.name for span in collector.spans}
    parents = [(span.name, by_id[span.parent.span_id] if span.parent else None) for span in collector.spans]
    assert parents == [
        ("chat gpt-5.4-mini", "invoke_agent"),
        ("chat gpt-5.4-mini", "execute_tool look"),
        ("execute_tool look", "invoke_agent"),
        ("chat gpt-5.4-mini", "invoke_agent"),
        ("invoke_agent", "request"),
        ("request", None),
    ]
    assert inside == ["execute_tool look"]
    tool, run = collector.spans[2], collector.spans[4]
    assert dict(tool.attributes or {}) == {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": "look",
        "gen_ai.tool.type": "function",
        "gen_ai.tool.call.id": "c1",
    }
    assert (run.attributes or {})["segmind.turns"] == 2
    assert (run.attributes or {})["gen_ai.request.model"] == "gpt-5.4-mini"


async def test_a_tool_that_raises_is_a_failed_span_and_its_texts_are_kept_if_asked_for() -> None:
    collector = Collector(record_content=True)

    def look(city: str) -> str:
        """Look."""
        raise ValueError(f"{city} is hidden")

    async with collector.client([call("look", {"city": "Oslo"}), answer("Done.")]) as client:
        await client.agent(tools=[look]).run("Look at Oslo.")
    [tool] = [span for span in collector.spans if span.name == "execute_tool look"]
    attributes = dict(tool.attributes or {})
    assert attributes["error.type"] == "tool_error"
    assert attributes["gen_ai.tool.call.arguments"] == '{"city": "Oslo"}'
    assert attributes["gen_ai.tool.call.result"] == "Error: ValueError: Oslo is hidden"
    [first, *_] = collector.spans
    [message] = json.loads(str((first.attributes or {})["gen_ai.output.messages"]))
    assert message["parts"][0] == {
        "type": "tool_call", "id": "c1", "name": "look", "arguments": '{"city": "Oslo"}'
    }  # fmt: skip


async def test_a_run_that_fails_or_is_left_ends_its_span() -> None:
    collector = Collector()

    def look() -> str:
        """Look."""
        return "dark"

    async with collector.client([call("look", {}), call("look", {})]) as client:
        with pytest.raises(sa.AgentLimitError):
            await client.agent(tools=[look], max_turns=1).run("Look.")
        steps = client.agent(tools=[look]).steps("Look.")
        await anext(steps)
        await steps.aclose()  # type: ignore[attr-defined]  # it is a generator
    failed, left = [span for span in collector.spans if span.name == "invoke_agent"]
    assert (failed.attributes or {})["error.type"] == "AgentLimitError"
    assert "error.type" not in (left.attributes or {})


async def test_the_figures_of_a_client_are_observed() -> None:
    collector = Collector()
    async with collector.client([answer("hi", cost="0.25", balance="4")]) as client:
        collector.hooks.observe(client)
        await client.chat("x")
        points = collector.points()
        assert points["segmind.balance"][0].value == 4
        assert points["segmind.cost"][0].value == 0.25
        assert points["segmind.limit"][0].value == 64
        assert {name for name in points if name.startswith("segmind.")} == {
            metric.name for metric in METRICS if metric.read(client.statistics()) is not None
        }


async def test_the_figures_of_each_of_several_keys_are_observed() -> None:
    collector = Collector()
    keys = ["SG_0123456789abcdef", "SG_fedcba9876543210"]
    transport = ScriptedTransport([answer("hi", cost="0.25", balance="4")])
    async with sa.SegmindClient(api_keys=keys, transport=transport) as client:
        collector.hooks.observe(client)
        await client.chat("x")
        points = collector.points()
    assert {name for name in points if name.startswith("segmind.key.")} == {one.name for one in KEY_METRICS}
    costs = {(point.attributes or {})["segmind.key"]: point.value for point in points["segmind.key.cost"]}
    assert costs == {"…cdef": 0.25, "…3210": 0}
    assert len(points["segmind.key.balance"]) == 1, "the balance of the other one is not known"


async def test_observing_keeps_no_client_alive() -> None:
    collector = Collector()
    client = collector.client()
    collector.hooks.observe(client)
    await client.aclose()
    del client
    gc.collect()
    assert not [name for name in collector.points() if name.startswith("segmind.")]


async def test_a_span_that_is_not_sampled_costs_no_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    collector = Collector(record_content=True, sampler=ALWAYS_OFF)

    def refuse(*_: Any) -> Any:
        raise AssertionError("attributes were made")

    for name in ("_request_attributes", "_messages_in", "_ended_attributes", "_answer_in"):
        monkeypatch.setattr(f"segmind_async.telemetry.otel.{name}", refuse)
    async with collector.client([status(503), answer("hi")], retry=sa.RetryPolicy(base=0)) as client:
        await client.chat("x")
    assert not collector.spans
    assert collector.points()["gen_ai.client.operation.duration"][0].count == 1


async def test_events_of_calls_that_began_before_are_let_pass() -> None:
    hooks = Collector().hooks
    ended = sa.CallEnded("m", None, 200, None, None, 1.0, 1, None, "", 7)
    hooks.call_ended(ended)
    hooks.retry_planned(sa.RetryPlanned("m", 1, 0.0, "x", "", 7))
    hooks.agent_ended(sa.AgentEnded(7, None, 0, None, 0.0, ""))
    hooks.tool_ended(sa.ToolEnded(7, None, "f", None, 0.0, ""))
    assert repr(hooks) == "OpenTelemetryHooks(record_content=False)"
