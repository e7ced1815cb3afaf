"""The ledger: grants, readings out of order, doubts, refusals, budgets."""

from __future__ import annotations

import pytest

from segmind_async._money.budget import Budget
from segmind_async._money.cost_model import CostModel
from segmind_async._money.doubts import DOUBT_SETTLES_AFTER
from segmind_async._money.ledger import Ledger
from segmind_async._money.price_model import PriceModel
from segmind_async._money.protocol import Hold, ListPrice, Price, Shortfall

CENT = 10**8


def model(calls: int = 100, cost: int = CENT, seconds: float = 1000.0) -> CostModel:
    made = CostModel(cost)
    for _ in range(calls):
        made.finished(cost, seconds)
    return made


class Book:
    """An account, and one model of calls that cost a cent."""

    def __init__(self, balance: int | None = 100 * CENT, floor: int = 0, calls: int = 100) -> None:
        self.ledger = Ledger(floor)
        self.model = model(calls)
        self.price_model = PriceModel()
        self.now = 0.0
        if balance is not None:
            self.ledger.observe(balance, 0, 0)

    def grant(self, budget: Budget | None = None) -> Hold:
        got = self.ask(budget)
        assert isinstance(got, Hold), got
        return got

    def refuse(self, budget: Budget | None = None) -> Shortfall:
        got = self.ask(budget)
        assert isinstance(got, Shortfall), got
        return got

    def ask(self, budget: Budget | None = None) -> Hold | Shortfall:
        self.now += 1
        return self.ledger.reserve(budget or self.ledger.root, self.model, None, self.now)

    def settle(
        self, hold: Hold, cost: int | None = CENT, reading: int | None = None, *, named: bool = True
    ) -> None:
        self.now += 1
        price = (
            Price(cost)
            if named
            else Price(None, None if cost is None else ListPrice(self.price_model, float(cost), 0.0))
        )
        self.ledger.settle(hold, price, reading, self.now)

    def all_that_fit(self) -> list[Hold]:
        held = []
        while isinstance(got := self.ask(), Hold):
            held.append(got)
        return held

    def fit_now(self) -> int:
        count = 0
        while isinstance(self.ledger.reserve(self.ledger.root, self.model, None, self.now), Hold):
            count += 1
        return count


def test_no_more_than_the_balance_is_put_in_flight() -> None:
    book = Book(50 * CENT, calls=400)
    held = book.all_that_fit()
    assert 40 <= len(held) <= 50
    shortfall = book.refuse()
    assert not shortfall.final
    assert shortfall.budget is None
    for hold in held:
        book.settle(hold)
    assert book.ledger.balance == (50 - len(held)) * CENT
    assert book.ledger.in_flight == 0


def test_the_floor_is_kept() -> None:
    book = Book(50 * CENT, floor=30 * CENT)
    assert 10 <= len(book.all_that_fit()) <= 20


def test_spent_to_the_floor_is_final() -> None:
    book = Book(30 * CENT, floor=30 * CENT)
    shortfall = book.refuse()
    assert shortfall.final
    assert shortfall.available == 0
    assert shortfall.needed >= CENT


def test_an_unknown_balance_lets_one_start_then_one_more_with_every_answer() -> None:
    book = Book(None, calls=0)
    assert book.ledger.balance is None
    first = book.grant()
    assert not book.refuse().final
    book.settle(first)
    assert len([book.grant(), book.grant()]) == 2
    book.refuse()
    assert book.ledger.balance is None


@pytest.mark.parametrize(
    ("reading", "sent_at", "now", "believed"),
    [
        pytest.param(40, 5, 30, True, id="lower counts at once"),
        pytest.param(60, 5, 30, False, id="higher, sent before the lower one arrived"),
        pytest.param(60, 19.9, 30, False, id="higher, sent just before"),
        pytest.param(60, 20, 30, True, id="higher, sent after: a top-up"),
        pytest.param(50, 5, 30, True, id="the same"),
    ],
)
def test_readings_by_the_causal_rule(reading: int, sent_at: float, now: float, believed: bool) -> None:
    ledger = Ledger()
    ledger.observe(80 * CENT, 0, 1)
    ledger.observe(50 * CENT, 10, 20)
    ledger.observe(reading * CENT, sent_at, now)
    assert ledger.balance == (reading if believed else 50) * CENT


