"""An agent's loop: ask the model, run the tools it calls, tell it the results, until it has an answer.

What is asked and how answers are read decides `_core.turns`; here are the waiting, the tasks and the
limits. Nothing is held open between two steps: whoever takes them may stop at any.
"""

from __future__ import annotations

import functools
import inspect
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Literal, TypeAlias

import anyio
import anyio.lowlevel
import anyio.to_thread

from .._hooks.log import LOG
from .._hooks.trace import current_trace
from .._money.base import Budget
from .._money.units import credits_of
from .._providers.answers import finish_of, ignored_tools
from .._providers.base import Finish
from .._sending.admission import CallScope
from .._sending.service import Service
from ..agent_result import AgentEnd, AgentResult, ToolRun
from ..config import check_amount, check_choice, check_count
from ..errors import (
    AgentLimitError,
    BudgetExceededError,
    CreditsError,
    ErrorDetails,
    ToolsNotSupportedError,
)
from ..models import (
    ChatCompletion,
    JsonObject,
    Message,
    Messages,
    ToolCall,
)
from ..tools import Tool, is_async
from .schema_tools import ViaSchema
from .tool_protocol import (
    PROBE,
    Carrier,
    Native,
    cut,
    failure,
    unknown_tool,
    written,
)

ToolsVia: TypeAlias = Literal["native", "schema"]

Chat: TypeAlias = Callable[..., Awaitable[ChatCompletion]]
"""`SegmindClient.chat`, of a client within the run's budget."""

_CARRIERS: Mapping[ToolsVia, Callable[[Sequence[Tool]], Carrier]] = {"native": Native, "schema": ViaSchema}


@dataclass(frozen=True, slots=True)
class AgentOptions:
    """What an agent may do; limits are those of one run."""

    tools: Sequence[Tool]
    tools_via: ToolsVia
    system: str | None
    model: str | None
    max_turns: int
    budget: Decimal | float | None
    timeout: float | None
    max_result_chars: int
    max_parallel: int

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
class AgentStep:
    """One answer of the model, and what the tools it called gave back."""

    turn: int
    """From 1."""
    completion: ChatCompletion
    tool_runs: tuple[ToolRun, ...] = ()
    """In the order of the calls; none: this is the answer."""
    result: AgentResult | None = None
    """What the agent came to, with its last step; None before."""


