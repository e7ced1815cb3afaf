"""Accounts: which key is tried first, and what they are together."""

from __future__ import annotations

import pytest

import segmind_async as sa
from segmind_async._money.cost_model import CostModel
from segmind_async._money.ledger import Ledger
from segmind_async._money.protocol import Hold
from segmind_async._rate.throttle import Throttle
from segmind_async._sending.accounts.account import Account
from segmind_async._sending.accounts.accounts import Accounts
from segmind_async._sending.accounts.refusals import Refusals
from segmind_async._wire.failures import Billing, Failure, FailureKind


def several(count: int = 3, rate: float | None = None) -> Accounts:
    return Accounts([Account(Ledger(), Throttle(4, rate), f"…{n}", n) for n in range(count)])


def order(accounts: Accounts) -> list[int]:
    return [account.index for account in accounts.in_turn()]


def failure(kind: FailureKind, *, final: bool = False) -> Failure:
    return Failure(kind, "no", Billing.REFUSED, 403, final=final)


def test_the_key_with_the_fewest_calls_in_flight_is_first_and_then_the_one_that_waited_longest() -> None:
    accounts = several()
    for account, in_flight, started_at in zip(accounts.all, (2, 1, 1), (5.0, 9.0, 7.0), strict=True):
        account.ledger.in_flight = in_flight  # type: ignore[misc]  # read-only in the protocol
        account.started_at = started_at
    assert order(accounts) == [2, 1, 0]


def test_keys_that_are_out_are_tried_only_if_all_are_those_out_of_credits_first() -> None:
    accounts = several()
    accounts.all[0].standing.refused(0.0)
    assert order(accounts) == [1, 2]
    accounts.all[1].standing.emptied(0.0)
    accounts.all[2].standing.refused(0.0)
    assert order(accounts) == [1]
    accounts.all[1].standing.refused(0.0)
    assert order(accounts) == [0, 1, 2]


@pytest.mark.parametrize(
    "kind", [FailureKind.UNAUTHENTICATED, FailureKind.FORBIDDEN, FailureKind.OUT_OF_CREDITS]
)
def test_a_failure_of_the_key_is_passed_on_once_to_each_key_that_takes_calls(kind: FailureKind) -> None:
    accounts, refusals = several(3), Refusals()
    first, second, third = accounts.all
    second.standing.refused(0.0)
    assert accounts.take_over(failure(kind), first, refusals)
    assert accounts.in_turn(refusals) == [third]
    assert not accounts.take_over(failure(kind), third, refusals)
    assert not several(1).take_over(failure(kind), several(1).first, Refusals())


def test_a_failure_of_the_request_is_not_passed_on() -> None:
    accounts, refusals = several(2), Refusals()
    assert not accounts.take_over(failure(FailureKind.BAD_REQUEST), accounts.first, refusals)
    assert order(accounts) == [account.index for account in accounts.in_turn(refusals)]
    assert not accounts.take_over(failure(FailureKind.FORBIDDEN, final=True), accounts.first, refusals)


def test_a_key_that_refused_a_call_is_not_asked_by_it_again_though_it_is_back_for_others() -> None:
    accounts, refusals = several(2), Refusals()
    first, second = accounts.all
    accounts.take_over(failure(FailureKind.UNAUTHENTICATED), first, refusals)
    first.ledger.observe(10**12, 0.0, 1.0)
    first.answers += 1
    second.standing.refused(0.0)
    assert accounts.in_turn(refusals) == [second]
    assert not accounts.take_over(failure(FailureKind.UNAUTHENTICATED), second, refusals)


def test_an_account_without_credits_is_asked_again_after_an_answer_or_a_top_up() -> None:
    for answered, balance, again in ((0, 7, False), (1, 5, True), (0, 8, True)):
        accounts, refusals = several(2), Refusals()
        first, second = accounts.all
        first.ledger.observe(7, 0.0, 0.0)
        assert accounts.take_over(failure(FailureKind.OUT_OF_CREDITS), first, refusals)
        first.answers += answered
        first.ledger.observe(balance, 1.0, 1.0)
        assert refusals.stands(first) is not again
        assert order(accounts) == [0, 1]
        assert (first in accounts.in_turn(refusals)) is again
        # With all short of credits the call waits for them as it would for its only key.
        accounts.take_over(failure(FailureKind.OUT_OF_CREDITS), second, refusals)
        assert second in accounts.in_turn(refusals) or again


