"""Spans and metrics through OpenTelemetry, by its conventions for generative AI (extra `[otel]`).

Only the API is needed here; what is done with spans and metrics is the choice of the program's SDK. Source:
OpenTelemetry's semantic conventions for generative AI, schema gen-ai/1.42.0 (2026-08). The names stand here,
since those in its Python package are deprecated.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol, TypeAlias, TypeVar

from opentelemetry import context, trace
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, TracerProvider, get_tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from pydantic_core import to_json

from .._version import __version__
from ..hooks import (
    AgentEnded,
    AgentStarted,
    CallEnded,
    CallStarted,
    Hooks,
    RetryPlanned,
    ToolEnded,
    ToolStarted,
)
from ..models import ChatCompletion, ChatRequest, Statistics
from ._prometheus import KEY_METRICS, METRICS, Metric

_W3C = TraceContextTextMapPropagator()
_SCOPE = "segmind_async"
_SCHEMA = "https://opentelemetry.io/schemas/gen-ai/1.42.0"
_PROVIDER = "segmind"
_KEY = "segmind.key"

_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
"""Boundaries of the histograms, as the conventions advise."""

_REQUEST = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "max_tokens": "gen_ai.request.max_tokens",
    "max_completion_tokens": "gen_ai.request.max_tokens",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
    "seed": "gen_ai.request.seed",
}
"""Parameters of a request that have an attribute."""

S = TypeVar("S")
Attributes: TypeAlias = dict[str, str | bool | int | float | Sequence[str]]


class HasStatistics(Protocol):
    """A client."""

    def statistics(self) -> Statistics:
        """Return a snapshot of limits and credits."""
        ...


class OpenTelemetryHooks(Hooks):
    """Makes spans and metrics of the events of one client; pass one to `SegmindClient(hooks=[…])`.

    Spans: `chat {model}`, `execute_tool {name}`, and `invoke_agent` around those of an agent's run. A tool
    runs inside of its span, so that what it does belongs to it. A call through a gateway with such hooks is
    one trace with the call that the gateway makes. Metrics: `gen_ai.client.operation.duration`,
    `gen_ai.client.token.usage`, and those of `observe`. The providers are the global ones unless given.

    Texts of prompts, answers, and of what tools receive and return are recorded only with `record_content`.
    Where the sampler drops a span, none of its attributes is made.
    """

    def __init__(
        self,
        *,
        record_content: bool = False,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        self._record_content = record_content
        self._tracer: Tracer = get_tracer(_SCOPE, __version__, tracer_provider, _SCHEMA)
        self._meter = get_meter(_SCOPE, __version__, meter_provider, _SCHEMA)
        self._duration = self._meter.create_histogram(
            "gen_ai.client.operation.duration",
            unit="s",
            description="Duration of a call, queueing and retries included.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._tokens = self._meter.create_histogram(
            "gen_ai.client.token.usage",
            unit="{token}",
            description="Tokens of prompts and answers.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )
        self._calls: dict[int, Span] = {}
        self._runs: dict[int, Span] = {}
        self._tools: dict[int, tuple[Span, object]] = {}

    def __repr__(self) -> str:
        return f"OpenTelemetryHooks(record_content={self._record_content})"

    def observe(self, client: HasStatistics) -> None:
        """Report the figures of `client.statistics()` whenever metrics are collected, as `segmind.*`.

        They are those of `prometheus_text`; those of several keys have the key's last four characters as
        `segmind.key`. The client is not kept alive by it; call it once.
        """
        found = weakref.ref(client)
        for metric in METRICS:
            self._observe(metric, found, lambda statistics: [(statistics, {})])
        for key_metric in KEY_METRICS:
            self._observe(
                key_metric, found, lambda statistics: [(key, {_KEY: key.name}) for key in statistics.keys]
            )

    def _observe(
        self,
        metric: Metric[S],
        found: weakref.ref[HasStatistics],
        sources: Callable[[Statistics], Iterable[tuple[S, Attributes]]],
    ) -> None:
        def read(_: CallbackOptions) -> Iterable[Observation]:
            client = found()
            for source, attributes in () if client is None else sources(client.statistics()):
                if (value := metric.read(source)) is not None:
                    yield Observation(float(value), attributes)

        make = (
            self._meter.create_observable_gauge
            if metric.kind == "gauge"
            else self._meter.create_observable_counter
        )
        make(metric.name, [read], unit=metric.unit, description=metric.description)

    def call_started(self, event: CallStarted) -> None:
        """Start the span of a call."""
        span = self._started(
            f"chat {event.model}", SpanKind.CLIENT, event.run_id, _context_of(event.caller_context)
        )
        self._calls[event.call_id] = span
        _W3C.inject(event.context, trace.set_span_in_context(span))
        if span.is_recording():
            request = event.request
            span.set_attributes(
                {**_operation("chat", event.model), **_traced(event.trace), **_request_attributes(request)}
            )
            if self._record_content and request is not None:
                span.set_attribute("gen_ai.input.messages", _text(_messages_in(request)))

    def retry_planned(self, event: RetryPlanned) -> None:
        """Note a retry as an event of its span."""
        span = self._calls.get(event.call_id)
        if span is not None and span.is_recording():
            span.add_event("segmind.retry", {"segmind.wait": event.wait, "segmind.reason": event.reason})

    def call_ended(self, event: CallEnded) -> None:
        """End the span of a call, and record its duration and tokens."""
        labels = _operation("chat", event.model)
        usage = event.usage
        for kind, tokens in (
            () if usage is None else (("input", usage.input_tokens), ("output", usage.output_tokens))
        ):
            if tokens is not None:
                self._tokens.record(tokens, {**labels, "gen_ai.token.type": kind})
        failed = {} if event.error_type is None else {"error.type": event.error_type}
        self._duration.record(event.seconds, {**labels, **failed})
        span = self._calls.pop(event.call_id, None)
        if span is None:
            return
        if span.is_recording():
            span.set_attributes(_ended_attributes(event))
            if self._record_content and event.completion is not None:
                span.set_attribute("gen_ai.output.messages", _text(_answer_in(event.completion)))
        _end(span, event.error_type)

    def agent_started(self, event: AgentStarted) -> None:
        """Start the span of an agent's run."""
        span = self._started("invoke_agent", SpanKind.INTERNAL, None)
        self._runs[event.run_id] = span
        if span.is_recording():
            span.set_attributes({**_operation("invoke_agent", event.model), **_traced(event.trace)})

    def agent_ended(self, event: AgentEnded) -> None:
        """End the span of an agent's run."""
        span = self._runs.pop(event.run_id, None)
        if span is not None:
            found: Attributes = {"segmind.turns": event.turns}
            if event.cost is not None:
                found["segmind.cost"] = float(event.cost)
            span.set_attributes(found)
            _end(span, event.error_type)

    def tool_started(self, event: ToolStarted) -> None:
        """Start the span of a tool, and make it the current one of the tool's task."""
        span = self._started(f"execute_tool {event.name}", SpanKind.INTERNAL, event.run_id)
        self._tools[event.tool_id] = (span, context.attach(trace.set_span_in_context(span)))
        if span.is_recording():
            found: Attributes = {
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": event.name,
                "gen_ai.tool.type": "function",
                **_traced(event.trace),
            }
            if event.call_id is not None:
                found["gen_ai.tool.call.id"] = event.call_id
            if self._record_content:
                found["gen_ai.tool.call.arguments"] = event.arguments
            span.set_attributes(found)

    def tool_ended(self, event: ToolEnded) -> None:
        """End the span of a tool."""
        span, token = self._tools.pop(event.tool_id, (None, None))
        if span is None:
            return
        context.detach(token)  # type: ignore[arg-type]  # what attach returned
        if self._record_content and event.result is not None:
            span.set_attribute("gen_ai.tool.call.result", event.result)
        _end(span, event.error_type)

    def _started(
        self, name: str, kind: SpanKind, run_id: int | None, parent: context.Context | None = None
    ) -> Span:
        """Start a span, below that of its agent's run if there is one, else below *parent*.

        Without one it is below the current span.
        """
        run = None if run_id is None else self._runs.get(run_id)
        if run is not None:
            parent = trace.set_span_in_context(run)
        return self._tracer.start_span(name, parent, kind)


