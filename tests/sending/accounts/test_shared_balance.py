"""Keys of one account: what shows them, and what does not."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from decimal import Decimal

import anyio
import pytest
from aiohttp import web

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


BILLED_EVERY = 0.03


def arriving(
    turns: Iterable[tuple[int, int]],
    account_of: Callable[[int], int],
    seed: int,
    *,
    jitter: float,
    stale: float = 0.0,
) -> list[tuple[int, int | None, int | None]]:
    """Return answers that overtake each other, on the way for *jitter* seconds on average.

    The balance that one names is read *stale* seconds after it was billed, on average.
    """
    chance, billed = random.Random(seed), answers(turns, account_of)
    arrivals: list[tuple[float, int, tuple[int, int | None, int | None]]] = []
    for n, (key, cost, balance) in enumerate(billed):
        read_at = n * BILLED_EVERY + (chance.expovariate(1 / stale) if stale else 0.0)
        until = billed[n : int(read_at / BILLED_EVERY) + 1]
        named = [then for other, _, then in until if account_of(other) == account_of(key)] or [balance]
        arrivals.append((read_at + chance.expovariate(1 / jitter), n, (key, cost, named[-1])))
    return [answer for _, _, answer in sorted(arrivals)]


PRICES = [
    pytest.param(lambda _: 7000, id="one-price"),
    pytest.param(lambda chance: 7000 + 45 * chance.randrange(5), id="five-prices"),
    pytest.param(spread, id="all-prices"),
]


@pytest.mark.parametrize("jitter", [0.01, 0.05, 0.3])
@pytest.mark.parametrize("keys", [2, 3, 4])
@pytest.mark.parametrize("costs", PRICES)
def test_equal_accounts_whose_answers_overtake_each_other_are_told_apart(
    costs: Callable[[random.Random], int], keys: int, jitter: float
) -> None:
    for seed in range(4):
        late = arriving(drawn(seed, keys, costs), own, seed, jitter=jitter)
        assert first_found(SharedBalances(keys), late) is None


@pytest.mark.parametrize(
    ("jitter", "stale", "soon"),
    [
        pytest.param(0.003, 0.0, 60, id="a-little-late"),
        pytest.param(0.03, 0.0, 120, id="late"),
        pytest.param(0.003, 0.003, 60, id="balances-of-a-moment-later"),
    ],
)
@pytest.mark.parametrize("costs", PRICES)
def test_one_account_is_found_also_if_answers_overtake_each_other(
    costs: Callable[[random.Random], int], jitter: float, stale: float, soon: int
) -> None:
    for seed in range(4):
        late = arriving(drawn(seed, 2, costs), one, seed, jitter=jitter, stale=stale)
        found = first_found(SharedBalances(2), late)
        assert found is not None
        assert found <= soon


def test_one_account_is_found_though_a_top_up_brought_its_balance_back_to_where_it_was() -> None:
    before = answers(ALTERNATING[:4], one)
    again = answers(ALTERNATING, one)
    assert first_found(SharedBalances(2), before) is None
    found = first_found(SharedBalances(2), [*before, *again])
    assert found is not None
    assert found <= 60


def test_a_pair_that_was_found_and_was_none_needs_twice_as_much_each_time() -> None:
    shared, after = SharedBalances(2), list[int]()
    for _ in range(3):
        found = first_found(shared, answers(ALTERNATING, one, funds=10**9 - 10**6 * len(after)))
        assert found is not None
        after.append(found)
        shared.apart(0, 1)
    assert after == [5, 8, 14]
    assert repr(shared) == "SharedBalances({})"


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


class Late(Emulator):
    """Answers are on their way for 10 ms on average, and overtake each other."""

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        found = await super()._chat(request)
        await anyio.sleep(self._late.expovariate(100))
        return found

    _late = random.Random(1)


@pytest.mark.parametrize("floor", [0, 0.1])
async def test_all_money_of_equal_accounts_is_spent(floor: float) -> None:
    emulator = Late(key=KEYS[0], balance=0.3 + floor, cost="0.001", latency=0.2, reserve=1.0)
    emulator.state.add_account(KEYS[1], 0.3 + floor)
    limits = sa.Limits(max_in_flight=16, floor=floor)
    async with emulator, client_of(emulator, limits=limits) as client:
        outcomes = await client.chat_many([str(n) for n in range(590)])
        assert {outcome.status for outcome in outcomes} == {sa.Status.OK}
        assert min(account.lowest for account in emulator.state.accounts.values()) >= Decimal(str(floor))


def take_for_one(client: sa.SegmindClient) -> None:
    """Have the second key put aside, as a key of the first one's account."""
    first, second = client._service.admission.accounts.all
    first.takes_over(second, anyio.current_time())


