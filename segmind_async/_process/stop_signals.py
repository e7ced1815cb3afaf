"""The signals that ask a process to end: Ctrl-C, SIGTERM, and SIGHUP of a terminal that is closed.

One that is ignored stays so: of `nohup`, or of a command that a script has started in the background.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeAlias

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
"""Windows has no SIGHUP."""

OnSignal: TypeAlias = Callable[[signal.Signals], None]


@contextmanager
def on_stop_signals(react: OnSignal) -> Iterator[None]:
    """Call *react* in the running event loop for each signal; afterwards they do what they did before.

    In a thread that is not the main one, which gets no signals, nothing is changed.
    """
    loop = asyncio.get_running_loop()

    def received(number: int, _: object) -> None:
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(react, signal.Signals(number))

    before = _replace(received)
    try:
        yield
    finally:
        _restore(before)


@contextmanager
def as_interrupt() -> Iterator[None]:
    """Let the other signals do what Ctrl-C does: cancel the main task of the running loop, in its thread."""
    handler = signal.getsignal(signal.SIGINT)
    before = _replace(handler) if callable(handler) else {}
    try:
        yield
    finally:
        _restore(before)


def _replace(handler: Callable[[int, Any], object]) -> dict[int, Any]:
    """Set the handler of the signals that are not ignored; return those before."""
    before: dict[int, Any] = {}
    if threading.current_thread() is not threading.main_thread():
        return before
    for number in (getattr(signal, name) for name in _NAMES if hasattr(signal, name)):
        # None: installed by C code, which could not be restored.
        if signal.getsignal(number) not in {signal.SIG_IGN, None}:
            before[number] = signal.signal(number, handler)
    return before


def _restore(before: dict[int, Any]) -> None:
    for number, handler in before.items():
        signal.signal(number, handler)
