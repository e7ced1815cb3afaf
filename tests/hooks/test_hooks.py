"""What hooks and the log are told, whose trace it carries, and that neither costs a call."""

from __future__ import annotations

import logging
import threading
from decimal import Decimal
from typing import Any

import anyio
import anyio.to_thread
import pytest
from pydantic_core import to_json

import segmind_async as sa
from segmind_async.testing import RecordingHooks, Reply, ScriptedTransport, answer
from segmind_async.transport import WireResponse
from tests.support import KEY, lost, status

_LATENCY: Any = pytest.approx(1.5)  # seconds of virtual time


class AttemptHooks(sa.Hooks):
    """Keeps what is reported of attempts, retries and balances."""

    def __init__(self, heard: list[Any]) -> None:
        self.heard = heard

    def attempt_ended(self, event: sa.AttemptEnded) -> None:
        self.heard.append(event)

    def retry_planned(self, event: sa.RetryPlanned) -> None:
        self.heard.append(event)

    def balance_seen(self, event: sa.BalanceSeen) -> None:
        self.heard.append(event)


def listening(transport: ScriptedTransport, heard: list[Any], **options: Any) -> sa.SegmindClient:
    return sa.SegmindClient(KEY, transport=transport, hooks=[AttemptHooks(heard)], **options)


async def test_attempts_retries_and_balances_are_reported_in_order() -> None:
    heard: list[Any] = []
    replies: list[Reply] = [
        status(503, "busy", retry_after="2"),
        lost(),
        answer("hi", cost="0.25", balance="4.5", headers={"x-request-id": "r-1"}),
    ]
    async with listening(
        ScriptedTransport(replies, latency=1.5), heard, retry=sa.RetryPolicy(base=0)
    ) as client:
        with sa.trace("planner"), sa.trace("a"):
            await client.chat("hello")
    assert [type(event).__name__ for event in heard] == [
        "AttemptEnded", "RetryPlanned", "AttemptEnded", "RetryPlanned", "AttemptEnded", "BalanceSeen"
    ]  # fmt: skip
    first, waits, second, again, last, balance = heard
    assert first == sa.AttemptEnded(
        "gpt-5.4-mini", 1, "unavailable", 503, _LATENCY, None, False, None, "planner/a", 1
    )
    assert (waits.attempt, waits.reason, waits.trace) == (1, "unavailable, HTTP 503", "planner/a")
    assert 2 <= waits.wait <= 2.2
    assert (second.attempt, second.outcome, second.status, second.in_doubt) == (2, "disconnected", None, True)
    assert (again.attempt, again.wait, again.reason) == (2, 0, "disconnected")
    assert last == sa.AttemptEnded(
        "gpt-5.4-mini", 3, "answered", 200, _LATENCY, Decimal("0.25"), False, "r-1", "planner/a", 1
    )
    assert balance == sa.BalanceSeen(Decimal("4.5"), False, "planner/a")


async def test_a_429_is_reported_with_the_wait_of_the_gate() -> None:
    heard: list[Any] = []
    async with listening(ScriptedTransport([status(429, retry_after="7")]), heard) as client:
        await client.chat("hello")
    [planned] = [event for event in heard if isinstance(event, sa.RetryPlanned)]
    assert planned.wait >= 7
    assert [e.outcome for e in heard if isinstance(e, sa.AttemptEnded)] == ["rate_limited", "answered"]


async def test_a_call_that_gives_up_is_reported_without_a_retry() -> None:
    heard: list[Any] = []
    async with listening(ScriptedTransport([status(400)]), heard) as client:
        with pytest.raises(sa.BadRequestError):
            await client.chat("hello")
    assert [(event.outcome, event.status) for event in heard] == [("bad_request", 400)]


async def test_a_cancelled_attempt_is_reported_as_in_doubt() -> None:
    heard: list[Any] = []
    async with listening(ScriptedTransport(latency=10), heard) as client:
        with anyio.move_on_after(4):
            await client.chat("hello")
    [event] = heard
    assert (event.outcome, event.attempt, event.seconds, event.in_doubt) == ("cancelled", 1, 4, True)


