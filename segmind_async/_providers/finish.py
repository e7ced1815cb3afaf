"""How an answer ended: whole, truncated or refused, in any provider's words."""

from __future__ import annotations

from typing import Any

from ..models import ChatCompletion, JsonObject
from .provider import Finish
from .registry import PROVIDERS, recognised


def finish_of(finish_reason: str | None, raw: JsonObject) -> Finish:
    """Return how an answer ended, by its provider's words and by a refusal beside the text.

    A word that its own provider does not list is looked up in the others' lists: models behind a gateway
    do not always keep to one vocabulary. Unknown words count as WHOLE.
    """
    own = recognised(raw)
    if own is not None and own.refusal(raw):
        return Finish.REFUSED
    word = (finish_reason or "").lower()
    candidates = PROVIDERS if own is None else [own, *PROVIDERS]
    return next((one.finish_words[word] for one in candidates if word in one.finish_words), Finish.WHOLE)


def refusal_of(raw: JsonObject) -> str | None:
    """Return the text of a refusal that stands apart from the answer's text; None without one."""
    provider = recognised(raw)
    return None if provider is None else provider.refusal(raw)


def ignored_tools(completion: ChatCompletion[Any]) -> bool:
    """Return whether an answer that had to call a tool shows that no tool reached the model.

    A truncated or refused answer does not show it.
    """
    whole = finish_of(completion.finish_reason, completion.raw) is Finish.WHOLE
    return whole and not completion.tool_calls
