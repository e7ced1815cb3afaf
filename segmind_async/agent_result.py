"""The result of an agent: values without behaviour that can be pickled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Generic, Literal, TypeAlias, cast

if TYPE_CHECKING:
    # The standard library's takes a default only from Python 3.13 on.
    from typing_extensions import TypeVar

    T_co = TypeVar("T_co", covariant=True, default=None)
else:
    from typing import TypeVar

    T_co = TypeVar("T_co", covariant=True)

AgentEnd: TypeAlias = Literal["answered", "length", "max_turns", "timeout", "budget"]
"""Why an agent ended: with an answer, with a truncated one, or at one of its limits."""


@dataclass(frozen=True, slots=True)
class ToolRun:
    """One call of a tool and its result."""

    turn: int
    """Number of the answer that called it, from 1."""
    name: str
    arguments: str
    """JSON, as the model sent it."""
    result: str
    """Text returned to the model, truncated if it was too long."""
    failed: bool
    """Whether the result is an error."""
    seconds: float


@dataclass(frozen=True, slots=True)
class AgentResult(Generic[T_co]):
    """Answer, cost and conversation of one run of an agent; `AgentResult[T]` with `parse=T`."""

    text: str = ""
    """The answer; empty if the run ended at a limit."""
    ended: AgentEnd = "answered"
    turns: int = 0
    """Answers of the model, those that called tools included."""
    cost: Decimal | None = None
    """Credits of all its calls; None if the service named none. What tools spend is not included."""
    tool_runs: tuple[ToolRun, ...] = ()
    """In the order in which the model called them."""
    messages: tuple[Mapping[str, object], ...] = ()
    """The conversation up to the last complete turn; append a message and pass it to `run` to continue."""
    parsed: T_co = cast("T_co", None)  # noqa: RUF009  # None is what T is without `parse`
    """The answer as a value of the type given as `parse`; None without it, and at a limit."""
