"""Types into strict schemas, and answers into values of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.lib._pydantic import to_strict_json_schema
from pydantic import BaseModel, ConfigDict, Field, RootModel, TypeAdapter, create_model, field_validator
from typing_extensions import TypedDict

from segmind_async import InvalidRequestError
from segmind_async._providers.openai import OpenAI
from segmind_async._structured.shape import Shape, ShapeMismatchError, shape_of
from segmind_async._structured.strict_schema import strict
from tests.drawn import Drawn, kinds, models
from tests.structured.published_rules import nodes


class Point(BaseModel):
    x: int
    y: int | None = None


class Tree(BaseModel):
    name: str
    children: list[Tree]
    mother: Annotated[Tree, Field(description="whence")] | None = None


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


class Pet(BaseModel):
    pet: Annotated[Cat | Dog, Field(discriminator="kind")]
    nicknames: set[str]
    home: Point = Field(description="where it lives")


class Spam(Enum):
    YES = "spam"
    NO = "ham"


@dataclass
class Row:
    n: int


class Odd:
    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        raise RuntimeError("on purpose")


class Loose(TypedDict, total=False):
    n: int


def test_a_schema_names_requires_and_closes_everything() -> None:
    shape = shape_of(Pet)
    home = {
        "type": "object",
        "description": "where it lives",
        "properties": {"x": {"type": "integer"}, "y": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
        "required": ["x", "y"],
        "additionalProperties": False,
    }
    assert shape.schema["properties"] == {
        "pet": {"anyOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]},
        "nicknames": {"type": "array", "items": {"type": "string"}},
        "home": home,
    }
    assert shape.schema["required"] == ["pet", "nicknames", "home"]
    assert shape.schema["additionalProperties"] is False
    assert shape.response_format(OpenAI.schema_rules) == {
        "type": "json_schema",
        "json_schema": {"name": "Pet", "strict": True, "schema": shape.schema},
    }


def untitled(schema: Any) -> Any:
    """The vendor's converter keeps the titles that pydantic makes of names."""
    for _, node in nodes(schema):
        node.pop("title", None)
    return schema


@given(models)
def test_a_models_schema_equals_the_vendors_own_conversion(drawn: Drawn) -> None:
    assert shape_of(drawn.kind).schema == untitled(to_strict_json_schema(drawn.kind))


@pytest.mark.parametrize("kind", [Point, Row, TypeAdapter(Point), TypeAdapter(Row)])
def test_an_objects_schema_is_not_wrapped(kind: Any) -> None:
    adapter = kind if isinstance(kind, TypeAdapter) else TypeAdapter(kind)
    assert shape_of(kind).schema == untitled(to_strict_json_schema(adapter))


@pytest.mark.parametrize(
    ("kind", "inner"),
    [
        pytest.param(int, {"type": "integer"}, id="int"),
        pytest.param(Literal["a", "b"], {"enum": ["a", "b"], "type": "string"}, id="literal"),
        pytest.param(Spam, {"enum": ["spam", "ham"], "type": "string"}, id="enum"),
        pytest.param(list[int], {"type": "array", "items": {"type": "integer"}}, id="list"),
        pytest.param(int | None, {"anyOf": [{"type": "integer"}, {"type": "null"}]}, id="union"),
        pytest.param(RootModel[list[int]], {"type": "array", "items": {"type": "integer"}}, id="root-model"),
    ],
)  # fmt: skip
def test_a_type_that_is_no_object_is_wrapped_in_one(kind: Any, inner: Any) -> None:
    assert shape_of(kind).schema == {
        "type": "object",
        "properties": {"value": inner},
        "required": ["value"],
        "additionalProperties": False,
    }


def test_references_of_a_wrapped_type_start_at_the_root() -> None:
    schema: Any = shape_of(list[Point]).schema
    assert schema["properties"]["value"]["items"] == {"$ref": "#/$defs/Point"}
    assert schema["$defs"].keys() == {"Point"}
    assert schema["$defs"]["Point"]["additionalProperties"] is False


