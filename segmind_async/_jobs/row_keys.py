"""Keys of rows: a row's id, else a digest of its request, and the occurrence where several rows share one."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from pydantic_core import to_json

from ..models import ChatRequest
from .rows import Row


def digest_of(request: ChatRequest) -> bytes:
    """Return a hash of the canonical request: the order of its fields makes no difference."""
    parameters = _sorted(request.parameters) if request.parameters else []
    canonical = to_json([_sorted(request.messages), request.model, parameters])
    return hashlib.sha256(canonical).digest()[:16]


def source_of(row: Row) -> bytes:
    """Return a hash of the columns of a row, or of its messages if it has none: not of what is made of it."""
    source = row.columns or (row.request.messages if row.request is not None else None)
    return hashlib.sha256(to_json(_sorted(source), fallback=_text_of, bytes_mode="base64")).digest()[:16]


def _text_of(value: object) -> str:
    """Return the text of a value that is no JSON; of an object of a user's that has none, its type."""
    try:
        return str(value)
    except Exception:  # noqa: BLE001  # code of the user's
        return type(value).__name__


def _sorted(value: object) -> object:
    if isinstance(value, str):  # the most frequent, and the test for a mapping is slow
        return value
    if isinstance(value, Mapping):
        return [[name, _sorted(value[name])] for name in sorted(value, key=str)]
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [_sorted(item) for item in value]
    return value


def name_of(row: Row, digest: bytes, *, dedupe: bool = False) -> str:
    """Return the name of a row: its id, else the digest of its request.

    With *dedupe* always the digest: rows of one name share one answer.
    """
    return f"id {row.id}" if row.has_id and not dedupe else f"request {digest.hex()}"


def key_of(name: str, occurrence: int, copy: int = 1) -> str:
    """Return the key of the *occurrence*-th row (from 1) of a name.

    Where an equal row has that key, *copy* tells how many of these there are, this one included.
    """
    if occurrence == 1:
        return name
    namespace, _, value = name.partition(" ")
    # The count stands in front, where no name can be taken for it.
    return f"{namespace}#{occurrence}{'' if copy == 1 else f'.{copy}'} {value}"
