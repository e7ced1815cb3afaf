"""Answers that must have a shape: asked for, read, asked for again, and paid."""

from __future__ import annotations

import pickle
from decimal import Decimal
from enum import Enum
from typing import Any, Literal

import anyio
import pytest
from pydantic import BaseModel, field_validator
from pydantic_core import from_json, to_json

import segmind_async as sa
from segmind_async._providers.openai import OpenAI
from segmind_async._sending.call import CallOptions
from segmind_async._sending.conversation import Conversation, Expected
from segmind_async._structured.shape import shape_of
from segmind_async.testing import Reply, ScriptedTransport, answer
from segmind_async.transport import WireRequest, WireResponse
from tests.support import client, lost, status


class Place(BaseModel):
    name: str
    people: int


class Label(Enum):
    SPAM = "spam"
    HAM = "ham"


GOOD, BAD = '{"name": "Bonn", "people": 3}', '{"name": "Bonn", "people": "many"}'


def asked(transport: ScriptedTransport, number: int = -1) -> Any:
    return from_json(transport.requests[number].body or b"{}")


def ended(text: str | None, finish_reason: str, refusal: str | None = None) -> WireResponse:
    message = {"role": "assistant", "content": text, "refusal": refusal}
    body = {"choices": [{"message": message, "finish_reason": finish_reason}]}
    return WireResponse(200, {"x-cost": "0.002", "x-request-id": "r-9"}, to_json(body))


async def test_an_answer_that_fits_comes_as_a_value() -> None:
    transport = ScriptedTransport([answer(GOOD)])
    async with client(transport) as c:
        reply = await c.chat("Where?", parse=Place, temperature=0)
    assert reply.parsed == Place(name="Bonn", people=3)
    assert (reply.text, reply.attempts, reply.cost) == (GOOD, 1, Decimal("0.001"))
    body = asked(transport)
    assert body["response_format"] == shape_of(Place).response_format(OpenAI.schema_rules)
    assert (body["temperature"], body["messages"]) == (0, [{"role": "user", "content": "Where?"}])
    assert "parse" not in body


async def test_without_a_type_nothing_is_parsed() -> None:
    transport = ScriptedTransport([answer(GOOD)])
    async with client(transport) as c:
        assert (await c.chat("Where?")).parsed is None
    assert "response_format" not in asked(transport)


@pytest.mark.parametrize("model", ["gpt-5.4-mini", "claude-4-sonnet", "gemini-2.5-flash", "qwen-plus"])
async def test_families_take_the_same_word(model: str) -> None:
    transport = ScriptedTransport([answer('{"value": "ham"}')])
    async with client(transport) as c:
        reply = await c.chat("?", parse=Label, model=model)
    assert reply.parsed is Label.HAM
    assert asked(transport)["response_format"]["type"] == "json_schema"
    assert asked(transport)["response_format"]["json_schema"]["strict"] is True


@pytest.mark.parametrize("messages", ["?", [sa.user("?")], [sa.system("be brief"), sa.user("?")]])
async def test_deepseek_gets_the_schema_in_the_prompt_and_the_word_json(messages: Any) -> None:
    transport = ScriptedTransport([answer(GOOD)])
    async with client(transport) as c:
        reply = await c.chat(messages, parse=Place, model="deepseek-chat")
    assert reply.parsed.name == "Bonn"
    body = asked(transport)
    assert body["response_format"] == {"type": "json_object"}
    *before, told = body["messages"]
    assert [row["content"] for row in before] == (["be brief", "?"] if len(messages) == 2 else ["?"])
    assert told["role"] == "system"
    assert "JSON" in told["content"]
    assert to_json(shape_of(Place).schema).decode() in told["content"]


@pytest.mark.parametrize(("own", "sent"), [(None, None), ({"type": "json_object"}, {"type": "json_object"})])
async def test_an_explicit_format_is_kept_and_the_schema_goes_into_the_prompt(own: Any, sent: Any) -> None:
    transport = ScriptedTransport([answer(GOOD)])
    async with client(transport) as c:
        reply = await c.chat("?", parse=Place, response_format=own)
    assert reply.parsed.people == 3
    assert asked(transport).get("response_format") == sent
    assert "JSON schema" in asked(transport)["messages"][-1]["content"]


