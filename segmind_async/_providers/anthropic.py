"""Claude's form: the system prompt as `instruction`, typed content parts, tool calls among them.

Source: Anthropic's Messages API reference; `instruction` from Segmind's model pages (2026-08).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from .._structured.rules import SchemaRules
from .._wire.json import UnreadableError
from ..models import JsonDict, JsonObject, Message, ToolCall, Usage
from .json_fields import arguments_text, count_in, joined_text, object_in, objects_in, string_in
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
)
from .provider import Answer, Finish, Provider, renamed

_CHOICES = {"auto": "auto", "required": "any", "none": "none"}
_THINKING = ("thinking", "redacted_thinking")
_NAMES = {"max_completion_tokens": "max_tokens", "stop": "stop_sequences"}


class Anthropic(Provider):
    """Claude models."""

    name = "anthropic"
    slug_prefixes = ("claude-",)
    schema_rules = SchemaRules(
        # Anthropic's documentation of structured outputs, "JSON Schema limitations" and "Schema complexity
        # limits" (2026-11): no bounds of numbers or lengths, no recursion.
        keywords=frozenset({"const", "format", "minItems", "pattern"}),
        formats=frozenset(
            {
                "date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid",
            }
        ),
        min_items=frozenset({0, 1}),
        recursive=False,
        most_unions=16,
    )  # fmt: skip
    finish_words: ClassVar[Mapping[str, Finish]] = {
        "end_turn": Finish.WHOLE,
        "stop_sequence": Finish.WHOLE,
        "tool_use": Finish.WHOLE,
        "pause_turn": Finish.WHOLE,
        "max_tokens": Finish.TRUNCATED,
        "model_context_window_exceeded": Finish.TRUNCATED,
        "refusal": Finish.REFUSED,
    }

    def body(self, messages: Sequence[Message]) -> JsonDict:
        """Move the system prompts into `instruction`, images into typed sources, tool turns into parts."""
        system, rest = split_system(messages)
        body: JsonDict = {"messages": _turns(rest)}
        if system:
            body["instruction"] = system
        return body

    def tool_parameters(self, tools: Sequence[JsonObject]) -> JsonDict:
        """Call `parameters` `input_schema`."""
        return {"tools": [_written_tool(function_in(one)) for one in tools]}

    def tool_choice(self, choice: str) -> JsonDict:
        """Return the choice as an object with a type."""
        named = {"type": "tool", "name": choice}
        return {"tool_choice": {"type": _CHOICES[choice]} if choice in _CHOICES else named}

    def parameters(self, given: JsonObject) -> JsonObject:
        """Rename the bound on tokens and the stop sequences."""
        return renamed(given, _NAMES)

    def recognises(self, raw: JsonObject) -> bool:
        """Return whether the content is a list, at the top."""
        return isinstance(raw.get("content"), list)

    def read_answer(self, raw: JsonDict) -> Answer:
        """Join the parts of type `text`; parts of other types are kept in `raw`."""
        parts = objects_in(raw["content"])
        if not parts and raw.get("stop_reason") is None:
            raise UnreadableError("content without parts and without a stop_reason")
        usage = object_in(raw.get("usage"))
        asked, answered = count_in(usage.get("input_tokens")), count_in(usage.get("output_tokens"))
        return Answer(
            text=joined_text(part for part in parts if part.get("type") == "text"),
            finish_reason=string_in(raw.get("stop_reason")),
            usage=Usage(asked, answered, None if asked is None or answered is None else asked + answered),
            tool_calls=tuple(
                ToolCall(string_in(part.get("id")), str(part.get("name")), arguments_text(part.get("input")))
                for part in parts
                if part.get("type") == "tool_use"
            ),
            raw=raw,
        )

    def parts_to_return(self, raw: JsonObject) -> list[object] | None:
        """Return thinking and the parts around it: Claude refuses tool calls without the thinking before."""
        parts = [part for part in objects_in(raw.get("content")) if part.get("type") != "tool_use"]
        return [*parts] if any(part.get("type") != "text" for part in parts) else None


def _turns(rows: Iterable[Message]) -> list[JsonDict]:
    """Translate messages; all tool results between two turns of the model go into one message.

    A turn of the model without text or calls is left out: Claude refuses empty content and takes two turns
    of the user in a row. Fields of OpenAI's messages other than these are not sent.
    """
    turns: list[JsonDict] = []
    results: list[JsonDict] | None = None
    for row in rows:
        if row["role"] == "tool":
            if results is None:
                results = []
                turns.append({"role": "user", "content": results})
            content = _content_of(row)
            results.append({"type": "tool_result", "tool_use_id": result_id_of(row), "content": content})
            continue
        if row["role"] != "assistant":
            turns.append({"role": row["role"], "content": _content_of(row)})
        elif content := _answer_content(row):
            turns.append({"role": "assistant", "content": content})
        else:
            continue
        results = None
    return turns


def _answer_content(row: Message) -> object:
    """Return the content of a turn of the model; empty if nothing may be sent."""
    calls, text = calls_of(row), answer_text(row)
    parts = parts_of(row)
    if parts is None and not calls:
        # Blanks at the end are refused where the model is to go on with a text.
        return text.rstrip()
    given = [{"type": "text", "text": text}] if parts is None else map(_written_part, parts)
    kept = [part for part in given if not is_blank(part) and not _is_unsigned(part)]
    if not calls and all(part.get("type") in _THINKING for part in kept):
        return []  # it ended while it was thinking
    uses = [
        {
            "type": "tool_use",
            "id": call.get("id"),
            "name": function_name_of(call),
            "input": arguments_of(call),
        }
        for call in calls
    ]
    return [*kept, *uses]


def _is_unsigned(part: JsonObject) -> bool:
    """Return whether a part is thinking that cannot be sent back."""
    return part.get("type") == "thinking" and not part.get("signature")


def _content_of(row: Message) -> object:
    parts = parts_of(row)
    return row.get("content") if parts is None else [_written_part(part) for part in parts]


def _written_part(part: JsonObject) -> JsonObject:
    if part.get("type") == "refusal":
        return {"type": "text", "text": part.get("refusal")}
    url, file = image_url_of(part), file_of(part)
    if url is not None:
        return {"type": "image", "source": _source_of(url)}
    if file is not None:
        title = {} if file.filename is None else {"title": file.filename}
        return {"type": "document", "source": _source_of(file.url), **title}
    return part


def _source_of(url: str) -> JsonObject:
    inline = inline_data(url)
    if inline is None:
        return {"type": "url", "url": url}
    return {"type": "base64", "media_type": inline.media_type, "data": inline.data}


def _written_tool(description: JsonObject) -> JsonObject:
    if "parameters" not in description:
        return description  # a built-in tool of Claude's, or one in its form already
    rest = {key: value for key, value in description.items() if key in {"name", "description"}}
    return {**rest, "input_schema": description["parameters"]}
