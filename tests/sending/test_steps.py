"""How many functions of the library a call runs through: what it costs, told without a clock."""

from __future__ import annotations

import asyncio
import random
import sys
from types import FrameType

import pytest

from segmind_async import Limits, SegmindClient
from segmind_async.testing import Reply, answer
from segmind_async.transport import WireRequest, WireResponse

MOST, MOST_BESIDE_A_SLOW_ONE = 166, 230
"""A tenth more than when this was written, when it was 151 and 208: beside a call that outlasts all others
estimates are made anew once within the time of a call."""


class Steps:
    """Counts calls of functions of this package, generators and coroutines at each step."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, frame: FrameType, event: str, _: object) -> None:
        if event == "call" and "segmind_async" in frame.f_code.co_filename:
            self.count += 1


class Service:
    """Answers after half a second to a second; what is slow after two minutes."""

    def __init__(self) -> None:
        self.answered = 0
        self.chance = random.Random(1)

    async def send(self, request: WireRequest, time_left: float) -> Reply:
        if request.body is None:
            return WireResponse(200, {}, b'{"credits": 10, "free-credits": 0}')
        slow = b"slow" in request.body
        await asyncio.sleep(120.0 if slow else self.chance.uniform(0.5, 1.0))
        self.answered += 1
        return answer("yes", balance=f"{10 - 0.001 * self.answered:.3f}")

    async def aclose(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize("slow", [0, 1])
async def test_a_call_takes_few_steps_whatever_else_is_in_flight(slow: int) -> None:
    steps = Steps()
    async with SegmindClient("k" * 20, transport=Service(), limits=Limits(160, floor=1)) as client:

        async def calls(rows: int) -> None:
            for _ in range(rows):
                await client.chat(
                    [{"role": "system", "content": "Classify."}, {"role": "user", "content": "a"}]
                )

        async with asyncio.TaskGroup() as group:
            await calls(1)
            others = [group.create_task(client.chat("slow")) for _ in range(slow)]
            await asyncio.gather(*(calls(4) for _ in range(128)))
            sys.setprofile(steps)
            try:
                await asyncio.gather(*(calls(8) for _ in range(128)))
            finally:
                sys.setprofile(None)
            assert not any(other.done() for other in others)
    assert steps.count / 1024 < (MOST_BESIDE_A_SLOW_ONE if slow else MOST)
