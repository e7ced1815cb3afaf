"""Several processes behind one gateway, all of them killed at random."""

from __future__ import annotations

import os

import pytest

from benchmarks import doors


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills processes")
def test_killed_processes_keep_one_floor_and_count_every_answer_once() -> None:
    # With too little money for all, a minute would be waited until what was in doubt is known.
    found = doors.measure("gateway", processes=3, rows=8, kills=2, seed=1, share=4.0)
    assert found.kills == 2
    assert found.broken == 0
    assert found.lost == 0
    # What is paid and not kept was on the wire at a kill.
    assert found.twice <= found.kills * doors.SLOTS * 3
    # One rate, learnt anew by each gateway.
    assert found.refused <= found.kills * doors.SLOTS * 3
    assert found.answered == found.rows
