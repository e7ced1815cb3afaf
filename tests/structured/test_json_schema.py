"""JSON schemas given as `parse`: what fits comes as plain JSON, what does not is named with its place."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from pydantic import TypeAdapter

import segmind_async as sa
from segmind_async._structured.json_schema import normalised
from segmind_async._structured.shape import ShapeMismatchError, shape_of
from segmind_async.testing import ScriptedTransport, answer
from tests.structured.ordinary_types import TYPES
from tests.support import client

PLACE: dict[str, Any] = {
    "title": "Place",
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 2, "pattern": "^[A-Z]"},
        "people": {"type": ["integer", "null"], "minimum": 0},
        "size": {"enum": ["small", "large", 1]},
        "founded": {"type": "string", "format": "date"},
        "note": {"type": "string"},
    },
    "required": ["name", "people", "size", "founded"],
    "additionalProperties": False,
}
BONN = {"name": "Bonn", "people": 3, "size": 1, "founded": "2026-11-01"}


def read(schema: dict[str, Any], value: object) -> Any:
    shape = shape_of(schema)
    return shape.read(json.dumps({"value": value} if shape.wraps else value))


async def test_a_schema_is_a_type_and_the_answer_comes_as_plain_json() -> None:
    transport = ScriptedTransport([answer(json.dumps({**BONN, "people": "many"})), answer(json.dumps(BONN))])
    async with client(transport) as c:
        reply = await c.chat("Where?", parse=PLACE)
        assert reply.parsed == BONN
        assert shape_of(PLACE).name == "Place"
        (outcome,) = await c.chat_many(["Where?"], parse={"type": "array", "items": {"type": "integer"}})
    assert b"Input should be a valid integer" in (transport.requests[1].body or b"")
    assert outcome.status == "failed", "an echo is not a list"


async def test_a_response_format_of_openai_is_understood() -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "place", "strict": True, "schema": PLACE}}
    async with client(ScriptedTransport([answer(json.dumps(BONN))])) as c:
        assert (await c.chat("Where?", parse=wanted)).parsed == BONN


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param({"name": "B"}, "name: String should have at least 2 characters", id="too-short"),
        pytest.param({"name": "bonn"}, "name: String should match pattern", id="pattern"),
        pytest.param({"name": 5}, "name: Input should be a valid string", id="no-string"),
        pytest.param({"people": True}, "people.*: Input should be a valid integer", id="no-integer"),
        pytest.param({"people": -1}, "greater than or equal to 0", id="too-small"),
        pytest.param({"size": True}, 'it must be one of ."small","large",1.', id="true-is-not-1"),
        pytest.param({"founded": "yesterday"}, "founded: Input should be a valid date", id="no-date"),
        pytest.param({"more": 1}, "more: Extra inputs are not permitted", id="more"),
    ],
)
def test_what_does_not_fit_is_named_with_its_place(change: dict[str, object], says: str) -> None:
    with pytest.raises(ShapeMismatchError, match=says):
        read(PLACE, {**BONN, **change})


def test_a_property_that_is_required_must_be_there_and_others_may_be_left_out() -> None:
    assert read(PLACE, {**BONN, "note": "x"})["note"] == "x"
    with pytest.raises(ShapeMismatchError, match="name: Field required"):
        read(PLACE, {name: value for name, value in BONN.items() if name != "name"})


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        pytest.param({"type": "number", "multipleOf": 0.5}, 1, id="a-whole-number-stays-whole"),
        pytest.param({"type": "number"}, 1.5, id="number"),
        pytest.param({"type": "boolean"}, False, id="boolean"),
        pytest.param({"type": "null"}, None, id="null"),
        pytest.param({"const": "a"}, "a", id="const"),
        pytest.param({"oneOf": [{"type": "string"}, {"type": "integer"}]}, 3, id="one-of"),
        pytest.param({"type": "string", "format": "date-time"}, "2026-11-01T09:30:00Z", id="a-date-stays-text"),
        pytest.param({"type": "string", "format": "made-up"}, "x", id="unknown-formats-are-hints"),
        pytest.param({"type": "object", "additionalProperties": {"type": "integer"}}, {"a": 1}, id="dict"),
        pytest.param({"type": "object", "additionalProperties": {"type": "integer"}, "propertyNames": {"enum": ["a"]}},
                     {"a": 1}, id="dict-of-names"),
        pytest.param({"type": "object", "patternProperties": {"^a": {"type": "integer"}}}, {"ab": 1}, id="patterns"),
        pytest.param({"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}]}, ["a", 1], id="tuple"),
        pytest.param({"$ref": "#/definitions/N", "definitions": {"N": {"type": "integer"}}}, 3, id="draft-7"),
        pytest.param({"type": "array", "items": {"anyOf": [{"type": "integer"}, {"$ref": "#"}]}}, [1, [2, []]],
                     id="itself"),
        pytest.param({"properties": {"a": {"type": "integer"}}, "type": "object", "allOf": [
            {"type": "object", "properties": {"b": {"type": "string"}}, "required": ["b"]}]}, {"a": 1, "b": "x"},
            id="all-of"),
    ],
)  # fmt: skip
def test_any_schema_of_json_types_reads_its_values_unchanged(schema: dict[str, Any], value: object) -> None:
    got = read(schema, value)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [pytest.param(kind, value, id=name) for name, kind, value in TYPES],
)
def test_the_schema_of_any_ordinary_type_reads_what_the_type_reads(kind: Any, value: Any) -> None:
    schema = TypeAdapter(kind).json_schema()
    if "(?" in json.dumps(schema):
        pytest.skip("look-around is refused")
    assert read(schema, value) == value


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        pytest.param({}, "anything .* is not supported", id="empty"),
        pytest.param({"type": "text"}, "there is no type 'text'", id="unknown-type"),
        pytest.param(
            {"type": "string", "pattern": "(?=a)"}, "the pattern '.*' is not supported", id="look-around"
        ),
        pytest.param(
            {"type": "string", "pattern": "("}, "the pattern '.*' is not supported", id="no-pattern"
        ),
        pytest.param({"type": "object"}, "an object of anything", id="bare-object"),
        pytest.param({"type": int}, "not a JSON schema", id="a-python-type"),
        pytest.param(
            {"type": "integer", "minimum": "a lot"}, "cannot be validated|not a JSON schema", id="odd-bound"
        ),
        pytest.param({"$defs": {"b": "x"}}, "the root.b is 'x'; a JSON schema is an object", id="odd-part"),
        pytest.param({"enum": 5}, "the root: 'enum' is 5, which no JSON schema has there", id="odd-enum"),
        pytest.param({"type": "object", "properties": 5}, "'properties' is 5", id="odd-properties"),
        pytest.param({"type": "string", "$defs": 5}, "'.defs' is 5", id="odd-definitions"),
        pytest.param({"type": "array", "prefixItems": 5}, "'prefixItems' is 5", id="odd-tuple"),
        pytest.param(
            {"type": "array", "items": {"type": "string", "format": ["x"]}},
            r"root.items: 'format' is \['x'\]",
            id="odd-format",
        ),
        pytest.param(
            {"$defs": {"A": {"anyOf": [True, {"type": "string"}]}}, "$ref": "#/$defs/A"},
            "at A: True is not a schema",
            id="odd-member",
        ),
        pytest.param(
            {"$defs": {"A": {"$ref": "#/$defs/A"}}, "$ref": "#/$defs/A"},
            "at A: a definition that stands for itself",
            id="itself-alone",
        ),
        pytest.param(
            {
                "$defs": {
                    "A": {"$ref": "#/$defs/B"},
                    "B": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/A"}]},
                },
                "type": "array",
                "items": {"$ref": "#/$defs/A"},
            },
            "stands for itself",
            id="each-other",
        ),
        pytest.param(
            {"$defs": {"A": {"allOf": [{"$ref": "#/$defs/A"}]}}, "$ref": "#/$defs/A"},
            "stands for itself",
            id="all-of-itself",
        ),
    ],
)
def test_what_is_no_schema_is_refused_before_anything_is_sent(schema: dict[str, Any], says: str) -> None:
    with pytest.raises(sa.InvalidRequestError, match=says):
        shape_of(schema)


def test_numbers_that_json_does_not_have_make_no_schema() -> None:
    with pytest.raises(sa.InvalidRequestError, match="not a JSON schema"):
        normalised({"type": "number", "maximum": math.nan})


async def test_an_agent_takes_a_schema_natively_and_through_a_schema() -> None:
    flat = {"type": "object", "properties": {"n": {"$ref": "#/$defs/N"}}, "required": ["n"],
            "$defs": {"N": {"type": "integer"}}}  # fmt: skip
    ready = sa.tool(lambda: "x", name="ready")
    transport = ScriptedTransport([answer('{"n": 1}'), answer('{"calls": [], "answer": {"n": 2}}')])
    async with client(transport) as c:
        assert (await c.agent(parse=flat).run("?")).parsed == {"n": 1}
        assert (await c.agent(parse=flat, tools=[ready], tools_via="schema").run("?")).parsed == {"n": 2}
        nested = {"type": "array", "items": {"$ref": "#"}}
        with pytest.raises(sa.InvalidRequestError, match="contains itself"):
            await c.agent(parse=nested, tools=[ready], tools_via="schema").run("?")
