"""What answers in the emulator: predictable for tests, or anything a function can do."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from .schemas import Filler


@dataclass(frozen=True, slots=True)
class Question:
    """What a call asks, whatever its provider's shape."""

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
        """How often the model has spoken in this conversation."""
        return sum(role == "assistant" for role, _ in self.messages)

    @property
    def results(self) -> tuple[str, ...]:
        """What the tools called last have given back."""
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
    """An answer that calls tools: their names with arguments, and words before them."""

    tools: Sequence[tuple[str, Mapping[str, object]]]
    text: str = ""


@dataclass(frozen=True, slots=True)
class Spoken:
    """An answer before it has a shape."""

    text: str
    prompt_tokens: int
    completion_tokens: int
    cut: bool
    """Whether it was cut at the bound on tokens."""
    tools: tuple[tuple[str, Mapping[str, object]], ...] = ()
    """Tools it calls, with arguments."""
    refused: bool = False
    """Whether the text says why there is no answer."""


Said: TypeAlias = str | Calls | Spoken
"""A text or calls of tools, to be measured and cut by the emulator; or what a brain has measured itself."""


class Brain(Protocol):
    """What answers a question."""

    def answer(self, question: Question) -> Said | Awaitable[Said]:
        """Return the answer, or what will bring it."""
        ...


class EchoBrain:
    """Answers `echo: ` and the last text of the user; if a schema is given, a value that fits it.

    Its strings say the same; the rest is drawn by chance from *seed* and the question.
    """

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed

    def answer(self, question: Question) -> Said:
        """Return what a test can foretell."""
        words = f"echo: {question.prompt}"
        if question.schema is None:
            return words
        return json.dumps(Filler(question.schema, f"{self._seed} {question.prompt}", words).value())


class FunctionBrain:
    """Answers what a function says, plain or async."""

    def __init__(self, function: Callable[[Question], Said | Awaitable[Said]]) -> None:
        self._function = function

    def answer(self, question: Question) -> Said | Awaitable[Said]:
        """Ask the function."""
        return self._function(question)


class ScriptBrain:
    """Plays a conversation: its first turn answers who has not been answered yet, and so on.

    A turn is a text, `Calls`, or a function of the question. Any number of conversations may go on at
    once: which turn it is stands in the messages.
    """

    def __init__(self, *turns: Said | Callable[[Question], Said]) -> None:
        self._turns = turns

    def answer(self, question: Question) -> Said:
        """Play the turn that is due; after the last one there is nothing more to say."""
        if question.turn >= len(self._turns):
            return "The script has ended."
        turn = self._turns[question.turn]
        return turn(question) if callable(turn) else turn