def test_a_reading_covers_what_ended_before_it_was_asked_for() -> None:
    book = Book(100 * CENT)
    early, late = book.grant(), book.grant()
    book.settle(early)  # at 3
    book.settle(late)  # at 4
    assert book.ledger.balance == 98 * CENT
    # Sent between the two: the first is in it, the second may or may not be.
    book.ledger.observe(99 * CENT, sent_at=3.5, now=10)
    assert book.ledger.balance == 98 * CENT


def test_in_doubt_the_money_stays_aside_until_a_later_balance_covers_it() -> None:
    book = Book(10 * CENT)
    hold = book.grant()
    book.ledger.doubt(hold, 5)
    assert book.ledger.in_doubt >= CENT
    assert book.ledger.in_flight == 0
    assert book.ledger.doubts_settle_at == 5 + DOUBT_SETTLES_AFTER
    book.ledger.observe(10 * CENT, 5 + DOUBT_SETTLES_AFTER - 1, 70)
    assert book.ledger.in_doubt > 0
    book.ledger.observe(10 * CENT, 5 + DOUBT_SETTLES_AFTER, 70)
    assert book.ledger.in_doubt == 0
    assert book.ledger.doubts_settle_at is None


def test_what_an_earlier_run_had_in_flight_stays_aside_until_a_balance_covers_it() -> None:
    book = Book(10 * CENT)
    book.ledger.inherit_doubt(8 * CENT, -20)
    assert book.ledger.in_doubt == 8 * CENT
    assert len(book.all_that_fit()) <= 2
    book.ledger.observe(10 * CENT, DOUBT_SETTLES_AFTER - 20, 70)
    assert book.ledger.in_doubt == 0


def test_with_doubts_alone_in_the_way_nothing_can_be_waited_for() -> None:
    book = Book(int(1.5 * CENT))
    book.ledger.doubt(book.grant(), 5)
    assert book.refuse().final


def test_a_released_hold_costs_nothing() -> None:
    book = Book(50 * CENT)
    count = len(held := book.all_that_fit())
    for hold in held:
        book.ledger.release(hold)
    assert len(book.all_that_fit()) == count


def test_costs_without_a_name_come_from_what_the_balance_fell_by() -> None:
    book = Book(1000 * CENT, calls=0)
    for n in range(20):
        book.settle(book.grant(), 10, named=False)
        book.ledger.observe((1000 - 3 * (n + 1)) * CENT, book.now + 0.5, book.now + 1)
        book.now += 1
    assert book.model.typical() == 3 * CENT
    assert book.ledger.root.spent == 60 * CENT


def test_an_answer_that_comes_after_its_successor_was_priced_is_priced_once() -> None:
    book = Book(1000 * CENT, calls=0)
    first, second = book.grant(), book.grant()
    book.settle(second, 10, 994 * CENT, named=False)
    # Long after, so that nothing else could still come: the second is booked with what both cost.
    third = book.grant()
    book.now += 1000
    book.settle(third, 10, 991 * CENT, named=False)
    assert book.ledger.root.spent == 6 * CENT
    # And the late one adds nothing, though its balance lies above.
    book.settle(first, 10, 997 * CENT, named=False)
    assert book.ledger.in_flight == 0
    assert book.ledger.root.spent == 9 * CENT
    # Nor does it teach a cost: the two that are known are six and three.
    assert book.model.typical() == 4.5 * CENT


def test_named_costs_are_taken_from_the_fall_first() -> None:
    book = Book(1000 * CENT)
    book.settle(book.grant(), 2 * CENT)
    book.settle(book.grant(), 1, named=False)
    before = book.ledger.root.spent
    book.ledger.observe(995 * CENT, 50, 51)
    assert book.ledger.root.spent - before == 3 * CENT - 1
    # A balance that did not fall prices nothing: the price that was learnt stands.
    book.settle(book.grant(), 1, named=False)
    book.ledger.observe(995 * CENT, 60, 61)
    assert book.ledger.root.spent - before == pytest.approx(6 * CENT, rel=0.1)