async def test_a_requested_balance_is_reported_as_such() -> None:
    heard: list[Any] = []
    async with listening(ScriptedTransport(), heard) as client:
        await client.balance()
    assert heard == [sa.BalanceSeen(Decimal(5), True, "")]


METHODS = ("call_started", "call_ended", "attempt_ended", "retry_planned", "balance_seen", "changed")


@pytest.mark.parametrize("method", METHODS)
async def test_a_hook_that_raises_costs_neither_the_call_nor_other_hooks(
    method: str, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_self: sa.Hooks, _event: object) -> None:
        raise ValueError("oops")

    hooks, others = type("Broken", (sa.Hooks,), {method: broken})(), RecordingHooks()
    transport = ScriptedTransport([status(503)])
    with caplog.at_level(logging.ERROR):
        async with sa.SegmindClient(KEY, transport=transport, hooks=[hooks, others]) as client:
            assert (await client.chat("hello")).text == "echo: hello"
            assert client.statistics().in_flight == 0
    assert {record.getMessage() for record in caplog.records} == {"hook failed"}
    assert "broken" in caplog.records[0].__dict__["hook"]
    assert "ValueError: oops" in caplog.text
    assert {type(event).__name__ for event in others.events} == {
        "CallStarted", "CallEnded", "AttemptEnded", "RetryPlanned", "BalanceSeen", "Change"
    }  # fmt: skip


async def test_a_call_is_reported_from_its_start_to_its_end() -> None:
    hooks = RecordingHooks()
    replies: list[Reply] = [status(503), answer("hi", cost="0.25", headers={"x-request-id": "r-1"})]
    transport = ScriptedTransport(replies, latency=1.5)
    retry = sa.RetryPolicy(base=0)
    async with sa.SegmindClient(KEY, transport=transport, retry=retry, hooks=[hooks]) as client:
        with sa.trace("planner"):
            await client.chat("hello")
        await client.chat("again")
    assert hooks.of(sa.CallStarted)[0] == sa.CallStarted("gpt-5.4-mini", "planner", 1)
    first, second = hooks.of(sa.CallEnded)
    assert first == sa.CallEnded(
        model="gpt-5.4-mini",
        error_type=None,
        status=200,
        usage=sa.Usage(10, 5, 15),
        cost=Decimal("0.25"),
        seconds=3.0,
        attempts=2,
        request_id="r-1",
        trace="planner",
        call_id=1,
    )
    assert (second.call_id, second.attempts, second.trace) == (2, 1, "")
    assert [event.call_id for event in hooks.of(sa.AttemptEnded)] == [1, 1, 2]
    assert [event.call_id for event in hooks.of(sa.RetryPlanned)] == [1]


async def test_a_call_that_fails_or_is_cancelled_is_reported_with_the_class_of_its_error() -> None:
    hooks = RecordingHooks()
    transport = ScriptedTransport([status(400)], latency=10)
    async with sa.SegmindClient(KEY, transport=transport, hooks=[hooks]) as client:
        with pytest.raises(sa.BadRequestError):
            await client.chat("hello")
        with anyio.move_on_after(4):
            await client.chat("hello")
    failed, cancelled = hooks.of(sa.CallEnded)
    assert (failed.error_type, failed.status, failed.attempts, failed.usage) == (
        "BadRequestError",
        400,
        1,
        None,
    )
    assert (cancelled.error_type, cancelled.status, cancelled.seconds) == ("CancelledError", None, 4)


async def test_each_request_to_correct_an_answer_is_a_call_with_its_own_cost() -> None:
    hooks = RecordingHooks()
    replies: list[Reply] = [answer("no number", cost="0.002"), answer("7", cost="0.003")]
    async with sa.SegmindClient(KEY, transport=ScriptedTransport(replies), hooks=[hooks]) as client:
        assert (await client.chat("a number", parse=int)).cost == Decimal("0.005")
    assert [(event.cost, event.attempts) for event in hooks.of(sa.CallEnded)] == [
        (Decimal("0.002"), 1),
        (Decimal("0.003"), 1),
    ]


