"""The provider's side of structured output: schemas refused, values that fit, and all ways of answering badly."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter

import segmind_async as sa
from segmind_async._providers.openai import OpenAI
from segmind_async._structured.shape import shape_of
from segmind_async.emulator import (
    EchoBrain,
    Emulator,
    Filler,
    FunctionBrain,
    MeasuredAnswer,
    SchemaError,
    check_format,
    faults,
)
from tests.drawn import Drawn, kinds


class Point(BaseModel):
    x: int
    name: str


class Tree(BaseModel):
    name: str
    children: list[Tree]
    next: Tree | None = None


def wanted(schema: Any, name: str = "it", strict: bool = True) -> Any:
    return {"type": "json_schema", "json_schema": {"name": name, "strict": strict, "schema": schema}}


def asked_for(kind: Any) -> Any:
    return shape_of(kind).response_format(OpenAI.schema_rules)


@pytest.mark.slow
@given(kinds)
def test_what_the_client_asks_for_is_taken(drawn: Drawn) -> None:
    check_format(asked_for(drawn.kind))


@given(kinds, st.integers(0, 99))
def test_what_is_filled_in_is_read_by_the_client(drawn: Drawn, seed: int) -> None:
    shape = shape_of(drawn.kind)
    shape.read(json.dumps(Filler(shape.schema, seed).value()))


@pytest.mark.parametrize(
    "kind",
    [
        Annotated[int, Field(gt=3, lt=5)],
        Annotated[int, Field(ge=7)],
        Annotated[int, Field(le=-7)],
        Annotated[int, Field(multiple_of=5, ge=11)],
        Annotated[float, Field(gt=0, lt=1)],
        Annotated[float, Field(ge=2, le=2)],
        Annotated[str, Field(min_length=9)],
        Annotated[str, Field(max_length=2)],
        Annotated[list[int], Field(min_length=4, max_length=4)],
        Literal["one"],
        Tree,
    ],
)
def test_bounds_are_kept_and_trees_have_an_end(kind: Any) -> None:
    shape = shape_of(kind)
    check_format(asked_for(kind))
    filler = Filler(shape.schema, "seed")
    for _ in range(50):
        shape.read(json.dumps(filler.value()))


@pytest.mark.parametrize("form", ["date", "time", "date-time", "duration", "ipv4", "ipv6", "uuid", "uri"])
def test_texts_have_their_format(form: str) -> None:
    import datetime
    import ipaddress
    import uuid

    from pydantic import AnyUrl

    kind: Any = {
        "date": datetime.date,
        "time": datetime.time,
        "date-time": datetime.datetime,
        "duration": datetime.timedelta,
        "ipv4": ipaddress.IPv4Address,
        "ipv6": ipaddress.IPv6Address,
        "uuid": uuid.UUID,
        "uri": AnyUrl,
    }[form]
    shape = shape_of(kind)
    assert isinstance(shape.read(json.dumps(Filler(shape.schema).value())), kind)


def closed(**properties: Any) -> Any:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


TEXT = {"type": "string"}
REFUSED: list[Any] = [
    pytest.param({"type": "json_schema"}, "Missing required parameter: 'response_format.json_schema'", id="nothing"),
    pytest.param(wanted(None), "Missing required parameter: .*schema.schema'", id="no-schema"),
    pytest.param(wanted(closed(), "a b"), "Invalid 'response_format.json_schema.name'", id="name"),
    pytest.param(wanted(closed(), "a" * 65), "Invalid 'response_format.json_schema.name'", id="long-name"),
    pytest.param(wanted({"type": "array", "items": TEXT}), "must be a JSON Schema of 'type: \"object\"', got 'array'", id="list"),
    pytest.param(wanted({"anyOf": [closed()]}), "'type: \"object\"', got None", id="union"),
    pytest.param(wanted({**closed(a=TEXT), "additionalProperties": True}), "'additionalProperties' is required", id="open"),
    pytest.param(wanted(TypeAdapter(Point).json_schema()), "'additionalProperties' is required", id="as-pydantic-says-it"),
    pytest.param(wanted({**closed(a=TEXT), "required": []}), "'required' is required", id="optional"),
    pytest.param(wanted(closed(a={})), "schema must have a 'type' key", id="any"),
    pytest.param(wanted(closed(a=True)), "True is not of type 'object'", id="true"),
    pytest.param(wanted(closed(a={"type": "array"})), "array schema missing items", id="any-list"),
    pytest.param(wanted(closed(a={"oneOf": [TEXT], "type": "string"})), "'oneOf' is not permitted", id="oneOf"),
    pytest.param(wanted(closed(a={**TEXT, "default": "x"})), "'default' is not permitted", id="default"),
    pytest.param(wanted(closed(a={"$ref": "#/$defs/A"})), "can only point to", id="dangling"),
    pytest.param(wanted({**closed(a={"$ref": "#/$defs/A", "title": "x"}), "$defs": {"A": TEXT}}), "keywords beside", id="ref"),
    pytest.param(wanted({**closed(), "$defs": {"A": {"type": "object"}}}), "'additionalProperties' is required", id="inside-defs"),
    pytest.param(wanted(closed(a={"enum": list(range(1001))})), "maximum of 1000 enum values: 1001", id="enum"),
    pytest.param(wanted(closed(**{f"p{n}": TEXT for n in range(5001)})), "maximum of 5000 properties: 5001", id="properties"),
]  # fmt: skip


def nested(levels: int) -> Any:
    schema: Any = TEXT
    for _ in range(levels):
        schema = closed(a={"anyOf": [schema, {"type": "null"}]})
    return schema


@pytest.mark.parametrize(
    ("given", "says"),
    [*REFUSED, pytest.param(wanted(nested(11)), "maximum of 10 levels of nesting: 11", id="levels")],
)
def test_schemas_that_are_refused(given: Any, says: str) -> None:
    with pytest.raises(SchemaError, match=says):
        check_format(given)


def test_a_schema_that_need_not_be_strict_may_say_anything() -> None:
    check_format(wanted(TypeAdapter(Point).json_schema(), strict=False))
    check_format(wanted(nested(10)))


@pytest.mark.parametrize(
    ("model", "form", "says"),
    [
        pytest.param("gpt-5.4-mini", wanted(TypeAdapter(Point).json_schema()), "Invalid schema for response_format 'it'", id="lax"),
        pytest.param("gpt-5.4-mini", {"type": "yaml"}, "Invalid value: 'response_format.type': 'yaml'", id="unheard-of"),
        pytest.param("gpt-5.4-mini", "json", "Invalid value", id="no-object"),
        pytest.param("gpt-5.4-mini", {"type": "json_object"}, "must contain the word 'json'", id="without-the-word"),
        pytest.param("deepseek-chat", {"type": "json_object"}, "must contain the word 'json'", id="deepseek-without-the-word"),
        pytest.param("deepseek-chat", wanted(closed(a=TEXT)), "response_format type is unavailable", id="deepseek"),
        pytest.param("claude-4-sonnet", {"type": "json_object"}, "use json_schema", id="claude"),
        pytest.param("gemini-2.5-flash", wanted({"type": "array"}), "Invalid schema", id="gemini"),
    ],
)  # fmt: skip
async def test_a_format_that_is_refused_is_not_billed(model: str, form: Any, says: str) -> None:
    async with Emulator() as emulator, sa.SegmindClient(emulator.key, emulator.url) as client:
        with pytest.raises(sa.BadRequestError, match=says):
            await client.chat("hello", model=model, response_format=form)
        assert not emulator.billed()
        assert (
            await client.chat("hello", model=model, response_format={"type": "text"})
        ).text == "echo: hello"


MODELS = pytest.mark.parametrize(
    "model", ["gpt-5.4-mini", "claude-4-sonnet", "gemini-2.5-flash", "deepseek-chat"]
)
GOOD = '{"x": 1, "name": "a"}'


def said(text: str) -> FunctionBrain:
    return FunctionBrain(lambda _question: text)


@MODELS
async def test_all_families_answer_in_shape(model: str) -> None:
    brain = None if model != "deepseek-chat" else said(GOOD)  # told in words, which an echo does not read
    async with Emulator(brain) as emulator, sa.SegmindClient(emulator.key, emulator.url) as client:
        reply = await client.chat("hello", parse=Point, model=model)
    assert reply.parsed.name in {"echo: hello", "a"}
    assert (reply.attempts, reply.cost) == (1, emulator.calls[0].cost)


@MODELS
async def test_a_fence_and_prose_around_the_answer_are_read(model: str) -> None:
    async with Emulator(said(GOOD)) as emulator, sa.SegmindClient(emulator.key, emulator.url) as client:
        emulator.script(faults.Wrap(), faults.Wrap("I think it is ", "."))
        for _ in range(2):
            reply = await client.chat("hello", parse=Point, model=model)
            assert (reply.parsed, reply.attempts) == (Point(x=1, name="a"), 1)


@MODELS
async def test_wrong_at_first_and_right_when_asked_again(model: str) -> None:
    async with Emulator(said(GOOD)) as emulator, sa.SegmindClient(emulator.key, emulator.url) as client:
        emulator.script(faults.Say('{"x": "one"}'))
        reply = await client.chat("hello", parse=Point, model=model)
        assert (reply.parsed, reply.attempts) == (Point(x=1, name="a"), 2)
        assert reply.cost == sum(call.cost or 0 for call in emulator.calls)
        assert emulator.calls[1].prompt.startswith("Your answer does not fit: x: Input should be")


@MODELS
async def test_a_refusal_in_each_providers_words(model: str) -> None:
    async with Emulator() as emulator, sa.SegmindClient(emulator.key, emulator.url) as client:
        emulator.script(faults.Refuse("Not that."), faults.Refuse("Not that."))
        with pytest.raises(sa.RefusalError, match=r"refused to answer: (Not that\.|SAFETY)") as caught:
            await client.chat("hello", parse=Point, model=model)
        assert (await client.chat("hello", model=model)).finish_reason in {"stop", "refusal", "SAFETY"}
        assert caught.value.details.cost == emulator.calls[0].cost


@MODELS
async def test_an_answer_cut_short_in_each_providers_words(model: str) -> None:
    async with Emulator(said(GOOD)) as emulator, sa.SegmindClient(emulator.key, emulator.url) as client:
        emulator.script(faults.CutShort(2))
        for parameters in ({}, {"max_tokens": 2}):
            with pytest.raises(sa.OutputTruncatedError) as caught:
                await client.chat("hello", parse=Point, model=model, **parameters)
            assert caught.value.answers == (GOOD[:8],)
        assert (await client.chat("hello", parse=Point, model=model, max_tokens=99)).parsed.x == 1


async def test_a_queued_answer_has_its_twist_too() -> None:
    async with Emulator(said(GOOD)) as emulator:
        emulator.script(faults.Say("odd"))
        import aiohttp

        async with aiohttp.ClientSession(headers={"x-api-key": emulator.key}) as session:
            url = emulator.url.replace("/v1", "/v2")
            submitted = await (
                await session.post(f"{url}/gpt-5.4-mini", json={"messages": [sa.user("hi")]})
            ).json()
            result = await (await session.get(f"{url}/requests/{submitted['request_id']}")).json()
    assert json.loads(result["output"])["choices"][0]["message"]["content"] == "odd"


async def test_a_brain_may_take_its_time() -> None:
    async def slowly(_question: Any) -> str:
        return "in a while"

    async with (
        Emulator(FunctionBrain(slowly)) as emulator,
        sa.SegmindClient(emulator.key, emulator.url) as client,
    ):
        assert (await client.chat("hello")).text == "in a while"


async def test_a_brain_may_measure_and_cut_its_answer_itself() -> None:
    brain = FunctionBrain(lambda _question: MeasuredAnswer('{"x": 1', 70, 3, cut=True))
    async with Emulator(brain) as emulator, sa.SegmindClient(emulator.key, emulator.url) as client:
        reply = await client.chat("hello", max_tokens=1)
        assert (reply.text, reply.finish_reason, reply.usage) == ('{"x": 1', "length", sa.Usage(70, 3, 73))
        with pytest.raises(sa.OutputTruncatedError):
            await client.chat("hello", parse=Point)
        emulator.script(faults.Wrap("so: ", ""))
        assert (await client.chat("hello")).text == 'so: {"x": 1'


async def test_the_same_seed_gives_the_same_values() -> None:
    async def values(seed: int) -> list[Any]:
        async with (
            Emulator(EchoBrain(seed)) as emulator,
            sa.SegmindClient(emulator.key, emulator.url) as client,
        ):
            rows = await client.chat_many((f"row {n}" for n in range(20)), parse=Point)
            return [row.parsed for row in rows]

    assert await values(1) == await values(1)
    assert await values(1) != await values(2)
