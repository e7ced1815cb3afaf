"""Many calls for a long time, with every fault of the emulator and cancels at random: `python -m tests.soak`.

At the end nothing may be left: no slot, no hold, no socket, no task, no memory. `SOAK_SECONDS` says how long it
takes, half of it for each transport. It writes the page with what it saw.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import resource
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import anyio

import segmind_async as sa
from segmind_async.emulator import Emulator, faults

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "soak.md"
SLOTS = 512
PAUSE = 0.002
"""Seconds between two starts of a worker's call after an error, so that errors do not crowd out answers."""
GROWTH = 24 * 1024
"""KiB by which the process may grow from a quarter of the time to its end: caches fill until then."""
DOUBTS_SETTLE = 62.0
"""Seconds after which a balance shows of a lost answer whether it was billed."""

STATUSES = (400, 401, 403, 404, 405, 406, 408, 409, 410, 413, 422, 425, 500, 501, 502, 503, 504, 520, 529)


def every_fault() -> list[tuple[float, faults.Fault]]:
    """Return all faults with their shares: a quarter of the calls meet one."""
    heavy = {"over-32-mib", "gzip-bomb", "100000-brackets"}
    rare: list[faults.Fault] = [
        *(faults.status(code) for code in STATUSES),
        faults.proxy_page(502), faults.proxy_page(403), faults.redirect("http://127.0.0.1:1/"),
        faults.Delay(0.5), faults.Silence(30), faults.Reset(), faults.Reset(ran=False), faults.Cut(),
        faults.Cut(0.99), faults.Drip(0.2), faults.NoHttp(), faults.Say(), faults.Wrap(), faults.CutShort(),
        faults.Refuse(), faults.Headers({"x-cost": "1e9"}), faults.Headers({"x-cost": None}),
        faults.Headers({"x-remaining-credits": "NaN"}), faults.Headers({"x-request-id": "x" * 4000}),
        *(answer for name, answer in faults.hostile_answers().items() if name not in heavy),
        *(answer for answer, _ in faults.odd_answers().values()),
    ]  # fmt: skip
    named = faults.hostile_answers()
    seldom: list[faults.Fault] = [named[name] for name in sorted(heavy)]
    seldom.append(faults.status(429, "Too many requests", retry_after="1"))
    return [(0.25 / len(rare), fault) for fault in rare] + [(0.0001, fault) for fault in seldom]


@dataclass
class Seen:
    """What became of the calls over one transport, and what was left of them."""

    transport: str
    seconds: float
    ended: Counter[str] = field(default_factory=Counter)
    most_in_flight: int = 0
    slots: int = 0
    waiting: int = 0
    held: str = ""
    sockets: int = 0
    tasks: int = 0
    growth: int = 0
    """KiB."""

    def check(self) -> None:
        """Raise AssertionError if anything was left."""
        assert self.most_in_flight >= SLOTS * 3 // 4, self
        assert (self.slots, self.waiting, self.sockets, self.tasks) == (0, 0, 0, 0), self
        assert float(self.held) == 0, self
        assert self.growth < GROWTH, self

    def row(self) -> str:
        """Return a row of the table."""
        errors = sum(self.ended.values()) - self.ended["ok"] - self.ended["cancelled"]
        return (
            f"| {self.transport} | {self.seconds:.0f} s | {sum(self.ended.values())} | {self.ended['ok']} | {errors} | "
            f"{self.ended['cancelled']} | {self.most_in_flight} | {self.slots} | {self.held} | {self.sockets} | "
            f"{self.tasks} | {self.growth / 1024:.1f} MB |"
        )


async def soak(transport: Literal["public", "direct"], seconds: float, seed: int) -> Seen:
    """Send for so many seconds, then look at what is left."""
    seen = Seen(transport, seconds)
    gc.collect()
    sockets, tasks, quarter = _sockets(), len(asyncio.all_tasks()), 0
    async with _opened(transport, seed) as client:
        end = anyio.current_time() + seconds
        async with anyio.create_task_group() as workers:
            for number in range(SLOTS):
                workers.start_soon(_work, client, end, random.Random(seed * SLOTS + number), seen)
            workers.start_soon(_watch, client, end, seen)
            await anyio.sleep(seconds / 4)
            quarter = _resident()
        await anyio.sleep(DOUBTS_SETTLE)
        await client.balance()
        left = client.statistics()
        seen.slots, seen.waiting, seen.held = left.in_flight, left.waiting, str(left.held)
    gc.collect()
    await anyio.sleep(0.1)  # transports that were closed end in the next turns of the loop
    seen.sockets, seen.tasks = _sockets() - sockets, len(asyncio.all_tasks()) - tasks
    seen.growth = max(0, _resident() - quarter)
    return seen


@asynccontextmanager
async def _opened(transport: Literal["public", "direct"], seed: int) -> AsyncIterator[sa.SegmindClient]:
    async with Emulator(latency=0.5, balance=10**6, keep_calls=False, seed=seed) as emulator:
        emulator.faults = faults.RandomFaults(*every_fault(), seed=seed)
        async with sa.SegmindClient(
            emulator.key,
            emulator.url,
            limits=sa.Limits(SLOTS),
            timeouts=sa.Timeouts(total=20, attempt=6, idle=3),
            retry=sa.RetryPolicy(retries=1, cap=0.5),
            transport=transport,
        ) as client:
            yield client
            emulator.faults = None


async def _work(client: sa.SegmindClient, end: float, chance: random.Random, seen: Seen) -> None:
    while anyio.current_time() < end:
        within = chance.uniform(0.0, 1.0) if chance.random() < 0.1 else None
        with anyio.move_on_after(within) as scope:
            try:
                answer = await client.chat(f"word {chance.random()}" + " more" * chance.randrange(200))
            except sa.SegmindError as error:
                seen.ended[type(error).__name__] += 1
                await anyio.sleep(PAUSE)
            else:
                seen.ended["ok"] += 1
                assert answer.cost is None or answer.cost >= 0
        seen.ended["cancelled"] += scope.cancelled_caught


async def _watch(client: sa.SegmindClient, end: float, seen: Seen) -> None:
    while anyio.current_time() < end:
        seen.most_in_flight = max(seen.most_in_flight, client.statistics().in_flight)
        await anyio.sleep(0.1)


def _sockets() -> int:
    """Return how many sockets are open, the loop's own included."""
    links = Path("/proc/self/fd")
    return sum(str(link.readlink()).startswith("socket:") for link in links.iterdir() if link.is_symlink())


def _resident() -> int:
    """Return the KiB that the process holds now."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024


HEAD = f"""# Soak

{SLOTS} calls in flight against the emulator, of which a quarter meet a fault: every fault that the emulator knows,
refusals, damaged answers, silence, dripped and cut bodies, resets. A tenth of the calls are cancelled at a random
moment. `make soak` runs it for an hour, `SOAK_SECONDS` says otherwise, and fails if anything is left a minute after
the last call. Growth is that of the whole process, emulator included, from a quarter of the time to the end.

| transport | time | calls | answered | typed errors | cancelled | most in flight | slots left | credits held | sockets left | tasks left | growth |
|---|---|---|---|---|---|---|---|---|---|---|---|
"""


def main() -> None:
    seconds, rows = float(os.environ.get("SOAK_SECONDS", "3600")), list[str]()
    for number, transport in enumerate(("public", "direct")):
        seen = asyncio.run(soak(transport, seconds / 2, number + 1))  # type: ignore[arg-type]  # one of the two
        print(seen, flush=True)
        seen.check()
        rows.append(seen.row())
    PAGE.write_text(HEAD + "\n".join(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
