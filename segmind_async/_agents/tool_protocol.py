"""An agent's turns: what a model is asked, which tools its answer calls, how results go back. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pydantic_core import to_json

from .._providers.answers import assistant_message, tool_message
from ..errors import InvalidRequestError
from ..models import (
    ChatCompletion,
    JsonObject,
    Message,
    Messages,
    ToolCall,
)
from ..tools import BadArgumentsError, Tool, tool


def _ready() -> None:
    """Say that you can call tools."""


PROBE: Mapping[str, object] = {
    "messages": "Call the tool `ready`.",
    "tools": [tool(_ready, name="ready")],
    "tool_choice": "required",
}
"""A call that only a model without tools answers in words: the cheapest way to tell an answer that needed
no tool from one that ignored them."""


class Carrier(Protocol):
    """How tools get to a model and its calls come back."""

    needs_tools: bool
    """Whether it rests on the service passing on `tools`."""

    def parameters(self) -> JsonObject:
        """Return what goes along with every call."""
        ...

    def opening(self, system: str | None, task: Messages) -> list[Message]:
        """Return the messages to begin with."""
        ...

    def calls_in(self, completion: ChatCompletion[Any], turn: int) -> Sequence[ToolCall]:
        """Return the tools an answer calls; none: it is the last."""
        ...

    def answer_in(self, completion: ChatCompletion[Any]) -> str:
        """Return the words of a last answer."""
        ...

    def told(
        self, completion: ChatCompletion[Any], calls: Sequence[ToolCall], results: Sequence[str]
    ) -> list[Message]:
        """Return an answer and the results of its calls as messages."""
        ...


class Native:
    """By the providers' own function calling."""

    needs_tools = True

    def __init__(self, tools: Sequence[Tool]) -> None:
        self._tools = tools

    def parameters(self) -> JsonObject:
        """Return the tools, described."""
        return {"tools": self._tools} if self._tools else {}

    def opening(self, system: str | None, task: Messages) -> list[Message]:
        """Put the system prompt before the task."""
        return begun(system, task)

    def calls_in(self, completion: ChatCompletion[Any], turn: int) -> Sequence[ToolCall]:  # as Carrier
        """Return the calls as they were decoded."""
        return completion.tool_calls

    def answer_in(self, completion: ChatCompletion[Any]) -> str:
        """Return the text."""
        return completion.text

    def told(
        self, completion: ChatCompletion[Any], calls: Sequence[ToolCall], results: Sequence[str]
    ) -> list[Message]:
        """Return the answer, and one message for each result."""
        return [
            assistant_message(completion),
            *(tool_message(call, text) for call, text in zip(calls, results, strict=True)),
        ]


def begun(system: str | None, task: Messages) -> list[Message]:
    """Return a conversation's first messages; raises InvalidRequestError for two system prompts.

    One that goes on begins with the agent's own, which is not repeated.
    """
    rows: list[Message] = [{"role": "user", "content": task}] if isinstance(task, str) else list(task)
    if system is None:
        return rows
    first: object = rows[0] if rows else None
    if not isinstance(first, Mapping) or first.get("role") != "system":
        return [{"role": "system", "content": system}, *rows]
    if first.get("content") != system:
        raise InvalidRequestError("the task begins with another system prompt than the agent's; use one")
    return rows


def written(value: object) -> str:
    """Write what a tool gave back for the model: text as it is, all else as JSON."""
    text = value if isinstance(value, str) else to_json(value, fallback=str, bytes_mode="base64").decode()
    # Half a character, as file names may hold it, would make every later call of the agent impossible.
    return text.encode("utf-8", "replace").decode()


def failure(error: BaseException) -> str:
    """Tell the model what a tool raised, or what is wrong with the arguments it was sent."""
    try:
        words = str(error)
    except Exception:  # noqa: BLE001  # a user's class: its __str__ may do anything
        words = "its message cannot be read"
    said_by = "" if isinstance(error, BadArgumentsError) else f"{type(error).__name__}: "
    return written(f"Error: {said_by}{words}")


def cut(text: str, most: int) -> str:
    """Return *text*, or its first *most* characters and a note on what is missing."""
    if len(text) <= most:
        return text
    return f"{text[:most]}\n[cut: these are the first {most} of {len(text)} characters]"


def unknown_tool(name: str, tools: Mapping[str, Tool]) -> str:
    """Tell the model that there is no such tool."""
    return f"Error: there is no tool {name!r}; there are {', '.join(tools) or 'none'}"
