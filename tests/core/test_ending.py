"""How an answer ended."""

from __future__ import annotations

from typing import Any

import pytest

from segmind_async._core.ending import Ending, ending_of, refusal_of


def openai(**message: object) -> Any:
    return {"choices": [{"message": message}]}


@pytest.mark.parametrize(
    ("reason", "raw", "ending"),
    [
        pytest.param("stop", openai(content="hi", refusal=None), Ending.WHOLE, id="openai"),
        pytest.param("end_turn", {"content": []}, Ending.WHOLE, id="claude"),
        pytest.param("STOP", {"candidates": []}, Ending.WHOLE, id="gemini"),
        pytest.param("tool_calls", openai(content=None), Ending.WHOLE, id="tools"),
        pytest.param(None, {}, Ending.WHOLE, id="unsaid"),
        pytest.param("a_new_word", {}, Ending.WHOLE, id="unheard-of"),
        pytest.param("length", openai(content="h"), Ending.CUT, id="openai-cut"),
        pytest.param("max_tokens", {}, Ending.CUT, id="claude-cut"),
        pytest.param("model_context_window_exceeded", {}, Ending.CUT, id="claude-window"),
        pytest.param("MAX_TOKENS", {}, Ending.CUT, id="gemini-cut"),
        pytest.param("stop", openai(content=None, refusal="no"), Ending.REFUSED, id="openai-refusal"),
        pytest.param("length", openai(content=None, refusal="no"), Ending.REFUSED, id="a-refusal-cut-short"),
        pytest.param("content_filter", openai(content=""), Ending.REFUSED, id="a-filter"),
        pytest.param("refusal", {}, Ending.REFUSED, id="claude-refusal"),
        pytest.param("SAFETY", {}, Ending.REFUSED, id="gemini-safety"),
        pytest.param("PROHIBITED_CONTENT", {}, Ending.REFUSED, id="gemini-prohibited"),
    ],
)
def test_endings(reason: str | None, raw: Any, ending: Ending) -> None:
    assert ending_of(reason, raw) is ending


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (openai(refusal="no"), "no"),
        (openai(refusal=""), None),
        (openai(refusal=5), None),
        (openai(content="hi"), None),
        ({"choices": []}, None),
        ({"choices": ["odd"]}, None),
        ({"choices": [{"message": "odd"}]}, None),
        ({}, None),
    ],
)
def test_a_refusals_words(raw: Any, words: str | None) -> None:
    assert refusal_of(raw) == words
