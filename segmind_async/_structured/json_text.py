"""The one JSON value in a model's words: bare, in a code fence, or with prose around it.

Two values are as bad as none: which one was meant, nobody can tell.
"""

from __future__ import annotations

import json
import re

_FENCE = re.compile(r"```[\w+-]*[ \t]*\r?\n(.*?)\r?\n?[ \t]*```", re.S)
_OPENING = re.compile(r"""\{\s*["}]|\[\s*(?:[]["{\d-]|true|false|null)""")
"""What may begin an object or an array; a bracket of prose rarely goes on like this."""


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def only_value(text: str) -> str | None:
    """Return the text of the only JSON object or array in *text*; None if there is none, or several."""
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
    """Return the outermost objects and arrays, two at most: more change nothing.

    What begins like one and is none spoils the rest: a part of a cut or flawed value is not what was meant.
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
