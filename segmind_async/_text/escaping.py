"""Text from outside, made fit to be shown: without control characters. Pure."""

from __future__ import annotations


def plain(text: str) -> str:
    """Escape control characters: text of a model or of the server must not control the terminal."""
    return "".join(char if char.isprintable() or char in "\n\t" else ascii(char)[1:-1] for char in text)


def one_line(text: str) -> str:
    """Return text from outside as one line without control characters."""
    return plain(" ".join(text.split()))
