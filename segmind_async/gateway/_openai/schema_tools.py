"""Tools carried through structured output, for models that never receive `tools`.

Calls are written into, and read from, answers that follow a schema. Pure.

The caller sees OpenAI's tool calls; the model sees a conversation in plain text, as an agent with
`tools_via="schema"` writes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from pydantic_core import from_json, to_json

from ..._agents.schema_tools import ANSWER_MEANING, CALLS_MEANING, check_turn, instructions, results_text
from ..._providers.openai_messages import calls_of, parts_of, texts_of
from ..._structured.json_schema import adapter_of, normalised
from ..._structured.shape import Shape, shape_of
from ...errors import InvalidRequestError
from ...models import ChatCompletion, JsonDict, JsonObject, Message, Messages, ToolCall

_TOOL_FIELDS = frozenset({"tools", "tool_choice", "parallel_tool_calls", "response_format"})

_NULL: JsonDict = {"type": "null"}

_ANSWER = "answer_"
"""Before the names of the definitions of the answer's own schema."""


@dataclass(frozen=True, slots=True)
class CarriedCall:
    """A call as it is sent to a model that never receives `tools`."""

    messages: Messages
    parameters: JsonDict
    schema: JsonDict | None
    """What the answer must fit; None if no tool may be called."""
    optional: Mapping[str, frozenset[str]]
    """Arguments that may be null for none, by tool."""
    turn: int
    """Answers of the model in the conversation so far."""

    def shape(self) -> Shape[Any]:
        """Return the shape of the answer: its schema, and that it must call a tool or say something."""
        assert self.schema is not None
        return _turn_shape(to_json(self.schema))

    def read(self, completion: ChatCompletion[Any]) -> ChatCompletion[Any]:
        """Return the answer with the calls that it holds, or with its text, as if it had received them."""
        if self.schema is None:
            return completion
        turn = completion.parsed
        calls = tuple(
            ToolCall(f"call_{self.turn}_{number}", call["tool"], self._arguments(call))
            for number, call in enumerate(turn["calls"])
        )
        answer = turn["answer"]
        text = answer if isinstance(answer, str) else "" if answer is None else to_json(answer).decode()
        reason = "tool_calls" if calls else completion.finish_reason
        return replace(completion, text=text, tool_calls=calls, finish_reason=reason, parsed=None)

    def _arguments(self, call: Mapping[str, Any]) -> str:
        given = call["arguments"]
        if isinstance(given, str):
            return given
        optional = self.optional[call["tool"]]
        return to_json({k: v for k, v in given.items() if v is not None or k not in optional}).decode()


@lru_cache(maxsize=256)
def _turn_shape(schema: bytes) -> Shape[Any]:
    described = from_json(schema)
    return Shape(adapter_of(described, _checked_turn), described)


def _checked_turn(turn: dict[str, Any]) -> dict[str, Any]:
    check_turn(turn["calls"], turn["answer"])
    return turn


def has_tool_turns(messages: Messages) -> bool:
    """Return whether a conversation holds calls of tools or their results."""
    return any(row.get("role") == "tool" or calls_of(row) for row in _rows(messages))


def carried(messages: Messages, parameters: Mapping[str, Any]) -> CarriedCall:
    """Return a call with its tools in a schema and in the system prompt, and its conversation as text.

    *parameters* are those of the client: `tools` in OpenAI's form, `tool_choice` a word or a tool's name.
    """
    rest = {name: value for name, value in parameters.items() if name not in _TOOL_FIELDS}
    rows = list(_rows(messages))
    turn = sum(row.get("role") == "assistant" for row in rows)
    choice = parameters.get("tool_choice", "auto")
    offered = [_function_of(one) for one in parameters.get("tools", ())]
    if not offered or choice == "none":
        if "response_format" in parameters:
            rest["response_format"] = parameters["response_format"]
        return CarriedCall(list(_as_text(rows)), rest, None, {}, turn)
    if choice not in ("auto", "required"):
        offered = [one for one in offered if one["name"] == choice]
        if not offered:
            raise InvalidRequestError(f"tool_choice={choice!r:.80} is none of the tools; give a name of one")
    forms = [_CallForm.of(index, one) for index, one in enumerate(offered)]
    answer = _NULL if choice != "auto" else _answer_schema(parameters.get("response_format"))
    told = instructions((one["name"], one.get("description") or "") for one in offered)
    return CarriedCall(
        list(_opened(told, _as_text(rows))),
        rest,
        _turn_schema(forms, answer, most=1 if parameters.get("parallel_tool_calls") is False else None),
        {form.name: form.optional for form in forms},
        turn,
    )


def _rows(messages: Messages) -> Iterator[JsonDict]:
    assert not isinstance(messages, str)  # in OpenAI's form they are a list
    for row in messages:
        yield dict(row)


def _function_of(tool: Mapping[str, Any]) -> dict[str, Any]:
    """Return the function of a tool; raises InvalidRequestError for a provider's own, which has no schema."""
    function = tool.get("function", tool)
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        kind = tool.get("type")
        raise InvalidRequestError(f"tools of type {kind!r} do not reach this model; give functions")
    return function


