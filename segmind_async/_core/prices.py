"""Published mean costs by model: a first guess for reservations, not a tariff.

Source: Segmind's own figures over its traffic, August 2026. What a call really costs comes from the
answers and replaces these after a few calls.
"""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache

from .money import ceil_units

_MEAN_CREDITS = {
    "gpt-5.4-mini": "0.000543",
    "gpt-5.4-nano": "0.002936",
    "gpt-5.4": "0.009438",
    "gpt-5.5": "0.044475",
    "gpt-5.1": "0.007218",
    "gpt-5": "0.041857",
    "gpt-5-mini": "0.010208",
    "gpt-5-nano": "0.001010",
    "gpt-4o": "0.007496",
    "o3-mini": "0.001390",
    "o4-mini": "0.006827",
    "o3": "0.005008",
    "qwen-plus": "0.000146",
    "qwen3-max": "0.001059",
    "kimi-k2-instruct-0905": "0.001018",
    "minimax-m3": "0.009849",
    "claude-4-sonnet": "0.021433",
    "claude-4.5-sonnet": "0.045516",
    "claude-opus-4.7": "0.069141",
    "gemini-2.5-flash": "0.003799",
    "gemini-2.5-pro": "0.025429",
    "gemini-3-flash": "0.008795",
    "gemini-3.1-flash-lite": "0.001051",
    "gemini-3.1-pro": "0.074214",
    "deepseek-chat": "0.001282",
    "deepseek-reasoner": "0.046871",
    "llama-v3p1-8b-instruct": "0.000027",
    "llama-v3p1-70b-instruct": "0.001910",
}

_DEAREST = max(Decimal(mean) for mean in _MEAN_CREDITS.values())


@lru_cache(maxsize=256)
def first_guess(model: str) -> int:
    """Return the units a call of *model* costs on average; for an unknown one, the dearest known mean."""
    mean = _MEAN_CREDITS.get(model)
    return ceil_units(_DEAREST if mean is None else Decimal(mean))
