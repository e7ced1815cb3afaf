"""The texts of a prompt, and bounds and estimates of their tokens."""

from __future__ import annotations

from typing import Any

import pytest

from segmind_async import ToolCall, assistant, image, system, tool_result, user
from segmind_async._providers.prompt_size import (
    bytes_of,
    estimated_tokens,
    has_other_parts,
    min_tokens,
    texts_in,
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
def test_all_texts_count(messages: Any, words: list[str]) -> None:
    assert list(texts_in(messages)) == words


@pytest.mark.parametrize(
    ("messages", "more"),
    [
        ("hello", False),
        ([user("a", "b"), CALLS], False),
        ([user("a", image("https://example.com/a.png"))], True),
    ],
)
def test_parts_other_than_text_are_noticed(messages: Any, more: bool) -> None:
    assert has_other_parts(messages) is more


def test_sizes_and_bounds() -> None:
    assert bytes_of(["abc", "ä€", "\ud83d"]) == 3 + 5 + 1
    assert (estimated_tokens([]), estimated_tokens(["a"]), estimated_tokens(["abcd", "e"])) == (0, 1, 2)
    assert (min_tokens([]), min_tokens(["a"]), min_tokens(["a" * 128]), min_tokens(["a" * 129])) == (
        0,
        1,
        1,
        2,
    )
