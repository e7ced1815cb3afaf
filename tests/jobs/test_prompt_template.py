"""Requests made of columns: templates, one column alone, system prompts and examples."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import segmind_async as sa
from segmind_async._jobs.own_request import own_request
from segmind_async._jobs.prompt_template import column, template, with_images, with_instruction
from tests.jobs.mappings import read
from tests.pictures import drawn


def test_templates(tmp_path: Path) -> None:
    make = template("Say {word} to {the name}: {{}}")
    got = read(tmp_path / "a.jsonl", b'{"word": "hi", "the name": 5}\n{"word": "hi"}\n', make)
    assert got[0].request == sa.ChatRequest("Say hi to 5: {}")
    assert got[1].problem == "line 2: no column 'the name' among 'word'"


@pytest.mark.parametrize("missing", [None, math.nan])
def test_what_is_missing_is_not_sent(missing: object) -> None:
    with pytest.raises(ValueError, match="no value in column 'text'"):
        template("Spam? {text}")({"text": missing})


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


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    (tmp_path / "pictures").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "pictures" / name).write_bytes(drawn("PNG"))
    return tmp_path / "pictures"


def urls(request: sa.ChatRequest) -> list[str]:
    assert not isinstance(request.messages, str)
    content = request.messages[-1]["content"]
    assert isinstance(content, list)
    return [str(part["image_url"]["url"]) for part in content if part["type"] == "image_url"]


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ({"prompt": "what?", "image": "a.png"}, ["a.png"]),
        ({"prompt": "", "image": ["a.png", "b.png"]}, ["a.png", "b.png"]),
        ({"messages": [sa.system("be brief"), sa.user("what?")], "image": "b.png"}, ["b.png"]),
        (
            {"messages": [sa.user("what?", {"type": "image_url", "image_url": "a.png"})], "image": "b.png"},
            ["a.png", "b.png"],
        ),
        (
            {"messages": [sa.user("what?", {"type": "image_url", "image_url": {"url": "a.png"}})]},
            ["a.png"],
        ),
    ],
    ids=["column", "two", "messages", "part and column", "part"],
)
def test_rows_may_name_images_of_one_folder(pictures: Path, row: dict[str, object], names: list[str]) -> None:
    request = with_images(pictures, own_request)(row)
    assert urls(request) == [(pictures / name).as_uri() for name in names]


def test_images_of_the_web_and_rows_without_one_are_as_before(pictures: Path) -> None:
    make = with_images(pictures, own_request)
    assert make({"prompt": "hi", "image": ""}) == sa.ChatRequest("hi")
    part = {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}}
    messages = [sa.user("what?", part)]
    assert make({"messages": messages}) == sa.ChatRequest(messages)
    assert urls(make({"prompt": "hi", "image": "https://example.com/b.png"})) == ["https://example.com/b.png"]


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"prompt": "what?", "image": "../a.png"}, "'../a.png' is not named by its path"),
        ({"prompt": "what?", "image": 5}, "holds a int, not the name"),
        ({"messages": [sa.assistant("no")], "image": "a.png"}, "needs a last message of the user"),
        ({"messages": ["hi"]}, "a message of it is not an object"),
        ({"messages": [{"role": "user", "content": ["hi"]}]}, "a part of its messages is not an object"),
        ({"messages": [], "image": "a.png"}, "needs a last message of the user"),
        (
            {"messages": [sa.user("?", {"type": "image_url", "image_url": {"url": "/etc/passwd"}})]},
            "'/etc/passwd' is not named by its path",
        ),
        (
            {
                "messages": [
                    sa.user("?", {"type": "image_url", "image_url": {"url": "a.png", "detail": "low"}})
                ]
            },
            "takes no detail",
        ),
    ],
    ids=["outside", "number", "not the user", "no message", "no part", "empty", "part outside", "detail"],
)
def test_a_row_that_names_another_file_is_invalid(pictures: Path, row: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        with_images(pictures, own_request)(row)