def test_hooks_must_be_instances_of_the_base_class() -> None:
    wrong: Any = [print]
    with pytest.raises(sa.ConfigurationError, match="must hold instances of"):
        sa.SegmindClient(KEY, hooks=wrong)


async def test_derived_clients_report_to_the_same_hooks() -> None:
    heard: list[Any] = []
    async with listening(ScriptedTransport(), heard) as client, client.budget(max_credits=1) as scoped:
        await scoped.with_options(model="gpt-5").chat("hello")
        await scoped.chat_many(["a", "b"])
    assert [event.model for event in heard if isinstance(event, sa.AttemptEnded)] == [
        "gpt-5", "gpt-5.4-mini", "gpt-5.4-mini"
    ]  # fmt: skip


async def test_tasks_and_threads_inherit_the_trace_and_siblings_do_not() -> None:
    heard: list[Any] = []
    in_thread: list[str] = []

    async def subagent(client: sa.SegmindClient, name: str) -> None:
        with sa.trace(name):
            await client.chat("hello")
            await anyio.to_thread.run_sync(lambda: in_thread.append(sa.current_trace()))

    async with listening(ScriptedTransport(latency=1), heard) as client:
        with sa.trace("planner") as path:
            assert path == "planner"
            async with anyio.create_task_group() as tasks:
                for name in ("a", "b"):
                    tasks.start_soon(subagent, client, name)
        await client.chat("after")
        with sa.trace("bulk"):
            await client.chat_many(["x"])
    traces = [event.trace for event in heard if isinstance(event, sa.AttemptEnded)]
    assert traces == ["planner/a", "planner/b", "", "bulk"]
    assert sorted(in_thread) == ["planner/a", "planner/b"]
    assert sa.current_trace() == ""


async def test_records_are_constant_names_with_fields(caplog: pytest.LogCaptureFixture) -> None:
    replies = [status(503, retry_after="1"), answer("hi", cost="0.25", balance="4.5")]
    with caplog.at_level(logging.DEBUG, "segmind_async"):
        async with sa.SegmindClient(KEY, transport=ScriptedTransport(replies)) as client:
            with sa.trace("planner"):
                await client.chat("a secret prompt")
    told = [(r.levelname, r.getMessage(), r.args) for r in caplog.records if r.name == "segmind_async"]
    assert told == [
        ("DEBUG", "attempt", ()),
        ("INFO", "retry", ()),
        ("DEBUG", "attempt", ()),
        ("DEBUG", "balance", ()),
        ("DEBUG", "call", ()),
    ]
    fields = caplog.records[2].__dict__
    assert (fields["model"], fields["attempt"], fields["outcome"], fields["cost"], fields["trace"]) == (
        "gpt-5.4-mini", 2, "answered", Decimal("0.25"), "planner"
    )  # fmt: skip
    assert caplog.records[1].__dict__["reason"] == "unavailable, HTTP 503"
    assert "a secret prompt" not in str([record.__dict__ for record in caplog.records])


