"""How an answer ended: said to its end, cut off, or refused by the model. All of them were paid."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from ..models import JsonObject


class Finish(Enum):
    """What an answer's end means for its words."""

    WHOLE = auto()
    CUT = auto()
    """The bound on tokens, or the model's window, was reached in mid-answer."""
    REFUSED = auto()
    """The model, or a filter before or behind it, would not answer."""


# The providers' words, in lower case (their API references, 2026-08). Unknown ones mean nothing bad.
_CUT = frozenset({"length", "max_tokens", "model_context_window_exceeded"})
_REFUSED = frozenset(
    {"content_filter", "refusal", "safety", "recitation", "blocklist", "prohibited_content", "spii"}
)


def finish_of(finish_reason: str | None, raw: JsonObject) -> Finish:
    """Tell how an answer ended by its finish reason, and by OpenAI's field for refusals."""
    word = (finish_reason or "").lower()
    if word in _REFUSED or refusal_of(raw):
        return Finish.REFUSED
    return Finish.CUT if word in _CUT else Finish.WHOLE


def refusal_of(raw: JsonObject) -> str | None:
    """Return the words of a refusal where they stand apart from the text, as OpenAI sends them."""
    choices = raw.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, Mapping) else None
    words = message.get("refusal") if isinstance(message, Mapping) else None
    return words if words and isinstance(words, str) else None
