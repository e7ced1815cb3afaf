"""What answers in the emulator: predictable for tests, or anything a function can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias


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


@dataclass(frozen=True, slots=True)
class Calls:
    """An answer that calls tools: their names with arguments, and words before them."""

    tools: Sequence[tuple[str, Mapping[str, object]]]
    text: str = ""


Said: TypeAlias = str | Calls


class Brain(Protocol):
    """What answers a question."""

    def answer(self, question: Question) -> Said:
        """Return the text of the answer, or calls of tools."""
        ...


class EchoBrain:
    """Answers `echo: ` and the last text of the user."""

    def answer(self, question: Question) -> Said:
        """Return what a test can foretell."""
        return f"echo: {question.prompt}"


class FunctionBrain:
    """Answers what a function says."""

    def __init__(self, function: Callable[[Question], Said]) -> None:
        self._function = function

    def answer(self, question: Question) -> Said:
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
