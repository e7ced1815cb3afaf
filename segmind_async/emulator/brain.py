"""What answers in the emulator: predictable for tests, or anything a function can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Question:
    """What a call asks, whatever its provider's shape."""

    slug: str
    system: str
    messages: tuple[tuple[str, str], ...]
    """Role and text, in order, system prompts left out; images stand as `[image]`."""
    parameters: Mapping[str, object]

    @property
    def prompt(self) -> str:
        """The last text of the user."""
        return next((text for role, text in reversed(self.messages) if role == "user"), "")


class Brain(Protocol):
    """What answers a question."""

    def answer(self, question: Question) -> str:
        """Return the text of the answer."""
        ...


class EchoBrain:
    """Answers `echo: ` and the last text of the user."""

    def answer(self, question: Question) -> str:
        """Return what a test can foretell."""
        return f"echo: {question.prompt}"


class FunctionBrain:
    """Answers what a function says."""

    def __init__(self, function: Callable[[Question], str]) -> None:
        self._function = function

    def answer(self, question: Question) -> str:
        """Ask the function."""
        return self._function(question)
