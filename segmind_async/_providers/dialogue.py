"""Tools, and conversations in which they are used, in the three providers' forms. Pure.

Ours is OpenAI's form: an assistant's message with `tool_calls`, then one message of the role `tool` for
each. A provider's own marks that must come back with a call (Gemini's signature of its thoughts) travel
in `extra_content`, where Google's OpenAI-compatible interface puts them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from pydantic_core import from_json

from ..errors import InvalidRequestError
from ..models import (
    ChatCompletion,
    JsonObject,
    Message,
    ToolCall,
)
from ..tools import Tool, name_in, tools_of
from .families import Family
from .finish import Finish, finish_of
from .gemini_schema import gemini_schema

Json: TypeAlias = dict[str, object]

CHOICES = ("auto", "required", "none")
"""What `tool_choice` may be, besides a tool's name: the model decides, must call one, must not."""


def declared(family: Family, parameters: JsonObject) -> Json:
    """Return *parameters* with `tools` and `tool_choice` in *family*'s form.

    Raises InvalidRequestError for tools that cannot be described and for a choice of none of them.
    """
    rest = {name: value for name, value in parameters.items() if name not in {"tools", "tool_choice"}}
    given = parameters.get("tools")
    tools = [] if given is None else tools_of(given)  # type: ignore[arg-type]  # it says what is wrong
    choice = parameters.get("tool_choice")
    if isinstance(choice, str):
        names = [one.name if isinstance(one, Tool) else name_in(one) for one in tools]
        _check_choice(choice, names)
    if tools:
        rest["tools"] = _DECLARE[family](tools)
    if choice is not None:
        rest.update(_CHOOSE[family](choice) if isinstance(choice, str) else {"tool_choice": choice})
    return rest


def must_call(parameters: JsonObject) -> bool:
    """Tell whether an answer without a tool call would be none."""
    choice = parameters.get("tool_choice")
    return isinstance(choice, str) and choice not in {"auto", "none"}


def ignored_tools(completion: ChatCompletion[Any]) -> bool:
    """Tell whether an answer that had to call a tool shows that none reached the model.

    One that was cut, or refused, shows nothing.
    """
    whole = finish_of(completion.finish_reason, completion.raw) is Finish.WHOLE
    return whole and not completion.tool_calls


def said(completion: ChatCompletion[Any]) -> Json:
    """Return an answer as the next message of its conversation."""
    message: Json = {"role": "assistant", "content": _own_parts(completion) or completion.text}
    if completion.tool_calls:
        message["content"] = message["content"] or None
        message["tool_calls"] = [_call(call) for call in completion.tool_calls]
    return message


def result_of(call: ToolCall, text: str) -> Json:
    """Return what a tool gave back as a message."""
    return {"role": "tool", "tool_call_id": _id_of(call), "content": text}


def anthropic_turns(rows: Iterable[Message], parts_of: Callable[[Message], object]) -> list[Json]:
    """Put calls and results into Claude's typed parts; all results of a turn go into one message."""
    turns: list[Json] = []
    results: list[Json] | None = None
    for row in rows:
        if row["role"] == "tool":
            if results is None:
                results = []
                turns.append({"role": "user", "content": results})
            results.append({"type": "tool_result", "tool_use_id": _call_id(row), "content": parts_of(row)})
            continue
        results = None
        if calls := _calls(row):
            turns.append({"role": row["role"], "content": _anthropic_calls(parts_of(row), calls)})
        else:
            turns.append({**row, "content": parts_of(row)})
    return turns


def gemini_turns(rows: Iterable[Message], parts_of: Callable[[Message], list[object]]) -> list[Json]:
    """Put calls and results into Gemini's parts; its results are matched by name, in order."""
    turns: list[Json] = []
    results: list[Json] | None = None
    names: dict[str, str] = {}
    for row in rows:
        if row["role"] == "tool":
            if results is None:
                results = []
                turns.append({"role": "user", "parts": results})
            key = _call_id(row)
            response = {"result": _text_of(row.get("content"))}
            results.append({"functionResponse": {"name": names.get(key, key), "response": response}})
            continue
        results = None
        calls = _calls(row)
        names.update({str(call.get("id")): _name_of(call) for call in calls})
        spoken = parts_of(row) if row.get("content") or not calls else []
        role = "model" if row["role"] == "assistant" else "user"
        turns.append({"role": role, "parts": [*spoken, *map(_gemini_call, calls)]})
    return turns


def _own_parts(completion: ChatCompletion[Any]) -> list[object] | None:
    """Return what Claude said besides words: its thinking must come back before its calls."""
    content = None if "choices" in completion.raw else completion.raw.get("content")
    if not isinstance(content, list):
        return None
    parts = [part for part in content if isinstance(part, dict) and part.get("type") != "tool_use"]
    thought = any(part.get("type") != "text" for part in parts)
    return [*parts] if thought else None


def _call(call: ToolCall) -> Json:
    function = {"name": call.name, "arguments": call.arguments}
    made: Json = {"id": _id_of(call), "type": "function", "function": function}
    if call.signature is not None:
        made["extra_content"] = {"google": {"thought_signature": call.signature}}
    return made


def _id_of(call: ToolCall) -> str:
    # Gemini's calls have no id: their results are matched by name.
    return call.id or call.name


