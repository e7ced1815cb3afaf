"""The size of a prompt: its texts, their length, and bounds and estimates of their tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..models import Messages

MAX_BYTES_PER_TOKEN = 128
"""Length of the longest token of o200k, 128 blanks: a text has at least a 128th of its bytes in tokens."""

BYTES_PER_TOKEN = 4
"""Of English prose, roughly."""


def estimated_tokens(texts: Iterable[str]) -> int:
    """Estimate the tokens of *texts* from their length."""
    return -(-bytes_of(texts) // BYTES_PER_TOKEN)


def min_tokens(texts: Iterable[str]) -> int:
    """Return a lower bound of the tokens of *texts*."""
    return -(-bytes_of(texts) // MAX_BYTES_PER_TOKEN)


def bytes_of(texts: Iterable[str]) -> int:
    """Return the length in UTF-8 bytes."""
    return sum(len(text) if text.isascii() else len(text.encode("utf-8", "replace")) for text in texts)


def texts_in(messages: Messages) -> Iterator[str]:
    """Yield all texts of a conversation, those of tool calls included."""
    if isinstance(messages, str):
        yield messages
        return
    for row in messages:
        content = row.get("content")
        if isinstance(content, str):
            yield content
        else:
            yield from _strings(content, "text")
        for call in _mappings(row.get("tool_calls")):
            yield from _strings([call.get("function")], "arguments")


def has_other_parts(messages: Messages) -> bool:
    """Return whether a conversation holds parts that are not text, such as images."""
    if isinstance(messages, str):
        return False
    parts = (part for row in messages for part in _mappings(row.get("content")))
    return any(not isinstance(part.get("text"), str) for part in parts)


def _mappings(value: object) -> list[Mapping[str, object]]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return []
    return [one for one in value if isinstance(one, Mapping)]


def _strings(value: object, key: str) -> Iterator[str]:
    for one in _mappings(value):
        text = one.get(key)
        if isinstance(text, str):
            yield text