async def test_messages_that_cannot_be_sent_are_refused_as_ever() -> None:
    wrong: Any = 7
    async with client() as c:
        for model in ("gpt-5.4-mini", "deepseek-chat"):
            with pytest.raises(sa.InvalidRequestError, match="messages=7 is a int"):
                await c.chat(wrong, parse=Place, model=model)
        with pytest.raises(sa.InvalidRequestError, match="messages is empty"):
            await c.chat([], parse=Place, model="deepseek-chat")
        with pytest.raises(sa.InvalidRequestError, match=r"messages\[0\]='.' is a str"):
            await c.chat(["?"], parse=Place, model="deepseek-chat")  # type: ignore[list-item]


async def test_a_type_without_a_schema_is_refused_before_anything_is_sent() -> None:
    transport = ScriptedTransport()
    async with client(transport) as c:
        with pytest.raises(sa.InvalidRequestError, match="the schema at the root: a dict of anything"):
            await c.chat("?", parse=dict[str, Any])
        with pytest.raises(sa.InvalidRequestError, match="a dict of anything"):
            c.fan_out(["?"], parse=dict[str, Any])
        with pytest.raises(sa.ConfigurationError, match="max_reasks=-1"):
            await c.chat("?", parse=Place, max_reasks=-1)
    assert not transport.requests


async def test_an_answer_that_does_not_fit_is_sent_back_with_what_is_wrong() -> None:
    transport = ScriptedTransport([answer(BAD, cost="0.25"), answer(GOOD, cost="0.5")], latency=2)
    async with client(transport) as c:
        reply = await c.chat([sa.system("be brief"), sa.user("Where?")], parse=Place)
        assert c.statistics().spent == Decimal("0.75")
    assert reply.parsed == Place(name="Bonn", people=3)
    assert (reply.attempts, reply.cost, reply.elapsed) == (2, Decimal("0.75"), 4)
    first, second = asked(transport, 0), asked(transport, 1)
    assert second["response_format"] == first["response_format"]
    assert second["messages"][:2] == first["messages"]
    assert second["messages"][2] == {"role": "assistant", "content": BAD}
    assert second["messages"][3]["role"] == "user"
    assert "people: Input should be a valid integer" in second["messages"][3]["content"]


async def test_after_the_last_time_of_asking_every_answer_is_in_the_error() -> None:
    transport = ScriptedTransport([answer(text, cost="0.25") for text in ("no", BAD, "{}", GOOD)])
    async with client(transport) as c:
        with pytest.raises(
            sa.OutputValidationError, match="does not fit after 3 answers: name: Field"
        ) as caught:
            await c.chat("Where?", parse=Place, max_reasks=2)
    error = caught.value
    assert error.answers == ("no", BAD, "{}")
    assert (error.details.cost, error.attempts, error.status) == (Decimal("0.75"), 3, 200)
    assert isinstance(error, sa.OutputError)
    assert from_json(error.body)["choices"][0]["message"]["content"] == "{}"


async def test_without_asking_again_the_first_misfit_is_the_end() -> None:
    transport = ScriptedTransport([answer(BAD)])
    async with client(transport) as c:
        with pytest.raises(sa.OutputValidationError, match="does not fit: people: Input") as caught:
            await c.chat("Where?", parse=Place, max_reasks=0)
    assert caught.value.answers == (BAD,)
    assert len(transport.requests) == 1


async def test_an_empty_answer_is_not_repeated_to_the_model() -> None:
    transport = ScriptedTransport([answer(""), answer(GOOD)])
    async with client(transport) as c:
        await c.chat("Where?", parse=Place)
    assert [row["role"] for row in asked(transport)["messages"]] == ["user", "user"]


CUT = [("gpt-5", "length"), ("claude-4-sonnet", "max_tokens"), ("gemini-2.5-pro", "MAX_TOKENS")]


