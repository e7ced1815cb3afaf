"""What a model answered can be sent to another: conversations of any providers are valid for all others."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmind_async import ChatCompletion, assistant, tool_result, user
from segmind_async._emulator.provider_shapes import question_of
from segmind_async._providers.answers import decode
from segmind_async._providers.requests import encode
from tests.providers.published_rules import check, results_by_call

SLUGS = ["gpt-5.4-mini", "deepseek-chat", "claude-4-sonnet", "gemini-2.5-flash", "gemini-3-pro"]
NAMES = st.sampled_from(["add", "now", "default_api.add", "functions/é", "x" * 80, "1st", ""])
IDS = st.sampled_from(["call_0", "call_1", "functions.add:0", "toolu_1", "i" * 60, "", None])
TEXTS = st.sampled_from(["", "\n\n", "Let me see.", "It is 5. \n"])
Call = tuple[Any, str, int]


def openai_answer(text: str, calls: Sequence[Call], thinking: str) -> Any:
    message: dict[str, Any] = {"role": "assistant", "content": text, "annotations": [], "refusal": None}
    if thinking == "signed":
        message |= {"content": None, "refusal": "I cannot."}
    if calls:
        message["content"] = text or None
        message["tool_calls"] = [
            {"id": key, "type": "function", "function": {"name": name, "arguments": json.dumps({"n": n})}}
            for key, name, n in calls
        ]
    return {"choices": [{"message": message, "finish_reason": "stop"}]}


def claude_answer(text: str, calls: Sequence[Call], thinking: str) -> Any:
    content: list[Any] = []
    if thinking == "signed":
        content += [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "redacted_thinking", "data": "x"},
        ]
    if thinking == "unsigned":
        content.append({"type": "thinking", "thinking": "hm", "signature": ""})
    content += [{"type": "text", "text": text, "citations": None}] if text else []
    content += [{"type": "tool_use", "id": key, "name": name, "input": {"n": n}} for key, name, n in calls]
    return {"content": content, "stop_reason": "end_turn"}


def gemini_answer(text: str, calls: Sequence[Call], thinking: str) -> Any:
    parts: list[Any] = [{"text": "hm", "thought": True}] if thinking else []
    parts += [{"text": text}] if text else []
    parts += [{"functionCall": {"name": name, "args": {"n": n}}} for _, name, n in calls]
    if calls and thinking == "signed":
        parts[-len(calls)]["thoughtSignature"] = "c2ln"
    return {"candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": "STOP"}]}


def read(raw: Any) -> ChatCompletion:
    got = decode(json.dumps(raw).encode())
    return ChatCompletion(got.text, got.finish_reason, got.usage, got.tool_calls, raw=got.raw)


@st.composite
def turns(draw: st.DrawFn) -> list[Any]:
    """Draw an answer of any provider as messages, with the results of its calls in any order."""
    make = draw(st.sampled_from([openai_answer, claude_answer, gemini_answer]))
    drawn = draw(st.lists(st.tuples(IDS, NAMES), max_size=3))
    calls = [(key, name, draw(st.integers(0, 9_999))) for key, name in drawn]
    reply = read(make(draw(TEXTS), calls, draw(st.sampled_from(["", "signed", "unsigned"]))))
    results = [tool_result(call, f"result {json.loads(call.arguments)['n']}") for call in reply.tool_calls]
    order = draw(st.permutations(results))
    after = [user("Go on.")] if not results or draw(st.booleans()) else []
    return [assistant(reply), *order, *after]


@given(st.lists(turns(), min_size=1, max_size=4), st.sampled_from(SLUGS))
def test_any_conversation_is_valid_for_any_provider(rows: list[list[Any]], slug: str) -> None:
    messages = [user("Hello."), *(row for turn in rows for row in turn)]
    body = json.loads(encode(slug, messages, {}))
    check(slug, body)
    question_of(slug, body)  # the emulator's reading of the same rules
    results = results_by_call(slug, body)
    assert all(text == f"result {n}" for n, text in results)
    assert len(results) == sum(row["role"] == "tool" for row in messages)


@given(st.lists(turns(), min_size=1, max_size=3), st.sampled_from(SLUGS))
def test_a_valid_conversation_is_not_changed_by_going_on(rows: list[list[Any]], slug: str) -> None:
    """The beginning stays the same bytes, which providers' caches of prompts rely on."""
    messages = [user("Hello."), *(row for turn in rows for row in turn)]
    longer = [*messages, assistant("Yes."), user("And now?")]

    def sent(conversation: list[Any]) -> list[Any]:
        found = json.loads(encode(slug, conversation, {}))["messages"]
        return list(found["contents"] if slug.startswith("gemini-") else found)

    whole, start = sent(longer), sent(messages)
    last = len(start) - 1  # two turns of the model in a row become one for Gemini
    assert whole[:last] == start[:last]


