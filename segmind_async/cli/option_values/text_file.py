"""Text files that options name."""

from __future__ import annotations

from pathlib import Path

import typer


def read_text(option: str, path: Path) -> str:
    """Return the text of the file that *option* names; raises typer.BadParameter if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise typer.BadParameter(f"file {str(path)!r} cannot be read: {reason}", param_hint=option) from error


def is_file(path: Path) -> bool:
    """Return whether there is such a file; False for what is too long for a name, such as a schema itself."""
    try:
        return path.is_file()
    except OSError:
        return False