class Agent:
    """A model that calls tools until it has an answer; made by `SegmindClient.agent`.

    It may run any number of tasks, one after the other or at once: each run has its own conversation
    and its own limits.

    The tools that one answer calls run at once, `max_parallel` at most, sync ones in threads. What a
    tool gives back is told to the model as text (JSON, unless it is a string), in the order of its
    calls, cut after `max_result_chars`. If a tool raises, the model is told the class and the message,
    and may try otherwise. Cancelling ends tools too, but for sync ones: their threads run on to their
    end, unheard.
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
        self._carrier: Carrier = _CARRIERS[options.tools_via](options.tools)
        self._parameters = parameters

    def __repr__(self) -> str:
        return f"Agent(tools={[one.name for one in self._options.tools]}, model={self._options.model!r})"

    async def run(self, task: Messages) -> AgentResult:
        """Work on *task* (a string, or messages to go on from) until there is an answer.

        Raises AgentLimitError, with all that was had by then, when turns, time or budget are used up;
        ToolsNotSupportedError if the tools do not reach the model; and what `SegmindClient.chat` raises.
        """
        run = self._begin(task)
        while (step := await run.step()).result is None:
            pass
        return step.result

    async def steps(self, task: Messages) -> AsyncIterator[AgentStep]:
        """Work as `run` does, and yield every answer of the model with the results of its tools.

        The last step has the `result`. Between two steps nothing goes on: leave the loop when you like.
        """
        run = self._begin(task)
        while True:
            step = await run.step()
            yield step
            if step.result is not None:
                return

    def _begin(self, task: Messages) -> _Run:
        options, carrier = self._options, self._carrier
        asking = {"model": options.model, **self._parameters, **carrier.parameters()}
        opening = carrier.opening(options.system, task)
        chat, scope = self._scoped()
        return _Run(self._service, chat, scope.budget, options, carrier, asking, opening)


@dataclass(slots=True)
class _Run:
    """One task: its conversation, and what it has used up."""

    service: Service
    chat: Chat
    budget: Budget
    """Pays for all calls of this run, those that end in an error too, and for no other calls."""
    options: AgentOptions
    carrier: Carrier
    asking: Mapping[str, object]
    """What goes along with every call."""
    messages: list[Message]
    tools: Mapping[str, Tool] = field(init=False)
    deadline: float = field(init=False)
    named: bool | None = None
    """Whether the service named any answer's cost; None before the first answer."""
    turns: int = 0
    tool_runs: list[ToolRun] = field(default_factory=list)
    unfinished: list[ToolRun | None] = field(default_factory=list)
    """What the tools of the turn under way have given back so far."""

    def __post_init__(self) -> None:
        options = self.options
        self.tools = {one.name: one for one in options.tools}
        self.deadline = math.inf if options.timeout is None else anyio.current_time() + options.timeout

    @property
    def cost(self) -> Decimal | None:
        """What the run has spent; None if it is unknown."""
        spent = self.budget.spent
        unknown = self.named is False or (self.named is None and not spent)
        return None if unknown else credits_of(spent)

    async def step(self) -> AgentStep:
        """Take the next step; raises AgentLimitError at a limit of this run."""
        try:
            # A deadline that passed between two steps would be noticed only when a call is on its way.
            if anyio.current_time() < self.deadline:
                with anyio.CancelScope(deadline=self.deadline):
                    return await self._step()
        except BudgetExceededError as error:
            if error.budget_id != self.budget.id:
                raise  # of a budget around this run: its owner handles it
            raise self._limit("budget", f"its budget is used up: {error}") from error
        except ToolsNotSupportedError as error:
            # Who gives up on the tools has paid for more than the answer that told.
            raise ToolsNotSupportedError(error.message, replace(error.details, cost=self.cost)) from error
        raise self._limit("timeout", f"it had no answer within timeout={self.options.timeout:g} s")

    async def _step(self) -> AgentStep:
        carrier, most = self.carrier, self.options.max_turns
        completion = await self._ask()
        calls = carrier.calls_in(completion, self.turns)
        if not calls:
            await self._check_tools(completion)
            self.messages += carrier.told(completion, (), ())
            cut_off = finish_of(completion.finish_reason, completion.raw) is Finish.TRUNCATED
            result = self._result("length" if cut_off else "answered", carrier.answer_in(completion))
            return AgentStep(self.turns, completion, (), result)
        if self.turns == most:
            # Its tools do not run: nobody would see what they give back.
            raise self._limit("max_turns", f"it still calls tools in answer max_turns={most}")
        runs = await self._use(calls)
        self.messages += carrier.told(completion, calls, [run.result for run in runs])
        return AgentStep(self.turns, completion, runs)

    async def _ask(self) -> ChatCompletion:
        completion = await self.chat(self.messages, **self.asking)
        self.turns += 1
        self._add(completion)
        return completion

    async def _check_tools(self, completion: ChatCompletion) -> None:
        """Make sure that the tools reach a model of which no call was ever seen.

        An answer in words looks the same whether it needed no tool or the service dropped them.
        """
        model, seen = completion.model, self.service.calls_tools
        if not (self.tools and self.carrier.needs_tools) or model in seen:
            return
        if not self.tool_runs and ignored_tools(completion):
            try:
                self._add(await self.chat(**PROBE, model=model))
            except CreditsError:
                # The answer is paid, and is all that can be had: better unproven than lost.
                return

    def _add(self, completion: ChatCompletion) -> None:
        if completion.tool_calls:
            self.service.calls_tools.add(completion.model)
        self.named = bool(self.named) or completion.cost is not None

    async def _use(self, calls: Sequence[ToolCall]) -> tuple[ToolRun, ...]:
        """Run all tools of one answer; if cancelled, what has ended stays in `unfinished`."""
        room = anyio.Semaphore(self.options.max_parallel)
        self.unfinished = [None] * len(calls)
        leaving: list[BaseException] = []

        async def one(place: int, call: ToolCall) -> None:
            try:
                async with room:
                    self.unfinished[place] = await self._run_tool(call)
            except (SystemExit, KeyboardInterrupt) as error:
                # Nobody looks for these in a group, which is all that would come out of the tasks.
                leaving.append(error)
                tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            for place, call in enumerate(calls):
                tasks.start_soon(one, place, call)
        if leaving:
            raise leaving[0]
        runs = tuple(run for run in self.unfinished if run is not None)
        self.unfinished = []
        self.tool_runs += runs
        return runs

    async def _run_tool(self, call: ToolCall) -> ToolRun:
        began = anyio.current_time()
        text, failed = await self._outcome(call)
        seconds = anyio.current_time() - began
        if LOG.isEnabledFor(logging.DEBUG):
            fields = {"tool": call.name, "turn": self.turns, "seconds": seconds, "failed": failed}
            LOG.debug("tool", extra={**fields, "trace": current_trace()})
        shown = cut(text, self.options.max_result_chars)
        return ToolRun(self.turns, call.name, call.arguments, shown, failed, seconds)

    async def _outcome(self, call: ToolCall) -> tuple[str, bool]:
        """Run one tool; gives what the model is told, and whether that is an error."""
        tool = self.tools.get(call.name)
        if tool is None:
            return unknown_tool(call.name, self.tools), True
        try:
            return written(await _called(tool.function, tool.arguments(call.arguments))), False
        except Exception as error:  # noqa: BLE001  # whatever a user wrote: the model may find another way
            return self.service.redactor.text(failure(error)), True
        except anyio.get_cancelled_exc_class() as error:
            # Ours goes on from here. Else a tool met with something that others have cancelled.
            await anyio.lowlevel.checkpoint_if_cancelled()
            return failure(error), True

    def _result(self, ended: AgentEnd, text: str = "") -> AgentResult:
        runs = (*self.tool_runs, *(run for run in self.unfinished if run is not None))
        return AgentResult(text, ended, self.turns, self.cost, runs, tuple(self.messages))

    def _limit(self, ended: AgentEnd, why: str) -> AgentLimitError:
        details = ErrorDetails(model=self.options.model, cost=self.cost)
        return AgentLimitError(
            f"the agent ended after {self.turns} turns: {why}", details, self._result(ended)
        )


async def _called(function: Callable[..., object], arguments: Mapping[str, object]) -> object:
    """Call a tool: async ones here, sync ones in a thread, so that they hold up nobody."""
    if is_async(function):
        value = function(**arguments)
    else:
        call = functools.partial(function, **arguments)
        value = await anyio.to_thread.run_sync(call, abandon_on_cancel=True)
    return await value if inspect.isawaitable(value) else value