@pytest.mark.parametrize(("model", "reason"), CUT)
async def test_a_truncated_answer_is_not_requested_again(model: str, reason: str) -> None:
    transport = ScriptedTransport([ended(GOOD[:-5], reason)])
    async with client(transport) as c:
        with pytest.raises(sa.OutputTruncatedError, match=f"cut off .finish_reason='{reason}'.") as caught:
            await c.chat("Where?", parse=Place, max_reasks=5, model=model)
    error = caught.value
    assert len(transport.requests) == 1
    assert (error.answers, error.details.cost) == ((GOOD[:-5],), Decimal("0.002"))
    assert (error.request_id, error.model) == ("r-9", model)


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        pytest.param(ended(None, "stop", "I will not."), "refused to answer: I will not.", id="openai"),
        pytest.param(ended("", "content_filter"), "refused to answer: content_filter", id="a-filter"),
        pytest.param(ended("No.", "refusal"), "refused to answer: No.", id="claude"),
        pytest.param(ended(None, "stop", "x" * 9999), r"refused to answer: x{500}\Z", id="at-length"),
    ],
)
async def test_a_refused_answer_is_not_requested_again(reply: Reply, says: str) -> None:
    transport = ScriptedTransport([reply])
    async with client(transport) as c:
        with pytest.raises(sa.RefusalError, match=says) as caught:
            await c.chat("Where?", parse=Place, max_reasks=5)
    assert len(transport.requests) == 1
    assert caught.value.details.cost == Decimal("0.002")


async def test_without_a_type_a_refusal_and_a_cut_are_answers_like_any_other() -> None:
    async with client(ScriptedTransport([ended("No.", "refusal"), ended("so", "length")])) as c:
        assert (await c.chat("?")).finish_reason == "refusal"
        assert (await c.chat("?")).finish_reason == "length"


async def test_asking_again_counts_against_the_same_total() -> None:
    transport = ScriptedTransport([answer(BAD)] * 9, latency=4)
    async with client(transport, timeouts=sa.Timeouts(total=10)) as c:
        with pytest.raises(sa.OutputValidationError, match="total=2 leaves no time to ask again") as caught:
            await c.chat("Where?", parse=Place, max_reasks=9)
    # 4 s of 10, then 4 s of 6; the third had 2 s, which the scripted transport does not heed.
    assert (len(transport.requests), len(caught.value.answers)) == (3, 3)


async def test_a_reask_has_the_rest_of_the_total_timeout() -> None:
    lefts = []

    class Heeding(ScriptedTransport):
        async def send(self, request: WireRequest, time_left: float) -> Reply:
            lefts.append(time_left)
            return await super().send(request, time_left)

    async with client(
        Heeding([answer(BAD), status(503), answer(GOOD)], latency=4), timeouts=sa.Timeouts(total=20)
    ) as c:
        await c.chat("Where?", parse=Place)
    assert lefts[:2] == [20, 16]
    assert 11 <= lefts[2] <= 12


async def test_a_total_of_none_never_ends() -> None:
    transport = ScriptedTransport([answer(BAD), answer(GOOD)], latency=9999)
    async with client(transport, timeouts=sa.Timeouts(total=None)) as c:
        assert (await c.chat("Where?", parse=Place)).parsed.people == 3


async def test_a_timeout_bounds_all_the_asking_and_says_what_was_paid() -> None:
    transport = ScriptedTransport([answer(BAD)] * 9, latency=4)
    async with client(transport) as c:
        with (
            anyio.fail_after(10.5),
            pytest.raises(sa.APITimeoutError, match="no answer within timeout=10") as caught,
        ):
            await c.chat("Where?", parse=Place, max_reasks=9, timeout=10)
    assert (caught.value.attempts, caught.value.details.cost) == (3, Decimal("0.002"))
    assert caught.value.answers == (BAD, BAD)


async def test_an_answer_is_requested_again_within_the_budget() -> None:
    transport = ScriptedTransport([answer(BAD, cost="0.4", balance=None)] * 9)
    async with client(transport) as c, c.budget(max_credits=0.5) as scoped:
        with pytest.raises(sa.BudgetExceededError) as caught:
            await scoped.chat("Where?", parse=Place)
    assert len(transport.requests) == 1
    assert (caught.value.details.cost, caught.value.answers) == (Decimal("0.4"), (BAD,))
    assert pickle.loads(pickle.dumps(caught.value)).answers == (BAD,)
    assert isinstance(caught.value.max_credits, Decimal)


