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
    World,
    faults,
    list_price,
)

FACTS = CallFacts("gpt-5.4-mini", 100, 10)
PRICE = Decimal("0.00012")


def arrive(world: World, now: float = 0.0, facts: CallFacts = FACTS) -> Running:
    got = world.arrive(world.config.key, facts, now)
    assert isinstance(got, Running), got
    return got


def refuse(world: World, now: float = 0.0, facts: CallFacts = FACTS) -> Refusal:
    got = world.arrive(world.config.key, facts, now)
    assert isinstance(got, Refusal), got
    return got


def test_a_call_reserves_then_costs_its_price_exactly() -> None:
    world = World(Config(balance="0.3"))
    world.spend("0.1")
    call = arrive(world, 5)
    assert call.cost == list_price(FACTS) == PRICE
    assert world.account.reserved == PRICE
    assert world.account.balance == Decimal("0.2")
    settled = world.finish(call, 7.5)
    assert (settled.cost, settled.balance, settled.seconds) == (PRICE, Decimal("0.19988"), 2.5)
    assert (world.account.reserved, world.account.in_flight, world.account.spent) == (
        0,
        0,
        Decimal("0.10012"),
    )


def test_a_call_that_fails_costs_nothing() -> None:
    world = World()
    world.fail(arrive(world))
    assert (world.account.balance, world.account.reserved) == (5, 0)


def test_free_credits_go_first() -> None:
    world = World(Config(balance=1, free_credits="0.5", cost=1))
    settled = world.finish(arrive(world), 1)
    assert (world.account.credits, world.account.free_credits, settled.balance) == (
        Decimal("0.5"),
        0,
        Decimal("0.5"),
    )


def test_reservations_fill_the_balance() -> None:
    world = World(Config(balance=1, cost="0.4", reserve=1))
    first = arrive(world)
    arrive(world)
    refusal = refuse(world)
    assert refusal.status == 406
    assert refusal.text == "Insufficient credits: balance is 1, this call needs 0.4000000000"
    world.finish(first, 1)
    assert refuse(world).status == 406
    assert world.account.refused == {406: 2}
    world.top_up(1)
    arrive(world)


@pytest.mark.parametrize("reserve", [0.5, 2.0, lambda _facts, _chance: Decimal("0.2")])
def test_what_is_reserved_is_a_choice(reserve: Any) -> None:
    world = World(Config(cost="0.1", reserve=reserve))
    estimate = arrive(world).estimate
    assert estimate == (Decimal("0.2") if callable(reserve) else Decimal("0.1") * Decimal(str(reserve)))


def test_a_dearer_call_than_reserved_may_overdraw() -> None:
    world = World(Config(balance=1, cost=lambda _facts, _chance: Decimal(3), reserve=1))
    world.finish(arrive(world), 1)
    assert world.account.balance == world.account.lowest == -2


def test_a_spend_limit_counts_what_is_reserved() -> None:
    world = World(Config(spend_limit="0.5", cost="0.3"))
    call = arrive(world)
    assert "spend limit" in refuse(world).text
    world.fail(call)
    arrive(world)


def test_a_sliding_window_counts_the_last_minute() -> None:
    world = World(Config(requests_per_minute=3))
    for now in (0, 10, 20):
        arrive(world, now)
    refusal = refuse(world, 30)
    assert (refusal.status, refusal.reset_after) == (429, 30)
    arrive(world, 60)
    assert refuse(world, 60).status == 429


def test_a_fixed_window_starts_anew_each_minute() -> None:
    world = World(Config(requests_per_minute=2, window="fixed"))
    arrive(world, 58)
    arrive(world, 59)
    assert refuse(world, 59.5).reset_after == 0.5
    arrive(world, 60)


def test_refused_calls_may_count_too() -> None:
    world = World(Config(requests_per_minute=2, count_refused=True))
    arrive(world, 0)
    arrive(world, 1)
    for now in range(2, 200):
        refuse(world, now)
    assert len(world.account.arrivals) == 2
    arrive(world, 300)


def test_calls_at_once_may_be_limited() -> None:
    world = World(Config(max_in_flight=1))
    call = arrive(world)
    assert (refuse(world).status, refuse(world).reset_after) == (429, None)
    world.finish(call, 1)
    arrive(world)


@pytest.mark.parametrize(
    ("config", "status"),
    [
        ({"retired": frozenset({"o3"})}, 410),
        ({"forbidden": frozenset({"o3"})}, 403),
        ({"slugs": frozenset({"x"})}, 404),
    ],
)
def test_models_that_may_not_be_called(config: Any, status: int) -> None:
    assert refuse(World(Config(**config)), 0, CallFacts("o3", 1, 1)).status == status


def test_an_unknown_key() -> None:
    got = World().arrive("SG_other", FACTS, 0)
    assert isinstance(got, Refusal)
    assert got.status == 401


def test_accounts_are_apart() -> None:
    world = World()
    other = world.add_account("SG_two", 1, 2)
    world.spend(1, "SG_two")
    world.top_up(4, "SG_two")
    assert (other.balance, world.account.balance) == (6, 5)


def test_a_seed_repeats_everything() -> None:
    def costs(seed: int) -> list[Decimal]:
        def cost(_facts: CallFacts, chance: random.Random) -> Decimal:
            return Decimal(str(chance.lognormvariate(-7, 1)))

        world = World(
            Config(seed=seed, cost=cost, latency=lambda _f, _c, chance: chance.random(), balance=1000)
        )
        return [arrive(world).cost for _ in range(20)]

    assert costs(1) == costs(1) != costs(2)


def test_random_faults_come_in_their_shares_and_repeat() -> None:
    shares = ((0.2, faults.Silence()), (0.1, faults.status(503)))
    source, again = RandomFaults(*shares, seed=3), RandomFaults(*shares, seed=3)
    drawn = [source.draw() for _ in range(5000)]
    assert drawn == [again.draw() for _ in range(5000)]
    assert 0.18 < drawn.count(faults.Silence()) / 5000 < 0.22
    assert 0.68 < drawn.count(None) / 5000 < 0.72
    with pytest.raises(ValueError, match="come to more than all calls"):
        RandomFaults((0.7, faults.Silence()), (0.4, faults.Reset()))
