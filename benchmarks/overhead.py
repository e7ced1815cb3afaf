"""Client CPU per call, beside bare aiohttp, in one run.

    python -m benchmarks.overhead [--uvloop] [--rounds N]

User and system time of this process, over calls to a server on another core. The clients take turns;
the figure is the median of the rounds' ratios to bare aiohttp `post` + `json()`.
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import statistics
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import aiohttp

from segmind_async import ChatRequest, Limits, SegmindClient, __version__

from . import server

MESSAGES = [
    {"role": "system", "content": "Classify the message. " * 12},
    {"role": "user", "content": "I was charged twice for my order last week. " * 8},
]
CALLS = 2000

Run = Callable[[str, int], Coroutine[Any, Any, float]]


async def bare(url: str, in_flight: int) -> float:
    """`session.post` + `json()`, as the aiohttp documentation shows it."""
    rows = iter(range(CALLS))
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers={"x-api-key": "k"}) as session:

        async def work() -> None:
            for _ in rows:
                async with session.post(url + "/gpt-5.4-mini", json={"messages": MESSAGES}) as response:
                    await response.json()

        return await measured(work, in_flight)


async def chat(url: str, in_flight: int) -> float:
    """Ours, `chat` from as many tasks."""
    rows = iter(range(CALLS))
    async with SegmindClient("k", url, limits=Limits(in_flight)) as client:

        async def work() -> None:
            for _ in rows:
                await client.chat(MESSAGES)

        return await measured(work, in_flight)


async def fan_out(url: str, in_flight: int) -> float:
    """Ours, one `fan_out` with everything on."""

    def rows() -> Iterator[ChatRequest]:
        return (ChatRequest(MESSAGES) for _ in range(CALLS))

    async with SegmindClient("k", url, limits=Limits(in_flight)) as client:

        async def work() -> None:
            async with client.fan_out(rows(), floor=0) as outcomes:
                async for _ in outcomes:
                    pass

        return await measured(work, 1)


async def measured(work: Callable[[], Coroutine[Any, Any, None]], tasks: int) -> float:
    """Return the CPU microseconds per call."""
    began = time.process_time()
    async with asyncio.TaskGroup() as group:
        for _ in range(tasks):
            group.create_task(work())
    return (time.process_time() - began) / CALLS * 1e6


CLIENTS: dict[str, Run] = {"bare aiohttp": bare, "chat": chat, "fan_out": fan_out}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--uvloop", action="store_true")
    options = parser.parse_args()
    factory = None
    if options.uvloop:
        import uvloop  # noqa: PLC0415  # an extra

        factory = uvloop.new_event_loop
    print(
        f"segmind_async {__version__}, aiohttp {aiohttp.__version__}, Python {platform.python_version()}, "
        f"{'uvloop' if options.uvloop else 'asyncio'}\n"
    )
    print("| in flight | client | CPU µs a call | over bare aiohttp | spread |\n|---|---|---|---|---|")
    with server.running() as url:
        for in_flight in (64, 512):
            taken: dict[str, list[float]] = {name: [] for name in CLIENTS}
            for _ in range(options.rounds):
                for name, run in CLIENTS.items():
                    with asyncio.Runner(loop_factory=factory) as runner:
                        taken[name].append(runner.run(run(url, in_flight)))
            for name, each in taken.items():
                ratios = [ours / base for ours, base in zip(each, taken["bare aiohttp"], strict=True)]
                spread = statistics.quantiles(ratios, n=4)
                print(
                    f"| {in_flight} | {name} | {statistics.median(each):.0f} "
                    f"| {statistics.median(ratios):.2f} | {spread[0]:.2f}–{spread[2]:.2f} |"
                )


if __name__ == "__main__":
    main()
