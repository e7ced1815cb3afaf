"""Jobs as processes: begun, watched at the service, and read when they have ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from segmind_async.emulator import Emulator


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def results(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def numbered(count: int) -> list[dict[str, Any]]:
    return [{"id": f"r{n}", "prompt": f"row {n}"} for n in range(count)]


def environment(emulator: Emulator) -> dict[str, str]:
    return {**os.environ, "SEGMIND_BASE_URL": emulator.url, "SEGMIND_API_KEY": emulator.key}


def command(emulator: Emulator, rows: Path, *more: str) -> subprocess.Popen[str]:
    """Begin the job of *rows* as a process."""
    words = [
        sys.executable,
        "-m",
        "segmind_async",
        "run",
        str(rows),
        "-o",
        str(rows.with_name("out.jsonl")),
        *more,
    ]
    return subprocess.Popen(words, env=environment(emulator), stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, said = process.communicate(timeout=60)
    return process.returncode, said


def wait_for(emulator: Emulator, calls: int) -> None:
    """Wait, without sleeping long, until the service has been asked so often."""
    deadline = time.monotonic() + 60
    while emulator.requests < calls:
        assert time.monotonic() < deadline
        threading.Event().wait(0.002)