def test_a_recursive_type_keeps_its_reference() -> None:
    schema: Any = shape_of(Tree).schema
    mother = schema["properties"]["mother"]["anyOf"][0]
    assert mother == {"description": "whence", "anyOf": [{"$ref": "#/$defs/Tree"}]}
    assert schema["properties"]["children"]["items"] == {"$ref": "#/$defs/Tree"}
    tree = Tree(name="a", children=[Tree(name="b", children=[])], mother=Tree(name="c", children=[]))
    assert shape_of(Tree).read(tree.model_dump_json()) == tree


@given(kinds.flatmap(lambda drawn: st.tuples(st.just(drawn), drawn.values)))
def test_every_value_comes_back_from_its_json(pair: tuple[Drawn, Any]) -> None:
    (kind, _), value = pair
    shape = shape_of(kind)
    text = TypeAdapter(kind).dump_json(value).decode()
    answer = text if "value" not in shape.schema["properties"] else f'{{"value": {text}}}'  # type: ignore[operator]  # a dict
    assert shape.read(answer) == value
    assert shape.read(f"Here you are:\n```json\n{answer}\n```") == value
    # A value that the model did not wrap is accepted too.
    assert shape.read(text) == value


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        pytest.param(dict, "a dict of anything .* name the type of its values", id="bare-dict"),
        pytest.param(list[dict[str, Any]], r"at \[\]: a dict of anything", id="dict-in-a-list"),
        pytest.param(Any, "anything .* is not supported", id="any"),
        pytest.param(list, r"at \[\]: anything", id="bare-list"),
        pytest.param(tuple, r"at \[\]: anything", id="bare-tuple"),
        pytest.param(Annotated[int, Field(json_schema_extra={"not": {"const": 1}})], "'not' is not supported", id="not"),
        pytest.param(Annotated[int, Field(json_schema_extra={"if": {}, "then": {}})], "'if' is not supported", id="if"),
        pytest.param(Literal[tuple(range(1001))], "has 1001 enum values, .* at most 1000", id="enum"),
        pytest.param(5, "the type 5 has no JSON schema", id="no-type"),
        pytest.param(type(lambda: 1), "has no JSON schema", id="function"),
        pytest.param(Annotated[str, Field(pattern="(?=a)")], "cannot be validated: .*look-around", id="look-around"),
        pytest.param("", "cannot be validated", id="no-name"),
        pytest.param(Odd, "cannot be validated: on purpose", id="code-of-the-user"),
        pytest.param("Nowhere", "has no JSON schema: .* not fully defined", id="unresolved"),
    ],
)  # fmt: skip
def test_types_without_a_strict_schema_are_refused(kind: Any, says: str) -> None:
    with pytest.raises(InvalidRequestError, match=says):
        shape_of(kind)


def test_a_refusal_names_the_place_and_an_alternative() -> None:
    class Inner(BaseModel):
        lines: list[int]
        limit: Any

    class Outer(BaseModel):
        inner: Inner | None

    with pytest.raises(InvalidRequestError, match=r"at Inner.limit: anything .* name the types"):
        shape_of(Outer)


def test_a_default_is_told_and_filled_in() -> None:
    class Page(BaseModel):
        limit: int = 10
        note: str | None = None
        tags: list[str] = Field(default_factory=list, description="words")

    schema: Any = shape_of(Page).schema
    assert schema["required"] == ["limit", "note", "tags"]
    assert schema["properties"]["limit"] == {"type": "integer", "description": "default: 10"}
    assert schema["properties"]["tags"]["description"] == "words"
    assert shape_of(Page).read("{}") == Page(limit=10, note=None, tags=[])


