"""Time to import the package, beside what it stands on, and of `--help`: processes that take turns."""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
from collections import defaultdict

from .tables import HERE, Table, middle, spread

COMMANDS = {
    "python alone": ["-c", "pass"],
    "import aiohttp, pydantic": ["-c", "import aiohttp, pydantic"],
    "import segmind_async": ["-c", "import segmind_async"],
    "import typer": ["-c", "import typer"],
    "segmind-async --help": ["-m", "segmind_async", "--help"],
}
BASE = "import aiohttp, pydantic"


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=25)


def run(options: argparse.Namespace) -> list[Table]:
    taken: dict[str, list[float]] = defaultdict(list)
    for number in range(options.rounds + 1):
        for name, command in COMMANDS.items():
            took = seconds(command)
            if number:  # the first round compiles
                taken[name].append(took)
    rows = []
    for name, each in taken.items():
        ratios = [one / other for one, other in zip(each, taken[BASE], strict=True)]
        rows.append([f"`{name}`", f"{middle(each) * 1e3:.0f}", f"{middle(ratios):.2f}", spread(ratios)])
    return [Table("startup", ("command", "CPU ms", "over aiohttp + pydantic", "spread"), rows)]


def seconds(command: list[str]) -> float:
    """Return the CPU time of a fresh interpreter, compiled files in their place."""
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *command], check=True, env=environment, cwd=HERE.parent, stdout=subprocess.DEVNULL
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
