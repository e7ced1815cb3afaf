"""Services with limits of every kind, and how much of what they allow is used by a client that was told
nothing.

The real client in virtual time, always with more rows to send. The yardstick knows the limits: it sends just
as many as they allow, from the first second on and from the instant of each change.
"""

from __future__ import annotations

import math
import random
import statistics
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

import anyio

from segmind_async import ChatRequest, Limits, SegmindClient, Timeouts
from segmind_async.transport import WireRequest, WireResponse

from . import virtual

_EPOCH = 1_793_491_200.0
_ANSWER = (
    b'{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}],'
    b'"usage":{"prompt_tokens":10,"completion_tokens":10}}'
)

RESET = "reset"
"""The wait that is told: until the window has room."""


@dataclass(frozen=True)
class Situation:
    """A service, and how it is used."""

    name: str
    windows: Sequence[tuple[int, float]] = ()
    """Requests, or tokens, within so many seconds."""
    fixed: bool = False
    """Whether windows begin with the clock; else they slide."""
    at_once: int | None = None
    noise: float = 0.0
    """Share of requests that are refused by chance."""
    told: float | str | None = RESET
    """The wait that comes with a refusal: seconds, `RESET`, or none."""
    changes: Sequence[tuple[float, dict[str, Any]]] = ()
    taken: int = 0
    """Requests that others have made just before the first one."""
    first_refused: bool = False
    counts_refused: bool = False
    tokens: bool = False
    """Whether windows count tokens: a request has 1 in the mean, and they spread by 0.8."""
    idle: Sequence[tuple[float, float]] = ()
    refused_after: float = 0.0
    spread: float = 0.05
    """Seconds by which the delays on the way differ."""
    clients: int = 1
    slots: int = 64
    latency: float = 2.0
    minutes: float = 10.0


class Service:
    """A transport in process, with delays on both ways."""

    def __init__(self, situation: Situation, seed: int) -> None:
        self.now_is = situation
        self.chance = random.Random(f"{situation.name}/{seed}")
        self.changes = list(situation.changes)
        self.counted: list[deque[tuple[float, float]]] = [
            deque([(-0.1, 1.0)] * situation.taken) for _ in range(3)
        ]
        self.in_flight = 0
        self.first = situation.first_refused
        self.done: list[float] = []
        self.refused: list[float] = []

    async def send(self, request: WireRequest, left: float) -> WireResponse:
        s, now = self.now_is, anyio.current_time
        await anyio.sleep(self.chance.uniform(0.01, 0.01 + s.spread))
        if request.body is None:
            return WireResponse(200, {}, b'{"credits": 1000000, "free-credits": 0}')
        refused, wait = self.refusal(now())
        if refused:
            self.refused.append(now())
            await anyio.sleep(self.chance.uniform(0.01, 0.01 + s.spread) + s.refused_after)
            return WireResponse(429, self.headers(wait), b'{"error":"Rate limit exceeded"}')
        self.in_flight += 1
        await anyio.sleep(s.latency * self.chance.lognormvariate(0, 0.6))
        self.in_flight -= 1
        self.done.append(now())
        await anyio.sleep(self.chance.expovariate(10))
        return WireResponse(200, {"x-cost": "0.001", "x-remaining-credits": "1000000"}, _ANSWER)

    def headers(self, wait: float | None) -> dict[str, str]:
        if wait is None:
            return {}
        if self.now_is.told != RESET:
            return {"retry-after": f"{wait:g}"}
        at = time.gmtime(math.ceil(_EPOCH + anyio.current_time() + wait))
        return {"x-rate-limit-reset-at-utc": time.strftime("%Y-%m-%dT%H:%M:%SZ", at)}

    def refusal(self, now: float) -> tuple[bool, float | None]:
        """Return whether a request is refused, and the wait that is told."""
        while self.changes and self.changes[0][0] <= now:
            self.now_is = replace(self.now_is, **self.changes.pop(0)[1])
        s = self.now_is
        told = s.told if isinstance(s.told, float) else None
        if self.first:
            self.first = False
            return True, told
        if self.chance.random() < s.noise or (s.at_once is not None and self.in_flight >= s.at_once):
            return True, told
        weight = self.chance.lognormvariate(-0.32, 0.8) if s.tokens else 1.0
        waits = []
        for counted, (most, span) in zip(self.counted, s.windows, strict=False):
            begins = now - now % span if s.fixed else now - span
            while counted and counted[0][0] <= begins:
                counted.popleft()
            if sum(one for _, one in counted) + weight > most:
                waits.append((begins + span - now) if s.fixed or not counted else counted[0][0] + span - now)
        if not waits or s.counts_refused:
            for counted in self.counted:
                counted.append((now, weight))
        if waits:
            return True, max(waits) if s.told == RESET else told
        return False, None

    async def aclose(self) -> None:
        pass


