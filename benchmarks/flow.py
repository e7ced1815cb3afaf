"""How well the admission spends: the library's own client in virtual time, against the emulator's accounts.

Every run sends rows whose cost and latency are drawn in advance, so that all rules meet the same rows.
Beside ours it runs the rules people use today. The oracle knows every cost and keeps all slots full to
the last call that the money pays.
"""

from __future__ import annotations

import argparse
import heapq
import math
import os
import random
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import anyio

from segmind_async import ChatRequest, Limits, SegmindClient, Timeouts
from segmind_async.emulator import CallFacts, Config, Refusal, ServiceState
from segmind_async.transport import WireRequest, WireResponse

from . import limits, rivals, situations, virtual
from .tables import Table

SLOTS = 64
CALLS = 20 * SLOTS
MEDIAN = 0.05
MODEL = "gpt-5.5"
"""Its published mean is 0.044 credits: a first guess as good as the table usually is."""


@dataclass(frozen=True)
class Family:
    """One kind of scenario."""

    name: str
    sigma: float = 0.3
    """Standard deviation of ln(cost)."""
    tied: bool = True
    """Whether expensive calls last longer."""
    predicted: bool = False
    """Whether cost follows the length of prompt and bound on the answer."""
    late: float = 0.15
    """Seconds, mean, by which answers are late, and so out of order."""
    cost_header: bool = True
    usage: bool = True
    balance_header: bool = True
    reserve: float = 0.0
    """What the service reserves, as a factor of the real cost."""
    floor_share: float = 0.2
    """Floor, as a share of the balance."""
    others: float = 0.0
    """Share of the credits that others spend during the run."""
    top_up: bool = False
    """Whether the account is topped up by the same amount once the credits are used up."""
    rpm: int | None = None
    known: bool = False
    cap: int | None = None
    """Calls at once that the service allows."""
    count_refused: bool = False
    window: str = "sliding"
    reset: str | None = "iso"
    minutes: float = 12.0

    @property
    def of_rate(self) -> bool:
        return self.rpm is not None or self.cap is not None


@dataclass(frozen=True)
class Row:
    cost: float
    latency: float
    prompt: int
    bound: int


def rows_of(family: Family, seed: int) -> Iterator[Row]:
    chance = random.Random(f"{family.name}/{seed}")
    while True:
        prompt, bound = 40, 100
        if family.predicted:
            prompt = int(400 * chance.lognormvariate(0, family.sigma))
            bound = int(100 * chance.lognormvariate(0, 0.5))
            # Of the prompt's tokens exactly, of the answer's a part of what is allowed.
            x = (prompt * 0.75 + bound * chance.uniform(0.6, 1.0) * 4.5) / 700
        else:
            x = chance.lognormvariate(0, family.sigma)
        pull = x if family.tied else chance.lognormvariate(0, family.sigma)
        yield Row(MEDIAN * x, 0.5 + 1.5 * pull**0.7, prompt, bound)


