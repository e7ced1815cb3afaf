"""The ledger: holds, balances out of order, doubts, refusals, budgets."""

from __future__ import annotations

import pytest

from segmind_async._money.budget import Budget
from segmind_async._money.cost_model import CostModel
from segmind_async._money.ledger import DOUBT_SETTLES_AFTER, Ledger
from segmind_async._money.price_model import PriceModel
from segmind_async._money.protocol import Hold, ListPrice, Price, Shortfall

CENT = 10**8


def model(calls: int = 100, cost: int = CENT) -> CostModel:
    made = CostModel(cost)
    for _ in range(calls):
        made.finished(cost, 1.0)
    return made


class Book:
    """A ledger, and the cost model of calls that cost a cent."""

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
        self, hold: Hold, cost: int | None = CENT, balance: int | None = None, *, named: bool = True
    ) -> None:
        self.now += 1
        price = (
            Price(cost)
            if named
            else Price(None, None if cost is None else ListPrice(self.price_model, float(cost), 0.0))
        )
        self.ledger.settle(hold, price, balance, self.now)

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


def test_calls_in_flight_never_exceed_the_balance() -> None:
    book = Book(50 * CENT)
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


def test_a_shortfall_at_the_floor_is_final() -> None:
    book = Book(30 * CENT, floor=30 * CENT)
    shortfall = book.refuse()
    assert shortfall.final
    assert shortfall.available == 0
    assert shortfall.needed >= CENT


def test_under_an_unknown_balance_one_call_starts_then_one_more_with_every_answer() -> None:
    book = Book(None, calls=0)
    assert book.ledger.balance is None
    first = book.grant()
    assert not book.refuse().final
    book.settle(first)
    assert len([book.grant(), book.grant()]) == 2
    book.refuse()
    assert book.ledger.balance is None


@pytest.mark.parametrize(
    ("balance", "sent_at", "now", "believed"),
    [
        pytest.param(40, 5, 30, True, id="lower counts at once"),
        pytest.param(60, 5, 30, False, id="higher, sent before the lower one arrived"),
        pytest.param(60, 19.9, 30, False, id="higher, sent just before"),
        pytest.param(60, 20, 30, True, id="higher, sent after: a top-up"),
        pytest.param(50, 5, 30, True, id="the same"),
    ],
)
def test_which_balances_are_believed(balance: int, sent_at: float, now: float, believed: bool) -> None:
    ledger = Ledger()
    ledger.observe(80 * CENT, 0, 1)
    ledger.observe(50 * CENT, 10, 20)
    ledger.observe(balance * CENT, sent_at, now)
    assert ledger.balance == (balance if believed else 50) * CENT


def test_a_balance_includes_calls_that_ended_before_it_was_requested() -> None:
    book = Book(100 * CENT)
    early, late = book.grant(), book.grant()
    book.settle(early)  # at 3
    book.settle(late)  # at 4
    assert book.ledger.balance == 98 * CENT
    # Requested between the two ends: the first cost is in it, the second may or may not be.
    book.ledger.observe(99 * CENT, sent_at=3.5, now=10)
    assert book.ledger.balance == 98 * CENT


def test_a_call_in_doubt_stays_held_until_a_late_enough_balance() -> None:
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


def test_an_inherited_doubt_stays_held_until_a_late_enough_balance() -> None:
    book = Book(10 * CENT)
    book.ledger.inherit_doubt(8 * CENT, -20)
    assert book.ledger.in_doubt == 8 * CENT
    assert len(book.all_that_fit()) <= 2
    book.ledger.observe(10 * CENT, DOUBT_SETTLES_AFTER - 20, 70)
    assert book.ledger.in_doubt == 0


def test_a_shortfall_by_doubts_alone_is_final() -> None:
    book = Book(int(1.5 * CENT))
    book.ledger.doubt(book.grant(), 5)
    assert book.refuse().final


def test_a_released_hold_is_free_again() -> None:
    book = Book(50 * CENT)
    count = len(held := book.all_that_fit())
    for hold in held:
        book.ledger.release(hold)
    assert len(book.all_that_fit()) == count


def test_unnamed_costs_are_learnt_from_falls_of_the_balance() -> None:
    book = Book(1000 * CENT, calls=0)
    for n in range(20):
        book.settle(book.grant(), 10, named=False)
        book.ledger.observe((1000 - 3 * (n + 1)) * CENT, book.now + 0.5, book.now + 1)
        book.now += 1
    assert book.model.typical() == 3 * CENT
    assert book.ledger.root.spent == 60 * CENT


def test_named_costs_are_subtracted_from_the_fall_first() -> None:
    book = Book(1000 * CENT)
    book.settle(book.grant(), 2 * CENT)
    book.settle(book.grant(), 1, named=False)
    before = book.ledger.root.spent
    book.ledger.observe(995 * CENT, 50, 51)
    assert book.ledger.root.spent - before == 3 * CENT - 1
    # A balance that did not fall prices nothing.
    book.settle(book.grant(), 1, named=False)
    book.ledger.observe(995 * CENT, 60, 61)
    assert book.ledger.root.spent - before == 6 * CENT - 1


