"""Predicted costs, and prices of calls whose cost the service does not name."""

from __future__ import annotations

from decimal import Decimal

import pytest

from segmind_async import Usage, system, user
from segmind_async._money.estimates import Estimates, first_guess, predict_cost, template_of
from segmind_async._money.protocol import Price


def test_one_cost_model_for_each_model() -> None:
    estimates = Estimates(None)
    mini = estimates.of("gpt-5.4-mini")
    assert estimates.of("gpt-5.4-mini") is mini
    assert estimates.of("gpt-5") is not mini
    assert mini.typical() == first_guess("gpt-5.4-mini")


def test_first_cost_replaces_the_published_means() -> None:
    assert Estimates(Decimal("0.5")).of("gpt-5").typical() == 5 * 10**9


def test_length_and_limit_on_the_answer_predict() -> None:
    short, long = predict_cost("gpt-5.4-mini", b"x" * 100, {}), predict_cost("gpt-5.4-mini", b"x" * 1000, {})
    assert short is not None
    assert long == pytest.approx(10 * short)
    bounded = predict_cost("gpt-5.4-mini", b"x" * 100, {"max_tokens": 1000})
    assert bounded is not None
    assert bounded > 20 * short
    assert bounded == predict_cost("gpt-5.4-mini", b"x" * 100, {"max_completion_tokens": 1000})
    assert predict_cost("gpt-5.4-mini", b"x" * 100, {"max_tokens": "many"}) == short
    assert predict_cost("gpt-5.4-mini", b"x" * 100, {"max_tokens": -1000}) == short
    # More than a float can hold.
    largest = predict_cost("gpt-5.4-mini", b"x" * 100, {"max_tokens": 10**400})
    assert largest == predict_cost("gpt-5.4-mini", b"x" * 100, {"max_tokens": 10**7})


@pytest.mark.parametrize("body", [b'{"type":"image_url"}', b'{"type":"image"}', b'{"inlineData":1}'])
def test_a_call_with_images_has_no_prediction(body: bytes) -> None:
    assert predict_cost("gpt-5.4-mini", body, {}) is None


def test_a_price_is_named_or_listed_by_tokens_or_unknown() -> None:
    estimates = Estimates(None)
    assert estimates.price("gpt-5.4-mini", Decimal("0.00000000011"), Usage()) == Price(2)
    assert estimates.price("gpt-5.4-mini", None, Usage()) == Price()
    for usage, units in [
        (Usage(1000, 100, 1100), 12_000_000),
        (Usage(None, 100, None), 4_500_000),
        (Usage(100, None, None), 750_000),
    ]:
        listed = estimates.price("gpt-5.4-mini", None, usage).listed
        assert listed is not None
        assert listed.units == units


def test_one_price_model_for_each_model() -> None:
    estimates = Estimates(None)
    mini, again, other = (estimates.price(m, None, Usage(1, 1, 2)).listed for m in ("gpt-5", "gpt-5", "o3"))
    assert mini is not None
    assert again is not None
    assert other is not None
    assert mini.price_model is again.price_model is not other.price_model


def test_a_template_is_predicted_from_its_own_calls_once_there_are_eight() -> None:
    estimates = Estimates(None)
    short, long = estimates.of_template("gpt-5", 1), estimates.of_template("gpt-5", 2)
    whole = estimates.of("gpt-5")
    assert estimates.of_template("gpt-5", 1) is short is not long
    assert estimates.of_template("gpt-5", None) is whole is short.whole
    assert short.predictor is whole
    for _ in range(8):
        short.finished(100, 1.0)
        long.finished(900, 1.0)
    assert (short.predictor.typical(), long.predictor.typical(), whole.typical()) == (100, 900, 500)
    for number in range(3, 300):
        estimates.of_template("gpt-5", number)
    assert estimates.of_template("gpt-5", 999) is whole


def test_the_template_is_the_system_prompt() -> None:
    brief, thorough = [system("be brief"), user("a")], [system("be thorough"), user("a")]
    assert template_of(brief) == template_of([system("be brief"), user("b")]) != template_of(thorough)
    assert template_of("a") is template_of([user("a")]) is None
    assert template_of([{"role": "system", "content": [{"type": "text", "text": "x"}]}, user("a")]) is None


def test_what_calls_have_cost_outlasts_a_restart() -> None:
    estimates = Estimates(None)
    for n in range(150):
        estimates.of("gpt-5.5").finished(10**8 + n, 1.0)
    template = estimates.of_template("gpt-5", 1)
    template.finished(5, 1.0)
    estimates.of("gpt-5.4-mini")
    state = estimates.state()
    assert {model: len(kept.calls) for model, kept in state.items()} == {"gpt-5.5": 100, "gpt-5": 1}
    later = Estimates(None)
    later.restore(state)
    assert later.state() == state
    assert later.of_template("gpt-5", 1).typical() == later.of_template("gpt-5", 1).first_guess
    assert later.of_template("gpt-5", 1).predictor.typical() == 5


def test_of_very_many_models_few_calls_each_are_kept() -> None:
    estimates = Estimates(None)
    for name in range(60):
        for _ in range(20):
            estimates.of(f"model-{name}").finished(10**8, 1.0)
    assert {len(kept.calls) for kept in estimates.state().values()} == {8}
