"""Keys of one account: what shows them, and what does not."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from decimal import Decimal

import anyio
import pytest

import segmind_async as sa
from segmind_async._sending.accounts.shared_balance import SharedBalances
from segmind_async.emulator import Emulator
from segmind_async.testing import RecordingHooks

from .support import KEYS, NAMES, client_of, emulator_of, sent_with, states


def first_found(shared: SharedBalances, answers: Iterable[tuple[int, int | None, int | None]]) -> int | None:
    """Return after how many answers two keys were found to share an account."""
    for n, (key, cost, balance) in enumerate(answers, start=1):
        if shared.answered(key, cost, balance) is not None:
            return n
    return None


def answers(
    turns: Iterable[tuple[int, int]], account_of: Callable[[int], int], funds: int = 10**9
) -> list[tuple[int, int | None, int | None]]:
    """Return what the service names for calls of a key and a cost, with equal funds on each account."""
    left: dict[int, int] = {}
    named: list[tuple[int, int | None, int | None]] = []
    for key, cost in turns:
        account = account_of(key)
        left[account] = left.get(account, funds) - cost
        named.append((key, cost, left[account]))
    return named


def drawn(
    seed: int, keys: int = 2, costs: Callable[[random.Random], int] = lambda _: 7
) -> list[tuple[int, int]]:
    chance = random.Random(seed)
    return [(chance.randrange(keys), costs(chance)) for _ in range(400)]


def spread(chance: random.Random) -> int:
    return chance.randrange(1, 10**6)


def one(_: int) -> int:
    return 0


def own(key: int) -> int:
    return key


ALTERNATING = [(n % 2, 7) for n in range(400)]


@pytest.mark.parametrize(
    ("turns", "soon"),
    [
        pytest.param(ALTERNATING, 6, id="in-turn-at-one-price"),
        pytest.param(drawn(1), 30, id="at-random-at-one-price"),
        pytest.param(drawn(1, costs=spread), 30, id="at-random-at-all-prices"),
        pytest.param(drawn(1, keys=3, costs=spread), 40, id="three-keys"),
    ],
)
def test_keys_of_one_account_are_found_after_a_few_answers(turns: list[tuple[int, int]], soon: int) -> None:
    found = first_found(SharedBalances(3), answers(turns, one))
    assert found is not None
    assert found <= soon


@pytest.mark.parametrize(
    "turns",
    [
        pytest.param(ALTERNATING, id="in-turn-at-one-price"),
        *[pytest.param(drawn(seed), id=f"at-random-at-one-price-{seed}") for seed in range(5)],
        pytest.param(drawn(1, costs=spread), id="at-random-at-all-prices"),
        pytest.param([(n // 3 % 2, 7) for n in range(400)], id="three-at-a-time"),
    ],
)
def test_accounts_of_their_own_with_equal_balances_are_told_apart(turns: list[tuple[int, int]]) -> None:
    assert first_found(SharedBalances(2), answers(turns, own)) is None


def test_accounts_between_which_somebody_evens_out_the_difference_once_are_told_apart() -> None:
    """All calls cost the same, and one of another program comes with the first key."""
    strangers = answers([*ALTERNATING[:100], (0, 7), *ALTERNATING[101:]], own)
    assert first_found(SharedBalances(2), strangers[:100] + strangers[101:]) is None


def test_equal_payments_into_two_accounts_prove_nothing() -> None:
    before = answers(ALTERNATING[:50], own)
    after = [(key, cost, balance + 10**6) for key, cost, balance in answers(ALTERNATING, own)[50:] if balance]
    assert first_found(SharedBalances(2), [*before, *after]) is None


@pytest.mark.parametrize(
    "gap", [pytest.param((1, None, 5), id="no-cost"), pytest.param((1, 7, None), id="no-balance")]
)
def test_an_answer_that_names_less_is_no_part_of_a_link(gap: tuple[int, int | None, int | None]) -> None:
    shared = SharedBalances(2)
    assert (
        first_found(shared, [entry for known in answers(ALTERNATING, one) for entry in (known, gap)]) is None
    )


def test_after_a_call_in_doubt_the_difference_is_taken_anew() -> None:
    """On accounts of their own a lost answer that was billed would look like spending of the other key."""
    shared, billed = SharedBalances(2), answers([*ALTERNATING[:200]], own)
    for n, (key, cost, balance) in enumerate(billed):
        if n % 20 == 7:
            shared.lost(key)
        elif shared.answered(key, cost, balance) is not None:
            pytest.fail(f"found after {n} answers: {shared!r}")


def shared_emulator(balance: float | str, keys: int = 2, **options: object) -> Emulator:
    """Return an emulator on which the first keys draw on one account."""
    emulator = Emulator(key=KEYS[0], balance=balance, **options)  # type: ignore[arg-type]  # passed on
    emulator.state.accounts.update(dict.fromkeys(KEYS[:keys], emulator.state.account))
    return emulator


def dear(_facts: object, chance: random.Random) -> Decimal:
    return Decimal(chance.randrange(80_000, 120_000)) / 10**7


@pytest.mark.parametrize("keys", [2, 3])
async def test_keys_of_one_account_keep_its_floor(keys: int) -> None:
    hooks = RecordingHooks()
    async with (
        shared_emulator(2, keys, cost=dear, latency=1.0) as emulator,
        client_of(emulator, limits=sa.Limits(max_in_flight=16, floor=1), hooks=[hooks]) as client,
    ):
        outcomes = await client.chat_many([str(n) for n in range(200)])
        assert emulator.state.account.lowest >= 1
        assert emulator.state.account.balance < Decimal("1.05")
        found = client.statistics()
        assert found.balance == emulator.state.account.balance
        assert found.floor == 1
        assert (await client.balance()).total == found.balance
    assert 90 < sum(outcome.status is sa.Status.OK for outcome in outcomes) < 110
    assert states(client)[1:] == [f"same account as {NAMES[0]}"] * (keys - 1)
    changes = [event for event in hooks.events if isinstance(event, sa.Change) and event.what == "key"]
    assert (NAMES[1], 0, f"same account as {NAMES[0]}") in [
        (one.key, one.after, one.reason) for one in changes
    ]


async def test_accounts_of_their_own_with_equal_balances_are_both_used() -> None:
    async with (
        emulator_of([5, 5], cost="0.01", latency=1.0) as emulator,
        client_of(emulator, limits=sa.Limits(max_in_flight=4)) as client,
    ):
        await client.chat_many([str(n) for n in range(300)])
        assert states(client) == ["in use", "in use"]


async def test_the_other_key_of_an_account_takes_the_calls_of_one_that_is_revoked() -> None:
    async with (
        shared_emulator(20, cost=dear, latency=1.0) as emulator,
        client_of(emulator, limits=sa.Limits(max_in_flight=4, floor=18)) as client,
    ):
        await client.chat_many([str(n) for n in range(40)])
        assert states(client) == ["in use", f"same account as {NAMES[0]}"]
        account = emulator.state.accounts.pop(KEYS[0])
        before = sent_with(emulator, 1)
        outcomes = await client.chat_many([str(n) for n in range(40)])
        assert {outcome.status for outcome in outcomes} == {sa.Status.OK}
        assert states(client) == ["refused", "in use"]
        assert sent_with(emulator, 1) == before + 40
        emulator.state.accounts[KEYS[0]] = account
        await anyio.sleep(61)
        await client.chat_many([str(n) for n in range(200)])
        assert states(client) == ["short of credits", f"same account as {NAMES[0]}"]
        assert account.lowest >= 18


async def test_behind_a_gateway_keys_are_tokens_and_its_balance_is_one() -> None:
    async with shared_emulator(20, cost=dear, latency=1.0) as emulator, client_of(emulator) as client:
        client._service.admission.leave_to_gateway(behind_gateway=True)
        for account in client._service.admission.accounts.all:
            assert account.behind_gateway
        client._service.admission.met = lambda **_: None  # type: ignore[method-assign]  # the emulator is no gateway
        await client.chat_many([str(n) for n in range(60)])
        assert states(client) == ["in use", "in use"]
