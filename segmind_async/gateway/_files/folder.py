"""A folder for one gateway: its files are written whole or not at all, and only its user may read them.

Names are the gateway's own: nothing that a caller sends becomes part of a path. Each function blocks; the
rooms above call them in worker threads.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from ..._jobs.formats.output import sync, sync_folder
from ..._jobs.journal.lock import Lock
from ..._jobs.openers import private
from ...errors import ConfigurationError

_NAME = re.compile(r"[a-z]+[-_][0-9a-f]{32}(\.[a-z]+)+", re.ASCII)

_PART = ".part"
"""Ends the name of a file that is being written."""


class Folder:
    """The folder, locked: one gateway at a time uses it. Raises ConfigurationError if another one does."""

    def __init__(self, path: Path) -> None:
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path = path.resolve(strict=True)
            self._lock = Lock(self._path / "lock")
            owner = self._lock.take()
        except OSError as error:
            raise ConfigurationError(f"files={str(path)!r} cannot be used: {error}") from error
        if owner is not None:
            raise ConfigurationError(f"{owner} is using files={str(path)!r}; one gateway may at a time")
        for part in self._path.glob(f"*{_PART}"):
            part.unlink()  # of a process that died while it wrote

    def __repr__(self) -> str:
        return f"Folder({str(self._path)!r})"

    def close(self) -> None:
        """Release the lock. Idempotent."""
        self._lock.release()

    def path(self, name: str) -> Path:
        """Return the path of a file; raises ValueError for a name that is not of the gateway's own form."""
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} names no file of this folder")
        return self._path / name

    def names(self, ending: str) -> list[str]:
        """Return the names of all files that end so."""
        return [path.name for path in self._path.glob(f"*{ending}") if _NAME.fullmatch(path.name)]

    def open(self, name: str) -> IO[bytes]:
        """Open a file to read it; raises OSError also if it is a link."""
        return open(self.path(name), "rb", opener=private)

    def new(self, name: str) -> NewFile:
        """Return a new file, which appears under its name when it is kept."""
        return NewFile(self.path(name))

    def write(self, name: str, content: bytes) -> None:
        """Write a whole file in place of the one that is there, if there is one."""
        with writing(self.new(name)) as file:
            file.write(content)
            file.keep()

    def remove(self, name: str) -> None:
        """Delete a file; one that is not there is deleted already."""
        self.path(name).unlink(missing_ok=True)

    def remove_with_others(self, name: str) -> None:
        """Delete a database, and the files that SQLite and its lock have put beside it."""
        self.remove(name)
        for beside in self._path.glob(f"{name}*"):
            beside.unlink(missing_ok=True)


class NewFile:
    """A file that is being written; without `keep`, `discard` leaves nothing of it."""

    def __init__(self, path: Path) -> None:
        self.size: int = 0
        """Bytes written so far."""
        self._path = path
        self._part = path.with_name(path.name + _PART)
        # A new file, and no link that somebody has put there.
        self._file: IO[bytes] = open(self._part, "xb", opener=private)  # noqa: SIM115  # closed by `discard`

    def __repr__(self) -> str:
        return f"NewFile({self._path.name!r}, {self.size} bytes)"

    def write(self, content: bytes) -> None:
        """Append bytes."""
        self._file.write(content)
        self.size += len(content)

    def keep(self) -> None:
        """Have it on the disk, under its name."""
        sync(self._file)
        self._file.close()
        self._part.replace(self._path)
        sync_folder(self._path.parent)

    def discard(self) -> None:
        """Delete what was written, unless it is kept. Idempotent."""
        self._file.close()
        self._part.unlink(missing_ok=True)


@contextmanager
def writing(file: NewFile) -> Iterator[NewFile]:
    """Discard *file* at the end of the block, unless it was kept in it."""
    try:
        yield file
    finally:
        file.discard()
