"""The rules people use today, plainly: each a semaphore's worth of workers over the same transport."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import anyio

from segmind_async.transport import WireRequest, WireResponse

Rule: TypeAlias = Callable[[Any, int, float, float | None], Awaitable[None]]


class Workers:
    """So many workers, each sending row after row; a rule overrides what it cares about."""

    def __init__(self, service: Any, slots: int, floor: float) -> None:
        self.service = service
        self.slots = slots
        self.floor = floor
        self.stopped = False
        self.index = 0
        self.in_flight = 0
        self.balance: float | None = None
        self.costs: deque[float] = deque(maxlen=400)
        self.changed = anyio.Event()

    async def run(self) -> None:
        self.balance = float(self.service.state.account.balance)
        async with anyio.create_task_group() as tasks:
            for _ in range(self.slots):
                tasks.start_soon(self._work)

    async def _work(self) -> None:
        while not self.stopped:
            await self.admitted()
            if self.stopped:
                return
            index, self.index = self.index, self.index + 1
            row = self.service.row(index)
            body = b'{"messages":[{"role":"user","content":"%d %s"}]}' % (index, b"x" * (4 * row.prompt))
            while not self.stopped:
                self.in_flight += 1
                response = await self.service.send(WireRequest("/m", body), 600)
                self.in_flight -= 1
                self.changed.set()
                self.changed = anyio.Event()
                if response.status == 429:
                    await self.refused(response)
                    await self.admitted()
                    continue
                self.took(response)
                break

    async def admitted(self) -> None:
        """Wait until the next call may go."""

    async def refused(self, response: WireResponse) -> None:
        """Take in a 429."""
        await anyio.sleep(1)

    def took(self, response: WireResponse) -> None:
        """Take in any other answer."""
        if response.status == 406:
            self.stopped = True
        balance = response.headers.get("x-remaining-credits")
        cost = response.headers.get("x-cost")
        if balance is not None:
            self.balance = float(balance)
        if cost is not None:
            self.costs.append(float(cost))


class StopUnderFloor(Workers):
    """Stop as soon as a header says less than the floor."""

    def took(self, response: WireResponse) -> None:
        super().took(response)
        if self.balance is not None and self.balance < self.floor:
            self.stopped = True


class Hold(Workers):
    """Hold a figure for each call in flight: the published mean until one is known."""

    def figure(self) -> float:
        raise NotImplementedError

    async def admitted(self) -> None:
        while not self.stopped:
            need = self.figure() if self.costs else 0.0445
            assert self.balance is not None
            room = self.balance - self.floor - self.in_flight * need
            if room >= need:
                return
            if self.in_flight == 0:
                self.stopped = True
                return
            await self.changed.wait()


class HoldMean(Hold):
    def figure(self) -> float:
        return statistics.fmean(self.costs)


class HoldP99(Hold):
    def figure(self) -> float:
        return sorted(self.costs)[int(0.99 * len(self.costs))]


class FixedPause(Workers):
    """Each caller waits 60 s after its own 429."""

    async def refused(self, response: WireResponse) -> None:
        await anyio.sleep(60)


class Aimd(Workers):
    """Halve the calls in flight at a 429, one more after each limit's worth of answers; wait a second."""

    limit = 64.0

    async def admitted(self) -> None:
        while self.in_flight >= int(self.limit) and not self.stopped:
            await self.changed.wait()

    async def refused(self, response: WireResponse) -> None:
        self.limit = max(1.0, self.limit / 2)
        await anyio.sleep(1)

    def took(self, response: WireResponse) -> None:
        super().took(response)
        self.limit = min(64.0, self.limit + 1 / self.limit)


class Doubling(Workers):
    """A pace that doubles every minute without a 429, and is cut to 0.8 by one."""

    def __init__(self, service: Any, slots: int, floor: float) -> None:
        super().__init__(service, slots, floor)
        self.rate = 10.0
        self.next = 0.0
        self.grow_at = 60.0

    async def admitted(self) -> None:
        while (now := anyio.current_time()) < self.next:  # noqa: ASYNC110
            await anyio.sleep(self.next - now)
        if now >= self.grow_at:
            self.rate, self.grow_at = 2 * self.rate, now + 60
        self.next = now + 60 / self.rate

    async def refused(self, response: WireResponse) -> None:
        now = anyio.current_time()
        self.rate = max(1.0, 0.8 * self.rate)
        self.grow_at = now + 60
        await anyio.sleep(1)


def _rule(kind: type[Workers]) -> Rule:
    async def run(service: Any, slots: int, floor: float, _rate: float | None) -> None:
        await kind(service, slots, floor).run()

    return run


OF_MONEY = {
    "semaphore, stop at 406": _rule(Workers),
    "stop under the floor": _rule(StopUnderFloor),
    "hold the mean": _rule(HoldMean),
    "hold the p99": _rule(HoldP99),
}
OF_RATE = {"pause 60 s": _rule(FixedPause), "AIMD": _rule(Aimd), "double, cut 0.8": _rule(Doubling)}
RULES: dict[str, Rule] = {**OF_MONEY, **OF_RATE}
