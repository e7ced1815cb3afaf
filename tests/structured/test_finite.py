"""Types of which no value exists are refused before anything is paid; recursive ones that end are not."""

from __future__ import annotations

from typing import Any, Optional

import pytest
from pydantic import BaseModel, Field

from segmind_async._structured.finite import endless
from segmind_async._structured.shape import shape_of
from segmind_async.errors import InvalidRequestError


class Person(BaseModel):
    name: str
    boss: Optional[Person]  # noqa: UP045  # as many write it


class Tree(BaseModel):
    leaves: list[Tree]


class Loop(BaseModel):
    inside: Loop


class There(BaseModel):
    back: Back


class Back(BaseModel):
    there: There


class Crowd(BaseModel):
    members: list[Crowd] = Field(min_length=1)


class Holder(BaseModel):
    text: str
    loop: Loop


@pytest.mark.parametrize("answer_type", [Person, Tree, list[Tree], Tree | int])
def test_types_that_end_are_taken(answer_type: Any) -> None:
    assert endless(shape_of(answer_type).schema) is None


@pytest.mark.parametrize(
    ("answer_type", "name"),
    [
        (Loop, "Loop"),
        (There, "Back"),
        (Crowd, "Crowd"),
        (Holder, "Loop"),
        (list[Loop] | Loop, None),
        ({"type": "object", "properties": {"a": {"$ref": "#"}}}, "root"),
    ],
)
def test_types_without_a_value_are_refused_by_name(answer_type: Any, name: str | None) -> None:
    if name is None:  # the empty list is one
        assert shape_of(answer_type).wraps
        return
    with pytest.raises(InvalidRequestError, match=f"no value fits '{name}': each must contain another;"):
        shape_of(answer_type)


def test_a_whole_that_refers_to_itself_has_no_name() -> None:
    assert endless({"$ref": "#/$defs/a"}) == ""
    assert endless({"type": "object", "properties": {"a": True}}) is None
