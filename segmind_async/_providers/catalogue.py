"""Published figures of each model: mean cost and latency, context window, tokenizer, list price.

Sources: mean costs and latencies are Segmind's own figures over its traffic (model pages and llms.txt, August
2026); context windows and list prices are OpenAI's (model pages, 2026-08); tokenizers are those of OpenAI's
tiktoken (2026-08). A mean is a first guess for reservations: the costs of real calls replace it after a few.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from statistics import median
from typing import Literal, NamedTuple, TypeAlias

Tokenizer: TypeAlias = Literal["o200k"]


class ListPrice(NamedTuple):
    """Credits for a million tokens."""

    input: Decimal
    output: Decimal


class Model(NamedTuple):
    """Published figures of one model; None where nothing is published."""

    mean_cost: Decimal
    """Credits of a call."""
    mean_seconds: float | None
    """Seconds of a call."""
    context_window: int | None = None
    """Tokens."""
    tokenizer: Tokenizer | None = None
    list_price: ListPrice | None = None


REFERENCE = "gpt-5.4-mini"
"""The model whose list price is known; prices of others are scaled by their mean cost."""

MODELS: Mapping[str, Model] = {
    "gpt-4": Model(Decimal("0.028925"), 13.1),
    "gpt-4-turbo": Model(Decimal("0.005317"), 9.9),
    "gpt-4o": Model(Decimal("0.007496"), 6.0, context_window=128_000, tokenizer="o200k"),
    "gpt-5": Model(Decimal("0.041857"), 61.7, context_window=400_000, tokenizer="o200k"),
    "gpt-5-mini": Model(Decimal("0.010208"), 47.9, context_window=400_000, tokenizer="o200k"),
    "gpt-5-nano": Model(Decimal("0.001010"), 30.1, context_window=400_000, tokenizer="o200k"),
    "gpt-5.1": Model(Decimal("0.007218"), 9.0, context_window=400_000, tokenizer="o200k"),
    "gpt-5.2": Model(Decimal("0.012528"), 20.5, tokenizer="o200k"),
    "gpt-5.4": Model(Decimal("0.009438"), 4.6, tokenizer="o200k"),
    "gpt-5.4-mini": Model(
        Decimal("0.000543"),
        5.1,
        context_window=400_000,
        tokenizer="o200k",
        list_price=ListPrice(Decimal("0.75"), Decimal("4.50")),
    ),
    "gpt-5.4-nano": Model(Decimal("0.002936"), 3.5, context_window=400_000, tokenizer="o200k"),
    "gpt-5.5": Model(Decimal("0.044475"), 16.5, tokenizer="o200k"),
    "o3": Model(Decimal("0.005008"), 11.0, context_window=200_000, tokenizer="o200k"),
    "o3-mini": Model(Decimal("0.001390"), 3.3, context_window=200_000, tokenizer="o200k"),
    "o4-mini": Model(Decimal("0.006827"), 12.0, context_window=200_000, tokenizer="o200k"),
    "claude-4-sonnet": Model(Decimal("0.021433"), 11.2),
    "claude-4.5-sonnet": Model(Decimal("0.045516"), 23.5),
    "claude-opus-4.7": Model(Decimal("0.069141"), 17.6),
    "gemini-2.5-flash": Model(Decimal("0.003799"), 11.1),
    "gemini-2.5-flash-lite": Model(Decimal("0.000551"), 4.4),
    "gemini-2.5-pro": Model(Decimal("0.025429"), 27.4),
    "gemini-3-flash": Model(Decimal("0.008795"), 18.2),
    "gemini-3-pro": Model(Decimal("0.003118"), 31.4),
    "gemini-3.1-flash-lite": Model(Decimal("0.001051"), 3.4),
    "gemini-3.1-pro": Model(Decimal("0.074214"), 38.5),
    "deepseek-chat": Model(Decimal("0.001282"), 34.1),
    "deepseek-reasoner": Model(Decimal("0.046871"), 67.2),
    "llama-v3-8b-instruct": Model(Decimal("0.000632"), 1.3),
    "llama-v3p1-70b-instruct": Model(Decimal("0.001910"), 2.7),
    "llama-v3p1-8b-instruct": Model(Decimal("0.000027"), 1.7),
    "llama4-maverick-instruct-basic": Model(Decimal("0.001021"), 2.5),
    "llama4-scout-instruct-basic": Model(Decimal("0.000707"), 2.7),
    "mixtral-8x22b-instruct": Model(Decimal("0.000506"), 2.7),
    "qwen-3.8-max": Model(Decimal("0.0075"), None),
    "qwen-flash": Model(Decimal("0.000112"), 4.6),
    "qwen-plus": Model(Decimal("0.000146"), 2.1),
    "qwen2-vl-72b-instruct": Model(Decimal("0.005773"), 7.1),
    "qwen3-coder-flash": Model(Decimal("0.000745"), 4.7),
    "qwen3-coder-plus": Model(Decimal("0.001194"), 3.8),
    "qwen3-max": Model(Decimal("0.001059"), 5.6),
    "qwen3-vl-flash": Model(Decimal("0.000191"), 4.0),
    "qwen3-vl-plus": Model(Decimal("0.000945"), 7.1),
    "qwen3.5-flash": Model(Decimal("0.000794"), 31.6),
    "qwen3.5-plus": Model(Decimal("0.003052"), 17.1),
    "kimi-k2-instruct-0905": Model(Decimal("0.001018"), 2.2),
    "glm-5.2": Model(Decimal("0.001198"), None),
    "minimax-m3": Model(Decimal("0.009849"), 2.7),
}

_O200K_PREFIXES = ("gpt-4o", "gpt-4.1", "gpt-5", "o1", "o3", "o4")
"""Beginnings of the slugs whose models use o200k, for those that are not listed."""

# The median and not the dearest mean: the guard starts small anyhow, while a guess that is 600 times too high
# would refuse calls that the account can pay.
_MEDIAN_COST = median(model.mean_cost for model in MODELS.values())
_MEDIAN_SECONDS = median(one.mean_seconds for one in MODELS.values() if one.mean_seconds is not None)
_UNLISTED = Model(_MEDIAN_COST, _MEDIAN_SECONDS)


def mean_cost(model: str) -> Decimal:
    """Return the credits a call of *model* costs on average; the median of all models for an unlisted one."""
    return MODELS.get(model, _UNLISTED).mean_cost


def mean_seconds(model: str) -> float:
    """Return the seconds a call of *model* takes on average; the median of all models if not published."""
    found = MODELS.get(model, _UNLISTED).mean_seconds
    return _MEDIAN_SECONDS if found is None else found


def context_window(model: str) -> int | None:
    """Return the tokens of *model*'s context window; None if it is not published.

    A prompt for such a model is never refused here: a mistake would make it impossible to send.
    """
    return MODELS.get(model, _UNLISTED).context_window


def tokenizer_of(model: str) -> Tokenizer | None:
    """Return the vocabulary that *model* counts its tokens by; None if it is not known."""
    found = MODELS.get(model)
    if found is not None:
        return found.tokenizer
    return "o200k" if model.startswith(_O200K_PREFIXES) else None


def list_price(model: str) -> ListPrice | None:
    """Return the published prices of *model*'s tokens; None if they are not known."""
    return MODELS.get(model, _UNLISTED).list_price
