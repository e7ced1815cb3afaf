"""Request bodies read and answer bodies made, in the three providers' shapes. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TypeAlias

from . import faults, schemas, tooling
from .brain import Question, Said, Spoken
from .tooling import (
    BadRequestError,
    Offer,
    Row,
    text_of,
)

Json: TypeAlias = dict[str, object]

_OWN_FIELDS = {"messages", "prompt", "instruction"}
_BOUNDS = ("max_completion_tokens", "max_tokens")
_ROLES = {"system", "developer", "user", "assistant", "tool"}


def tokens_of(text: str) -> int:
    """Count tokens roughly: four bytes each, at least one."""
    return max(1, len(text.encode("utf-8", "replace")) // 4)


def question_of(slug: str, body: Mapping[str, object], offer: Offer | None = None) -> Question:
    """Read a request body of *slug*'s family; raises BadRequestError as the provider would refuse it."""
    if body.get("stream"):
        raise BadRequestError("stream is not supported")
    # The gateway also takes a flat prompt, as the vendor's own client sends it.
    flat = [{"role": "user", "content": body["prompt"]}] if "prompt" in body else None
    messages = body.get("messages", flat)
    if messages is None:
        raise BadRequestError("Missing required field: messages")
    parameters = {name: value for name, value in body.items() if name not in _OWN_FIELDS}
    if slug.startswith("gemini-"):
        question = _gemini(slug, messages, parameters)
    else:
        question = _listed(slug, messages, parameters, body.get("instruction"))
    _check_format(question)
    return replace(question, tools=tuple(offer.schemas)) if offer else question


def _listed(slug: str, messages: object, parameters: Json, instruction: object) -> Question:
    if not isinstance(messages, list) or not messages:
        raise BadRequestError("messages must be a non-empty array")
    found: list[Row] = []
    for message in messages:
        if not isinstance(message, dict) or message.get("role") not in _ROLES:
            raise BadRequestError(f"Invalid message: {message!r:.200}")
        found += tooling.listed_rows(slug, message)
    tooling.check_turns(found)
    rows = [(row.role, row.text) for row in found]
    spoken = [row for row in rows if row[0] not in {"system", "developer"}]
    if slug.startswith("claude-") and len(spoken) < len(rows):
        raise BadRequestError("messages: role 'system' is not allowed, use instruction")
    system = [text for role, text in rows if role in {"system", "developer"}]
    if isinstance(instruction, str):
        system.append(instruction)
    return Question(slug, "\n".join(system), tuple(spoken), parameters)


def _gemini(slug: str, messages: object, parameters: Json) -> Question:
    contents = messages.get("contents") if isinstance(messages, dict) else None
    if not isinstance(messages, dict) or not isinstance(contents, list) or not contents:
        raise BadRequestError("messages must be an object with contents")
    found: list[Row] = []
    for row in contents:
        if not isinstance(row, dict) or row.get("role") not in {"user", "model"}:
            raise BadRequestError(f"Invalid content: {row!r:.200}")
        found += tooling.gemini_rows(slug, row)
    tooling.check_turns(found)
    rows = [(row.role, row.text) for row in found]
    instruction = messages.get("system_instruction")
    parts = instruction.get("parts") if isinstance(instruction, dict) else None
    system = text_of([parts] if isinstance(parts, dict) else parts or [])
    return Question(slug, system, tuple(rows), parameters)


_WITHOUT_SCHEMAS = "deepseek-"
"""Beginning of the slugs whose provider takes json_object only."""


def _check_format(question: Question) -> None:
    wanted = question.parameters.get("response_format")
    if wanted is None:
        return
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind not in {"text", "json_object", "json_schema"}:
        raise BadRequestError(f"Invalid value: 'response_format.type': {kind!r:.80}")
    if kind == "json_object":
        _check_json_object(question)
    if kind == "json_schema":
        if question.slug.startswith(_WITHOUT_SCHEMAS):
            raise BadRequestError("This response_format type is unavailable now")
        assert isinstance(wanted, dict)
        try:
            schemas.check_format(wanted)
        except schemas.SchemaError as error:
            raise BadRequestError(str(error)) from None


def _check_json_object(question: Question) -> None:
    if question.slug.startswith("claude-"):
        raise BadRequestError("response_format: json_object is not supported, use json_schema")
    if "json" not in f"{question.system} {' '.join(text for _, text in question.messages)}".lower():
        raise BadRequestError("'messages' must contain the word 'json' to use response_format json_object")


