"""What a client adds to the server's own latency, and how near it comes to the rate that this allows.

As many calls as fit are always in flight, so the rate that one can reach at best is their number over the
server's latency. At 2000 the server takes its time, since no client in Python makes 10 000 calls a second.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict

from . import server
from .tables import Table, middle
from .worker import Sample, Worker

SITUATIONS = ((64, 0.2), (512, 0.2), (2000, 1.0))
"""In flight, and the server's own latency in seconds."""

SECONDS = 4.0


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=5)


def run(options: argparse.Namespace) -> list[Table]:
    rows = []
    for in_flight, latency in SITUATIONS:
        with server.running(latency) as url:
            workers = [
                Worker(name, loop)
                for loop in ("asyncio", "uvloop")
                for name in ("bare aiohttp", "chat", "fan_out")
            ]
            taken: dict[tuple[str, str], list[Sample]] = defaultdict(list)
            for number in range(options.rounds):
                for worker in workers:
                    calls = int(in_flight / latency * SECONDS)
                    taken[worker.client, worker.loop].append(worker.ask(url, in_flight, calls, timed=True))
                print(f"{in_flight} in flight, round {number + 1} of {options.rounds}", file=sys.stderr)
            for worker in workers:
                worker.close()
        for (client, loop), each in taken.items():
            bare = taken["bare aiohttp", loop]
            ratios = [
                (one.p99 - latency) / (other.p99 - latency) for one, other in zip(each, bare, strict=True)
            ]
            rows.append(
                [
                    str(in_flight),
                    f"{latency:g} s",
                    client,
                    loop,
                    f"{middle([one.p50 - latency for one in each]) * 1e3:.1f}",
                    f"{middle([one.p99 - latency for one in each]) * 1e3:.1f}",
                    f"{middle(ratios):.2f}",
                    f"{middle([one.rate * latency / in_flight for one in each]):.1%}",
                ]
            )
    columns = (
        "in flight", "the server's own", "client", "loop", "added p50, ms", "added p99, ms",
        "p99 over bare aiohttp's", "share of the ideal rate",
    )  # fmt: skip
    return [Table("latency", columns, rows)]
