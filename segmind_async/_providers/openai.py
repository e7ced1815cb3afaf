"""OpenAI's form: the default, shared by most models (`gpt-*`, `o3*`, llama, qwen, kimi, glm, mixtral …).

Also writes answers in this form, whatever provider they came from.
Source: OpenAI's API reference, chat completions (2026-08).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, ClassVar

from pydantic_core import to_json

from .._structured.rules import SchemaRules
from .._wire.json import UnreadableError, shortened
from ..errors import InvalidRequestError
from ..models import ChatCompletion, JsonDict, JsonObject, Message, ToolCall, Usage
from .json_fields import arguments_text, count_in, first_object, joined_text, object_in, objects_in, string_in
from .openai_messages import calls_of, file_of, inline_data, parts_of, texts_of
from .provider import TOOL_CHOICES, Answer, Finish, Provider


class OpenAI(Provider):
    """Messages, tools and answers as the whole package has them: little to translate."""

    name = "openai"
    schema_rules = SchemaRules(
        # OpenAI's guide to structured outputs, "Supported schemas" (2026-11). `allOf`, `not`, conditions and
        # dependencies are not taken by anybody's strict schemas.
        keywords=frozenset(
            {
                "const", "exclusiveMaximum", "exclusiveMinimum", "format", "maxItems", "maximum", "minItems",
                "minimum", "multipleOf", "pattern",
            }
        ),
        formats=frozenset(
            {
                "date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid",
            }
        ),
    )  # fmt: skip
    finish_words: ClassVar[Mapping[str, Finish]] = {
        "stop": Finish.WHOLE,
        "tool_calls": Finish.WHOLE,
        "function_call": Finish.WHOLE,
        "length": Finish.TRUNCATED,
        "content_filter": Finish.REFUSED,
    }

    def body(self, messages: Sequence[Message]) -> JsonDict:
        """Pass the messages on, without what only other providers' models can read."""
        return {"messages": [_written_row(row) for row in messages]}

    def tool_parameters(self, tools: Sequence[JsonObject]) -> JsonDict:
        """Pass the descriptions on."""
        return {"tools": tools}

    def tool_choice(self, choice: str) -> JsonDict:
        """Wrap a tool's name; the other choices are OpenAI's words."""
        named = {"type": "function", "function": {"name": choice}}
        return {"tool_choice": choice if choice in TOOL_CHOICES else named}

    def recognises(self, raw: JsonObject) -> bool:
        """Return whether there are choices."""
        return "choices" in raw

    def read_answer(self, raw: JsonDict) -> Answer:
        """Read the first choice."""
        choice = first_object(raw["choices"], "choices")
        message = choice.get("message")
        if not isinstance(message, dict):
            raise UnreadableError(f"choices[0] without a message: {shortened(choice)}")
        text = message.get("content")
        if not isinstance(text, str):
            # Text is the rule; otherwise one of these fields must explain its absence.
            if not message.keys() & {"content", "tool_calls", "refusal"}:
                raise UnreadableError(f"choices[0] without a message: {shortened(choice)}")
            text = _text_of(text)
        usage = object_in(raw.get("usage"))
        calls = message.get("tool_calls")
        return Answer(
            text,
            string_in(choice.get("finish_reason")),
            Usage(
                count_in(usage.get("prompt_tokens")),
                count_in(usage.get("completion_tokens")),
                count_in(usage.get("total_tokens")),
            ),
            tuple(map(_read_call, objects_in(calls))) if calls else (),
            raw,
        )

    def refusal(self, raw: JsonObject) -> str | None:
        """Return the field `refusal` of the first message."""
        choices = raw.get("choices")
        first = choices[0] if isinstance(choices, list) and choices else None
        return string_in(object_in(object_in(first).get("message")).get("refusal")) or None


def _written_row(row: Message) -> Message:
    if row["role"] == "assistant":
        return _written_answer(row)
    if type(row.get("content")) is str:
        return row
    for part in parts_of(row) or ():
        file = file_of(part)
        if file is not None and inline_data(file.url) is None:
            raise InvalidRequestError(
                f"the document URL {file.url[:80]!r}: models in OpenAI's form take only the document "
                "itself; pass its bytes to document(), or ask a Claude model"
            )
    return row


