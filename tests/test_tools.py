"""Functions described as tools, and the arguments models send checked against them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from segmind_async import InvalidRequestError, Tool, tool
from segmind_async.tools import BadArgumentsError, as_tools, is_async, runnable


class Unit(Enum):
    C = "celsius"
    F = "fahrenheit"


class Place(BaseModel):
    city: str
    country: str | None = None


@dataclass
class Range:
    first: int
    last: int = 9


def weather(place: Place, unit: Unit = Unit.C, days: Annotated[int, Field(ge=1, le=7)] = 1) -> str:
    """Tell the weather.

    Args:
        place: Where.
        days: How many days ahead.
    """
    return f"{place.city} {unit.value} {days}"


async def search(query: str, kinds: list[Literal["code", "docs"]] | None = None) -> list[str]:
    return [query, *(kinds or [])]


def nothing() -> None:
    """Do nothing."""


def test_a_function_is_described_by_its_signature_and_docstring() -> None:
    made = tool(weather)
    assert (made.name, made.description) == ("weather", "Tell the weather.")
    assert made.parameters == {
        "$defs": {
            "Place": {
                "properties": {
                    "city": {"type": "string"},
                    "country": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
                },
                "required": ["city"],
                "title": "Place",
                "type": "object",
            },
            "Unit": {"enum": ["celsius", "fahrenheit"], "title": "Unit", "type": "string"},
        },
        "additionalProperties": False,
        "properties": {
            "place": {"$ref": "#/$defs/Place", "description": "Where."},
            "unit": {"$ref": "#/$defs/Unit"},
            "days": {"default": 1, "description": "How many days ahead.", "maximum": 7, "minimum": 1, "type": "integer"},
        },
        "required": ["place"],
        "type": "object",
    }  # fmt: skip


def test_a_function_without_parameters_takes_an_empty_object() -> None:
    assert tool(nothing).parameters == {"additionalProperties": False, "properties": {}, "type": "object"}


def test_name_and_description_can_be_given() -> None:
    made = tool(search, name="find-it", description="Find it.")
    assert (made.name, made.description) == ("find-it", "Find it.")
    assert tool(search).description == ""


def test_an_annotations_description_overrides_the_docstrings() -> None:
    def one(a: Annotated[int, "x", Field(description="by hand")], b: Annotated[int, Field(gt=0)]) -> None:
        """Do.

        Args:
            a: by docstring
            b: by docstring
        """

    one.__annotations__ = {
        "a": Annotated[int, "x", Field(description="by hand")],
        "b": Annotated[int, Field(gt=0)],
    }
    properties: Any = tool(one).parameters["properties"]
    assert (properties["a"]["description"], properties["b"]["description"]) == ("by hand", "by docstring")


def test_any_name_may_be_a_parameters() -> None:
    def odd(model_config: int, schema: str, _hidden: int, copy: int = 5) -> None: ...

    made = tool(odd)
    assert made.arguments('{"model_config": 1, "schema": "s", "_hidden": 2}') == {
        "model_config": 1,
        "schema": "s",
        "_hidden": 2,
    }


class Counter:
    """A counter."""

    def __call__(self, by: int) -> int:
        """Count on."""
        return by

    def method(self, by: int) -> int:
        """Count by method."""
        return by

    async def later(self, by: int) -> int:
        return by


class Quiet:
    """Speaks for its instances."""

    async def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("function", "name", "description", "waits"),
    [
        pytest.param(weather, "weather", "Tell the weather.", False, id="function"),
        pytest.param(search, "search", "", True, id="async"),
        pytest.param(Counter().method, "method", "Count by method.", False, id="method"),
        pytest.param(Counter().later, "later", "", True, id="async method"),
        pytest.param(Counter(), "Counter", "Count on.", False, id="object"),
        pytest.param(Quiet(), "Quiet", "Speaks for its instances.", True, id="async object"),
        pytest.param(functools.partial(weather, days=2), "weather", "Tell the weather.", False, id="partial"),
        pytest.param(functools.partial(search, query="x"), "search", "", True, id="async partial"),
        pytest.param(Range, "Range", "Range(first: int, last: int = 9)", False, id="class"),
    ],
)
def test_any_callable_is_a_tool(
    function: Callable[..., object], name: str, description: str, waits: bool
) -> None:
    made = tool(function)
    assert (made.name, made.description.replace("'int'", "int"), is_async(function)) == (
        name,
        description,
        waits,
    )


def starred(*args: int) -> None: ...


def keywords(**options: int) -> None: ...


def positional(a: int, /) -> None: ...


def bare(a) -> None: ...


def unknown(a: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821  # same


def callback(a: Callable[[], int]) -> None: ...


def odd_type(a: Counter) -> None: ...


@pytest.mark.parametrize(
    ("function", "says"),
    [
        pytest.param(starred, "parameter 'args' of tool 'starred' is variadic positional", id="args"),
        pytest.param(keywords, "parameter 'options' of tool 'keywords' is variadic keyword", id="kwargs"),
        pytest.param(positional, "parameter 'a' of tool 'positional' is positional-only", id="positional"),
        pytest.param(bare, "parameter 'a' of tool 'bare' has no annotation; .* as in a: str", id="bare"),
        pytest.param(
            unknown, "'unknown' has an annotation that cannot be resolved .*Nowhere", id="unknown name"
        ),
        pytest.param(callback, "'callback' has a parameter without a JSON schema", id="callable"),
        pytest.param(odd_type, "'odd_type' has a parameter that JSON cannot carry", id="odd type"),
        pytest.param(lambda: None, r"cannot be named '<lambda>'.*use tool\(function, name=…\)", id="lambda"),
        pytest.param(dict.update, "'update' has no signature", id="no signature"),
    ],
)
def test_functions_that_cannot_be_described_are_refused(function: Callable[..., object], says: str) -> None:
    with pytest.raises(InvalidRequestError, match=says):
        tool(function)


def test_functions_tools_and_descriptions_stand_side_by_side() -> None:
    by_hand = {"type": "function", "function": {"name": "f", "parameters": {}}}
    own = {"type": "web_search"}
    made = tool(search, name="s")
    got = as_tools([weather, made, by_hand, own, {"function": 5}])
    assert [one.name if isinstance(one, Tool) else one for one in got] == [
        "weather", "s", by_hand, own, {"function": 5}
    ]  # fmt: skip


def test_an_agent_runs_only_functions() -> None:
    assert [one.name for one in runnable([weather, tool(search)])] == ["weather", "search"]
    with pytest.raises(InvalidRequestError, match="cannot run 'f', which is only a description"):
        runnable([weather, {"name": "f"}])


@pytest.mark.parametrize(
    ("given", "says"),
    [
        pytest.param([weather, weather], "two tools are named 'weather'", id="twice"),
        pytest.param(
            [weather, {"name": "weather"}], "two tools are named 'weather'", id="twice, once by hand"
        ),
        pytest.param(["weather"], "a tool is a str; give a function", id="a name"),
        pytest.param("weather", "tools is a str; give a list", id="a string"),
        pytest.param({"a": weather}, "tools is a dict; give a list", id="a mapping"),
        pytest.param(weather, "tools is a function; give a list", id="one function"),
    ],
)
def test_invalid_lists_of_tools_are_refused(given: Any, says: str) -> None:
    with pytest.raises(InvalidRequestError, match=says):
        as_tools(given)


@pytest.mark.parametrize(
    ("function", "text", "arguments"),
    [
        pytest.param(weather, '{"place": {"city": "Rome"}}', {"place": Place(city="Rome")}, id="defaults are the function's"),
        pytest.param(weather, '{"place": {"city": "Rome"}, "unit": "fahrenheit", "days": "3"}', {"place": Place(city="Rome"), "unit": Unit.F, "days": 3}, id="values become types"),
        pytest.param(search, '{"query": "x", "kinds": null}', {"query": "x", "kinds": None}, id="null is not the default"),
        pytest.param(nothing, "", {}, id="nothing at all"),
        pytest.param(nothing, " null ", {}, id="null for nothing"),
        pytest.param(nothing, "{}", {}, id="an empty object"),
    ],
)  # fmt: skip
def test_arguments(function: Callable[..., object], text: str, arguments: dict[str, Any]) -> None:
    assert tool(function).arguments(text) == arguments


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param('{"place": {"city": "Ro', "arguments: Invalid JSON", id="cut"),
        pytest.param("[]", "arguments: Input should be an object, got ", id="a list"),
        pytest.param("{}", "place: Field required, got {}", id="missing"),
        pytest.param('{"place": {"city": 5}}', "place.city: Input should be a valid string, got 5", id="nested"),
        pytest.param('{"place": {"city": "x"}, "days": 9}', "days: Input should be less than or equal to 7, got 9", id="range"),
        pytest.param('{"place": {"city": "x"}, "day": 9}', "day: Extra inputs are not permitted, got 9", id="misspelt"),
        pytest.param('{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1}', "; and 2 more", id="many"),
    ],
)  # fmt: skip
def test_invalid_arguments_are_explained_to_the_model(text: str, says: str) -> None:
    with pytest.raises(BadArgumentsError) as caught:
        tool(weather).arguments(text)
    assert says in str(caught.value)


def test_a_long_value_is_not_repeated_in_full() -> None:
    with pytest.raises(BadArgumentsError) as caught:
        tool(weather).arguments('{"place": "%s"}' % ("x" * 10_000))
    assert len(str(caught.value)) < 300


def test_a_default_that_is_not_json_is_left_to_the_function() -> None:
    def one(a: Range = Range(1, 2)) -> None: ...  # noqa: B008  # what the test is about

    one.__annotations__ = {"a": Range}
    made = tool(one)
    assert "default" not in str(made.parameters["properties"]["a"])  # type: ignore[index]  # a mapping
    assert made.arguments("{}") == {}


def test_a_default_that_json_cannot_say_is_the_functions_own() -> None:
    def wait(seconds: float = float("inf")) -> str:
        return str(seconds)

    made = tool(wait)
    assert "default" not in str(made.parameters)
    assert made.arguments("{}") == {}
