"""Remove the API key, and everything that looks like one, from texts that leave the library."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from urllib.parse import quote

from ..errors import KEY_PATTERN, REDACTED, redact
from .failures import Failure
from .headers import Headers

_KEY = re.compile(KEY_PATTERN.encode())

_SHORTEST_IN_ANSWERS = 12
"""Characters of a key below which it may be a word of an answer; the service's have 19."""


class Redactor:
    """Removes the keys of a client, of any form; its own repr and pickle do not contain them.

    A server may echo it as it is, within JSON or within a URL.
    """

    __slots__ = ("_data", "_in_answers", "_text")

    def __init__(self, *keys: str) -> None:
        self._text, self._data = _patterns(keys)
        long = [key for key in keys if len(key) >= _SHORTEST_IN_ANSWERS]
        self._in_answers = _patterns(long) if long else None

    def __repr__(self) -> str:
        return "Redactor()"

    def __reduce__(self) -> str:
        raise TypeError("a Redactor holds an API key and is not pickled")

    def text(self, text: str) -> str:
        """Return *text* without the key."""
        return redact(self._text.sub(REDACTED, text))

    def data(self, data: bytes) -> bytes:
        """Return *data* without the key."""
        return _KEY.sub(REDACTED.encode(), self._data.sub(REDACTED.encode(), data))

    def answer(self, headers: Mapping[str, str], body: bytes) -> tuple[Mapping[str, str], bytes]:
        """Return an answer without the key, and otherwise unchanged: other keys may be what it is about."""
        if self._in_answers is None:
            return headers, body
        text, data = self._in_answers
        texts = headers.texts() if isinstance(headers, Headers) else headers.values()
        if text.search("\n".join(texts)):
            headers = {name: text.sub(REDACTED, value) for name, value in headers.items()}
        return headers, data.sub(REDACTED.encode(), body)

    def failure(self, failure: Failure) -> Failure:
        """Return *failure* without the key: a server or proxy may echo the request."""
        return replace(
            failure,
            message=self.text(failure.message),
            body=self.data(failure.body),
            headers={name: self.text(value) for name, value in failure.headers.items()},
        )


def _patterns(keys: Sequence[str]) -> tuple[re.Pattern[str], re.Pattern[bytes]]:
    """Return patterns of any of *keys* in texts and in bytes."""
    pattern = "|".join(spelling for key in keys for spelling in _spellings(key))
    return re.compile(pattern), re.compile(pattern.encode())


def short_names(keys: Sequence[str]) -> list[str]:
    """Return what may be shown of several keys: their last four characters, and a number if it takes one.

    Of a key so short that these would be a large part of it only its place is shown.
    """
    ends = [f"…{key[-4:]}" if len(key) >= _SHORTEST_IN_ANSWERS else "key" for key in keys]
    return [
        f"{end} {place}" if end == "key" or ends.count(end) > 1 else end
        for place, end in enumerate(ends, start=1)
    ]


def _spellings(key: str) -> list[str]:
    """Return patterns of a key as it is, within a JSON text, and percent-encoded."""
    in_json = json.dumps(key)[1:-1]
    in_url = re.sub(r"%[0-9A-F]{2}", lambda found: f"(?i:{found[0]})", re.escape(quote(key, safe="")))
    found = [re.escape(key), re.escape(in_json), re.escape(in_json.replace("/", "\\/")), in_url]
    return sorted({*found}, key=len, reverse=True)
