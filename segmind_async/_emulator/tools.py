"""Tools in the providers' shapes: validation of definitions, and of conversations that use them. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from . import Json
from .brains import BrainAnswer, Calls

ANY = "*"
"""The model must call some tool."""

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_GEMINI_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.-]{0,63}")
_CLAUDES_OWN = re.compile(r"[a-z_]+_\d+")
"""Types of server-side tools end in a version, as `web_search_20250305`."""
_GEMINI_KEYS = {
    "type", "format", "title", "description", "nullable", "enum", "items", "properties", "required", "anyOf",
    "minItems", "maxItems", "minimum", "maximum", "minLength", "maxLength", "pattern", "propertyOrdering",
}  # fmt: skip
_SAMPLES: Mapping[object, object] = {
    "string": "x",
    "integer": 1,
    "number": 1,
    "boolean": True,
    "array": [],
    "object": {},
}


class BadRequestError(ValueError):
    """The provider would refuse this body; the message is its answer."""


@dataclass(frozen=True, slots=True)
class ToolOffer:
    """The tools of one request: schemas by name, and the tool choice."""

    schemas: Mapping[str, Mapping[str, object]]
    must: str | None = None
    """The tool that must be called, `ANY` for any of them; None leaves it to the model."""


@dataclass(frozen=True, slots=True)
class Row:
    """One message: role, text, ids of its calls, and ids of the calls it answers (Gemini: names)."""

    role: str
    text: str
    calls: tuple[str, ...] = ()
    results: tuple[str, ...] = ()


def offer_of(slug: str, body: Mapping[str, object]) -> ToolOffer:
    """Parse tools and tool choice; raises BadRequestError where the provider would refuse them."""
    if slug.startswith("gemini-"):
        return _gemini_offer(body)
    tools = body.get("tools")
    if tools is None:
        if body.get("tool_choice") is not None:
            raise BadRequestError("tool_choice needs tools")
        return ToolOffer({})
    read = _claude_tool if slug.startswith("claude-") else _openai_tool
    schemas = _named(read(n, one) for n, one in enumerate(_list(tools, "tools")))
    choose = _claude_choice if slug.startswith("claude-") else _openai_choice
    return ToolOffer(schemas, choose(body.get("tool_choice"), schemas))


def check_turns(rows: Iterable[Row]) -> None:
    """Refuse a conversation in which a call has no result, or a result no call."""
    open_calls: list[str] = []
    for row in rows:
        for key in row.results:
            if key not in open_calls:
                raise BadRequestError(f"a result for {key!r} follows no call of it")
            open_calls.remove(key)
        if open_calls and not row.results:
            raise BadRequestError(f"calls without results: {', '.join(open_calls)}")
        open_calls += row.calls
    if open_calls:
        raise BadRequestError(f"calls without results: {', '.join(open_calls)}")


def with_required_call(offer: ToolOffer, answer: BrainAnswer) -> BrainAnswer:
    """Return *answer*, with a call if the tool choice requires one, without calls if there are no tools."""
    if isinstance(answer, Calls):
        return answer if offer.schemas else answer.text or "There is nothing I could call."
    if offer.must is None:
        return answer
    name = next(iter(offer.schemas)) if offer.must == ANY else offer.must
    return Calls([(name, _sample(offer.schemas[name]))])


def listed_rows(slug: str, message: Mapping[str, object]) -> list[Row]:
    """Parse one message of OpenAI's or Claude's shape."""
    content, role = message.get("content"), str(message.get("role"))
    if not slug.startswith("claude-"):
        calls = tuple(_openai_call(call) for call in _list(message.get("tool_calls") or [], "tool_calls"))
        results = (str(message.get("tool_call_id")),) if role == "tool" else ()
        return [Row(role, text_of(content), calls, results)]
    if role == "tool":
        raise BadRequestError("messages: there is no role 'tool'")
    if not isinstance(content, list):
        return [Row(role, text_of(content))]
    parts = _list(content, "content")
    results_of = [part for part in parts if part.get("type") == "tool_result"]
    uses = tuple(_claude_use(part) for part in parts if part.get("type") == "tool_use")
    rest = [part for part in parts if part.get("type") not in ("tool_result", "tool_use", "thinking")]
    rows = [
        Row("tool", text_of(part.get("content")), (), (str(part.get("tool_use_id")),)) for part in results_of
    ]
    if rest or uses:
        rows.append(Row(role, text_of(rest), uses))
    return rows


def gemini_rows(slug: str, content: Mapping[str, object]) -> list[Row]:
    """Parse one of Gemini's contents."""
    parts = _list(content.get("parts"), "parts")
    role = "user" if content["role"] == "user" else "assistant"
    responses = _list([part["functionResponse"] for part in parts if "functionResponse" in part], "responses")
    calls = [part for part in parts if "functionCall" in part]
    rest = [part for part in parts if not {"functionResponse", "functionCall"} & set(part)]
    if calls and slug.startswith("gemini-3") and "thoughtSignature" not in calls[0]:
        raise BadRequestError("a function call has lost its thought signature")
    if any(not isinstance(one.get("response"), dict) for one in responses):
        raise BadRequestError("functionResponse.response must be an object")
    rows = [Row("tool", json.dumps(one["response"]), (), (str(one["name"]),)) for one in responses]
    if rest or calls:
        functions = _list([part["functionCall"] for part in calls], "functionCall")
        rows.append(Row(role, text_of(rest), tuple(str(one.get("name")) for one in functions)))
    return rows