class Service:
    """The emulator's service state behind a transport, in process: a network with delays, and no sockets."""

    def __init__(self, family: Family, seed: int, balance: float) -> None:
        self.family = family
        self._next: Row | None = None
        self._rows = rows_of(family, seed)
        self._known: list[Row] = []
        self._chance = random.Random(seed)
        self.state = ServiceState(
            Config(
                balance=round(balance, 6),
                seed=seed,
                cost=lambda _facts, _chance: Decimal(repr(self._asked.cost)),
                latency=lambda _facts, _cost, _chance: self._asked.latency,
                reserve=lambda _facts, _chance: Decimal(repr(family.reserve * self._asked.cost)),
                slugs=frozenset({MODEL}),
                requests_per_minute=family.rpm,
                window=family.window,  # type: ignore[arg-type]
                count_refused=family.count_refused,
                max_in_flight=family.cap,
            )
        )
        self.refused: list[tuple[float, int]] = []
        self.finished: list[float] = []

    def row(self, index: int) -> Row:
        while index >= len(self._known):
            self._known.append(next(self._rows))
        return self._known[index]

    async def send(self, request: WireRequest, time_left: float) -> WireResponse:
        now = anyio.current_time
        await anyio.sleep(self._chance.uniform(0.01, 0.06))
        if request.body is None:
            text = f'{{"credits": {self.state.account.balance:f}, "free-credits": 0}}'
            await anyio.sleep(self._chance.uniform(0.01, 0.06))
            return WireResponse(200, {}, text.encode())
        index = int(request.body.split(b'"content":"', 1)[1].split(b" ", 1)[0])
        self._asked = row = self.row(index)
        got = self.state.arrive(self.state.config.key, CallFacts(MODEL, row.prompt, row.bound), now())
        if isinstance(got, Refusal):
            self.refused.append((now(), got.status))
            await anyio.sleep(self._chance.uniform(0.01, 0.06))
            return WireResponse(got.status, self._wait(got), b'{"error": "%s"}' % got.text.encode())
        await anyio.sleep(got.latency)
        settled = self.state.finish(got, now())
        self.finished.append(now())
        headers = {}
        if self.family.cost_header:
            headers["x-cost"] = f"{settled.cost:f}"
        if self.family.balance_header:
            headers["x-remaining-credits"] = f"{settled.balance:f}"
        await anyio.sleep(self._chance.expovariate(1 / self.family.late))
        usage = b""
        if self.family.usage:
            tokens = max(1, int(row.cost / MEDIAN * 50))
            usage = b',"usage":{"prompt_tokens":%d,"completion_tokens":%d}' % (row.prompt, tokens)
        return WireResponse(200, headers, _ANSWER + usage + b"}")

    def _wait(self, refusal: Refusal) -> dict[str, str]:
        if refusal.reset_after is None or self.family.reset is None:
            return {}
        # The client's wall clock is that of the loop, from a plausible epoch.
        at = EPOCH + anyio.current_time() + refusal.reset_after
        forms = {"epoch": f"{at:.3f}", "ms": str(math.ceil(at * 1000)), "garbage": "in a while"}
        iso = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(math.ceil(at))) + "Z"
        return {"x-rate-limit-reset-at-utc": forms.get(self.family.reset, iso)}

    async def aclose(self) -> None:
        """Hold nothing."""


_ANSWER = b'{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}]'
EPOCH = 1_793_491_200.0


@dataclass
class Result:
    """One run, by the emulator's own books."""

    own_406: int = 0
    broken: bool = False
    stranded: float = 0.0
    """Credits above the floor, in typical calls."""
    makespan: float = 0.0
    """Over the oracle's."""
    rate: float = 0.0
    """Share of the possible rate."""
    refused: float = 0.0
    """429s per finished call."""
    refused_late: float = 0.0
    """The same over the second half."""
    p99: float = 0.0
    """Cost of a call at the 99th percentile, in typical calls."""


def budget_of(family: Family, seed: int) -> tuple[float, float, float, float]:
    """Return balance, floor, mean cost and cost at the 99th percentile: the money pays CALLS calls."""
    source = rows_of(family, seed)
    costs = [next(source).cost for _ in range(4 * CALLS)]
    mean = statistics.fmean(costs)
    spend = sum(costs[:CALLS]) * (1 + family.others)
    balance = spend / (1 - family.floor_share)
    return balance, balance - spend, mean, sorted(costs)[int(0.99 * len(costs))]


def oracle(family: Family, seed: int, balance: float, spend: float) -> float:
    """Return the makespan of one that knows every cost and keeps all slots full.

    Where the service reserves an estimate, it must wait as anybody must until that fits the balance.
    """
    now, reserved = 0.0, 0.0
    running: list[tuple[float, float]] = []
    for row in rows_of(family, seed):
        spend -= row.cost
        reserve = family.reserve * row.cost
        while len(running) == SLOTS or (reserve and running and reserved + reserve > balance):
            now, cost = heapq.heappop(running)
            reserved -= family.reserve * cost
            balance -= cost
        if spend < 0 or (reserve and reserve > balance):
            break
        reserved += reserve
        heapq.heappush(running, (now + row.latency + 0.07 + family.late, row.cost))
    return max((at for at, _ in running), default=now)


