"""The first ten minutes of a newcomer with a file of his own: the commands of the guide, in a shell, one by one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from segmind_async.emulator import Emulator
from tests.support import serving

GUIDE = Path(__file__).parents[1] / "docs" / "guides" / "first-ten-minutes.md"
STEPS = re.findall(r"```bash\n(.*?)```\n(?:\n```text\n(.*?)```)?", GUIDE.read_text(encoding="utf-8"), re.S)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
def test_the_commands_of_the_guide_say_what_it_says(tmp_path: Path) -> None:
    assert len(STEPS) >= 8
    with serving(Emulator()) as emulator:
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "SEGMIND_API_KEY": emulator.key,
            "SEGMIND_BASE_URL": emulator.url,
        }
        for commands, says in STEPS:
            got = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", commands],
                cwd=tmp_path,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            assert got.returncode == 0, (commands, got.stdout)
            for line in says.splitlines():
                assert line in got.stdout, commands
        # Each row was paid for once.
        assert set(emulator.billed().values()) == {1}
        assert len(emulator.billed()) == 9
    assert sorted(path.name for path in tmp_path.iterdir() if "answers" in path.name) == [
        "answers.csv",
        "answers.csv.1",
        "answers.csv.journal",
        "answers.csv.journal.1",
    ]