def text_of(content: object) -> str:
    """Return the text of a content, a string or parts; `[image]` and `[document]` stand for those."""
    if content is None or isinstance(content, str):
        return content or ""
    if not isinstance(content, list):
        raise BadRequestError("content must be a string or an array of parts")
    words = []
    for part in content:
        if not isinstance(part, dict):
            raise BadRequestError("a content part must be an object")
        text = part.get("text")
        words.append(text if isinstance(text, str) else "[document]" if _is_document(part) else "[image]")
    return " ".join(words)


def _is_document(part: Json) -> bool:
    """Return whether a part of any provider's form holds a PDF; raises BadRequestError for a damaged one."""
    found = part.get("file") or part.get("source") or part.get("inlineData")
    if part.get("type") not in ("file", "document"):
        return isinstance(found, dict) and found.get("mimeType") == "application/pdf"
    if not isinstance(found, dict) or not {"file_data", "file_id", "data", "url"} & found.keys():
        raise BadRequestError("a document needs its data")
    return True


def _openai_tool(number: int, one: Json) -> tuple[str, Mapping[str, object]]:
    function = one.get("function")
    if one.get("type") != "function" or not isinstance(function, dict):
        raise BadRequestError(f"tools[{number}] must have type 'function' and a function")
    schema = function.get("parameters", {"type": "object", "properties": {}})
    return _checked(number, function.get("name"), schema)


def _claude_tool(number: int, one: Json) -> tuple[str, Mapping[str, object]]:
    if _CLAUDES_OWN.fullmatch(str(one.get("type"))):
        return str(one.get("name")), {}
    if one.get("type", "custom") != "custom":
        raise BadRequestError(f"tools[{number}]: type {one.get('type')!r} is not known")
    return _checked(number, one.get("name"), one.get("input_schema"))


def _checked(
    number: int, name: object, schema: object, pattern: re.Pattern[str] = _NAME
) -> tuple[str, Mapping[str, object]]:
    if not isinstance(name, str) or not pattern.fullmatch(name):
        raise BadRequestError(f"tools[{number}]: {name!r} is not a valid name")
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise BadRequestError(f"tools[{number}]: the schema must be of type 'object'")
    if not isinstance(schema.get("properties"), dict):
        raise BadRequestError(f"tools[{number}]: an object schema needs properties")
    return name, schema


def _named(tools: Iterable[tuple[str, Mapping[str, object]]]) -> dict[str, Mapping[str, object]]:
    found: dict[str, Mapping[str, object]] = {}
    for name, schema in tools:
        if name in found:
            raise BadRequestError(f"tools: the name {name!r} is not unique")
        found[name] = schema
    return found