@pytest.mark.parametrize(
    ("rates", "together"),
    [pytest.param((10, 20), 30, id="sum"), pytest.param((10, None), None, id="one-without-a-limit")],
)
def test_the_rate_of_all_keys(rates: tuple[float | None, ...], together: float | None) -> None:
    accounts = Accounts([Account(Ledger(), Throttle(4, rate)) for rate in rates])
    assert accounts.rate == together


def test_the_gate_of_all_keys_is_open_if_one_is() -> None:
    accounts = several(2)
    accounts.all[0].throttle.gate.close(0.0, 30.0, 1)
    assert accounts.opens_at < 0
    accounts.all[1].throttle.gate.close(0.0, 20.0, 1)
    assert accounts.opens_at == 20


def test_a_key_that_is_out_is_read_when_that_is_due_and_its_gate_is_open() -> None:
    accounts = several(2)
    accounts.all[0].standing.refused(0.0)
    assert accounts.due(59.0) == []
    assert accounts.due(60.0) == [accounts.all[0]]
    accounts.all[0].throttle.gate.close(60.0, 30.0, 1)
    assert accounts.due(61.0) == []
    assert accounts.due(90.0) == [accounts.all[0]]
    alone = several(1)
    alone.first.standing.refused(0.0)
    assert alone.due(60.0) == []


def test_the_balance_of_all_keys_is_the_sum_of_those_that_are_known() -> None:
    accounts = several(3)
    assert accounts.balance is None
    accounts.all[0].ledger.observe(5, 0.0, 0.0)
    accounts.all[2].ledger.observe(7, 0.0, 0.0)
    assert accounts.balance == 12
    assert [account.index for account in accounts.unread()] == [1]
    assert repr(accounts.all[0]).startswith("Account('…0', KeyStanding(in use), Ledger(balance=5")
    assert repr(accounts).count("Ledger") == 3


def test_only_a_refusal_with_nothing_else_in_flight_shows_that_the_account_is_empty() -> None:
    account = several(1).first
    tag = account.throttle.start(0.0, 0)
    account.ledger.in_flight = 1  # type: ignore[misc]  # read-only in the protocol
    account.learn(tag, failure(FailureKind.OUT_OF_CREDITS), 1.0)
    assert account.takes
    account.ledger.in_flight = 0  # type: ignore[misc]  # as above
    account.learn(tag, failure(FailureKind.OUT_OF_CREDITS), 1.0)
    assert (account.takes, account.state) == (False, "out of credits")


def test_what_a_second_key_of_an_account_has_in_flight_is_held_by_the_one_that_takes_its_calls() -> None:
    first, second = several(2).all
    second.ledger.observe(10**12, 0.0, 0.0)
    model = CostModel(500)
    assert isinstance(second.ledger.reserve(second.ledger.root, model, None, 0.0), Hold)
    held = second.ledger.statistics(1.0).held
    assert held > 0
    first.takes_over(second, 1.0)
    assert (first.ledger.statistics(1.0).in_doubt, second.takes, second.state) == (
        held,
        False,
        "same account as …0",
    )
    first.learn(first.throttle.start(1.0, 0), failure(FailureKind.FORBIDDEN), 1.0)
    assert second.ledger.statistics(1.0).in_doubt == held
    assert (second.takes, second.state, second.same_as) == (True, "on trial", None)


