"""The client for scripts, notebooks and threads: the same calls, without `await`.

with SegmindClient() as client:
    print(client.chat("Tell me a joke about dogs.").text)
    for outcome in client.fan_out(prompts, floor=1): ...

An event loop runs in a thread of its own, from the first call to `close()`. So it works where a loop
runs already, as in Jupyter, and any number of threads may use one client at once: their calls share its
slots, its pace and its ledger.
"""

from __future__ import annotations

import copy
import functools
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, Self, TypedDict, TypeVar, Unpack, overload

from anyio.from_thread import BlockingPortal, start_blocking_portal

from ._jobs import run as runner
from ._jobs.options import JobArguments
from ._jobs.report.row_counts import JobReport
from ._jobs.report.samples import Samples
from ._jobs.rows import JobRows
from ._sending import fan_out as _fanout
from ._sending.call_queue import Priority
from ._sending.options import FanOutSettings, ManySettings
from ._sending.source import Rows
from ._transport.base import Transport
from ._transport.choice import TransportName
from .agent_result import T_co
from .client import SegmindClient as AsyncClient
from .config import Limits, RetryPolicy, Timeouts
from .errors import ClientClosedError
from .hooks import Hooks
from .models import (
    DEFAULT_MODEL,
    Balance,
    ChatCompletion,
    FanOutReport,
    JsonObject,
    Outcome,
    Request,
    Statistics,
    StopReason,
)
from .tools import Tools

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from typing_extensions import TypeForm

    from .agent_result import T_co as R

T = TypeVar("T")
Inner = TypeVar("Inner", bound=_fanout.FanOut[Any] | runner.JobRun[Any])
P = ParamSpec("P")

__all__ = ["FanOut", "JobRun", "SegmindClient"]


class ClientSettings(TypedDict, total=False):
    """Settings of a client besides key, URL and model; see `segmind_async.SegmindClient`."""

    limits: Limits | None
    timeouts: Timeouts | None
    retry: RetryPolicy | None
    api_keys: Sequence[str] | None
    allow_http: bool
    proxy: str | None
    trust_env: bool
    transport: Transport | TransportName | None
    hooks: Iterable[Hooks]
    gateway_budget: str | None


class BudgetSettings(TypedDict, total=False):
    """The limits of a budget; see `segmind_async.SegmindClient.budget`."""

    max_credits: Decimal | float | None
    floor: Decimal | float
    max_in_flight: int | None
    priority: Priority | None


