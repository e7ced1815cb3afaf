"""How long a prompt a model takes, and what of a conversation counts towards it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from ..models import Messages

WINDOWS: Mapping[str, int] = {
    **dict.fromkeys(
        ("gpt-5.4-mini", "gpt-5.4-nano", "gpt-5.1", "gpt-5", "gpt-5-mini", "gpt-5-nano"), 400_000
    ),
    **dict.fromkeys(("o3", "o3-mini", "o4-mini"), 200_000),
    "gpt-4o": 128_000,
}
"""Tokens of context by slug, as OpenAI's model pages give them (2026-08). A model that is not here is not
judged: a prompt refused here by mistake could not be sent at all."""

LONGEST_TOKEN = 128
"""Bytes of the longest token of o200k, the vocabulary of these models: 128 blanks. No text has fewer tokens
than a 128th of its bytes, whatever it says."""

BYTES_PER_TOKEN = 4
"""Of English prose, roughly."""

_O200K = ("gpt-4o", "gpt-4.1", "gpt-5", "o1", "o3", "o4")
"""Prefixes of slugs whose models use o200k (OpenAI's tiktoken, 2026-08)."""


def uses_o200k(model: str) -> bool:
    """Tell whether *model*'s vocabulary is o200k."""
    return model.startswith(_O200K)


def estimated(texts: Iterable[str]) -> int:
    """Guess the tokens of *texts* from their length."""
    return -(-size_of(texts) // BYTES_PER_TOKEN)


def least(texts: Iterable[str]) -> int:
    """Return how many tokens *texts* have at the very least."""
    return -(-size_of(texts) // LONGEST_TOKEN)


def size_of(texts: Iterable[str]) -> int:
    """Return the length in UTF-8 bytes."""
    return sum(len(text) if text.isascii() else len(text.encode("utf-8", "replace")) for text in texts)


def words_of(messages: Messages) -> Iterator[str]:
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


def has_more_than_words(messages: Messages) -> bool:
    """Tell whether a conversation holds images, or anything else that is no text."""
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
