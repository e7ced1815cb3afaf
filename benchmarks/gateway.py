"""What the gateway adds to a call, in time and CPU, beside litellm's proxy, and what a load leaves behind.

All three take calls in OpenAI's form over keep-alive connections. In the load a third of the calls is left
midway by its caller; afterwards no slot, no held credit, no socket and no task may be left.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import anyio

from segmind_async import Limits, SegmindClient
from segmind_async.gateway import Gateway, GatewayOptions

from . import peers, server
from .clients import MESSAGES, MODEL
from .tables import Table, middle
from .worker import Worker

IN_FLIGHT = 64
LATENCY = 0.2
SPREAD = 0.5
"""Of the latencies, as a share of them."""

CALLERS = 512
LITELLM = "litellm[proxy]==1.108.7"

_LITELLM_SETTINGS = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOG": "ERROR",
    # Without a token, as ours here.
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
}

_DRAINS = 120.0
"""Seconds in which what abandoned calls may have cost is settled by a later balance."""


@dataclass(frozen=True)
class Proxy:
    """A server between callers and the service, in a process of its own."""

    url: str
    pid: int

    def cpu(self) -> float:
        """Return the seconds of CPU that it and its children have taken."""
        return sum(_ticks(one) for one in _family(self.pid)) / os.sysconf("SC_CLK_TCK")


def _family(pid: int) -> Iterator[int]:
    yield pid
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        yield from _family(int(child))


def _ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


@contextmanager
def ours(service: str) -> Iterator[Proxy]:
    process = subprocess.Popen(
        [sys.executable, "-m", "segmind_async", "serve", "--port", "0", "--max-in-flight", str(IN_FLIGHT)],
        env={**os.environ, "SEGMIND_API_KEY": "k" * 20, "SEGMIND_BASE_URL": service},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        yield Proxy(process.stderr.readline().split()[1], process.pid)
    finally:
        process.kill()
        process.communicate()


@contextmanager
def litellm(service: str) -> Iterator[Proxy]:
    """Its proxy with one worker, as `pip install` and a configuration of one model give it."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    parameters = {"model": f"openai/{MODEL}", "api_base": service, "api_key": "k"}
    with tempfile.TemporaryDirectory() as folder:
        # JSON is YAML.
        config = Path(folder, "config.yaml")
        config.write_text(json.dumps({"model_list": [{"model_name": MODEL, "litellm_params": parameters}]}))
        program = Path(peers.environment("litellm", (LITELLM,))).with_name("litellm")
        process = subprocess.Popen(
            [program, "--config", config, "--host", "127.0.0.1", "--port", str(port)],
            env={**os.environ, **_LITELLM_SETTINGS},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(f"{url}/health/liveliness")
            yield Proxy(f"{url}/v1", process.pid)
        finally:
            process.kill()
            process.wait()


def _wait_for(url: str) -> None:
    for _ in range(240):
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=5):
            return
        time.sleep(0.5)
    raise SystemExit(f"{url} does not answer")