def _context_of(headers: Mapping[str, str]) -> context.Context | None:
    """Return the context of a gateway's caller; None if the server has a span of the request already."""
    if not headers or trace.get_current_span().get_span_context().is_valid:
        return None
    return _W3C.extract(headers)


def _end(span: Span, error_type: str | None) -> None:
    if error_type is not None:
        span.set_attribute("error.type", error_type)
        span.set_status(Status(StatusCode.ERROR))
    span.end()


def _operation(name: str, model: str) -> Attributes:
    return {
        "gen_ai.operation.name": name,
        "gen_ai.provider.name": _PROVIDER,
        "gen_ai.request.model": model,
    }


def _traced(path: str) -> Attributes:
    return {"segmind.trace": path} if path else {}


def _request_attributes(request: ChatRequest | None) -> Attributes:
    given: Mapping[str, object] = {} if request is None else request.parameters
    found: Attributes = {
        _REQUEST[name]: value
        for name, value in given.items()
        if name in _REQUEST and isinstance(value, int | float)
    }
    stop = given.get("stop")
    if isinstance(stop, str):
        found["gen_ai.request.stop_sequences"] = [stop]
    elif isinstance(stop, list):
        found["gen_ai.request.stop_sequences"] = [str(one) for one in stop]
    return found


def _ended_attributes(event: CallEnded) -> Attributes:
    usage, completion = event.usage, event.completion
    values = {
        "gen_ai.usage.input_tokens": None if usage is None else usage.input_tokens,
        "gen_ai.usage.output_tokens": None if usage is None else usage.output_tokens,
        "gen_ai.response.id": event.request_id,
        "http.response.status_code": event.status,
        "segmind.attempts": event.attempts,
        "segmind.cost": None if event.cost is None else float(event.cost),
    }
    found: Attributes = {name: value for name, value in values.items() if value is not None}
    if completion is not None and completion.finish_reason is not None:
        found["gen_ai.response.finish_reasons"] = [completion.finish_reason]
    return found


def _messages_in(request: ChatRequest) -> list[object]:
    """Return the messages in the form of the conventions: a role and its parts, files without their bytes."""
    given = request.messages
    rows = [{"role": "user", "content": given}] if isinstance(given, str) else given
    return [{"role": row.get("role"), "parts": _parts_of(row.get("content"))} for row in rows]


def _parts_of(content: object) -> list[object]:
    if isinstance(content, str):
        return [_text_part(content)]
    parts = content if isinstance(content, Sequence) else ()
    return [
        _text_part(part["text"]) if isinstance(part.get("text"), str) else {"type": str(part.get("type"))}
        for part in parts
        if isinstance(part, Mapping)
    ]


def _answer_in(completion: ChatCompletion[object]) -> list[object]:
    calls = [
        {"type": "tool_call", "id": call.id, "name": call.name, "arguments": call.arguments}
        for call in completion.tool_calls
    ]
    text = [_text_part(completion.text)] if completion.text else []
    return [{"role": "assistant", "parts": [*text, *calls], "finish_reason": completion.finish_reason}]


def _text_part(text: object) -> dict[str, object]:
    return {"type": "text", "content": text}


def _text(value: object) -> str:
    return to_json(value, fallback=str).decode()
