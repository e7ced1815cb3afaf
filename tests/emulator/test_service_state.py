"""Money and limits on the service's side, without a server."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pytest

from segmind_async.emulator import (
    CallFacts,
    Config,
    RandomFaults,
    Refusal,
    Running,
    ServiceState,
    faults,
    list_price,
)

FACTS = CallFacts("gpt-5.4-mini", 100, 10)
PRICE = Decimal("0.00012")


def arrive(service: ServiceState, now: float = 0.0, facts: CallFacts = FACTS) -> Running:
    got = service.arrive(service.config.key, facts, now)
    assert isinstance(got, Running), got
    return got


def refuse(service: ServiceState, now: float = 0.0, facts: CallFacts = FACTS) -> Refusal:
    got = service.arrive(service.config.key, facts, now)
    assert isinstance(got, Refusal), got
    return got


def test_a_call_reserves_then_costs_its_price_exactly() -> None:
    service = ServiceState(Config(balance="0.3"))
    service.spend("0.1")
    call = arrive(service, 5)
    assert call.cost == list_price(FACTS) == PRICE
    assert service.account.reserved == PRICE
    assert service.account.balance == Decimal("0.2")
    settled = service.finish(call, 7.5)
    assert (settled.cost, settled.balance, settled.seconds) == (PRICE, Decimal("0.19988"), 2.5)
    assert (service.account.reserved, service.account.in_flight, service.account.spent) == (
        0,
        0,
        Decimal("0.10012"),
    )


def test_a_call_that_fails_costs_nothing() -> None:
    service = ServiceState()
    service.fail(arrive(service))
    assert (service.account.balance, service.account.reserved) == (5, 0)


def test_free_credits_go_first() -> None:
    service = ServiceState(Config(balance=1, free_credits="0.5", cost=1))
    settled = service.finish(arrive(service), 1)
    assert (service.account.credits, service.account.free_credits, settled.balance) == (
        Decimal("0.5"),
        0,
        Decimal("0.5"),
    )


def test_reservations_fill_the_balance() -> None:
    service = ServiceState(Config(balance=1, cost="0.4", reserve=1))
    first = arrive(service)
    arrive(service)
    refusal = refuse(service)
    assert refusal.status == 406
    assert refusal.text == "Insufficient credits: balance is 1, this call needs 0.4000000000"
    service.finish(first, 1)
    assert refuse(service).status == 406
    assert service.account.refused == {406: 2}
    service.top_up(1)
    arrive(service)


@pytest.mark.parametrize("reserve", [0.5, 2.0, lambda _facts, _chance: Decimal("0.2")])
def test_what_is_reserved_is_a_choice(reserve: Any) -> None:
    service = ServiceState(Config(cost="0.1", reserve=reserve))
    estimate = arrive(service).estimate
    assert estimate == (Decimal("0.2") if callable(reserve) else Decimal("0.1") * Decimal(str(reserve)))


def test_a_dearer_call_than_reserved_may_overdraw() -> None:
    service = ServiceState(Config(balance=1, cost=lambda _facts, _chance: Decimal(3), reserve=1))
    service.finish(arrive(service), 1)
    assert service.account.balance == service.account.lowest == -2


def test_a_spend_limit_counts_what_is_reserved() -> None:
    service = ServiceState(Config(spend_limit="0.5", cost="0.3"))
    call = arrive(service)
    assert "spend limit" in refuse(service).text
    service.fail(call)
    arrive(service)


def test_a_sliding_window_counts_the_last_minute() -> None:
    service = ServiceState(Config(requests_per_minute=3))
    for now in (0, 10, 20):
        arrive(service, now)
    refusal = refuse(service, 30)
    assert (refusal.status, refusal.reset_after) == (429, 30)
    arrive(service, 60)
    assert refuse(service, 60).status == 429


def test_a_fixed_window_starts_anew_each_minute() -> None:
    service = ServiceState(Config(requests_per_minute=2, window="fixed"))
    arrive(service, 58)
    arrive(service, 59)
    assert refuse(service, 59.5).reset_after == 0.5
    arrive(service, 60)


def test_refused_calls_may_count_too() -> None:
    service = ServiceState(Config(requests_per_minute=2, count_refused=True))
    arrive(service, 0)
    arrive(service, 1)
    for now in range(2, 200):
        refuse(service, now)
    assert len(service.account.arrivals) == 2
    arrive(service, 300)


def test_calls_at_once_may_be_limited() -> None:
    service = ServiceState(Config(max_in_flight=1))
    call = arrive(service)
    assert (refuse(service).status, refuse(service).reset_after) == (429, None)
    service.finish(call, 1)
    arrive(service)


@pytest.mark.parametrize(
    ("config", "status"),
    [
        ({"retired": frozenset({"o3"})}, 410),
        ({"forbidden": frozenset({"o3"})}, 403),
        ({"slugs": frozenset({"x"})}, 404),
    ],
)
def test_models_that_may_not_be_called(config: Any, status: int) -> None:
    assert refuse(ServiceState(Config(**config)), 0, CallFacts("o3", 1, 1)).status == status


def test_an_unknown_key() -> None:
    got = ServiceState().arrive("SG_other", FACTS, 0)
    assert isinstance(got, Refusal)
    assert got.status == 401


def test_accounts_are_apart() -> None:
    service = ServiceState()
    other = service.add_account("SG_two", 1, 2)
    service.spend(1, "SG_two")
    service.top_up(4, "SG_two")
    assert (other.balance, service.account.balance) == (6, 5)


def test_a_seed_repeats_everything() -> None:
    def costs(seed: int) -> list[Decimal]:
        def cost(_facts: CallFacts, chance: random.Random) -> Decimal:
            return Decimal(str(chance.lognormvariate(-7, 1)))

        service = ServiceState(
            Config(seed=seed, cost=cost, latency=lambda _f, _c, chance: chance.random(), balance=1000)
        )
        return [arrive(service).cost for _ in range(20)]

    assert costs(1) == costs(1) != costs(2)


def test_random_faults_come_in_their_shares_and_repeat() -> None:
    shares = ((0.2, faults.Silence()), (0.1, faults.status(503)))
    source, again = RandomFaults(*shares, seed=3), RandomFaults(*shares, seed=3)
    drawn = [source.draw() for _ in range(5000)]
    assert drawn == [again.draw() for _ in range(5000)]
    assert 0.18 < drawn.count(faults.Silence()) / 5000 < 0.22
    assert 0.68 < drawn.count(None) / 5000 < 0.72
    with pytest.raises(ValueError, match="add up to more than 1"):
        RandomFaults((0.7, faults.Silence()), (0.4, faults.Reset()))
