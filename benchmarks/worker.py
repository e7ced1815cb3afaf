"""One client in a process of its own, which measures itself: asked by lines on stdin, answers as JSON.

    python -m benchmarks.worker CLIENT LOOP

The processes of all clients live side by side and take turns, so that what else the machine does falls
on all of them.
"""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

from . import clients, peers
from .tables import HERE

WARM_UP = 3
"""Calls for each in flight before the clock starts: they open the connections, and teach the admission."""


@dataclass(frozen=True)
class Sample:
    """What some calls took."""

    cpu: float
    """User and system microseconds of the client's process, a call."""
    rate: float
    """Calls a second."""
    p50: float = 0.0
    """Seconds a call."""
    p99: float = 0.0
    collector: float = 0.0
    """Microseconds of `cpu` that Python's garbage collector took."""


class _Clock:
    def __init__(self) -> None:
        self._collector, self._collecting_since = 0.0, 0.0
        gc.callbacks[:] = [self._collects]
        self._cpu, self._began = time.process_time(), time.perf_counter()

    def sample(self, calls: int, took: list[float]) -> Sample:
        cpu, seconds = time.process_time() - self._cpu, time.perf_counter() - self._began
        points = statistics.quantiles(took, n=100) if len(took) > 1 else [0.0] * 99
        return Sample(
            cpu / calls * 1e6, calls / seconds, points[49], points[98], self._collector / calls * 1e6
        )

    def _collects(self, phase: str, _: object) -> None:
        if phase == "start":
            self._collecting_since = time.process_time()
        else:
            self._collector += time.process_time() - self._collecting_since


async def by_tasks(way: clients.Way, url: str, in_flight: int, calls: int, timed: bool) -> Sample:
    took: list[float] = []
    async with way(url, in_flight) as call:

        async def work(numbers: range) -> None:
            rows = iter(numbers)

            async def worker() -> None:
                for _ in rows:
                    began = time.perf_counter() if timed else 0.0
                    await call()
                    if timed:
                        took.append(time.perf_counter() - began)

            async with asyncio.TaskGroup() as group:
                for _ in range(in_flight):
                    group.create_task(worker())

        await work(range(WARM_UP * in_flight))
        took.clear()
        clock = _Clock()
        await work(range(calls))
        return clock.sample(calls, took)


async def by_fan_out(url: str, in_flight: int, calls: int) -> Sample:
    warm, clock = WARM_UP * in_flight, _Clock()
    took: list[float] = []
    async for seconds in clients.fan_out(url, in_flight, warm + calls):
        took.append(seconds)
        if len(took) == warm:
            clock = _Clock()
    return clock.sample(calls, took[warm:])


def by_threads(call: Callable[[], object], in_flight: int, calls: int) -> Sample:
    with ThreadPoolExecutor(in_flight) as pool:
        list(pool.map(lambda _: call(), range(WARM_UP * in_flight)))
        clock = _Clock()
        list(pool.map(lambda _: call(), range(calls)))
        return clock.sample(calls, [])


def measure(client: str, loop: str, url: str, in_flight: int, calls: int, timed: bool) -> Sample:
    if client == peers.THREADS:
        return by_threads(peers.segmind(url), in_flight, calls)
    factory = None
    if loop == "uvloop":
        import uvloop  # noqa: PLC0415  # an extra

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        if client == "fan_out":
            return runner.run(by_fan_out(url, in_flight, calls))
        way = (clients.WAYS | peers.WAYS)[client]
        return runner.run(by_tasks(way, url, in_flight, calls, timed))


class Worker:
    """A client's process, seen from outside."""

    def __init__(self, client: str, loop: str = "asyncio") -> None:
        theirs = client in peers.WAYS or client == peers.THREADS
        self._process = subprocess.Popen(
            [peers.python() if theirs else sys.executable, "-m", "benchmarks.worker", client, loop],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=HERE.parent,
        )
        self.client, self.loop = client, loop
        self.versions: dict[str, str] = self._read()

    def ask(self, url: str, in_flight: int, calls: int, *, timed: bool = False) -> Sample:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([url, in_flight, calls, timed]) + "\n")
        self._process.stdin.flush()
        return Sample(**self._read())

    def close(self) -> None:
        self._process.communicate("")

    def _read(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process of {self.client} has ended")
        return json.loads(line)


def main() -> None:
    client, loop = sys.argv[1:]
    told = ("aiohttp", "httpx", "openai", "segmind", "segmind-async", "uvloop")
    installed = {dist.metadata["Name"]: dist.version for dist in metadata.distributions()}
    print(json.dumps({name: installed[name] for name in told if name in installed}), flush=True)
    for line in sys.stdin:
        print(json.dumps(asdict(measure(client, loop, *json.loads(line)))), flush=True)


if __name__ == "__main__":
    main()
