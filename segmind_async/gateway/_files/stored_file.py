"""A stored file, and the file object of OpenAI's API. Pure.

Source: OpenAI's API reference, files (2026-08).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from ...models import JsonDict
from .._errors import GatewayError, invalid

Purpose: TypeAlias = Literal["batch", "batch_output"]

MIN_EXPIRY, MAX_EXPIRY = 3600, 30 * 24 * 3600
"""Seconds after which a file may be told to expire."""

_LONGEST_NAME = 255
"""Characters of a file name that are kept: file systems take no longer ones."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One file of one caller."""

    id: str
    owner: str
    """Digest of the token of its caller."""
    filename: str
    """What its caller calls it; never part of a path."""
    size: int
    """Bytes."""
    purpose: Purpose
    created_at: float
    """Epoch seconds; the fraction keeps the order of a list."""
    expires_at: int | None = None

    def expiring(self, seconds: int | None) -> StoredFile:
        """Return it with an end, *seconds* after it was made; None: without one."""
        return replace(self, expires_at=None if seconds is None else int(self.created_at) + seconds)

    def body(self) -> JsonDict:
        """Return the file object."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.size,
            "created_at": int(self.created_at),
            "expires_at": self.expires_at,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
            "status_details": None,
        }


def shown_name(given: str | None) -> str:
    """Return the name of an uploaded file as it is kept: without a path and control characters."""
    name = (given or "").replace("\\", "/").rpartition("/")[2]
    printable = "".join(char if char.isprintable() else "\ufffd" for char in name)
    return printable[:_LONGEST_NAME] or "upload.jsonl"


def check_purpose(given: str | None) -> None:
    """Raise a 400 for an upload that is not for a batch."""
    if given != "batch":
        asked = "is missing" if given is None else f"is {given[:80]!r}"
        raise invalid(f"'purpose' {asked}; this gateway takes files for 'batch' only", "purpose")


def expiry_of(anchor: object, seconds: object) -> int | None:
    """Return the seconds after which a file expires; None for never. Raises a 400 for other values.

    They may be numbers, or their texts in a form.
    """
    if anchor is None and seconds is None:
        return None
    if anchor != "created_at":
        raise invalid("'expires_after.anchor' must be 'created_at'", "expires_after.anchor")
    text = seconds if isinstance(seconds, str) else repr(seconds)
    value = int(text) if text.isdecimal() and text.isascii() and len(text) < 10 else -1
    if not MIN_EXPIRY <= value <= MAX_EXPIRY:
        raise invalid(
            f"'expires_after.seconds' must be a whole number from {MIN_EXPIRY} to {MAX_EXPIRY}",
            "expires_after.seconds",
        )
    return value


def no_such_file(id_: str) -> GatewayError:
    """Return the 404 for an id that is not a file of the caller's."""
    return GatewayError(404, f"No such File object: {id_[:80]}", param="id", code="file_not_found")
