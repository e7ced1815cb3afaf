"""Remove the API key, and everything that looks like one, from texts that leave the library."""

from __future__ import annotations

import re
from dataclasses import replace

from ..errors import redact
from .failures import Failure

_KEY = re.compile(rb"SG_\w+")
_REPLACEMENT = "SG_[redacted]"


class Redactor:
    """Removes one key, of any form; its own repr and pickle do not contain the key."""

    __slots__ = ("_key",)

    def __init__(self, key: str) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "Redactor()"

    def __reduce__(self) -> str:
        raise TypeError("a Redactor holds an API key and is not pickled")

    def text(self, text: str) -> str:
        """Return *text* without the key."""
        return redact(text.replace(self._key, _REPLACEMENT))

    def data(self, data: bytes) -> bytes:
        """Return *data* without the key."""
        return _KEY.sub(_REPLACEMENT.encode(), data.replace(self._key.encode(), _REPLACEMENT.encode()))

    def failure(self, failure: Failure) -> Failure:
        """Return *failure* without the key: a server or proxy may echo the request."""
        return replace(
            failure,
            message=self.text(failure.message),
            body=self.data(failure.body),
            headers={name: self.text(value) for name, value in failure.headers.items()},
        )
