"""The `Provider` seam: what the package needs to know of a provider's request and answer forms.

Conversations are in OpenAI's form everywhere else (roles, content parts, `tool_calls`, messages of the role
`tool`). A provider translates them into its own request and its answers back. To add one: a subclass in a
file of its own, one line in `registry`, and rows in `catalogue` for its models' prices.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import ClassVar, NamedTuple

from .._structured.prompting import SchemaSupport
from .._structured.rules import SchemaRules
from ..errors import InvalidRequestError
from ..models import JsonDict, JsonObject, Message, ToolCall, Usage

TOOL_CHOICES = ("auto", "required", "none")
"""Values of `tool_choice` besides a tool's name: the model decides, must call one, must not call any."""


class Answer(NamedTuple):
    """The body of an answer, read."""

    text: str
    finish_reason: str | None
    """The provider's own word, None if it sent none."""
    usage: Usage
    tool_calls: tuple[ToolCall, ...]
    raw: JsonDict
    """The whole body, unknown fields included."""


class Finish(Enum):
    """Why the model stopped. Answers of all three kinds are billed."""

    WHOLE = auto()
    TRUNCATED = auto()
    """The bound on tokens, or the model's context window, was reached before the end."""
    REFUSED = auto()
    """The model, or a filter before or behind it, refused to answer."""


class Provider(ABC):
    """One provider's request form, answer form and tools. Stateless, and pure: nothing here waits."""

    name: ClassVar[str]
    """Unique among the registered providers."""
    slug_prefixes: ClassVar[tuple[str, ...]] = ()
    """Beginnings of the slugs of its models; empty for the default provider."""
    schema_support: ClassVar[SchemaSupport] = SchemaSupport.JSON_SCHEMA
    """The `response_format` its models take for structured output."""
    schema_support_beside_tools: ClassVar[SchemaSupport | None] = None
    """The same for requests with `tools`; None: no difference."""
    schema_rules: ClassVar[SchemaRules] = SchemaRules()
    """The JSON schemas its models take in it; without it the structure alone."""
    finish_words: ClassVar[Mapping[str, Finish]]
    """Its finish reasons, in lower case. A reason that no provider lists counts as `Finish.WHOLE`."""

    @abstractmethod
    def body(self, messages: Sequence[Message]) -> JsonDict:
        """Translate a checked, non-empty conversation into the request body, without parameters.

        Raises InvalidRequestError for messages the provider has no form for.
        """

    @abstractmethod
    def tool_parameters(self, tools: Sequence[JsonObject]) -> JsonDict:
        """Return the body parameters that declare *tools*.

        Each tool is described in OpenAI's form, or in the provider's own (its built-in tools), which
        passes unchanged. Raises InvalidRequestError for a schema the provider does not take.
        """

    @abstractmethod
    def tool_choice(self, choice: str) -> JsonDict:
        """Return the body parameters for *choice*: one of TOOL_CHOICES, or a tool's name."""

    def parameters(self, given: JsonObject) -> JsonObject:
        """Return the body parameters for *given*, which have OpenAI's names; others pass unchanged.

        Raises InvalidRequestError for two parameters that become one.
        """
        return given

    @abstractmethod
    def recognises(self, raw: JsonObject) -> bool:
        """Return whether the body of an answer has this provider's form, judged by its structure."""

    @abstractmethod
    def read_answer(self, raw: JsonDict) -> Answer:
        """Read the body of an answer that `recognises` accepts; raises UnreadableError."""

    def refusal(self, raw: JsonObject) -> str | None:
        """Return the text of a refusal that stands apart from the answer's text; None without one."""
        return None

    def parts_to_return(self, raw: JsonObject) -> list[object] | None:
        """Return content parts of an answer that must come back unchanged with the next request.

        None if its text and tool calls suffice.
        """
        return None


def renamed(given: JsonObject, names: Mapping[str, str]) -> JsonDict:
    """Return *given* with the provider's name for each of OpenAI's *names*; None leaves a renamed one out.

    Stop sequences become a list, which OpenAI does not demand. Raises InvalidRequestError for two
    parameters that become one.
    """
    found: JsonDict = {}
    origin: dict[str, str] = {}
    for name, value in given.items():
        key = names.get(name, name)
        if name == "stop" and key != name and isinstance(value, str):
            value = [value]  # noqa: PLW2901  # OpenAI takes one without a list
        if name in names and value is None:
            continue
        if key in origin:
            raise InvalidRequestError(
                f"{origin[key]} and {name} are one parameter for this model; leave one out"
            )
        found[key], origin[key] = value, name
    return found
