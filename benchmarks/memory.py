"""Memory against the number of rows, and of a call that waits. No network: what is kept, is ours."""

from __future__ import annotations

import argparse
import subprocess
import sys

from .tables import HERE, Table

_ROWS = """
import asyncio, resource, sys
from segmind_async import SegmindClient
from segmind_async.testing import ScriptedTransport

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

async def main():
    async with SegmindClient("k", transport=ScriptedTransport(keep=False)) as client:
        for rows in map(int, sys.argv[1:]):
            async with client.fan_out(f"row {n}" for n in range(rows)) as outcomes:
                async for outcome in outcomes:
                    pass
            print(rows, peak(), flush=True)

asyncio.run(main())
"""

_WAITING = """
import asyncio, sys
from pathlib import Path
from segmind_async import SegmindClient
from segmind_async.testing import ScriptedTransport, answer

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

async def main():
    what, count = sys.argv[1], int(sys.argv[2])
    transport = ScriptedTransport(latency=3600.0)
    async with SegmindClient("k", transport=transport) as client:
        never = asyncio.get_running_loop().create_future()
        async def bare():
            await never
        tasks = [asyncio.ensure_future(bare()) for _ in range(100)]
        await asyncio.sleep(0)
        before = resident()
        for n in range(count):
            tasks.append(asyncio.ensure_future(bare() if what == "task" else client.chat(f"call {n}")))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        print(round((resident() - before) / count))
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

asyncio.run(main())
"""

WAITING = 20_000


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])


def run(options: argparse.Namespace) -> list[Table]:
    told = script(_ROWS, *map(str, options.rows)).split()
    peaks = [int(peak) / 1024 for peak in told[1::2]]
    rows = [
        [f"{count:,}".replace(",", " "), f"{peak:.1f}", f"{peak - peaks[0]:+.1f}"]
        for count, peak in zip(options.rows, peaks, strict=True)
    ]
    task, call = (int(script(_WAITING, what, str(WAITING))) for what in ("task", "call"))
    waiting = [
        ["a task alone", str(task)],
        ["a call of `chat` that waits for a slot, its task included", str(call)],
    ]
    return [
        Table("memory of rows", ("rows of one fan-out", "highest RSS, MB", "over the first, MB"), rows),
        Table("memory of waiting", ("what waits", "bytes each"), waiting),
    ]


def script(code: str, *arguments: str) -> str:
    return subprocess.check_output([sys.executable, "-c", code, *arguments], text=True, cwd=HERE.parent)
