"""The loop of an agent: call the model, run the tools it calls, return the results, until it answers.

`tool_protocol` decides what is sent and how answers are read; this module waits, runs tasks and applies the
limits. Nothing is kept open between two steps, so the caller may stop at any of them.
"""

from __future__ import annotations

import functools
import inspect
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Generic, Literal, TypeAlias

import anyio
import anyio.lowlevel
import anyio.to_thread

from .._hooks.agent_run import CURRENT_RUN
from .._hooks.log import LOG
from .._hooks.trace import current_trace
from .._money.budget import Budget
from .._money.units import credits_of
from .._providers.finish import finish_of, ignored_tools
from .._providers.provider import Finish
from .._sending.admission import CallScope
from .._sending.service import Service
from ..agent_result import AgentEnd, AgentResult, T_co, ToolRun
from ..config import check_amount, check_choice, check_count
from ..errors import (
    AgentLimitError,
    APITimeoutError,
    BudgetExceededError,
    CreditsError,
    ErrorDetails,
    SegmindError,
)
from ..hooks import AgentEnded, AgentStarted, ToolEnded, ToolStarted
from ..models import ChatCompletion, JsonObject, Message, Messages, ToolCall
from ..tools import Tool, is_async
from .schema_tools import ViaSchema
from .tool_protocol import (
    PROBE,
    PROBE_MESSAGES,
    Carrier,
    Native,
    error_text,
    result_text,
    truncated,
    unknown_tool_text,
)

ToolsVia: TypeAlias = Literal["native", "schema"]

Chat: TypeAlias = Callable[..., Awaitable[ChatCompletion[Any]]]
"""`SegmindClient.chat`, of a client within the run's budget."""

_CARRIERS: Mapping[ToolsVia, Callable[[Sequence[Tool], object], Carrier]] = {
    "native": Native,
    "schema": ViaSchema,
}


_ROUNDING = 1e-6
"""Seconds by which a timer may miss a deadline that it was computed from."""


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """Options of an agent; limits are those of one run."""

    tools: Sequence[Tool]
    tools_via: ToolsVia
    system: str | None
    model: str
    max_turns: int
    budget: Decimal | float | None
    timeout: float | None
    max_result_chars: int
    max_parallel: int
    parse: object = None
    """The type that the last answer must have; None: a text."""

    def __post_init__(self) -> None:
        check_choice("tools_via", self.tools_via, ("native", "schema"))
        check_count("max_turns", self.max_turns, at_least=1)
        check_count("max_result_chars", self.max_result_chars, at_least=1)
        check_count("max_parallel", self.max_parallel, at_least=1)
        if self.budget is not None:
            check_amount("budget", self.budget)
        if self.timeout is not None:
            check_amount("timeout", self.timeout, above=True)


@dataclass(frozen=True, slots=True)
class AgentStep(Generic[T_co]):
    """One answer of the model, and the results of the tools it called."""

    turn: int
    """From 1."""
    completion: ChatCompletion[Any]
    tool_runs: tuple[ToolRun, ...] = ()
    """In the order of the calls; empty with the last answer."""
    result: AgentResult[T_co] | None = None
    """The result of the run, in its last step; None before."""


