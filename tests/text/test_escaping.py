"""Text from outside as it is shown."""

from __future__ import annotations

from segmind_async._text.escaping import one_line, plain


def test_control_characters_are_escaped_and_lines_stay() -> None:
    assert plain("a\n\tb\x1b[2J \u202e\ud800 é") == "a\n\tb\\x1b[2J \\u202e\\ud800 é"


def test_a_text_of_many_lines_becomes_one_that_steers_nothing() -> None:
    assert one_line(" a\n\tb\x1b[2J \u202e c") == "a b\\x1b[2J \\u202e c"
