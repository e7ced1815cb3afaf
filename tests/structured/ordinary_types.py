"""Sixty types as people pass them in, each with a value; also for `benchmarks/schemas.py`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, Optional, TypeVar
from uuid import UUID

from annotated_types import Len, MultipleOf
from pydantic import (
    UUID4,
    AnyUrl,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    HttpUrl,
    Json,
    RootModel,
    SecretStr,
    StringConstraints,
    conlist,
)
from typing_extensions import TypedDict

T = TypeVar("T")


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Place(BaseModel):
    name: str
    people: int


class Described(BaseModel):
    """A person in a text."""

    name: str = Field(description="Full name")
    email: str | None = Field(None, description="Address, if given")


class Bounded(BaseModel):
    age: int = Field(ge=0, le=150)
    share: float = Field(gt=0, lt=1)
    even: Annotated[int, MultipleOf(2)]


class Texts(BaseModel):
    code: str = Field(min_length=2, max_length=5)
    word: Annotated[str, StringConstraints(pattern=r"^[a-z]+$", strip_whitespace=True)]


class Defaults(BaseModel):
    limit: int = 10
    tags: list[str] = Field(default_factory=list)
    name: str = "nobody"


class Examples(BaseModel):
    city: str = Field(examples=["Bonn", "Rome"], title="The city")


class Old(BaseModel):
    code: str = Field(deprecated="use name")
    name: str


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    n: int


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")
    n: int


class Aliased(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    first_name: str = Field(alias="firstName")


class Titled(BaseModel):
    title: str
    type: str
    description: str


class Tree(BaseModel):
    name: str
    children: list[Tree]


class Employee(BaseModel):
    name: str
    manager: Optional[Employee] = None  # noqa: UP045  # as people write it


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int


class Dog(BaseModel):
    kind: Literal["dog"]
    tricks: list[str]


class Owner(BaseModel):
    pet: Annotated[Cat | Dog, Discriminator("kind")]


class Shared(BaseModel):
    home: Place = Field(description="where they live")
    work: Place = Field(description="where they work")


class Counts(BaseModel):
    words: dict[str, int]
    places: dict[str, Place] = Field(min_length=1)


class Tuples(BaseModel):
    pair: tuple[int, str]
    points: list[tuple[float, float]]


class Line(NamedTuple):
    start: int
    end: int


class Page(BaseModel, Generic[T]):
    items: list[T]
    more: bool


@dataclass
class Row:
    n: int
    names: list[str] = field(default_factory=list)


class Keyed(TypedDict):
    n: int
    note: NotRequired[str]


class Partial(TypedDict, total=False):
    n: int


class Times(BaseModel):
    day: date
    at: time
    moment: datetime
    length: timedelta
    zoned: AwareDatetime


class Nets(BaseModel):
    four: IPv4Address
    six: IPv6Address


class Links(BaseModel):
    page: HttpUrl
    any: AnyUrl


class Ids(BaseModel):
    any: UUID
    four: UUID4


class Limited(BaseModel):
    two: conlist(int, min_length=2, max_length=2)  # type: ignore[valid-type]
    some: Annotated[list[str], Len(1, 5)]


class Deep(BaseModel):
    class Inner(BaseModel):
        class Core(BaseModel):
            n: int | None

        core: list[Core]

    inner: Inner | None


class Many(BaseModel):
    a: int | None
    b: str | None
    c: float | None
    d: bool | None
    e: list[int] | None
    f: Place | None
    g: date | None


class Wide(BaseModel):
    """More unions than Claude takes."""

    __annotations__ = {f"f{n}": "int | None" for n in range(20)}


class Ticket(BaseModel):
    title: str
    urgency: Literal["low", "high"]
    order: int | None = None
    labels: set[Colour]
    history: list[dict[str, str]]


PLACE = {"name": "Bonn", "people": 3}

TYPES: list[tuple[str, Any, Any]] = [
    ("int", int, 3),
    ("float", float, 1.5),
    ("str", str, "tea"),
    ("bool", bool, True),
    ("none", None, None),
    ("optional", int | None, None),
    ("union", int | str, "tea"),
    ("literal", Literal["a", "b"], "a"),
    ("literal-numbers", Literal[1, 2], 2),
    ("literal-true", Literal[True], True),
    ("literal-mixed", Literal["a", 1, None], None),
    ("enum", Colour, "red"),
    ("int-enum", Level, 2),
    ("list", list[int], [1, 2]),
    ("list-of-models", list[Place], [PLACE]),
    ("list-of-unions", list[Place | Cat], [PLACE, {"kind": "cat", "lives": 9}]),
    ("sequence", Sequence[str], ["a"]),
    ("set", set[int], [1]),
    ("frozenset", frozenset[str], ["a"]),
    ("dict", dict[str, int], {"a": 1, "b": 2}),
    ("dict-of-lists", dict[str, list[int]], {"a": [1]}),
    ("dict-of-dicts", dict[str, dict[str, Place]], {"a": {"b": PLACE}}),
    ("dict-by-int", dict[int, str], {"1": "a"}),
    ("dict-by-literal", dict[Literal["a", "b"], int], {"a": 1}),
    ("dict-by-enum", dict[Colour, int], {"red": 1}),
    ("mapping-or-none", Mapping[str, float] | None, {"a": 0.5}),
    ("tuple", tuple[int, str], [1, "a"]),
    ("tuple-of-any-length", tuple[int, ...], [1, 2, 3]),
    ("named-tuple", Line, [1, 2]),
    ("model", Place, PLACE),
    ("described", Described, {"name": "Ann", "email": None}),
    ("bounds", Bounded, {"age": 3, "share": 0.5, "even": 4}),
    ("lengths", Texts, {"code": "abc", "word": "tea"}),
    ("defaults", Defaults, {"limit": 3, "tags": ["a"], "name": "Ann"}),
    ("examples", Examples, {"city": "Bonn"}),
    ("deprecated", Old, {"code": "a", "name": "b"}),
    ("strict", Strict, {"n": 1}),
    ("extra", Loose, {"n": 1}),
    ("alias", Aliased, {"firstName": "Ann"}),
    ("properties-named-as-keywords", Titled, {"title": "a", "type": "b", "description": "c"}),
    ("recursive-list", Tree, {"name": "a", "children": [{"name": "b", "children": []}]}),
    ("recursive-optional", Employee, {"name": "a", "manager": {"name": "b", "manager": None}}),
    ("discriminated", Owner, {"pet": {"kind": "dog", "tricks": ["sit"]}}),
    ("shared", Shared, {"home": PLACE, "work": PLACE}),
    ("dicts-in-a-model", Counts, {"words": {"a": 1}, "places": {"b": PLACE}}),
    ("tuples-in-a-model", Tuples, {"pair": [1, "a"], "points": [[0.5, 1.5]]}),
    ("generic", Page[Place], {"items": [PLACE], "more": False}),
    ("dataclass", Row, {"n": 1, "names": ["a"]}),
    ("typed-dict", Keyed, {"n": 1, "note": "a"}),
    ("partial-typed-dict", Partial, {"n": 1}),
    (
        "times",
        Times,
        {
            "day": "2026-11-01",
            "at": "09:30:00",
            "moment": "2026-11-01T09:30:00",
            "length": "PT90S",
            "zoned": "2026-11-01T09:30:00Z",
        },
    ),
    ("addresses", Nets, {"four": "192.0.2.1", "six": "2001:db8::1"}),
    ("links", Links, {"page": "https://example.com/", "any": "ftp://example.com/"}),
    (
        "ids",
        Ids,
        {"any": "5d6f8a6e-7e43-4f51-9e0c-0b1f6c1c2d3e", "four": "5d6f8a6e-7e43-4f51-9e0c-0b1f6c1c2d3e"},
    ),
    ("list-lengths", Limited, {"two": [1, 2], "some": ["a"]}),
    ("deep", Deep, {"inner": {"core": [{"n": None}]}}),
    ("many-optional", Many, dict.fromkeys("abcdefg")),
    ("too-many-unions-for-claude", Wide, {f"f{n}": n for n in range(20)}),
    ("decimal", Decimal, "1.50"),
    ("path", Path, "a/b"),
    ("secret", SecretStr, "s"),
    ("bytes", bytes, "abc"),
    ("json-text", Json[list[int]], "[1]"),
    ("pattern", re.Pattern, "a+"),
    ("root-model", RootModel[list[Place]], [PLACE]),
    (
        "everything",
        Ticket,
        {"title": "a", "urgency": "low", "order": 1, "labels": ["red"], "history": [{"a": "b"}]},
    ),
]
