"""Client CPU per call, beside bare aiohttp and other clients, in one run.

User and system time of the client's process, over calls to a server on another core. The clients take
turns; the figure is the median of the rounds' ratios to bare aiohttp `post` + `json()` on asyncio.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from pydantic_core import to_json

from . import clients, peers, server
from .tables import Table, middle, spread
from .worker import Sample, Worker

CALLS, CALLS_OF_PEERS = 3000, 500
WRK_SECONDS = 2


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[64, 512])
    parser.add_argument("--ours", action="store_true", help="leave the other clients out")
    parser.add_argument(
        "--many", type=int, nargs="*", default=[64, 512, 2000, 8000], help="of the table of growth"
    )


def run(options: argparse.Namespace) -> list[Table]:
    versions: dict[str, str] = {}
    rows = []
    with server.running() as url:
        workers = [
            Worker(name, loop)
            for loop in ("asyncio", "uvloop")
            for name in ("bare aiohttp", "chat", "fan_out")
        ]
        if not options.ours:
            workers += [Worker(name) for name in (*peers.WAYS, peers.THREADS)]
        for worker in workers:
            versions |= worker.versions
        for in_flight in options.in_flight:
            rows += taken_in_turns(workers, url, in_flight, options.rounds, wrk=not options.ours)
        grown = growth([worker for worker in workers if worker.loop == "asyncio"][:3], url, options)
        for worker in workers:
            worker.close()
    columns = ("in flight", "client", "loop", "CPU µs a call", "over bare aiohttp", "spread", "over chat")
    of_growth = ("in flight", "client", "over its own at the first", "over bare aiohttp", "collector's share")
    return [
        Table("overhead", columns, rows, versions=versions),
        Table("growth", of_growth, grown, versions=versions),
    ]


def growth(workers: list[Worker], url: str, options: argparse.Namespace) -> list[list[str]]:
    """Return what a call costs with ever more of them in flight, each connection in use twice or more."""
    rows, first = [], dict[str, float]()
    for in_flight in options.many:
        taken: dict[str, list[Sample]] = defaultdict(list)
        for number in range(options.rounds):
            for worker in workers if number % 2 else reversed(workers):
                calls = max(CALLS, 2 * in_flight)
                taken[worker.client].append(worker.ask(url, in_flight, calls))
            print(f"{in_flight} in flight, round {number + 1} of {options.rounds}", file=sys.stderr)
        for client, samples in sorted(taken.items()):
            each = [sample.cpu for sample in samples]
            ratios = [one / other.cpu for one, other in zip(each, taken["bare aiohttp"], strict=True)]
            share = middle([sample.collector / sample.cpu for sample in samples])
            usual = first.setdefault(client, middle(each))
            rows.append(
                [
                    str(in_flight),
                    client,
                    f"{middle(each) / usual:.2f}",
                    f"{middle(ratios):.2f}",
                    f"{100 * share:.0f} %",
                ]
            )
    return rows


def taken_in_turns(
    workers: list[Worker], url: str, in_flight: int, rounds: int, *, wrk: bool
) -> list[list[str]]:
    taken: dict[tuple[str, str], list[float]] = defaultdict(list)
    for number in range(rounds):
        for worker in workers if number % 2 else reversed(workers):
            few = worker.client in peers.WAYS or worker.client == peers.THREADS
            calls = CALLS_OF_PEERS if few else CALLS
            taken[worker.client, worker.loop].append(worker.ask(url, in_flight, calls).cpu)
        if wrk and shutil.which("wrk"):
            taken["wrk, in C", "–"].append(floor(url, in_flight))
        print(f"{in_flight} in flight, round {number + 1} of {rounds}", file=sys.stderr)
    base, ours = taken["bare aiohttp", "asyncio"], taken["chat", "asyncio"]
    rows = []
    for (client, loop), each in sorted(taken.items(), key=lambda item: middle(item[1])):
        ratios = [one / other for one, other in zip(each, base, strict=True)]
        times = middle([one / other for one, other in zip(each, ours, strict=True)])
        rows.append(
            [
                str(in_flight),
                client,
                loop,
                f"{middle(each):.0f}",
                f"{middle(ratios):.2f}",
                spread(ratios),
                f"{times:.2f}",
            ]
        )
    return rows


def floor(url: str, in_flight: int) -> float:
    """Return the CPU microseconds a call of wrk: what the kernel alone asks for, nearly."""
    body = to_json({"messages": clients.MESSAGES}).decode()
    script = f"wrk.method = 'POST'\nwrk.headers['x-api-key'] = 'k'\nwrk.body = [==[{body}]==]\n"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "post.lua"
        path.write_text(script)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        told = subprocess.check_output(
            ["wrk", "-t1", f"-c{in_flight}", f"-d{WRK_SECONDS}s", "-s", path, f"{url}/{clients.MODEL}"],
            text=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    calls = next(int(text.split()[0]) for text in told.splitlines() if "requests in" in text)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / calls * 1e6