@pytest.mark.parametrize(
    ("reask", "error"),
    [
        pytest.param(status(401), sa.AuthenticationError, id="key-refused"),
        pytest.param(status(400), sa.BadRequestError, id="request-refused"),
        pytest.param(lost(), sa.APIConnectionError, id="connection-lost"),
        pytest.param(WireResponse(200, {}, b"{}"), sa.InvalidResponseError, id="unreadable"),
    ],
)
async def test_whatever_ends_a_reask_holds_what_was_paid_before(
    reask: Reply, error: type[sa.SegmindError]
) -> None:
    transport = ScriptedTransport([answer(BAD, cost="0.25"), reask])
    async with client(transport, retry=sa.RetryPolicy(resend_in_doubt=0)) as c:
        with pytest.raises(error) as caught:
            await c.chat("Where?", parse=Place)
    assert (caught.value.answers, caught.value.details.cost) == ((BAD,), Decimal("0.25"))


async def test_a_reask_longer_than_the_context_window_holds_what_was_paid() -> None:
    bulky = BAD + "x " * 900_000
    async with client(ScriptedTransport([answer(bulky, cost="0.25")])) as c:
        with pytest.raises(sa.InvalidRequestError, match="context") as caught:
            await c.chat("Where?", parse=Place)
    assert (caught.value.answers, caught.value.details.cost) == ((bulky,), Decimal("0.25"))


def called(text: str = "", reason: str = "tool_calls") -> WireResponse:
    call = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    message = {"role": "assistant", "content": text, "tool_calls": [call]}
    body = {"choices": [{"message": message, "finish_reason": reason}]}
    return WireResponse(200, {"x-cost": "0.002"}, to_json(body))


def find() -> str:
    """Find the place."""
    return "Bonn"


async def test_an_answer_that_calls_a_tool_is_no_misfit() -> None:
    transport = ScriptedTransport([called(), answer(GOOD)])
    async with client(transport) as c:
        talk = [sa.user("Where?")]
        reply = await c.chat(talk, parse=Place, tools=[find])
        assert (reply.parsed, [call.name for call in reply.tool_calls]) == (None, ["find"])
        talk += [sa.assistant(reply), sa.tool_result(reply.tool_calls[0], find())]
        assert (await c.chat(talk, parse=Place, tools=[find])).parsed == Place(name="Bonn", people=3)
    assert len(transport.requests) == 2


async def test_a_call_of_a_tool_that_nobody_offered_is_a_misfit() -> None:
    async with client(ScriptedTransport([called(), answer(GOOD)])) as c:
        assert (await c.chat("?", parse=Place)).parsed.people == 3


async def test_gemini_is_told_the_schema_in_words_beside_tools() -> None:
    transport = ScriptedTransport([answer(GOOD)])
    async with client(transport) as c:
        await c.chat("?", parse=Place, tools=[find], model="gemini-2.5-flash")
    body = asked(transport)
    assert "response_format" not in body
    told = body["messages"]["system_instruction"]["parts"]["text"]
    assert told.startswith("When you need no more tools, answer with one JSON object")


async def test_retries_and_doubts_of_all_the_asking_add_up() -> None:
    script: list[Reply] = [lost(), answer(BAD), status(503), answer(GOOD)]
    async with client(ScriptedTransport(script)) as c:
        reply = await c.chat("Where?", parse=Place)
    assert (reply.attempts, reply.in_doubt, reply.cost) == (4, 1, Decimal("0.002"))


