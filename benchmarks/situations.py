"""The guard in situations of many kinds, ledger alone: no client, no loop, one heap of events.

Every run sends calls whose cost and latency are drawn in advance, through the real ledger, against the
books of a service kept here. It is some twenty times faster than the whole client, which `flow`'s other
tables run. Beside ours stands the same ledger with moments from a large sample of the true distribution,
given a call's age: what a rule reaches that knows the distribution, and not the future.
"""

from __future__ import annotations

import bisect
import heapq
import math
import random
import statistics
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import count
from typing import Any

from segmind_async._money.budget import Budget
from segmind_async._money.cost_model import CostModel
from segmind_async._money.ledger import Ledger
from segmind_async._money.lognormal import Moments
from segmind_async._money.price_model import PriceModel
from segmind_async._money.protocol import Hold, ListPrice, Price

MEDIAN = 5 * 10**8
"""Units: 0.05 credits."""
GUESS = 4.45 * 10**8
"""The published mean of the model, as a first guess."""

Draw = Callable[[random.Random, float], float]
"""Relative cost of a call, by a generator and the share of the run that has gone."""


def lognormal(sigma: float) -> Draw:
    return lambda chance, _: chance.lognormvariate(0, sigma)


def _two_kinds(chance: random.Random, _: float) -> float:
    return chance.lognormvariate(0, 0.3) * (30 if chance.random() < 0.1 else 1)


def _pareto(chance: random.Random, _: float) -> float:
    return float(min(chance.paretovariate(1.5), 300))


def _minimum(chance: random.Random, _: float) -> float:
    return max(1.0, chance.lognormvariate(0, 1.0))


def _flat(_share: float) -> float:
    return 1.0


_SPREAD = lognormal(0.8)


@dataclass(frozen=True)
class Situation:
    """One kind of run."""

    name: str
    draw: Draw = _SPREAD
    scale: Callable[[float], float] = _flat
    """Factor on all costs, by the share of the run that has gone."""
    tied: bool = True
    slots: int = 64
    times: float = 20
    """Calls that the money pays, in slots."""
    late: float = 0.15
    cost_header: bool = True
    balance_header: bool = True
    usage: str = ""
    """What tokens say of costs: nothing at all, "explains", or "noise"."""
    reserve: tuple[str, float] | None = None
    names_free: bool = False
    """Whether a refusal names what is free of reservations as the balance, and no need."""
    """What the service reserves: a factor on the call's "cost", or on the "median"."""
    others: str = ""
    """Who else spends: "steady", "bursts", or "twin" for another client of the same kind."""
    failing: float = 0.0
    """Share of calls that end with a 5xx, near the end of the money."""
    lost: float = 0.0
    """Share of calls whose answer is lost, billed or not by even chance."""
    budget: int = 0
    """Cap of one budget, in mean calls, on an account with plenty; 0: no budget, the account's floor."""
    nested: bool = False
    guess: float = 1.0
    """Factor on the first guess."""

    @property
    def calls(self) -> float:
        return self.budget or self.times * self.slots


@dataclass(frozen=True, slots=True)
class Row:
    x: float
    scale: float
    latency: float
    tokens: float


def _drift(to: float) -> Callable[[float], float]:
    return lambda share: to ** min(share, 1.2)


def _jump(to: float, at: float = 0.6) -> Callable[[float], float]:
    return lambda share: to if share > at else 1.0


