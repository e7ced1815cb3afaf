"""The soak, for a moment of virtual time: what `make soak` does for an hour."""

from __future__ import annotations

from typing import Literal

import pytest

from tests.soak import soak


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["public", "direct"])
async def test_nothing_is_left_of_calls_with_faults_and_cancels(
    transport: Literal["public", "direct"],
) -> None:
    seen = await soak(transport, 2, 1)
    seen.check()
    assert len(seen.ended) > 8, seen