def test_without_any_balance_calls_keep_their_guessed_cost() -> None:
    book = Book(1000 * CENT, calls=0)
    for _ in range(300):
        book.settle(book.grant(), 2 * CENT, named=False)
    assert book.model.typical() == 2 * CENT
    assert book.ledger.root.spent == 600 * CENT


def test_a_top_up_leaves_unpriced_calls_at_their_guess() -> None:
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
    assert book.price_model.price(CENT, 0) == pytest.approx(3 * CENT, rel=0.02)
    assert book.model.typical() == pytest.approx(6 * CENT, rel=0.1)


def test_external_spend_is_kept_free_for_the_latency_of_a_call() -> None:
    book = Book(1000 * CENT)
    balance = 1000
    for _ in range(10):
        book.settle(book.grant())
        balance -= 26
        book.ledger.observe(balance * CENT, book.now, book.now)
    # Others spend 25 cents in two seconds, and a call takes one second.
    with_others, alone = book, Book(balance * CENT)
    alone.now = book.now
    fewer = alone.fit_now() - with_others.fit_now()
    assert 8 <= fewer <= 16


def test_a_call_without_any_price_is_booked_at_the_typical_cost() -> None:
    book = Book(1000 * CENT)
    book.settle(book.grant(), None, named=False)
    assert book.ledger.root.spent == CENT
    assert book.ledger.balance == 999 * CENT
    book.settle(book.grant(), None, named=False)
    book.ledger.observe(992 * CENT, 50, 51)
    assert book.ledger.root.spent == 8 * CENT  # the fall of the balance, shared


def test_a_listed_price_of_zero_never_books_less_than_zero() -> None:
    book = Book(1000 * CENT)
    book.settle(book.grant(), 0, named=False)
    book.ledger.observe(999 * CENT, 50, 51)
    assert book.ledger.root.spent >= 0


def test_a_406_with_others_in_flight_blocks_until_one_of_them_ends() -> None:
    book = Book(100 * CENT)
    others = [book.grant() for _ in range(4)]
    book.ledger.refuse(book.grant(), balance=100 * CENT, needed=20 * CENT, now=50)
    assert not book.refuse().final
    book.settle(others[0], balance=99 * CENT)
    # The service reserves 20 for each of three; a fourth fits in 99.
    fourth = book.grant()
    book.refuse()
    book.settle(fourth, balance=98 * CENT)
    book.ledger.forget_reservations()
    assert len(book.all_that_fit()) > 50


def test_calls_of_a_template_are_held_at_their_own_cost_and_count_in_the_whole_model() -> None:
    book = Book(100 * CENT)
    expensive = CostModel(CENT, "", book.model)
    for _ in range(10):
        expensive.finished(10 * CENT, 1.0)
    cheap = book.ledger.reserve(book.ledger.root, book.model, None, 0)
    held = [book.ledger.reserve(book.ledger.root, expensive, None, 0) for _ in range(12)]
    granted = [hold for hold in held if isinstance(hold, Hold)]
    assert isinstance(cheap, Hold)
    assert 5 <= len(granted) <= 9
    book.ledger.refuse(granted.pop(), 100 * CENT, 20 * CENT, 5)
    assert not book.refuse().final  # the service's reservations count for all templates
    for hold in granted:
        book.settle(hold, 10 * CENT)
    assert expensive.typical() == 10 * CENT
    assert book.model.typical() > CENT


def test_a_406_is_not_provoked_again_before_one_of_our_calls_ends() -> None:
    """Reservations for another client may fill the balance: by the books, the next call would fit."""
    book = Book(100 * CENT)
    others = [book.grant() for _ in range(4)]
    book.ledger.refuse(book.grant(), balance=100 * CENT, needed=2 * CENT, now=50)
    assert not book.refuse().final
    book.settle(others[0], balance=99 * CENT)
    book.grant()


def test_a_406_without_amounts_means_that_one_more_call_did_not_fit() -> None:
    book = Book(100 * CENT)
    others = [book.grant() for _ in range(9)]
    book.ledger.refuse(book.grant(), None, None, 50)
    assert not book.refuse().final
    book.settle(others[0])
    held = book.all_that_fit()
    assert len(others) - 1 + len(held) == 9


def test_a_406_before_any_balance_means_a_balance_of_zero() -> None:
    book = Book(None)
    book.ledger.refuse(book.grant(), None, None, 5)
    assert book.ledger.balance == 0
    assert book.refuse().final
    # A read of the balance corrects it.
    book.ledger.observe(50 * CENT, 6, 7)
    book.grant()


def test_holds_and_costs_count_in_a_budget_and_in_those_around_it() -> None:
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


def test_a_cap_bounds_the_budgets_within_it() -> None:
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


def test_a_budget_never_gets_a_doubt_back() -> None:
    book = Book(1000 * CENT)
    budget = Budget(book.ledger.root, 10 * CENT)
    book.ledger.doubt(book.grant(budget), 5)
    left = budget.left
    assert left is not None
    assert left <= 9 * CENT
    book.ledger.observe(1000 * CENT, 500, 501)
    assert budget.left == left


def test_a_floor_is_never_below_that_of_the_budget_around_it() -> None:
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
