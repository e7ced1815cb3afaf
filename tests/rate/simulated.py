"""A service with limits, and calls of a client that always has more to send, around a throttle: no event loop."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from segmind_async._rate.start_tracker import StartTag
from segmind_async._rate.throttle import Throttle


@dataclass
class Service:
    """What the service allows; all of it may be changed while it runs."""

    windows: Sequence[tuple[int, float]] = ()
    """Requests within so many seconds, sliding."""
    in_flight: int | None = None
    noise: float = 0.0
    """Share of requests that are refused without a reason."""
    told: float | None = None
    """The wait that comes with a refusal; None: the true one of a full window."""
    tells: bool = False
    """Whether a refusal names a wait."""
    counts_refused: bool = False
    refuse_first: int = 0


@dataclass
class Run:
    """What came of it."""

    done: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)

    def rate(self, since: float, until: float) -> float:
        """Answers a second."""
        return sum(since <= at < until for at in self.done) / (until - since)

    def refused_per_call(self, since: float = 0.0) -> float:
        return sum(at >= since for at in self.refused) / max(1, sum(at >= since for at in self.done))


@dataclass
class _Simulation:
    throttle: Throttle
    service: Service
    slots: int
    latency: float
    chance: random.Random
    run: Run = field(default_factory=Run)
    now: float = 0.0
    ours: int = 0
    theirs: int = 0
    counted: deque[float] = field(default_factory=deque)
    events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = field(default_factory=list)
    order: Any = field(default_factory=itertools.count)
    wake: float = float("inf")

    def later(self, seconds: float, do: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self.events, (self.now + seconds, next(self.order), do, arguments))

    def transit(self) -> float:
        return self.chance.uniform(0.01, 0.06)

    def send_all(self) -> None:
        while self.ours < min(self.slots, self.throttle.limit):
            at = self.throttle.next_start(self.now, self.ours)
            if at > self.now:
                if at < float("inf") and not self.now < self.wake <= at:
                    self.wake = at
                    self.later(at - self.now, lambda: None)
                return
            tag = self.throttle.start(self.now, self.ours)
            self.run.sent.append(self.now)
            self.ours += 1
            self.later(self.transit(), self.arrive, tag)

    def arrive(self, tag: StartTag) -> None:
        service, told = self.service, self.refusal()
        if told is None or service.counts_refused:
            self.counted.append(self.now)
        if told is not None:
            named = service.told if service.told is not None else told
            self.later(self.transit(), self.refuse, tag, named if service.tells else None)
            return
        self.theirs += 1
        self.later(self.latency * self.chance.lognormvariate(0, 0.5), self.finish, tag)

    def refusal(self) -> float | None:
        """Return None if it is accepted, or after how many seconds it would be."""
        service = self.service
        if service.refuse_first:
            service.refuse_first -= 1
            return 2.0
        if self.chance.random() < service.noise:
            return 1.0
        if service.in_flight is not None and self.theirs >= service.in_flight:
            return 1.0
        while self.counted and self.counted[0] <= self.now - 60:
            self.counted.popleft()
        waits = [
            next(at for at in self.counted if at > self.now - span) + span - self.now
            for most, span in service.windows
            if sum(at > self.now - span for at in self.counted) >= most
        ]
        return max(waits, default=None)

    def finish(self, tag: StartTag) -> None:
        self.theirs -= 1
        self.later(self.transit(), self.answer, tag)

    def answer(self, tag: StartTag) -> None:
        self.ours -= 1
        self.run.done.append(self.now)
        self.throttle.answered(tag, self.now)

    def refuse(self, tag: StartTag, told: float | None) -> None:
        self.ours -= 1
        self.run.refused.append(self.now)
        self.throttle.refused(tag, self.now, told)


def simulate(
    service: Service,
    seconds: float,
    *,
    throttle: Throttle | None = None,
    slots: int = 64,
    latency: float = 2.0,
    seed: int = 0,
    changes: Sequence[tuple[float, dict[str, Any]]] = (),
) -> Run:
    """Keep *slots* calls in flight for *seconds*; *changes* set attributes of the service at instants."""
    one = _Simulation(throttle or Throttle(slots), service, slots, latency, random.Random(seed))
    for at, values in changes:
        one.later(at, vars(service).update, values)
    one.send_all()
    while one.events and one.events[0][0] <= seconds:
        one.now, _, do, arguments = heapq.heappop(one.events)
        do(*arguments)
        one.send_all()
    return one.run