@pytest.mark.parametrize(
    ("floor", "reserve"),
    [
        pytest.param(0.1, 1.0, id="at-the-floor"),
        pytest.param(0, 1.0, id="by-the-ledger"),
        pytest.param(0, 3.0, id="refused-by-the-service"),
    ],
)
async def test_a_key_that_was_wrongly_put_aside_takes_calls_when_the_other_has_no_credits(
    floor: float, reserve: float
) -> None:
    async with (
        emulator_of([0.3, 0.3], cost="0.01", latency=1.0, reserve=reserve) as emulator,
        client_of(emulator, limits=sa.Limits(max_in_flight=4, floor=floor)) as client,
    ):
        await client.chat_many([str(n) for n in range(4)])
        take_for_one(client)
        before = sent_with(emulator, 1)
        outcomes = await client.chat_many([str(n) for n in range(32)])
        assert {outcome.status for outcome in outcomes} == {sa.Status.OK}
        assert sent_with(emulator, 1) > before
        assert client.statistics().keys[1].takes_calls


async def test_a_key_that_was_wrongly_put_aside_takes_calls_again_after_a_minute() -> None:
    async with (
        emulator_of([5, 5], cost="0.01", latency=1.0) as emulator,
        client_of(emulator, limits=sa.Limits(max_in_flight=4)) as client,
    ):
        await client.chat_many([str(n) for n in range(8)])
        take_for_one(client)
        before = sent_with(emulator, 1)
        await client.chat_many([str(n) for n in range(8)])
        assert sent_with(emulator, 1) == before
        await anyio.sleep(61)
        await client.chat_many([str(n) for n in range(40)])
        assert states(client) == ["in use", "in use"]
        assert sent_with(emulator, 1) > before + 10


async def test_a_second_key_stays_aside_over_reads_and_a_top_up() -> None:
    async with (
        shared_emulator(2, cost=dear, latency=1.0) as emulator,
        client_of(emulator, limits=sa.Limits(max_in_flight=4, floor=1)) as client,
        anyio.create_task_group() as tasks,
    ):

        async def top_up() -> None:
            await anyio.sleep(500)
            assert states(client) == ["short of credits", f"same account as {NAMES[0]}"]
            emulator.state.top_up(1)

        tasks.start_soon(top_up)
        outcomes = await client.chat_many([str(n) for n in range(150)], on_exhausted="wait")
        assert {outcome.status for outcome in outcomes} == {sa.Status.OK}
        assert states(client)[1] == f"same account as {NAMES[0]}"
        assert emulator.state.account.lowest >= 1


async def test_an_account_without_credits_under_two_keys_is_not_tried_again_and_again() -> None:
    async with emulator_of(["0.05", "0.05", 5], cost="0.01", latency=1.0, reserve=3.0) as emulator:
        emulator.state.accounts[KEYS[1]] = empty = emulator.state.accounts[KEYS[0]]
        async with client_of(emulator, limits=sa.Limits(max_in_flight=2)) as client:
            first, second, _ = client._service.admission.accounts.all
            first.takes_over(second, 0.0)
            outcomes = await client.chat_many([str(n) for n in range(60)])
        assert {outcome.status for outcome in outcomes} == {sa.Status.OK}
        assert empty.refused.get(406, 0) <= 4