async def _rows(idle: Sequence[tuple[float, float]]) -> AsyncIterator[ChatRequest]:
    number = 0
    while True:
        for begins, ends in idle:
            if begins <= anyio.current_time() < ends:
                await anyio.sleep_until(ends)
        number += 1
        yield ChatRequest(str(number))


async def _client(service: Service, situation: Situation) -> None:
    client = SegmindClient(
        "key",
        model="gpt-5.4-mini",
        limits=Limits(situation.slots),
        timeouts=Timeouts(total=None),
        transport=service,
    )
    object.__setattr__(client._service, "wall_clock", lambda: _EPOCH + anyio.current_time())
    async with client, client.fan_out(_rows(situation.idle)) as outcomes:
        async for _ in outcomes:
            pass


async def _main(service: Service, situation: Situation) -> None:
    with anyio.move_on_after(situation.minutes * 60):
        async with anyio.create_task_group() as clients:
            for _ in range(situation.clients):
                clients.start_soon(_client, service, situation)


def _spans(situation: Situation) -> Iterator[tuple[float, float, Situation]]:
    """Yield the times between changes, and the service during each."""
    begins, now = 0.0, situation
    for at, change in situation.changes:
        yield begins, at, now
        begins, now = at, replace(now, **change)
    yield begins, situation.minutes * 60, now


def possible(situation: Situation, since: float, until: float) -> float:
    """Return how many answers the service allows from *since* to *until*, seconds."""
    mean, total = situation.latency * math.exp(0.6**2 / 2) + 0.135, 0.0
    for begins, ends, now in _spans(situation):
        slots = situation.slots * situation.clients
        rate = min([most / span for most, span in now.windows] + [min(now.at_once or slots, slots) / mean])
        lasts = min(ends, until) - max(begins, since)
        asleep = sum(max(0.0, min(b, until, ends) - max(a, since, begins)) for a, b in situation.idle)
        total += rate * max(0.0, lasts - asleep)
    return total


def one(job: tuple[Situation, int]) -> tuple[float, float, float, float]:
    """Return the share of the possible, the least two minutes after the start or a change, and 429s a
    call."""
    situation, seed = job
    service, end = Service(situation, seed), situation.minutes * 60
    virtual.run(_main(service, situation))

    def share(since: float, until: float) -> float:
        return sum(since <= at < until for at in service.done) / possible(situation, since, until)

    def refused(since: float) -> float:
        return sum(at >= since for at in service.refused) / max(1, sum(at >= since for at in service.done))

    later = [share(begins + 120, ends) for begins, ends, _ in _spans(situation) if ends - begins > 130]
    return share(0, end), min(later), refused(0), refused(end / 2)


def _limited(**changes: Any) -> dict[str, Any]:
    return {"windows": (), "at_once": None, **changes}