def test_where_no_balance_ever_comes_guesses_must_do() -> None:
    book = Book(1000 * CENT, calls=0)
    for _ in range(300):
        book.settle(book.grant(), 2 * CENT, named=False)
    assert book.model.typical() == 2 * CENT
    assert book.ledger.root.spent == 600 * CENT


def test_a_top_up_hides_what_was_spent_meanwhile() -> None:
    book = Book(1000 * CENT, calls=0)
    book.settle(book.grant(), 2 * CENT, named=False)
    book.ledger.observe(5000 * CENT, 50, 51)
    assert book.model.typical() == 2 * CENT
    assert book.ledger.balance == 5000 * CENT


def test_later_calls_without_a_cost_are_priced_together() -> None:
    book = Book(1000 * CENT, calls=0)
    balance = 1000
    for n in range(60):
        book.settle(book.grant(), (1 + n % 3) * CENT, named=False)
        balance -= 3 * (1 + n % 3)
        book.ledger.observe(balance * CENT, book.now + 0.5, book.now + 1)
        book.now += 1
    assert book.price_model.price(CENT) == pytest.approx(3 * CENT, rel=0.02)
    assert book.model.typical() == pytest.approx(6 * CENT, rel=0.1)


def test_what_others_spend_is_kept_free_for_as_long_as_a_call_takes() -> None:
    book = Book(1000 * CENT)
    book.model = model(seconds=1.0)
    balance = 1000
    for _ in range(10):
        book.settle(book.grant())
        balance -= 26
        book.ledger.observe(balance * CENT, book.now, book.now)
    # They spend 25 every two seconds, and a call takes one.
    with_others, alone = book, Book(balance * CENT, calls=110)
    alone.now = book.now
    fewer = alone.fit_now() - with_others.fit_now()
    assert 6 <= fewer <= 40  # they come in bursts of 25, and one may come within a call's time


def test_without_any_price_the_typical_cost_is_booked() -> None:
    book = Book(1000 * CENT)
    book.settle(book.grant(), None, named=False)
    assert book.ledger.root.spent == CENT
    assert book.ledger.balance == 999 * CENT
    book.settle(book.grant(), None, named=False)
    book.ledger.observe(992 * CENT, 50, 51)
    assert book.ledger.root.spent == 8 * CENT  # what the balance fell by, shared


def test_free_of_charge_and_unpriced() -> None:
    book = Book(1000 * CENT)
    book.settle(book.grant(), 0, named=False)
    book.ledger.observe(999 * CENT, 50, 51)
    assert book.ledger.root.spent >= 0


def test_a_406_with_others_in_flight_holds_back_until_one_of_them_ends() -> None:
    book = Book(100 * CENT)
    others = [book.grant() for _ in range(4)]
    book.ledger.refuse(book.grant(), balance=100 * CENT, needed=20 * CENT, now=50)
    assert not book.refuse().final
    book.settle(others[0], reading=99 * CENT)
    # Three at 20 are withheld, and a fourth fits in 99.
    fourth = book.grant()
    book.refuse()
    book.settle(fourth, reading=98 * CENT)
    book.ledger.forget_reservations()
    assert len(book.all_that_fit()) > 50


def test_calls_of_a_kind_are_held_at_their_own_cost_and_count_in_the_whole() -> None:
    book = Book(100 * CENT)
    dear = CostModel(CENT, "", book.model)
    for _ in range(400):
        dear.finished(10 * CENT, 1.0)
    cheap = book.ledger.reserve(book.ledger.root, book.model, None, 0)
    held = [book.ledger.reserve(book.ledger.root, dear, None, 0) for _ in range(12)]
    granted = [hold for hold in held if isinstance(hold, Hold)]
    assert isinstance(cheap, Hold)
    assert 3 <= len(granted) <= 9
    book.ledger.refuse(granted.pop(), 100 * CENT, 20 * CENT, 5)
    assert not book.refuse().final  # what the service reserves is asked of all kinds
    for hold in granted:
        book.settle(hold, 10 * CENT)
    assert dear.typical() == 10 * CENT
    assert book.model.typical() > CENT


