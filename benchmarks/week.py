"""A week of a cluster in virtual time: processes behind gateways, a key each, and failures of everything.

The clients are the library's own, with their admission, ledger, rates, retries and fan-out; the service is
the emulator's accounts; network, journals and engine are a few lines here. A process is a fan-out over the
client of its gateway, which takes shards from one list; a shard remembers its answered rows as its journal
would.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from decimal import Decimal

import anyio

from segmind_async import ChatRequest, Limits, Outcome, SegmindClient, Status, Timeouts
from segmind_async._money.exposure import required_by
from segmind_async._sending import restart
from segmind_async.emulator import CallFacts, Config, Refusal, ServiceState
from segmind_async.emulator import Running as RunningCall
from segmind_async.errors import TransientError
from segmind_async.transport import Billing, Failure, FailureKind, WireRequest, WireResponse

MODEL = "gpt-5.5"
EPOCH = 1_793_491_200.0
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0


@dataclass(frozen=True)
class Plan:
    """The size of the job, and how often what fails."""

    rows: int = 10_000_000
    shard: int = 1000
    keys: int = 8
    processes: int = 4
    """Of each gateway."""
    calls: int = 16
    """In flight, of each process."""
    rpm: int = 135
    """Of each key. Half of the gateways are told, the others learn it."""
    latency: float = 8.0
    """Seconds of a call, mean; lognormal as costs are, and tied to them."""
    cost: float = 0.05
    floor: float = 5.0
    process_dies: float = 12 * HOUR
    """Mean seconds until a process is killed; started again after `restart`."""
    gateway_dies: float = DAY
    outage: float = DAY
    """Mean seconds between two outages of the service, which last 2 to 40 minutes."""
    storm: float = DAY
    """Mean seconds between two times in which a key may send a fifth, 15 to 60 minutes."""
    refused: float = 4 * 7 * DAY
    """Mean seconds until a key is refused, for 3 to 8 hours: two of eight a week."""
    top_up: float = DAY
    """Seconds that a payment lasts at the full rate. Every second one comes up to three hours late."""
    lost: float = 1e-4
    """Share of answers that are paid and lost on the way."""
    part: int = 1
    restart: float = 60.0
    """Seconds until what was killed works again, and until a process that had to stop tries another shard."""
    seed: int = 1

    def share(self, part: int) -> Plan:
        """Return one of *part* parts of the rows, in one of so many parts of the time.

        What fails does so as often in the shorter time, and for as much shorter. Rates and latencies stay, so
        what a kill costs, and what is learnt again after one, weighs *part* times as much as in the whole.
        """
        return replace(
            self,
            rows=self.rows // part,
            shard=max(1, self.shard // part),
            part=part,
            **{name: getattr(self, name) / part for name in _TIMES},
        )

    def of_keys(self, keys: int) -> Plan:
        """Return the same week for so many of the keys, each with its part of the rows."""
        return replace(self, rows=self.rows * keys // self.keys, keys=keys)


_TIMES = ("process_dies", "gateway_dies", "outage", "storm", "refused", "top_up", "restart")


@dataclass
class Books:
    """What the service and the job say at the end."""

    finished_at: float = 0.0
    ideal: float = 0.0
    """Seconds that it would have taken to use every start that the service allowed."""
    nominal: float = 0.0
    """The same, if nothing had failed."""
    paid_twice: int = 0
    failed: int = 0
    """Rows that were given up."""
    in_flight_at_kills: int = 0
    lost: int = 0
    """Answers that were billed and never came, other than by kills."""
    own_406: int = 0
    rate_limited: int = 0
    calls: int = 0
    below_floor: float = 0.0
    """Credits by which the worst account fell below its floor."""
    draws: int = 0
    """Times that an account was drawn down to its floor."""
    broken: int = 0
    """Those of them in which it fell below."""
    events: dict[str, int] = field(default_factory=dict)
    memory: list[tuple[float, float]] = field(default_factory=list)
    """Share of the rows, and highest RSS in MB so far."""


class Account:
    """A key at the service, behind a transport: nothing is real but the accounts, and a network of 30 ms."""

    def __init__(self, week: Week, number: int) -> None:
        plan = week.plan
        self.week, self.number = week, number
        self.chance = random.Random(f"{plan.seed}/{number}")
        self.payment = plan.cost * plan.rpm * plan.top_up / MINUTE
        self.config = Config(
            balance=round(plan.floor + self.payment, 6),
            seed=plan.seed * 100 + number,
            cost=lambda _facts, _chance: Decimal(repr(round(plan.cost * self._x, 8))),
            latency=lambda _facts, _cost, _chance: plan.latency * self._x**0.7,
            slugs=frozenset({MODEL}),
            requests_per_minute=plan.rpm,
        )
        self._x = 1.0
        self.state = ServiceState(self.config)
        self.refused = False
        self.is_dry = False
        """Whether the credits above the floor are used up."""
        self.rate = float(plan.rpm)
        self.allowed = 0.0
        """Starts that the service has allowed since the beginning."""
        self._since = 0.0

    def change(self, *, refused: bool | None = None, rpm: int | None = None) -> None:
        """Change what the key may do from now on."""
        self.count_allowed()
        self.refused = self.refused if refused is None else refused
        if rpm is not None:
            self.rate = rpm
            self.state.config = replace(self.config, requests_per_minute=rpm)

    def count_allowed(self) -> None:
        """Add the starts that were possible since the last change."""
        now = anyio.current_time()
        if not (self.refused or self.week.is_down or self.is_dry):
            self.allowed += (now - self._since) * self.rate / MINUTE
        self._since = now

    async def send(self, request: WireRequest, time_left: float) -> WireResponse | Failure:
        if self.week.is_down:
            await anyio.sleep(0.03)
            return WireResponse(503, {}, b'{"error": "Service Unavailable"}')
        if request.body is None:
            await anyio.sleep(0.03)
            return WireResponse(
                200, {}, b'{"credits": %.10f, "free-credits": 0}' % self.state.account.balance
            )
        if self.refused:
            await anyio.sleep(0.03)
            return WireResponse(401, {}, b'{"error": "Unauthorized. API key is invalid"}')
        row = int(request.body.split(b'"content":"', 1)[1].split(b'"', 1)[0])
        self._x = self.chance.lognormvariate(-0.125, 0.5)
        got = self.state.arrive(self.config.key, CallFacts(MODEL, 40, 100), anyio.current_time())
        if isinstance(got, Refusal):
            await anyio.sleep(0.03)
            return self._refusal(got)
        self.week.books.calls += 1
        return await self._run(row, got, time_left)

    async def _run(self, row: int, call: RunningCall, time_left: float) -> WireResponse | Failure:
        loop, down = asyncio.get_running_loop(), self.week.downs
        try:
            await anyio.sleep(min(call.latency, time_left) + 0.03)
        except BaseException:
            # The service does not notice, and bills.
            loop.call_later(max(0.0, call.finish_at - loop.time()), self._bill, row, call)
            raise
        if down != self.week.downs and self.chance.random() < 0.5:
            self.state.fail(call)
            return Failure(FailureKind.DISCONNECTED, "the connection was lost", Billing.IN_DOUBT)
        self._bill(row, call)
        if down != self.week.downs or self.chance.random() < self.week.plan.lost:
            self.week.books.lost += 1
            return Failure(FailureKind.DISCONNECTED, "the connection was lost", Billing.IN_DOUBT)
        headers = {"x-cost": f"{call.cost:f}", "x-remaining-credits": f"{self.state.account.balance:f}"}
        return WireResponse(200, headers, _ANSWER)

    def _bill(self, row: int, call: RunningCall) -> None:
        self.state.finish(call, 0.0)
        self.week.billed(row)

    def _refusal(self, refusal: Refusal) -> WireResponse:
        books = self.week.books
        if refusal.status == 429:
            books.rate_limited += 1
        elif not self.is_dry:
            books.own_406 += 1
        headers = {}
        if refusal.reset_after is not None:
            headers["x-rate-limit-reset-at-utc"] = f"{EPOCH + anyio.current_time() + refusal.reset_after:.3f}"
        return WireResponse(refusal.status, headers, json.dumps({"error": refusal.text}).encode())

    async def aclose(self) -> None:
        """Hold nothing."""


_ANSWER = (
    b'{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":40,"completion_tokens":100}}'
)


class Shard:
    """Rows of the job, and which of them its journal holds an answer of."""

    def __init__(self, first: int, size: int) -> None:
        self.first, self.size = first, size
        self.kept = bytearray(size)

    def requests(self) -> Iterator[ChatRequest]:
        for place in range(self.size):
            if not self.kept[place]:
                yield ChatRequest(str(self.first + place))


class Gateway:
    """One client for a key; killed, it starts again and holds what it had in flight."""

    def __init__(self, week: Week, account: Account) -> None:
        self.week, self.account = week, account
        self.processes: list[Process] = []
        self.client = self._started()
        self.is_up = True

    def _started(self) -> SegmindClient:
        plan = self.week.plan
        told = plan.rpm if self.account.number % 2 == 0 else None
        client = SegmindClient(
            "k",
            model=MODEL,
            limits=Limits(plan.calls * plan.processes, told, floor=plan.floor),
            timeouts=Timeouts(total=None),
            transport=self.account,
        )
        object.__setattr__(client._service, "wall_clock", lambda: EPOCH + anyio.current_time())
        return client

    async def die(self) -> None:
        # What its state file holds, a moment old.
        service = self.client._service
        state = restart.state_of(service.admission, service.estimates, in_flight=False)
        now, plan = anyio.current_time(), self.week.plan
        ages = [now - held.started_at for held in service.estimates.of(MODEL).running]
        self.is_up = False
        for process in self.processes:
            process.kill()
        await anyio.sleep(plan.restart)
        await self.client.aclose()
        self.client = self._started()
        service = self.client._service
        by_clock = {"at": time.time(), "monotonic": time.monotonic()}  # noqa: TID251  # as in the state
        state = {**state, **{name: at - plan.restart for name, at in by_clock.items()}}
        restart.resume(service.admission, service.estimates, state)
        model = service.estimates.of(MODEL)
        service.admission.inherit_doubt(required_by([(model, age) for age in ages], now))
        self.is_up = True


class Process:
    """Takes one shard after the other; killed, it starts again and gives its shard back."""

    def __init__(self, week: Week, gateway: Gateway) -> None:
        self.week, self.gateway = week, gateway
        self._scope = anyio.CancelScope()

    def kill(self) -> None:
        self._scope.cancel()

    async def run(self) -> None:
        week, plan = self.week, self.week.plan
        while week.left:
            if not week.shards or not self.gateway.is_up:
                await anyio.sleep(plan.restart / 6)
                continue
            shard, stopped = week.shards.popleft(), True
            with anyio.CancelScope() as self._scope:
                stopped = await self._send(shard)
            if not all(shard.kept):
                week.shards.append(shard)
            if stopped:
                await anyio.sleep(plan.restart)

    async def _send(self, shard: Shard) -> bool:
        """Send the rows that have no answer; return whether it stopped early."""

        async def keep(outcome: Outcome[object]) -> None:
            if outcome.status == Status.OK or self._gave_up(outcome):
                self.week.keep(shard, places[outcome.index], outcome)

        places = [place for place in range(shard.size) if not shard.kept[place]]
        fan_out = self.gateway.client.fan_out(
            shard.requests(), max_in_flight=self.week.plan.calls, keep=keep, on_exhausted="stop"
        )
        try:
            async with fan_out as outcomes:
                async for _ in outcomes:
                    pass
        finally:
            if self._scope.cancel_called:
                self.week.books.in_flight_at_kills += fan_out.report.cancelled
        return fan_out.report.stop_reason is not None

    def _gave_up(self, outcome: Outcome[object]) -> bool:
        """Return whether a job would keep this failure; what failed for all is asked again."""
        breaker = self.gateway.client._service.admission.breaker
        failed = bool(outcome.attempts) and isinstance(outcome.error, TransientError)
        return failed and not breaker.fails_for_others(outcome.attempts)


class Week:
    """The whole: run it in virtual time."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.books = plan, Books()
        self.chance = random.Random(plan.seed)
        self.is_down, self.downs = False, 0
        self.left = plan.rows
        self._bills = bytearray(plan.rows)
        self.shards = deque(
            Shard(first, min(plan.shard, plan.rows - first)) for first in range(0, plan.rows, plan.shard)
        )
        self.accounts = [Account(self, number) for number in range(plan.keys)]
        self._stop: Callable[[], None] = lambda: None

    async def run(self) -> Books:
        plan, books = self.plan, self.books
        gateways = [Gateway(self, account) for account in self.accounts]
        async with anyio.create_task_group() as tasks:
            self._stop = tasks.cancel_scope.cancel
            tasks.start_soon(self._outages)
            for gateway in gateways:
                for happens in (self._storms, self._refusals, self._payments):
                    tasks.start_soon(happens, gateway.account)
                tasks.start_soon(self._gateway_kills, gateway)
                gateway.processes = [Process(self, gateway) for _ in range(plan.processes)]
                for process in gateway.processes:
                    tasks.start_soon(process.run)
                    tasks.start_soon(self._kills, process)
        for gateway in gateways:
            await gateway.client.aclose()
        books.paid_twice = self._paid_twice()
        lowest = min(float(account.state.account.lowest) for account in self.accounts)
        books.below_floor = max(0.0, plan.floor - lowest)
        return books

    def billed(self, row: int) -> None:
        self._bills[row] = min(255, self._bills[row] + 1)

    def _paid_twice(self) -> int:
        return sum(count - 1 for count in self._bills if count > 1)

    def keep(self, shard: Shard, place: int, outcome: Outcome[object]) -> None:
        """Note that a row has ended, and end the week with the last one."""
        shard.kept[place] = 1
        self.books.failed += outcome.status == Status.FAILED
        self.left -= 1
        if self.left % max(1, self.plan.rows // 10) == 0:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            self.books.memory.append((1 - self.left / self.plan.rows, peak))
            books, twice = self.books, self._paid_twice()
            day = anyio.current_time() * self.plan.part / DAY
            print(
                f"{books.memory[-1][0]:.0%} of the rows after {day:.2f} days: {twice} paid twice, "
                f"{books.failed} given up, {books.broken} of {books.draws} draws below the floor, "
                f"{books.own_406} 406s, {peak:.0f} MB",
                file=sys.stderr,
                flush=True,
            )
        if not self.left:
            self._end()

    def _end(self) -> None:
        books, plan = self.books, self.plan
        books.finished_at = anyio.current_time()
        for account in self.accounts:
            account.count_allowed()
        allowed = sum(account.allowed for account in self.accounts)
        books.nominal = plan.rows / (plan.rpm * plan.keys) * MINUTE
        books.ideal = books.finished_at * plan.rows / allowed
        self._stop()

    def _happened(self, what: str) -> None:
        self.books.events[what] = self.books.events.get(what, 0) + 1

    async def _after(self, mean: float) -> None:
        await anyio.sleep(self.chance.expovariate(1 / mean))

    def _between(self, least: float, most: float) -> float:
        return self.chance.uniform(least, most) / self.plan.part

    async def _outages(self) -> None:
        while True:
            await self._after(self.plan.outage)
            self._happened("outages of the service")
            self._down(down=True)
            await anyio.sleep(self._between(2 * MINUTE, 40 * MINUTE))
            self._down(down=False)

    def _down(self, *, down: bool) -> None:
        for account in self.accounts:
            account.count_allowed()
        self.is_down = down
        self.downs += down

    async def _storms(self, account: Account) -> None:
        while True:
            await self._after(self.plan.storm)
            self._happened("times with a fifth of the rate")
            account.change(rpm=self.plan.rpm // 5)
            await anyio.sleep(self._between(15 * MINUTE, HOUR))
            account.change(rpm=self.plan.rpm)

    async def _refusals(self, account: Account) -> None:
        while True:
            await self._after(self.plan.refused)
            self._happened("keys refused for hours")
            account.change(refused=True)
            await anyio.sleep(self._between(3 * HOUR, 8 * HOUR))
            account.change(refused=False)

    async def _payments(self, account: Account) -> None:
        """Pay in a day's credits when they are used up, every second time late."""
        late = False
        while True:
            await anyio.sleep(MINUTE / self.plan.part)
            left = float(account.state.account.balance) - self.plan.floor
            if left > 0.05 * account.payment and not late:
                continue
            if late and left > 20 * self.plan.cost:
                continue
            if late:
                account.count_allowed()
                account.is_dry = True
                await anyio.sleep(self._between(0, 3 * HOUR))
                account.count_allowed()
                account.is_dry = False
                self.books.draws += 1
                self.books.broken += account.state.account.balance < self.plan.floor
            self._happened("payments, half of them late")
            account.state.top_up(round(account.payment, 6))
            late = not late

    async def _gateway_kills(self, gateway: Gateway) -> None:
        while True:
            await self._after(self.plan.gateway_dies)
            self._happened("gateways killed")
            await gateway.die()

    async def _kills(self, process: Process) -> None:
        while True:
            await self._after(self.plan.process_dies)
            self._happened("processes killed")
            process.kill()


async def drawn_down(plan: Plan, draws: int, calls: int = 300) -> list[float]:
    """Draw one key down to its floor again and again, without failures; return what was left above it.

    It is topped up with what *calls* cost. The first draws, in which costs are still learnt, do not count.
    """
    learning, slots = 20, plan.calls * plan.processes
    week = Week(replace(plan, rows=1, keys=1, lost=0.0))
    account = week.accounts[0]
    account.is_dry = True  # it may refuse
    client = Gateway(week, account).client
    left = []
    for _ in range(learning + draws):
        over = Decimal(repr(plan.floor)) - account.state.account.balance
        account.state.top_up(over + Decimal(repr(calls * plan.cost)))
        await client.balance()
        fan_out = client.fan_out(_endless(), max_in_flight=slots, on_exhausted="stop")
        async with fan_out as outcomes:
            async for _ in outcomes:
                pass
        left.append(float(account.state.account.balance) - plan.floor)
    await client.aclose()
    return left[learning:]


def _endless() -> Iterator[ChatRequest]:
    while True:
        yield ChatRequest("0")
