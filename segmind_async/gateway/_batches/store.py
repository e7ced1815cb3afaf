"""The batches of all callers, each as JSON on the disk: what a gateway that was killed has to go on with."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import anyio
import anyio.to_thread
from pydantic import TypeAdapter, ValidationError

from .._errors import GatewayError
from .._files.folder import Folder
from .batch import Batch, BatchOrder, no_such_batch

_RECORD = TypeAdapter(Batch)

_RECORD_NAME, _JOURNAL_NAME = ".batch.json", ".journal.db"

MOST_ENDED = 1000
"""Batches of a caller that are remembered when they have ended; the oldest are forgotten."""

MOST_OPEN = 100
"""Batches of a caller that have not ended; one more is refused."""

_REPEATED_WITHIN = 600.0
"""Seconds in which an SDK that got no answer sends its request again, by far."""


class BatchStore:
    """The batches, by their ids."""

    def __init__(
        self,
        folder: Folder,
        wall_clock: Callable[[], float] = time.time,  # noqa: TID251  # callers read it
    ) -> None:
        self.wall_clock = wall_clock
        self.folder = folder
        self._batches: dict[str, Batch] = {}
        self._writing = anyio.Lock()
        for name in folder.names(_RECORD_NAME):
            with folder.open(name) as file:
                self._load(name.removesuffix(_RECORD_NAME), file.read())

    def __repr__(self) -> str:
        return f"BatchStore({len(self._batches)} batches in {self.folder!r})"

    def _load(self, id_: str, record: bytes) -> None:
        try:
            batch = _RECORD.validate_json(record)
        except ValidationError:
            return  # of another version: left for it
        if batch.id == id_:
            self._batches[id_] = batch

    def __getitem__(self, id_: str) -> Batch:
        return self._batches[id_]

    def of(self, owner: str) -> list[Batch]:
        """Return the batches of a caller, the newest first."""
        found = [one for one in self._batches.values() if one.owner == owner]
        return sorted(found, key=lambda one: one.created_at, reverse=True)

    def get(self, owner: str, id_: str) -> Batch:
        """Return a batch of a caller's; raises a 404 for any other."""
        found = self._batches.get(id_)
        if found is None or found.owner != owner:
            raise no_such_batch(id_)
        return found

    def open_ones(self) -> list[Batch]:
        """Return the batches that have not ended, the oldest first."""
        found = [one for one in self._batches.values() if not one.has_ended]
        return sorted(found, key=lambda one: one.created_at)

    def user_of(self, file_id: str) -> str | None:
        """Return the id of a batch that has not ended and reads a file; None if none does."""
        return next((one.id for one in self.open_ones() if one.order.input_file_id == file_id), None)

    def repeated(self, owner: str, order: BatchOrder) -> Batch | None:
        """Return the batch that a caller has made of the same order a short time ago; None for none."""
        since = self.wall_clock() - _REPEATED_WITHIN
        found = (one for one in self.of(owner) if one.order == order and one.created_at >= since)
        return next(found, None)

    def new(self, owner: str, budget: str | None, order: BatchOrder) -> Batch:
        """Return a new batch, to be saved next; raises GatewayError if there are too many."""
        own = self.of(owner)
        if sum(not one.has_ended for one in own) >= MOST_OPEN:
            raise GatewayError(
                400, f"{MOST_OPEN} batches have not ended; wait, or cancel some", code="too_many_batches"
            )
        batch = Batch(f"batch_{uuid4().hex}", owner, budget, order, self.wall_clock())
        self._batches[batch.id] = batch
        return batch

    async def forget_old(self, owner: str) -> None:
        """Delete the oldest batches of a caller that have ended, if there are too many."""
        for old in [one for one in self.of(owner) if one.has_ended][MOST_ENDED:]:
            self.forget(old)
            await anyio.to_thread.run_sync(self.folder.remove, old.id + _RECORD_NAME)

    def forget(self, batch: Batch) -> None:
        """Take a batch out of memory."""
        del self._batches[batch.id]

    async def save(self, batch: Batch) -> None:
        """Have a batch on the disk as it is now."""
        self._batches[batch.id] = batch
        with anyio.CancelScope(shield=True):
            async with self._writing:
                # What stands there when it is this one's turn: a later state is never overwritten.
                record = _RECORD.dump_json(self._batches[batch.id])
                await anyio.to_thread.run_sync(self.folder.write, batch.id + _RECORD_NAME, record)

    def update(self, batch: Batch) -> None:
        """Take in what need not survive: counts and why it waits."""
        self._batches[batch.id] = batch

    def journal_path(self, id_: str) -> Path:
        """Return the path of the journal of a batch."""
        return self.folder.path(id_ + _JOURNAL_NAME)

    async def remove_journal(self, id_: str) -> None:
        """Delete the journal of a batch whose output is written."""
        await anyio.to_thread.run_sync(self.folder.remove_with_others, id_ + _JOURNAL_NAME)
