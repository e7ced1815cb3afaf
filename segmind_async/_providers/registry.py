"""Which provider a model belongs to, and which one an answer came from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

from ..errors import InvalidRequestError
from ..models import JsonObject
from .anthropic import Anthropic
from .deepseek import DeepSeek
from .gemini import Gemini, Gemini3
from .openai import OpenAI
from .provider import Provider

_DEFAULT = OpenAI()

# One line each, the most frequent answer form first.
PROVIDERS: list[Provider] = [
    _DEFAULT,
    Gemini3(),
    Gemini(),
    Anthropic(),
    DeepSeek(),
]
"""The registered providers, in the order in which they are asked for a slug and for an answer. Changed by
`registered` alone."""

_NO_MODELS = ("get-user-credits", "requests")
"""Paths of the service beside those of models."""

_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*", re.ASCII)


@lru_cache(maxsize=256)
def provider_of(model: str) -> Provider:
    """Return the provider of a slug: OpenAI's form for all slugs that no other provider claims."""
    return next((one for one in PROVIDERS if model.startswith(one.slug_prefixes)), _DEFAULT)


def recognised(raw: JsonObject) -> Provider | None:
    """Return the provider whose form the body of an answer has; None if it is of no known form."""
    for provider in PROVIDERS:
        if provider.recognises(raw):
            return provider
    return None


@contextmanager
def registered(provider: Provider) -> Iterator[None]:
    """Register a further provider inside a `with` block, with precedence over the others.

    Raises ValueError if one of its name is registered.
    """
    if any(provider.name == one.name for one in PROVIDERS):
        raise ValueError(f"a provider named {provider.name!r} is registered")
    PROVIDERS.insert(0, provider)
    provider_of.cache_clear()
    try:
        yield
    finally:
        PROVIDERS.remove(provider)
        provider_of.cache_clear()


def check_slug(model: object) -> str:
    """Return *model* if it is a slug; raises InvalidRequestError, since it becomes part of a URL's path."""
    if model in _NO_MODELS:
        raise InvalidRequestError(f"model={model!r} is another path of the service, not a model")
    if isinstance(model, str) and _SLUG.fullmatch(model):
        return model
    raise InvalidRequestError(
        f"model={model!r} is not a slug: letters, digits, '.', '_' and '-', such as 'gpt-5.4-mini'"
    )
