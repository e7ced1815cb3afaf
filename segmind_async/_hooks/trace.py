"""The trace: a path of names that follows a call through tasks and threads, for logs and hooks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_PATH: ContextVar[str] = ContextVar("segmind_async_trace", default="")


@contextmanager
def trace(name: str) -> Iterator[str]:
    """Add *name* to the trace of all calls made inside; yields the whole path.

    Nested names make a path: `with trace("planner")` around `with trace("module-x")` is
    `planner/module-x`. Tasks and worker threads that are started inside inherit it.
    """
    outer = _PATH.get()
    token = _PATH.set(f"{outer}/{name}" if outer else name)
    try:
        yield _PATH.get()
    finally:
        _PATH.reset(token)


def current_trace() -> str:
    """Return the path of names around the caller, such as `planner/module-x`; empty outside of any."""
    return _PATH.get()
