"""Exceptions as they are told."""

from __future__ import annotations

from typing import Any, cast

import pytest

from segmind_async._text.error_text import class_and_message, message_of


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise self


class NoTextError(Exception):
    __str__ = cast("Any", lambda _: 5)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        pytest.param(ValueError("odd"), "odd", id="plain"),
        pytest.param(UnspeakableError(), "its message cannot be read", id="raises itself"),
        pytest.param(NoTextError(), "its message cannot be read", id="returns no text"),
    ],
)
def test_every_exception_has_a_text(error: Exception, message: str) -> None:
    assert message_of(error) == message
    assert class_and_message(error) == f"{type(error).__name__}: {message}"
