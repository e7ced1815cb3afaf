"""Find the one JSON value in a model's text: bare, in a code fence, or with prose around it.

Text with two values is treated like text without any: it is ambiguous.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

_FENCE = "```"
_LANGUAGE = re.compile(r"[\w+-]*[ \t]*\r?\n")
_OPENING = re.compile(r"""\{\s*["}]|\[\s*(?:[]["{\d-]|true|false|null)""")
"""The start of an object or array; brackets in prose rarely continue like this."""


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def only_value(text: str) -> str | None:
    """Return the only JSON object or array in *text*, as text; None if there is none, or more than one."""
    fenced = [inner for inner in _fenced(text) if _is_value(inner)]
    if len(fenced) == 1:
        return fenced[0]
    values = _values(text)
    return values[0] if len(values) == 1 else None


def _fenced(text: str) -> Iterator[str]:
    """Yield the contents of code fences, stripped; a pattern over all of it would be quadratic in blanks."""
    position = 0
    while (opening := text.find(_FENCE, position)) >= 0:
        begins = opening + len(_FENCE)
        language = _LANGUAGE.match(text, begins)
        if language is None:
            position = begins
            continue
        ends = text.find(_FENCE, language.end())
        if ends < 0:
            return
        yield text[language.end() : ends].strip()
        position = ends + len(_FENCE)


def _is_value(text: str) -> bool:
    return _values(text) == [text]


def _values(text: str) -> list[str]:
    """Return the outermost objects and arrays, at most two: more make no difference.

    Empty if something starts like a value and is invalid: a value inside a truncated or malformed one is not
    the answer.
    """
    values: list[str] = []
    position = 0
    while len(values) < 2 and (opening := _OPENING.search(text, position)):
        try:
            _, position = _DECODER.raw_decode(text, opening.start())
        except (ValueError, RecursionError):
            return []
        values.append(text[opening.start() : position])
    return values
