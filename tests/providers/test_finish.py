"""How an answer ended."""

from __future__ import annotations

from typing import Any

import pytest

from segmind_async._providers.finish import Finish, finish_of, refusal_of


def openai(**message: object) -> Any:
    return {"choices": [{"message": message}]}


@pytest.mark.parametrize(
    ("reason", "raw", "ending"),
    [
        pytest.param("stop", openai(content="hi", refusal=None), Finish.WHOLE, id="openai"),
        pytest.param("end_turn", {"content": []}, Finish.WHOLE, id="claude"),
        pytest.param("STOP", {"candidates": []}, Finish.WHOLE, id="gemini"),
        pytest.param("tool_calls", openai(content=None), Finish.WHOLE, id="tools"),
        pytest.param(None, {}, Finish.WHOLE, id="unsaid"),
        pytest.param("a_new_word", {}, Finish.WHOLE, id="unheard-of"),
        pytest.param("length", openai(content="h"), Finish.CUT, id="openai-cut"),
        pytest.param("max_tokens", {}, Finish.CUT, id="claude-cut"),
        pytest.param("model_context_window_exceeded", {}, Finish.CUT, id="claude-window"),
        pytest.param("MAX_TOKENS", {}, Finish.CUT, id="gemini-cut"),
        pytest.param("stop", openai(content=None, refusal="no"), Finish.REFUSED, id="openai-refusal"),
        pytest.param("length", openai(content=None, refusal="no"), Finish.REFUSED, id="a-refusal-cut-short"),
        pytest.param("content_filter", openai(content=""), Finish.REFUSED, id="a-filter"),
        pytest.param("refusal", {}, Finish.REFUSED, id="claude-refusal"),
        pytest.param("SAFETY", {}, Finish.REFUSED, id="gemini-safety"),
        pytest.param("PROHIBITED_CONTENT", {}, Finish.REFUSED, id="gemini-prohibited"),
    ],
)
def test_endings(reason: str | None, raw: Any, ending: Finish) -> None:
    assert finish_of(reason, raw) is ending


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
