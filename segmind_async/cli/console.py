"""Output of the commands: messages to stderr, results to stdout, control characters escaped."""

from __future__ import annotations

import json
import sys


def say(text: str) -> None:
    """Print a message to stderr; stdout is for results only."""
    print(plain(text), file=sys.stderr, flush=True)


def show_json(value: object) -> None:
    """Print a result as JSON; amounts are strings, so that no digit is lost."""
    print(json.dumps(value, default=str, ensure_ascii=True, indent=2))


def plain(text: str) -> str:
    """Escape control characters: text of a model or of the server must not control the terminal."""
    return "".join(char if char.isprintable() or char in "\n\t" else ascii(char)[1:-1] for char in text)