async def test_the_key_is_in_no_event_and_no_record(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[Any] = []
    echo = {"x-request-id": f"id of {KEY}", "x-cost": "0.1"}
    replies = [
        status(503, f"key {KEY} is busy", x_request_id=KEY),
        WireResponse(200, echo, f"<html>{KEY}".encode()),
        answer("hi", headers=echo),
    ]
    with caplog.at_level(logging.DEBUG):
        async with listening(ScriptedTransport(replies), heard, retry=sa.RetryPolicy(base=0)) as client:
            await client.chat("hello")
    assert len(heard) == 6
    assert KEY not in str(heard)
    assert KEY not in str([record.__dict__ for record in caplog.records])


async def test_without_hooks_and_log_no_event_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def made(*_: object, **__: object) -> None:
        raise AssertionError("made although nothing receives it")

    for name in ("CallStarted", "CallEnded", "AttemptEnded", "RetryPlanned", "BalanceSeen"):
        monkeypatch.setattr(f"segmind_async._sending.call.{name}", made)
    monkeypatch.setattr("segmind_async._sending.service.BalanceSeen", made)
    logging.getLogger("segmind_async").setLevel(logging.WARNING)
    try:
        async with sa.SegmindClient(KEY, transport=ScriptedTransport([status(503)])) as client:
            await client.chat("hello")
            await client.balance()
    finally:
        logging.getLogger("segmind_async").setLevel(logging.NOTSET)


def test_the_library_is_silent_by_itself(capfd: pytest.CaptureFixture[str]) -> None:
    async def run() -> None:
        async with sa.SegmindClient(KEY, transport=ScriptedTransport([status(503)])) as client:
            await client.chat("hello")

    thread = threading.Thread(target=anyio.run, args=(run,))
    thread.start()
    thread.join()
    assert capfd.readouterr() == ("", "")


async def test_the_log_has_no_texts_although_the_events_have(caplog: pytest.LogCaptureFixture) -> None:
    hooks = RecordingHooks()
    with caplog.at_level(logging.DEBUG, "segmind_async"):
        async with sa.SegmindClient(KEY, transport=ScriptedTransport(), hooks=[hooks]) as client:
            await client.chat("a secret question")
    [started], [ended] = hooks.of(sa.CallStarted), hooks.of(sa.CallEnded)
    assert started.request == sa.ChatRequest("a secret question")
    assert ended.completion is not None
    assert ended.completion.text == "echo: a secret question"
    for text in (repr(started), repr(ended), *(str(vars(record)) for record in caplog.records)):
        assert "secret" not in text
    assert any(record.getMessage() == "call" for record in caplog.records)


async def test_agents_and_tools_are_reported() -> None:
    hooks = RecordingHooks()

    def look(city: str) -> str:
        """Look."""
        return f"{city} is dark"

    function = {"name": "look", "arguments": '{"city": "Oslo"}'}
    called = {"content": None, "tool_calls": [{"id": "c1", "type": "function", "function": function}]}
    reply = WireResponse(200, {}, to_json({"choices": [{"message": called, "finish_reason": "tool_calls"}]}))
    transport = ScriptedTransport([reply, answer("Done.")])
    async with sa.SegmindClient(KEY, transport=transport, hooks=[hooks]) as client:
        await client.agent(tools=[look]).run("Look at Oslo.")
    names = [type(event).__name__ for event in hooks.events]
    assert [name for name in names if name.startswith(("Agent", "Call", "Tool"))] == [
        *("AgentStarted", "CallStarted", "CallEnded", "ToolStarted", "ToolEnded"),
        *("CallStarted", "CallEnded", "AgentEnded"),
    ]
    [tool], [ended], [run] = hooks.of(sa.ToolStarted), hooks.of(sa.ToolEnded), hooks.of(sa.AgentEnded)
    assert (tool.tool_id, tool.run_id, tool.name, tool.call_id) == (1, 1, "look", "c1")
    assert tool.arguments == '{"city": "Oslo"}'
    assert (ended.tool_id, ended.error_type, ended.result) == (1, None, "Oslo is dark")
    assert (run.run_id, run.error_type, run.turns) == (1, None, 2)
    assert [event.run_id for event in hooks.of(sa.CallStarted)] == [1, 1]


async def test_a_cancelled_tool_is_reported() -> None:
    hooks = RecordingHooks()

    async def look() -> str:
        """Look."""
        await anyio.sleep(100)
        return "never"

    function = {"name": "look", "arguments": "{}"}
    called = {"content": None, "tool_calls": [{"id": "c1", "type": "function", "function": function}]}
    reply = WireResponse(200, {}, to_json({"choices": [{"message": called, "finish_reason": "tool_calls"}]}))
    async with sa.SegmindClient(KEY, transport=ScriptedTransport([reply]), hooks=[hooks]) as client:
        with anyio.move_on_after(5):
            await client.agent(tools=[look]).run("Look.")
    [ended], [run] = hooks.of(sa.ToolEnded), hooks.of(sa.AgentEnded)
    assert (ended.error_type, ended.result, ended.seconds) == ("CancelledError", None, 5)
    assert run.error_type == "CancelledError"
