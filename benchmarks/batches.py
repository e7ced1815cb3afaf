"""A batch of as many rows as one may have, through a `kill -9` of its gateway: time and memory.

The gateway runs as `segmind-async serve --files` does, in a process of its own, over the emulator. It is
killed when half of the rows are answered; the next one goes on. Its memory is the highest that the system has
seen.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import anyio
from anyio.from_thread import start_blocking_portal

from segmind_async.emulator import Emulator

from .clients import MODEL
from .tables import Table

SLOTS = 256
LATENCY = 0.05
_ENDED = {"completed", "failed", "expired", "cancelled"}


@dataclass
class Result:
    rows: int
    seconds: float
    memory: list[float]
    """MB of each gateway."""
    twice: int
    answered: int


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", type=int, default=50_000, help="of the largest batch")


def run(options: argparse.Namespace) -> list[Table]:
    found = [measure(rows) for rows in (options.rows // 10, options.rows)]
    columns = (
        *("rows", "answered", "s", "rows a second"),
        *("MB before the kill", "MB after it", "paid twice"),
    )
    rows = [
        [
            str(one.rows),
            str(one.answered),
            f"{one.seconds:.0f}",
            f"{one.rows / one.seconds:.0f}",
            *(f"{memory:.0f}" for memory in one.memory),
            str(one.twice),
        ]
        for one in found
    ]
    return [Table("batches", columns, rows)]


def measure(rows: int) -> Result:
    """Run one batch; returns when its output has been read."""
    emulator = Emulator(balance=1_000_000, latency=LATENCY, cost="0.000543")
    with (
        tempfile.TemporaryDirectory() as folder,
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(emulator),
    ):
        files = Path(folder) / "files"
        began, memory = time.monotonic(), []
        with serving(emulator, files) as (url, process):
            batch = asyncio.run(begun(url, rows))
            asyncio.run(state(url, batch, lambda found: found["request_counts"]["completed"] >= rows / 2))
            memory.append(highest_memory(process))
            process.kill()
        with serving(emulator, files) as (url, process):
            ended = asyncio.run(state(url, batch, lambda found: found["status"] in _ENDED))
            seconds = time.monotonic() - began
            memory.append(highest_memory(process))
            ids = asyncio.run(answered(url, ended["output_file_id"]))
        twice = sum(emulator.billed().values()) - len(emulator.billed())
    return Result(rows, seconds, memory, twice, len(set(ids)))


@contextmanager
def serving(emulator: Emulator, files: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Serve a gateway that keeps files; yield its URL and process."""
    words = ["serve", "--port", "0", "--files", str(files), "--max-in-flight", str(SLOTS)]
    environment = {**os.environ, "SEGMIND_API_KEY": emulator.key, "SEGMIND_BASE_URL": emulator.url}
    command = [sys.executable, "-m", "segmind_async", *words]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        found = re.search(r"serving (\S+)", process.stderr.readline())
        assert found is not None
        try:
            yield found.group(1), process
        finally:
            process.kill()


def highest_memory(process: subprocess.Popen[str]) -> float:
    """Return the highest resident size of a process so far, MB."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found is not None
    return int(found.group(1)) / 1024


async def begun(url: str, rows: int) -> str:
    """Upload the rows and start their batch; return its id."""
    content = "".join(json.dumps(_row(number)) + "\n" for number in range(rows)).encode()
    form = aiohttp.FormData({"purpose": "batch"})
    form.add_field("file", content, filename="rows.jsonl")
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{url}/files", data=form) as response:
            file = await response.json()
        order = {"endpoint": "/v1/chat/completions", "completion_window": "24h", "input_file_id": file["id"]}
        async with session.post(f"{url}/batches", json=order) as response:
            return str((await response.json())["id"])


def _row(number: int) -> dict[str, Any]:
    messages = [{"role": "user", "content": f"{number}: what is said here is as long as a short mail. " * 8}]
    body = {"model": MODEL, "messages": messages}
    return {"custom_id": f"r{number}", "method": "POST", "url": "/v1/chat/completions", "body": body}


async def state(url: str, batch: str, reached: Any) -> dict[str, Any]:
    """Wait until a batch is in a state, and return it."""
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{url}/batches/{batch}") as response:
                found: dict[str, Any] = await response.json()
            if reached(found):
                return found
            await anyio.sleep(0.5)


async def answered(url: str, file: str) -> list[str]:
    """Return the ids of the rows in an output, line by line."""
    ids = []
    async with aiohttp.ClientSession() as session, session.get(f"{url}/files/{file}/content") as response:
        async for line in response.content:
            ids.append(json.loads(line)["custom_id"])
    return ids