_S = Situation
SITUATIONS = [
    *(
        _S(
            f"{times} × slots, σ {sigma}, {'tied' if tied else 'not tied'}",
            lognormal(sigma),
            tied=tied,
            times=times,
        )
        for times in (2, 3, 5, 10, 20)
        for sigma in (0.3, 0.8, 1.2)
        for tied in (True, False)
    ),
    _S("fixed price", lognormal(0.0)),
    _S("200 slots, 2 ×", slots=200, times=2),
    _S("200 slots, 5 ×", slots=200, times=5),
    _S("200 slots, 5 ×, σ 1.2", lognormal(1.2), slots=200, times=5),
    _S("1000 slots, 3 ×", slots=1000, times=3),
    _S("1 slot, dear calls", lognormal(1.2), slots=1, times=30),
    _S("8 slots, dear calls", lognormal(1.2), slots=8, times=4),
    _S("8 slots, dear calls, 20 ×", lognormal(1.2), slots=8, times=20),
    _S("two kinds, 10 % × 30", _two_kinds),
    _S("two kinds, not tied", _two_kinds, tied=False),
    _S("two kinds, 5 ×", _two_kinds, times=5),
    _S("two kinds, no x-cost", _two_kinds, cost_header=False),
    _S("Pareto 1.5", _pareto),
    _S("Pareto 1.5, not tied", _pareto, tied=False),
    _S("minimum charge", _minimum),
    _S("drift to × 4", lognormal(0.5), _drift(4)),
    _S("drift to × 0.25", lognormal(0.5), _drift(0.25)),
    _S("jump to × 4", lognormal(0.5), _jump(4)),
    _S("jump to × 3 late", lognormal(0.5), _jump(3, 0.9)),
    _S("jump to × 0.25", lognormal(0.5), _jump(0.25)),
    _S("sorted by cost", lognormal(0.1), lambda share: 10 ** (share - 0.5)),
    _S("no x-cost, tokens explain", cost_header=False, usage="explains"),
    _S("no x-cost, tokens do not", cost_header=False, usage="noise"),
    _S("no x-cost, no tokens", cost_header=False),
    _S("no x-cost, no tokens, 5 ×", cost_header=False, times=5),
    _S("no x-cost, no balance, tokens", cost_header=False, usage="explains", balance_header=False),
    _S("no balance header", balance_header=False),
    _S("readings 2 s late", late=2.0),
    _S("others, steady", others="steady"),
    _S("others, bursts", others="bursts"),
    _S("others, bursts, no x-cost", others="bursts", cost_header=False),
    _S("two clients", others="twin"),
    _S("reserves 4 × cost", reserve=("cost", 4.0)),
    _S("reserves 4 × median", reserve=("median", 4.0)),
    _S("reserves 4 × cost, free named", reserve=("cost", 4.0), names_free=True),
    _S("reserves 4 × median, free named", reserve=("median", 4.0), names_free=True),
    _S("reserves 2 × cost", reserve=("cost", 2.0)),
    _S("reserves 4 × cost, 200 slots", reserve=("cost", 4.0), slots=200, times=10),
    _S("reserves 4 × median, 200 slots", reserve=("median", 4.0), slots=200, times=10),
    _S("5xx storm", failing=0.5),
    _S("5 % lost", lost=0.05),
    _S("budget of 100", budget=100, slots=200),
    _S("budget of 100, σ 1.2", lognormal(1.2), budget=100, slots=200),
    _S("budget of 100, not tied", budget=100, slots=200, tied=False),
    _S("budget of 100, nested", budget=100, slots=200, nested=True),
    _S("budget of 100, guess ÷ 10", budget=100, slots=200, guess=0.1),
    _S("budget of 100, guess × 50", budget=100, slots=200, guess=50),
    _S("budget of 100, 5 % lost", budget=100, slots=200, lost=0.05),
    _S("budget of 100, no x-cost", budget=100, slots=200, cost_header=False),
    _S("budget of 100, no x-cost, tokens", budget=100, slots=200, cost_header=False, usage="explains"),
    _S("budget of 100, two kinds", _two_kinds, budget=100, slots=200),
    _S("budget of 3", budget=3, slots=200),
]  # fmt: skip


def rows_of(situation: Situation, seed: int) -> Iterator[Row]:
    chance = random.Random(f"{situation.name}/{seed}")
    for index in count():
        yield _row(situation, chance, index / situation.calls)


def _row(situation: Situation, chance: random.Random, share: float) -> Row:
    scale = situation.scale(share)
    x = scale * situation.draw(chance, share)
    pull = x if situation.tied else situation.scale(share) * situation.draw(chance, share)
    return Row(x, scale, 0.5 + 1.5 * pull**0.7, x if situation.usage == "explains" else 1.0)


