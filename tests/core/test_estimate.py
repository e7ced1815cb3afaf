"""What a call will cost, and did cost where nobody says."""

from __future__ import annotations

from decimal import Decimal

import pytest

from segmind_async import Usage
from segmind_async._core.credits import Price
from segmind_async._core.estimate import Estimates, foretell, price_of
from segmind_async._core.prices import first_guess


def test_one_cost_model_for_each_model() -> None:
    estimates = Estimates(None)
    mini = estimates.of("gpt-5.4-mini")
    assert estimates.of("gpt-5.4-mini") is mini
    assert estimates.of("gpt-5") is not mini
    assert mini.typical() == first_guess("gpt-5.4-mini")


def test_a_first_cost_of_the_user_replaces_the_table() -> None:
    assert Estimates(Decimal("0.5")).of("gpt-5").typical() == 5 * 10**9


def test_length_and_bound_foretell() -> None:
    short, long = foretell("gpt-5.4-mini", b"x" * 100, {}), foretell("gpt-5.4-mini", b"x" * 1000, {})
    assert short is not None
    assert long == pytest.approx(10 * short)
    bounded = foretell("gpt-5.4-mini", b"x" * 100, {"max_tokens": 1000})
    assert bounded is not None
    assert bounded > 20 * short
    assert bounded == foretell("gpt-5.4-mini", b"x" * 100, {"max_completion_tokens": 1000})
    assert foretell("gpt-5.4-mini", b"x" * 100, {"max_tokens": "many"}) == short


@pytest.mark.parametrize("body", [b'{"type":"image_url"}', b'{"type":"image"}', b'{"inlineData":1}'])
def test_images_cannot_be_foretold(body: bytes) -> None:
    assert foretell("gpt-5.4-mini", body, {}) is None


def test_prices() -> None:
    assert price_of("gpt-5.4-mini", Decimal("0.00000000011"), Usage()) == Price(2, named=True)
    assert price_of("gpt-5.4-mini", None, Usage()) == Price(None, named=False)
    assert price_of("gpt-5.4-mini", None, Usage(1000, 100, 1100)) == Price(12_000_000, named=False)
    assert price_of("gpt-5.4-mini", None, Usage(None, 100, None)) == Price(4_500_000, named=False)
    assert price_of("gpt-5.4-mini", None, Usage(100, None, None)) == Price(750_000, named=False)
