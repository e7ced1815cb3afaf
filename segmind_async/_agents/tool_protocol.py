"""The turns of an agent: the messages it sends, the tools an answer calls, how results go back. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from pydantic_core import to_json

from .._providers.answers import assistant_message, tool_message
from .._providers.requests import check_sequence
from .._structured.shape import shape_of
from .._text.error_text import class_and_message, message_of
from ..errors import InvalidRequestError
from ..models import ChatCompletion, JsonDict, JsonObject, Message, Messages, ToolCall
from ..tools import BadArgumentsError, Tool, tool


def _ready() -> None:
    """Say that you can call tools."""


PROBE_MESSAGES = "Call the tool `ready`."
PROBE: Mapping[str, object] = {
    "tools": [tool(_ready, name="ready")],
    "tool_choice": "required",
}
"""Arguments of a call that only a model without tools answers with text: the cheapest check whether an
answer without calls needed no tool, or the tools never reached the model."""


class Carrier(Protocol):
    """How tools are described to a model and its calls are read."""

    needs_tools: bool
    """Whether it relies on the service forwarding `tools`."""

    def parameters(self) -> JsonObject:
        """Return the arguments of every call."""
        ...

    def opening(self, system: str | None, task: Messages) -> list[Message]:
        """Return the first messages."""
        ...

    def calls_in(self, completion: ChatCompletion[Any], turn: int) -> Sequence[ToolCall]:
        """Return the tools an answer calls; empty for the last answer."""
        ...

    def answer_in(self, completion: ChatCompletion[Any]) -> tuple[str, Any]:
        """Return the text of the last answer, and its value; None if no type was asked for."""
        ...

    def reply_messages(
        self, completion: ChatCompletion[Any], calls: Sequence[ToolCall], results: Sequence[str]
    ) -> list[Message]:
        """Return an answer and the results of its calls as messages."""
        ...


class Native:
    """Uses the function calling of the providers."""

    needs_tools = True

    def __init__(self, tools: Sequence[Tool], parse: object = None) -> None:
        """Raise InvalidRequestError if no schema describes *parse*."""
        self._parameters: JsonDict = {"tools": tools} if tools else {}
        if parse is not None:
            shape_of(parse)
            self._parameters["parse"] = parse

    def parameters(self) -> JsonObject:
        """Return the tools, described, and the type of an answer that calls none."""
        return self._parameters

    def opening(self, system: str | None, task: Messages) -> list[Message]:
        """Put the system prompt before the task."""
        return opening_messages(system, task)

    def calls_in(self, completion: ChatCompletion[Any], turn: int) -> Sequence[ToolCall]:  # as Carrier
        """Return the decoded calls."""
        return completion.tool_calls

    def answer_in(self, completion: ChatCompletion[Any]) -> tuple[str, Any]:
        """Return the text, and its value."""
        return completion.text, completion.parsed

    def reply_messages(
        self, completion: ChatCompletion[Any], calls: Sequence[ToolCall], results: Sequence[str]
    ) -> list[Message]:
        """Return the answer, and one message for each result."""
        return [
            assistant_message(completion),
            *(tool_message(call, text) for call, text in zip(calls, results, strict=True)),
        ]


def opening_messages(system: str | None, task: Messages) -> list[Message]:
    """Return a conversation's first messages; a continued one begins with the agent's own prompt already.

    Raises InvalidRequestError for two system prompts, and for a task that is not a conversation.
    """
    if not isinstance(task, str):
        check_sequence(task)
    rows: list[Message] = [{"role": "user", "content": task}] if isinstance(task, str) else list(task)
    if system is None:
        return rows
    first: object = rows[0] if rows else None
    if not isinstance(first, Mapping) or first.get("role") != "system":
        return [{"role": "system", "content": system}, *rows]
    if first.get("content") != system:
        raise InvalidRequestError("the task begins with another system prompt than the agent's; use one")
    return rows


def result_text(value: object) -> str:
    """Return the result of a tool as text for the model: a string as it is, anything else as JSON."""
    text = value if isinstance(value, str) else to_json(value, fallback=str, bytes_mode="base64").decode()
    # A lone surrogate, as file names may hold, could not be sent, and would break every later call.
    return text.encode("utf-8", "replace").decode()


def error_text(error: BaseException) -> str:
    """Return the text for the model about an error of a tool, or about arguments that do not fit it."""
    is_ours = isinstance(error, BadArgumentsError)
    return result_text(f"Error: {message_of(error) if is_ours else class_and_message(error)}")


def truncated(text: str, most: int) -> str:
    """Return *text*, truncated to *most* characters with a note on its length if it is longer."""
    if len(text) <= most:
        return text
    return f"{text[:most]}\n[truncated: these are the first {most} of {len(text)} characters]"


def unknown_tool_text(name: str, tools: Mapping[str, Tool]) -> str:
    """Return the text for the model about a tool that does not exist."""
    return f"Error: there is no tool {name!r}; there are {', '.join(tools) or 'none'}"