@pytest.mark.parametrize(
    ("known", "read", "spare", "apart"),
    [
        pytest.param(50, 50, 50, False, id="the-same"),
        pytest.param(50, 40, 45, False, id="calls-between-the-reads"),
        pytest.param(50, 80, 80, False, id="topped-up"),
        pytest.param(50, 40, 30, False, id="less"),
        pytest.param(50, 50, 51, True, id="more"),
        pytest.param(None, 50, 60, False, id="nothing-was-known"),
        pytest.param(50, None, 60, False, id="the-first-was-not-read"),
        pytest.param(50, 50, None, False, id="the-spare-was-not-read"),
    ],
)
def test_a_spare_is_told_apart_by_reads_of_both_balances(
    known: int | None, read: int | None, spare: int | None, apart: bool
) -> None:
    accounts = several(3)
    first, second, _ = accounts.all
    first.takes_over(second, 0.0)
    if known is not None:
        first.ledger.observe(known, 1.0, 1.0)
    before = accounts.known
    for account, balance in ((first, read), (second, spare)):
        if balance is not None:
            account.was_read(balance, 60.0, 61.0)
    accounts.tell_apart(before, 60.0)
    assert (second.takes, second.state) == ((True, "in use") if apart else (False, "same account as …0"))
    assert (second.same_as is None) is apart
    assert accounts.distinct == [one for one in accounts.all if one.same_as is None]


def test_a_spare_is_read_with_the_key_that_takes_its_calls_when_both_may_start() -> None:
    accounts = several(3)
    first, second, third = accounts.all
    first.takes_over(second, 0.0)
    assert accounts.due(59.0) == []
    first.throttle.gate.close(59.0, 10.0, 1)
    assert accounts.due(60.0) == []
    assert accounts.due(69.0) == [second]
    assert accounts.with_those_of_spares([second, third]) == [second, third, first]
    assert accounts.with_those_of_spares([first, second]) == [first, second]


def test_a_spare_is_read_at_once_when_the_other_key_is_out_of_credits() -> None:
    accounts = several(2)
    first, second = accounts.all
    first.takes_over(second, 0.0)
    first.learn(first.throttle.start(1.0, 0), failure(FailureKind.OUT_OF_CREDITS), 2.0)
    assert accounts.due(2.0) == [second]
    for account in (first, second):
        account.standing.reading(2.0)
        account.was_read(5, 2.0, 3.0)
    first.learn(first.throttle.start(3.0, 0), failure(FailureKind.OUT_OF_CREDITS), 4.0)
    assert (first.state, accounts.due(61.0)) == ("out of credits", [])


@pytest.mark.parametrize("kind", [FailureKind.UNAUTHENTICATED, FailureKind.OUT_OF_CREDITS])
def test_a_spare_that_is_refused_stays_one_and_does_not_come_back_over_a_read(kind: FailureKind) -> None:
    first, second = several(2).all
    first.takes_over(second, 0.0)
    second.learn(second.throttle.start(1.0, 0), failure(kind), 2.0)
    second.was_read(5, 62.0, 63.0)
    assert (second.takes, second.state) == (False, "same account as …0")


def test_with_one_key_nothing_is_told_apart() -> None:
    accounts = several(1)
    accounts.tell_apart(accounts.known, 0.0)
    assert accounts.known == ()


def test_keys_of_an_account_that_is_taken_over_spend_from_the_one_that_takes_it() -> None:
    accounts = several(3)
    first, second, third = accounts.all
    second.takes_over(third, 1.0)
    first.takes_over(second, 2.0)
    assert [account.state for account in accounts.all] == ["in use", *["same account as …0"] * 2]
    first.ledger.observe(10**12, 3.0, 3.0)
    accounts.answered(third, 10**9, None, 4.0)
    first.ledger.observe(10**12 - 10**9, 5.0, 5.0)
    assert first.ledger._external.silent  # type: ignore[attr-defined]  # of the ledger, not of the protocol
    first.learn(first.throttle.start(6.0, 0), failure(FailureKind.FORBIDDEN), 6.0)
    assert [account.state for account in accounts.all] == ["refused", "on trial", "on trial"]


def test_with_one_key_the_statistics_name_none() -> None:
    assert sa.SegmindClient("SG_0123456789abcdef").statistics().keys == ()