def speak(question: Question, said: Said, twist: faults.Fault | None = None) -> Spoken:
    """Give an answer its length, cut where the request bounds it, and its twist; if cut, it calls nothing.

    What a brain has measured itself stays as it is, unless there is a twist.
    """
    if isinstance(said, Spoken) and not isinstance(twist, faults.Twist):
        return said
    text, calls = (said, ()) if isinstance(said, str) else (said.text, tuple(said.tools))
    if isinstance(twist, faults.Say | faults.Refuse):
        text, calls = twist.text, ()
    if isinstance(twist, faults.Wrap):
        text = f"{twist.before}{text}{twist.after}"
    bounds = [value for name in _BOUNDS if isinstance(value := question.parameters.get(name), int)][:1]
    if isinstance(twist, faults.CutShort):
        bounds.append(twist.tokens)
    bound = min((value for value in bounds if value > 0), default=None)
    prompt = tokens_of(question.system + "".join(words for _, words in question.messages))
    length = tokens_of(text + "".join(name + json.dumps(arguments) for name, arguments in calls))
    if bound is not None and length > bound:
        return Spoken(text.encode()[: bound * 4].decode("utf-8", "ignore"), prompt, bound, cut=True)
    return Spoken(text, prompt, length, cut=False, tools=calls, refused=isinstance(twist, faults.Refuse))


def _ending(slug: str, spoken: Spoken) -> str:
    """Return the provider's word for how an answer ended."""
    if slug.startswith("claude-"):
        whole = "tool_use" if spoken.tools else "end_turn"
        return "refusal" if spoken.refused else "max_tokens" if spoken.cut else whole
    if slug.startswith("gemini-"):
        return "SAFETY" if spoken.refused else "MAX_TOKENS" if spoken.cut else "STOP"
    return "length" if spoken.cut else "tool_calls" if spoken.tools else "stop"


def body_of(slug: str, number: int, spoken: Spoken) -> Json:
    """Return the provider's JSON for an answer."""
    if slug.startswith("claude-"):
        return {
            "id": f"msg_{number:08d}",
            "type": "message",
            "role": "assistant",
            "model": slug,
            "content": _claude_content(number, spoken),
            "stop_reason": _ending(slug, spoken),
            "stop_sequence": None,
            "usage": {"input_tokens": spoken.prompt_tokens, "output_tokens": spoken.completion_tokens},
        }
    if slug.startswith("gemini-"):
        return {
            "candidates": [
                {
                    "content": _gemini_content(slug, spoken),
                    "finishReason": _ending(slug, spoken),
                    "index": 0,
                }
            ],
            "usageMetadata": {
                "promptTokenCount": spoken.prompt_tokens,
                "candidatesTokenCount": spoken.completion_tokens,
                "totalTokenCount": spoken.prompt_tokens + spoken.completion_tokens,
            },
            "modelVersion": slug,
        }
    return {
        "id": f"chatcmpl-{number:08d}",
        "object": "chat.completion",
        "created": 1793491200,
        "model": slug,
        "choices": [
            {
                "index": 0,
                "message": _openai_message(number, spoken),
                "logprobs": None,
                "finish_reason": _ending(slug, spoken),
            }
        ],
        "usage": {
            "prompt_tokens": spoken.prompt_tokens,
            "completion_tokens": spoken.completion_tokens,
            "total_tokens": spoken.prompt_tokens + spoken.completion_tokens,
        },
    }


def _openai_message(number: int, spoken: Spoken) -> Json:
    if spoken.refused:
        return {"role": "assistant", "content": None, "refusal": spoken.text}
    message: Json = {"role": "assistant", "content": spoken.text, "refusal": None}
    if spoken.tools:
        message["content"] = spoken.text or None
        message["tool_calls"] = [
            {
                "id": f"call_{number:08d}_{n}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }
            for n, (name, arguments) in enumerate(spoken.tools)
        ]
    return message


def _claude_content(number: int, spoken: Spoken) -> list[Json]:
    words: list[Json] = [{"type": "text", "text": spoken.text}] if spoken.text or not spoken.tools else []
    uses: list[Json] = [
        {"type": "tool_use", "id": f"toolu_{number:08d}_{n}", "name": name, "input": arguments}
        for n, (name, arguments) in enumerate(spoken.tools)
    ]
    return words + uses


def _gemini_content(slug: str, spoken: Spoken) -> Json:
    if spoken.refused:
        return {}  # what its filter stops, Gemini does not repeat
    parts: list[Json] = [{"text": spoken.text}] if spoken.text or not spoken.tools else []
    calls: list[Json] = [{"functionCall": {"name": name, "args": given}} for name, given in spoken.tools]
    if calls and slug.startswith("gemini-3"):
        calls[0]["thoughtSignature"] = "c2lnbmVk"
    return {"role": "model", "parts": parts + calls}