def _written_answer(row: Message) -> Message:
    """Drop parts that are neither text nor refusal (Claude's thinking), and marks on calls (Gemini's)."""
    written = dict(row)
    parts = parts_of(row)
    if parts is not None and any(part.get("type") not in {"text", "refusal"} for part in parts):
        text = "".join(texts_of({"content": [part for part in parts if part.get("type") == "text"]}))
        written["content"] = text or (None if calls_of(row) else "")
    if calls := calls_of(row):
        written["tool_calls"] = [
            {name: value for name, value in call.items() if name != "extra_content"} for call in calls
        ]
    return row if written == row else written


def _text_of(content: object) -> str:
    if content is None:
        return ""
    if isinstance(content, list):
        return joined_text(objects_in(content))
    raise UnreadableError(f"content is neither text nor parts: {shortened(content)}")


def _read_call(call: JsonDict) -> ToolCall:
    function = object_in(call.get("function"))
    return ToolCall(
        string_in(call.get("id")), str(function.get("name")), arguments_text(function.get("arguments"))
    )


def write_call(call: ToolCall) -> JsonDict:
    """Return a tool call in OpenAI's form, as a message's `tool_calls` holds it."""
    function = {"name": call.name, "arguments": call.arguments}
    written: JsonDict = {"id": call_id_of(call), "type": "function", "function": function}
    if call.signature is not None:
        written["extra_content"] = {"google": {"thought_signature": call.signature}}
    return written


def call_id_of(call: ToolCall) -> str:
    """Return the id that a call's result refers to."""
    # Gemini's calls have no id; their results are matched by name.
    return call.id or call.name


def write_answer(
    completion: ChatCompletion[Any], finish: Finish, refusal: str | None, *, created: int
) -> JsonDict:
    """Return an answer of any provider as the body of an OpenAI `chat.completion`.

    *created* is in epoch seconds. An answer that was in this form keeps its further fields (log
    probabilities, further choices, token details). `usage` is left out if the provider did not count.
    """
    raw = object_in(completion.raw)
    given = raw if "choices" in raw else {}
    choices = objects_in(given.get("choices"))
    first = choices[0] if choices else {}
    message: JsonDict = {
        **object_in(first.get("message")),
        "role": "assistant",
        "content": completion.text or (None if completion.tool_calls or refusal else ""),
        "refusal": refusal,
    }
    if completion.tool_calls:
        message["tool_calls"] = [write_call(call) for call in completion.tool_calls]
    reason = _finish_reason(completion, finish)
    written: JsonDict = {
        **{name: value for name, value in given.items() if name != "usage"},
        "id": string_in(raw.get("id")) or string_in(raw.get("responseId")) or _id_of(raw),
        "object": "chat.completion",
        "created": count_in(given.get("created")) or created,
        "model": completion.model,
        "choices": [
            {"logprobs": None, **first, "index": 0, "message": message, "finish_reason": reason},
            *choices[1:],
        ],
    }
    usage = _written_usage(completion.usage, object_in(given.get("usage")))
    if usage:
        written["usage"] = usage
    return written


def _finish_reason(completion: ChatCompletion[Any], finish: Finish) -> str:
    """Return the finish reason in OpenAI's words."""
    own = completion.finish_reason
    if own is not None and OpenAI.finish_words.get(own) is finish:
        return own
    if finish is Finish.WHOLE:
        return "tool_calls" if completion.tool_calls else "stop"
    return "length" if finish is Finish.TRUNCATED else "content_filter"


def _written_usage(usage: Usage, given: JsonDict) -> JsonDict:
    asked, answered, total = usage.input_tokens, usage.output_tokens, usage.total_tokens
    if asked is None or answered is None:
        return {}
    counts = {"prompt_tokens": asked, "completion_tokens": answered}
    return {**given, **counts, "total_tokens": asked + answered if total is None else total}


def _id_of(raw: JsonDict) -> str:
    """Return an id for an answer that has none: the same for the same answer."""
    return f"chatcmpl-{blake2b(to_json(raw), digest_size=12).hexdigest()}"
