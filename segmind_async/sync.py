"""The client for scripts, notebooks and threads: the same calls, without `await`.

with SegmindClient() as client:
    print(client.chat("Tell me a joke on dogs.").text)
    for outcome in client.fan_out(prompts, floor=1): ...

An event loop runs in a thread of its own, from the first call to `close()`. So it works where a loop
runs already, as in Jupyter, and any number of threads may use one client at once: their calls share its
slots, its pace and its ledger.
"""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypedDict, TypeVar, Unpack, overload

from anyio.from_thread import BlockingPortal, start_blocking_portal

from . import _fanout
from ._core.queue import Priority
from ._notify import OnAttempt, OnBalance, OnRetry
from ._settings import FanOutSettings, ManySettings
from ._source import Rows
from ._transport import Transport
from ._watch import OnChange
from .client import SegmindClient as AsyncClient
from .config import Limits, RetryPolicy, Timeouts
from .errors import ClientClosedError
from .models import (
    DEFAULT_MODEL,
    Balance,
    ChatCompletion,
    FanOutReport,
    Messages,
    Outcome,
    Statistics,
    T_co,
)

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from typing_extensions import TypeForm

    from .models import T_co as R

T = TypeVar("T")
P = ParamSpec("P")

__all__ = ["FanOut", "SegmindClient"]


class Settings(TypedDict, total=False):
    """What a client can be told, besides key, address and model; see `segmind_async.SegmindClient`."""

    limits: Limits | None
    timeouts: Timeouts | None
    retry: RetryPolicy | None
    allow_http: bool
    transport: Transport | None
    on_change: OnChange | None
    on_attempt: OnAttempt | None
    on_retry: OnRetry | None
    on_balance: OnBalance | None


class BudgetSettings(TypedDict, total=False):
    """The limits of a budget; see `segmind_async.SegmindClient.budget`."""

    max_credits: Decimal | float | None
    floor: Decimal | float
    max_in_flight: int | None
    priority: Priority | None


