"""What a deadline promises: the instant, the cancellations it lets pass, and one timer for all."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

import anyio
import pytest

from segmind_async._transport.deadlines import Deadlines
from tests.virtual_time import VirtualTimeLoop


async def sleep_within(deadlines: Deadlines, bound: float, length: float) -> str:
    try:
        with deadlines.after(asyncio.get_running_loop(), bound):
            await anyio.sleep(length)
    except TimeoutError:
        return "timeout"
    return "done"


@pytest.mark.parametrize(
    ("bound", "length", "ends", "at"),
    [
        pytest.param(3.0, 10.0, "timeout", 3.0, id="work-that-takes-too-long-ends-at-the-deadline"),
        pytest.param(10.0, 3.0, "done", 3.0, id="work-that-is-quick-is-left-alone"),
        pytest.param(math.inf, 1e6, "done", 1e6, id="inf-is-no-bound"),
        pytest.param(-1.0, 10.0, "timeout", 0.0, id="a-deadline-that-has-passed-ends-at-the-first-wait"),
    ],
)
async def test_deadline(bound: float, length: float, ends: str, at: float) -> None:
    began = anyio.current_time()
    assert await sleep_within(Deadlines(), bound, length) == ends
    assert anyio.current_time() - began == pytest.approx(at, abs=1e-3)


async def test_many_deadlines_in_any_order_are_each_met_at_their_instant() -> None:
    deadlines, ended = Deadlines(), {}

    async def one(bound: float) -> None:
        began = anyio.current_time()
        assert await sleep_within(deadlines, bound, 1000) == "timeout"
        ended[bound] = anyio.current_time() - began

    async with anyio.create_task_group() as tasks:
        for bound in (50.0, 7.0, 120.0, 7.0, 7.5, 3.0):
            tasks.start_soon(one, bound)
            await anyio.sleep(1)
    assert ended == {bound: pytest.approx(bound, abs=1e-3) for bound in (50, 7, 120, 7.5, 3)}
    assert repr(deadlines) == "Deadlines(0 active)"


async def test_a_timer_is_set_for_the_earliest_and_not_for_each() -> None:
    deadlines, timers = Deadlines(), 0
    loop = asyncio.get_running_loop()
    call_at = loop.call_at

    def counted(when: float, callback: Callable[..., object], *given: object) -> asyncio.TimerHandle:
        nonlocal timers
        timers += 1
        return call_at(when, callback, *given)

    loop.call_at = counted  # type: ignore[method-assign,assignment]  # for this test's loop alone
    for _ in range(1000):
        with deadlines.after(asyncio.get_running_loop(), 120):
            pass
    assert timers == 1


async def test_a_deadline_that_is_entered_again_stays_where_it_was() -> None:
    deadlines, began = Deadlines(), anyio.current_time()
    deadline = deadlines.after(asyncio.get_running_loop(), 5)
    with deadline:
        await anyio.sleep(4)
    with pytest.raises(TimeoutError):
        with deadline:
            await anyio.sleep(4)
    assert anyio.current_time() - began == pytest.approx(5, abs=1e-3)


async def test_a_cancellation_from_outside_passes_even_in_the_instant_of_the_deadline() -> None:
    task = asyncio.get_running_loop().create_task(sleep_within(Deadlines(), 3, 10))
    asyncio.get_running_loop().call_later(3, task.cancel)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


async def test_after_a_timeout_the_task_continues_as_if_never_cancelled() -> None:
    assert await sleep_within(Deadlines(), 3, 10) == "timeout"
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await anyio.sleep(1)


async def test_work_that_goes_on_after_a_cancellation_has_its_deadline_too() -> None:
    async def goes_on() -> str:
        try:
            await anyio.sleep(100)
        except asyncio.CancelledError:
            return await sleep_within(Deadlines(), 3, 10)
        return "not cancelled"

    loop = asyncio.get_running_loop()
    task = loop.create_task(goes_on())
    loop.call_later(1, task.cancel)
    assert await task == "timeout"


async def test_what_ends_its_work_is_cancelled_once() -> None:
    began = anyio.current_time()
    with pytest.raises(TimeoutError):
        with Deadlines().after(asyncio.get_running_loop(), 3):
            try:
                await anyio.sleep(100)
            finally:
                await asyncio.sleep(5)
    assert anyio.current_time() - began == pytest.approx(8, abs=1e-3)


async def test_an_error_in_the_end_of_work_that_took_too_long_is_raised_unchanged() -> None:
    with pytest.raises(LookupError):
        with Deadlines().after(asyncio.get_running_loop(), 3):
            try:
                await anyio.sleep(100)
            except asyncio.CancelledError:
                raise LookupError from None
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_an_error_inside_is_raised_unchanged() -> None:
    with pytest.raises(LookupError):
        with Deadlines().after(asyncio.get_running_loop(), 3):
            raise LookupError


def test_a_timer_of_a_loop_that_is_gone_is_not_waited_for() -> None:
    deadlines = Deadlines()
    for bound, length, ends in ((5.0, 0.0, "done"), (10.0, 100.0, "timeout")):
        with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
            assert runner.run(sleep_within(deadlines, bound, length)) == ends


def test_a_timer_of_a_loop_that_was_left_ends_nothing_in_another() -> None:
    deadlines = Deadlines()
    left, used = VirtualTimeLoop(), VirtualTimeLoop()
    try:
        left.run_until_complete(sleep_within(deadlines, 5, 0))
        task = used.create_task(sleep_within(deadlines, 3, 10))
        used.run_until_complete(anyio.sleep(1))
        left.run_until_complete(anyio.sleep(10))
        assert used.run_until_complete(task) == "timeout"
        assert used.time() == pytest.approx(3, abs=1e-3)
    finally:
        left.close()
        used.close()


def test_deadlines_of_a_loop_that_was_left_count_no_more() -> None:
    deadlines = Deadlines()
    left, used = VirtualTimeLoop(), VirtualTimeLoop()
    try:
        task = left.create_task(sleep_within(deadlines, 5, 10))
        left.run_until_complete(anyio.sleep(1))
        assert repr(deadlines) == "Deadlines(1 active)"
        assert used.run_until_complete(sleep_within(deadlines, 5, 1)) == "done"
        assert repr(deadlines) == "Deadlines(0 active)"
        assert left.run_until_complete(task) == "done"
    finally:
        left.close()
        used.close()


async def test_closed_they_hold_no_timer() -> None:
    deadlines = Deadlines()
    with deadlines.after(asyncio.get_running_loop(), 120):
        pass
    deadlines.close()
    deadlines.close()
    assert not [handle for handle in asyncio.get_running_loop()._scheduled if not handle.cancelled()]  # type: ignore[attr-defined]
