"""Tasks that may outlive the request that began them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class BackgroundTasks:
    """Tasks of a gateway that no request and no task group ends.

    A task group would have to be opened and closed in one task; fixtures may use two.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def begin(self, run: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run it, and keep it until it has ended."""
        task = asyncio.create_task(run)  # noqa: TID251
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def aclose(self) -> None:
        """Cancel all that still run, and wait until they have ended."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Retrieved, so that asyncio does not log a failure that has no caller any more.
            task.exception()
