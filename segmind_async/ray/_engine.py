"""Ray itself, imported when it is needed: the rest of the package works, and is tested, without it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType

from .._text.error_text import class_and_message
from .._text.escaping import one_line
from ..engines import ShardStoppedError
from ..errors import ConfigurationError, SegmindError

_LONGEST = 300
"""Characters of Ray's own message: some hold the log of a worker."""


def engine() -> ModuleType:
    """Import Ray; raises ConfigurationError, saying how to get it, where it is not installed."""
    try:
        return import_module("ray")
    except ImportError as error:
        raise ConfigurationError("Ray is not installed: pip install 'segmind-async[ray]'") from error


@contextmanager
def cluster_errors() -> Iterator[None]:
    """Raise what a task has raised as it was there, and ShardStoppedError for a cluster that lost it."""
    try:
        yield
    except engine().exceptions.RayError as error:
        # Of an error in a task; its own text is the traceback of the worker.
        cause = getattr(error, "cause", None)
        if isinstance(cause, SegmindError | OSError | sqlite3.Error):
            raise cause from None
        told = one_line(class_and_message(cause if isinstance(cause, Exception) else error))
        raise ShardStoppedError(
            f"the cluster has not ended the job: {told[:_LONGEST]}; what was answered is in the journals, "
            "and the same job goes on there"
        ) from error
