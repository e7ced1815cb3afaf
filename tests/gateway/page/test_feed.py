"""The producer of snapshots: one for all readers, and none without."""

from __future__ import annotations

import itertools

import anyio
import pytest

from segmind_async.gateway._page.feed import Feed, FeedFull


async def test_all_readers_see_the_same_values_made_once_a_second() -> None:
    made = itertools.count(1)
    feed = Feed(lambda: next(made), 3)
    seen: dict[int, list[tuple[int, int]]] = {0: [], 1: []}

    async def read(name: int) -> None:
        number = 0
        with feed.joined():
            while number < 4:
                found = await feed.newer(number)
                assert found is not None
                number = found[0]
                seen[name].append(found)

    began = anyio.current_time()
    async with anyio.create_task_group() as tasks:
        for name in seen:
            tasks.start_soon(read, name)
    assert seen[0] == seen[1] == [(1, 1), (2, 2), (3, 3), (4, 4)]
    assert anyio.current_time() - began == 3
    assert feed.readers == 0


async def test_without_readers_nothing_is_made() -> None:
    made = itertools.count(1)
    feed = Feed(lambda: next(made), 3)
    await anyio.sleep(10)
    with feed.joined():
        assert await feed.newer(0) == (1, 1)
    await anyio.sleep(10)
    with feed.joined():
        # A new reader gets a new value, not the one of long ago.
        assert await feed.newer(0) == (2, 2)


async def test_a_slow_reader_misses_values() -> None:
    made = itertools.count(1)
    feed = Feed(lambda: next(made), 1)
    with feed.joined():
        await anyio.sleep(5.5)
        assert await feed.newer(1) == (6, 6)


async def test_one_reader_too_many_is_refused_and_holds_no_place() -> None:
    feed = Feed(lambda: 0, 1)
    with feed.joined():
        with pytest.raises(FeedFull), feed.joined():
            pass
        assert feed.readers == 1
    with feed.joined():
        pass


async def test_a_value_that_cannot_be_made_is_an_error_of_its_reader_and_leaves_none() -> None:
    def fail() -> int:
        raise LookupError

    feed = Feed(fail, 1)
    with pytest.raises(LookupError), feed.joined():
        pass
    assert feed.readers == 0


async def test_closing_ends_readers_that_wait_and_those_that_come() -> None:
    feed = Feed(lambda: 0, 2)

    async def close() -> None:
        await anyio.sleep(0.5)
        feed.close()
        feed.close()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(close)
        with feed.joined():
            assert await feed.newer(1) is None
    with feed.joined():
        assert await feed.newer(0) is None
