"""The files of all callers: what is there, who may see it, and how much there may be.

Each file is two on the disk: its content, and a record of it as JSON. A content whose record is missing was
not stored to its end, and is deleted.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, NamedTuple
from uuid import uuid4

import anyio
import anyio.to_thread
from pydantic import TypeAdapter, ValidationError

from ...config import check_count
from .._errors import GatewayError
from .folder import Folder, NewFile, writing
from .stored_file import Purpose, StoredFile, no_such_file

_RECORD = TypeAdapter(StoredFile)

_CONTENT_NAME, _RECORD_NAME = ".content.jsonl", ".file.json"


class FileLimits(NamedTuple):
    """How much each caller may store."""

    file_bytes: int
    """Of one upload."""
    files: int
    """Uploads and outputs of batches together; the latter are not refused, but count."""
    bytes: int
    """Of all of them."""


def new_file_id() -> str:
    """Return an id that nobody can guess."""
    return f"file-{uuid4().hex}"


class FileStore:
    """The stored files, by their ids."""

    def __init__(
        self,
        folder: Folder,
        limits: FileLimits,
        wall_clock: Callable[[], float] = time.time,  # noqa: TID251  # callers read it
    ) -> None:
        self._folder = folder
        self._limits = limits
        self._wall_clock = wall_clock
        self._files: dict[str, StoredFile] = {}
        self._arriving: Counter[str] = Counter()
        """Bytes of uploads that have not ended, by owner."""
        self._uploads: Counter[str] = Counter()
        self.user_of: Callable[[str], str | None] = lambda _id: None
        """Returns the batch that still needs a file; one that is needed does not expire."""
        self._load()

    def __repr__(self) -> str:
        return f"FileStore({len(self._files)} files in {self._folder!r})"

    def _load(self) -> None:
        for name in self._folder.names(_RECORD_NAME):
            id_ = name.removesuffix(_RECORD_NAME)
            with self._folder.open(name) as file:
                record = _read(file)
            if record is None or record.id != id_ or not self._folder.path(id_ + _CONTENT_NAME).exists():
                self._folder.remove(name)
            else:
                self._files[record.id] = record
        for name in self._folder.names(_CONTENT_NAME):
            if name.removesuffix(_CONTENT_NAME) not in self._files:
                self._folder.remove(name)

    def of(self, owner: str) -> list[StoredFile]:
        """Return the files of a caller, the newest first."""
        now = self._wall_clock()
        found = [one for one in self._files.values() if one.owner == owner and not self._is_over(one, now)]
        return sorted(found, key=lambda one: one.created_at, reverse=True)

    def get(self, owner: str, id_: str) -> StoredFile:
        """Return a file of a caller's; raises a 404 for any other."""
        found = self._files.get(id_)
        if found is None or found.owner != owner or self._is_over(found, self._wall_clock()):
            raise no_such_file(id_)
        return found

    async def remove(self, file: StoredFile) -> None:
        """Delete a file."""
        self._files.pop(file.id, None)
        # The record first: without it the content is deleted at the next start.
        for ending in (_RECORD_NAME, _CONTENT_NAME):
            await anyio.to_thread.run_sync(self._folder.remove, file.id + ending)

    async def remove_expired(self) -> None:
        """Delete files whose time is over."""
        now = self._wall_clock()
        for file in [one for one in self._files.values() if self._is_over(one, now)]:
            await self.remove(file)

    def open(self, file: StoredFile) -> IO[bytes]:
        """Open the content of a file to read it. Blocks."""
        return self._folder.open(file.id + _CONTENT_NAME)

    def path(self, file: StoredFile) -> Path:
        """Return the path of the content of a file."""
        return self._folder.path(file.id + _CONTENT_NAME)

    def new_output(self, id_: str) -> NewFile:
        """Return a new content, for `add`. Blocks."""
        return self._folder.new(id_ + _CONTENT_NAME)

    async def add(self, file: StoredFile, content: NewFile) -> StoredFile:
        """Store a file whose content is written; a file of the same id is replaced."""
        stored = replace(file, size=content.size)
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(content.keep)
            record = _RECORD.dump_json(stored)
            await anyio.to_thread.run_sync(self._folder.write, stored.id + _RECORD_NAME, record)
            self._files[stored.id] = stored
        return stored

    def described(self, id_: str, owner: str, filename: str, purpose: Purpose) -> StoredFile:
        """Return the record of a file that is not written yet."""
        return StoredFile(id_, owner, filename, 0, purpose, self._wall_clock())

    @asynccontextmanager
    async def receiving(self, owner: str) -> AsyncIterator[Upload]:
        """Yield an upload, which is discarded at the end of the block unless it was kept.

        Raises GatewayError if the caller has stored, or is sending, as much as one may.
        """
        await self.remove_expired()
        self._uploads[owner] += 1
        upload: Upload | None = None
        try:
            self._check_room(owner, 0)
            id_ = new_file_id()
            content = await anyio.to_thread.run_sync(self.new_output, id_)
            with writing(content):
                upload = Upload(id_, content, partial(self._arrived, owner, content))
                yield upload
        finally:
            self._uploads[owner] -= 1
            self._arriving[owner] -= 0 if upload is None else upload.counted

    def _is_over(self, file: StoredFile, now: float) -> bool:
        return file.expires_at is not None and file.expires_at <= now and self.user_of(file.id) is None

    def _arrived(self, owner: str, content: NewFile, more: int) -> None:
        """Count bytes of an upload before they are written."""
        if content.size + more > self._limits.file_bytes:
            raise _too_large(self._limits.file_bytes)
        self._check_room(owner, more)
        self._arriving[owner] += more

    def _check_room(self, owner: str, more: int) -> None:
        own = [one.size for one in self._files.values() if one.owner == owner]
        if len(own) + self._uploads[owner] > self._limits.files:
            raise _full(f"{len(own)} files are stored already")
        stored = sum(own) + self._arriving[owner]
        if stored + more > self._limits.bytes:
            raise _full(f"{stored} bytes are stored already")


class Upload:
    """An upload that arrives."""

    def __init__(self, id_: str, content: NewFile, count: Callable[[int], None]) -> None:
        self.id = id_
        self.content = content
        self.counted: int = 0
        """Bytes so far."""
        self._count = count

    async def write(self, chunk: bytes) -> None:
        """Write the next bytes; raises GatewayError if they are too many."""
        self._count(len(chunk))
        self.counted += len(chunk)
        await anyio.to_thread.run_sync(self.content.write, chunk)


def _read(file: IO[bytes]) -> StoredFile | None:
    try:
        return _RECORD.validate_json(file.read())
    except ValidationError:
        return None


def _too_large(most: int) -> GatewayError:
    return GatewayError(413, f"a file may have {most} bytes here", param="file", code="file_too_large")


def _full(why: str) -> GatewayError:
    return GatewayError(
        400, f"no room for another file ({why}); delete some", param="file", code="storage_full"
    )


def check_limits(limits: FileLimits) -> None:
    """Raise ConfigurationError for limits that let nothing in."""
    check_count("max_file_bytes", limits.file_bytes, at_least=1024)
    check_count("max_files", limits.files, at_least=1)
    check_count("max_stored_bytes", limits.bytes, at_least=1024)
