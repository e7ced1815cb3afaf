"""The agent's loop: tools run at once, what they raise, limits, and what the conversation looks like."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
import threading
import time
from decimal import Decimal
from typing import Annotated, Any

import anyio
import pytest
from pydantic import AfterValidator, BaseModel

import segmind_async as sa
from segmind_async.emulator import Calls, Emulator, FunctionBrain, Question, ScriptBrain, faults
from segmind_async.testing import ScriptedTransport, answer
from segmind_async.transport import WireResponse

MODELS = ["gpt-5.4-mini", "claude-4-sonnet", "gemini-2.5-flash", "gemini-3-flash"]


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def shout(text: str, times: int = 1) -> str:
    """Say it loudly."""
    return " ".join([text.upper() + "!"] * times)


def results(question: Question) -> str:
    return " | ".join(question.results)


def emulated(*turns: Any, **settings: Any) -> Emulator:
    return Emulator(ScriptBrain(*turns), **{"balance": 50, **settings})


@pytest.mark.parametrize("model", MODELS)
async def test_an_agent_runs_tools_until_it_has_an_answer(model: str) -> None:
    turns = [
        Calls([("add", {"a": 1, "b": 2}), ("shout", {"text": "hi", "times": 2})], "Let me see."),
        Calls([("add", {"a": 3, "b": 4})]),
        lambda question: f"done: {results(question)}",
    ]
    async with emulated(*turns) as emulator, sa.SegmindClient(emulator.key, emulator.url) as client:
        agent = client.agent(tools=[add, shout], system="Work.", model=model, max_tokens=500)
        got = await agent.run("Add and shout.")
        assert client.statistics().spent == got.cost
        assert emulator.requests == 3
    assert (got.ended, got.turns, got.text) == ("answered", 3, got.text)
    assert got.text.startswith("done: ")
    assert "7" in got.text
    assert [(run.turn, run.name, run.result, run.failed) for run in got.tool_runs] == [
        (1, "add", "3", False),
        (1, "shout", "HI! HI!", False),
        (2, "add", "7", False),
    ]
    assert [row["role"] for row in got.messages] == [
        "system", "user", "assistant", "tool", "tool", "assistant", "tool", "assistant"
    ]  # fmt: skip


async def test_steps_come_as_they_are_made() -> None:
    turns = [Calls([("add", {"a": 1, "b": 2})]), results]
    async with (
        emulated(*turns, latency=2) as emulator,
        sa.SegmindClient(emulator.key, emulator.url) as client,
    ):
        seen = []
        async for step in client.agent(tools=[add]).steps("go"):
            seen.append((step.turn, [run.result for run in step.tool_runs], step.result and step.result.text))
            assert emulator.requests == step.turn
    assert seen == [(1, ["3"], None), (2, [], "3")]


async def test_leaving_between_two_steps_leaves_nothing_behind() -> None:
    turns = [Calls([("add", {"a": 1, "b": 2})])] * 9
    async with emulated(*turns) as emulator, sa.SegmindClient(emulator.key, emulator.url) as client:
        async for step in client.agent(tools=[add]).steps("go"):
            if step.turn == 2:
                break
        assert client.statistics().in_flight == 0
        assert emulator.requests == 2


async def test_a_conversation_can_go_on() -> None:
    brain = FunctionBrain(lambda question: f"turn {question.turn}")
    async with Emulator(brain) as emulator, sa.SegmindClient(emulator.key, emulator.url) as client:
        agent = client.agent(system="Be brief.")
        first = await agent.run("one")
        second = await agent.run([*first.messages, sa.user("two")])
    assert (first.text, second.text) == ("turn 0", "turn 1")
    assert [row["content"] for row in second.messages] == ["Be brief.", "one", "turn 0", "two", "turn 1"]


async def test_the_tools_of_one_turn_run_at_once_and_their_results_stay_in_order() -> None:
    running, most = 0, 0

    async def slow(seconds: int) -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await anyio.sleep(seconds)
        running -= 1
        return f"slept {seconds}"

    turns = [Calls([("slow", {"seconds": n}) for n in (30, 10, 20)]), results]
    async with emulated(*turns) as emulator, sa.SegmindClient(emulator.key, emulator.url) as client:
        began = anyio.current_time()
        got = await client.agent(tools=[slow]).run("go")
        assert anyio.current_time() - began == pytest.approx(30, abs=0.1)
        assert most == 3
        began = anyio.current_time()
        bounded = await client.agent(tools=[slow], max_parallel=1).run("go")
        assert anyio.current_time() - began == pytest.approx(60, abs=0.1)
    assert got.text == bounded.text == "slept 30 | slept 10 | slept 20"
    assert [run.seconds for run in got.tool_runs] == pytest.approx([30, 10, 20])


async def test_what_a_tool_raises_goes_back_to_the_model_and_its_siblings_go_on() -> None:
    def divide(a: int, b: int) -> float:
        return a / b

    async def leak(key: str) -> str:
        raise LookupError(f"no access with {key} and SG_ffffffffffffffff")

    class SilentError(Exception):
        def __str__(self) -> str:
            return ""

    def silent() -> None:
        raise SilentError

    turns = [
        Calls(
            [
                ("divide", {"a": 1, "b": 0}),
                ("divide", {"a": "x", "b": 1}),
                ("nowhere", {}),
                ("leak", {"key": "my-secret-key"}),
                ("silent", {}),
                ("divide", {"a": 1, "b": 2}),
            ]
        ),
        results,
    ]
    async with emulated(*turns, key="my-secret-key") as emulator:
        async with sa.SegmindClient(emulator.key, emulator.url) as client:
            got = await client.agent(tools=[divide, leak, silent]).run("go")
    assert [(run.failed, run.result) for run in got.tool_runs] == [
        (True, "Error: ZeroDivisionError: division by zero"),
        (True, "Error: a: Input should be a valid integer, unable to parse string as an integer, got 'x'"),
        (True, "Error: there is no tool 'nowhere'; there are divide, leak, silent"),
        (True, "Error: LookupError: no access with SG_[redacted] and SG_[redacted]"),
        (True, "Error: SilentError: "),
        (False, "0.5"),
    ]
    assert "Traceback" not in got.text
    assert "my-secret-key" not in got.text


async def test_a_result_that_is_too_long_is_truncated_with_a_note() -> None:
    def long() -> str:
        return "x" * 5000

    async with emulated(Calls([("long", {})]), results) as emulator:
        async with sa.SegmindClient(emulator.key, emulator.url) as client:
            got = await client.agent(tools=[long], max_result_chars=100).run("go")
    assert got.text == "x" * 100 + "\n[truncated: these are the first 100 of 5000 characters]"
    assert got.tool_runs[0].result == got.text


async def test_sync_tools_run_in_threads_and_may_give_something_to_await() -> None:
    threads: list[int] = []

    def blocking(n: int) -> Any:
        threads.append(threading.get_ident())

        async def later() -> int:
            return n * 2

        return later()

    async with emulated(Calls([("blocking", {"n": 4})]), results) as emulator:
        async with sa.SegmindClient(emulator.key, emulator.url) as client:
            assert (await client.agent(tools=[blocking]).run("go")).text == "8"
    assert threads != [threading.get_ident()]


async def test_too_many_turns_are_an_error_with_all_that_was_had() -> None:
    ran: list[int] = []

    def note(n: int) -> str:
        ran.append(n)
        return f"noted {n}"

    turns = [Calls([("note", {"n": n})]) for n in range(9)]
    async with emulated(*turns) as emulator, sa.SegmindClient(emulator.key, emulator.url) as client:
        with pytest.raises(sa.AgentLimitError, match=r"after 3 turns: .* max_turns=3") as caught:
            await client.agent(tools=[note], max_turns=3).run("go")
        spent = client.statistics().spent
    result = caught.value.result
    assert (result.ended, result.turns, result.cost, result.text) == ("max_turns", 3, spent, "")
    assert [run.result for run in result.tool_runs] == ["noted 0", "noted 1"]
    assert ran == [0, 1]
    assert [row["role"] for row in result.messages] == ["user", "assistant", "tool", "assistant", "tool"]
    for twin in (pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value)):
        assert twin.result == result


async def test_time_is_up_while_tools_run() -> None:
    async def slow(seconds: int) -> str:
        await anyio.sleep(seconds)
        return f"slept {seconds}"

    turns = [Calls([("slow", {"seconds": 5}), ("slow", {"seconds": 500})]), "never"]
    async with emulated(*turns) as emulator, sa.SegmindClient(emulator.key, emulator.url) as client:
        began = anyio.current_time()
        with pytest.raises(sa.AgentLimitError, match="timeout=60 s") as caught:
            await client.agent(tools=[slow], timeout=60).run("go")
        assert anyio.current_time() - began == pytest.approx(60, abs=0.1)
        assert client.statistics().spent == caught.value.result.cost
    result = caught.value.result
    assert (result.ended, result.turns) == ("timeout", 1)
    assert [run.result for run in result.tool_runs] == ["slept 5"]
    assert [row["role"] for row in result.messages] == ["user"]


async def test_time_is_up_while_the_model_thinks() -> None:
    async with emulated("late", latency=500) as emulator:
        async with sa.SegmindClient(emulator.key, emulator.url) as client:
            with pytest.raises(sa.AgentLimitError, match="timeout=60 s"):
                await client.agent(timeout=60).run("go")
            assert client.statistics().in_flight == 0


@pytest.mark.slow
async def test_a_budget_bounds_each_run() -> None:
    turns = [Calls([("add", {"a": 1, "b": 2})])] * 200
    async with emulated(*turns) as emulator, sa.SegmindClient(emulator.key, emulator.url) as client:
        agent = client.agent(tools=[add], budget=0.004, max_turns=200)
        for _ in range(2):
            with pytest.raises(sa.AgentLimitError, match="its budget is used up") as caught:
                await agent.run("go")
            assert isinstance(caught.value.__cause__, sa.BudgetExceededError)
            result = caught.value.result
            assert result.ended == "budget"
            assert result.cost is not None
            assert Decimal("0.003") < result.cost <= Decimal("0.004")
            assert len(result.tool_runs) == result.turns > 10


async def test_a_budget_around_the_agents_own_is_its_owners_to_deal_with() -> None:
    turns = [Calls([("add", {"a": 1, "b": 2})])] * 50
    async with emulated(*turns, cost="0.01") as emulator:
        async with sa.SegmindClient(emulator.key, emulator.url, limits=sa.Limits(first_cost=0.01)) as client:
            scoped = client.budget(max_credits=0.025)
            for budget in (None, 1):
                with pytest.raises(sa.BudgetExceededError):
                    await scoped.agent(tools=[add], budget=budget).run("go")


async def test_an_answer_that_was_cut_says_so() -> None:
    async with emulated("a long story " * 20) as emulator:
        async with sa.SegmindClient(emulator.key, emulator.url) as client:
            got = await client.agent(max_tokens=2).run("go")
    assert got.ended == "length"


@pytest.mark.parametrize("model", MODELS)
async def test_tools_that_never_reach_the_model_are_found_out(model: str) -> None:
    async with Emulator(ignore_tools=True, balance=50) as emulator:
        async with sa.SegmindClient(emulator.key, emulator.url) as client:
            with pytest.raises(sa.ToolsNotSupportedError, match="tools_via='schema'"):
                await client.agent(tools=[add], model=model).run("go")
            assert emulator.requests == 2
            # Without tools there is nothing to find out.
            assert (await client.agent(model=model).run("go")).text == "echo: go"


async def test_a_model_that_needed_no_tool_is_probed_once() -> None:
    async with Emulator() as emulator, sa.SegmindClient(emulator.key, emulator.url) as client:
        agent = client.agent(tools=[add])
        got = await agent.run("hello")
        assert (got.text, got.turns, emulator.requests) == ("echo: hello", 1, 2)
        assert got.cost == client.statistics().spent
        await agent.run("hello")
        await client.budget(max_credits=1).agent(tools=[add]).run("hello")
        assert emulator.requests == 4


async def test_a_model_that_has_called_a_tool_is_not_probed() -> None:
    async with emulated(Calls([("add", {"a": 1, "b": 2})]), "x") as emulator:
        async with sa.SegmindClient(emulator.key, emulator.url) as client:
            await client.agent(tools=[add]).run("go")
            assert emulator.requests == 2


async def test_what_the_service_refuses_passes_through() -> None:
    async with emulated("x") as emulator, sa.SegmindClient(emulator.key, emulator.url) as client:
        emulator.script(faults.status(401))
        with pytest.raises(sa.AuthenticationError):
            await client.agent(tools=[add]).run("go")


async def test_cancelling_ends_the_tools_and_leaves_nothing() -> None:
    ended: list[str] = []

    async def slow() -> None:
        try:
            await anyio.sleep(1000)
        finally:
            ended.append("slow")

    async with emulated(Calls([("slow", {}), ("slow", {})])) as emulator:
        async with sa.SegmindClient(emulator.key, emulator.url) as client:
            with anyio.move_on_after(50) as scope:
                await client.agent(tools=[slow]).run("go")
            assert scope.cancelled_caught
            assert ended == ["slow", "slow"]
            assert client.statistics().in_flight == 0


async def test_cancelled_anywhere_an_agent_leaves_nothing_and_the_next_one_works() -> None:
    ended: list[str] = []

    async def slow(seconds: int) -> str:
        try:
            await anyio.sleep(seconds)
        finally:
            ended.append("ended")
        return "slept"

    turns = [
        Calls([("slow", {"seconds": 3}), ("slow", {"seconds": 7})]),
        Calls([("slow", {"seconds": 2})]),
        "done",
    ]
    async with (
        emulated(*turns, latency=5) as emulator,
        sa.SegmindClient(emulator.key, emulator.url) as client,
    ):
        agent = client.agent(tools=[slow])
        for moment in range(1, 96):
            with anyio.move_on_after(moment / 4) as scope:
                await agent.run("go")
            assert scope.cancelled_caught
            assert client.statistics().in_flight == 0
        runs = len(ended)
        assert (await agent.run("go")).text == "done"
        assert (client.statistics().in_flight, len(ended)) == (0, runs + 3)


def test_cancelling_does_not_wait_for_a_thread() -> None:
    done = threading.Event()

    def blocking() -> None:
        done.wait(20)

    async def main() -> float:
        async with emulated(Calls([("blocking", {})])) as emulator:
            async with sa.SegmindClient(emulator.key, emulator.url) as client:
                began = time.monotonic()
                with pytest.raises(sa.AgentLimitError):
                    await client.agent(tools=[blocking], timeout=0.2).run("go")
                ended = time.monotonic() - began
                done.set()
                return ended

    assert anyio.run(main) < 10


async def test_runs_of_one_agent_do_not_mix() -> None:
    def brain(question: Question) -> str | Calls:
        return (
            results(question) if question.results else Calls([("add", {"a": int(question.prompt), "b": 1})])
        )

    got: dict[int, str] = {}
    async with Emulator(FunctionBrain(brain), latency=1, balance=50) as emulator:
        async with sa.SegmindClient(emulator.key, emulator.url) as client:
            agent = client.agent(tools=[add])

            async def one(n: int) -> None:
                got[n] = (await agent.run(str(n))).text

            async with anyio.create_task_group() as tasks:
                for n in range(20):
                    tasks.start_soon(one, n)
    assert got == {n: str(n + 1) for n in range(20)}


async def test_tools_carry_the_trace_and_are_logged_without_what_they_say(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen: list[str] = []

    def look(secret: str) -> str:
        seen.append(sa.current_trace())
        return secret

    async with emulated(Calls([("look", {"secret": "hush"})]), results) as emulator:
        async with sa.SegmindClient(emulator.key, emulator.url) as client:
            with caplog.at_level(logging.DEBUG, "segmind_async"), sa.trace("planner"):
                await client.agent(tools=[look]).run("go")
    assert seen == ["planner"]
    [record] = [record for record in caplog.records if record.getMessage() == "tool"]
    fields = record.__dict__
    assert (fields["tool"], fields["turn"], fields["failed"], fields["trace"]) == (
        "look",
        1,
        False,
        "planner",
    )
    assert "hush" not in str([record.__dict__ for record in caplog.records])


def as_json(*calls: tuple[str, dict[str, Any]], answer: str | None = None) -> str:
    return json.dumps({"calls": [{"tool": n, "arguments": a} for n, a in calls], "answer": answer})


@pytest.mark.parametrize("model", [*MODELS, "deepseek-chat"])
async def test_through_a_schema_agents_work_where_no_tools_arrive(model: str) -> None:
    turns = iter(
        [
            as_json(("add", {"a": 1, "b": 2}), ("shout", {"text": "hi", "times": None})),
            "I would say 3.",  # no JSON: asked again
            as_json(("shout", {"text": "so", "times": 2})),
            as_json(("add", {"a": "x", "b": 2})),  # does not fit: asked again
            as_json(answer="done"),
        ]
    )
    seen: list[Question] = []

    def brain(question: Question) -> str:
        seen.append(question)
        return next(turns)

    async with Emulator(FunctionBrain(brain), ignore_tools=True, balance=50) as emulator:
        async with sa.SegmindClient(emulator.key, emulator.url) as client:
            agent = client.agent(tools=[add, shout], model=model, tools_via="schema", system="Work.")
            got = await agent.run("Add and shout, JSON.")
            assert client.statistics().spent == got.cost
    assert [(run.turn, run.name, run.result, run.failed) for run in got.tool_runs] == [
        (1, "add", "3", False),
        (1, "shout", "HI!", False),
        (2, "shout", "SO! SO!", False),
    ]
    assert (got.turns, got.ended, got.text) == (3, "answered", "done")
    assert seen[3].prompt == 'Results:\n[{"tool":"shout","result":"SO! SO!"}]'
    assert "calls[0].add.arguments.a: Input should be a valid integer" in seen[4].prompt


async def test_through_a_schema_an_answer_that_never_fits_is_an_error() -> None:
    async with emulated("no JSON") as emulator, sa.SegmindClient(emulator.key, emulator.url) as client:
        with pytest.raises(sa.OutputValidationError):
            await client.agent(tools=[add], tools_via="schema").run("go")


async def test_through_a_schema_types_that_no_schema_can_say_cost_nothing_to_find() -> None:
    def odd(a: dict[str, Any]) -> None: ...

    odd.__annotations__["a"] = dict[str, Any]
    async with emulated("x") as emulator, sa.SegmindClient(emulator.key, emulator.url) as client:
        with pytest.raises(sa.InvalidRequestError, match="dict"):
            await client.agent(tools=[odd], tools_via="schema").run("go")
        assert emulator.requests == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"tools_via": "schema"}, "tools_via='schema' without tools"),
        ({"max_turns": 0}, "max_turns=0 must be"),
        ({"timeout": 0}, "timeout=0 must be"),
        ({"budget": -1}, "budget=-1 must be"),
        ({"max_result_chars": 0}, "max_result_chars=0 must be"),
        ({"max_parallel": 0}, "max_parallel=0 must be"),
        ({"tools_via": "magic"}, "tools_via='magic' must be one of 'native', 'schema'"),
        ({"tools": [add, add]}, "two tools are named 'add'"),
        (
            {"tools": [{"type": "function", "function": {"name": "f"}}]},
            "cannot run 'f', which is only a description",
        ),
    ],
)
def test_an_agent_that_cannot_work_is_refused_at_once(options: dict[str, Any], says: str) -> None:
    client = sa.SegmindClient("k")
    with pytest.raises(ValueError, match=says):
        client.agent(**options)


def test_an_agent_shows_its_tools() -> None:
    assert (
        repr(sa.SegmindClient("k").agent(tools=[add], model="gpt-5")) == "Agent(tools=['add'], model='gpt-5')"
    )


async def test_a_closed_client_has_no_agents() -> None:
    client = sa.SegmindClient("k")
    agent = client.agent()
    await client.aclose()
    with pytest.raises(sa.ClientClosedError):
        client.agent()
    with pytest.raises(sa.ClientClosedError):
        await agent.run("go")


async def test_a_run_continues_however_a_tool_fails() -> None:
    def paint(colour: Annotated[str, AfterValidator(lambda name: {"red": 1}[name])]) -> str:
        return colour

    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def mute() -> None:
        raise MuteError

    async def meets_cancelled() -> None:
        other = asyncio.ensure_future(asyncio.sleep(9))
        other.cancel()
        await other

    def half() -> None:
        raise ValueError("no file \udcff here")

    names: list[tuple[str, dict[str, Any]]] = [
        ("paint", {"colour": "blue"}), ("mute", {}), ("meets_cancelled", {}), ("half", {}), ("paint", {"x": 1})
    ]  # fmt: skip
    tools: list[Any] = [paint, mute, meets_cancelled, half]
    async with emulated(Calls(names), results) as emulator:
        async with sa.SegmindClient(emulator.key, emulator.url) as client:
            got = await client.agent(tools=tools).run("go")
    assert all(run.failed for run in got.tool_runs)
    assert [run.result for run in got.tool_runs][:4] == [
        "Error: KeyError: 'blue'",
        "Error: MuteError: its message cannot be read",
        "Error: CancelledError: ",
        "Error: ValueError: no file ? here",
    ]
    assert got.ended == "answered"


class Ended(BaseException):
    pass


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, Ended])
def test_a_tool_that_ends_the_program_ends_it(kind: type[BaseException]) -> None:
    async def leave() -> None:
        raise kind

    async def slow() -> None:
        await anyio.sleep(1000)

    async def main() -> None:
        async with emulated(Calls([("slow", {}), ("leave", {})])) as emulator:
            async with sa.SegmindClient(emulator.key, emulator.url) as client:
                with pytest.raises(kind):
                    await client.agent(tools=[leave, slow]).run("go")

    anyio.run(main)


async def test_a_step_after_the_deadline_sends_nothing() -> None:
    row = {"id": "c", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}
    turn = {"choices": [{"message": {"role": "assistant", "content": None, "tool_calls": [row]}}]}
    reply = WireResponse(200, {"x-cost": "0.2"}, json.dumps(turn).encode())
    script = ScriptedTransport(otherwise=lambda _: reply)
    async with sa.SegmindClient("k", transport=script) as client:
        with pytest.raises(sa.AgentLimitError, match="timeout=10 s") as caught:
            async for _ in client.agent(tools=[add], timeout=10).steps("go"):
                await anyio.sleep(20)
        assert len(script.requests) == 1
        assert caught.value.result.cost == client.statistics().spent == Decimal("0.2")


@pytest.mark.parametrize("budget", [0.1 / 3, 1 / 7, Decimal("0.0333333333333333333")])
async def test_a_budget_of_many_decimals_is_the_agents_own(budget: Decimal | float) -> None:
    replies = [answer("x", cost="0.2") for _ in range(3)]
    async with sa.SegmindClient("k", transport=ScriptedTransport(replies)) as client:
        await client.chat("what it costs")
        with pytest.raises(
            sa.AgentLimitError,
            match=r"its first call may need 0.2 credits, more than budget=0\.\d+; nothing was sent",
        ):
            await client.agent(budget=budget).run("go")


async def test_a_budget_of_the_same_size_around_the_agents_own_is_distinguished() -> None:
    async with emulated(*["x"] * 99, cost="0.01") as emulator:
        async with sa.SegmindClient(emulator.key, emulator.url, limits=sa.Limits(first_cost=0.01)) as client:
            scoped = client.budget(max_credits=0.2)
            with pytest.raises(sa.BudgetExceededError):
                while True:
                    await scoped.chat("what it costs")
            assert (await client.agent(budget=0.2).run("enough")).cost == Decimal("0.01")
            with pytest.raises(sa.BudgetExceededError):
                await scoped.agent(budget=0.2).run("go")


@pytest.mark.parametrize("around", [None, 500])
async def test_what_a_run_has_cost_counts_answers_that_were_of_no_use(around: float | None) -> None:
    script = ScriptedTransport(otherwise=lambda _: answer("no JSON", cost="0.2"), latency=0.2)
    async with sa.SegmindClient("k", transport=script) as client:
        scoped = client.budget(max_credits=around)
        with pytest.raises(sa.AgentLimitError) as caught:
            await scoped.agent(tools=[add], tools_via="schema", timeout=0.3).run("go")
    assert caught.value.result.cost == caught.value.details.cost == Decimal("0.2")


@pytest.mark.parametrize("around", [None, 20])
async def test_what_others_spend_is_no_cost_of_the_run(around: float | None) -> None:
    async with emulated(*["x"] * 9, cost="0.01") as emulator:
        async with sa.SegmindClient(emulator.key, emulator.url) as client:
            scoped = client.budget(max_credits=around)
            await scoped.chat("another's")
            for _ in range(2):
                assert (await scoped.agent().run("go")).cost == Decimal("0.01")


async def test_an_answer_is_kept_when_the_budget_cannot_pay_for_the_probe() -> None:
    script = ScriptedTransport([answer("the answer", cost="0.2")])
    async with sa.SegmindClient("k", transport=script) as client:
        got = await client.agent(tools=[add], budget=0.05).run("go")
    assert (got.text, got.ended, got.cost, len(script.requests)) == (
        "the answer", "answered", Decimal("0.2"), 1
    )  # fmt: skip


async def test_tools_that_do_not_arrive_cost_the_answer_and_the_probe() -> None:
    script = ScriptedTransport([answer("words", cost="0.2"), answer("words", cost="0.001")])
    async with sa.SegmindClient("k", transport=script) as client:
        with pytest.raises(sa.ToolsNotSupportedError) as caught:
            await client.agent(tools=[add]).run("go")
    assert caught.value.details.cost == Decimal("0.201")
    assert caught.value.body


class Sum(BaseModel):
    total: int


@pytest.mark.parametrize("model", MODELS)
async def test_the_last_answer_is_parsed(model: str) -> None:
    turns = [Calls([("add", {"a": 1, "b": 2})]), "three", '{"total": 3}']
    async with emulated(*turns) as emulator, sa.SegmindClient(emulator.key, emulator.url) as client:
        got = await client.agent(tools=[add], parse=Sum, model=model).run("Add.")
        assert client.statistics().spent == got.cost
    assert (got.parsed, got.text, got.ended) == (Sum(total=3), '{"total": 3}', "answered")
    assert [run.result for run in got.tool_runs] == ["3"]
    assert emulator.requests == 3


async def test_through_a_schema_the_last_answer_is_parsed() -> None:
    last = json.dumps({"calls": [], "answer": {"total": 3}})
    turns = [as_json(("add", {"a": 1, "b": 2})), last]
    async with emulated(*turns) as emulator, sa.SegmindClient(emulator.key, emulator.url) as client:
        got = await client.agent(tools=[add], parse=Sum, tools_via="schema").run("Add.")
    assert (got.parsed, got.text) == (Sum(total=3), '{"total":3}')


async def test_a_type_that_no_schema_describes_is_refused_before_the_run() -> None:
    async with sa.SegmindClient("SG_0", transport=ScriptedTransport()) as client:
        with pytest.raises(sa.InvalidRequestError, match="the schema at"):
            client.agent(tools=[add], parse=Any)


async def test_answers_that_fit_nothing_are_in_the_error_with_those_before() -> None:
    turns = [Calls([("add", {"a": 1, "b": 2})], "Let me see."), "three", "3!"]
    async with emulated(*turns) as emulator, sa.SegmindClient(emulator.key, emulator.url) as client:
        with pytest.raises(sa.OutputValidationError) as caught:
            await client.agent(tools=[add], parse=Sum).run("Add.")
        assert caught.value.details.cost == client.statistics().spent
    assert caught.value.answers == ("Let me see.", "three", "3!")


@pytest.mark.parametrize("status", [400, 401, 500])
async def test_an_error_of_a_later_call_holds_what_the_run_has_paid(status: int) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "add", "arguments": '{"a": 1, "b": 2}'}}
    message = {"role": "assistant", "content": "Let me see.", "tool_calls": [call]}
    first = WireResponse(200, {"x-cost": "0.25"}, json.dumps({"choices": [{"message": message}]}).encode())
    refused = WireResponse(status, {}, b'{"error": "no"}')
    transport = ScriptedTransport([first], otherwise=lambda _request: refused)
    async with sa.SegmindClient("SG_0", transport=transport) as client:
        with pytest.raises(sa.SegmindError) as caught:
            await client.agent(tools=[add]).run("Add.")
    assert caught.value.status == status
    assert (caught.value.answers, caught.value.details.cost) == (("Let me see.",), Decimal("0.25"))


async def test_a_timeout_while_asking_again_holds_the_answers() -> None:
    transport = ScriptedTransport([answer("three", cost="0.25"), answer("3!", cost="0.25")], latency=40)
    async with sa.SegmindClient("SG_0", transport=transport) as client:
        with pytest.raises(sa.AgentLimitError, match="timeout=60 s") as caught:
            await client.agent(parse=Sum, timeout=60).run("Add.")
    assert (caught.value.answers, caught.value.details.cost) == (("three",), Decimal("0.25"))
    assert caught.value.result.ended == "timeout"
