"""Published means of cost and latency."""

from __future__ import annotations

from segmind_async._money.estimates import first_guess
from segmind_async._providers.prices import is_listed, mean_seconds


def test_an_unknown_model_is_taken_for_the_dearest() -> None:
    assert first_guess("unheard-of") == first_guess("gemini-3.1-pro") > first_guess("gpt-5.4-mini") > 0


def test_an_unknown_model_is_taken_for_the_slowest() -> None:
    assert (
        mean_seconds("unheard-of") == mean_seconds("deepseek-reasoner") > mean_seconds("gpt-5.4-mini") == 5.1
    )


def test_list_prices_are_known_of_one_model() -> None:
    assert is_listed("gpt-5.4-mini")
    assert not is_listed("gpt-5")
