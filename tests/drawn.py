"""Types drawn by chance, each with a strategy for its values."""

from __future__ import annotations

import dataclasses
import itertools
from datetime import date
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple, Optional

from hypothesis import strategies as st
from pydantic import BaseModel, Field, create_model
from typing_extensions import TypedDict

_numbers = itertools.count()


class Drawn(NamedTuple):
    kind: Any
    values: st.SearchStrategy[Any]


class Colour(Enum):
    RED = "red"
    BLUE = 2


_words = st.text(st.characters(codec="utf-8"), max_size=8)
_PLAIN = [
    Drawn(int, st.integers(-(2**53), 2**53)),
    Drawn(float, st.floats(allow_nan=False, allow_infinity=False)),
    Drawn(str, _words),
    Drawn(bool, st.booleans()),
    Drawn(date, st.dates()),
    Drawn(Colour, st.sampled_from(Colour)),
    Drawn(Literal["a", "b", 3], st.sampled_from(["a", "b", 3])),
    Drawn(Annotated[int, Field(gt=3, le=9)], st.integers(4, 9)),
    Drawn(Annotated[str, Field(description="a word")], _words),
    Drawn(None, st.none()),
]


def _listed(item: Drawn) -> Drawn:
    return Drawn(list.__class_getitem__(item.kind), st.lists(item.values, max_size=3))


def _optional(item: Drawn) -> Drawn:
    return Drawn(Optional[item.kind], st.none() | item.values)  # noqa: UP045  # of None alone `|` makes no type


@st.composite
def _record(draw: st.DrawFn, parts: st.SearchStrategy[Drawn]) -> Drawn:
    fields = {f"f{n}": part for n, part in enumerate(draw(st.lists(parts, min_size=1, max_size=4)))}
    name = f"Drawn{next(_numbers)}"
    values = {field: part.values for field, part in fields.items()}
    kinds: dict[str, Any] = {field: part.kind for field, part in fields.items()}
    form = draw(st.sampled_from(["model", "dataclass", "typed dict"]))
    if form == "dataclass":
        made: Any = dataclasses.make_dataclass(name, list(kinds.items()))
        return Drawn(made, st.builds(made, **values))
    if form == "typed dict":
        return Drawn(TypedDict(name, kinds), st.fixed_dictionaries(values))  # type: ignore[operator]  # made of what was drawn
    return _model(draw, name, kinds, values)


def _model(draw: st.DrawFn, name: str, kinds: dict[str, Any], values: dict[str, Any]) -> Drawn:
    definitions: dict[str, Any] = {}
    for field, kind in kinds.items():
        # A description beside a reference, and a None to fall back on, are what the converters differ over.
        described = Field(description=f"about {field}") if draw(st.booleans()) else Field()
        optional = draw(st.booleans())
        # `|` makes no type of None alone.
        definitions[field] = (Optional[kind], Field(None)) if optional else (kind, described)  # noqa: UP045
        if optional:
            values = {**values, field: st.none() | values[field]}
    made = create_model(name, **definitions)
    return Drawn(made, st.builds(made, **values))


def _deeper(parts: st.SearchStrategy[Drawn]) -> st.SearchStrategy[Drawn]:
    return st.one_of(parts.map(_listed), parts.map(_optional), _record(parts))


kinds = st.recursive(st.sampled_from(_PLAIN), _deeper, max_leaves=8)
"""Any type."""

models = _record(kinds).filter(
    lambda drawn: isinstance(drawn.kind, type) and issubclass(drawn.kind, BaseModel)
)
"""Pydantic models only."""
