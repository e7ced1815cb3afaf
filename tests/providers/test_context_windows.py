"""What of a conversation counts towards a model's window, and the least it can come to."""

from __future__ import annotations

from typing import Any

import pytest

from segmind_async import (
    ToolCall,
    assistant,
    image,
    system,
    tool_result,
    user,
)
from segmind_async._providers.context_windows import (
    estimated,
    has_more_than_words,
    least,
    size_of,
    uses_o200k,
    words_of,
)

CALLS = {"role": "assistant", "content": None, "tool_calls": [{"function": {"arguments": '{"a": 1}'}}, {}, 5]}


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ("hello", ["hello"]),
        (
            [system("a"), user("b", image("https://example.com/a.png"), "c"), assistant("d")],
            ["a", "b", "c", "d"],
        ),
        ([CALLS, tool_result(ToolCall("1", "f", ""), "result")], ['{"a": 1}', "result"]),
        ([{"role": "user", "content": 5}, {"role": "user", "content": ["x", {"text": 5}]}], []),
    ],
)
def test_all_words_count(messages: Any, words: list[str]) -> None:
    assert list(words_of(messages)) == words


@pytest.mark.parametrize(
    ("messages", "more"),
    [
        ("hello", False),
        ([user("a", "b"), CALLS], False),
        ([user("a", image("https://example.com/a.png"))], True),
    ],
)
def test_what_is_no_text_is_noticed(messages: Any, more: bool) -> None:
    assert has_more_than_words(messages) is more


def test_sizes_and_bounds() -> None:
    assert size_of(["abc", "ä€", "\ud83d"]) == 3 + 5 + 1
    assert (estimated([]), estimated(["a"]), estimated(["abcd", "e"])) == (0, 1, 2)
    assert (least([]), least(["a"]), least(["a" * 128]), least(["a" * 129])) == (0, 1, 1, 2)


@pytest.mark.parametrize(
    ("model", "known"),
    [("gpt-5.4-mini", True), ("o3", True), ("gpt-4o", True), ("claude-4-sonnet", False), ("gpt-oss", False)],
)
def test_whose_vocabulary_is_known(model: str, known: bool) -> None:
    assert uses_o200k(model) is known