SITUATIONS = [
    *(
        Situation(
            f"{rate} a minute, wait {told}",
            windows=[(rate, 60.0)],
            told=told,
            minutes=30 if rate == 5 else 10,
        )
        for rate in (5, 60, 300, 1000)
        for told in (RESET, None, 2.0)
    ),
    Situation("300 a minute, fixed windows", windows=[(300, 60.0)], fixed=True),
    Situation("60 a minute, refused ones count", windows=[(60, 60.0)], counts_refused=True),
    Situation("60 a minute, answers of 30 s", windows=[(60, 60.0)], latency=30.0),
    Situation("300 a minute, waits of 30 s", windows=[(300, 60.0)], told=30.0),
    Situation("2000 a minute, 1000 slots", windows=[(2000, 60.0)], slots=1000, latency=8.0, minutes=6),
    Situation("20 a second", windows=[(20, 1.0)], told=None),
    Situation("100 in ten seconds", windows=[(100, 10.0)], told=None),
    Situation("30 in ten seconds, fixed windows", windows=[(30, 10.0)], fixed=True),
    Situation("10 a second and 300 a minute", windows=[(10, 1.0), (300, 60.0)]),
    Situation("300 tokens a minute", windows=[(300, 60.0)], tokens=True),
    Situation("300 tokens a minute, no wait", windows=[(300, 60.0)], tokens=True, told=None),
    Situation("60 tokens a minute", windows=[(60, 60.0)], tokens=True),
    *(Situation(f"{most} at once", at_once=most, told=None) for most in (1, 4, 10, 40)),
    *(Situation(f"10 at once, waits of {told:g} s", at_once=10, told=told) for told in (1.0, 5.0, 60.0)),
    Situation("10 at once, answers of 20 s", at_once=10, told=None, latency=20.0),
    Situation("10 at once and 200 a minute", at_once=10, windows=[(200, 60.0)]),
    Situation("100 at once, 512 slots", at_once=100, told=None, slots=512),
    Situation("20 at once, 1000 slots", at_once=20, told=None, slots=1000, minutes=6),
    Situation("10 at once, refused after 2 s", at_once=10, told=None, refused_after=2.0),
    Situation("first request refused", first_refused=True, told=2.0),
    Situation("first request refused, 300 a minute", first_refused=True, windows=[(300, 60.0)], told=2.0),
    Situation("window filled by others", windows=[(300, 60.0)], taken=300),
    Situation("window nearly filled by others", windows=[(300, 60.0)], taken=290, told=None),
    *(Situation(f"{noise:.0%} by chance", noise=noise, told=None) for noise in (0.01, 0.05, 0.15)),
    *(Situation(f"{noise:.0%} by chance, waits of 2 s", noise=noise, told=2.0) for noise in (0.01, 0.05)),
    Situation("2% by chance, 300 a minute", noise=0.02, windows=[(300, 60.0)], told=None),
    Situation("2% by chance, 10 at once", noise=0.02, at_once=10, told=None),
    Situation("10% by chance, 16 at once", noise=0.1, at_once=16, told=None),
    Situation("5% by chance, 8 slots", noise=0.05, slots=8, told=None),
    Situation("10, then 40 at once", at_once=10, told=None, changes=[(300, _limited(at_once=40))]),
    Situation("40, then 10 at once", at_once=40, told=None, changes=[(300, _limited(at_once=10))]),
    Situation("10 at once, then any", at_once=10, told=None, changes=[(300, _limited())]),
    Situation("any, then 5 at once", told=None, changes=[(300, _limited(at_once=5))]),
    Situation(
        "300, then 600 a minute", windows=[(300, 60.0)], changes=[(300, _limited(windows=[(600, 60.0)]))]
    ),
    Situation(
        "300, then 30, then 300 a minute",
        windows=[(300, 60.0)],
        changes=[(300, _limited(windows=[(30, 60.0)])), (720, _limited(windows=[(300, 60.0)]))],
        minutes=20,
    ),
    Situation("60 a minute, then any", windows=[(60, 60.0)], changes=[(300, _limited())]),
    Situation("any, then 60 a minute", changes=[(300, _limited(windows=[(60, 60.0)]))]),
    Situation("120 a minute, with pauses", windows=[(120, 60.0)], idle=[(100, 220), (400, 430)], told=None),
    Situation("20 a second, delays spread by 0.35 s", windows=[(20, 1.0)], told=None, spread=0.35),
    Situation("two clients, 300 a minute", windows=[(300, 60.0)], clients=2),
    Situation("two clients, 20 at once", at_once=20, told=None, clients=2),
    Situation("no limit"),
]

COLUMNS = (
    "service", "share of what it allows", "worst run", "two minutes after the start or a change",
    "429s a call", "second half",
)  # fmt: skip


def rows(pool: Executor, seeds: int, only: str, *, small: bool) -> Iterator[Sequence[str]]:
    """Yield the rows of the table, over *seeds* runs of each situation; *small*: one run of every fourth."""
    if small:
        seeds = 1
    for situation in SITUATIONS[:: 4 if small else 1]:
        if only not in situation.name:
            continue
        got = list(pool.map(one, [(situation, seed) for seed in range(seeds)]))
        share, later, refused, late = (statistics.fmean(each) for each in zip(*got, strict=True))
        worst = min(run[0] for run in got)
        yield situation.name, f"{share:.2f}", f"{worst:.2f}", f"{later:.2f}", f"{refused:.3f}", f"{late:.3f}"