def test_a_key_that_is_there_twice_is_no_dict() -> None:
    text = '{"value": [{"key": "a", "value": 1}, {"key": "b", "value": 2}, {"key": "a", "value": 3}]}'
    with pytest.raises(ShapeMismatchError, match="the key 'a' is there twice"):
        shape_of(dict[str, int]).read(text)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        pytest.param(dict[str, int] | list[int], [1, 2], [1, 2], id="a-list-in-a-union-with-a-dict"),
        pytest.param(dict[str, int] | list[int], [{"key": "a", "value": 1}], {"a": 1}, id="and-a-dict"),
        pytest.param(dict[str, int], [], {}, id="an-empty-dict"),
        pytest.param(tuple[int, int] | int, {"item_1": 1, "item_2": 2}, (1, 2), id="a-tuple-in-a-union"),
        pytest.param(tuple[int, int] | int, 5, 5, id="beside-a-tuple"),
        pytest.param(
            dict[Annotated[str, Field(pattern="^a+$")], int],
            [{"key": "aa", "value": 1}],
            {"aa": 1},
            id="patterns",
        ),
    ],
)
def test_pairs_and_numbered_items_are_turned_back(kind: Any, value: Any, expected: Any) -> None:
    assert shape_of(kind).read(json.dumps({"value": value})) == expected


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        pytest.param(dict[str, int], 5, id="no-dict"),
        pytest.param(dict[str, int] | None, "a", id="no-member-of-a-union"),
        pytest.param(tuple[int, int], {"item_1": 1}, id="too-short"),
        pytest.param(tuple[int, int], [1, 2, 3], id="too-long"),
    ],
)
def test_what_fits_no_form_is_refused_as_ever(kind: Any, value: Any) -> None:
    with pytest.raises(ShapeMismatchError, match=r"Input should be|should have at most"):
        shape_of(kind).read(json.dumps({"value": value}))


def test_a_union_of_models_with_dicts_is_told_apart_by_its_tag() -> None:
    class Left(BaseModel):
        side: Literal["left"]
        words: dict[str, int]

    class Right(BaseModel):
        side: Literal["right"]
        words: list[dict[str, str]]

    class Neither(BaseModel):
        other: dict[str, int]

    text = '{"value": {"side": "right", "words": [[{"key": "a", "value": "b"}]]}}'
    assert shape_of(Left | Neither | Right).read(text) == Right(side="right", words=[{"a": "b"}])
    text = '{"value": {"other": [{"key": "a", "value": 1}]}}'
    assert shape_of(Left | Neither).read(text) == Neither(other={"a": 1})


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        pytest.param({"$ref": "#/$defs/Gone", "title": "x"}, "is not defined", id="dangling"),
        pytest.param(
            {"type": "object", "properties": {"a": True}}, "at a: True is not a schema", id="bare-true"
        ),
        pytest.param({"type": "array"}, "a list of anything", id="no-items"),
        pytest.param({"type": "object"}, "an object of anything", id="no-properties"),
        pytest.param({"allOf": [True]}, "True is not a schema", id="all-of-true"),
        pytest.param(
            {"allOf": [{"type": "string"}, {"type": "integer"}]}, "two of 'type'", id="all-of-two-types"
        ),
        pytest.param(
            {"$defs": {"A": {"allOf": [{"$ref": "#/$defs/A"}]}}, "$ref": "#/$defs/A", "description": "d"},
            "stands for itself",
            id="all-of-itself",
        ),
        pytest.param(
            {
                "$defs": {
                    "A": {
                        "type": "object",
                        "properties": {
                            "a": {
                                "allOf": [
                                    {"$ref": "#/$defs/A"},
                                    {"type": "object", "properties": {"b": {"type": "string"}}},
                                ]
                            }
                        },
                    }
                },
                "allOf": [{"$ref": "#/$defs/A"}, {"description": "d"}],
            },
            "contains itself",
            id="all-of-around-itself",
        ),
        pytest.param({"enum": [{"a": 1}]}, "objects and lists in 'enum'", id="objects-in-an-enum"),
        pytest.param(
            {"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "string"}},
            "a tuple with further items",
            id="tuple-with-more",
        ),
        pytest.param(
            {"type": "object", "patternProperties": {"a": {"type": "string"}, "b": {"type": "string"}}},
            "several 'patternProperties'",
            id="several-patterns",
        ),
        pytest.param(
            {"type": "object", "properties": {"a": {"type": "string"}}, "patternProperties": {"b": {}}},
            "'patternProperties' beside properties",
            id="patterns-beside-properties",
        ),
        pytest.param({"$ref": "#/$defs/Gone"}, "is not defined", id="bare-dangling"),
    ],
)
def test_schemas_by_hand_are_refused_too(schema: Any, says: str) -> None:
    with pytest.raises(InvalidRequestError, match=says):
        strict(schema)


