"""Links that somebody has put where a job writes are not followed, and a journal is its user's alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from segmind_async._jobs.formats.output import open_output
from segmind_async.errors import SegmindError
from segmind_async.testing import ScriptedTransport
from tests.support import client

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links and modes of POSIX")


@pytest.mark.parametrize("side", [".lock", ".reserve"])
async def test_a_link_beside_a_journal_is_not_followed(side: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / ("j.journal" + side)).symlink_to(victim)
    async with client(ScriptedTransport()) as c:
        with pytest.raises((OSError, SegmindError)):
            async with c.run_job(["a", "b"], journal=tmp_path / "j.journal") as job:
                async for _ in job:
                    pass
    assert victim.read_text() == "precious"


def test_a_link_in_the_place_of_an_unfinished_output_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "out.jsonl.part").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic links"), open_output(tmp_path / "out.jsonl"):
        pass
    assert victim.read_text() == "precious"


async def test_a_journal_and_the_files_beside_it_are_private(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        modes: dict[str, int] = {}
        async with (
            client(ScriptedTransport()) as c,
            c.run_job(["a", "b"], journal=tmp_path / "j.journal") as job,
        ):
            async for _ in job:
                modes |= {path.name: path.stat().st_mode & 0o077 for path in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert {"j.journal", "j.journal.lock"} <= modes.keys()
    assert set(modes.values()) == {0}
