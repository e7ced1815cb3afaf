"""How files beside a user's own are opened: not through a link that somebody else has put in their place.

Each function is an *opener* for `open()`.
"""

from __future__ import annotations

import os

_NO_LINK = getattr(os, "O_NOFOLLOW", 0)


def no_link(path: str, flags: int) -> int:
    """Open a file with the user's usual mode; raises OSError if *path* is a link."""
    return os.open(path, flags | _NO_LINK, 0o666)


def private(path: str, flags: int) -> int:
    """Open a file that only the user may read; raises OSError if *path* is a link."""
    return os.open(path, flags | _NO_LINK, 0o600)
