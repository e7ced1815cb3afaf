"""What an agent's model is told: openings, results as text, cuts."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from segmind_async import (
    ChatCompletion,
    InvalidRequestError,
    ToolCall,
    assistant,
    image,
    system,
    tool,
    tool_result,
    user,
)
from segmind_async._agents.tool_protocol import (
    PROBE,
    Native,
    opening_messages,
    result_text,
    truncated,
    unknown_tool_text,
)
from segmind_async._providers.requests import encode


class Place(BaseModel):
    city: str


@dataclass
class Range:
    first: int


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param("as it is", "as it is", id="text"),
        pytest.param("half a \ud83d", "half a ?", id="half a character"),
        pytest.param(None, "null", id="nothing"),
        pytest.param({"a": [1, 2.5, None]}, '{"a":[1,2.5,null]}', id="json"),
        pytest.param(Place(city="Rome"), '{"city":"Rome"}', id="model"),
        pytest.param([Range(1)], '[{"first":1}]', id="dataclass"),
        pytest.param(Decimal("1.50"), '"1.50"', id="decimal"),
        pytest.param(Path("a/b"), '"a/b"', id="path"),
        pytest.param(b"\xff\x00", '"_wA="', id="bytes"),
        pytest.param({1j}, '["1j"]', id="what JSON does not know"),
    ],
)
def test_what_a_tool_gives_back_is_written_for_the_model(value: Any, text: str) -> None:
    assert result_text(value) == text


def test_a_long_result_is_cut_with_a_note() -> None:
    assert truncated("x" * 10, 10) == "x" * 10
    assert truncated("x" * 11, 10) == "x" * 10 + "\n[truncated: these are the first 10 of 11 characters]"


def test_an_unknown_tool_is_reported_with_the_known_ones() -> None:
    known = {"add": tool(result_text, name="add")}
    assert unknown_tool_text("sub", known) == "Error: there is no tool 'sub'; there are add"
    assert unknown_tool_text("sub", {}).endswith("there are none")


@pytest.mark.parametrize(
    ("prompt", "task", "rows"),
    [
        (None, "hi", [user("hi")]),
        ("be brief", "hi", [system("be brief"), user("hi")]),
        (
            "be brief",
            [user("a", image("https://example.com/a.png"))],
            [system("be brief"), user("a", image("https://example.com/a.png"))],
        ),
        (None, [system("own"), user("hi")], [system("own"), user("hi")]),
        ("own", [system("own"), user("go on")], [system("own"), user("go on")]),
        ("own", ["no message"], [system("own"), "no message"]),
        ("own", [], [system("own")]),
    ],
)
def test_openings(prompt: str | None, task: Any, rows: list[Any]) -> None:
    assert opening_messages(prompt, task) == rows


def test_two_system_prompts_are_one_too_many() -> None:
    with pytest.raises(InvalidRequestError, match="another system prompt"):
        opening_messages("mine", [system("yours"), user("hi")])


def test_by_function_calling_results_follow_their_calls_in_order() -> None:
    made = tool(result_text, name="write")
    calls = (ToolCall("c1", "write", "{}"), ToolCall("c2", "write", "{}"))
    reply = ChatCompletion("so", tool_calls=calls)
    native = Native([made])
    assert native.parameters() == {"tools": [made]}
    assert native.opening("be brief", "hi") == [system("be brief"), user("hi")]
    assert (native.calls_in(reply, 1), native.answer_in(reply)) == (calls, ("so", None))
    assert native.reply_messages(reply, calls, ["1", "2"]) == [
        assistant(reply),
        tool_result(calls[0], "1"),
        tool_result(calls[1], "2"),
    ]


def test_an_agent_without_tools_sends_none() -> None:
    assert Native([]).parameters() == {}


@pytest.mark.parametrize("model", ["gpt-5.4-mini", "claude-4-sonnet", "gemini-2.5-flash"])
def test_the_probe_can_be_sent_to_every_family(model: str) -> None:
    parameters = {name: value for name, value in PROBE.items() if name != "messages"}
    assert b'"ready"' in encode(model, "x", parameters)


@pytest.mark.parametrize(
    ("task", "says"),
    [
        ({"role": "user", "content": "hi"}, "put the message into a list"),
        (b"hi", "is a bytes"),
        (5, "messages=5"),
    ],
)
def test_a_task_that_is_no_conversation_is_refused(task: Any, says: str) -> None:
    with pytest.raises(InvalidRequestError, match=says):
        opening_messages(None, task)