@dataclass(frozen=True, slots=True)
class _CallForm:
    """The schema of a call of one tool."""

    name: str
    schema: JsonDict
    definitions: JsonDict
    optional: frozenset[str]

    @classmethod
    def of(cls, index: int, function: Mapping[str, Any]) -> _CallForm:
        """Make it; *index* tells the definitions of equal names of several tools apart."""
        name = function["name"]
        given = function.get("parameters") or {"type": "object", "properties": {}}
        try:
            described = normalised(given) if isinstance(given, Mapping) else {}
            required: Any = described.get("required", [])
            if described.get("type") != "object" or not _are_names(required):
                raise InvalidRequestError("the parameters of a function are an object")
            shape_of(given)
        except InvalidRequestError:
            # No strict schema says what it takes: the model reads it, and writes the JSON as a text.
            words = f"A JSON object, as a text, that fits this JSON schema: {to_json(given).decode()}"
            return cls(name, _call(name, {"type": "string", "description": words}), {}, frozenset())
        prefix = f"t{index}_"
        described = _renamed(described, prefix)
        definitions = {prefix + key: value for key, value in described.pop("$defs", {}).items()}
        properties = described.get("properties", {})
        optional = frozenset(properties.keys() - set(required))
        described["properties"] = {
            key: {"anyOf": [value, _NULL]} if key in optional else value for key, value in properties.items()
        }
        return cls(name, _call(name, described), definitions, optional)


def _are_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _call(name: str, arguments: JsonDict) -> JsonDict:
    return _object({"tool": {"type": "string", "enum": [name]}, "arguments": arguments})


def _object(properties: JsonDict) -> JsonDict:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _renamed(node: Any, prefix: str) -> Any:
    """Return a schema whose references have *prefix* before their names."""
    if isinstance(node, list):
        return [_renamed(one, prefix) for one in node]
    if not isinstance(node, dict):
        return node
    made = {name: _renamed(value, prefix) for name, value in node.items()}
    ref = made.get("$ref")
    if isinstance(ref, str):
        made["$ref"] = f"#/$defs/{prefix}{ref.removeprefix('#/$defs/')}"
    return made


def _answer_schema(wanted: object) -> JsonDict:
    """Return the schema of the last answer, or null for none yet."""
    kind: JsonDict = {"type": "string"}
    wanted = wanted if isinstance(wanted, Mapping) else {}
    if wanted.get("type") == "json_schema":
        kind = _renamed(normalised(wanted), _ANSWER)
    elif wanted.get("type") == "json_object":
        kind["description"] = "A JSON object, as a text."
    return {"description": ANSWER_MEANING, "anyOf": [kind, _NULL]}


def _turn_schema(forms: list[_CallForm], answer: dict[str, Any], *, most: int | None) -> JsonDict:
    calls: JsonDict = {"type": "array", "description": CALLS_MEANING}
    calls["items"] = forms[0].schema if len(forms) == 1 else {"anyOf": [form.schema for form in forms]}
    if answer is _NULL:
        calls["minItems"] = 1
    if most is not None:
        calls["maxItems"] = most
    definitions = {name: value for form in forms for name, value in form.definitions.items()}
    if "anyOf" in answer:
        kind, null = answer["anyOf"]
        definitions |= {f"{_ANSWER}{name}": value for name, value in kind.get("$defs", {}).items()}
        kind = {name: value for name, value in kind.items() if name != "$defs"}
        answer = {**answer, "anyOf": [kind, null]}
    schema = {"title": "turn", **_object({"calls": calls, "answer": answer})}
    return {**schema, "$defs": definitions} if definitions else schema


def _opened(told: str, rows: Iterable[Message]) -> Iterator[Message]:
    """Yield a conversation whose system prompt says how to call tools."""
    listed = list(rows)
    first = dict(listed[0])
    if first.get("role") not in {"system", "developer"}:
        yield {"role": "system", "content": told}
        yield from listed
        return
    content = first.get("content")
    if isinstance(content, list):
        first["content"] = [*content, {"type": "text", "text": told}]
    else:
        first["content"] = f"{content}\n\n{told}"
    yield first
    yield from listed[1:]


def _as_text(rows: list[JsonDict]) -> Iterator[Message]:
    """Yield a conversation without calls and results: both as texts, results as a message of the user."""
    names: dict[str, str] = {}
    results: list[JsonDict] = []
    for row in rows:
        if row.get("role") == "tool":
            results.append(row)
            continue
        if results:
            yield _results(results, names)
            results = []
        if calls := [_called(call) for call in calls_of(row)]:
            names |= {str(call.id): call.name for call in calls}
            yield {"role": "assistant", "content": _calls_text(calls, texts_of(row))}
        else:
            yield row
    if results:
        yield _results(results, names)


def _called(call: JsonObject) -> ToolCall:
    function = call.get("function")
    fields = function if isinstance(function, Mapping) else {}
    return ToolCall(str(call.get("id")), str(fields.get("name")), str(fields.get("arguments") or "{}"))


def _calls_text(calls: Iterable[ToolCall], texts: list[str]) -> str:
    """Return calls, and what was said beside them, in the form of the answers that `read` takes."""
    made = [{"tool": call.name, "arguments": _value_of(call.arguments)} for call in calls]
    return to_json({"calls": made, "answer": "\n".join(texts) or None}).decode()


def _value_of(text: str) -> object:
    """Return the arguments of a call as the model wrote them; a text if they are not JSON."""
    try:
        return from_json(text)
    except ValueError:
        return text


def _results(rows: list[JsonDict], names: Mapping[str, str]) -> Message:
    """Return the results of one answer's calls as one message; non-text content stays a separate part."""
    pairs: list[tuple[str, str]] = []
    others: list[object] = []
    for row in rows:
        pairs.append((names.get(str(row.get("tool_call_id")), "tool"), "\n".join(texts_of(row))))
        others += [part for part in parts_of(row) or () if part.get("type") != "text"]
    told = results_text(pairs)
    return {"role": "user", "content": [{"type": "text", "text": told}, *others] if others else told}
