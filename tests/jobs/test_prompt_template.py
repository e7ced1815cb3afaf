"""Requests made of columns: templates, one column alone, system prompts and examples."""

from __future__ import annotations

from pathlib import Path

import pytest

import segmind_async as sa
from segmind_async._jobs.own_request import own_request
from segmind_async._jobs.prompt_template import column, template, with_instruction
from tests.jobs.mappings import read


def test_templates(tmp_path: Path) -> None:
    make = template("Say {word} to {the name}: {{}}")
    got = read(tmp_path / "a.jsonl", b'{"word": "hi", "the name": 5}\n{"word": "hi"}\n', make)
    assert got[0].request == sa.ChatRequest("Say hi to 5: {}")
    assert got[1].problem == "line 2: no column 'the name' among 'word'"


def test_what_is_no_text_goes_into_a_template_as_json() -> None:
    make = template("{tags} {price} {on}")
    assert make({"tags": ["a", {"b": None}], "price": 2.5, "on": True}) == sa.ChatRequest(
        '["a",{"b":null}] 2.5 True'
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "write {{ and }}"),
        ("{a.b}", "'a.b', which is not a plain column name"),
        ("{a[0]}", "not a plain"),
        ("{}", "names ''"),
        ("{a.__class__}", "'a.__class__', which is not a plain column name"),
        ("{a!r}", "gives 'a' a format or conversion; write {a} alone"),
        ("{a:>100000000}", "gives 'a' a format"),
        ("{a:{b}}", "gives 'a' a format"),
    ],
)
def test_flawed_templates(text: str, says: str) -> None:
    with pytest.raises(sa.ConfigurationError, match=says):
        template(text)


def test_a_system_prompt_goes_before(tmp_path: Path) -> None:
    make = with_instruction("be brief", own_request)
    got = read(
        tmp_path / "a.jsonl", b'{"prompt": "x"}\n{"messages": [{"role": "user", "content": "y"}]}\n', make
    )
    assert [row.request for row in got] == [
        sa.ChatRequest([sa.system("be brief"), sa.user("x")]),
        sa.ChatRequest([sa.system("be brief"), sa.user("y")]),
    ]


def test_examples_go_between_the_system_prompt_and_the_question() -> None:
    make = with_instruction("sort", column("text"), [("1 + 1", "2")])
    assert make({"text": "2 + 2"}).messages == [
        sa.system("sort"), sa.user("1 + 1"), sa.assistant("2"), sa.user("2 + 2"),
    ]  # fmt: skip


def test_a_column(tmp_path: Path) -> None:
    got = read(tmp_path / "a.jsonl", b'{"text": "x"}\n{"text": 1}\n', column("text"))
    assert got[0].request == sa.ChatRequest("x")
    assert got[1].problem == "line 2: no text in column 'text', only 'text'"
