"""Gemini's form: `messages` is an object, the assistant is `model`, tool calls and results are parts.

Source: Google's Gemini API reference, `generateContent`; the outer object is in Segmind's model pages
(2026-08).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import ClassVar

from .._structured.prompting import SchemaSupport
from .._structured.rules import SchemaRules
from .._wire.json import UnreadableError, shortened
from ..errors import InvalidRequestError
from ..models import JsonDict, JsonObject, Message, ToolCall, Usage
from .gemini_schema import gemini_schema
from .json_fields import arguments_text, count_in, first_object, joined_text, object_in, objects_in, string_in
from .openai_messages import (
    answer_text,
    arguments_of,
    calls_of,
    file_of,
    function_in,
    function_name_of,
    image_url_of,
    inline_data,
    is_blank,
    parts_of,
    result_id_of,
    split_system,
    texts_of,
)
from .provider import Answer, Finish, Provider, renamed

_ANSWER_PARTS = ("text", "refusal", "image_url", "file")
_MODES = {"auto": "AUTO", "required": "ANY", "none": "NONE"}
_NAMES = {
    "max_tokens": "maxOutputTokens",
    "max_completion_tokens": "maxOutputTokens",
    "stop": "stopSequences",
}


class Gemini(Provider):
    """Gemini models."""

    name = "gemini"
    slug_prefixes = ("gemini-",)
    schema_rules = SchemaRules(
        # Google's reference of `GenerationConfig.responseJsonSchema`, and the formats of its guide to
        # structured output (2026-11): enums of strings and numbers, recursion only in optional properties.
        keywords=frozenset({"format", "maximum", "maxItems", "minimum", "minItems"}),
        formats=frozenset({"date-time", "date", "time"}),
        enum_types=(str, int, float),
        recursive=False,
    )
    # Gemini 2.5 refuses a response schema beside function declarations (Google's documentation of function
    # calling, 2026-08).
    schema_support_beside_tools = SchemaSupport.PROMPT
    foreign_signature: ClassVar[str | None] = None
    """What stands for the signature of a call that another model made; None: none is needed."""
    finish_words: ClassVar[Mapping[str, Finish]] = {
        "stop": Finish.WHOLE,
        "max_tokens": Finish.TRUNCATED,
        "safety": Finish.REFUSED,
        "recitation": Finish.REFUSED,
        "blocklist": Finish.REFUSED,
        "prohibited_content": Finish.REFUSED,
        "spii": Finish.REFUSED,
    }

    def body(self, messages: Sequence[Message]) -> JsonDict:
        """Put contents and system prompts into the object that `messages` is."""
        system, rest = split_system(messages)
        inner: JsonDict = {"contents": _turns(rest, self.foreign_signature)}
        if system:
            inner["system_instruction"] = {"parts": {"text": system}}
        return {"messages": inner}

    def tool_parameters(self, tools: Sequence[JsonObject]) -> JsonDict:
        """Collect functions into one declaration; built-in tools stand beside it."""
        functions, builtin = [], []
        for one in map(function_in, tools):
            if "name" in one:
                functions.append(_written_function(one))
            else:
                builtin.append(one)
        return {"tools": [*([{"functionDeclarations": functions}] if functions else []), *builtin]}

    def tool_choice(self, choice: str) -> JsonDict:
        """Return the choice as a mode; a tool's name restricts ANY to it."""
        config: JsonDict = {"mode": _MODES.get(choice, "ANY")}
        if choice not in _MODES:
            config["allowedFunctionNames"] = [choice]
        return {"toolConfig": {"functionCallingConfig": config}}

    def parameters(self, given: JsonObject) -> JsonObject:
        """Move the bound on tokens and the stop sequences into `generationConfig`."""
        if not given.keys() & _NAMES.keys():
            return given
        moved = {name: value for name, value in given.items() if name in _NAMES}
        rest = {name: value for name, value in given.items() if name not in _NAMES}
        config = rest.get("generationConfig")
        own = dict(config) if isinstance(config, Mapping) else {}
        return {**rest, "generationConfig": renamed({**own, **moved}, _NAMES)}

    def recognises(self, raw: JsonObject) -> bool:
        """Return whether there are candidates, or a prompt that was blocked."""
        return "candidates" in raw or "promptFeedback" in raw

    def read_answer(self, raw: JsonDict) -> Answer:
        """Join the texts of the first candidate; a blocked prompt is an empty answer with that reason."""
        blocked = string_in(object_in(raw.get("promptFeedback")).get("blockReason"))
        missing = blocked and not raw.get("candidates")
        candidate = {} if missing else first_object(raw.get("candidates"), "candidates")
        content = object_in(candidate.get("content"))
        finish = string_in(candidate.get("finishReason")) or blocked
        if not content and finish is None:
            raise UnreadableError(f"candidates[0] without content: {shortened(candidate)}")
        # Thinking is a marked part among the others; it is not part of the answer.
        parts = [part for part in objects_in(content.get("parts")) if not part.get("thought")]
        usage = object_in(raw.get("usageMetadata"))
        return Answer(
            text=joined_text(parts),
            finish_reason=finish,
            usage=Usage(
                count_in(usage.get("promptTokenCount")),
                count_in(usage.get("candidatesTokenCount")),
                count_in(usage.get("totalTokenCount")),
            ),
            tool_calls=tuple(_read_call(part) for part in parts if object_in(part.get("functionCall"))),
            raw=raw,
        )