def one(job: tuple[Family, str, int]) -> Result:
    """Run one family with one rule and one seed."""
    family, rule, seed = job
    balance, floor, mean, p99 = budget_of(family, seed)
    if family.of_rate:
        balance, floor = 1e6, 0.0
    service = Service(family, seed, balance)
    virtual.run(_limited(service, rule, family, round(floor, 6)))
    ledger = service.state.account
    own = sum(status == 406 for _, status in service.refused)
    late = [at for at, status in service.refused if status == 429]
    if family.of_rate:
        until = family.minutes * 60
        done = [at for at in service.finished if at <= until]
        half = until / 2
        return Result(
            own_406=own,
            rate=len(done) / possible(family),
            refused=len([at for at in late if at <= until]) / max(1, len(done)),
            refused_late=sum(half < at <= until for at in late) / max(1, sum(at > half for at in done)),
        )
    spend = (balance - floor) * (2 if family.top_up else 1) - float(account_others(family, balance, floor))
    left = float(ledger.balance) - floor
    return Result(
        own_406=own,
        broken=left < -1e-5,
        stranded=max(0.0, left) / mean,
        makespan=(service.finished[-1] - idle(service, family)) / oracle(family, seed, balance, spend),
        p99=p99 / mean,
    )


def idle(service: Service, family: Family) -> float:
    """Return the seconds from the last call before a top-up to the first one after it."""
    pairs = zip(service.finished, service.finished[1:], strict=False)
    return max(later - earlier for earlier, later in pairs) if family.top_up else 0.0


def account_others(family: Family, balance: float, floor: float) -> float:
    return (balance - floor) * family.others / (1 + family.others)


def possible(family: Family) -> float:
    """Return how many calls could have finished within the time."""
    by_rate = math.inf if family.rpm is None else family.rpm * family.minutes
    latency = statistics.fmean(row.latency for row, _ in zip(rows_of(family, 0), range(4000), strict=False))
    # A slot of the service is free again only when the answer has come and the next request has gone.
    at_once = min(family.cap or SLOTS, SLOTS)
    return min(by_rate, at_once * family.minutes * 60 / (latency + 0.035 + family.late + 0.035))


async def _limited(service: Service, rule: str, family: Family, floor: float) -> None:
    """Run one rule until the money or the time is used up."""
    async with anyio.create_task_group() as tasks:
        if family.others:
            tasks.start_soon(_spend, service, family, floor)
        if family.top_up:
            tasks.start_soon(_top_up, service, floor, tasks.cancel_scope)
        with anyio.move_on_after(family.minutes * 60 if family.of_rate else 4 * 3600):
            if rule == "ours":
                await _ours(service, family, floor)
            else:
                await rivals.RULES[rule](service, SLOTS, floor, family.rpm if family.known else None)
        tasks.cancel_scope.cancel()


async def _spend(service: Service, family: Family, floor: float) -> None:
    """Let another program spend its share, evenly over the run, in calls like ours."""
    total = account_others(family, float(service.state.account.balance), floor)
    spent, each = 0.0, 4 * MEDIAN
    while spent + each <= total:
        await anyio.sleep(0.25)
        service.state.spend(round(each, 6))
        spent += each


async def _top_up(service: Service, floor: float, done: anyio.CancelScope) -> None:
    """Pay in as much again once nothing has ended for a while, and end the run when that is used up too."""
    first = float(service.state.account.balance) - floor
    await _quiet(service, 20)
    service.state.top_up(round(first, 6))
    await _quiet(service, 200)
    done.cancel()


async def _quiet(service: Service, seconds: float) -> None:
    """Wait until nothing has ended for so long."""
    while not service.finished or anyio.current_time() < service.finished[-1] + seconds:  # noqa: ASYNC110
        await anyio.sleep(5)


async def _ours(service: Service, family: Family, floor: float) -> None:
    client = SegmindClient(
        "k",
        model=MODEL,
        limits=Limits(SLOTS, family.rpm if family.known else None),
        timeouts=Timeouts(total=None),
        transport=service,
    )
    object.__setattr__(client._service, "wall_clock", lambda: EPOCH + anyio.current_time())

    def requests() -> Iterator[ChatRequest]:
        for index in range(10**9):
            row = service.row(index)
            yield ChatRequest(f"{index} " + "x" * (4 * row.prompt), max_tokens=row.bound)

    on_exhausted: Any = "wait" if family.top_up else "stop"
    async with client, client.fan_out(requests(), floor=floor, on_exhausted=on_exhausted) as outcomes:
        async for _ in outcomes:
            pass


