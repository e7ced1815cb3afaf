"""The one JSON value in a model's text."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmind_async._structured.json_text import only_value

VALUE = '{"a": [1, {"b": "}"}]}'


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(VALUE, id="bare"),
        pytest.param(f"```json\n{VALUE}\n```", id="fence"),
        pytest.param(f"```\n{VALUE}```", id="fence-without-a-language-or-a-last-line"),
        pytest.param(f"Sure! Here it is:\n```json\r\n{VALUE}\r\n```\nAnything else?", id="fence-in-prose"),
        pytest.param(f"The answer is {VALUE}. I hope that helps.", id="prose"),
        pytest.param(f"Open with {{ and close with }}: {VALUE}", id="a-brace-in-prose"),
        pytest.param(f"As [said] above (see [citation needed]): {VALUE}", id="brackets-that-are-no-json"),
        pytest.param(f"```python\nprint(1)\n```\n```json\n{VALUE}\n```", id="another-fence-without-json"),
        pytest.param(f"{VALUE}\n```\nnot json\n```", id="a-value-beside-a-fence"),
        pytest.param(f"{{ NaN }} {VALUE}", id="invalid-json-before-it"),
    ],
)
def test_one_value_is_found_in_any_surroundings(text: str) -> None:
    assert only_value(text) == VALUE


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("no json here", id="prose"),
        pytest.param("42", id="a-bare-number"),
        pytest.param(f"{VALUE} {VALUE}", id="two"),
        pytest.param(f"{VALUE}\n{{}}\n[]", id="three"),
        pytest.param(f"```json\n{VALUE}\n```\nor\n```json\n[]\n```", id="two-fences"),
        pytest.param(VALUE[:-1], id="cut"),
        pytest.param('{"a": [1], "b": [2], ', id="cut-after-a-whole-part"),
        pytest.param('{"a": 1, "b": {"c": 2}, "d" 3}', id="flawed-with-a-whole-part"),
        pytest.param('{"the key is cut [1] ', id="cut-in-the-first-word"),
        pytest.param('{"a": NaN}', id="nan"),
        pytest.param("[" * 100_000, id="brackets-without-end"),
        pytest.param(f"[{'1' * 5000}]", id="a-number-without-end"),
    ],
)
def test_text_without_exactly_one_value_has_none(text: str) -> None:
    assert only_value(text) is None


@given(st.text(max_size=40), st.text(max_size=40), st.recursive(st.integers(), st.lists, max_leaves=5))
def test_a_value_between_words_without_brackets_is_found(before: str, after: str, value: object) -> None:
    text = json.dumps({"it": value})
    around = [words.translate({ord(c): "-" for c in "{[`"}) for words in (before, after)]
    assert only_value(f"{around[0]} {text} {around[1]}") == text


@given(st.text(alphabet='{}[]"\\:, \n`1a', max_size=200))
def test_no_text_raises(text: str) -> None:
    found = only_value(text)
    assert found is None or isinstance(json.loads(found), dict | list)


def test_blanks_without_end_take_no_more_than_their_length() -> None:
    # A pattern that backtracks takes hours for this; models do run into blanks.
    assert only_value("```json\n{" + " " * 2_000_000) is None
    assert only_value("```json\n" * 200_000) is None
    assert only_value("{ " * 200_000) is None
    assert only_value("```" * 500_000) is None


def test_a_fence_without_a_line_break_is_no_fence() -> None:
    assert only_value('```json {"a": 1}```') == '{"a": 1}'
    assert only_value('```\n{"a": 1}\n``` and ```\n{"b": 2}\n```') is None
