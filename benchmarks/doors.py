"""Many processes with one key: behind a gateway, each guarded by itself, or unguarded; killed at random.

Each process has rows of its own. The account pays for about three quarters of them above the floor, and the
service takes a bounded number of calls a minute, so that both limits are met by all processes together.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import TextIO

import aiohttp
import anyio
from anyio.from_thread import start_blocking_portal

from segmind_async.emulator import CallFacts, Emulator

from .tables import HERE, Table

WAYS = ("gateway", "guarded", "unguarded")
SLOTS = 8
"""Calls in flight of each process."""

MEAN = Decimal("0.000543")
FLOOR = 20 * MEAN
_AGAIN = 60
"""Tries of an unguarded row: as often as its author was patient."""


@dataclass
class Result:
    """What the service's books and the processes' outputs say of one run."""

    lowest: Decimal
    refused: int
    """429s of the service."""
    lost: int
    """Rows that failed: neither answered nor left unsent for want of credits. Most were on the wire twice."""
    answered: int
    rows: int
    twice: int
    """Answers that were paid and not kept, or paid again."""
    kills: int
    seconds: float

    @property
    def broken(self) -> Decimal:
        """Credits by which the floor was passed."""
        return max(Decimal(0), FLOOR - self.lowest)


@dataclass
class Run:
    """One run: its processes, and who may be killed."""

    way: str
    folder: Path
    emulator: Emulator
    rows: int
    chance: random.Random
    gateway: subprocess.Popen[str] | None = None
    url: str = ""
    workers: dict[int, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, processes: int) -> None:
        """Start the gateway, if there is one, and the workers."""
        self.url = self.emulator.url
        if self.way == "gateway":
            self.start_gateway(0)
        for number in range(processes):
            lines = (json.dumps({"prompt": f"w{number} row {row}"}) + "\n" for row in range(self.rows))
            (self.folder / f"{number}.jsonl").write_text("".join(lines))
            self.start_worker(number)

    def start_gateway(self, port: int) -> None:
        words = [
            "serve",
            "--port",
            str(port),
            "--state",
            str(self.folder / "state.db"),
            "--floor",
            str(FLOOR),
        ]
        self.gateway = subprocess.Popen(
            [sys.executable, "-m", "segmind_async", *words],
            env=self._environment(self.emulator.url),
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.gateway.stderr is not None
        self.url = self.gateway.stderr.readline().split()[1]

    def start_worker(self, number: int) -> None:
        source, kept = self.folder / f"{number}.jsonl", self.folder / f"{number}.out.jsonl"
        words = ["-m", "benchmarks.doors", str(source), str(kept)]
        if self.way != "unguarded":
            words = [
                "-m",
                "segmind_async",
                "run",
                str(source),
                "-o",
                str(kept),
                "--max-in-flight",
                str(SLOTS),
            ]
        if self.way == "guarded":
            words += ["--floor", str(FLOOR)]
        self.workers[number] = subprocess.Popen(
            [sys.executable, *words],
            env=self._environment(self.url),
            cwd=HERE.parent,
            stderr=subprocess.DEVNULL,
        )

    def kill_one(self) -> bool:
        """Kill a random worker, or the gateway, and start it again; return whether one was running."""
        running = [number for number, one in self.workers.items() if one.poll() is None]
        if not running:
            return False
        if self.gateway is not None and self.chance.random() < 0.4:
            self.gateway.kill()
            self.gateway.communicate()
            time.sleep(0.5)
            self.start_gateway(int(self.url.split(":")[2].removesuffix("/v1")))
            return True
        number = self.chance.choice(running)
        self.workers[number].kill()
        self.workers[number].wait()
        self.start_worker(number)
        return True

    def stop(self) -> None:
        for one in (*self.workers.values(), *([self.gateway] if self.gateway else ())):
            if one.poll() is None:
                one.kill()
            one.communicate()

    def kept(self) -> list[dict[str, object]]:
        """Return the rows of all outputs."""
        lines: list[str] = []
        for number in self.workers:
            with contextlib.suppress(FileNotFoundError):
                lines += (self.folder / f"{number}.out.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def _environment(self, url: str) -> dict[str, str]:
        return {**os.environ, "SEGMIND_API_KEY": self.emulator.key, "SEGMIND_BASE_URL": url}


def measure(way: str, processes: int, rows: int, kills: int, seed: int, *, share: float = 0.75) -> Result:
    """Run once to the end, with money above the floor for that *share* of the rows."""
    chance = random.Random(seed)
    total = processes * rows
    emulator = Emulator(
        balance=FLOOR + MEAN * total * Decimal(share),
        cost=_cost,
        latency=lambda _facts, cost, _chance: float(cost / MEAN),
        requests_per_minute=10 * processes,
        seed=seed,
    )
    began = time.monotonic()
    # Its thread is one of this process, which reads the books afterwards.
    with (
        tempfile.TemporaryDirectory() as folder,
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(emulator),
    ):
        run = Run(way, Path(folder), emulator, rows, chance)
        done = 0
        try:
            run.start(processes)
            while done < kills:
                time.sleep(chance.uniform(1, 4))
                if not run.kill_one():
                    break
                done += 1
            for one in run.workers.values():
                one.wait()
        finally:
            run.stop()
        kept = run.kept()
        answered = [row for row in kept if row["status"] == "ok"]
        account = emulator.state.account
        return Result(
            lowest=account.lowest,
            refused=sum(call.status == 429 for call in emulator.calls),
            lost=sum(row["status"] == "failed" for row in kept),
            answered=len(answered),
            rows=total,
            twice=emulator.billed().total() - len(answered),
            kills=done,
            seconds=time.monotonic() - began,
        )


def _cost(_facts: CallFacts, chance: random.Random) -> Decimal:
    return (MEAN * Decimal(chance.lognormvariate(-0.18, 0.6))).quantize(Decimal("1e-10"))


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--rows", type=int, default=20, help="of each process")
    parser.add_argument("--kills", type=int, default=4)
    parser.add_argument("--runs", type=int, default=1)


def run(options: argparse.Namespace) -> list[Table]:
    lines = []
    for way in WAYS:
        found = [
            measure(way, options.processes, options.rows, options.kills, seed) for seed in range(options.runs)
        ]
        lines.append(
            [
                way,
                f"{sum(one.broken > 0 for one in found)} of {len(found)}",
                f"{max(one.broken / MEAN for one in found):.1f}",
                str(sum(one.refused for one in found)),
                str(sum(one.lost for one in found)),
                str(sum(one.twice for one in found)),
                f"{sum(one.answered for one in found)} of {sum(one.rows for one in found)}",
                f"{sum(one.seconds for one in found) / len(found):.0f}",
            ]
        )
    columns = (
        "processes",
        "floor broken",
        "by, calls",
        "429s",
        "given up",
        "paid, not kept",
        "answered",
        "s",
    )
    return [Table("doors", columns, lines)]


def unguarded(source: Path, kept: Path) -> None:
    """Send the rows that have no result yet as a script without a guard does."""
    finished = kept.read_text().splitlines() if kept.exists() else []
    done = {json.loads(line)["prompt"] for line in finished}
    rows = [json.loads(line)["prompt"] for line in source.read_text().splitlines()]
    with kept.open("a") as output:
        asyncio.run(_send_all([prompt for prompt in rows if prompt not in done], output))


async def _send_all(prompts: list[str], output: TextIO) -> None:
    """Send some at once, again after a 429, until a 406."""
    slots = asyncio.Semaphore(SLOTS)
    broke = asyncio.Event()
    url, key = os.environ["SEGMIND_BASE_URL"], os.environ["SEGMIND_API_KEY"]
    async with aiohttp.ClientSession(headers={"x-api-key": key}) as session:

        async def one(prompt: str) -> None:
            body = {"messages": [{"role": "user", "content": prompt}]}
            status = 0
            for _ in range(_AGAIN):
                async with slots:
                    if broke.is_set():
                        return
                    async with session.post(f"{url}/gpt-5.4-mini", json=body) as response:
                        await response.read()
                        status = response.status
                if status != 429:
                    break
                await anyio.sleep(1)
            if status == 406:
                broke.set()
                return
            row = {"prompt": prompt, "status": "ok" if status == 200 else "failed"}
            output.write(json.dumps(row) + "\n")
            output.flush()

        await asyncio.gather(*map(one, prompts))  # noqa: TID251


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    unguarded(Path(sys.argv[1]), Path(sys.argv[2]))
