"""An answer in the form of chat completions, turned into a response. Pure.

Source: OpenAI's API reference, "The response object" (2026-08).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ....models import JsonDict, JsonObject

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why a response is not whole, by the finish reason of chat completions."""


def response_of(chat: JsonObject, id_: str, echoed: JsonObject, *, store: bool) -> JsonDict:
    """Return a response; *chat* is a `chat.completion`, *id_* ends in what its items' ids begin with."""
    answer: Any = chat
    first = answer["choices"][0]
    reason = _INCOMPLETE.get(first["finish_reason"])
    status = "completed" if reason is None else "incomplete"
    return {
        **begun(id_, answer["created"], answer["model"], echoed, store=store),
        "status": status,
        "incomplete_details": None if reason is None else {"reason": reason},
        "output": list(_items(first["message"], id_.removeprefix("resp_"), status)),
        "usage": _usage(answer.get("usage")),
    }


def begun(id_: str, created: int, model: str, echoed: JsonObject, *, store: bool) -> JsonDict:
    """Return a response of which nothing is there yet."""
    return {
        "id": id_,
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": model,
        "output": [],
        "service_tier": "default",
        "store": store,
        "truncation": "disabled",
        "usage": None,
        **echoed,
    }


def _items(message: Any, name: str, status: str) -> Iterator[JsonDict]:
    """Yield the items of an answer: its text, then its calls; an empty message if it has neither."""
    calls = message.get("tool_calls") or ()
    parts = list(_parts(message))
    if parts or not calls:
        yield {
            "id": f"msg_{name}",
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": parts or [_text("")],
        }
    for index, call in enumerate(calls):
        function = call["function"]
        item = {
            "id": f"fc_{name}_{index}",
            "type": "function_call",
            "status": status,
            "call_id": call["id"],
            "name": function["name"],
            "arguments": function["arguments"],
        }
        if "extra_content" in call:
            item["extra_content"] = call["extra_content"]
        yield item


def _parts(message: Any) -> Iterator[JsonDict]:
    if message["content"]:
        yield _text(message["content"])
    if message.get("refusal"):
        yield {"type": "refusal", "refusal": message["refusal"]}


def _text(text: str) -> JsonDict:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _usage(counts: Any) -> JsonDict | None:
    if counts is None:
        return None
    asked, answered = counts.get("prompt_tokens_details"), counts.get("completion_tokens_details")
    return {
        "input_tokens": counts["prompt_tokens"],
        "input_tokens_details": {
            "cached_tokens": _count(asked, "cached_tokens"),
            "cache_write_tokens": _count(asked, "cache_write_tokens"),
        },
        "output_tokens": counts["completion_tokens"],
        "output_tokens_details": {"reasoning_tokens": _count(answered, "reasoning_tokens")},
        "total_tokens": counts["total_tokens"],
    }


def _count(details: object, name: str) -> int:
    value = details.get(name) if isinstance(details, dict) else None
    return value if isinstance(value, int) else 0
