"""Budgets by token: what they refuse, what they keep on the disk, and how much is taken at once."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest

from segmind_async import BudgetExceededError, ConfigurationError, Limits, SegmindClient
from segmind_async._money.units import ceil_units
from segmind_async.emulator import Emulator
from segmind_async.gateway import BudgetRule, Gateway, GatewayOptions, read_rules
from segmind_async.gateway._access import chosen_budget, lowered_priority
from segmind_async.gateway._budgets import budgets as budgets_module
from segmind_async.gateway._budgets.book import BudgetBook, Entry
from segmind_async.gateway._budgets.budgets import Booked, Budgets
from segmind_async.gateway._errors import GatewayError, budget_error
from segmind_async.gateway._load import Load
from tests.gateway.support import TOKEN, World, world
from tests.gateway.support import asked as request

TEAM = {"Authorization": "Bearer token-of-the-team"}
OWN = {"Authorization": f"Bearer {TOKEN}"}
COST = Decimal("0.01")
DAY = 86_400.0


def options(path: Path, **rule: Any) -> GatewayOptions:
    team = BudgetRule("team", "token-of-the-team", **rule)
    return GatewayOptions(port=0, tokens=[TOKEN], budgets=[team], state=path / "budgets.db")


async def asked(w: World, headers: dict[str, str] = TEAM) -> tuple[int, str | None]:
    response = await w.post("/chat/completions", request(), headers=headers)
    return response.status, response.headers.get("x-segmind-budget-left")


@pytest.mark.parametrize("rule", [{"credits": Decimal("0.025")}, {"credits_per_day": Decimal("0.025")}])
async def test_a_budget_ends_its_own_calls_and_no_others(tmp_path: Path, rule: Any) -> None:
    async with world(options=options(tmp_path, **rule), cost=COST) as w:
        assert await asked(w) == (200, "0.015")
        assert (await asked(w))[0] == 200
        refused = await w.post("/chat/completions", request(), headers=TEAM)
        error = (await refused.json())["error"]
        assert (refused.status, error["code"]) == (402, "insufficient_quota")
        assert "budget 'team'" in error["message"]
        assert ("midnight" in error["message"]) is ("credits_per_day" in rule)
        assert refused.headers["x-should-retry"] == "false"
        assert await asked(w, OWN) == (200, None)
        assert w.emulator.requests == 3


async def test_what_was_spent_is_kept_over_a_restart(tmp_path: Path) -> None:
    for expected in ("0.02", "0.01"):
        async with world(options=options(tmp_path, credits=Decimal("0.03")), cost=COST) as w:
            assert await asked(w) == (200, expected)


async def test_a_budget_that_was_made_smaller_than_it_has_spent_is_used_up(tmp_path: Path) -> None:
    for cap, status in (("0.03", 200), ("0.01", 200), ("0.005", 402)):
        async with world(options=options(tmp_path, credits=Decimal(cap)), cost=COST / 2) as w:
            assert (await asked(w))[0] == status


async def test_what_was_in_flight_at_a_kill_counts_as_spent(tmp_path: Path) -> None:
    """The file as a `kill -9` leaves it: copied while a call is in flight."""
    (tmp_path / "after").mkdir()
    async with world(options=options(tmp_path, credits=1), cost=COST, latency=10) as w:
        assert (await asked(w))[1] == "0.99"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(asked, w)
            await anyio.sleep(5)
            assert w.client.statistics().in_flight == 1
            for file in tmp_path.glob("budgets.db*"):
                shutil.copy(file, tmp_path / "after")
    async with world(options=options(tmp_path / "after", credits=1), cost=COST) as w:
        left = (await asked(w))[1]
        assert left is not None
        # Two calls with their cost, and the one in flight with what was expected of it.
        assert Decimal("0.95") < Decimal(left) < Decimal("0.98")


async def test_a_caller_that_hangs_up_before_its_call_is_sent_costs_its_budget_nothing(
    tmp_path: Path,
) -> None:
    async with world(options=options(tmp_path, credits=1, max_in_flight=1), cost=COST, latency=50) as w:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(asked, w)
            await anyio.sleep(1)
            with anyio.move_on_after(5):
                await asked(w)
        assert (await asked(w))[1] == "0.98"
    with sqlite3.connect(tmp_path / "budgets.db") as database:
        assert database.execute("SELECT units FROM spent").fetchall() == [(2 * 10**8,)]
        assert database.execute("SELECT * FROM sent").fetchall() == []
    database.close()


async def test_a_caller_that_hangs_up_during_its_call_has_its_budget_charged(tmp_path: Path) -> None:
    async with world(options=options(tmp_path, credits=1), cost=COST, latency=50) as w:
        with anyio.move_on_after(5):
            await asked(w)
        await anyio.sleep(1)
    with sqlite3.connect(tmp_path / "budgets.db") as database:
        [(units,)] = database.execute("SELECT units FROM spent").fetchall()
    database.close()
    assert units > 0


@pytest.mark.parametrize("rule", [BudgetRule("team", credits=Decimal(1)), None])
async def test_a_caller_that_leaves_while_its_call_is_noted_leaves_no_note(
    tmp_path: Path, rule: BudgetRule | None
) -> None:
    async with booking(tmp_path, rule) as (budgets, _):
        entered = False
        with anyio.CancelScope() as scope:
            scope.cancel()
            async with budgets.booked(rule, "gpt-5.4-mini") as booked:
                await noted(booked)
                entered = True
        assert not entered
    book = BudgetBook(tmp_path / "budgets.db")
    assert (sum(one.units for one in book.left_over), book.spent("team", "all")) == (0, 0)
    book.close()


@pytest.mark.parametrize("rule", [BudgetRule("team", credits=Decimal(1)), None])
async def test_an_answer_whose_cost_cannot_be_written_is_returned_and_charged_at_the_next_start(
    tmp_path: Path,
    rule: BudgetRule | None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(_entry: Entry, _units: int) -> asyncio.Future[None]:
        ended = asyncio.get_running_loop().create_future()
        ended.set_exception(sqlite3.OperationalError("database or disk is full"))
        return ended

    async with booking(tmp_path, rule) as (budgets, book):
        monkeypatch.setattr(book, "ended", full)
        answer = None
        async with budgets.booked(rule, "gpt-5.4-mini") as booked:
            await noted(booked)
            answer = "paid"
        assert answer == "paid"
    [record] = caplog.records
    assert "counted when the gateway starts again" in record.getMessage()
    successor = BudgetBook(tmp_path / "budgets.db")
    assert sum(one.units for one in successor.left_over) > 0
    assert (successor.spent("team", "all") > 0) is (rule is not None)
    successor.close()


@asynccontextmanager
async def booking(path: Path, rule: BudgetRule | None) -> AsyncIterator[tuple[Budgets, BudgetBook]]:
    book = BudgetBook(path / "budgets.db")
    try:
        async with SegmindClient("any-key") as client:
            yield Budgets(client, [rule] if rule else [], book), book
    finally:
        book.close()


async def noted(booked: Booked) -> None:
    """Do what a call does when it has its slot."""
    before_sending = booked.client._options.before_sending
    assert before_sending is not None
    await before_sending()


async def test_a_day_ends_at_midnight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [DAY * 20_000]
    monkeypatch.setattr(budgets_module.Budgets.__init__, "__defaults__", (lambda: clock[0],))
    async with world(options=options(tmp_path, credits_per_day=Decimal("0.015")), cost=COST) as w:
        assert [(await asked(w))[0] for _ in range(2)] == [200, 402]
        clock[0] += DAY - 1
        assert (await asked(w))[0] == 402
        clock[0] += 1
        assert (await asked(w))[0] == 200


async def test_a_header_chooses_budget_and_priority(tmp_path: Path) -> None:
    async with world(options=options(tmp_path, credits=1), cost=COST) as w:
        assert await asked(w, {**OWN, "x-segmind-budget": "team", "x-segmind-priority": "bulk"}) == (
            200,
            "0.99",
        )
        assert (await asked(w, {**OWN, "x-segmind-budget": "other"}))[0] == 400
        assert (await asked(w, {**TEAM, "x-segmind-budget": "other"}))[0] == 403
        assert (await asked(w, {**TEAM, "x-segmind-budget": "team"}))[0] == 200
        assert (await asked(w, {**TEAM, "x-segmind-priority": "high"}))[0] == 400


async def test_a_budget_without_credits_limits_calls_in_flight(tmp_path: Path) -> None:
    async with world(options=options(tmp_path, max_in_flight=2), latency=10) as w:
        for _ in range(4):
            await asked(w)  # until the guard knows what a call costs
        async with anyio.create_task_group() as tasks:
            for _ in range(6):
                tasks.start_soon(asked, w)
            await anyio.sleep(5)
            assert w.client.statistics().in_flight == 2
        assert w.emulator.requests == 10


async def test_one_call_more_than_are_taken_is_a_429() -> None:
    async with world(options=GatewayOptions(port=0, max_calls=3), latency=10) as w:
        statuses: list[int] = []

        async def ask() -> None:
            response = await w.chat()
            statuses.append(response.status)
            if response.status == 429:
                assert response.headers["Retry-After"] == "5"
                assert "x-should-retry" not in response.headers

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(ask)
        assert sorted(statuses) == [200, 200, 200, 429, 429]
        assert (await w.chat()).status == 200


def test_bytes_in_flight_are_bounded_but_a_single_request_passes() -> None:
    load = Load(10, 100)
    with load.taken(None, 150):
        with pytest.raises(GatewayError, match="150 bytes"), load.taken("team", 1):
            pass
        assert load.calls["team"] == 0
    with load.taken(None, 60), load.taken(None, 40):
        assert load.bytes == 100
    assert (load.bytes, load.calls[None]) == (0, 0)
    with load.taken("a", 1), pytest.raises(GatewayError, match="of budget 'a'"):
        one = Load(1, 1)
        with one.taken("a", 1), one.taken("a", 1):
            pass


@pytest.mark.parametrize(
    ("own", "headers", "chosen"),
    [
        (None, {}, None),
        ("a", {}, "a"),
        (None, {"x-segmind-budget": "b"}, "b"),
        ("a", {"x-segmind-budget": "a"}, "a"),
    ],
)
def test_the_token_or_the_header_chooses(
    own: str | None, headers: dict[str, str], chosen: str | None
) -> None:
    assert chosen_budget(own, headers) == chosen


@pytest.mark.parametrize(
    ("own", "named", "chosen"),
    [
        ("interactive", None, None),
        ("interactive", "interactive", None),
        ("interactive", "bulk", "bulk"),
        ("bulk", None, None),
        ("bulk", "interactive", None),
        ("bulk", "bulk", None),
    ],
)
def test_a_call_may_lower_its_priority_and_not_raise_it(own: Any, named: str | None, chosen: Any) -> None:
    headers = {} if named is None else {"x-segmind-priority": named}
    assert lowered_priority(own, headers) == chosen


async def test_a_client_of_a_bulk_budget_cannot_make_its_calls_interactive(tmp_path: Path) -> None:
    made = options(tmp_path, priority="bulk")
    slots = {"limits": Limits(max_in_flight=1)}
    async with (
        world(options=made, latency=10, client=slots) as w,
        SegmindClient("token-of-the-team", w.gateway.url) as team,
        SegmindClient(TOKEN, w.gateway.url) as owner,
        anyio.create_task_group() as tasks,
    ):
        await team.balance()
        await owner.balance()
        # Programs of this library name the priority of each call: these are interactive to them.
        for program, calls in ((team, 4), (owner, 3)):
            for number in range(calls):
                tasks.start_soon(program.chat, f"{'team' if program is team else 'owner'} {number}")
                await anyio.sleep(0.1)
        await anyio.sleep(100)
        order = [one.prompt.split()[0] for one in w.emulator.calls]
    # The first was on its way before another came.
    assert order == ["team", *["owner"] * 3, *["team"] * 3]


@pytest.mark.parametrize(
    ("check", "status"),
    [
        (lambda: chosen_budget("a", {"x-segmind-budget": "b"}), 403),
        (lambda: lowered_priority("bulk", {"x-segmind-priority": "high"}), 400),
    ],
)
def test_a_choice_that_is_not_allowed_is_refused(check: Callable[[], object], status: int) -> None:
    with pytest.raises(GatewayError) as caught:
        check()
    assert caught.value.status == status


@pytest.mark.parametrize("daily", [True, False])
def test_a_budget_that_is_used_up_is_named(daily: bool) -> None:
    error = budget_error(BudgetExceededError("used up"), "team", daily=daily)
    assert (error.status, "'team'" in error.message, "midnight" in error.message) == (402, True, daily)


def test_budgets_are_read_from_toml_with_exact_amounts() -> None:
    day, whole = read_rules(
        '[a]\ntoken = "token-of-a"\ncredits_per_day = 0.1\npriority = "bulk"\n[b]\ncredits = 4\nmax_in_flight = 2\n'
    )
    assert (day.cap, day.priority, day.period(DAY * 365)) == (Decimal("0.1"), "bulk", "1971-01-01")
    assert (whole.cap, whole.token, whole.max_in_flight, whole.period(0)) == (4, None, 2, "all")
    assert "token-of-a" not in repr(day)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[a", "not TOML"),
        ("a = 1", "'a' stands outside"),
        ("[a]\nlimit = 1", "unknown fields (limit)"),
        ("[a]\ntoken = 5", "must be a string"),
        ('[a]\ntoken = "x"', "at least 8"),
        ("[a]\ncredits = -1", "a.credits=-1"),
        ('[a]\ncredits = "1"', "a.credits='1'"),
        ("[a]\ncredits = nan", "a.credits"),
        ("[a]\ncredits = 1\ncredits_per_day = 1", "give one"),
        ("[a]\nmax_in_flight = 0", "a.max_in_flight=0"),
        ('[a]\npriority = "high"', "a.priority='high'"),
        ('["a b"]\ncredits = 1', "cannot be named 'a b'"),
        ('[a]\ntoken = "same-token"\n[b]\ntoken = "same-token"', "the same token"),
    ],
)
def test_a_mistake_in_the_budgets_is_named(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_rules(text)
    assert says in str(caught.value)
    assert "same-token" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"budgets": [BudgetRule("a", credits=Decimal(1))]}, "state=…"),
        ({"budgets": [BudgetRule("a", TOKEN)], "tokens": [TOKEN]}, "one of its own"),
        ({"max_calls": 0}, "max_calls=0"),
        ({"max_bytes": 1}, "max_bytes=1"),
    ],
)
def test_options_that_cannot_work_are_refused(settings: Any, says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        GatewayOptions(**settings)
    assert says in str(caught.value)


async def test_the_book_adds_up_over_openings(tmp_path: Path) -> None:
    path = tmp_path / "book.db"
    book = BudgetBook(path)
    assert "book.db" in repr(book)
    with pytest.raises(ConfigurationError, match="is using the budgets"):
        BudgetBook(path)
    await book.sending(Entry("1", "a", "all", 5, "gpt-5.5", 0.0))
    await book.ended(Entry("1", "a", "all", 5, "gpt-5.5", 0.0), 7)
    await book.sending(Entry("2", "a", "all", 5, "gpt-5.5", 0.0))
    await book.sending(Entry("3", "a", "2026-01-01", 9, "gpt-5.5", 0.0))
    await book.ended(Entry("3", "a", "2026-01-01", 9, "gpt-5.5", 0.0), 0)
    assert book.spent("a", "all") == 7
    book.close()
    again = BudgetBook(path)
    assert (again.spent("a", "all"), again.spent("a", "2026-01-01"), again.spent("b", "all")) == (12, 0, 0)
    again.close()


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be read as one" * 20, None])
def test_a_file_of_something_else_is_refused_and_left_alone(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "other.db"
    if content is None:
        with sqlite3.connect(path) as database:
            database.execute("CREATE TABLE mine (x)")
        database.close()
    else:
        path.write_bytes(content)
    before = path.read_bytes()
    with pytest.raises(ConfigurationError, match="restore or delete"):
        BudgetBook(path)
    assert path.read_bytes() == before


async def test_many_calls_at_once_keep_within_their_budget(tmp_path: Path) -> None:
    async with world(options=options(tmp_path, credits=Decimal("0.105")), cost=COST, latency=5) as w:
        statuses: list[int] = []

        async def ask() -> None:
            statuses.append((await asked(w))[0])

        async with anyio.create_task_group() as tasks:
            for _ in range(60):
                tasks.start_soon(ask)
    # Near its end the guard keeps a part for costs that it cannot predict.
    assert 7 <= statuses.count(200) <= 10
    assert statuses.count(200) + statuses.count(402) == 60


async def test_the_successor_holds_what_was_in_flight_as_doubt(tmp_path: Path) -> None:
    book = BudgetBook(tmp_path / "budgets.db")
    await book.sending(Entry("1", "team", "all", ceil_units(Decimal("0.5")), "gpt-5.5", 0.0))
    await book.sending(Entry("2", "", "", ceil_units(Decimal("0.25")), "gpt-5.5", 0.0))
    # As a kill leaves it: neither has ended.
    book.close()
    async with world(options=options(tmp_path, credits=1), cost=COST) as w:
        assert w.client.statistics().held == Decimal("0.75")
        assert (await asked(w))[1] == "0.49"
        await anyio.sleep(70)
        await w.client.balance()
        assert w.client.statistics().held == 0
    again = BudgetBook(tmp_path / "budgets.db")
    assert sum(one.units for one in again.left_over) == 0
    again.close()


@asynccontextmanager
async def successor(emulator: Emulator, folder: Path, floor: float = 1) -> AsyncIterator[World]:
    """Open a gateway of a new process over an account."""
    async with (
        SegmindClient(emulator.key, emulator.url, limits=Limits(16, floor=floor)) as client,
        Gateway(client, GatewayOptions(port=0, state=folder / "state.db", grace=0)) as gateway,
        aiohttp.ClientSession() as session,
    ):
        yield World(emulator, client, gateway, session)


async def test_a_gateway_that_starts_at_its_floor_knows_what_calls_cost(tmp_path: Path) -> None:
    async with Emulator(cost="0.0026", balance="1.0535", latency=1.0) as emulator:
        spent = []
        for _ in range(3):
            async with successor(emulator, tmp_path) as w:
                statuses = [(await w.chat(str(n))).status for n in range(25)]
            spent.append(emulator.state.account.spent)
        assert emulator.state.account.balance >= 1
    assert set(statuses) == {402}
    assert spent[0] == spent[1] == spent[2] > 0


async def test_the_successor_holds_for_what_is_in_flight_as_its_predecessor_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1.8e9 + anyio.current_time())
    chance = random.Random(5)
    (tmp_path / "after").mkdir()
    async with Emulator(
        cost=lambda _facts, _chance: Decimal(round(chance.lognormvariate(-4, 0.6), 6)),
        latency=lambda _facts, cost, _chance: 400 * float(cost),
        balance=20,
    ) as emulator:
        async with successor(emulator, tmp_path) as w, anyio.create_task_group() as tasks:
            for n in range(100):
                tasks.start_soon(w.chat, str(n))
            await anyio.sleep(30)
            held = w.client.statistics().held
            # As a kill leaves it.
            for file in tmp_path.glob("state.db*"):
                shutil.copy(file, tmp_path / "after")
            tasks.cancel_scope.cancel()
        async with successor(emulator, tmp_path / "after") as w:
            found = w.client.statistics()
            assert (found.in_flight, found.spent) == (0, 0)
            assert found.held == pytest.approx(held, rel=Decimal("0.25"))
            # What is held beyond the expected sum is for its spread.
            assert found.held > 16 * w.client.with_options(model="gpt-5.4-mini").statistics().estimate


@pytest.mark.parametrize(
    "facts", ["no JSON", '"text"', "[]", '{"by": "x"}', '{"by": "x", "at": 1, "monotonic": "?"}']
)
async def test_a_state_that_cannot_be_read_does_not_keep_a_gateway_from_starting(
    tmp_path: Path, facts: str, caplog: pytest.LogCaptureFixture
) -> None:
    BudgetBook(tmp_path / "state.db").close()
    with closing(sqlite3.connect(tmp_path / "state.db")) as database:
        database.execute("INSERT INTO state VALUES (1, ?)", (facts,))
        database.commit()
    async with Emulator(cost=COST, balance=5) as emulator, successor(emulator, tmp_path) as w:
        assert (await w.chat()).status == 200
    told = [record for record in caplog.records if "cannot be read" in record.getMessage()]
    assert len(told) == (facts not in ('"text"', "[]"))


@pytest.mark.parametrize("crashed", [False, True])
async def test_a_book_of_an_earlier_release_is_read(tmp_path: Path, crashed: bool) -> None:
    with closing(sqlite3.connect(tmp_path / "budgets.db")) as database:
        database.execute(f"PRAGMA application_id = {0x5E6D1E}")
        database.execute(
            "CREATE TABLE spent (budget, period, units, PRIMARY KEY (budget, period)) WITHOUT ROWID"
        )
        database.execute("CREATE TABLE sent (id TEXT PRIMARY KEY, budget TEXT, period TEXT, units INTEGER)")
        database.execute("INSERT INTO sent VALUES ('1', 'team', 'all', 7)")
        if crashed:
            # Between the two columns that were added since.
            database.execute("ALTER TABLE sent ADD COLUMN model TEXT NOT NULL DEFAULT ''")
        database.commit()
    for _ in range(2):
        with closing(BudgetBook(tmp_path / "budgets.db")) as book:
            assert book.left_over == [Entry("1", "team", "all", 7, "", 0.0)]
            assert book.spent("team", "all") == 7


async def test_a_start_that_fails_leaves_the_doubt_to_the_next_one(tmp_path: Path) -> None:
    path = tmp_path / "budgets.db"
    killed = BudgetBook(path)
    await killed.sending(Entry("1", "team", "all", 5, "gpt-5.5", 0.0))
    await killed.sending(Entry("2", "", "", 7, "gpt-5.5", 0.0))
    killed.close()
    async with world() as w:
        port = int(w.gateway.url.removesuffix("/v1").rsplit(":", 1)[1])
        with pytest.raises(OSError, match=str(port)):
            await Gateway(w.client, replace(options(tmp_path, credits=1), port=port)).__aenter__()
    for _ in range(2):
        book = BudgetBook(path)
        assert (
            sum(one.units for one in book.left_over),
            book.spent("team", "all"),
            book.spent("team", "other"),
        ) == (12, 5, 0)
        book.close()


async def test_budgets_that_cannot_be_set_up_leave_the_file_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no budgets")

    async with world() as w:
        with monkeypatch.context() as patched:
            patched.setattr(budgets_module.Budgets, "__init__", broken)
            with pytest.raises(RuntimeError, match="no budgets"):
                await Gateway(w.client, options(tmp_path, credits=1)).__aenter__()
        BudgetBook(tmp_path / "budgets.db").close()


async def test_what_an_earlier_process_left_is_counted_once_while_it_is_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "budgets.db"
    killed = BudgetBook(path)
    await killed.sending(Entry("1", "team", "all", 5, "gpt-5.5", 0.0))
    killed.close()
    book = BudgetBook(path)
    await book.sending(Entry("2", "team", "all", 100, "gpt-5.5", 0.0))
    assert book.spent("team", "all") == 5
    await book.take_over()
    await book.take_over()
    assert book.spent("team", "all") == 5
    await book.ended(Entry("2", "team", "all", 100, "gpt-5.5", 0.0), 1)
    assert book.spent("team", "all") == 6
    book.close()
    again = BudgetBook(path)
    assert (sum(one.units for one in again.left_over), again.spent("team", "all")) == (0, 6)
    again.close()


@pytest.mark.parametrize("token", [TOKEN, "token-of-the-team"])
async def test_a_call_without_a_limit_is_noted_while_it_runs(tmp_path: Path, token: str) -> None:
    async with world(options=options(tmp_path), cost=COST, latency=5) as w:

        def noted() -> list[Any]:
            with sqlite3.connect(tmp_path / "budgets.db") as database:
                rows = database.execute("SELECT budget, units > 0 FROM sent").fetchall()
            database.close()
            return rows

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(asked, w, {"x-api-key": token})
            while not w.emulator.requests:
                await anyio.sleep(0.1)
            assert noted() == [("", 1)]
        assert noted() == []
