"""The trace: a path of names that follows a call through tasks and threads, for logs and hooks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from .._wire.response_headers import TRACE_CONTEXT

_PATH: ContextVar[str] = ContextVar("segmind_async_trace", default="")

_CALLER: ContextVar[Mapping[str, str] | None] = ContextVar("segmind_async_caller", default=None)


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


@contextmanager
def called_with(headers: Mapping[str, str]) -> Iterator[None]:
    """Make all calls inside belong to the request that a gateway has received with *headers*."""
    token = _CALLER.set({name: headers[name] for name in TRACE_CONTEXT if name in headers})
    try:
        yield
    finally:
        _CALLER.reset(token)


def callers_context() -> Mapping[str, str]:
    """Return the headers that say which trace the request of a gateway's caller belongs to."""
    return _CALLER.get() or {}
