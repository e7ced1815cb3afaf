"""What admission costs per call, against how many calls wait.

    python -m benchmarks.admission

One grant is: a lease ends and is settled with cost and balance, and the next in line is let in. Runs of
different lengths of queue take turns, so that what else the machine does falls on all of them.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections import deque

import anyio
import anyio.lowlevel

from segmind_async._admission import Admission, Lease, Ticket
from segmind_async._core.credits import Account, Price
from segmind_async._core.exposure import CostModel
from segmind_async._core.throttle import Throttle

from . import virtual

COST = 10**7
SLOTS = 64
ROUNDS = 7
GRANTS = 2000


def admission(balance: int = 10**16) -> tuple[Admission, CostModel]:
    """Return an admission that knows its costs and has money for all that is asked of it."""
    account, model = Account(), CostModel(COST)
    account.observe(balance, 0, 0)
    for _ in range(400):
        model.finished(COST, 1.0)
    return Admission(account, Throttle(SLOTS)), model


async def grants(waiting: int, count: int = GRANTS) -> float:
    """Return the microseconds per grant with so many calls in line."""
    door, model = admission()
    scope = door.scope(door.root)
    leases: asyncio.Queue[Lease] = asyncio.Queue()

    async def call() -> None:
        got = await door.acquire(Ticket(scope, model, None))
        assert isinstance(got, Lease)
        leases.put_nowait(got)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(SLOTS + waiting):
            tasks.create_task(call())
        while door.queue.waiting < waiting:
            await anyio.lowlevel.checkpoint()
        reading = 10**16
        # The careful start without any answer is over after a few of them.
        began = time.perf_counter()
        for _ in range(min(count, waiting)):
            lease = await leases.get()
            reading -= COST
            lease.dispatched()
            lease.answered(Price(COST), reading)
        took = time.perf_counter() - began
        while door.account.in_flight:
            lease = await leases.get()
            lease.dispatched()
            lease.answered(Price(COST), None)
    return took / min(count, waiting) * 1e6


async def straight(count: int = GRANTS) -> float:
    """Return the microseconds of a grant that need not wait, with half of the slots in use."""
    door, model = admission()
    scope = door.scope(door.root)
    held: deque[Lease] = deque()
    reading = 10**16

    async def one() -> None:
        got = await door.acquire(Ticket(scope, model, None))
        assert isinstance(got, Lease)
        got.dispatched()
        held.append(got)

    for _ in range(SLOTS // 2):
        await anyio.sleep(0.01)
        await one()
    held.popleft().answered(Price(COST), reading)
    began = time.perf_counter()
    for _ in range(count):
        await one()
        reading -= COST
        held.popleft().answered(Price(COST), reading)
    return (time.perf_counter() - began) / count * 1e6


def main() -> None:
    at_once = statistics.median(virtual.run(straight()) for _ in range(ROUNDS))
    print(f"without waiting: {at_once:.1f} µs per grant\n")
    lengths = (10, 100, 1000, 10_000, 100_000)
    measured: dict[int, list[float]] = {length: [] for length in lengths}
    for _ in range(ROUNDS):
        for length in lengths:
            measured[length].append(virtual.run(grants(length)))
    first = statistics.median(measured[lengths[0]])
    print("| calls waiting | µs per grant | over 10 waiting |\n|---|---|---|")
    for length in lengths:
        median = statistics.median(measured[length])
        print(f"| {length} | {median:.1f} | {median / first:.2f} |")


if __name__ == "__main__":
    main()
