"""Takes the API key, and all that looks like one, out of what leaves the library."""

from __future__ import annotations

import re
from dataclasses import replace

from ..errors import redact
from .failures import Failure

_KEY = re.compile(rb"SG_\w+")
_INSTEAD = "SG_[redacted]"


class Redactor:
    """Knows one key, of any form, and shows it to nobody."""

    __slots__ = ("_key",)

    def __init__(self, key: str) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "Redactor()"

    def __reduce__(self) -> str:
        raise TypeError("a Redactor holds an API key and is not pickled")

    def text(self, text: str) -> str:
        """Return *text* without the key."""
        return redact(text.replace(self._key, _INSTEAD))

    def data(self, data: bytes) -> bytes:
        """Return *data* without the key."""
        return _KEY.sub(_INSTEAD.encode(), data.replace(self._key.encode(), _INSTEAD.encode()))

    def failure(self, failure: Failure) -> Failure:
        """Return *failure* without the key in any of its texts: a server or proxy may echo a request."""
        return replace(
            failure,
            message=self.text(failure.message),
            body=self.data(failure.body),
            headers={name: self.text(value) for name, value in failure.headers.items()},
        )
