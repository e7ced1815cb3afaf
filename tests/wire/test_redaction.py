"""A key that a server or a proxy echoes is removed, however it spells it."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmind_async._wire.redaction import Redactor
from segmind_async.errors import redact

KEY = 'odd/key+9="x\\yz'


@pytest.mark.parametrize(
    "echo",
    [
        pytest.param(KEY, id="as it is"),
        pytest.param(json.dumps(KEY), id="JSON"),
        pytest.param(json.dumps(KEY).replace("/", "\\/"), id="JSON with escaped slashes"),
        pytest.param(quote(KEY, safe=""), id="a URL"),
        pytest.param(quote(KEY, safe="").replace("%2F", "%2f").replace("%3D", "%3d"), id="a URL, small hex"),
    ],
)
def test_the_key_is_removed_however_it_is_spelt(echo: str) -> None:
    redactor = Redactor(KEY)
    text = f"refused: {echo}."
    expected = text.replace(echo.strip('"'), "SG_[redacted]")
    assert redactor.text(text) == expected
    assert redactor.data(text.encode()) == expected.encode()


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), min_size=1))
def test_no_spelling_of_any_key_stays(key: str) -> None:
    redactor = Redactor(key)
    for echo in (key, json.dumps(key)[1:-1], quote(key, safe="")):
        assert redactor.text(f"\n{echo}\n") in {"\nSG_[redacted]\n", redact(f"\n{echo}\n")}


def test_what_looks_like_a_key_is_removed_whole() -> None:
    assert redact("for SG_abcdef0123-xy_z.") == "for SG_[redacted]."
    assert Redactor("k").data(b"SG_abcdef-0123!") == b"SG_[redacted]!"


def test_an_answer_loses_the_key_and_nothing_else() -> None:
    redactor, headers = (
        Redactor("SG_0123456789abcdef"),
        {"x-request-id": "a-SG_0123456789abcdef", "x-cost": "1"},
    )
    got = redactor.answer(headers, b'{"a": "SG_0123456789abcdef, SG_other"}')
    assert got == ({"x-request-id": "a-SG_[redacted]", "x-cost": "1"}, b'{"a": "SG_[redacted], SG_other"}')
    same = {"x-cost": "1"}
    assert redactor.answer(same, b"{}")[0] is same


def test_a_key_that_may_be_a_word_is_not_looked_for_in_answers() -> None:
    assert Redactor("hello").answer({"x": "hello"}, b"hello") == ({"x": "hello"}, b"hello")
