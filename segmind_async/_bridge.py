"""An event loop in a thread of its own, for callers that do not wait with `await`."""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from .client import SegmindClient
from .errors import ClientClosedError

T = TypeVar("T")


class Bridge:
    """One event loop in a thread of its own, started at the first call, for a client and all derived ones."""

    def __init__(self, client: SegmindClient) -> None:
        self._thread = _LoopThread(client)
        # Forgotten without `close()`: then it is closed with the last client that uses it.
        self._end = weakref.finalize(self, _LoopThread.close_from_anywhere, self._thread)

    def portal(self) -> BlockingPortal:
        """Return the way into the loop; raises ClientClosedError."""
        return self._thread.portal()

    def call(self, function: Callable[[], Awaitable[T]]) -> T:
        """Run an async function in the loop and wait for what it returns."""
        future = self.portal().start_task_soon(function)
        try:
            return future.result()
        except BaseException:
            # Ctrl-C in this thread: the call must not go on without anybody who waits for it.
            future.cancel()
            raise

    def call_soon(self, function: Callable[[], T]) -> T:
        """Run a function that does not wait in the loop's thread, where alone the client may be touched."""
        return self.portal().call(function)

    def close(self) -> None:
        """End the loop and its thread."""
        self._end()


class _LoopThread:
    """The thread itself; it does not know who uses it, so that they can be forgotten."""

    def __init__(self, client: SegmindClient) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None
        self._ident: int | None = None
        self._closed = False

    def portal(self) -> BlockingPortal:
        with self._lock:
            if self._closed:
                raise ClientClosedError("this client is closed; open a new one")
            if self._portal is None:
                self._portal = self._started()
            return self._portal

    def _started(self) -> BlockingPortal:
        portal = self._stack.enter_context(start_blocking_portal(name="segmind_async.sync"))
        self._ident = portal.call(threading.get_ident)
        # In reverse order: close the sessions, end all that is under way, wait for the thread.
        self._stack.callback(portal.call, functools.partial(portal.stop, cancel_remaining=True))
        self._stack.callback(portal.call, self._client.aclose)
        return portal

    def close_from_anywhere(self) -> None:
        """Close it, also where the last client is forgotten in the loop's own thread: that cannot wait."""
        if threading.get_ident() == self._ident:
            threading.Thread(target=self.close).start()
        else:
            self.close()

    def close(self) -> None:
        with self._lock:
            self._closed = True
        self._stack.close()
