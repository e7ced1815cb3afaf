"""The lock file of a journal, which names its owner, and the type of the journal's file system."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import IO

from ..openers import private

_NETWORK = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "9p",
        "afs",
        "ceph",
        "glusterfs",
        "lustre",
        "fuse.sshfs",
        "virtiofs",
    }
)
"""File systems on which SQLite's WAL cannot work: its index is shared memory of one machine."""

_MOUNTS = Path("/proc/self/mounts")


class Lock:
    """A lock file that names who holds it; the system lets go of it when the process ends, however."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def __repr__(self) -> str:
        return f"Lock({str(self._path)!r}, {'free' if self._file is None else 'held'})"

    def take(self) -> str | None:
        """Take the lock; if somebody else holds it, return who."""
        while True:
            file = open(self._path, "a+", encoding="utf-8", opener=private)  # noqa: SIM115
            try:
                _lock_file(file.fileno())
            except OSError:
                file.seek(0)
                owner = file.read().strip() or "another process"
                file.close()
                return owner
            if _is_same(self._path, file.fileno()):
                break
            # Its holder deleted it in between: another one may have locked a new file of that name.
            file.close()
        file.truncate(0)
        file.write(f"process {os.getpid()}")
        file.flush()
        self._file = file
        return None

    def holder(self) -> str | None:
        """Return who holds the lock; None if nobody does. Takes nothing and makes no file."""
        try:
            with self._path.open(encoding="utf-8") as file:
                if _may_share(file.fileno()):
                    return None
                return file.read().strip() or "another process"
        except OSError:
            return None

    def release(self) -> None:
        """Let go, and delete the file while it is still locked. Idempotent."""
        if self._file is not None:
            self._file.truncate(0)
            with suppress(OSError):  # where an open file cannot be deleted it stays, empty
                self._path.unlink()
            self._file.close()
            self._file = None


def _is_same(path: Path, descriptor: int) -> bool:
    """Return whether *path* names the open file."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def is_on_network(path: Path) -> bool:
    """Tell whether *path* lies on another machine's disk; True where that cannot be found out."""
    try:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return True
    place, best, kind = path.resolve(), -1, ""
    for line in mounts:
        _, folder, found, *_ = line.split(" ")
        mount = Path(folder.replace("\\040", " "))
        if place.is_relative_to(mount) and len(mount.parts) >= best:
            best, kind = len(mount.parts), found
    return kind in _NETWORK


if os.name == "posix":
    import fcntl

    def _lock_file(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _may_share(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

else:  # pragma: no cover  # Windows
    import msvcrt

    def _lock_file(descriptor: int) -> None:
        # Far behind what is written there, so that others can read who holds it.
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]

    def _may_share(descriptor: int) -> bool:
        try:
            _lock_file(descriptor)
        except OSError:
            os.lseek(descriptor, 0, os.SEEK_SET)
            return False
        return True
