"""The text of exceptions, also of those whose own text cannot be made. Pure."""

from __future__ import annotations


def message_of(error: BaseException) -> str:
    """Return the message of an exception; of one whose `__str__` fails, a note on that."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001  # a class of the user's, which may do anything
        return "its message cannot be read"


def class_and_message(error: BaseException) -> str:
    """Return the class of an exception and its message."""
    return f"{type(error).__name__}: {message_of(error)}"