class Gemini3(Gemini):
    """Gemini from 3 on: refuses a turn whose first call has no thought signature.

    Source: Google's documentation of thought signatures, with its value for calls of other models (2026-08).
    """

    name = "gemini-3"
    slug_prefixes = ("gemini-3",)
    foreign_signature = "skip_thought_signature_validator"


def _read_call(part: JsonDict) -> ToolCall:
    call = object_in(part["functionCall"])
    return ToolCall(
        string_in(call.get("id")),
        str(call.get("name")),
        arguments_text(call.get("args")),
        # Newer models refuse a conversation in which a call has lost its signature.
        string_in(part.get("thoughtSignature")),
    )


def _turns(rows: Iterable[Message], foreign_signature: str | None) -> list[JsonDict]:
    """Translate messages; all tool results between two turns of the model go into one.

    A turn of the model without text or calls is left out, and two in a row become one: a call must follow a
    turn of the user or results.
    """
    turns: list[tuple[str, list[JsonObject]]] = []
    calls: Sequence[JsonObject] = ()
    for are_results, group in groupby(rows, key=lambda row: row["role"] == "tool"):
        if are_results:
            turns.append(("user", _written_results(group, calls)))
            continue
        for row in group:
            if row["role"] != "assistant":
                turns.append(("user", _written_parts(row)))
            elif parts := _answer_parts(row, foreign_signature):
                calls = calls_of(row)
                before = turns.pop()[1] if turns and turns[-1][0] == "model" else []
                turns.append(("model", [*before, *parts]))
    return [{"role": role, "parts": parts} for role, parts in turns]


def _written_results(rows: Iterable[Message], calls: Sequence[JsonObject]) -> list[JsonObject]:
    """Return the results of *calls* in their order, since Gemini matches them by name and order."""
    names = {str(call.get("id")): _written_name(call) for call in calls}
    places = {key: place for place, key in enumerate(names)}
    results = [(result_id_of(row), {"result": "".join(texts_of(row))}) for row in rows]
    results.sort(key=lambda result: places.get(result[0], len(places)))
    return [
        {"functionResponse": {"name": names.get(key, key), "response": response}} for key, response in results
    ]


def _answer_parts(row: Message, foreign_signature: str | None) -> list[JsonObject]:
    """Return the parts of a turn of the model: its text without others' thinking, and its calls."""
    parts = parts_of(row)
    if parts is None:
        given: list[JsonObject] = [{"text": answer_text(row)}]
    else:
        # Parts in Gemini's own form have no type.
        given = [_written_part(part) for part in parts if part.get("type", "text") in _ANSWER_PARTS]
    calls = [_written_call(call) for call in calls_of(row)]
    if calls and foreign_signature is not None:
        calls[0].setdefault("thoughtSignature", foreign_signature)
    return [*(part for part in given if not is_blank(part)), *calls]


def _written_call(call: JsonObject) -> JsonDict:
    part: JsonDict = {"functionCall": {"name": _written_name(call), "args": arguments_of(call)}}
    extra = call.get("extra_content")
    google = extra.get("google") if isinstance(extra, Mapping) else None
    if isinstance(google, Mapping) and "thought_signature" in google:
        part["thoughtSignature"] = google["thought_signature"]
    return part


def _written_name(call: JsonObject) -> str:
    """Return the name of a call's function, which may not begin with a digit or a dash."""
    name = function_name_of(call)
    return name if name[:1].isalpha() or name.startswith("_") else f"_{name[:63]}"


def _written_parts(row: Message) -> list[JsonObject]:
    parts = parts_of(row)
    return [{"text": row.get("content") or ""}] if parts is None else [_written_part(part) for part in parts]


def _written_part(part: JsonObject) -> JsonObject:
    if part.get("type") in {"text", "refusal"}:
        return {"text": part.get(str(part["type"]), "")}
    url, file = image_url_of(part), file_of(part)
    if url is not None:
        return _inline_part(url, "image")
    return part if file is None else _inline_part(file.url, "document")


def _inline_part(url: str, noun: str) -> JsonObject:
    inline = inline_data(url)
    if inline is None:
        raise InvalidRequestError(
            f"the {noun} URL {url[:80]!r}: Gemini models take only the {noun} itself; "
            f"pass its bytes to {noun}()"
        )
    return {"inlineData": {"mimeType": inline.media_type, "data": inline.data}}


def _written_function(description: JsonObject) -> JsonObject:
    rest = {key: value for key, value in description.items() if key in {"name", "description"}}
    schema = description.get("parameters")
    if not isinstance(schema, Mapping) or not schema.get("properties"):
        # An object without properties is refused: a function without arguments has no parameters at all.
        return rest
    return {**rest, "parameters": gemini_schema(schema)}
