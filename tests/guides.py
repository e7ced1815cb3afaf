"""Guides whose commands run as they stand: in a shell, one block after the other, against the emulator."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from segmind_async.emulator import Emulator

GUIDES = Path(__file__).parents[1] / "docs" / "guides"


def steps_of(text: str) -> list[tuple[str, str]]:
    """Return the blocks of commands of a guide, each with the lines that it says they print."""
    return re.findall(r"```bash\n(.*?)```\n(?:\n```text\n(.*?)```)?", text, re.S)


def run_steps(steps: list[tuple[str, str]], folder: Path, emulator: Emulator) -> None:
    """Run the commands in *folder*, and check that they print what the guide says."""
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "SEGMIND_API_KEY": emulator.key,
        "SEGMIND_BASE_URL": emulator.url,
    }
    for commands, says in steps:
        got = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", commands],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert got.returncode == 0, (commands, got.stdout)
        for line in says.splitlines():
            assert line in got.stdout, (commands, got.stdout)
