"""Tools without function calling: each answer is a structured output with calls of tools or the answer.

For models that no tools reach but that follow a schema. The conversation is plain text: the JSON of the
model, and the results of its calls in the next user message.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterable, Sequence, Sized
from typing import Annotated, Any, Literal, Optional, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    TypeAdapter,
    create_model,
    model_validator,
)
from pydantic_core import CoreSchema, to_json

from .._structured.shape import Shape, shape_of
from ..errors import InvalidRequestError
from ..models import ChatCompletion, JsonObject, Message, Messages, ToolCall
from ..tools import Tool
from .tool_protocol import opening_messages

_HOW = """\
You can call tools. Answer every time with one JSON object. Put the tools that you need now into `calls`,
with `answer` null: their results come in the next message. When you need no more of them, leave `calls`
empty and put what you have to say into `answer`.

Tools:
"""

CALLS_MEANING = "Tools to call now, all at once; empty with an answer."
ANSWER_MEANING = "The last words; null while tools are called."

_CONFIG = ConfigDict(extra="forbid")


def instructions(tools: Iterable[tuple[str, str]]) -> str:
    """Return how to call *tools* (names and descriptions), in words for the model."""
    return _HOW + "\n".join(f"- {name}: {description}" for name, description in tools)


def results_text(results: Iterable[tuple[str, str]]) -> str:
    """Return the results of calls (names of tools and texts) as one message of the user."""
    pairs = [{"tool": name, "result": text} for name, text in results]
    return f"Results:\n{to_json(pairs).decode()}"


def check_turn(calls: Sized, answer: object) -> None:
    """Raise ValueError, in words for the model, for an answer that calls nothing and says nothing."""
    if not calls and answer is None:
        raise ValueError("call a tool or give an answer")


class _Turn(BaseModel):
    """What to do next: call tools, or answer."""

    model_config = _CONFIG

    calls: list[Any] = Field(description=CALLS_MEANING)
    answer: str | None = Field(description=ANSWER_MEANING)

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        check_turn(self.calls, self.answer)
        return self


class ViaSchema:
    """Uses a structured output that holds either calls or the answer."""

    needs_tools = False

    def __init__(self, tools: Sequence[Tool], parse: object = None) -> None:
        """Raise InvalidRequestError if there are no *tools*, or no schema describes *parse*."""
        if not tools:
            raise InvalidRequestError("tools_via='schema' without tools; pass tools=[…], or leave it out")
        self._tools = {tool.name: tool for tool in tools}
        self._shape: Shape[Any] | None = None if parse is None else shape_of(parse)
        self._turn = _turn_of(tools, str if self._shape is None else _answer_of(self._shape))

    def parameters(self) -> JsonObject:
        """Return the type that every answer must have."""
        return {"parse": self._turn}

    def opening(self, system: str | None, task: Messages) -> list[Message]:
        """Return the task after a system prompt that lists the tools and how to call them."""
        told = instructions((one.name, one.description) for one in self._tools.values())
        return opening_messages(f"{system}\n\n{told}" if system else told, task)

    def calls_in(self, completion: ChatCompletion[Any], turn: int) -> Sequence[ToolCall]:
        """Return the calls of an answer, with ids made here."""
        return [
            ToolCall(f"call_{turn}_{number}", call.tool, self._arguments(call))
            for number, call in enumerate(completion.parsed.calls)
        ]

    def answer_in(self, completion: ChatCompletion[Any]) -> tuple[str, Any]:
        """Return the text of the last answer, or its value and the JSON of it."""
        answer = completion.parsed.answer
        if self._shape is None:
            return answer or "", None
        value = answer.value if self._shape.wraps else answer
        return self._shape.write(value), value

    def reply_messages(
        self, completion: ChatCompletion[Any], calls: Sequence[ToolCall], results: Sequence[str]
    ) -> list[Message]:
        """Return the answer as the model wrote it, and all results in one message."""
        reply: Message = {"role": "assistant", "content": completion.text}
        if not calls:
            return [reply]
        told = results_text((call.name, text) for call, text in zip(calls, results, strict=True))
        return [reply, {"role": "user", "content": told}]

    def _arguments(self, call: Any) -> str:
        """Return the arguments of a call as JSON, without optional ones that are null: defaults apply."""
        given = call.arguments.model_dump(mode="json", by_alias=True)
        fields = self._tools[call.tool].model.model_fields.values()
        optional = {field.alias for field in fields if not field.is_required()}
        return to_json({k: v for k, v in given.items() if v is not None or k not in optional}).decode()


class _Adapted:
    """An annotation: the type that an adapter validates."""

    def __init__(self, adapter: TypeAdapter[Any]) -> None:
        self._adapter = adapter

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the adapter's own schema."""
        return self._adapter.core_schema


def _answer_of(shape: Shape[Any]) -> Any:
    """Return the type of the field that holds the last answer: an object, so that null is none."""
    kind: Any = Annotated[Any, _Adapted(shape.adapter)]
    return create_model("Answer", __config__=_CONFIG, value=(kind, ...)) if shape.wraps else kind


def _turn_of(tools: Sequence[Tool], answer: Any) -> type[BaseModel]:
    """Return the type of an answer. A strict schema has no defaults, so optional arguments may be null."""
    fields = _Turn.model_fields
    calls, last = (Field(description=fields[name].description) for name in ("calls", "answer"))
    # Types made at run time are unknown to type checkers.
    any_list: Any = list
    one_of: Any = functools.reduce(operator.or_, [_call_of(tool) for tool in tools])
    if len(tools) > 1:
        # A mismatch is then reported for the tool that was meant, not for all of them.
        one_of = Annotated[one_of, Field(discriminator="tool")]
    nullable: Any = Optional[answer]  # noqa: UP045  # made at run time
    return create_model("Turn", __base__=_Turn, calls=(any_list[one_of], calls), answer=(nullable, last))


def _call_of(tool: Tool) -> Any:
    literal: Any = Literal
    fields: dict[str, Any] = {"tool": (literal[tool.name], ...), "arguments": (_arguments_of(tool), ...)}
    return create_model(f"Call_{tool.name}", __config__=_CONFIG, **fields)


def _arguments_of(tool: Tool) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for name, info in tool.model.model_fields.items():
        kind: Any = info.annotation
        for constraint in info.metadata:
            kind = Annotated[kind, constraint]
        told = Field(alias=info.alias, description=info.description)
        if not info.is_required():
            kind = Optional[kind]  # noqa: UP045  # made at run time
        fields[name] = (kind, told)
    return create_model(f"Arguments_{tool.name}", __config__=_CONFIG, **fields)
