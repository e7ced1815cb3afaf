"""The first ten minutes of a newcomer with a file of his own: the commands of the guide, in a shell, one by one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from segmind_async.emulator import Emulator
from tests.guides import GUIDES, run_steps, steps_of
from tests.support import serving


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
def test_the_commands_of_the_guide_say_what_it_says(tmp_path: Path) -> None:
    steps = steps_of((GUIDES / "first-ten-minutes.md").read_text(encoding="utf-8"))
    assert len(steps) >= 8
    with serving(Emulator()) as emulator:
        run_steps(steps, tmp_path, emulator)
        # Each row was paid for once.
        assert set(emulator.billed().values()) == {1}
        assert len(emulator.billed()) == 9
    assert sorted(path.name for path in tmp_path.iterdir() if "answers" in path.name) == [
        "answers.csv",
        "answers.csv.1",
        "answers.csv.journal",
        "answers.csv.journal.1",
    ]