def test_the_members_of_an_all_of_become_one_schema() -> None:
    a: Any = {"type": "object", "properties": {"a": {"type": "string"}}, "description": "first"}
    b: Any = {"type": "object", "properties": {"b": {"type": "integer"}}, "required": ["b"]}
    made = strict({"$defs": {"B": b}, "allOf": [a, {"$ref": "#/$defs/B"}], "description": "d"})
    assert {name: value for name, value in made.items() if name != "$defs"} == {
        "type": "object",
        "description": "d",
        "properties": {"a": {"type": "string"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
        "additionalProperties": False,
    }


def nested(levels: int) -> Any:
    kind: Any = int
    for n in range(levels):
        kind = type(f"Level{n}", (BaseModel,), {"__annotations__": {"inner": list[kind] | None}})
    return kind


def test_ten_levels_pass_and_eleven_do_not() -> None:
    assert shape_of(nested(10)).schema["type"] == "object"
    with pytest.raises(InvalidRequestError, match=r"has 11 levels of objects, .* at most 10; split it up"):
        shape_of(nested(11))


@pytest.mark.slow
def test_5000_properties_pass_and_5001_do_not() -> None:
    def wide(count: int) -> Any:
        fields: Any = {f"p{n}": (int, ...) for n in range(count)}
        return create_model("Wide", **fields)

    assert len(shape_of(wide(5000)).schema["required"]) == 5000  # type: ignore[arg-type]  # a list
    with pytest.raises(InvalidRequestError, match="has 5001 properties"):
        shape_of(wide(5001))


def test_extra_fields_are_not_part_of_the_schema() -> None:
    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")
        a: int

    assert shape_of(Open).schema["additionalProperties"] is False


def test_a_class_without_fields_is_an_empty_object() -> None:
    class Empty(BaseModel):
        pass

    assert shape_of(Empty).schema == untitled(to_strict_json_schema(Empty))


@pytest.mark.parametrize(
    ("title", "name"),
    [("Page[int]", "Page_int"), ("ü", "answer"), ("A" * 100, "A" * 64), ("a-b_c9", "a-b_c9")],
)
def test_names_are_valid_for_all_providers(title: str, name: str) -> None:
    shape = shape_of(TypeAdapter(Annotated[int, Field(title=title)]))
    assert shape.name == name
    assert repr(shape) == f"Shape({name!r})"


def test_a_type_is_converted_once() -> None:
    assert shape_of(Point) is shape_of(Point)
    assert shape_of(list[Point]) is shape_of(list[Point])
    adapter = TypeAdapter(int)
    assert shape_of(adapter) is shape_of(adapter)
    unhashable = Annotated[int, Field(gt=3), ["a list"]]
    assert shape_of(unhashable).schema == shape_of(unhashable).schema


@pytest.mark.parametrize(
    ("kind", "text", "says"),
    [
        pytest.param(Point, "{}", "x: Field required, got {}", id="missing"),
        pytest.param(Point, '{"x": "a", "y": []}', "x: Input .* got 'a'; y: Input .* got", id="several"),
        pytest.param(Point, "I cannot", "it is not one JSON value", id="prose"),
        pytest.param(Point, '{"x": 1} {"x": 2}', "it is not one JSON value", id="two"),
        pytest.param(Point, 'so: {"x": "a"}', "x: Input should be a valid integer", id="flawed-in-prose"),
        pytest.param(Point, "[" * 10_000, "it is not one JSON value", id="brackets"),
        pytest.param(Point, '{"x": 1', "it is not one JSON value", id="cut"),
        pytest.param(Point, "", "it is not one JSON value", id="empty"),
        pytest.param(list[Row], '{"value": [{"n": 1}, {"n": "a"}]}', r"\[1\].n: Input should be a valid", id="in-a-list"),
        pytest.param(Literal["a"], '{"value": "b"}', "the answer: Input should be 'a', got 'b'", id="wrapped"),
        pytest.param(Literal["a"], '{"valeu": "a"}', "the answer: Input should be 'a'", id="wrapped-otherwise"),
        pytest.param(float, '{"value": NaN}', "got", id="nan"),
        pytest.param(list[int], json.dumps({"value": ["a"] * 30}), "and 20 more", id="very-many"),
        pytest.param(int, json.dumps({"value": "a" * 1000}), "a…", id="very-long"),
    ],
)  # fmt: skip
def test_an_invalid_answer_is_refused_with_the_place(kind: Any, text: str, says: str) -> None:
    with pytest.raises(ShapeMismatchError, match=says) as caught:
        shape_of(kind).read(text)
    assert len(str(caught.value)) < 2500


@pytest.mark.parametrize(
    "text", ['{"x": 1, "y": 2}', '\ufeff {"x": 1, "y": 2}\n', '```json\n{"x": 1, "y": 2}\n```']
)
def test_a_valid_answer_is_parsed(text: str) -> None:
    assert shape_of(Point).read(text) == Point(x=1, y=2)


def test_a_value_in_prose_is_parsed_for_a_wrapped_type_too() -> None:
    assert shape_of(Spam).read('It is {"value": "ham"}, clearly.') is Spam.NO
    assert shape_of(list[int]).read("They are [1, 2].") == [1, 2]


def test_optional_keys_of_a_typed_dict_may_be_missing() -> None:
    assert shape_of(Loose).schema["required"] == ["n"]
    assert shape_of(Loose).read("{}") == {}


def test_a_validators_message_reaches_the_model_and_its_bugs_the_caller() -> None:
    class Even(BaseModel):
        n: int

        @field_validator("n")
        @classmethod
        def even(cls, n: int) -> int:
            if n == 0:
                raise ZeroDivisionError("a bug")
            if n % 2:
                raise ValueError("must be even")
            return n

    shape: Shape[Even] = shape_of(Even)
    with pytest.raises(ShapeMismatchError, match="n: Value error, must be even, got 3"):
        shape.read('{"n": 3}')
    with pytest.raises(ZeroDivisionError):
        shape.read('{"n": 0}')


def test_the_members_of_an_all_of_are_turned_back_too() -> None:
    schema = {
        "allOf": [
            {
                "type": "object",
                "properties": {"a": {"type": "object", "additionalProperties": {"type": "integer"}}},
            },
            {"type": "object", "properties": {"b": {"const": 1, "type": "integer"}}},
        ]
    }
    assert shape_of(schema).read('{"a": [{"key": "x", "value": 1}], "b": 1}') == {"a": {"x": 1}, "b": 1}


def test_members_of_a_union_are_told_apart_by_constants_and_lengths() -> None:
    kind = Literal["a"] | dict[str, int] | tuple[int, int] | None
    read = shape_of(kind).read
    assert read('{"value": "a"}') == "a"
    assert read('{"value": [{"key": "x", "value": 1}]}') == {"x": 1}
    assert read('{"value": [1, 2]}') == (1, 2)


def test_a_schema_that_repeats_itself_beside_other_keywords_is_not_inlined_for_ever() -> None:
    node = {
        "type": "object",
        "properties": {"next": {"$ref": "#/$defs/N", "default": None, "description": "d"}},
    }
    made: Any = strict({"$defs": {"N": node}, "$ref": "#/$defs/N", "description": "root"})
    assert made["properties"]["next"] == {"description": "d", "anyOf": [{"$ref": "#/$defs/N"}]}


def test_infinite_bounds_bound_nothing() -> None:
    assert strict({"type": "number", "maximum": float("inf"), "minimum": 0}) == {
        "type": "number",
        "minimum": 0,
    }


def test_a_described_reference_to_itself_as_older_schemas_write_it_is_kept() -> None:
    node = {"type": "object", "properties": {"next": {"allOf": [{"$ref": "#/$defs/N"}], "description": "d"}}}
    made: Any = strict({"$defs": {"N": node}, "$ref": "#/$defs/N"})
    assert made["properties"]["next"] == {"description": "d", "anyOf": [{"$ref": "#/$defs/N"}]}
    assert made["$defs"]["N"]["properties"] == made["properties"]
