"""The client: it validates the user's settings and connects the layers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack, overload

from ._agents.agent import Agent, AgentOptions, Chat, ToolsVia
from ._hooks.dispatch import HookDispatcher
from ._jobs.options import JobArguments, JobOptions, JobPlan
from ._jobs.progress_reporter import Progress
from ._jobs.rows import JobRows, as_rows
from ._jobs.run import JobRun, ToSend
from ._money.estimates import Estimates
from ._money.ledger import Ledger
from ._money.protocol import LedgerProtocol
from ._money.units import credits_of, to_decimal
from ._providers.registry import check_slug
from ._sending.accounts.opening import open_accounts
from ._sending.admission import Admission, CallScope
from ._sending.call import Call, CallOptions, request_of
from ._sending.call_queue import Priority
from ._sending.conversation import Conversation, expected, run_within
from ._sending.fan_out import FanOut, all_outcomes
from ._sending.options import (
    MAX_OUTAGE,
    FanOutOptions,
    FanOutSettings,
    JobSending,
    ManySettings,
    OnExhausted,
    ScopeLimits,
)
from ._sending.service import Service, read_balance
from ._sending.source import Rows, size_of
from ._transport.access import DEFAULT_BASE_URL, check_gateway, checked_keys, checked_url, headers
from ._transport.base import Transport
from ._transport.by_key import by_key
from ._transport.choice import TransportName, make_transport
from ._transport.proxy import proxy_for
from ._wire.redaction import Redactor
from .config import Environment, Limits, RetryPolicy, Timeouts
from .errors import ClientClosedError, ConfigurationError
from .hooks import Hooks
from .models import DEFAULT_MODEL, Balance, ChatCompletion, JsonObject, Outcome, Request, Statistics
from .tools import Functions, Tools, runnable

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from typing_extensions import TypeForm

    from .agent_result import T_co as T


@dataclass(slots=True)
class _Lifetime:
    closed: bool = False


class SegmindClient:
    """Sends chat completions to Segmind, many at once, within the account's credits and rate.

    Make one client for a program: its calls share sessions, slots, pace and ledger.
    Use it with `async with`, or call `aclose()`. It serves one event loop at a time.

    `api_keys`, by default those of `SEGMIND_API_KEYS`, are keys of several accounts, each with a ledger, a
    pace and `limits` of its own: a call goes to one that has money and rate left.
    `api_key` and `base_url` default to `SEGMIND_API_KEY` and `SEGMIND_BASE_URL`; the latter includes
    the `/v1`. `allow_http` permits a plain-text connection to another machine, which exposes the key.
    `proxy` is the URL of a proxy, by default `SEGMIND_PROXY`; without one, `trust_env=True` takes that of
    `HTTPS_PROXY` and its like. A proxy is used by aiohttp's session.
    `transport` chooses what sends: "public" is aiohttp's session, "direct" takes less CPU time; it defaults
    to `SEGMIND_TRANSPORT`, else "direct" where the installed aiohttp allows it. An object replaces the
    network (see `segmind_async.transport` and `segmind_async.testing`). `hooks` receive what happens to
    calls, attempts, the balance and the limits; see `segmind_async.Hooks`. `gateway_budget` names the budget
    of a gateway that all calls count in, by default `SEGMIND_GATEWAY_BUDGET`; `base_url` is then a gateway.

    Raises ConfigurationError for invalid settings. Construction does no IO and needs no event loop.
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        model: str = DEFAULT_MODEL,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        *,
        api_keys: Sequence[str] | None = None,
        allow_http: bool = False,
        proxy: str | None = None,
        trust_env: bool = False,
        transport: Transport | TransportName | None = None,
        hooks: Iterable[Hooks] = (),
        gateway_budget: str | None = None,
    ) -> None:
        environment = Environment.read()
        keys = checked_keys(api_key, api_keys, environment)
        url = checked_url(base_url or environment.base_url or DEFAULT_BASE_URL, allow_http)
        limits, timeouts = limits or Limits(), timeouts or Timeouts()
        if transport is None or isinstance(transport, str):
            name = transport or environment.transport
            proxy = proxy_for(url, proxy, environment.proxy, trust_env=trust_env, allow_http=allow_http)
            transport = by_key(
                make_transport(name, url, headers(key), timeouts, limits.max_response_bytes, proxy)
                for key in keys
            )
        elif proxy is not None:
            raise ConfigurationError("proxy: a transport of your own makes its own connections; leave it out")
        dispatcher = HookDispatcher(hooks)
        self._service = Service(
            transport,
            Admission(
                open_accounts(keys, limits, self._new_ledger),
                dispatcher.changed if dispatcher.wants_changes() else None,
                dispatcher.waiting,
            ),
            Estimates(None if limits.first_cost is None else to_decimal(limits.first_cost)),
            Redactor(*keys),
            hooks=dispatcher,
        )
        gateway_budget = gateway_budget or environment.gateway_budget
        if environment.gateway or gateway_budget is not None:
            check_gateway(url, gateway_budget)
            # It is waited for if it is not there yet; its first answer must show it.
            self._service.admission.leave_to_gateway(behind_gateway=True)
        self._limits, self._base_url = limits, url
        root, retry = self._service.admission.root, retry or RetryPolicy()
        self._options = CallOptions(root, timeouts, retry, check_slug(model), gateway_budget)
        self._lifetime = _Lifetime()
        self._ancestors: tuple[_Lifetime, ...] = ()

    def __repr__(self) -> str:
        state = "closed" if self.closed else repr(self._service.admission)
        return f"SegmindClient({self._base_url!r}, model={self._options.model!r}, {state})"

    def __reduce__(self) -> str:
        raise TypeError("a SegmindClient holds a key and connections; make one in each process")

    async def __aenter__(self) -> Self:
        self._check_open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def closed(self) -> bool:
        """Whether this client, or one it was derived from, was closed."""
        return self._lifetime.closed or any(lifetime.closed for lifetime in self._ancestors)

    async def aclose(self) -> None:
        """Close this client; connections are closed by the client that opened them. Idempotent."""
        self._lifetime.closed = True
        if not self._ancestors:
            await self._service.transport.aclose()

    def statistics(self) -> Statistics:
        """Return a snapshot of attempts in flight, waiting calls, and limits with their reasons."""
        found = self._service.admission.statistics(self._service.estimates.of(self._options.model))
        left = self._options.scope.budget.left
        return found if left is None else replace(found, budget_left=credits_of(left))

    @overload
    async def chat(
        self,
        messages: Request,
        *,
        parse: TypeForm[T],
        tools: Tools,
        max_reasks: int = ...,
        model: str | None = ...,
        timeout: float | None = ...,
        **parameters: object,
    ) -> ChatCompletion[T | None]: ...
    @overload
    async def chat(
        self,
        messages: Request,
        *,
        parse: TypeAdapter[T],
        tools: Tools,
        max_reasks: int = ...,
        model: str | None = ...,
        timeout: float | None = ...,
        **parameters: object,
    ) -> ChatCompletion[T | None]: ...
    @overload
    async def chat(
        self,
        messages: Request,
        *,
        parse: TypeForm[T],
        max_reasks: int = ...,
        model: str | None = ...,
        timeout: float | None = ...,
        **parameters: object,
    ) -> ChatCompletion[T]: ...
    @overload
    async def chat(
        self,
        messages: Request,
        *,
        parse: TypeAdapter[T],
        max_reasks: int = ...,
        model: str | None = ...,
        timeout: float | None = ...,
        **parameters: object,
    ) -> ChatCompletion[T]: ...
    @overload
    async def chat(
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
    async def chat(
        self,
        messages: Request,
        *,
        parse: None = None,
        max_reasks: int = ...,
        model: str | None = ...,
        timeout: float | None = ...,
        **parameters: object,
    ) -> ChatCompletion: ...
    async def chat(
        self,
        messages: Request,
        *,
        parse: Any = None,
        max_reasks: int = 1,
        model: str | None = None,
        timeout: float | None = None,
        **parameters: object,
    ) -> ChatCompletion[Any]:
        """Send one conversation and wait for the answer.

        A string is one user message; a `ChatRequest` brings its own model and parameters. `parameters` go
        to the provider as they are: `temperature=0`, `max_tokens=50`. `timeout` limits the whole call, the
        wait for a slot included, in seconds; None: the client's `Timeouts`.

        `parse` is the type the answer must have (a model, dataclass, TypedDict, enum, Literal, union, list,
        dict …, a `TypeAdapter`, or a JSON schema as a dict); its value comes in `parsed`, for a JSON schema
        as plain JSON. An answer that does not match is sent back
        with the problem, at most `max_reasks` times; each answer is paid, and `cost` is their sum. With
        `tools`, an answer that calls some comes with `parsed` None: return their results and ask again, or
        use `agent`.

        Raises InvalidRequestError before anything is sent, with `parse` OutputError for answers that do not
        match, else as the tree in `segmind_async.errors` says. If cancelled, the call may have been
        sent, and billed.
        """
        self._check_open()
        request = request_of(messages, model, parameters)
        call: Call | Conversation[Any]
        if parse is None:
            call = Call(self._service, self._options, request)
        else:
            call = Conversation(self._service, self._options, request, expected(parse, max_reasks))
        return await (call.run() if timeout is None else run_within(timeout, call))

    @overload
    def fan_out(
        self, requests: Rows, *, parse: TypeForm[T], **settings: Unpack[FanOutSettings]
    ) -> FanOut[T]: ...
    @overload
    def fan_out(
        self, requests: Rows, *, parse: TypeAdapter[T], **settings: Unpack[FanOutSettings]
    ) -> FanOut[T]: ...
    @overload
    def fan_out(
        self, requests: Rows, *, parse: JsonObject, **settings: Unpack[FanOutSettings]
    ) -> FanOut[Any]: ...
    @overload
    def fan_out(
        self, requests: Rows, *, parse: None = None, **settings: Unpack[FanOutSettings]
    ) -> FanOut: ...
    def fan_out(
        self,
        requests: Rows,
        *,
        parse: Any = None,
        max_reasks: int = 1,
        floor: Decimal | float = 0,
        max_credits: Decimal | float | None = None,
        max_in_flight: int | None = None,
        priority: Priority = "bulk",
        on_exhausted: OnExhausted = "stop",
        ordered: bool = False,
        fail_fast: bool = False,
        max_failures: int | None = None,
        max_outage: float = MAX_OUTAGE,
        buffer: int | None = None,
        keep: Callable[[Outcome[Any]], Awaitable[None]] | None = None,
    ) -> FanOut[Any]:
        """Send very many requests; returns an async context manager over an async iterator of outcomes.

        `requests` is any iterable or async iterable, finite or not, of strings, lists of messages, or
        `ChatRequest`s. It is read row by row, never further ahead than calls in flight and `buffer`
        (default: as many as in flight) finished rows. Outcomes come as they complete, or in order of input
        with `ordered`.

        `floor` credits remain on the account; at most `max_credits` are spent here. When the credits are
        used up, `on_exhausted` decides: "stop" ends, and rows read but not sent are `unsent`; "wait"
        continues after a top-up; "raise" raises InsufficientCreditsError at the end.
        The failure of a row does not affect others, unless `fail_fast`, or `max_failures` rows failed.
        While the service fails for all, rows wait instead of failing, and one at a time probes it, for at
        most `max_outage` seconds; then the fan-out stops. 0: rows fail without waiting.

        `keep` is awaited with every outcome before the consumer receives it, and before its slot takes
        another row: an outcome it has stored survives a crash. If it raises, the fan-out stops with that.

        `parse` and `max_reasks` are those of `chat`: every row's `outcome.parsed` is of that type.

        Raises ConfigurationError for invalid settings, InvalidRequestError for an invalid `parse`.
        """
        self._check_open()
        scope = self._scope(ScopeLimits(max_credits, floor, max_in_flight, priority))
        options = FanOutOptions.checked(
            workers=self._workers(scope),
            buffer=buffer,
            ordered=ordered,
            on_exhausted=on_exhausted,
            max_failures=1 if fail_fast else max_failures,
            max_outage=max_outage,
        )
        wanted = None if parse is None else expected(parse, max_reasks)
        options = replace(options, keep=keep, expected=wanted)
        return FanOut(self._service, options, replace(self._options, scope=scope), requests)

    @overload
    def run_job(self, rows: JobRows, *, parse: TypeForm[T], **job: Unpack[JobArguments]) -> JobRun[T]: ...
    @overload
    def run_job(self, rows: JobRows, *, parse: TypeAdapter[T], **job: Unpack[JobArguments]) -> JobRun[T]: ...
    @overload
    def run_job(self, rows: JobRows, *, parse: JsonObject, **job: Unpack[JobArguments]) -> JobRun[Any]: ...
    @overload
    def run_job(self, rows: JobRows, *, parse: None = None, **job: Unpack[JobArguments]) -> JobRun: ...
    def run_job(
        self,
        rows: JobRows,
        *,
        journal: str | Path,
        parse: Any = None,
        options: JobOptions | None = None,
        settings: Mapping[str, object] | None = None,
        progress: Progress | None = None,
        **sending: Unpack[JobSending],
    ) -> JobRun[Any]:
        """Run a job that loses nothing; gives an async context manager over an async iterator of outcomes.

        Each answer is durable in the file *journal* before its outcome is seen, and before `parse` reads
        it. The same job again, after whatever stop, hands out from there what is finished, and asks only
        for the rest. Rows are known by their `id`, else by what they ask, so their order may change. A
        changed row is asked again. A changed model, delivery, `parse` or *settings* (whatever else must
        stay the same, as JSON) is refused once something was paid, unless `options.keep_finished`.

        `options` say how rows are delivered and which are asked again; `progress` is called within the
        loop, twice a second, with how the job stands. `max_credits` bounds what the job costs over all its
        runs; it stays in the journal until a run names another bound. The rest of *sending* is as in
        `fan_out`: `floor`, `max_in_flight`, `on_exhausted`, `ordered`, `max_failures`, `max_outage`,
        `max_reasks`.

        Raises ConfigurationError for settings that cannot work; entering it raises JournalError for a
        journal that is in use, damaged, or of another job.
        """
        self._check_open()
        chosen = options or JobOptions()
        if chosen.delivery == "queued" and not self._base_url.endswith("/v1"):
            raise ConfigurationError(
                f"delivery='queued' needs a base_url that ends in /v1, not {self._base_url!r}"
            )
        limits = ScopeLimits.of_job(sending)
        fan_out = FanOutOptions.of_job(self._workers(self._scope(limits)), sending)
        wanted = None if parse is None else expected(parse, sending.get("max_reasks", 1))

        def make_fan_out(service: Service, rows: ToSend, max_credits: Decimal | None) -> FanOut[Any]:
            scope = self._scope(replace(limits, max_credits=max_credits))
            call = replace(self._options, scope=scope)
            return FanOut(service, replace(fan_out, expected=wanted), call, rows)

        plan = JobPlan.of(Path(journal), self._options.model, settings or {}, chosen, wanted, progress)
        if limits.max_credits is not None:
            plan = replace(plan, max_credits=to_decimal(limits.max_credits))
        return JobRun(self._service, make_fan_out, as_rows(rows), replace(plan, rows=size_of(rows)))

    @overload
    async def chat_many(
        self, requests: Rows, *, parse: TypeForm[T], **settings: Unpack[ManySettings]
    ) -> list[Outcome[T]]: ...
    @overload
    async def chat_many(
        self, requests: Rows, *, parse: TypeAdapter[T], **settings: Unpack[ManySettings]
    ) -> list[Outcome[T]]: ...
    @overload
    async def chat_many(
        self, requests: Rows, *, parse: JsonObject, **settings: Unpack[ManySettings]
    ) -> list[Outcome[Any]]: ...
    @overload
    async def chat_many(
        self, requests: Rows, *, parse: None = None, **settings: Unpack[ManySettings]
    ) -> list[Outcome]: ...
    async def chat_many(
        self, requests: Rows, *, parse: Any = None, **settings: Unpack[ManySettings]
    ) -> list[Outcome[Any]]:
        """Send all of *requests* and return their outcomes in order, one for each.

        Those that were not sent, since the credits ran out or the fan-out stopped, are `unsent`. Of an
        iterator there are outcomes of the rows that were read.

        For as many as fit in memory; `fan_out` streams the same, and documents the settings `floor`,
        `max_in_flight`, `on_exhausted` and `max_reasks`.
        """
        return await all_outcomes(self.fan_out(requests, parse=parse, ordered=True, **settings), requests)

    async def balance(self) -> Balance:
        """Read the balance of the account from the service. Free of charge; also corrects the ledger."""
        self._check_open()
        return await read_balance(self._service, self._options.retry)

    def with_options(
        self,
        *,
        model: str | None = None,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
    ) -> SegmindClient:
        """Return a client with other defaults that shares sessions, limits and ledger with this one."""
        options = replace(
            self._options,
            model=self._options.model if model is None else check_slug(model),
            timeouts=timeouts or self._options.timeouts,
            retry=retry or self._options.retry,
        )
        return self._derived(options)

    def budget(
        self,
        *,
        max_credits: Decimal | float | None = None,
        floor: Decimal | float = 0,
        max_in_flight: int | None = None,
        priority: Priority | None = None,
    ) -> SegmindClient:
        """Return a client whose calls count in limits of their own, and in those of this client.

        For a subagent, a user or a request: `async with client.budget(max_credits=0.5) as scoped`. Nests
        to any depth. A call that `max_credits` cannot pay raises BudgetExceededError before it is
        sent. `priority` None: as for this client.
        """
        self._check_open()
        scope = self._scope(ScopeLimits(max_credits, floor, max_in_flight, priority))
        return self._derived(replace(self._options, scope=scope))

    @overload
    def agent(
        self,
        *,
        parse: TypeForm[T],
        tools: Functions = ...,
        system: str | None = ...,
        model: str | None = ...,
        max_turns: int = ...,
        budget: Decimal | float | None = ...,
        timeout: float | None = ...,
        tools_via: ToolsVia = ...,
        max_result_chars: int = ...,
        max_parallel: int = ...,
        **parameters: object,
    ) -> Agent[T]: ...
    @overload
    def agent(
        self,
        *,
        parse: TypeAdapter[T],
        tools: Functions = ...,
        system: str | None = ...,
        model: str | None = ...,
        max_turns: int = ...,
        budget: Decimal | float | None = ...,
        timeout: float | None = ...,
        tools_via: ToolsVia = ...,
        max_result_chars: int = ...,
        max_parallel: int = ...,
        **parameters: object,
    ) -> Agent[T]: ...
    @overload
    def agent(
        self,
        *,
        parse: JsonObject,
        tools: Functions = ...,
        system: str | None = ...,
        model: str | None = ...,
        max_turns: int = ...,
        budget: Decimal | float | None = ...,
        timeout: float | None = ...,
        tools_via: ToolsVia = ...,
        max_result_chars: int = ...,
        max_parallel: int = ...,
        **parameters: object,
    ) -> Agent[Any]: ...
    @overload
    def agent(
        self,
        *,
        parse: None = None,
        tools: Functions = ...,
        system: str | None = ...,
        model: str | None = ...,
        max_turns: int = ...,
        budget: Decimal | float | None = ...,
        timeout: float | None = ...,
        tools_via: ToolsVia = ...,
        max_result_chars: int = ...,
        max_parallel: int = ...,
        **parameters: object,
    ) -> Agent: ...
    def agent(
        self,
        *,
        tools: Functions = (),
        parse: Any = None,
        system: str | None = None,
        model: str | None = None,
        max_turns: int = 10,
        budget: Decimal | float | None = None,
        timeout: float | None = None,
        tools_via: ToolsVia = "native",
        max_result_chars: int = 50_000,
        max_parallel: int = 8,
        **parameters: object,
    ) -> Agent[Any]:
        """Return an agent, which calls *tools* (typed functions, sync or async) until it has an answer.

        `parse` is the type of that answer, as in `chat` (with `max_reasks`): its value comes in
        `result.parsed`.

        A run ends after `max_turns` answers of the model, `timeout` seconds, or when its calls would
        cost more than `budget` credits (None: no bound). See `Agent` for more.
        `tools_via="schema"` carries the choice of tools through structured output, for models that no
        tools reach.
        """
        self._check_open()
        model = model or self._options.model
        limits = (max_turns, budget, timeout, max_result_chars, max_parallel)
        options = AgentOptions(runnable(tools), tools_via, system, model, *limits, parse)

        def scoped() -> tuple[Chat, CallScope]:
            self._check_open()
            scope = self._scope(ScopeLimits(budget, own_budget=True))
            return self._derived(replace(self._options, scope=scope)).chat, scope

        return Agent(self._service, scoped, options, parameters)

    def _new_ledger(self, floor: int) -> LedgerProtocol:
        """Return the ledger for an account of which *floor* units are to be left."""
        return Ledger(floor)

    def _derived(self, options: CallOptions) -> SegmindClient:
        """Return a client with other options that shares all else, and ends with this one."""
        client = object.__new__(type(self))
        client.__dict__.update(self.__dict__)
        client._options = options
        client._lifetime = _Lifetime()
        client._ancestors = (*self._ancestors, self._lifetime)
        return client

    def _scope(self, limits: ScopeLimits) -> CallScope:
        """Return a scope within this client's."""
        return limits.within(self._service.admission, self._options.scope)

    def _workers(self, scope: CallScope) -> int:
        caps = [level.max_in_flight for level in scope.line if level.max_in_flight is not None]
        return min([self._limits.max_in_flight * len(self._service.admission.accounts.all), *caps])

    def _check_open(self) -> None:
        if self.closed:
            raise ClientClosedError("this client is closed; open a new one")
