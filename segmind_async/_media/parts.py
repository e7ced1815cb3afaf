"""Parts of messages that hold files: what images and documents have in common. No file is read here."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence

from ..errors import InvalidRequestError
from ..models import JsonObject

MAX_FILE_BYTES = 20 * 1024 * 1024
"""The lowest of the providers' limits for one request (20 MB, Google and Anthropic, 2026-08)."""

_WEB = re.compile(r"https?://", re.I)


class LazyPart(dict[str, object]):
    """A part that is loaded when a call needs it; as a dictionary it only names its source."""

    __slots__ = ()

    @property
    def part(self) -> JsonObject | None:
        """The part to be sent; None while it is not loaded."""
        raise NotImplementedError

    def load(self) -> object:
        """Load the file; may block. `part` is set at least as long as the returned object is held.

        Raises InvalidRequestError for a file that cannot be sent.
        """
        raise NotImplementedError


class PartsNotLoadedError(Exception):
    """Messages cannot be encoded before these parts are loaded."""

    def __init__(self, parts: Sequence[LazyPart]) -> None:
        super().__init__(parts)
        self.parts = parts


def is_web_url(text: str) -> bool:
    """Return whether *text* is a web URL, not a path."""
    return bool(_WEB.match(text))


def is_data_url(text: str) -> bool:
    """Return whether *text* is a data URL, not a path."""
    return text[:5].lower() == "data:"


def data_in_url(url: str, noun: str, media_type: str) -> bytes:
    """Return the bytes in a data URL; *media_type* may end in `/…`, for any of that kind.

    Raises InvalidRequestError, calling it a *noun*, unless it holds base64 of that type.
    """
    head, comma, data = url.partition(",")
    named, _, encoding = head[5:].lower().partition(";")
    if not comma or encoding != "base64" or not named.startswith(media_type.removesuffix("…")):
        raise InvalidRequestError(f"the {noun} URL {url[:60]!r} must begin with data:{media_type};base64,")
    try:
        return base64.b64decode(data, validate=True)
    except ValueError as error:  # binascii.Error is one, and so is what a character beyond ASCII raises
        raise InvalidRequestError(f"the {noun} URL {url[:60]!r} holds no base64: {error}") from error


def check_size(size: int, name: str, way_out: str, max_bytes: int = MAX_FILE_BYTES) -> None:
    """Raise InvalidRequestError for more than *max_bytes*; *way_out* says what makes it smaller."""
    if size > max_bytes:
        raise InvalidRequestError(f"{name} has {size} bytes, more than {max_bytes}; {way_out}")
