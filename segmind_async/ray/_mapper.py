"""Shards in an actor of Ray Data: one client for all blocks that the actor gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any, Protocol

from .._jobs.formats.dataframes import frame_of, rows_of
from .._jobs.formats.layout import CLASH_PREFIX
from .._jobs.formats.parquet import arrow
from ..client import SegmindClient
from ..engines._shard import ShardJob, shard_results

_INDEX = f"{CLASH_PREFIX}_index"


class Door(Protocol):
    """Knows the gateway that all calls go through."""

    def address(self) -> tuple[str, str]:
        """Return its URL and its token; may wait until it listens."""
        ...


class SegmindMapper:
    """Runs each batch as a shard of a job: a callable class for `Dataset.map_batches`.

    A batch comes back with the columns of `frame_of` beside its own: pandas frames as such, anything else as
    Arrow tables. Batches of one actor run at the same time, four by Ray's default, over one client. Its key
    is that of `SEGMIND_API_KEY` where the actor runs, unless a *door* names a gateway.

    Raises ShardStoppedError for a batch that stops early, unless the job yields unsent rows. A task that Ray
    sends again finds its journal, or those of other batches, and asks nothing twice that was answered.
    """

    def __init__(self, job: ShardJob, door: Door | None = None) -> None:
        self._job = job
        self._door = door
        self._client: SegmindClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return f"SegmindMapper({self._job!r})"

    async def __call__(self, batch: Any) -> AsyncIterator[Any]:
        """Yield the batch with its results, in parts of a few megabytes of answers.

        Nothing is sent for one without rows.
        """
        frame, done = _frame(batch), 0
        if not len(frame):
            yield frame_of([], frame, self._job.prefix)
            return
        async for results in shard_results(list(rows_of(frame)), self._job, self._opened()):
            part = _part(frame, done, len(results))
            # Under the name that counts where the input has a column of that name.
            placed = [{**result, _INDEX: place} for place, (_, result) in enumerate(results)]
            yield frame_of(placed, part, self._job.prefix)
            done += len(results)

    def _opened(self) -> SegmindClient:
        """Return the client, made with the first batch: then the gateway listens."""
        if self._client is None:
            self._loop = asyncio.get_running_loop()
            url, token = (None, None) if self._door is None else self._door.address()
            self._client = self._job.client(token, url)
        return self._client

    def __del__(self) -> None:
        # All that Ray does with an actor's object, from another thread than that of the loop.
        if self._client is not None and self._loop is not None and self._loop.is_running():
            asyncio.run_coroutine_threadsafe(self._client.aclose(), self._loop)


def _frame(batch: Any) -> Any:
    """Return a batch as a frame: Ray's default batches are dicts of arrays."""
    if not isinstance(batch, Mapping):
        return batch
    pa = arrow()
    # An array of more than one dimension is a column of lists.
    return pa.table({name: pa.array(list(column.tolist())) for name, column in batch.items()})


def _part(frame: Any, first: int, count: int) -> Any:
    """Return *count* rows of a frame."""
    return frame.iloc[first : first + count] if hasattr(frame, "iloc") else frame.slice(first, count)