class SegmindClient:
    """`segmind_async.SegmindClient` without `await`: same settings, answers and errors.

    Use it with `with`, or call `close()`. Ctrl-C ends the call that is waited for; what it may have cost
    stays accounted for. Hooks are called in the client's own thread, and so are rows of a fan-out read;
    neither may call the client.
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        model: str = DEFAULT_MODEL,
        **settings: Unpack[Settings],
    ) -> None:
        self._client = AsyncClient(api_key, base_url, model, **settings)
        self._bridge = _Bridge(self._client)

    def __repr__(self) -> str:
        return f"sync.{self._client!r}"

    def __enter__(self) -> SegmindClient:
        self._client._check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def asynchronous(self) -> AsyncClient:
        """The client beneath, for what has no form here; `call()` runs it."""
        return self._client

    @property
    def closed(self) -> bool:
        """Whether this client, or one it was derived from, was closed."""
        return self._client.closed

    def close(self) -> None:
        """End what is under way, close connections and the thread; a derived one closes itself alone."""
        if self._client._ancestors:
            if not self.closed:
                self._bridge.call(self._client.aclose)
        else:
            self._bridge.close()

    def call(self, function: Callable[P, Awaitable[T]], *args: P.args, **options: P.kwargs) -> T:
        """Run an async function of the client beneath: `client.call(agent.run, "…")`.

        Raises ClientClosedError, and whatever *function* raises.
        """
        return self._bridge.call(functools.partial(function, *args, **options))

    @overload
    def chat(
        self,
        messages: Messages,
        *,
        parse: TypeForm[R],
        max_reasks: int = ...,
        model: str | None = ...,
        timeout: float | None = ...,
        **parameters: object,
    ) -> ChatCompletion[R]: ...
    @overload
    def chat(
        self,
        messages: Messages,
        *,
        parse: TypeAdapter[R],
        max_reasks: int = ...,
        model: str | None = ...,
        timeout: float | None = ...,
        **parameters: object,
    ) -> ChatCompletion[R]: ...
    @overload
    def chat(
        self,
        messages: Messages,
        *,
        parse: None = None,
        max_reasks: int = ...,
        model: str | None = ...,
        timeout: float | None = ...,
        **parameters: object,
    ) -> ChatCompletion: ...
    def chat(self, messages: Messages, *, parse: Any = None, **options: Any) -> ChatCompletion[Any]:
        """Send one conversation and wait for the answer; see `segmind_async.SegmindClient.chat`."""
        return self._bridge.call(functools.partial(self._client.chat, messages, parse=parse, **options))

    @overload
    def fan_out(
        self, requests: Rows, *, parse: TypeForm[R], **settings: Unpack[FanOutSettings]
    ) -> FanOut[R]: ...
    @overload
    def fan_out(
        self, requests: Rows, *, parse: TypeAdapter[R], **settings: Unpack[FanOutSettings]
    ) -> FanOut[R]: ...
    @overload
    def fan_out(
        self, requests: Rows, *, parse: None = None, **settings: Unpack[FanOutSettings]
    ) -> FanOut: ...
    def fan_out(
        self, requests: Rows, *, parse: Any = None, **settings: Unpack[FanOutSettings]
    ) -> FanOut[Any]:
        """Send very many; iterate over what this gives, or enter it with `with` to leave it early."""
        make = functools.partial(self._client.fan_out, requests, parse=parse, **settings)
        return FanOut(self._bridge, self._bridge.call_soon(make))

    @overload
    def chat_many(
        self, requests: Rows, *, parse: TypeForm[R], **settings: Unpack[ManySettings]
    ) -> list[Outcome[R]]: ...
    @overload
    def chat_many(
        self, requests: Rows, *, parse: TypeAdapter[R], **settings: Unpack[ManySettings]
    ) -> list[Outcome[R]]: ...
    @overload
    def chat_many(
        self, requests: Rows, *, parse: None = None, **settings: Unpack[ManySettings]
    ) -> list[Outcome]: ...
    def chat_many(
        self, requests: Rows, *, parse: Any = None, **settings: Unpack[ManySettings]
    ) -> list[Outcome[Any]]:
        """Send all of *requests* and return their outcomes in order; see the async client."""
        ask = functools.partial(self._client.chat_many, requests, parse=parse, **settings)
        return self._bridge.call(ask)

    def balance(self) -> Balance:
        """Ask the service what the account holds. Free of charge."""
        return self.call(self._client.balance)

    def statistics(self) -> Statistics:
        """Return a snapshot of what is in flight, who waits, and why."""
        return self._bridge.call_soon(self._client.statistics)

    def with_options(
        self,
        *,
        model: str | None = None,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
    ) -> SegmindClient:
        """Return a client with other defaults that shares everything else with this one."""
        make = functools.partial(self._client.with_options, model=model, timeouts=timeouts, retry=retry)
        return self._derived(self._bridge.call_soon(make))

    def budget(self, **settings: Unpack[BudgetSettings]) -> SegmindClient:
        """Return a client whose calls count in limits of their own, and in this client's too."""
        return self._derived(self._bridge.call_soon(functools.partial(self._client.budget, **settings)))

    def _derived(self, client: AsyncClient) -> SegmindClient:
        derived = object.__new__(SegmindClient)
        derived._client, derived._bridge = client, self._bridge
        return derived


class FanOut(Generic[T_co]):
    """Outcomes of many calls, as they complete; made by `SegmindClient.fan_out`.

    Iterating enters it and leaves it at the end. Whoever may break off, or wants to look at the report
    meanwhile, writes `with client.fan_out(…) as outcomes`.
    """

    def __init__(self, bridge: _Bridge, inner: _fanout.FanOut[T_co]) -> None:
        self._bridge = bridge
        self._inner = inner
        self._context = ExitStack()
        self._entered = False

    def __repr__(self) -> str:
        return f"sync.{self._inner!r}"

    def __enter__(self) -> FanOut[T_co]:
        self._context.enter_context(self._bridge.portal().wrap_async_context_manager(self._inner))
        self._entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._context.close()

    def __iter__(self) -> Iterator[Outcome[T_co]]:
        if self._entered:
            yield from iter(self._next, None)
        else:
            with self:
                yield from iter(self._next, None)

    @property
    def report(self) -> FanOutReport:
        """What has become of the rows so far."""
        return self._bridge.call_soon(lambda: self._inner.report)

    def stop(self, reason: str) -> None:
        """Read no more rows and send none of those that wait; what is in flight ends, and is delivered."""
        self._bridge.call_soon(functools.partial(self._inner.stop, reason))

    def _next(self) -> Outcome[T_co] | None:
        return self._bridge.call(self._advance)

    async def _advance(self) -> Outcome[T_co] | None:
        return await anext(self._inner, None)


class _Bridge:
    """One event loop in a thread of its own, started at the first call, for a client and all derived ones."""

    def __init__(self, client: AsyncClient) -> None:
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

    def __init__(self, client: AsyncClient) -> None:
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
