"""Who works on a journal, as written in the journal itself: what the lock file says is gone if it is deleted.

A second process refuses if the owner lives. Where it cannot tell, as from another container, it takes over,
and the first one finds its name replaced before its next commit and stops.
"""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

FACT = "owner"

_DEAD = frozenset({b"Z", b"X"})
"""States of a process that has ended and whose parent has not asked for it: it may stay so for ever."""

_HERE: set[str] = set()
"""Tokens of the journals that this process has open."""


class Owner:
    """One opening of a journal by this process."""

    def __init__(self) -> None:
        self._token = secrets.token_hex(8)
        self._process = _process(os.getpid())
        _HERE.add(self._token)

    def __repr__(self) -> str:
        return f"Owner({self._token})"

    def as_json(self) -> dict[str, object]:
        """Return what the journal says of this owner."""
        return {"token": self._token, "pid": os.getpid(), "process": self._process}

    def as_text(self) -> str:
        """Return the same as the journal stores it."""
        return json.dumps(self.as_json())

    def forget(self) -> None:
        """Say that the journal is closed. Idempotent."""
        _HERE.discard(self._token)


def lives(owner: object) -> bool:
    """Return whether the *owner* that a journal names has it open; False where that cannot be known."""
    if not isinstance(owner, dict):
        return False
    pid, process = owner.get("pid"), owner.get("process")
    if pid == os.getpid():
        return owner.get("token") in _HERE
    return isinstance(pid, int) and process is not None and _process(pid) == process


def _process(pid: int) -> str | None:
    """Return what tells a process from all others that had, or have elsewhere, its number.

    None if there is no such process, or no /proc.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
        state, *numbers = stat.rpartition(b")")[2].split()
        if state in _DEAD:
            return None
        started = numbers[18].decode()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').stat().st_ino} {started}"
    except (OSError, ValueError, IndexError):
        return None
