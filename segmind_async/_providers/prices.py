"""Published mean costs and latencies by model: a first guess for reservations, not a tariff.

Source: Segmind's own figures over its traffic, August 2026. What a call really costs comes from the
answers and replaces these after a few calls.
"""

from __future__ import annotations

from decimal import Decimal

_MEANS = {
    "gpt-5.4-mini": ("0.000543", 5.1),
    "gpt-5.4-nano": ("0.002936", 3.5),
    "gpt-5.4": ("0.009438", 4.6),
    "gpt-5.5": ("0.044475", 16.5),
    "gpt-5.1": ("0.007218", 9.0),
    "gpt-5": ("0.041857", 61.7),
    "gpt-5-mini": ("0.010208", 47.9),
    "gpt-5-nano": ("0.001010", 30.1),
    "gpt-4o": ("0.007496", 6.0),
    "o3-mini": ("0.001390", 3.3),
    "o4-mini": ("0.006827", 12.0),
    "o3": ("0.005008", 11.0),
    "qwen-plus": ("0.000146", 2.1),
    "qwen3-max": ("0.001059", 5.6),
    "kimi-k2-instruct-0905": ("0.001018", 2.2),
    "minimax-m3": ("0.009849", 2.7),
    "claude-4-sonnet": ("0.021433", 11.2),
    "claude-4.5-sonnet": ("0.045516", 23.5),
    "claude-opus-4.7": ("0.069141", 17.6),
    "gemini-2.5-flash": ("0.003799", 11.1),
    "gemini-2.5-pro": ("0.025429", 27.4),
    "gemini-3-flash": ("0.008795", 18.2),
    "gemini-3.1-flash-lite": ("0.001051", 3.4),
    "gemini-3.1-pro": ("0.074214", 38.5),
    "deepseek-chat": ("0.001282", 34.1),
    "deepseek-reasoner": ("0.046871", 67.2),
    "llama-v3p1-8b-instruct": ("0.000027", 1.7),
    "llama-v3p1-70b-instruct": ("0.001910", 2.7),
}
"""Credits and seconds of a call."""

_DEAREST = max(Decimal(cost) for cost, _ in _MEANS.values())
_SLOWEST = max(seconds for _, seconds in _MEANS.values())


def mean_cost(model: str) -> Decimal:
    """Return the credits a call of *model* costs on average; for an unknown one, the dearest known mean."""
    return Decimal(_MEANS[model][0]) if model in _MEANS else _DEAREST


def mean_seconds(model: str) -> float:
    """Return the seconds a call of *model* takes on average; for an unknown one, the slowest known mean."""
    return _MEANS[model][1] if model in _MEANS else _SLOWEST


def is_listed(model: str) -> bool:
    """Tell whether list prices are known, so that a bound on an answer is one on its cost."""
    return model == "gpt-5.4-mini"
