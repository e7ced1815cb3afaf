"""From one file to a cluster: the commands of the guide before those on Ray, which `make engine` runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from segmind_async.emulator import Emulator
from tests.guides import GUIDES, run_steps, steps_of
from tests.support import serving


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
def test_a_file_and_a_folder_have_the_same_results(tmp_path: Path) -> None:
    guide = (GUIDES / "from-one-file-to-a-cluster.md").read_text(encoding="utf-8")
    before, on_ray, _ = guide.partition("## A folder on Ray")
    assert on_ray
    with serving(Emulator()) as emulator:
        run_steps(steps_of(before), tmp_path, emulator)
        # The rows of the file, those of the folder, and the two of the new file.
        assert emulator.requests == 5 + 5 + 2