class SegmindClient:
    """`segmind_async.SegmindClient` without `await`: same settings, answers and errors.

    Use it with `with`, or call `close()`. Ctrl-C cancels the call that is waited for; its possible cost
    stays in the ledger. Hooks are called, and rows of a fan-out are read, in the thread of the client;
    neither may call the client.
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        model: str = DEFAULT_MODEL,
        **settings: Unpack[ClientSettings],
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
        """The async client, for methods without a synchronous form; run them with `call()`."""
        return self._client

    @property
    def closed(self) -> bool:
        """Whether this client, or one it was derived from, was closed."""
        return self._client.closed

    def close(self) -> None:
        """Cancel calls in flight, close connections, end the thread; a derived client closes only itself."""
        if self._client._ancestors:
            if not self.closed:
                self._bridge.call(self._client.aclose)
        else:
            self._bridge.close()

    def call(self, function: Callable[P, Awaitable[T]], *args: P.args, **options: P.kwargs) -> T:
        """Run an async function of the async client: `client.call(agent.run, "…")`.

        Raises ClientClosedError, and the errors of *function*.
        """
        return self._bridge.call(functools.partial(function, *args, **options))

    @overload
    def chat(
        self,
        messages: Request,
        *,
        parse: TypeForm[R],
        tools: Tools,
        max_reasks: int = ...,
        model: str | None = ...,
        timeout: float | None = ...,
        **parameters: object,
    ) -> ChatCompletion[R | None]: ...
    @overload
    def chat(
        self,
        messages: Request,
        *,
        parse: TypeAdapter[R],
        tools: Tools,
        max_reasks: int = ...,
        model: str | None = ...,
        timeout: float | None = ...,
        **parameters: object,
    ) -> ChatCompletion[R | None]: ...
    @overload
    def chat(
        self,
        messages: Request,
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
        messages: Request,
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
        messages: Request,
        *,
        parse: JsonObject,
        max_reasks: int = ...,
        model: str | None = ...,
        timeout: float | None = ...,
        **parameters: object,
    ) -> ChatCompletion[Any]: ...
    @overload
    def chat(
        self,
        messages: Request,
        *,
        parse: None = None,
        max_reasks: int = ...,
        model: str | None = ...,
        timeout: float | None = ...,
        **parameters: object,
    ) -> ChatCompletion: ...
    def chat(self, messages: Request, *, parse: Any = None, **options: Any) -> ChatCompletion[Any]:
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
        self, requests: Rows, *, parse: JsonObject, **settings: Unpack[FanOutSettings]
    ) -> FanOut[Any]: ...
    @overload
    def fan_out(
        self, requests: Rows, *, parse: None = None, **settings: Unpack[FanOutSettings]
    ) -> FanOut: ...
    def fan_out(
        self, requests: Rows, *, parse: Any = None, **settings: Unpack[FanOutSettings]
    ) -> FanOut[Any]:
        """Send very many requests; iterate over the result, or enter it with `with` to leave it early."""
        make = functools.partial(self._client.fan_out, requests, parse=parse, **settings)
        return FanOut(self._bridge, self._bridge.call_soon(make))

    @overload
    def run_job(self, rows: JobRows, *, parse: TypeForm[R], **job: Unpack[JobArguments]) -> JobRun[R]: ...
    @overload
    def run_job(self, rows: JobRows, *, parse: TypeAdapter[R], **job: Unpack[JobArguments]) -> JobRun[R]: ...
    @overload
    def run_job(self, rows: JobRows, *, parse: JsonObject, **job: Unpack[JobArguments]) -> JobRun[Any]: ...
    @overload
    def run_job(self, rows: JobRows, *, parse: None = None, **job: Unpack[JobArguments]) -> JobRun: ...
    def run_job(self, rows: JobRows, *, parse: Any = None, **job: Unpack[JobArguments]) -> JobRun[Any]:
        """Run a durable job; iterate over the result, or enter it with `with`.

        What became of rows that share an answer (`dedupe`) is read in the async client.
        """
        make = functools.partial(self._client.run_job, rows, parse=parse, **job)
        return JobRun(self._bridge, self._bridge.call_soon(make))

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
        self, requests: Rows, *, parse: JsonObject, **settings: Unpack[ManySettings]
    ) -> list[Outcome[Any]]: ...
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
        """Read the balance of the account from the service. Free of charge."""
        return self.call(self._client.balance)

    def statistics(self) -> Statistics:
        """Return a snapshot of attempts in flight, waiting calls and limits."""
        return self._bridge.call_soon(self._client.statistics)

    def with_options(
        self,
        *,
        model: str | None = None,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
    ) -> SegmindClient:
        """Return a client with other defaults that shares all else with this one."""
        make = functools.partial(self._client.with_options, model=model, timeouts=timeouts, retry=retry)
        return self._derived(self._bridge.call_soon(make))

    def budget(self, **settings: Unpack[BudgetSettings]) -> SegmindClient:
        """Return a client whose calls count in limits of their own, and in those of this client."""
        return self._derived(self._bridge.call_soon(functools.partial(self._client.budget, **settings)))

    def _derived(self, client: AsyncClient) -> SegmindClient:
        derived = object.__new__(SegmindClient)
        derived._client, derived._bridge = client, self._bridge
        return derived


class _Outcomes(Generic[Inner, T_co]):
    """Outcomes of many calls, as they complete.

    Iterating enters it and leaves it at the end. To leave early, or to read the report meanwhile, write
    `with client.fan_out(…) as outcomes`.
    """

    def __init__(self, bridge: _Bridge, inner: Inner) -> None:
        self._bridge = bridge
        self._inner = inner
        self._context = ExitStack()
        self._entered = False

    def __repr__(self) -> str:
        return f"sync.{self._inner!r}"

    def __enter__(self) -> Self:
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

    def stop(self, message: str = "stopped by the caller", reason: StopReason = StopReason.STOPPED) -> None:
        """Read no more rows and send none of those that wait; calls in flight end and are delivered."""
        self._bridge.call_soon(functools.partial(self._inner.stop, message, reason))

    def _next(self) -> Outcome[T_co] | None:
        return self._bridge.call(self._advance)

    async def _advance(self) -> Outcome[T_co] | None:
        return await anext(self._inner, None)


class FanOut(_Outcomes[_fanout.FanOut[Any], T_co]):
    """Outcomes of many calls, as they complete; made by `SegmindClient.fan_out`."""

    @property
    def report(self) -> FanOutReport:
        """Counts, costs and times of the rows so far."""
        return self._bridge.call_soon(lambda: self._inner.report)


class JobRun(_Outcomes[runner.JobRun[Any], T_co]):
    """Outcomes of a job, as they complete; made by `SegmindClient.run_job`."""

    @property
    def report(self) -> JobReport:
        """Counts of the job so far, earlier runs included."""
        return self._bridge.call_soon(lambda: copy.deepcopy(self._inner.report))

    @property
    def samples(self) -> Samples:
        """The few rows of this run that are worth a look."""
        return self._bridge.call_soon(lambda: copy.deepcopy(self._inner.samples))


class _Bridge:
    """One event loop in a thread of its own, started at the first call, for a client and all derived ones."""

    def __init__(self, client: AsyncClient) -> None:
        self._thread = _LoopThread(client)
        # Without `close()` it is closed when the last client that uses it is collected.
        self._end = weakref.finalize(self, _LoopThread.close_from_any_thread, self._thread)

    def portal(self) -> BlockingPortal:
        """Return the portal into the loop, started if need be; raises ClientClosedError."""
        return self._thread.portal()

    def call(self, function: Callable[[], Awaitable[T]]) -> T:
        """Run an async function in the loop and wait for what it returns."""
        future = self.portal().start_task_soon(function)
        try:
            return future.result()
        except BaseException:
            # Ctrl-C in this thread: the call must not go on with nobody waiting for it.
            future.cancel()
            raise

    def call_soon(self, function: Callable[[], T]) -> T:
        """Run a plain function in the loop's thread, the only one that may touch the client."""
        return self.portal().call(function)

    def close(self) -> None:
        """End the loop and its thread."""
        self._end()


class _LoopThread:
    """The thread itself. It refers to none of its users, so that they can be collected."""

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
        # In reverse order: close the sessions, cancel all calls in flight, join the thread.
        self._stack.callback(portal.call, functools.partial(portal.stop, cancel_remaining=True))
        self._stack.callback(portal.call, self._client.aclose)
        return portal

    def close_from_any_thread(self) -> None:
        """Close it, also where the last client is collected in the loop's own thread, which cannot wait."""
        if threading.get_ident() == self._ident:
            threading.Thread(target=self.close).start()
        else:
            self.close()

    def close(self) -> None:
        with self._lock:
            self._closed = True
        self._stack.close()
