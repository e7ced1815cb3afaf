"""Repeats: an SDK sends a request again after its own timeout, and gets the call that still runs.

The call runs in a task of its own, which outlives its caller only if that one can be expected to ask again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

from .._wire.response_headers import BUDGET, PRIORITY
from ..models import ChatCompletion
from ._access import token_in
from ._background_tasks import BackgroundTasks

RETRY_COUNT = "x-stainless-retry-count"
"""Sent by OpenAI's SDKs with every request; above 0 in a repeat."""

_TIMEOUTS = ("x-stainless-read-timeout", "x-stainless-timeout")
"""Seconds after which the SDK gives up (openai for Python, openai for JavaScript)."""

_NEARLY = 0.9
"""An SDK counts from before its request arrives here."""


def is_repeat(headers: Mapping[str, str]) -> bool:
    """Return whether an SDK sends this request for at least the second time."""
    count = headers.get(RETRY_COUNT, "")
    return count.isdecimal() and count.strip("0") != ""


def may_repeat(headers: Mapping[str, str], elapsed: float) -> bool:
    """Return whether a caller that has gone after *elapsed* seconds may send its request again.

    One that has gone well before its timeout was stopped, and will not.
    """
    if RETRY_COUNT not in headers:
        return False
    told = next((headers[name] for name in _TIMEOUTS if name in headers), "0")
    try:
        return elapsed >= _NEARLY * float(told)
    except ValueError:
        return True


def request_key(path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    """Return a digest of what must be equal in a repeat: who asks, in which budget, and what.

    In Segmind's own form the *path* names the model.
    """
    digest = blake2b(body)
    for text in (path, token_in(headers), headers.get(BUDGET, ""), headers.get(PRIORITY, "")):
        digest.update(blake2b(text.encode("utf-8", "surrogateescape")).digest())
    return digest.digest()


class _Left(NamedTuple):
    """A call whose caller has gone."""

    task: asyncio.Task[ChatCompletion]
    end: asyncio.TimerHandle


class Repeats:
    """The calls of a gateway. One whose caller may ask again is kept for *wait* seconds, then cancelled."""

    def __init__(self, wait: float) -> None:
        self._wait = wait
        self._tasks = BackgroundTasks()
        self._left: dict[bytes, list[_Left]] = {}

    async def answer(
        self,
        path: str,
        headers: Mapping[str, str],
        body: bytes,
        start: Callable[[], Coroutine[Any, Any, ChatCompletion]],
    ) -> ChatCompletion:
        """Return the answer of the call that this request repeats, else of a call that *start* makes."""
        if RETRY_COUNT not in headers:
            # No SDK asks, so nobody repeats it: it ends with its caller, and needs no task of its own.
            return await start()
        key = request_key(path, headers, body)
        task = (self._taken(key) if is_repeat(headers) else None) or self._tasks.begin(start())
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            # Unlike awaiting it, this does not cancel the task with its caller.
            await asyncio.wait([task])
        except asyncio.CancelledError:
            if may_repeat(headers, clock() - began):
                self._leave(key, task)
            else:
                task.cancel()
            raise
        return task.result()

    async def aclose(self) -> None:
        """Cancel all calls that still run, and wait until what they may have cost is booked."""
        for one in [one for waiting in self._left.values() for one in waiting]:
            one.end.cancel()
        self._left.clear()
        await self._tasks.aclose()

    def _leave(self, key: bytes, task: asyncio.Task[ChatCompletion]) -> None:
        end = asyncio.get_running_loop().call_later(self._wait, self._give_up, key)
        self._left.setdefault(key, []).append(_Left(task, end))

    def _taken(self, key: bytes) -> asyncio.Task[ChatCompletion] | None:
        """Take the call that was left first; each of several equal ones goes to one repeat."""
        waiting = self._left.get(key)
        if not waiting:
            return None
        first = waiting.pop(0)
        first.end.cancel()
        if not waiting:
            del self._left[key]
        return first.task

    def _give_up(self, key: bytes) -> None:
        # Timers fire in the order in which calls were left, and a taken call has none.
        task = self._taken(key)
        assert task is not None
        task.cancel()
