"""The three providers' shapes: reads request bodies and writes answer bodies. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from . import Json, faults, schemas, tools
from .brains import BrainAnswer, MeasuredAnswer, Question
from .tools import BadRequestError, Row, ToolOffer, text_of

_OWN_FIELDS = {"messages", "prompt", "instruction"}
_BOUNDS = ("max_completion_tokens", "max_tokens", "maxOutputTokens")
_ROLES = {"system", "developer", "user", "assistant", "tool"}


def tokens_of(text: str) -> int:
    """Estimate the tokens of *text*: four bytes each, at least one."""
    return max(1, len(text.encode("utf-8", "replace")) // 4)


def question_of(slug: str, body: Mapping[str, object], offer: ToolOffer | None = None) -> Question:
    """Parse a request body of *slug*'s family; raises BadRequestError where the provider would refuse it."""
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
        if not isinstance(message, dict) or str(message.get("role")) not in _ROLES:
            raise BadRequestError(f"Invalid message: {message!r:.200}")
        found += tools.listed_rows(slug, message)
    tools.check_turns(found)
    rows = [(row.role, row.text) for row in found]
    turns = [row for row in rows if row[0] not in {"system", "developer"}]
    if slug.startswith("claude-") and len(turns) < len(rows):
        raise BadRequestError("messages: role 'system' is not allowed, use instruction")
    system = [text for role, text in rows if role in {"system", "developer"}]
    if isinstance(instruction, str):
        system.append(instruction)
    return Question(slug, "\n".join(system), tuple(turns), parameters)


def _gemini(slug: str, messages: object, parameters: Json) -> Question:
    contents = messages.get("contents") if isinstance(messages, dict) else None
    if not isinstance(messages, dict) or not isinstance(contents, list) or not contents:
        raise BadRequestError("messages must be an object with contents")
    found: list[Row] = []
    for row in contents:
        if not isinstance(row, dict) or row.get("role") not in ("user", "model"):
            raise BadRequestError(f"Invalid content: {row!r:.200}")
        found += tools.gemini_rows(slug, row)
    tools.check_turns(found)
    rows = [(row.role, row.text) for row in found]
    instruction = messages.get("system_instruction")
    parts = instruction.get("parts") if isinstance(instruction, dict) else None
    system = text_of([parts] if isinstance(parts, dict) else parts or [])
    return Question(slug, system, tuple(rows), parameters)


_WITHOUT_SCHEMAS = "deepseek-"
"""Prefix of the slugs whose provider supports json_object only."""


def _check_format(question: Question) -> None:
    wanted = question.parameters.get("response_format")
    if wanted is None:
        return
    kind = wanted.get("type") if isinstance(wanted, dict) else None
    if kind not in ("text", "json_object", "json_schema"):
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


def measured(question: Question, answer: BrainAnswer, twist: faults.Fault | None = None) -> MeasuredAnswer:
    """Return an answer with its token counts, truncated at the request's limit, with *twist* applied.

    A truncated answer calls no tools. An answer that the brain has measured itself is left unchanged, unless
    there is a twist.
    """
    if isinstance(answer, MeasuredAnswer) and not isinstance(twist, faults.Twist):
        return answer
    text, calls = (answer, ()) if isinstance(answer, str) else (answer.text, tuple(answer.tools))
    if isinstance(twist, faults.Say | faults.Refuse):
        text, calls = twist.text, ()
    if isinstance(twist, faults.Wrap):
        text = f"{twist.before}{text}{twist.after}"
    config = question.parameters.get("generationConfig")
    given = {**question.parameters, **(config if isinstance(config, dict) else {})}
    bounds = [value for name in _BOUNDS if isinstance(value := given.get(name), int)][:1]
    if isinstance(twist, faults.CutShort):
        bounds.append(twist.tokens)
    bound = min((value for value in bounds if value > 0), default=None)
    prompt = tokens_of(question.system + "".join(words for _, words in question.messages))
    length = tokens_of(text + "".join(name + json.dumps(arguments) for name, arguments in calls))
    if bound is not None and length > bound:
        return MeasuredAnswer(text.encode()[: bound * 4].decode("utf-8", "ignore"), prompt, bound, cut=True)
    return MeasuredAnswer(
        text, prompt, length, cut=False, tools=calls, refused=isinstance(twist, faults.Refuse)
    )


def _finish_reason(slug: str, answer: MeasuredAnswer) -> str:
    """Return the provider's finish reason."""
    if slug.startswith("claude-"):
        whole = "tool_use" if answer.tools else "end_turn"
        return "refusal" if answer.refused else "max_tokens" if answer.cut else whole
    if slug.startswith("gemini-"):
        return "SAFETY" if answer.refused else "MAX_TOKENS" if answer.cut else "STOP"
    return "length" if answer.cut else "tool_calls" if answer.tools else "stop"


def body_of(slug: str, number: int, answer: MeasuredAnswer) -> Json:
    """Return the provider's JSON for an answer."""
    if slug.startswith("claude-"):
        return {
            "id": f"msg_{number:08d}",
            "type": "message",
            "role": "assistant",
            "model": slug,
            "content": _claude_content(number, answer),
            "stop_reason": _finish_reason(slug, answer),
            "stop_sequence": None,
            "usage": {"input_tokens": answer.prompt_tokens, "output_tokens": answer.completion_tokens},
        }
    if slug.startswith("gemini-"):
        return {
            "candidates": [
                {
                    "content": _gemini_content(slug, answer),
                    "finishReason": _finish_reason(slug, answer),
                    "index": 0,
                }
            ],
            "usageMetadata": {
                "promptTokenCount": answer.prompt_tokens,
                "candidatesTokenCount": answer.completion_tokens,
                "totalTokenCount": answer.prompt_tokens + answer.completion_tokens,
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
                "message": _openai_message(number, answer),
                "logprobs": None,
                "finish_reason": _finish_reason(slug, answer),
            }
        ],
        "usage": {
            "prompt_tokens": answer.prompt_tokens,
            "completion_tokens": answer.completion_tokens,
            "total_tokens": answer.prompt_tokens + answer.completion_tokens,
        },
    }


def _openai_message(number: int, answer: MeasuredAnswer) -> Json:
    if answer.refused:
        return {"role": "assistant", "content": None, "refusal": answer.text}
    message: Json = {"role": "assistant", "content": answer.text, "refusal": None}
    if answer.tools:
        message["content"] = answer.text or None
        message["tool_calls"] = [
            {
                "id": f"call_{number:08d}_{n}",
                "type": "function",
                "function": {"name": name, "arguments": json.dumps(arguments)},
            }
            for n, (name, arguments) in enumerate(answer.tools)
        ]
    return message


def _claude_content(number: int, answer: MeasuredAnswer) -> list[Json]:
    words: list[Json] = [{"type": "text", "text": answer.text}] if answer.text or not answer.tools else []
    uses: list[Json] = [
        {"type": "tool_use", "id": f"toolu_{number:08d}_{n}", "name": name, "input": arguments}
        for n, (name, arguments) in enumerate(answer.tools)
    ]
    return words + uses


def _gemini_content(slug: str, answer: MeasuredAnswer) -> Json:
    if answer.refused:
        return {}  # Gemini does not return text that its filter has blocked
    parts: list[Json] = [{"text": answer.text}] if answer.text or not answer.tools else []
    calls: list[Json] = [{"functionCall": {"name": name, "args": given}} for name, given in answer.tools]
    if calls and slug.startswith("gemini-3"):
        calls[0]["thoughtSignature"] = "c2lnbmVk"
    return {"role": "model", "parts": parts + calls}