class Agent(Generic[T_co]):
    """A model that calls tools until it has an answer; made by `SegmindClient.agent`.

    It may run any number of tasks, one after the other or at once: each run has its own conversation
    and its own limits.

    The tools that one answer calls run at once, `max_parallel` at most, sync ones in threads. Their
    results go back to the model as text (JSON, unless it is a string), in the order of its calls,
    truncated after `max_result_chars`. If a tool raises, the model receives the class and the message of
    the error. Cancelling a run cancels its tools; threads of sync tools cannot be cancelled: they run to
    their end, and their results are dropped.
    """

    def __init__(
        self,
        service: Service,
        scoped: Callable[[], tuple[Chat, CallScope]],
        options: AgentOptions,
        parameters: JsonObject,
    ) -> None:
        self._service = service
        self._scoped = scoped
        self._options = options
        self._carrier: Carrier = _CARRIERS[options.tools_via](options.tools, options.parse)
        self._parameters = parameters

    def __repr__(self) -> str:
        return f"Agent(tools={[one.name for one in self._options.tools]}, model={self._options.model!r})"

    async def run(self, task: Messages) -> AgentResult[T_co]:
        """Work on *task* (a string, or messages to continue) until there is an answer.

        Raises AgentLimitError, with the result so far, when turns, time or budget are used up;
        ToolsNotSupportedError if the tools do not reach the model; and what `SegmindClient.chat` raises.
        Each error holds the texts of all answers of the run (`answers`) and their cost (`details.cost`).
        """
        run = self._new_run(task)
        with run.reported():
            while (step := await run.step()).result is None:
                pass
        return step.result

    async def steps(self, task: Messages) -> AsyncIterator[AgentStep[T_co]]:
        """Work as `run` does, and yield every answer of the model with the results of its tools.

        The last step has the `result`. Nothing runs between two steps, so the loop may be left at any.
        """
        run = self._new_run(task)
        with run.reported():
            while True:
                step = await run.step()
                yield step
                if step.result is not None:
                    return

    def _new_run(self, task: Messages) -> _Run:
        options, carrier = self._options, self._carrier
        call_options = {"model": options.model, **self._parameters, **carrier.parameters()}
        opening = carrier.opening(options.system, task)
        chat, scope = self._scoped()
        deadline = math.inf if options.timeout is None else anyio.current_time() + options.timeout
        return _Run(self._service, chat, scope.budget, options, carrier, call_options, opening, deadline)


