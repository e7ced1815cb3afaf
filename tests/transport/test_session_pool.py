"""What is held open in each loop."""

from __future__ import annotations

import asyncio

import pytest

from segmind_async._transport.session_pool import PerLoop
from segmind_async.errors import ClientClosedError


class Session:
    is_open = True

    async def close(self) -> None:
        self.is_open = False


def test_each_loop_has_a_session_of_its_own_until_one_of_both_ends() -> None:
    sessions = PerLoop(Session)
    with asyncio.Runner() as first:
        one = first.run(sessions.session())
        assert sessions.opened(first.get_loop()) is one
        with asyncio.Runner() as second:
            assert sessions.opened(second.get_loop()) is None
            other = second.run(sessions.session())
            assert other is not one
            assert sessions.opened(first.get_loop()) is None
            assert second.run(sessions.session()) is other
            assert repr(sessions) == "PerLoop(2 open)"
        assert (one.is_open, other.is_open) == (True, False)
        first.run(sessions.aclose())
        assert not one.is_open
        with pytest.raises(ClientClosedError):
            first.run(sessions.session())
    assert repr(sessions) == "PerLoop(closed)"
