"""Find the one JSON value in a model's text: bare, in a code fence, or with prose around it.

Text with two values is treated like text without any: it is ambiguous.
"""

from __future__ import annotations

import json
import re

_FENCE = re.compile(r"```[\w+-]*[ \t]*\r?\n(.*?)\r?\n?[ \t]*```", re.S)
_OPENING = re.compile(r"""\{\s*["}]|\[\s*(?:[]["{\d-]|true|false|null)""")
"""The start of an object or array; brackets in prose rarely continue like this."""


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def only_value(text: str) -> str | None:
    """Return the only JSON object or array in *text*, as text; None if there is none, or more than one."""
    fenced = [inner for inner in _FENCE.findall(text) if _is_value(inner)]
    if len(fenced) == 1:
        found: str = fenced[0]
        return found.strip()
    values = _values(text)
    return values[0] if len(values) == 1 else None


def _is_value(text: str) -> bool:
    stripped = text.strip()
    return _values(stripped) == [stripped]


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
