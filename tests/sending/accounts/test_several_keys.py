"""A client with several keys: limits of each, one queue for all, keys that leave and come back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from decimal import Decimal
from itertools import cycle
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import segmind_async as sa
from segmind_async._sending.accounts.standing import KeyStanding
from segmind_async._wire.failures import Failure
from segmind_async.testing import RecordingHooks, ScriptedTransport
from segmind_async.transport import WireRequest, WireResponse
from tests.virtual_time import VirtualTimeLoop

from .support import KEYS, NAMES, balances, client_of, emulator_of, sent_with, states


async def test_calls_are_spread_over_the_keys() -> None:
    async with emulator_of([5, 5, 5], cost="0.01", latency=1.0) as emulator, client_of(emulator) as client:
        outcomes = await client.chat_many([str(n) for n in range(150)])
        assert {outcome.status for outcome in outcomes} == {sa.Status.OK}
        assert [sent_with(emulator, key) for key in range(3)] == pytest.approx([50] * 3, abs=15)
        found = client.statistics()
    assert [key.name for key in found.keys] == NAMES[:3]
    assert found.spent == sum(key.spent for key in found.keys) == Decimal("1.5")
    assert found.balance == sum(balances(emulator)) == Decimal("13.5")
    assert [key.balance for key in found.keys] == balances(emulator)


async def test_calls_one_after_the_other_take_turns() -> None:
    async with emulator_of([5, 5], cost="0.01", latency=1.0) as emulator, client_of(emulator) as client:
        for n in range(6):
            await client.chat(str(n))
    assert [record.key for record in emulator.calls] == KEYS[:2] * 3


async def test_two_keys_have_twice_the_rate_of_one() -> None:
    async def seconds(keys: int) -> float:
        limits = sa.Limits(requests_per_minute=20)
        async with (
            emulator_of([50] * keys, cost="0.01", latency=2.0, requests_per_minute=20) as emulator,
            client_of(emulator, limits=limits) as client,
        ):
            began = anyio.current_time()
            outcomes = await client.chat_many([str(n) for n in range(120)])
            assert {outcome.status for outcome in outcomes} == {sa.Status.OK}
            assert not any(account.refused for account in emulator.state.accounts.values())
            return anyio.current_time() - began

    assert await seconds(2) == pytest.approx(await seconds(1) / 2, rel=0.15)


async def test_a_429_of_one_key_does_not_stop_the_others() -> None:
    async with emulator_of([5, 5], cost="0.01", latency=1.0) as emulator, client_of(emulator) as client:
        await client.chat_many([str(n) for n in range(4)])
        client._service.admission.accounts.first.throttle.gate.close(anyio.current_time(), 300.0, 0)
        began = anyio.current_time()
        await client.chat_many([str(n) for n in range(10)])
        assert anyio.current_time() - began < 60
        found = client.statistics()
    assert found.closed_for == 0
    assert [key.closed_for > 0 for key in found.keys] == [True, False]


@pytest.mark.slow
async def test_each_account_is_spent_down_to_its_floor_and_no_further() -> None:
    limits = sa.Limits(floor=1)
    async with (
        emulator_of([1.5, 3, 2], cost="0.01", latency=1.0) as emulator,
        client_of(emulator, limits=limits) as client,
    ):
        outcomes = await client.chat_many([str(n) for n in range(500)])
        counts = Counter(outcome.status for outcome in outcomes)
        found = client.statistics()
        assert not any(account.refused for account in emulator.state.accounts.values())
    assert min(balances(emulator)) >= 1
    assert counts[sa.Status.OK] == sum(record.cost is not None for record in emulator.calls) >= 345
    assert counts[sa.Status.OK] + counts[sa.Status.UNSENT] == 500
    assert found.floor == 3
    assert {key.state for key in found.keys} == {"short of credits"}


async def test_a_budget_counts_the_calls_of_all_keys() -> None:
    async with emulator_of([50, 50], cost="0.01", latency=1.0) as emulator, client_of(emulator) as client:
        await client.chat_many([str(n) for n in range(20)])
        before = sum(balances(emulator))
        async with client.budget(max_credits=0.5) as scoped:
            outcomes = await scoped.chat_many([str(n) for n in range(200)])
        spent = before - sum(balances(emulator))
    assert Decimal("0.48") <= spent <= Decimal("0.5")
    assert sum(outcome.status is sa.Status.OK for outcome in outcomes) == spent / Decimal("0.01")


async def test_calls_are_sent_in_their_order() -> None:
    async with (
        emulator_of([50, 50], cost="0.01", latency=1.0) as emulator,
        client_of(emulator, limits=sa.Limits(max_in_flight=1)) as client,
        anyio.create_task_group() as tasks,
    ):
        for n in range(20):
            tasks.start_soon(client.chat, f"{n:02}")
            await anyio.sleep(0.05)
    assert [record.prompt for record in emulator.calls] == [f"{n:02}" for n in range(20)]


async def test_a_key_that_is_revoked_in_mid_run_costs_no_row_and_comes_back() -> None:
    hooks = RecordingHooks()
    async with (
        emulator_of([50, 50], cost="0.01", latency=1.0) as emulator,
        client_of(emulator, limits=sa.Limits(max_in_flight=4), hooks=[hooks]) as client,
    ):
        await client.chat_many([str(n) for n in range(20)])
        account = emulator.state.accounts.pop(KEYS[1])
        outcomes = await client.chat_many([str(n) for n in range(40)])
        assert {outcome.status for outcome in outcomes} == {sa.Status.OK}
        assert states(client) == ["in use", "refused"]
        refused = sent_with(emulator, 1)
        await client.chat("not sent with it")
        assert sent_with(emulator, 1) == refused
        emulator.state.accounts[KEYS[1]] = account
        await anyio.sleep(61)
        await client.chat_many([str(n) for n in range(40)])
        assert states(client) == ["in use", "in use"]
        assert sent_with(emulator, 1) > refused + 10
    changes = [event for event in hooks.events if isinstance(event, sa.Change) and event.what == "key"]
    assert [(change.key, change.after, change.reason) for change in changes] == [
        (NAMES[1], 0, "refused"),
        (NAMES[1], 1, "on trial"),
    ]


async def test_a_key_without_credits_is_left_out_until_it_is_topped_up() -> None:
    async with (
        emulator_of([50, "0.05"], cost="0.01", latency=1.0) as emulator,
        client_of(emulator, limits=sa.Limits(max_in_flight=4)) as client,
    ):
        outcomes = await client.chat_many([str(n) for n in range(40)])
        assert {outcome.status for outcome in outcomes} == {sa.Status.OK}
        assert states(client) == ["in use", "short of credits"]
        emulator.state.top_up(5, KEYS[1])
        await client.chat_many([str(n) for n in range(4)])
        before = sent_with(emulator, 1)
        await anyio.sleep(61)
        await client.chat_many([str(n) for n in range(40)])
        assert sent_with(emulator, 1) > before + 10
        assert states(client) == ["in use", "in use"]


async def test_a_key_whose_credits_others_have_spent_is_left_out() -> None:
    async with emulator_of([50, 50], cost="0.01", latency=1.0) as emulator, client_of(emulator) as client:
        await client.chat_many([str(n) for n in range(20)])
        emulator.state.spend("49.899", KEYS[1])
        for n in range(20):
            await client.chat(str(n))
        assert states(client)[0] == "in use"
        assert states(client)[1] in {"short of credits", "out of credits"}
        assert emulator.state.accounts[KEYS[1]].refused.get(406, 0) <= 2


async def test_a_key_with_a_spend_limit_passes_its_calls_on() -> None:
    async with emulator_of([50, 50], cost="0.01") as emulator, client_of(emulator) as client:
        await client.chat_many([str(n) for n in range(4)])
        emulator.state.accounts[KEYS[0]].spent += 10**6
        object.__setattr__(emulator.state.config, "spend_limit", 1000)
        outcomes = await client.chat_many([str(n) for n in range(10)])
        assert {outcome.status for outcome in outcomes} == {sa.Status.OK}
        assert states(client) == ["refused", "in use"]


async def test_if_every_key_is_refused_a_call_ends_with_that() -> None:
    async with emulator_of([50, 50]) as emulator, client_of(emulator) as client:
        emulator.state.accounts.clear()
        with pytest.raises(sa.AuthenticationError) as caught:
            await client.chat("x")
        assert caught.value.details.attempts == 2
        with pytest.raises(sa.AuthenticationError):
            await client.chat("x")
        with pytest.raises(sa.AuthenticationError):
            await client.balance()


class Refusing(ScriptedTransport):
    """Reads of the balance succeed and tell of plenty; each call is refused, with a status by key and turn."""

    def __init__(self, statuses: Sequence[int]) -> None:
        super().__init__()
        self._statuses = cycle(statuses)
        self.asked: Counter[bytes] = Counter()

    async def send(self, request: WireRequest, time_left: float) -> WireResponse | Failure:
        await anyio.sleep(0.05)
        if request.body is None:
            return WireResponse(200, {}, b'{"credits": 50, "free-credits": 0}')
        self.asked[request.body] += 1
        assert self.asked[request.body] <= 20, "asked without an end"
        status = next(self._statuses)
        return WireResponse(status, {}, b'{"error": "Insufficient credits"}' if status == 406 else b"{}")


@pytest.mark.parametrize("keys", [1, 2, 3])
@pytest.mark.parametrize("calls", [1, 2, 16])
@pytest.mark.parametrize(
    "statuses",
    [
        pytest.param([401], id="401"),
        pytest.param([403], id="403"),
        pytest.param([406], id="406"),
        pytest.param([401, 406], id="401-and-406"),
        pytest.param([406, 406, 403], id="406-and-403"),
    ],
)
@pytest.mark.parametrize("marked", [pytest.param(True, id="marked"), pytest.param(False, id="unmarked")])
async def test_a_call_that_every_key_refuses_asks_each_once_and_one_of_them_once_more_for_credits(
    monkeypatch: pytest.MonkeyPatch, keys: int, calls: int, statuses: list[int], marked: bool
) -> None:
    """The bound is one of the call, and holds also where no key is marked as out."""
    if not marked:
        for note in ("refused", "emptied", "short"):
            monkeypatch.setattr(KeyStanding, note, lambda *_: None)
    transport = Refusing(statuses)
    async with sa.SegmindClient(api_keys=KEYS[:keys], transport=transport) as client:
        await client.balance()
        outcomes = await client.chat_many([str(n) for n in range(calls)])
        assert not any(outcome.status is sa.Status.OK for outcome in outcomes)
    assert max(transport.asked.values()) <= keys + 2


async def test_a_key_that_refuses_a_call_is_not_asked_again_while_the_other_is_short_of_credits() -> None:
    class Forbidding(ScriptedTransport):
        """The first key may read its balance and call no model; the other has no credits."""

        async def send(self, request: WireRequest, time_left: float) -> WireResponse | Failure:
            if request.body is None:
                return WireResponse(200, {}, b'{"credits": %d, "free-credits": 0}' % (1 - request.key))
            self.requests.append(request)
            assert len(self.requests) < 20, "asked without an end"
            return WireResponse(403, {}, b"{}")

    transport = Forbidding()
    async with sa.SegmindClient(api_keys=KEYS[:2], transport=transport) as client:
        await client.balance()
        with pytest.raises(sa.InsufficientCreditsError):
            await client.chat("x")
    assert [request.key for request in transport.requests] == [0]


async def test_if_every_key_is_out_of_credits_a_fan_out_stops_for_credits() -> None:
    async with emulator_of([0.5, 0.5], cost="0.01") as emulator, client_of(emulator) as client:
        async with client.fan_out(str(n) for n in range(200)) as rows:
            statuses = Counter([outcome.status async for outcome in rows])
        assert rows.report.stop_reason is sa.StopReason.CREDITS
    assert statuses[sa.Status.OK] >= 97
    assert statuses[sa.Status.FAILED] == 0


async def test_a_fan_out_that_waits_goes_on_after_a_top_up_of_any_key() -> None:
    async with (
        emulator_of(["0.1", "0.1"], cost="0.01", latency=1.0) as emulator,
        client_of(emulator) as client,
        anyio.create_task_group() as tasks,
    ):

        async def top_up() -> None:
            await anyio.sleep(300)
            emulator.state.top_up(5, KEYS[1])

        tasks.start_soon(top_up)
        outcomes = await client.chat_many([str(n) for n in range(60)], on_exhausted="wait")
    assert {outcome.status for outcome in outcomes} == {sa.Status.OK}


async def test_a_lost_answer_is_held_by_the_account_that_may_be_billed() -> None:
    async with emulator_of([50, 50], cost="0.01", latency=1.0) as emulator, client_of(emulator) as client:
        await client.chat_many([str(n) for n in range(10)])
        with anyio.move_on_after(0.5):
            await client.chat("lost")
        sender = KEYS.index(emulator.calls[-1].key)
        held = [one.held for one in client.statistics().keys]
    assert held[sender] > 0
    assert held[1 - sender] == 0


async def test_the_balance_is_the_sum_of_all_keys_that_can_be_read() -> None:
    async with emulator_of([3, 4, 5]) as emulator, client_of(emulator) as client:
        assert (await client.balance()).total == 12
        del emulator.state.accounts[KEYS[2]]
        assert (await client.balance()).total == 7
        assert states(client) == ["in use", "in use", "refused"]


async def test_a_floor_is_kept_of_a_key_whose_balance_cannot_be_read() -> None:
    class Unreadable(ScriptedTransport):
        async def send(self, request: WireRequest, time_left: float) -> WireResponse | Failure:
            if request.body is None and request.key == 1:
                return WireResponse(400, {}, b"{}")
            return await super().send(request, time_left)

    transport = Unreadable(latency=1.0)
    async with sa.SegmindClient(api_keys=KEYS[:2], transport=transport, limits=sa.Limits(floor=1)) as client:
        await client.chat_many([str(n) for n in range(20)])
        assert states(client) == ["in use", "balance unknown"]
    assert {request.key for request in transport.requests if request.body} == {0}


async def test_a_client_with_several_keys_goes_on_in_another_loop() -> None:
    async with emulator_of([5, 5], cost="0.01") as emulator, client_of(emulator) as client:
        await client.chat("x")
        admission = client._service.admission
        started = [account.started_at for account in admission.accounts.all]
        for account in admission.accounts.all:
            account.shift(-100.0)
        assert [account.started_at for account in admission.accounts.all] == [at - 100.0 for at in started]


async def test_a_read_of_a_balance_was_as_long_ago_in_another_loop() -> None:
    async with emulator_of([5, 5]) as emulator, client_of(emulator) as client:
        await anyio.sleep(200)
        await client.balance()
        account = client._service.admission.accounts.first
        assert account.was_read_since(anyio.current_time())
        account.shift(-100.0)
        assert not account.was_read_since(anyio.current_time() - 50)
        assert account.was_read_since(anyio.current_time() - 100)


def test_no_key_is_shown() -> None:
    client = sa.SegmindClient(api_keys=KEYS[:3])
    shown = f"{client!r} {client.statistics()!r} {client._service!r}"
    assert not any(key in shown for key in KEYS)


@pytest.mark.parametrize(
    ("keys", "names"),
    [
        pytest.param(["SG_0123456789abcdef", "SG_0123456789abcdee"], ["…cdef", "…cdee"], id="last-four"),
        pytest.param(["SG_0123456789abcdef", "SG_9123456789abcdef"], ["…cdef 1", "…cdef 2"], id="the-same"),
        pytest.param(["secret", "hidden"], ["key 1", "key 2"], id="short-keys-are-not-shown"),
    ],
)
def test_names_of_keys(keys: list[str], names: list[str]) -> None:
    assert [key.name for key in sa.SegmindClient(api_keys=keys).statistics().keys] == names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"api_keys": []}, "at least one", id="none"),
        pytest.param({"api_keys": "SG_secret"}, "one text", id="a-text"),
        pytest.param({"api_keys": ["SG_secret", "SG_secret"]}, "twice", id="the-same-twice"),
        pytest.param({"api_keys": ["SG_secret", " "]}, "blanks", id="blank"),
        pytest.param({"api_keys": ["SG_secret"], "api_key": "x"}, "not both", id="both"),
        pytest.param({"api_keys": b"SG_secret"}, "one text", id="bytes"),
        pytest.param({"api_keys": 5}, "api_keys is of type int; pass a list", id="a-number"),
        pytest.param(
            {"api_keys": ["SG_secret", 5]}, r"api_keys\[1\] is of type int; pass a str", id="number"
        ),
        pytest.param({"api_keys": [b"SG_secret"]}, r"api_keys\[0\] is of type bytes", id="bytes-in-a-list"),
        pytest.param({"api_keys": ["SG_secret", None]}, r"api_keys\[1\] is empty", id="none-in-a-list"),
        pytest.param({"api_keys": ["SG_secret", "SG_se cret"]}, r"api_keys\[1\] contains", id="which"),
        pytest.param({"api_key": 5}, "the API key is of type int", id="a-number-as-the-key"),
    ],
)
def test_keys_that_cannot_work_are_refused_and_not_quoted(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(sa.ConfigurationError, match=message) as caught:
        sa.SegmindClient(**arguments)  # type: ignore[arg-type]  # what users may pass
    assert "secret" not in str(caught.value)


def test_keys_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGMIND_API_KEY", "SG_single_single")
    monkeypatch.setenv("SEGMIND_API_KEYS", "SG_0123456789abcde1, SG_0123456789abcde2,")
    assert [key.name for key in sa.SegmindClient().statistics().keys] == NAMES[1:3]
    assert sa.SegmindClient("SG_0123456789abcde5").statistics().keys == ()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        pytest.param("SG_secret1;SG_secret2", "key 1 of 1, 21 characters", id="semicolons"),
        pytest.param("'SG_secret1','SG_secret2'", "key 1 of 2", id="each-quoted"),
        pytest.param('SG_secret1,SG_secret2"', "key 2 of 2", id="one-mark"),
    ],
)
def test_keys_of_the_environment_that_are_not_separated_by_commas_are_refused(
    monkeypatch: pytest.MonkeyPatch, text: str, place: str
) -> None:
    monkeypatch.setenv("SEGMIND_API_KEYS", text)
    with pytest.raises(
        sa.ConfigurationError, match=f"SEGMIND_API_KEYS: {place}.* separate keys by commas"
    ) as caught:
        sa.SegmindClient()
    assert "secret" not in str(caught.value)
    # A key that is passed comes before all of them; that of a gateway may hold any character.
    assert sa.SegmindClient("SG;0123456789abcde5").statistics().keys == ()


@settings(max_examples=8)
@given(
    funds=st.lists(st.integers(0, 60), min_size=2, max_size=4),
    floor=st.sampled_from([0, 0.1]),
    revoked=st.sampled_from([None, 0, 1]),
    spent=st.booleans(),
    seed=st.integers(0, 3),
)
def test_floors_are_kept_and_each_row_ends_once(
    funds: list[int], floor: float, revoked: int | None, spent: bool, seed: int
) -> None:
    """Whatever the balances, with a key that is revoked and others that spend meanwhile."""

    async def run() -> None:
        emulator = emulator_of(
            [n / 100 for n in funds], cost="0.01", latency=lambda _f, _c, chance: chance.random(), seed=seed
        )
        limits = sa.Limits(max_in_flight=4, floor=floor)
        async with emulator, client_of(emulator, limits=limits) as client:
            lowest = [
                min(account.balance, Decimal(str(floor))) for account in emulator.state.accounts.values()
            ]
            accounts = [*emulator.state.accounts.values()]
            async with client.fan_out((str(n) for n in range(60)), on_exhausted="stop") as rows:
                ids = []
                async for outcome in rows:
                    ids.append(outcome.id)
                    assert outcome.status is not sa.Status.FAILED or revoked is not None
                    if len(ids) == 5 and revoked is not None:
                        emulator.state.accounts.pop(KEYS[revoked], None)
                    if len(ids) == 10 and spent:
                        # No more than leaves room for our calls that are in flight, 0.01 each.
                        above = accounts[-1].balance - Decimal(str(floor)) - Decimal("0.05")
                        accounts[-1].charge(max(Decimal(0), min(Decimal("0.05"), above)))
            assert sorted(ids, key=int) == [str(n) for n in range(len(ids))]
            paid = Counter(record.prompt for record in emulator.calls if record.cost is not None)
            assert max(paid.values(), default=0) <= 1
            assert all(one.balance >= least for one, least in zip(accounts, lowest, strict=True))

    anyio.run(run, backend_options={"loop_factory": VirtualTimeLoop})


async def test_queued_answers_are_fetched_with_the_key_that_submitted_them(tmp_path: Path) -> None:
    rows = [str(n) for n in range(8)]
    async with emulator_of([5, 3], cost="0.01", latency=30.0) as emulator:
        options = sa.JobOptions(delivery="queued")
        async with client_of(emulator, limits=sa.Limits(max_in_flight=4)) as client:
            with anyio.move_on_after(10):
                async with client.run_job(rows, journal=tmp_path / "j", options=options) as job:
                    async for _ in job:
                        pass
        assert {record.key for record in emulator.calls} == set(KEYS[:2])
        # The keys in another order: each id belongs to the other key's place.
        async with sa.SegmindClient(api_keys=KEYS[1::-1], base_url=emulator.url) as client:
            await client.balance()
            async with client.run_job(rows, journal=tmp_path / "j", options=options) as job:
                outcomes = [outcome async for outcome in job]
            left = [key.balance for key in client.statistics().keys]
        assert {outcome.status for outcome in outcomes} == {sa.Status.OK}
        assert max(emulator.billed().values()) == 1
        # No account is told the balance of another.
        assert left == pytest.approx(balances(emulator)[::-1], abs=Decimal("0.1"))


async def test_a_job_goes_on_with_other_keys(tmp_path: Path) -> None:
    rows = [str(n) for n in range(40)]
    async with emulator_of([5, 5, 5], cost="0.01", latency=1.0) as emulator:
        for keys in (KEYS[:1], KEYS[:2], KEYS[1:3], KEYS[2:3]):
            async with sa.SegmindClient(
                api_keys=keys, base_url=emulator.url, limits=sa.Limits(max_in_flight=3)
            ) as client:
                with anyio.move_on_after(2.5):
                    async with client.run_job(rows, journal=tmp_path / "j") as job:
                        async for _ in job:
                            pass
                held = client.statistics().held
            assert held > 0
        async with client_of(emulator) as client, client.run_job(rows, journal=tmp_path / "j") as job:
            outcomes = [outcome async for outcome in job]
    assert {outcome.status for outcome in outcomes} == {sa.Status.OK}
    assert sorted(outcome.index for outcome in outcomes) == list(range(40))
