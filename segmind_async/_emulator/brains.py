"""What answers in the emulator in place of a model: an echo, a function, or a script."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from .schemas import Filler


@dataclass(frozen=True, slots=True)
class Question:
    """One request to a model, independent of its provider's shape."""

    slug: str
    system: str
    messages: tuple[tuple[str, str], ...]
    """Role and text, in order, system prompts left out; images stand as `[image]`, results of tools have
    the role `tool`."""
    parameters: Mapping[str, object]
    tools: tuple[str, ...] = ()
    """Names of the tools that the model may call."""

    @property
    def prompt(self) -> str:
        """The last text of the user."""
        return next((text for role, text in reversed(self.messages) if role == "user"), "")

    @property
    def turn(self) -> int:
        """The number of answers of the model in this conversation so far."""
        return sum(role == "assistant" for role, _ in self.messages)

    @property
    def results(self) -> tuple[str, ...]:
        """The results of the tools that the last answer called."""
        found: list[str] = []
        for role, text in reversed(self.messages):
            if role != "tool":
                break
            found.insert(0, text)
        return tuple(found)

    @property
    def schema(self) -> Mapping[str, object] | None:
        """The JSON schema that the answer must fit, None if it is free."""
        wanted = self.parameters.get("response_format")
        named = wanted.get("json_schema") if isinstance(wanted, Mapping) else None
        schema = named.get("schema") if isinstance(named, Mapping) else None
        return schema if isinstance(schema, Mapping) else None


@dataclass(frozen=True, slots=True)
class Calls:
    """An answer that calls tools: names with arguments, and a text before them."""

    tools: Sequence[tuple[str, Mapping[str, object]]]
    text: str = ""


@dataclass(frozen=True, slots=True)
class MeasuredAnswer:
    """An answer with its token counts, independent of a provider's shape."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    cut: bool
    """Whether it was truncated at the limit on tokens."""
    tools: tuple[tuple[str, Mapping[str, object]], ...] = ()
    """Tool calls: names with arguments."""
    refused: bool = False
    """Whether the model refuses to answer; the text says why."""


BrainAnswer: TypeAlias = str | Calls | MeasuredAnswer
"""A text or tool calls, measured and truncated by the emulator; or an answer that the brain has measured."""


class Brain(Protocol):
    """Answers in place of a model."""

    def answer(self, question: Question) -> BrainAnswer | Awaitable[BrainAnswer]:
        """Return the answer, or an awaitable of it."""
        ...


class EchoBrain:
    """Answers `echo: ` and the last text of the user; if a schema is given, a value that fits it.

    Its strings say the same; the rest is drawn by chance from *seed* and the question.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def answer(self, question: Question) -> BrainAnswer:
        """Return the echo, or JSON that fits the schema."""
        words = f"echo: {question.prompt}"
        if question.schema is None:
            return words
        return json.dumps(Filler(question.schema, f"{self._seed} {question.prompt}", words).value())


class FunctionBrain:
    """Answers with the result of a function, plain or async."""

    def __init__(self, function: Callable[[Question], BrainAnswer | Awaitable[BrainAnswer]]) -> None:
        self._function = function

    def answer(self, question: Question) -> BrainAnswer | Awaitable[BrainAnswer]:
        """Call the function."""
        return self._function(question)


class ScriptBrain:
    """Answers the n-th turn of a conversation with the n-th item of a script.

    An item is a text, `Calls`, or a function of the question. Any number of conversations may run at once:
    the turn is counted from the messages.
    """

    def __init__(self, *turns: BrainAnswer | Callable[[Question], BrainAnswer]) -> None:
        self._turns = turns

    def answer(self, question: Question) -> BrainAnswer:
        """Return the item of this turn; after the last one, a fixed text."""
        if question.turn >= len(self._turns):
            return "The script has ended."
        turn = self._turns[question.turn]
        return turn(question) if callable(turn) else turn