async def test_a_validator_that_fails_by_accident_ends_the_call_and_is_the_cause() -> None:
    class Odd(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def halved(cls, n: int) -> int:
            return 1 // n

    transport = ScriptedTransport([answer('{"n": 0}')])
    async with client(transport) as c:
        with pytest.raises(sa.OutputValidationError, match="failed with ZeroDivisionError") as caught:
            await c.chat("?", parse=Odd)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    assert len(transport.requests) == 1


async def test_a_key_in_an_answer_is_in_no_message() -> None:
    key = "a-key-of-another-form"
    transport = ScriptedTransport([ended(None, "stop", f"{key} SG_0123456789abcdef")])
    async with sa.SegmindClient(key, transport=transport) as c:
        with pytest.raises(
            sa.RefusalError, match=r"refused to answer: SG_.redacted. SG_.redacted."
        ) as caught:
            await c.chat("?", parse=Place)
    assert not any(secret in caught.value.body for secret in (b"another-form", b"0123456789abcdef"))


async def test_every_answer_is_handed_over_before_a_validator_sees_it() -> None:
    seen: list[str] = []

    class Watched(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def small(cls, n: int) -> int:
            seen.append(f"validated {n}")
            if n > 5:
                raise ValueError("too large")
            return n

    async def answered(completion: sa.ChatCompletion) -> None:
        await anyio.sleep(1)
        seen.append(f"stored {completion.text} {completion.cost} {completion.parsed}")

    async with client(ScriptedTransport([answer('{"n": 9}'), answer('{"n": 1}')])) as c:
        options: CallOptions = c._options
        wanted = Expected(shape_of(Watched), 1, answered)
        reply = await Conversation(c._service, options, sa.ChatRequest("?"), wanted).run()
    assert reply.parsed.n == 1
    assert seen == [
        'stored {"n": 9} 0.001 None',
        "validated 9",
        'stored {"n": 1} 0.002 None',
        "validated 1",
    ]


async def test_rows_of_a_fan_out_have_values_and_fail_one_by_one() -> None:
    def reply(request: WireRequest) -> Reply:
        messages = from_json(request.body or b"")["messages"]
        last = messages[-1]["content"]
        if last == "refuse":
            return ended(None, "stop", "no")
        return answer('{"value": "ham"}' if last != "odd" and messages[0]["content"] != "never" else "hm")

    async with client(ScriptedTransport(otherwise=reply)) as c:
        rows = await c.chat_many(["fine", "odd", "never", "refuse"], parse=Label)
    assert [row.status for row in rows] == ["ok", "ok", "failed", "failed"]
    assert [row.parsed for row in rows] == [Label.HAM, Label.HAM, None, None]
    assert [(row.attempts, row.cost) for row in rows] == [
        (1, Decimal("0.001")),
        (2, Decimal("0.002")),
        (2, Decimal("0.002")),
        (1, Decimal("0.002")),
    ]
    assert isinstance(rows[2].error, sa.OutputValidationError)
    assert isinstance(rows[3].error, sa.RefusalError)


async def test_a_row_that_waited_for_credits_continues_its_conversation() -> None:
    paid = 0

    def reply(request: WireRequest) -> Reply:
        nonlocal paid
        if request.body is None:
            return WireResponse(200, {}, b'{"credits": %d, "free-credits": 0}' % paid)
        messages = from_json(request.body)["messages"]
        if len(messages) == 1:
            return answer("hm", cost="0.5", balance="0")
        return answer('{"value": 1}', cost="0.5", balance="499.5")

    transport = ScriptedTransport(otherwise=reply)
    async with client(transport, limits=sa.Limits(first_cost=0.5)) as c:
        async with (
            c.fan_out(["?"], parse=int, on_exhausted="wait") as outcomes,
            anyio.create_task_group() as tasks,
        ):

            async def top_up() -> None:
                nonlocal paid
                await anyio.sleep(30)
                paid = 500

            tasks.start_soon(top_up)
            (row,) = [outcome async for outcome in outcomes]
    assert (row.parsed, row.cost) == (1, Decimal(1))
    firsts = [
        body for r in transport.requests if r.body and len((body := from_json(r.body))["messages"]) == 1
    ]
    assert len(firsts) == 1


async def test_a_row_that_was_paid_is_failed_and_not_unsent() -> None:
    def reply(request: WireRequest) -> Reply:
        if request.body is None:
            return WireResponse(200, {}, b'{"credits": 0, "free-credits": 0}')
        return answer("hm", cost="0.5", balance="0")

    async with client(ScriptedTransport(otherwise=reply), limits=sa.Limits(first_cost=0.5)) as c:
        async with c.fan_out(["a", "b"], parse=Literal["x"], max_in_flight=1, ordered=True) as outcomes:
            rows = [outcome async for outcome in outcomes]
    assert rows[0].status == "failed"
    assert isinstance(rows[0].error, sa.InsufficientCreditsError)
    assert rows[0].cost == Decimal("0.5")
    assert outcomes.report.spent == Decimal("0.5")
    assert outcomes.report.stop_reason is sa.StopReason.CREDITS