def _openai_choice(choice: object, schemas: Mapping[str, object]) -> str | None:
    if choice in (None, "auto", "none"):
        return None
    if choice == "required":
        return ANY
    function = choice.get("function") if isinstance(choice, dict) else None
    return _known(function.get("name") if isinstance(function, dict) else None, schemas)


def _claude_choice(choice: object, schemas: Mapping[str, object]) -> str | None:
    choice_type = _type_of(choice)
    if choice is None or choice_type in ("auto", "none"):
        return None
    if choice_type == "any":
        return ANY
    return _known(choice.get("name") if isinstance(choice, dict) and choice_type == "tool" else None, schemas)


def _known(name: object, schemas: Mapping[str, object]) -> str:
    if not isinstance(name, str) or name not in schemas:
        raise BadRequestError(f"tool_choice names {name!r}, which is not a tool")
    return name


def _gemini_offer(body: Mapping[str, object]) -> ToolOffer:
    found: list[tuple[str, Mapping[str, object]]] = []
    for one in _list(body.get("tools") or [], "tools"):
        for number, function in enumerate(
            _list(one.get("functionDeclarations") or [], "functionDeclarations")
        ):
            schema = function.get("parameters")
            if schema is not None:
                _check_gemini(schema)
            taken = {"type": "object", "properties": {}} if schema is None else schema
            found.append(_checked(number, function.get("name"), taken, _GEMINI_NAME))
    schemas = _named(found)
    config = body.get("toolConfig")
    how = config.get("functionCallingConfig") if isinstance(config, dict) else None
    if not isinstance(how, dict) or how.get("mode") in ("AUTO", "NONE"):
        return ToolOffer(schemas)
    if how.get("mode") != "ANY" or not schemas:
        raise BadRequestError("functionCallingConfig: mode ANY needs function declarations")
    allowed = how.get("allowedFunctionNames")
    return ToolOffer(schemas, _known(allowed[0], schemas) if isinstance(allowed, list) and allowed else ANY)


def _check_gemini(schema: object) -> None:
    """Refuse keywords that Gemini's schema objects do not have."""
    if not isinstance(schema, dict):
        raise BadRequestError("a schema must be an object")
    for key in schema:
        if key not in _GEMINI_KEYS:
            raise BadRequestError(f"Unknown name {key!r} in a schema")
    if schema.get("type") == "object" and not schema.get("properties"):
        raise BadRequestError("properties must not be empty for an object")
    if "enum" in schema and schema.get("type") != "string":
        raise BadRequestError("only strings may have an enum")
    properties = schema.get("properties") or {}
    inner = [
        *properties.values(),
        *(schema.get("anyOf") or []),
        *([schema["items"]] if "items" in schema else []),
    ]
    for one in inner:
        _check_gemini(one)


def _openai_call(call: Json) -> str:
    function = call.get("function")
    if call.get("type") != "function" or not isinstance(function, dict) or not call.get("id"):
        raise BadRequestError("a tool call must have an id, type 'function' and a function")
    if not isinstance(function.get("arguments"), str):
        raise BadRequestError("function.arguments must be a string")
    return str(call["id"])


def _claude_use(part: Json) -> str:
    if not isinstance(part.get("input"), dict):
        raise BadRequestError("tool_use.input must be an object")
    return str(part.get("id"))


def _type_of(part: object) -> object:
    return part.get("type") if isinstance(part, dict) else None


def _list(value: object, name: str) -> list[Json]:
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise BadRequestError(f"{name} must be an array of objects")
    return value


def _sample(schema: Mapping[str, object]) -> Json:
    """Return arguments with a fixed value for each required property."""
    properties, required = schema.get("properties"), schema.get("required") or []
    assert isinstance(properties, dict)
    assert isinstance(required, list)
    return {name: _SAMPLES.get(properties[name].get("type"), "x") for name in required}
