"""Which provider's shapes a model speaks, by its slug."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache

from ..errors import InvalidRequestError

_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)


class Family(StrEnum):
    """The three request and answer shapes that the gateway passes through unchanged."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GEMINI = "gemini"


_BY_PREFIX = {"claude-": Family.ANTHROPIC, "gemini-": Family.GEMINI}


@lru_cache(maxsize=256)
def family_of(model: str) -> Family:
    """Return the family a slug belongs to; all that is neither Claude nor Gemini speaks OpenAI's shape."""
    for prefix, family in _BY_PREFIX.items():
        if model.startswith(prefix):
            return family
    return Family.OPENAI


def check_slug(model: object) -> str:
    """Refuse what could leave the path it is put into."""
    if isinstance(model, str) and _SLUG.fullmatch(model):
        return model
    raise InvalidRequestError(
        f"model={model!r} is no slug: letters, digits, '.', '_' and '-', such as 'gpt-5.4-mini'"
    )
