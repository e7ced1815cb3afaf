"""Steps of the interpreter that a call takes, function by function: what it costs, told without a clock.

A step is one instruction of Python's bytecode; what runs in C (parser, selector, JSON) is not in it. The
counts depend on the versions, and hardly on the machine or its other work: how many answers one turn of the
loop finds makes a few per cent.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from importlib import metadata
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, TypeAlias

from . import clients, server
from .tables import HERE, Table

TRANSPORT = "SEGMIND_TRANSPORT"

WAYS = (
    ("bare aiohttp", "–"),
    ("chat", "direct"),
    ("fan_out", "direct"),
    ("run_job", "direct"),
    ("chat", "public"),
    ("fan_out", "public"),
)
"""Clients, and by which transport ours send."""

Rows: TypeAlias = Callable[[str, int, int], AsyncIterator[float]]
ROWS: dict[str, Rows] = {"fan_out": clients.fan_out, "run_job": clients.run_job}

PACKAGES = ("segmind_async", "aiohttp", "asyncio")

BY_FUNCTION = ("function", "steps a row", "of all")

OURS = str(HERE.parent / "segmind_async") + os.sep


class Steps:
    """Counts the steps of each function from when it begins."""

    def __init__(self) -> None:
        self.found: Counter[CodeType] = Counter()

    def begin(self) -> None:
        sys.settrace(self._called)

    def end(self) -> None:
        sys.settrace(None)

    def _called(self, frame: FrameType, _event: str, _: object) -> Any:
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        return self._stepped

    def _stepped(self, frame: FrameType, event: str, _: object) -> Any:
        if event == "opcode":
            self.found[frame.f_code] += 1
        return self._stepped


async def by_tasks(way: clients.Way, url: str, in_flight: int, calls: int) -> Counter[CodeType]:
    steps = Steps()
    async with way(url, in_flight) as call:

        async def work(count: int) -> None:
            rows = iter(range(count))

            async def worker() -> None:
                for _ in rows:
                    await call()

            async with asyncio.TaskGroup() as group:
                for _ in range(in_flight):
                    group.create_task(worker())

        await work(3 * in_flight)
        steps.begin()
        await work(calls)
        steps.end()
    return steps.found


async def by_rows(way: Rows, url: str, in_flight: int, calls: int) -> Counter[CodeType]:
    steps, ended, warm = Steps(), 0, 3 * in_flight
    # The last rows have no successors: what they take is not that of a row in the middle.
    async for _ in way(url, in_flight, warm + calls + in_flight):
        ended += 1
        if ended == warm:
            steps.begin()
        elif ended == warm + calls:
            steps.end()
    return steps.found


def package_of(code: CodeType) -> str:
    """Return which of `PACKAGES` a function belongs to; empty for another."""
    parts = Path(code.co_filename).parts
    return next((name for name in PACKAGES if name in parts), "")


def name_of(code: CodeType) -> str:
    """Return where a function of this library stands."""
    return f"`{code.co_filename.removeprefix(OURS).removesuffix('.py')}`: `{code.co_qualname}`"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--functions", type=int, default=30, help="named, of those of the library")


def run(options: argparse.Namespace) -> list[Table]:
    found: dict[tuple[str, str], Counter[CodeType]] = {}
    with server.running() as url:
        for client, transport in WAYS:
            os.environ[TRANSPORT] = transport if client != "bare aiohttp" else "public"
            if client in ROWS:
                counted = asyncio.run(by_rows(ROWS[client], url, options.in_flight, options.calls))
            else:
                counted = asyncio.run(by_tasks(clients.WAYS[client], url, options.in_flight, options.calls))
            found[client, transport] = counted
    versions = {"aiohttp": metadata.version("aiohttp")}
    least = found["bare aiohttp", "–"].total()
    rows = []
    for (client, transport), counted in found.items():
        by_package: Counter[str] = Counter()
        for code, steps in counted.items():
            by_package[package_of(code)] += steps
        each = [f"{by_package[name] / options.calls:.0f}" for name in (*PACKAGES, "")]
        total = counted.total()
        rows.append([client, transport, f"{total / options.calls:.0f}", f"{total / least:.2f}", *each])
    columns = (
        "client",
        "transport",
        "steps a call",
        "over bare aiohttp",
        "this library",
        "aiohttp",
        "asyncio",
        "others",
    )
    fan_out, job = found["fan_out", "direct"], found["run_job", "direct"]
    return [
        Table("steps", columns, rows, versions=versions),
        Table("steps by function", BY_FUNCTION, by_function(fan_out, options), versions=versions),
        Table("steps of a job", BY_FUNCTION, by_function(job - fan_out, options), versions=versions),
    ]


def by_function(counted: Counter[CodeType], options: argparse.Namespace) -> list[list[str]]:
    """Return the functions of the library with the most steps, and the sum of the others."""
    own = [(code, steps) for code, steps in counted.most_common() if package_of(code) == "segmind_async"]
    most, total = options.functions, counted.total()
    rows = [
        [name_of(code), f"{steps / options.calls:.0f}", f"{steps / total:.1%}"] for code, steps in own[:most]
    ]
    rest = sum(steps for _, steps in own[most:])
    return [*rows, [f"{len(own[most:])} more", f"{rest / options.calls:.0f}", f"{rest / total:.1%}"]]