def test_a_406_is_not_asked_for_again_before_one_of_ours_ends() -> None:
    """Somebody else's reservations may fill the balance: by what is known here, the next call would fit."""
    book = Book(100 * CENT)
    others = [book.grant() for _ in range(4)]
    book.ledger.refuse(book.grant(), balance=100 * CENT, needed=2 * CENT, now=50)
    assert not book.refuse().final
    book.settle(others[0], reading=99 * CENT)
    book.grant()


def test_a_406_that_names_nothing_says_that_one_more_did_not_fit() -> None:
    book = Book(100 * CENT)
    others = [book.grant() for _ in range(9)]
    book.ledger.refuse(book.grant(), None, None, 50)
    assert not book.refuse().final
    book.settle(others[0])
    held = book.all_that_fit()
    assert len(others) - 1 + len(held) == 9


def test_a_406_before_any_balance_means_there_is_nothing() -> None:
    book = Book(None)
    book.ledger.refuse(book.grant(), None, None, 5)
    assert book.ledger.balance == 0
    assert book.refuse().final
    # A read of the balance may tell better.
    book.ledger.observe(50 * CENT, 6, 7)
    book.grant()


def test_a_budget_holds_and_spends_in_itself_and_in_its_parents() -> None:
    book = Book(1000 * CENT)
    outer = Budget(book.ledger.root, 20 * CENT)
    inner = Budget(outer, 10 * CENT)
    hold = book.grant(inner)
    book.settle(hold)
    assert (inner.spent, outer.spent, book.ledger.root.spent) == (CENT, CENT, CENT)
    assert (inner.left, outer.left, book.ledger.root.left) == (9 * CENT, 19 * CENT, None)
    while isinstance(got := book.ask(inner), Hold):
        book.settle(got)
    assert got.budget is inner
    assert isinstance(got, Shortfall)
    assert got.final
    assert 8 * CENT <= inner.spent <= 10 * CENT
    book.grant(outer)


def test_a_parents_cap_binds_its_children() -> None:
    book = Book(1000 * CENT)
    outer = Budget(book.ledger.root, 5 * CENT)
    children = [Budget(outer, 4 * CENT) for _ in range(3)]
    held = []
    for child in children:
        while isinstance(got := book.ask(child), Hold):
            held.append(got)
    assert 3 <= len(held) <= 5
    assert got.budget is outer
    assert isinstance(got, Shortfall)
    assert not got.final


def test_for_a_budget_a_doubt_never_clears() -> None:
    book = Book(1000 * CENT)
    budget = Budget(book.ledger.root, 10 * CENT)
    book.ledger.doubt(book.grant(budget), 5)
    left = budget.left
    assert left is not None
    assert left <= 9 * CENT
    book.ledger.observe(1000 * CENT, 500, 501)
    assert budget.left == left


def test_a_floor_of_its_own_is_never_below_its_parents() -> None:
    root = Budget(None, None, 5)
    assert Budget(root, None, 3).floor == 5
    assert Budget(root, None, 7).floor == 7
    assert repr(Budget(root, 9)) == "Budget(cap=9, floor=5, spent=0, doubted=0)"


def test_a_loop_with_another_clock() -> None:
    book = Book(50 * CENT)
    book.settle(book.grant())
    book.ledger.doubt(book.grant(), 5)
    book.ledger.shift(1000)
    assert book.ledger.doubts_settle_at == 1005 + DOUBT_SETTLES_AFTER
    book.ledger.observe(49 * CENT, 1001, 1002)
    assert book.ledger.balance == 48 * CENT
    assert repr(book.ledger).startswith(f"Ledger(balance={48 * CENT}, in_flight=0, in_doubt=")


def test_in_a_loop_with_another_clock_named_costs_still_lower_the_balance_that_was_asked_for() -> None:
    book = Book(None)
    book.ledger.observe(50 * CENT, 999, 1000)
    book.ledger.shift(-1000)
    book.settle(book.grant(), reading=50 * CENT)  # a reading that does not show the cost yet
    assert book.ledger.balance == 49 * CENT