@contextmanager
def emulator() -> Iterator[tuple[str, str]]:
    """Run the emulated service, whose accounts know what abandoned calls cost; gives URL and key."""
    process = subprocess.Popen(
        [sys.executable, "-m", "segmind_async", "emulate", "--port", "0", "--balance", "1000000"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        url, key = (word.split("=")[1] for word in process.stderr.readline().split()[1:])
        yield url, key
    finally:
        process.kill()
        process.communicate()


async def load(url: str, key: str, seconds: float) -> dict[str, float]:
    """Call through a gateway of this process for a while; return what was done, and what is left of it."""
    async with SegmindClient(key, url, limits=Limits(IN_FLIGHT)) as client:
        await client.chat("x")  # its connection is kept, and counted below
        before = (len(asyncio.all_tasks()), _sockets())
        async with Gateway(client, GatewayOptions(port=0, grace=10)) as gateway:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "benchmarks.gateway", gateway.url, str(seconds), stdout=subprocess.PIPE
            )
            told, _ = await process.communicate()
            with anyio.move_on_after(_DRAINS):
                while client.statistics().held:
                    # What the service has taken for abandoned calls shows in a balance that is read later.
                    await anyio.sleep(5)
                    await client.balance()
            after = client.statistics()
        # The client keeps the connections that it may use again, one for each slot at most.
        kept = max(0, _sockets() - before[1] - IN_FLIGHT)
        return {
            **json.loads(told),
            "slots": after.in_flight + after.waiting,
            "held": float(after.held),
            "sockets": kept,
            "tasks": len(asyncio.all_tasks()) - before[0],
        }


def _sockets() -> int:
    links = Path("/proc/self/fd").iterdir()
    found = 0
    for link in links:
        with contextlib.suppress(OSError):
            found += str(link.readlink()).startswith("socket:")
    return found


async def abandoning(url: str, seconds: float) -> dict[str, int]:
    """Call with `CALLERS` callers; every third call is left after a random part of its time."""
    counts = {"answered": 0, "left": 0, "failed": 0}
    chance = random.Random(1)
    end = time.monotonic() + seconds

    async def caller(call: aiohttp.ClientSession) -> None:
        while time.monotonic() < end:
            patience = chance.uniform(0, 2.5) if chance.random() < 1 / 3 else 3600
            with anyio.move_on_after(patience) as scope:
                async with call.post(f"{url}/chat/completions", json=_BODY) as response:
                    await response.read()
                    counts["answered" if response.status == 200 else "failed"] += 1
            counts["left"] += scope.cancelled_caught

    async with _session() as session, anyio.create_task_group() as tasks:
        for _ in range(CALLERS):
            tasks.start_soon(caller, session)
    return counts


_BODY = {"model": MODEL, "messages": MESSAGES}


@asynccontextmanager
async def _session() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers={"Authorization": "Bearer k"}) as session:
        yield session


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seconds", type=float, default=600, help="of the load")
    parser.add_argument("--rounds", type=int, default=5, help="of latency and CPU")
    parser.add_argument("--calls", type=int, default=1500, help="of each round")


def run(options: argparse.Namespace) -> list[Table]:
    with server.running(LATENCY, SPREAD) as service:
        tables = [compare(service, options.rounds, options.calls)]
    return [*tables, under_load(options.seconds)]


def compare(service: str, rounds: int, calls: int) -> Table:
    """Measure latency and CPU in turns."""
    with ours(service) as gateway, litellm(service) as other:
        doors = {"chat": None, "gateway": gateway, "litellm's proxy": other}
        workers = {name: Worker("chat" if door is None else "openai form") for name, door in doors.items()}
        took: dict[str, list[float]] = {name: [] for name in doors}
        cpu: dict[str, list[float]] = {name: [] for name in doors}
        for number in range(rounds):
            for name, door in doors.items():
                # litellm's takes few calls a second: as many as it can in about the time of the others.
                count = calls if door is not other else calls // 5
                before = door.cpu() if door else 0
                found = workers[name].ask(door.url if door else service, IN_FLIGHT, count, timed=True)
                took[name].append((found.p50 - LATENCY) * 1e3)
                # The worker warms up with calls of its own.
                cpu[name].append((door.cpu() - before) / (count + 3 * IN_FLIGHT) * 1e3 if door else 0)
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
        for worker in workers.values():
            worker.close()
    direct, least = middle(took["chat"]), middle(cpu["gateway"])
    rows = [
        [
            name,
            f"{middle(took[name]):.1f}",
            "" if door is None else f"{middle(took[name]) - direct:.1f}",
            "" if door is None else f"{middle(cpu[name]):.2f}",
            "" if door is None else f"{middle(cpu[name]) / least:.1f}",
        ]
        for name, door in doors.items()
    ]
    columns = ("through", "p50 over the service's, ms", "over `chat`, ms", "CPU a call, ms", "times ours")
    return Table("gateway", columns, rows, versions={"litellm": LITELLM.rpartition("=")[2]})


def under_load(seconds: float) -> Table:
    with emulator() as (url, key):
        found = asyncio.run(load(url, key, seconds))
    columns = (
        *("s", "answered", "left by their callers", "failed"),
        *("slots left", "credits held", "sockets left", "tasks left"),
    )
    keys = ("answered", "left", "failed", "slots", "held", "sockets", "tasks")
    return Table("gateway load", columns, [[f"{seconds:g}", *(f"{found[key]:g}" for key in keys)]])


if __name__ == "__main__":
    if len(sys.argv) > 2:
        print(json.dumps(asyncio.run(abandoning(sys.argv[1], float(sys.argv[2])))))
    else:
        print(under_load(float(sys.argv[1])).markdown())
