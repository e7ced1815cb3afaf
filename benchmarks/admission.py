"""The CPU time of admission per call, by the number of waiting calls.

One grant: a lease ends and is settled with cost and balance, and the next call gets a lease. Runs with queues
of different lengths take turns, so that other load of the machine affects all of them.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import deque

import anyio
import anyio.lowlevel

from segmind_async._money.cost_model import CostModel
from segmind_async._money.ledger import Ledger
from segmind_async._money.protocol import Price
from segmind_async._rate.throttle import Throttle
from segmind_async._sending.accounts.account import Account
from segmind_async._sending.accounts.accounts import Accounts
from segmind_async._sending.admission import Admission, Lease, Ticket

from . import virtual
from .tables import Table, middle, spread

COST = 10**7
SLOTS = 64
GRANTS = 2000


def prepared(balance: int = 10**16) -> tuple[Admission, CostModel]:
    """Return an admission with known costs and enough credits, and its cost model."""
    ledger, model = Ledger(), CostModel(COST)
    ledger.observe(balance, 0, 0)
    for _ in range(400):
        model.finished(COST, 1.0)
    return Admission(Accounts([Account(ledger, Throttle(SLOTS))])), model


async def grants(waiting: int, count: int = GRANTS) -> float:
    """Return the microseconds per grant with so many *waiting* calls."""
    admission, model = prepared()
    scope = admission.scope(admission.root)
    leases: asyncio.Queue[Lease] = asyncio.Queue()

    async def call() -> None:
        got = await admission.acquire(Ticket(scope, model, None))
        assert isinstance(got, Lease)
        leases.put_nowait(got)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(SLOTS + waiting):
            tasks.create_task(call())
        while admission.queue.waiting < waiting:
            await anyio.lowlevel.checkpoint()
        balance = 10**16
        # The first starts are spaced until a few of them are answered.
        began = time.process_time()
        for _ in range(min(count, waiting)):
            lease = await leases.get()
            balance -= COST
            lease.dispatched()
            lease.answered(Price(COST), balance)
        took = time.process_time() - began
        while admission.in_flight:
            lease = await leases.get()
            lease.dispatched()
            lease.answered(Price(COST), None)
    return took / min(count, waiting) * 1e6


async def straight(count: int = GRANTS) -> tuple[float, float]:
    """Return the microseconds to grant a lease to a call that need not wait, and to settle it."""
    admission, model = prepared()
    scope = admission.scope(admission.root)
    held: deque[Lease] = deque()
    balance = 10**16

    async def one() -> None:
        ticket = Ticket(scope, model, None)
        got = admission.acquire_nowait(ticket) or await admission.acquire(ticket)
        assert isinstance(got, Lease)
        got.dispatched()
        held.append(got)

    for _ in range(SLOTS // 2):
        await anyio.sleep(0.01)
        await one()
    held.popleft().answered(Price(COST), balance)
    granting = settling = 0.0
    for _ in range(count):
        began = time.process_time()
        await one()
        granted = time.process_time()
        balance -= COST
        held.popleft().answered(Price(COST), balance)
        granting += granted - began
        settling += time.process_time() - granted
    return granting / count * 1e6, settling / count * 1e6


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=7)


def run(options: argparse.Namespace) -> list[Table]:
    granting, settling = zip(*(virtual.run(straight()) for _ in range(options.rounds)), strict=True)
    lengths = (10, 100, 1000, 10_000, 100_000)
    measured: dict[int, list[float]] = {length: [] for length in lengths}
    for _ in range(options.rounds):
        for length in lengths:
            measured[length].append(virtual.run(grants(length)))
    rows = []
    for length, each in measured.items():
        ratios = [one / first for one, first in zip(each, measured[lengths[0]], strict=True)]
        rows.append([str(length), f"{middle(each):.1f}", f"{middle(ratios):.2f}", spread(ratios)])
    once = f"{middle(granting):.1f} µs for its lease, {middle(settling):.1f} µs to settle it."
    above = f"A call that need not wait: {once}"
    return [Table("admission", ("calls waiting", "µs per grant", "over 10 waiting", "spread"), rows, above)]