def _calls(row: Message) -> list[JsonObject]:
    calls = row.get("tool_calls")
    return [call for call in calls if isinstance(call, Mapping)] if isinstance(calls, Sequence) else []


def _call_id(row: Message) -> str:
    key = row.get("tool_call_id")
    if not isinstance(key, str):
        raise InvalidRequestError(f"a message of the role 'tool' has tool_call_id={key!r}; use tool_result()")
    return key


def _function_of(call: JsonObject) -> JsonObject:
    function = call.get("function")
    return function if isinstance(function, Mapping) else {}


def _name_of(call: JsonObject) -> str:
    name = _function_of(call).get("name")
    if not isinstance(name, str):
        raise InvalidRequestError(f"a tool call names no function: {call!r:.200}")
    return name


def _input_of(call: JsonObject) -> object:
    """Return a call's arguments as an object. What a cut answer left of them is no JSON: then none."""
    text = _function_of(call).get("arguments")
    try:
        found = from_json(text) if isinstance(text, str) else text
    except ValueError:
        return {}
    return found if isinstance(found, Mapping) else {}


def _anthropic_calls(spoken: object, calls: list[JsonObject]) -> list[object]:
    before: list[object] = [{"type": "text", "text": spoken}] if isinstance(spoken, str) and spoken else []
    if isinstance(spoken, list):
        before = spoken
    return [
        *before,
        *(
            {"type": "tool_use", "id": call.get("id"), "name": _name_of(call), "input": _input_of(call)}
            for call in calls
        ),
    ]


def _gemini_call(call: JsonObject) -> Json:
    part: Json = {"functionCall": {"name": _name_of(call), "args": _input_of(call)}}
    extra = call.get("extra_content")
    google = extra.get("google") if isinstance(extra, Mapping) else None
    if isinstance(google, Mapping) and "thought_signature" in google:
        part["thoughtSignature"] = google["thought_signature"]
    return part


def _text_of(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, Sequence) else ()
    return "".join(str(part.get("text", "")) for part in parts if isinstance(part, Mapping))


def _check_choice(choice: str, names: list[str | None]) -> None:
    if not names:
        raise InvalidRequestError(f"tool_choice={choice!r} without tools; pass tools=[…], or leave it out")
    if choice not in CHOICES and choice not in names:
        known = ", ".join(repr(name) for name in (*CHOICES, *names) if name)
        raise InvalidRequestError(f"tool_choice={choice!r} is none of {known}")


def _declared_openai(tools: list[Tool | JsonObject]) -> object:
    return [
        {"type": "function", "function": _described(one)} if isinstance(one, Tool) else one for one in tools
    ]


def _declared_anthropic(tools: list[Tool | JsonObject]) -> object:
    return [_for_claude(one) for one in map(_as_function, tools)]


def _for_claude(one: JsonObject) -> JsonObject:
    if "parameters" not in one:
        return one  # a tool of Claude's own, or one in its form already
    rest = {key: value for key, value in one.items() if key in {"name", "description"}}
    return {**rest, "input_schema": one["parameters"]}


def _declared_gemini(tools: list[Tool | JsonObject]) -> object:
    functions, own = [], []
    for one in map(_as_function, tools):
        if "name" in one:
            functions.append(_for_gemini(one))
        else:
            own.append(one)
    return [*([{"functionDeclarations": functions}] if functions else []), *own]


def _for_gemini(one: JsonObject) -> JsonObject:
    rest = {key: value for key, value in one.items() if key in {"name", "description"}}
    schema = one.get("parameters")
    # An object without properties is refused: a function that takes nothing has no parameters at all.
    empty = not isinstance(schema, Mapping) or not schema.get("properties")
    return rest if empty else {**rest, "parameters": gemini_schema(schema)}  # type: ignore[arg-type]  # a mapping


def _described(one: Tool) -> Json:
    return {"name": one.name, "description": one.description, "parameters": one.parameters}


def _as_function(one: Tool | JsonObject) -> JsonObject:
    """Take a description out of OpenAI's wrapping."""
    if isinstance(one, Tool):
        return _described(one)
    function = one.get("function")
    return function if isinstance(function, Mapping) else one


def _choose_openai(choice: str) -> Json:
    named = {"type": "function", "function": {"name": choice}}
    return {"tool_choice": choice if choice in CHOICES else named}


def _choose_anthropic(choice: str) -> Json:
    kinds = {"auto": "auto", "required": "any", "none": "none"}
    return {"tool_choice": {"type": kinds[choice]} if choice in kinds else {"type": "tool", "name": choice}}


def _choose_gemini(choice: str) -> Json:
    modes = {"auto": "AUTO", "required": "ANY", "none": "NONE"}
    how: Json = {"mode": modes.get(choice, "ANY")}
    if choice not in modes:
        how["allowedFunctionNames"] = [choice]
    return {"toolConfig": {"functionCallingConfig": how}}


_DECLARE: Mapping[Family, Callable[[list[Tool | JsonObject]], object]] = {
    Family.OPENAI: _declared_openai,
    Family.ANTHROPIC: _declared_anthropic,
    Family.GEMINI: _declared_gemini,
}
_CHOOSE: Mapping[Family, Callable[[str], Json]] = {
    Family.OPENAI: _choose_openai,
    Family.ANTHROPIC: _choose_anthropic,
    Family.GEMINI: _choose_gemini,
}
