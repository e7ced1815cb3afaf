"""How many tokens a text or a conversation has: counted with the extra `[tokens]`, else estimated."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from typing import Protocol

from ._providers.catalogue import context_window, tokenizer_of
from ._providers.prompt_size import estimated_tokens, has_other_parts, min_tokens, texts_in
from ._providers.registry import check_slug
from ._providers.requests import check_messages
from .errors import InvalidRequestError
from .models import DEFAULT_MODEL, Messages


@dataclass(frozen=True, slots=True)
class TokenCount:
    """How many tokens something has."""

    tokens: int
    exact: bool
    """Whether all of it was counted by the model's own vocabulary; otherwise it is an estimate."""


def count_tokens(messages: Messages, model: str = DEFAULT_MODEL) -> TokenCount:
    """Count the tokens of a text, or of the words of a conversation.

    With `pip install "segmind-async[tokens]"` the words of OpenAI's models are counted by their own
    vocabulary, offline; everything else is estimated at a token for four bytes. Images count nothing,
    and the few tokens that a provider puts around each message are not included.

    Raises InvalidRequestError for what is no text and no conversation, or no slug of a model.
    """
    check_slug(model)
    check_messages(messages)
    texts = list(texts_in(messages))
    counted = _counted(texts, model)
    if counted is None:
        return TokenCount(estimated_tokens(texts), exact=False)
    return TokenCount(counted, exact=not has_other_parts(messages))


def check_context_window(model: str, messages: Messages, size: int) -> None:
    """Refuse a prompt that *model* certainly cannot take; *size* is that of its body in bytes.

    A token is at least a byte, so short bodies need no look. Without the counter only a text is refused
    that no choice of tokens could make fit: an estimate may err by more than half, and what it refused
    by mistake nobody could send.

    Raises InvalidRequestError with the numbers.
    """
    window = context_window(model)
    if window is None or size <= window:
        return
    texts = list(texts_in(messages))
    counted = _counted(texts, model)
    tokens = min_tokens(texts) if counted is None else counted
    if tokens > window:
        bound = "at least " if counted is None else ""
        raise InvalidRequestError(
            f"the messages have {bound}{tokens} tokens, more than the {window} that {model} takes; "
            "shorten them, split them up, or use another model"
        )


class _Tokenizer(Protocol):
    def count(self, text: str) -> int: ...


def _counted(texts: Iterable[str], model: str) -> int | None:
    tokenizer = _tokenizer() if tokenizer_of(model) == "o200k" else None
    if tokenizer is None:
        return None
    return sum(tokenizer.count(text.encode("utf-8", "replace").decode()) for text in texts)


@lru_cache(maxsize=1)
def _tokenizer() -> _Tokenizer | None:
    """Load the vocabulary once, 50 ms; None without the extra."""
    with warnings.catch_warnings():
        # It opens its files as Python 3.11 deprecated and 3.13 took back.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            # Its bindings, since its own encoder refuses a million characters, and returns every token.
            bindings = import_module("bpe_openai._bindings")
        except ImportError:
            return None
    tokenizer: _Tokenizer = bindings.tokenizer_for_encoding("o200k_base")
    return tokenizer