MONEY = [
    Family("fixed price", sigma=0.0),
    Family("spread 0.3, tied to latency"),
    Family("spread 0.8, tied", sigma=0.8),
    Family("spread 0.8, not tied", sigma=0.8, tied=False),
    Family("spread 1.2, tied", sigma=1.2),
    Family("spread 0.8, predicted", sigma=0.8, predicted=True),
    Family("readings 2 s late", late=2.0),
    Family("no cost header", cost_header=False),
    Family("no cost header, no usage", cost_header=False, usage=False),
    Family("no balance header", balance_header=False),
    Family("server reserves half", reserve=0.5, floor_share=0.0),
    Family("server reserves all", reserve=1.0, floor_share=0.0),
    Family("server reserves double", reserve=2.0, floor_share=0.0),
    Family("others spend a third", others=0.5),
    Family("topped up when used up", top_up=True),
]
RATE = [
    *(
        Family(f"R {r} {'known' if known else 'unknown'}", rpm=r, known=known, minutes=minutes)
        for r, minutes in ((5, 60.0), (60, 30.0), (300, 12.0), (1000, 6.0))
        for known in (True, False)
    ),
    Family("R 60, refused ones count", rpm=60, count_refused=True, minutes=30.0),
    Family("R 60, fixed windows", rpm=60, window="fixed", minutes=30.0),
    Family("R 300, no reset header", rpm=300, reset=None),
    Family("R 300, reset in ms", rpm=300, reset="ms"),
    Family("R 300, reset garbage", rpm=300, reset="garbage"),
    Family("C 10 unknown", cap=10),
    Family("C 40 unknown", cap=40),
    Family("C 10, R 300 unknown", cap=10, rpm=300),
]


def show(family: Family, rule: str, results: list[Result]) -> list[str]:
    def mean(name: str) -> float:
        return statistics.fmean(getattr(result, name) for result in results)

    if family.of_rate:
        worst = min(result.rate for result in results)
        figures = [
            f"{mean('rate'):.3f}",
            f"{worst:.3f}",
            f"{mean('refused'):.3f}",
            f"{mean('refused_late'):.3f}",
        ]
        return [family.name, rule, *figures]
    broken = statistics.fmean(result.broken for result in results)
    figures = [f"{mean('own_406'):.2f}", f"{broken:.1%}", f"{mean('stranded'):.2f}", f"{mean('p99'):.1f}"]
    return [family.name, rule, *figures, f"{mean('makespan'):.3f}"]


_OF_MONEY = (
    "family",
    "rule",
    "own 406s",
    "floor broken",
    "stranded, calls",
    "p99, calls",
    "makespan / oracle",
)
_OF_RATE = ("family", "rule", "share of the rate", "worst run", "429s a call", "second half")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seeds", type=int, default=200)
    parser.add_argument("--only", default="", help="families whose name holds this")
    parser.add_argument("--table", choices=("money", "rate", "situations", "limits"), help="one of the four")
    parser.add_argument("--quick", action="store_true", help="few seeds, ours alone: two minutes")
    parser.add_argument("--ours", action="store_true", help="leave the others out")
    parser.add_argument("--rate-seeds", type=int, default=40, help="seeds of the others in the second table")


def run(options: argparse.Namespace) -> list[Table]:
    tables = []
    if options.quick:
        options.seeds, options.ours = 2, True
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for name, columns, families, rules, others in (
            ("money", _OF_MONEY, MONEY, rivals.OF_MONEY, options.seeds),
            ("rate", _OF_RATE, RATE, rivals.OF_RATE, options.rate_seeds),
        ):
            rows: list[Sequence[str]] = []
            for family in families if options.table in (None, name) else ():
                if options.only not in family.name:
                    continue
                # The other rules stop when the credits are used up, and take no rate.
                alone = options.ours or family.top_up or family.known
                for rule in ("ours", *(() if alone else rules)):
                    count = options.seeds if rule == "ours" else others
                    jobs = [(family, rule, seed) for seed in range(count)]
                    rows.append(show(family, rule, list(pool.map(one, jobs, chunksize=5))))
                    print(" | ".join(rows[-1]), file=sys.stderr, flush=True)
            if rows:
                tables.append(Table(name, columns, rows))
        for name, columns, found in (
            (
                "situations",
                situations.COLUMNS,
                situations.rows(pool, options.seeds, options.only, small=options.quick),
            ),
            (
                "limits",
                limits.COLUMNS,
                limits.rows(pool, min(options.seeds, 10), options.only, small=options.quick),
            ),
        ):
            rows = []
            for row in found if options.table in (None, name) else ():
                rows.append(row)
                print(" | ".join(row), file=sys.stderr, flush=True)
            if rows:
                tables.append(Table(name, columns, rows))
    return tables
