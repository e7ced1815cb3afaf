"""What an agent has done: values without behaviour, that survive pickling."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, TypeAlias

AgentEnd: TypeAlias = Literal["answered", "length", "max_turns", "timeout", "budget"]
"""Why an agent ended: with an answer, with one that was cut, or at a limit of its own."""


@dataclass(frozen=True, slots=True)
class ToolRun:
    """One call of a tool, and what came of it."""

    turn: int
    """The model's answer that asked for it, from 1."""
    name: str
    arguments: str
    """JSON, as the model sent it."""
    result: str
    """What the model was told, cut if it was too long."""
    failed: bool
    """Whether that was an error instead of a result."""
    seconds: float


@dataclass(frozen=True, slots=True)
class AgentResult:
    """What an agent came to."""

    text: str = ""
    """Its answer; empty if it ended at a limit."""
    ended: AgentEnd = "answered"
    turns: int = 0
    """Answers of the model, those that called tools included."""
    cost: Decimal | None = None
    """Credits of all its calls together, None if the service named none. What its tools spend is theirs."""
    tool_runs: tuple[ToolRun, ...] = ()
    """In the order in which the model asked for them."""
    messages: tuple[Mapping[str, object], ...] = ()
    """The conversation as far as it is whole; append a message and pass it on to go on."""