@pytest.mark.parametrize("slug", SLUGS)
def test_openais_own_message_is_sent_to_others_without_its_own_fields(slug: str) -> None:
    row: dict[str, Any] = {
        "role": "assistant",
        "content": "Hi.",
        "name": "bot",
        "refusal": None,
        "annotations": [],
        "function_call": None,
        "audio": None,
    }
    body = json.loads(encode(slug, [user("Hello."), row, user("Go on.")], {}))
    check(slug, body)


@pytest.mark.parametrize("slug", SLUGS)
@pytest.mark.parametrize(
    "row",
    [
        {"role": "assistant", "content": None, "refusal": "I cannot."},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "I cannot."}]},
    ],
    ids=["field", "part"],
)
def test_a_refusal_is_the_text_of_its_turn(slug: str, row: Any) -> None:
    body = json.loads(encode(slug, [user("Hello."), row, user("Why?")], {}))
    check(slug, body)
    assert "I cannot." in json.dumps(body)


def test_a_refusal_goes_on_as_text() -> None:
    reply = read({"choices": [{"message": {"content": None, "refusal": "I cannot."}}]})
    assert assistant(reply) == assistant("I cannot.")


@pytest.mark.parametrize("slug", ["gpt-5.4-mini", "gemini-3-pro"])
def test_claudes_thinking_is_not_sent_to_others(slug: str) -> None:
    reply = read(claude_answer("So.", [("t1", "add", 1)], "signed"))
    body = encode(slug, [user("?"), assistant(reply), tool_result(reply.tool_calls[0], "2")], {})
    assert b"thinking" not in body.replace(b"skip_thought_signature_validator", b"")
    assert b"So." in body


def test_geminis_own_parts_are_sent_to_gemini_alone() -> None:
    part = {"inlineData": {"mimeType": "image/png", "data": "AA=="}}
    row = {"role": "assistant", "content": [part, {"type": "text", "text": "A dot."}]}
    body = json.loads(encode("gemini-2.5-flash", [user("Draw."), row, user("Thanks.")], {}))
    assert body["messages"]["contents"][1]["parts"] == [part, {"text": "A dot."}]
    [_, drawn, _] = json.loads(encode("gpt-5.4-mini", [user("Draw."), row, user("Thanks.")], {}))["messages"]
    assert drawn["content"] == "A dot."


def test_a_new_id_is_none_that_the_conversation_has() -> None:
    taken = {"id": "call_1_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    rows = [
        user("?"),
        {"role": "assistant", "content": None, "tool_calls": [taken, {**taken, "id": "a b"}]},
        {"role": "tool", "tool_call_id": "a b", "content": "2"},
        {"role": "tool", "tool_call_id": "call_1_1", "content": "1"},
    ]
    [_, row, *results] = json.loads(encode("gpt-5.4-mini", rows, {}))["messages"]
    assert [call["id"] for call in row["tool_calls"]] == ["call_1_1", "call_1_1_"]
    assert [one["tool_call_id"] for one in results] == ["call_1_1_", "call_1_1"]


def test_messages_that_need_no_change_stay_the_same_for_openai() -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}, "index": 0}
    row = {"role": "assistant", "content": [{"type": "text", "text": "So."}], "tool_calls": [call]}
    rows = [user("?"), row, {"role": "tool", "tool_call_id": "c1", "content": "1"}]
    assert json.loads(encode("gpt-5.4-mini", rows, {}))["messages"] == rows


def test_an_answer_that_ended_while_thinking_is_left_out_for_claude() -> None:
    reply = read(claude_answer("", [], "signed"))
    rows = [user("Hello."), assistant(reply), user("Go on.")]
    assert json.loads(encode("claude-4-sonnet", rows, {}))["messages"] == [rows[0], rows[2]]