@dataclass(slots=True)
class _Run:
    """One run of an agent: its conversation, results and limits."""

    service: Service
    chat: Chat
    budget: Budget
    """Pays for all calls of this run, failed ones included, and for no others."""
    options: AgentOptions
    carrier: Carrier
    call_options: Mapping[str, object]
    """Arguments of every call."""
    messages: list[Message]
    deadline: float
    """When the run ends, seconds of the loop's time; inf without a timeout."""
    id: int = 0
    """Its number in the events of hooks."""
    cost_known: bool | None = None
    """Whether the service named the cost of any answer; None before the first answer."""
    turns: int = 0
    answers: list[str] = field(default_factory=list)
    """Texts of all answers so far."""
    tool_runs: list[ToolRun] = field(default_factory=list)
    current_runs: list[ToolRun | None] = field(default_factory=list)
    """Finished runs of tools of the current turn; None for those that have not ended."""

    @property
    def cost(self) -> Decimal | None:
        """Credits the run has spent; None if unknown."""
        spent = self.budget.spent
        unknown = self.cost_known is False or (self.cost_known is None and not spent)
        return None if unknown else credits_of(spent)

    @contextmanager
    def reported(self) -> Iterator[None]:
        """Report the start and the end of the run to the hooks."""
        hooks, began = self.service.hooks, anyio.current_time()
        self.id = hooks.new_run_id()
        if not hooks.wants_agents():
            yield
            return
        hooks.agent_started(AgentStarted(self.id, self.options.model, current_trace()))
        error_type: str | None = None
        try:
            yield
        except GeneratorExit:  # the caller has left the loop over its steps
            raise
        except BaseException as error:
            error_type = type(error).__name__
            raise
        finally:
            seconds = anyio.current_time() - began
            event = AgentEnded(self.id, error_type, self.turns, self.cost, seconds, current_trace())
            hooks.agent_ended(event)

    async def step(self) -> AgentStep[Any]:
        """Take the next step; raises AgentLimitError at a limit of this run."""
        token = CURRENT_RUN.set(self.id)
        try:
            return await self._step_within_limits()
        finally:
            CURRENT_RUN.reset(token)

    async def _step_within_limits(self) -> AgentStep[Any]:
        try:
            if self.time_left > 0:
                return await self._step()
        except AgentLimitError:
            raise
        except BudgetExceededError as error:
            self._add_paid(error)
            if error.budget_id != self.budget.id:
                raise  # a budget around this run: its owner handles it
            why = f"its budget is used up: {error}"
            if not self.answers and not error.spent:
                needed = f"its first call may need {error.needed} credits"
                why = f"{needed}, more than budget={error.max_credits}; nothing was sent"
            raise self._limit("budget", why, error.answers) from error
        except SegmindError as error:
            self._add_paid(error)
            if not isinstance(error, APITimeoutError) or self.time_left > _ROUNDING:
                raise
            raise self._timed_out(error.answers) from error
        raise self._timed_out()

    @property
    def time_left(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - anyio.current_time()

    async def _step(self) -> AgentStep[Any]:
        carrier, max_turns = self.carrier, self.options.max_turns
        completion = await self._next_answer()
        calls = carrier.calls_in(completion, self.turns)
        if not calls:
            await self._check_tools(completion)
            self.messages += carrier.reply_messages(completion, (), ())
            cut_off = finish_of(completion.finish_reason, completion.raw) is Finish.TRUNCATED
            text, parsed = carrier.answer_in(completion)
            result = self._result("length" if cut_off else "answered", text, parsed)
            return AgentStep(self.turns, completion, (), result)
        if self.turns == max_turns:
            # Its tools are not run: the model would not see their results.
            raise self._limit("max_turns", f"it still calls tools in answer max_turns={max_turns}")
        runs: tuple[ToolRun, ...] = ()
        with anyio.CancelScope(deadline=self.deadline) as scope:
            runs = await self._run_tools(calls)
        if scope.cancelled_caught:
            raise self._timed_out()
        self.messages += carrier.reply_messages(completion, calls, [run.result for run in runs])
        return AgentStep(self.turns, completion, runs)

    async def _next_answer(self) -> ChatCompletion[Any]:
        completion = await self._chat(self.messages, self.call_options)
        self.turns += 1
        self.answers.append(self.service.redactor.text(completion.text))
        self._record(completion)
        return completion

    async def _chat(self, messages: Messages, options: Mapping[str, object]) -> ChatCompletion[Any]:
        # As a timeout of the call, and not by cancelling it: its error then holds the answers it has paid.
        timeout = None if self.deadline == math.inf else max(self.time_left, _ROUNDING)
        return await self.chat(messages, timeout=timeout, **options)

    async def _check_tools(self, completion: ChatCompletion[Any]) -> None:
        """Check that tools reach a model that has never called one; raises ToolsNotSupportedError.

        A text answer looks the same whether it needed no tool or the service dropped the tools.
        """
        model, seen = completion.model, self.service.calls_tools
        if not (self.options.tools and self.carrier.needs_tools) or model in seen:
            return
        if not self.tool_runs and ignored_tools(completion):
            try:
                self._record(await self._chat(PROBE_MESSAGES, {**PROBE, "model": model}))
            except CreditsError:
                # The answer is paid, and no further call can be: return it unchecked.
                return

    def _record(self, completion: ChatCompletion[Any]) -> None:
        if completion.tool_calls:
            self.service.calls_tools.add(completion.model)
        self.cost_known = bool(self.cost_known) or completion.cost is not None

    async def _run_tools(self, calls: Sequence[ToolCall]) -> tuple[ToolRun, ...]:
        """Run all tools of one answer; if cancelled, finished runs stay in `current_runs`."""
        slots = anyio.Semaphore(self.options.max_parallel)
        self.current_runs = [None] * len(calls)
        fatal: list[BaseException] = []

        async def one(place: int, call: ToolCall) -> None:
            try:
                async with slots:
                    self.current_runs[place] = await self._run_tool(call)
            except (anyio.get_cancelled_exc_class(), GeneratorExit):
                raise
            except BaseException as error:  # noqa: BLE001  # such as SystemExit and KeyboardInterrupt
                # Raised from a task, it would arrive in an exception group, which nobody catches.
                fatal.append(error)
                tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            for place, call in enumerate(calls):
                tasks.start_soon(one, place, call)
        if fatal:
            raise fatal[0]
        runs = tuple(run for run in self.current_runs if run is not None)
        self.current_runs = []
        self.tool_runs += runs
        return runs

    async def _run_tool(self, call: ToolCall) -> ToolRun:
        began = anyio.current_time()
        text, failed = await self._reported_tool_text(call)
        seconds = anyio.current_time() - began
        if LOG.isEnabledFor(logging.DEBUG):
            fields = {"tool": call.name, "turn": self.turns, "seconds": seconds, "failed": failed}
            LOG.debug("tool", extra={**fields, "trace": current_trace()})
        shown = truncated(text, self.options.max_result_chars)
        return ToolRun(self.turns, call.name, call.arguments, shown, failed, seconds)

    async def _reported_tool_text(self, call: ToolCall) -> tuple[str, bool]:
        """Run one tool, and report its start and its end to the hooks, in this task."""
        hooks, redacted = self.service.hooks, self.service.redactor.text
        # Calls that the tool makes are its own, and not of this run. The task ends with the tool.
        CURRENT_RUN.set(None)
        if not hooks.wants_agents():
            return await self._tool_text(call)
        number, path, began = hooks.new_tool_id(), current_trace(), anyio.current_time()
        hooks.tool_started(ToolStarted(number, self.id, call.name, call.id, path, redacted(call.arguments)))
        result: str | None = None
        error_type: str | None = "CancelledError"
        try:
            text, failed = await self._tool_text(call)
            result, error_type = text, "tool_error" if failed else None
            return text, failed
        finally:
            seconds = anyio.current_time() - began
            hooks.tool_ended(ToolEnded(number, self.id, call.name, error_type, seconds, path, result))

    async def _tool_text(self, call: ToolCall) -> tuple[str, bool]:
        """Run one tool; return the text for the model, and whether it is an error."""
        tools = {one.name: one for one in self.options.tools}
        tool = tools.get(call.name)
        if tool is None:
            return unknown_tool_text(call.name, tools), True
        try:
            return result_text(await _call_tool(tool.function, tool.arguments(call.arguments))), False
        except Exception as error:  # noqa: BLE001  # any error of user code: the model may find another way
            return self.service.redactor.text(error_text(error)), True
        except anyio.get_cancelled_exc_class() as error:
            # If this run is cancelled, the checkpoint raises; else the tool awaited something cancelled.
            await anyio.lowlevel.checkpoint_if_cancelled()
            return error_text(error), True

    def _result(self, ended: AgentEnd, text: str = "", parsed: object = None) -> AgentResult[Any]:
        runs = (*self.tool_runs, *(run for run in self.current_runs if run is not None))
        return AgentResult(text, ended, self.turns, self.cost, runs, tuple(self.messages), parsed)

    def _add_paid(self, error: SegmindError) -> None:
        """Add what the run has paid to an error of one of its calls, which knows only its own answers."""
        self.cost_known = bool(self.cost_known) or error.details.cost is not None
        error.add_paid((*self.answers, *error.answers), self.cost)

    def _timed_out(self, answers: tuple[str, ...] | None = None) -> AgentLimitError:
        return self._limit("timeout", f"it had no answer within timeout={self.options.timeout:g} s", answers)

    def _limit(self, ended: AgentEnd, why: str, answers: tuple[str, ...] | None = None) -> AgentLimitError:
        """Return the error for a limit; *answers*: texts of all answers, if an answer was of no use."""
        paid = tuple(self.answers) if answers is None else answers
        details = ErrorDetails(model=self.options.model, cost=self.cost, answers=paid)
        return AgentLimitError(
            f"the agent ended after {self.turns} turns: {why}", details, self._result(ended)
        )


async def _call_tool(function: Callable[..., object], arguments: Mapping[str, object]) -> object:
    """Call a tool: async ones in the loop, sync ones in a thread, so that they block no other task."""
    if is_async(function):
        value = function(**arguments)
    else:
        call = functools.partial(function, **arguments)
        value = await anyio.to_thread.run_sync(call, abandon_on_cancel=True)
    return await value if inspect.isawaitable(value) else value
