"""Tools carried through structured output: the schema, and calls read back from answers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, TypeAdapter

from segmind_async import ChatCompletion, InvalidRequestError, ToolCall, system, tool, user
from segmind_async._agents.schema_tools import ViaSchema
from segmind_async._structured.shape import ShapeMismatchError, shape_of


class Place(BaseModel):
    city: str


@dataclass
class Range:
    first: int
    last: int | None = None


def weather(
    place: Place,
    days: Annotated[int, Field(ge=1, le=7)] = 1,
    unit: Literal["C", "F"] | None = "C",
    span: Range = Range(1),  # noqa: B008  # a default that is not JSON
) -> str:
    """Tell the weather.

    Args:
        place: Where.
        days: How many days ahead.
    """
    return f"{place.city} {days} {unit} {span.first}"


def now() -> str:
    """Tell the time."""
    return "noon"


TOOLS = [tool(weather), tool(now, name="the-time")]
CARRIER = ViaSchema(TOOLS)
SHAPE = shape_of(CARRIER.parameters()["parse"])


def answered(**turn: Any) -> ChatCompletion[Any]:
    text = json.dumps({"calls": [], "answer": None, **turn})
    return ChatCompletion(text, parsed=SHAPE.read(text))


def test_the_schema_is_strict_and_names_every_tool() -> None:
    text = json.dumps(SHAPE.schema)
    assert SHAPE.schema["required"] == ["calls", "answer"]
    for word in ("weather", "the-time", "Where.", "How many days ahead.", "maximum"):
        assert f'"{word}"' in text
    assert '"default"' not in text


def test_one_tool_is_enough_and_none_is_not() -> None:
    assert "the-time" in json.dumps(shape_of(ViaSchema(TOOLS[1:]).parameters()["parse"]).schema)
    with pytest.raises(InvalidRequestError, match="tools_via='schema' without tools"):
        ViaSchema([])


def test_calls_are_read_with_ids_of_our_own() -> None:
    reply = answered(
        calls=[
            {
                "tool": "weather",
                "arguments": {"place": {"city": "Rome"}, "days": 3, "unit": None, "span": None},
            },
            {"tool": "the-time", "arguments": {}},
        ]
    )
    first, second = CARRIER.calls_in(reply, 2)
    assert (first.id, first.name, second) == ("call_2_0", "weather", ToolCall("call_2_1", "the-time", "{}"))
    assert TOOLS[0].arguments(first.arguments) == {"place": Place(city="Rome"), "days": 3}


def test_an_answer_calls_nothing() -> None:
    reply = answered(answer="It is noon.")
    assert (list(CARRIER.calls_in(reply, 1)), CARRIER.answer_in(reply)) == ([], ("It is noon.", None))
    assert CARRIER.reply_messages(reply, (), ()) == [{"role": "assistant", "content": reply.text}]
    assert CARRIER.answer_in(answered(calls=[{"tool": "the-time", "arguments": {}}])) == ("", None)


@pytest.mark.parametrize(
    ("turn", "says"),
    [
        ({}, "call a tool or give an answer"),
        ({"calls": [{"tool": "nowhere", "arguments": {}}]}, "calls"),
        ({"calls": [{"tool": "the-time", "arguments": {"a": 1}}]}, "Extra inputs"),
        ({"calls": [{"tool": "weather", "arguments": {"place": {"city": "x"}, "days": 9, "unit": None, "span": None}}]}, r"calls\[0\].weather.arguments.days: [^;]*less than or equal to 7[^;]*$"),
    ],
)  # fmt: skip
def test_an_answer_that_is_no_turn_is_refused_with_the_reason(turn: dict[str, Any], says: str) -> None:
    with pytest.raises(ShapeMismatchError, match=says):
        answered(**turn)


def test_results_come_in_one_message_by_name() -> None:
    reply = answered(calls=[{"tool": "the-time", "arguments": {}}] * 2)
    calls = CARRIER.calls_in(reply, 1)
    assert CARRIER.reply_messages(reply, calls, ["noon", "Error: x"]) == [
        {"role": "assistant", "content": reply.text},
        {
            "role": "user",
            "content": 'Results:\n[{"tool":"the-time","result":"noon"},{"tool":"the-time","result":"Error: x"}]',
        },
    ]


def test_the_tools_are_explained_before_the_task() -> None:
    [first, task] = CARRIER.opening(None, "hi")
    assert task == user("hi")
    text = str(first["content"])
    assert text.startswith("You can call tools.")
    assert "- weather: Tell the weather.\n- the-time: Tell the time." in text
    [first, task] = CARRIER.opening("Be brief.", "hi")
    assert first == system(f"Be brief.\n\n{text}")
    assert CARRIER.opening("Be brief.", [first, task]) == [first, task]


@pytest.mark.parametrize(
    ("parse", "answer", "value"),
    [
        pytest.param(Place, {"city": "Bonn"}, Place(city="Bonn"), id="an-object-as-it-is"),
        pytest.param(list[Place], {"value": [{"city": "Bonn"}]}, [Place(city="Bonn")], id="a-list-wrapped"),
        pytest.param(Place | None, {"value": None}, None, id="a-null-that-is-an-answer"),
        pytest.param(TypeAdapter(Range), {"first": 1, "last": None}, Range(1), id="an-adapter"),
    ],
)
def test_the_last_answer_has_the_type_asked_for(parse: Any, answer: Any, value: Any) -> None:
    carrier = ViaSchema(TOOLS, parse)
    shape = shape_of(carrier.parameters()["parse"])
    text = json.dumps({"calls": [], "answer": answer})
    reply = ChatCompletion(text, parsed=shape.read(text))
    assert list(carrier.calls_in(reply, 1)) == []
    written, parsed = carrier.answer_in(reply)
    assert parsed == value
    assert shape_of(parse).read(written) == value
    with pytest.raises(ShapeMismatchError):
        shape.read(json.dumps({"calls": [], "answer": "in words"}))
    with pytest.raises(ShapeMismatchError, match="call a tool or give an answer"):
        shape.read(json.dumps({"calls": [], "answer": None}))
