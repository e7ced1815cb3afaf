"""Count the tokens of a text or a conversation: exactly with the extra `[tokens]`, else by an estimate."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
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

_PIECE = 64 * 1024
"""Characters that are counted at a time, in about 2 ms, during which no other thread runs."""

_BOUNDARY = re.compile(r"(?<=[A-Za-z]) (?=[A-Za-z])")


@dataclass(frozen=True, slots=True)
class TokenCount:
    """Tokens of a text or a conversation."""

    tokens: int
    exact: bool
    """Whether all of it was counted with the model's own vocabulary; False for an estimate."""


def count_tokens(messages: Messages, model: str = DEFAULT_MODEL) -> TokenCount:
    """Count the tokens of a text, or of the texts of a conversation.

    With `pip install "segmind-async[tokens]"` texts for OpenAI's models are counted with their own
    vocabulary, offline; all others are estimated at four bytes a token. Images are not counted, and the few
    tokens that a provider puts around each message are not included.

    Raises InvalidRequestError for messages that are not a conversation, and for an invalid slug.
    """
    check_slug(model)
    check_messages(messages)
    texts = list(texts_in(messages))
    counted = _counted(texts, model)
    if counted is None:
        return TokenCount(estimated_tokens(texts), exact=False)
    return TokenCount(counted, exact=not has_other_parts(messages))


def may_exceed_window(model: str, size: int) -> bool:
    """Return whether a body of *size* bytes has to be counted: longer than an event loop can wait."""
    window = context_window(model)
    return window is not None and size > window


def check_context_window(model: str, messages: Messages, size: int) -> None:
    """Raise InvalidRequestError if a prompt certainly exceeds *model*'s context window.

    *size* is the length of the request body in bytes. A token is at least a byte, so short bodies are not
    counted. Without the exact count only a lower bound is compared: an estimate may err by more than half,
    and a prompt that it refused by mistake could not be sent at all.
    """
    window = context_window(model)
    if window is None or not may_exceed_window(model, size):
        return
    texts = list(texts_in(messages))
    counted = _counted(texts, model)
    tokens = min_tokens(texts) if counted is None else counted
    if tokens > window:
        bound = "at least " if counted is None else ""
        raise InvalidRequestError(
            f"the messages have {bound}{tokens} tokens, more than the {window} of {model}'s context window; "
            "shorten them, split them up, or use another model"
        )


class _Tokenizer(Protocol):
    def count(self, text: str) -> int: ...


def _counted(texts: Iterable[str], model: str) -> int | None:
    tokenizer = _tokenizer() if tokenizer_of(model) == "o200k" else None
    if tokenizer is None:
        return None
    return sum(
        tokenizer.count(piece)
        for text in texts
        for piece in _pieces(text.encode("utf-8", "replace").decode())
    )


def _pieces(text: str) -> Iterator[str]:
    """Split a text where no token can reach across, so that counting lets other threads run in between.

    The vocabulary's own pattern never joins a letter with a blank and a letter after it.
    """
    begins = 0
    while (boundary := _BOUNDARY.search(text, begins + _PIECE)) is not None:
        yield text[begins : boundary.start()]
        begins = boundary.start()
    yield text[begins:]


@lru_cache(maxsize=1)
def _tokenizer() -> _Tokenizer | None:
    """Load the vocabulary, once: it takes 50 ms. None without the extra."""
    with warnings.catch_warnings():
        # It opens its files in a way that Python 3.11 deprecated and 3.13 allowed again.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            # The bindings directly: the package's own encoder refuses a million characters, and returns
            # all tokens where only their number is needed.
            bindings = import_module("bpe_openai._bindings")
        except ImportError:
            return None
    tokenizer: _Tokenizer = bindings.tokenizer_for_encoding("o200k_base")
    return tokenizer
