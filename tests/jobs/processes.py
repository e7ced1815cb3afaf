"""Jobs as processes: begun, watched at the service, and read when they have ended."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
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


def on_terminal(words: list[str], width: int, variables: dict[str, str]) -> tuple[int, str]:
    """Run a command in a terminal; return its exit code and all that it has drawn."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    variables = {name: value for name, value in variables.items() if name != "COLUMNS"}
    with subprocess.Popen(
        [sys.executable, "-m", "segmind_async", *words],
        env={**variables, "TERM": "xterm-256color"},
        stdin=theirs,
        stderr=theirs,
        stdout=theirs,
    ) as process:
        os.close(theirs)
        drawn = b""
        try:
            while piece := os.read(ours, 65536):
                drawn += piece
        except OSError:  # its other end is closed
            pass
        os.close(ours)
    return process.returncode, drawn.decode()