class Knowing(CostModel):
    """Moments from a large sample of the true distribution, given a call's age."""

    def __init__(self, situation: Situation) -> None:
        super().__init__(int(GUESS))
        self.situation = situation

    known = True
    guessed = False

    def uncertainty(self, predicted: float | None = None) -> float:
        return 0.0

    def relative_variance(self) -> float:
        fresh = self.moments(0.0, None)
        return fresh.variance / fresh.mean**2

    def fitted(self, now: float) -> None:
        """Know already."""

    def typical(self) -> int:
        return int(self.moments(0.0, None).mean)

    def latency(self) -> float:
        latencies = _truth(self.situation.name, 0)[0]
        return latencies[len(latencies) // 2]

    def unseen(self, calls: int, outlasting: int = 0) -> float:
        return 0.0

    def summand_bound(self, predicted: float | None) -> int:
        return math.ceil(1.01 * _truth(self.situation.name, self._bucket(predicted))[2])

    def longest(self) -> float:
        latencies = _truth(self.situation.name, 0)[0]
        return latencies[int(0.95 * len(latencies))]

    def finished(self, cost: int, latency: float, predicted: float | None = None) -> None:
        """Learn nothing."""

    def quantile(self, z: float, predicted: float | None) -> float:
        return float(_truth(self.situation.name, self._bucket(predicted))[2])

    def moments(self, age: float, predicted: float | None) -> Moments:
        latencies, suffix, _ = _truth(self.situation.name, self._bucket(predicted))
        at = min(bisect.bisect_right(latencies, age), len(latencies) - 50)
        n = len(latencies) - at
        a, b, c = suffix[at]
        mean, raw2, raw3 = a / n, b / n, c / n
        return Moments(mean, max(0.0, raw2 - mean**2), max(0.0, raw3 - 3 * mean * raw2 + 2 * mean**3))

    def _bucket(self, predicted: float | None) -> int:
        return 0 if not predicted else round(8 * math.log(predicted))


@lru_cache(maxsize=512)
def _truth(name: str, bucket: int) -> tuple[list[float], list[tuple[float, float, float]], float]:
    situation = next(one for one in SITUATIONS if one.name == name)
    chance, scale = random.Random(f"truth/{name}"), math.exp(bucket / 8)
    pairs = []
    for _ in range(40_000):
        x = scale * situation.draw(chance, 0.0)
        pull = x if situation.tied else scale * situation.draw(chance, 0.0)
        pairs.append((0.5 + 1.5 * pull**0.7, x * MEDIAN))
    pairs.sort()
    suffix, a, b, c = [], 0.0, 0.0, 0.0
    for _, cost in reversed(pairs):
        a, b, c = a + cost, b + cost**2, c + cost**3
        suffix.append((a, b, c))
    suffix.reverse()
    n = len(pairs)
    return [at for at, _ in pairs], suffix, sorted(cost for _, cost in pairs)[int(0.9995 * n)]


@dataclass
class Result:
    own_406: int = 0
    over: float = 0.0
    """Mean calls spent below the floor or above the cap."""
    stranded: float = 0.0
    makespan: float = 0.0
    """Over the oracle's."""
    error: bool = False


@dataclass(order=True)
class _Event:
    at: float
    number: int
    what: Callable[[], None] = field(compare=False)


class Run:
    """One account on the service, and the clients that spend from it."""

    def __init__(self, situation: Situation, seed: int, *, knowing: bool) -> None:
        self.situation, self.seed, self.now = situation, seed, 0.0
        self.events: list[_Event] = []
        self.numbers = count()
        self.chance = random.Random(seed)
        source = rows_of(situation, seed)
        self.money = self._money(source, int(situation.calls))
        shared = 2 if situation.others == "twin" else 1.5 if situation.others else 1
        self.spendable = int(self.money * shared)
        self.floor = 0 if situation.reserve else int(0.25 * self.spendable)
        self.balance = self.spendable + self.floor
        if situation.budget:
            self.balance, self.floor = 10**6 * self.spendable, 0
        self.mean = self.money / int(situation.calls)
        self.reserved = 0.0
        self.refused = 0
        self.dearest = 0
        self.last_end = 0.0
        self.spent_below = 0.0
        twins = 2 if situation.others == "twin" else 1
        self.clients = [Client(self, rows_of(situation, seed + 1000 * n), knowing) for n in range(twins)]

    def _money(self, source: Iterator[Row], calls: int) -> float:
        return sum(next(source).x for _ in range(calls)) * MEDIAN

    def after(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self.events, _Event(self.now + seconds, next(self.numbers), what))

    def run(self) -> Result:
        for client in self.clients:
            client.ledger.observe(self.balance, 0.0, 0.0)
            client.pump()
        if self.situation.others in ("steady", "bursts"):
            self._others_spend(int(self.spendable / 3))
        while self.events and not all(client.stopped and not client.out for client in self.clients):
            event = heapq.heappop(self.events)
            self.now = event.at
            event.what()
        stuck = not all(client.stopped for client in self.clients)
        left = (self.balance - self.floor) / self.mean
        if self.situation.budget:
            left = (self.spendable - sum(client.paid for client in self.clients)) / self.mean
            # A cap may be passed by what one call was dearer than expected.
            left = left if left > 0 else min(0.0, left + self.dearest / self.mean - 1)
        return Result(self.refused, max(0.0, -left), max(0.0, left), self.last_end / self.oracle(), stuck)

    def _others_spend(self, total: int) -> None:
        burst = self.situation.others == "bursts"
        # Bursts of some 20 calls within a second, every 8 s; else 4 calls' worth a quarter of a second.
        each = 20 * self.mean if burst else self.mean * self.situation.slots / 12

        def wait() -> float:
            return self.chance.expovariate(1 / 8) if burst else 0.25

        spent = 0.0

        def spend() -> None:
            nonlocal spent
            amount = int(min(each, total - spent))
            spent += amount
            self.balance -= amount
            if spent < total and not all(client.stopped for client in self.clients):
                self.after(wait(), spend)

        self.after(wait(), spend)

    def oracle(self) -> float:
        now, spend = 0.0, float(self.spendable)
        running: list[float] = []
        if self.situation.others == "twin":
            spend /= 2
        elif self.situation.others:
            spend *= 2 / 3
        for row in rows_of(self.situation, self.seed):
            spend -= row.x * MEDIAN
            if spend < 0:
                break
            if len(running) == self.situation.slots:
                now = heapq.heappop(running)
            heapq.heappush(running, now + row.latency + 0.045 + self.situation.late)
        return max(running, default=1.0)


class Client:
    def __init__(self, run: Run, rows: Iterator[Row], knowing: bool) -> None:
        situation = run.situation
        self.run, self.rows, self.knowing = run, rows, knowing
        self.ledger = Ledger(run.floor)
        guess = int(GUESS * situation.guess)
        self.model: CostModel = Knowing(situation) if knowing else CostModel(guess)
        self.prices = PriceModel()
        self.scope: Budget = self.ledger.root
        if situation.budget:
            outer = Budget(self.ledger.root, run.spendable)
            self.scope = Budget(outer, run.spendable) if situation.nested else outer
        self.out = 0
        self.paid = 0
        self.stopped = self.asking = False
        self.read_once = False
        self.probes = 0
        self.again: list[Row] = []

    def pump(self) -> None:
        if getattr(self.ledger, "blind", False) and not self.asking:
            self._read(0.0)
        while not self.stopped and not self.asking and self.out < self.run.situation.slots:
            row = self.again[-1] if self.again else next(self.rows)
            predicted = row.scale if self.knowing else None
            got = self.ledger.reserve(self.scope, self.model, predicted, self.run.now)
            if isinstance(got, Hold):
                if self.again:
                    self.again.pop()
                self.read_once = False
                self.send(got, row)
                continue
            if not self.again:
                self.again.append(row)
            if got.final:
                self._final(got)
            return

    def _final(self, shortfall: Any) -> None:
        if shortfall.budget is not None or self.read_once:
            self.stopped = True
            return
        # As a call does: wait for doubts, read the balance, ask again.
        settles_at = self.ledger.doubts_settle_at
        self.read_once = True
        self._read(0.0 if settles_at is None else max(0.0, settles_at - self.run.now))

    def _read(self, wait: float) -> None:
        self.asking = True

        def read() -> None:
            sent_at = self.run.now
            self.run.after(0.07, lambda: answer(sent_at, self.run.balance))

        def answer(sent_at: float, balance: int) -> None:
            self.asking = False
            self.ledger.observe(balance, sent_at, self.run.now)
            self.pump()

        self.run.after(wait, read)

    def send(self, hold: Hold, row: Row) -> None:
        self.out += 1
        self.run.after(self.run.chance.uniform(0.01, 0.06), lambda: self.arrive(hold, row))

    def arrive(self, hold: Hold, row: Row) -> None:
        run, situation = self.run, self.run.situation
        cost = int(row.x * MEDIAN)
        estimate = 0.0
        if situation.reserve:
            kind, factor = situation.reserve
            estimate = factor * (cost if kind == "cost" else MEDIAN * row.scale)
            if run.balance - run.reserved < estimate:
                run.refused += 1
                named = run.balance - int(run.reserved) if situation.names_free else run.balance
                needed = None if situation.names_free else math.ceil(estimate)
                run.after(run.chance.uniform(0.01, 0.06), lambda: self.refuse(hold, row, named, needed))
                return
        run.reserved += estimate
        near_end = (run.balance - run.floor) < 0.2 * run.spendable or situation.budget > 0
        fate = run.chance.random()
        fails = near_end and fate < situation.failing
        lost = not fails and fate < situation.lost
        billed = not fails and not (lost and run.chance.random() < 0.5)
        latency = row.latency * (run.chance.random() if fails else 1)

        def finish() -> None:
            run.reserved -= estimate
            run.last_end = run.now
            if billed:
                run.balance -= cost
                self.paid += cost
                run.dearest = max(run.dearest, cost)
            balance = run.balance
            late = run.chance.expovariate(1 / situation.late)
            if fails:
                run.after(late, lambda: self.fail(hold, row))
            elif lost:
                run.after(late, lambda: self.lose(hold))
            else:
                run.after(late, lambda: self.answer(hold, row, cost, balance))

        run.after(latency, finish)

    def refuse(self, hold: Hold, row: Row, balance: int, needed: int | None) -> None:
        self.out -= 1
        self.ledger.refuse(hold, balance, needed, self.run.now)
        self.again.append(row)
        if self.ledger.in_flight == 0:
            self.probes += 1
            if self.probes >= 2:
                # The row fails, and the fan-out stops.
                self.stopped = True
                return
        self.pump()

    def fail(self, hold: Hold, row: Row) -> None:
        self.out -= 1
        self.ledger.release(hold)
        self.again.append(row)
        self.pump()

    def lose(self, hold: Hold) -> None:
        self.out -= 1
        self.ledger.doubt(hold, self.run.now)
        self.pump()

    def answer(self, hold: Hold, row: Row, cost: int, balance: int) -> None:
        self.out -= 1
        self.probes = 0
        situation = self.run.situation
        if situation.cost_header:
            price = Price(cost)
        elif situation.usage:
            price = Price(None, ListPrice(self.prices, 0.0, row.tokens * 0.3 * MEDIAN))
        else:
            price = Price()
        self.ledger.settle(hold, price, balance if situation.balance_header else None, self.run.now)
        self.pump()


def one(job: tuple[int, bool, int]) -> Result:
    """Run one situation, by its number: what it draws from cannot be sent to another process."""
    index, knowing, seed = job
    return Run(SITUATIONS[index], seed, knowing=knowing).run()


COLUMNS = (
    "situation",
    "rule",
    "broken",
    "by, median/most",
    "stranded, calls",
    "makespan / oracle",
    "own 406s",
)


def rows(pool: Executor, seeds: int, only: str, *, small: bool) -> Iterator[list[str]]:
    """Run every situation with our rule and with one that knows the true distribution."""
    for index, situation in enumerate(SITUATIONS):
        if only not in situation.name or (small and situation.slots >= 1000):
            continue
        for knowing in (False, True):
            jobs = [(index, knowing, seed) for seed in range(seeds)]
            found = list(pool.map(one, jobs, chunksize=2))
            yield [situation.name, "knows the distribution" if knowing else "ours", *show(found)]


def show(results: list[Result]) -> list[str]:
    over = [result.over for result in results if result.over > 0.0005]
    return [
        f"{len(over) / len(results):.1%}",
        f"{statistics.median(over):.2f}/{max(over):.1f}" if over else "–",
        f"{statistics.fmean(result.stranded for result in results):.2f}",
        f"{statistics.fmean(result.makespan for result in results):.2f}",
        f"{statistics.fmean(result.own_406 for result in results):.1f}",
    ]
