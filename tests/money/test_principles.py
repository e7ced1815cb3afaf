"""What the guard promises, whatever calls cost: see docs/explanation/credit-guard.md. Seeded runs of the ledger."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterator
from itertools import count, repeat

import pytest

from segmind_async._money.budget import Budget
from segmind_async._money.cost_model import CostModel, InFlightCall
from segmind_async._money.exposure import Exposure
from segmind_async._money.ledger import Ledger
from segmind_async._money.price_model import PriceModel
from segmind_async._money.protocol import Hold, ListPrice, Price, Shortfall

CENT = 10**8


class Service:
    """An account on the service, and calls that are charged at their end and answered a little later."""

    def __init__(self, balance: int, costs: Iterator[int], *, named: bool = True, seed: int = 0) -> None:
        self.balance, self.costs, self.named = balance, costs, named
        self.chance = random.Random(seed)
        self.now = 0.0
        self.events: list[tuple[float, int, Hold, int, int | None]] = []
        self.numbers = count()
        self.in_flight = self.most_in_flight = self.sent = self.paid = 0

    def start(self, hold: Hold) -> None:
        cost = next(self.costs)
        self.sent += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        latency = 0.5 + 1.5 * (cost / CENT) ** 0.7
        heapq.heappush(self.events, (self.now + latency, next(self.numbers), hold, cost, None))

    def answer(self) -> tuple[Hold, int, int]:
        """Go on to the next answer; return its hold, its cost and the balance it names."""
        while True:
            self.now, number, hold, cost, balance = heapq.heappop(self.events)
            if balance is not None:
                self.in_flight -= 1
                return hold, cost, balance
            self.balance -= cost
            self.paid += cost
            late = self.chance.expovariate(1 / 0.15)
            heapq.heappush(self.events, (self.now + late, number, hold, cost, self.balance))


def spend(ledger: Ledger, budget: Budget, service: Service, model: CostModel, slots: int) -> Shortfall:
    """Send as many calls as are let in, until there is a final shortfall."""
    ledger.observe(service.balance, 0.0, 0.0)
    while True:
        got = ledger.reserve(budget, model, None, service.now) if service.in_flight < slots else None
        if isinstance(got, Hold):
            service.start(got)
            continue
        if isinstance(got, Shortfall) and got.final:
            return got
        hold, cost, balance = service.answer()
        ledger.settle(hold, Price(cost if service.named else None), balance, service.now)


def lognormal(seed: int, sigma: float) -> Iterator[int]:
    chance = random.Random(seed)
    return (int(CENT * chance.lognormvariate(0, sigma)) for _ in repeat(0))


def two_kinds(seed: int, _: float) -> Iterator[int]:
    chance = random.Random(seed)
    return (
        int(CENT * (30 if chance.random() < 0.1 else 1) * chance.lognormvariate(0, 0.3)) for _ in repeat(0)
    )


def drifting(seed: int, to: float) -> Iterator[int]:
    chance = random.Random(seed)
    return (int(CENT * to ** (n / 640) * chance.lognormvariate(0, 0.3)) for n in count())


@pytest.mark.slow
@pytest.mark.parametrize("named", [True, False], ids=["cost named", "balance alone"])
@pytest.mark.parametrize(
    ("costs", "sigma"),
    [
        pytest.param(lognormal, 0.0, id="fixed"),
        pytest.param(lognormal, 0.8, id="spread 0.8"),
        pytest.param(two_kinds, 0.0, id="two kinds"),
        pytest.param(drifting, 3.0, id="drift"),
    ],
)
def test_the_floor_is_kept_and_little_is_left(
    costs: Callable[[int, float], Iterator[int]], sigma: float, named: bool
) -> None:
    # The first dear calls are taken for somebody else's spending where no cost is named.
    calls = 1280 if costs is two_kinds and not named else 640
    broken, left = 0, []
    for seed in range(6):
        source = costs(seed, sigma)
        money = sum(next(source) for _ in range(calls))
        service = Service(money, costs(seed, sigma), named=named, seed=seed)
        ledger = Ledger(0)
        spend(ledger, ledger.root, service, CostModel(CENT), 64)
        broken += service.balance < 0
        left.append(service.balance / money)
    assert broken <= 1
    assert sum(left) / len(left) < 0.08


@pytest.mark.slow
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("guess", [CENT // 10, CENT, 50 * CENT])
def test_a_cap_is_passed_by_no_more_than_one_call_is_dearer(guess: int, nested: bool) -> None:
    over = 0
    for seed in range(20):
        mean = int(CENT * 1.38)
        service = Service(10**6 * CENT, lognormal(seed, 0.8), seed=seed)
        ledger = Ledger(0)
        outer = Budget(ledger.root, 100 * mean)
        spend(ledger, Budget(outer, 100 * mean) if nested else outer, service, CostModel(guess), 200)
        over += service.paid > 105 * mean
        assert service.paid > 50 * mean
    assert over <= 1


@pytest.mark.slow
def test_a_kind_that_has_not_finished_yet_does_not_pass_a_cap_by_much() -> None:
    mean = 4 * CENT
    over = []
    for seed in range(20):
        service = Service(10**6 * CENT, two_kinds(seed, 0.0), seed=seed)
        ledger = Ledger(0)
        spend(ledger, Budget(ledger.root, 100 * mean), service, CostModel(CENT), 200)
        over.append(max(0.0, service.paid / (100 * mean) - 1))
    assert sum(over) / len(over) < 0.5


@pytest.mark.parametrize("finished", [1, 5, 20, 100])
def test_no_more_are_out_than_a_kind_not_seen_yet_would_allow(finished: int) -> None:
    ledger, model = Ledger(0), CostModel(CENT)
    for _ in range(finished):
        model.finished(CENT, 1.0)
    ledger.observe(100 * CENT, 0.0, 0.0)
    out = 0
    while isinstance(ledger.reserve(ledger.root, model, None, 0.1), Hold):
        out += 1
    # By the rule of succession one call in finished + 1 is of such a kind, and it may be 60 times dearer.
    assert out <= max(1, 100 * (finished + 1) / 60)
    assert out >= min(finished, 30) / 2


def test_a_call_that_outlasts_all_finished_ones_may_be_of_a_dear_kind() -> None:
    model = CostModel(CENT)
    for _ in range(100):
        model.finished(CENT, 1.0)
    exposure = Exposure()
    for _ in range(3):
        exposure.add(InFlightCall(model, 0.0, None, CENT))
    young, old = exposure.required(0.5, None), exposure.required(2.0, None)
    assert young < 10 * CENT
    assert old > 3 * 60 * CENT


def test_while_nothing_is_known_few_are_out_and_more_with_every_answer() -> None:
    ledger, model = Ledger(0), CostModel(CENT)
    service = Service(100 * CENT, lognormal(1, 0.8))
    ledger.observe(service.balance, 0.0, 0.0)
    out = []
    for _ in range(12):
        while isinstance(got := ledger.reserve(ledger.root, model, None, service.now), Hold):
            service.start(got)
        out.append(service.in_flight)
        hold, cost, balance = service.answer()
        ledger.settle(hold, Price(cost), balance, service.now)
    assert out[0] <= 3
    assert out[-1] > 2 * out[0]


@pytest.mark.parametrize("left", [1, CENT // 1000, CENT])
def test_a_first_call_teaches_under_any_budget(left: int) -> None:
    ledger, model = Ledger(0), CostModel(CENT)
    ledger.observe(10**6 * CENT, 0, 0)
    budget = Budget(ledger.root, left)
    first = ledger.reserve(budget, model, None, 1.0)
    assert isinstance(first, Hold)
    second = ledger.reserve(budget, model, None, 1.0)
    assert isinstance(second, Shortfall)
    assert not second.final
    ledger.settle(first, Price(min(left, 10)), None, 2.0)
    after = ledger.reserve(budget, model, None, 3.0)
    assert isinstance(after, Hold) == (left > 10)


def test_an_empty_budget_sends_nothing() -> None:
    ledger, model = Ledger(0), CostModel(CENT)
    ledger.observe(10**6 * CENT, 0, 0)
    got = ledger.reserve(Budget(ledger.root, 0), model, None, 1.0)
    assert isinstance(got, Shortfall)
    assert got.final
    assert (got.available, got.needed) == (0, 0)


def test_nothing_is_final_while_calls_are_in_flight() -> None:
    for seed in range(20):
        ledger, model = Ledger(0), CostModel(CENT)
        service = Service(30 * CENT, lognormal(seed, 1.2))
        ledger.observe(service.balance, 0.0, 0.0)
        while True:
            got = ledger.reserve(ledger.root, model, None, service.now)
            if isinstance(got, Hold):
                service.start(got)
                continue
            assert got.final == (service.in_flight == 0)
            if got.final:
                break
            hold, cost, balance = service.answer()
            ledger.settle(hold, Price(cost), balance, service.now)


def test_headers_never_raise_the_balance_over_what_named_costs_leave() -> None:
    ledger, model = Ledger(0), CostModel(CENT)
    ledger.observe(100 * CENT, 0.0, 0.0)
    for n in range(10):
        hold = ledger.reserve(ledger.root, model, None, 1.0 + n)
        assert isinstance(hold, Hold)
        # The header is old: it always says the same.
        ledger.settle(hold, Price(5 * CENT), 100 * CENT, 1.5 + n)
    assert ledger.balance == 50 * CENT
    ledger.observe(90 * CENT, 20.0, 21.0)
    assert ledger.balance == 90 * CENT


@pytest.mark.parametrize("named", [10**16, 10**25])
def test_one_absurd_cost_ends_nothing(named: int) -> None:
    ledger, model = Ledger(0), CostModel(CENT)
    ledger.observe(1000 * CENT, 0.0, 0.0)
    budget = Budget(ledger.root, 500 * CENT)
    balance = 1000 * CENT
    for n in range(50):
        hold = ledger.reserve(budget, model, None, float(n))
        assert isinstance(hold, Hold), n
        balance -= CENT
        ledger.settle(hold, Price(named if n == 30 else CENT), balance, n + 0.5)
    assert budget.spent == 50 * CENT
    assert model.typical() == CENT


def test_answers_without_cost_and_balance_ask_for_one() -> None:
    ledger, model, prices = Ledger(0), CostModel(CENT), PriceModel()
    ledger.observe(1000 * CENT, 0.0, 0.0)
    balance, asked = 1000 * CENT, 0
    for n in range(100):
        hold = ledger.reserve(ledger.root, model, None, float(n))
        assert isinstance(hold, Hold)
        ledger.settle(hold, Price(), None, n + 0.5)
        balance -= 3 * CENT
        if ledger.blind:
            asked += 1
            ledger.observe(balance, n + 0.6, n + 0.7)
    assert 8 <= asked <= 20
    assert model.typical() == pytest.approx(3 * CENT, rel=0.05)
    assert prices.price(1.0) == 1


def test_a_call_whose_cost_is_not_known_yet_is_held_in_its_budgets() -> None:
    ledger, model = Ledger(0), CostModel(CENT)
    ledger.observe(1000 * CENT, 0.0, 0.0)
    budget = Budget(ledger.root, 10**4 * CENT)
    first, second = (ledger.reserve(budget, model, None, 1.0) for _ in range(2))
    assert isinstance(first, Hold)
    assert isinstance(second, Hold)
    ledger.settle(first, Price(), 997 * CENT, 2.0)
    assert (budget.spent, len(budget.exposure), len(ledger.exposure)) == (0, 2, 1)
    ledger.settle(second, Price(), 990 * CENT, 2.1)
    assert (budget.spent, len(budget.exposure), len(ledger.exposure)) == (10 * CENT, 0, 0)
    assert model.typical() == 5 * CENT


def test_paid_in_while_costs_are_not_known() -> None:
    ledger, model, prices = Ledger(0), CostModel(CENT), PriceModel()
    ledger.observe(1000 * CENT, 0.0, 0.0)
    holds = [ledger.reserve(ledger.root, model, None, 1.0) for _ in range(4)]
    first, second, third, fourth = (hold for hold in holds if isinstance(hold, Hold))
    listed = ListPrice(prices, 1.0 * CENT, 0.0)
    ledger.settle(first, Price(None, listed), 998 * CENT, 2.0)
    ledger.observe(5000 * CENT, 3.0, 4.0)
    assert ledger.root.spent == CENT
    ledger.settle(second, Price(None, listed), 4990 * CENT, 5.0)
    ledger.settle(third, Price(CENT, listed), 4989 * CENT, 5.1)
    assert ledger.root.spent == 2 * CENT  # one that is in flight may come before the second
    assert ledger.balance == 4989 * CENT
    # Too late, and so within the cost of the one before.
    ledger.settle(fourth, Price(), 4995 * CENT, 7.0)
    assert ledger.root.spent == 12 * CENT
    assert model.typical() == pytest.approx((1 + 5 + 5 + 1) * CENT / 4)


def test_a_406_that_names_what_is_free_is_no_reading() -> None:
    ledger, model = Ledger(0), CostModel(CENT)
    for _ in range(100):
        model.finished(CENT, 1.0)
    ledger.observe(1000 * CENT, 0.0, 0.0)
    holds = [ledger.reserve(ledger.root, model, None, 1.0) for _ in range(11)]
    last = holds[-1]
    assert isinstance(last, Hold)
    ledger.refuse(last, 2 * CENT, None, 1.1)
    assert ledger.balance == 1000 * CENT
    got = ledger.reserve(ledger.root, model, None, 1.2)
    assert isinstance(got, Shortfall)
    assert not got.final
    # A second one, with an answer on its way: about the known balance, so it is the balance.
    other = holds[0]
    assert isinstance(other, Hold)
    ledger.refuse(other, 998 * CENT, None, 1.3)
    assert ledger.balance == 998 * CENT


def test_a_fall_that_named_costs_explain_prices_nothing() -> None:
    ledger, model = Ledger(0), CostModel(CENT)
    ledger.observe(1000 * CENT, 0.0, 0.0)
    holds = [ledger.reserve(ledger.root, model, None, 1.0) for _ in range(2)]
    named, unnamed = (hold for hold in holds if isinstance(hold, Hold))
    ledger.settle(named, Price(5 * CENT), None, 2.0)
    ledger.settle(unnamed, Price(), None, 2.1)
    before = ledger.root.spent
    ledger.observe(996 * CENT, 3.0, 3.1)
    assert ledger.root.spent == before


def test_a_kind_that_has_ended_no_longer_counts_in_the_sum() -> None:
    cheap, dear = CostModel(CENT), CostModel(CENT)
    for _ in range(50):
        cheap.finished(CENT, 1.0)
        dear.finished(50 * CENT, 1.0)
    exposure = Exposure()
    one, other = (InFlightCall(model, 0.0, None, model.summand_bound(None)) for model in (cheap, dear))
    exposure.add(one)
    exposure.add(other)
    assert exposure.required(0.0, cheap) > 50 * CENT
    exposure.remove(other)
    assert exposure.required(0.0, cheap) < 5 * CENT
    assert exposure.required(0.0, None) < 5 * CENT
    unknown = CostModel(50 * CENT)
    guessed = InFlightCall(unknown, 0.0, None, unknown.summand_bound(None))
    exposure.add(guessed)
    assert exposure.required(0.0, cheap) > 50 * CENT
    exposure.remove(guessed)
    assert exposure.required(0.0, cheap) < 5 * CENT


def test_the_bound_far_from_the_floor_holds_for_no_call_that_outlasts_all_finished_ones() -> None:
    model = CostModel(CENT)
    for n in range(50):
        model.finished(CENT, 1.0 + n / 100)
    exposure = Exposure()
    for _ in range(8):
        exposure.add(InFlightCall(model, 0.0, None, model.summand_bound(None)))
    room = 20 * CENT
    fresh = InFlightCall(model, 1.0, None, model.summand_bound(None))
    assert exposure.fits(room, fresh)
    later = InFlightCall(model, 30.0, None, model.summand_bound(None))
    assert not exposure.fits(room, later)
    assert exposure.required(30.0, model) > room


@pytest.mark.slow
def test_a_dear_kind_that_takes_long_fills_no_short_run() -> None:
    over = []
    for seed in range(10):
        source = two_kinds(seed, 0.0)
        money = sum(next(source) for _ in range(320))
        service = Service(10**6 * CENT, two_kinds(seed, 0.0), seed=seed)
        ledger = Ledger(0)
        spend(ledger, Budget(ledger.root, money), service, CostModel(CENT), 64)
        over.append(service.paid / money - 1)
    # Ten of the dear calls are a tenth of the money: what was out before the first of them had ended.
    assert sum(one > 0 for one in over) <= 3
    assert max(over) < 0.25
