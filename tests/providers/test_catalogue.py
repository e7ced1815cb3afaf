"""Published figures of the models."""

from __future__ import annotations

from decimal import Decimal

import pytest

from segmind_async._money.estimates import first_guess
from segmind_async._providers.catalogue import (
    MODELS,
    REFERENCE,
    ListPrice,
    context_window,
    list_price,
    mean_cost,
    mean_seconds,
    tokenizer_of,
)


def test_an_unlisted_model_costs_the_median_of_the_published_means() -> None:
    costs = sorted(model.mean_cost for model in MODELS.values())
    assert len(costs) == 47
    assert mean_cost("unheard-of") == costs[23]
    assert first_guess("unheard-of") == costs[23] * 10**10


def test_an_unlisted_model_takes_the_median_of_the_published_seconds() -> None:
    seconds = [model.mean_seconds for model in MODELS.values() if model.mean_seconds is not None]
    unlisted = mean_seconds("unheard-of")
    assert sum(one < unlisted for one in seconds) <= len(seconds) / 2
    assert sum(one > unlisted for one in seconds) <= len(seconds) / 2
    assert mean_seconds(REFERENCE) == 5.1


def test_a_listed_model_without_published_seconds_takes_the_median() -> None:
    assert mean_seconds("glm-5.2") == mean_seconds("unheard-of")
    assert mean_cost("glm-5.2") == Decimal("0.001198")


def test_list_prices_are_known_of_one_model() -> None:
    assert list_price(REFERENCE) == ListPrice(Decimal("0.75"), Decimal("4.50"))
    assert list_price("gpt-5") is None
    assert list_price("unheard-of") is None


@pytest.mark.parametrize(
    ("model", "window"), [("gpt-5.4-mini", 400_000), ("o3", 200_000), ("gpt-5.4", None), ("unheard-of", None)]
)
def test_context_windows(model: str, window: int | None) -> None:
    assert context_window(model) == window


@pytest.mark.parametrize(
    ("model", "known"),
    [
        ("gpt-5.4-mini", True),
        ("o3", True),
        ("gpt-4o", True),
        ("gpt-5-not-listed", True),
        ("gpt-4", False),
        ("claude-4-sonnet", False),
        ("gpt-oss", False),
    ],
)
def test_tokenizers(model: str, known: bool) -> None:
    assert tokenizer_of(model) == ("o200k" if known else None)
