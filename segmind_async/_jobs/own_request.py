"""The request that a row names itself: its `prompt` or `messages` and parameters, or OpenAI's batch row.

A field that cannot be obeyed makes the row invalid: it is never ignored.
"""

from __future__ import annotations

from collections.abc import Mapping

from pydantic_core import from_json

from ..models import ChatRequest, JsonDict, JsonObject
from .formats.text import Found

PARAMETERS = frozenset(
    {
        "temperature", "top_p", "max_tokens", "max_completion_tokens", "response_format", "tools",
        "tool_choice", "parallel_tool_calls", "stop", "seed", "reasoning_effort", "frequency_penalty",
        "presence_penalty", "logit_bias", "logprobs", "top_logprobs", "metadata",
    }
)  # fmt: skip
"""Columns beside `prompt` or `messages` that are parameters of the request. All others are data."""

_TEXTS = frozenset({"reasoning_effort", "stop", "tool_choice"})
"""Parameters that may be plain texts; other texts, of CSV, are JSON."""

_BATCH_URL = "/v1/chat/completions"


def own_request(columns: Mapping[str, object]) -> ChatRequest:
    """Take a row's own request; raises ValueError for a row without one, or with a field not to be obeyed."""
    body = columns.get("body")
    if "custom_id" in columns and isinstance(body, dict):
        return _batch_request(columns, body)
    messages, prompt = columns.get("messages"), columns.get("prompt")
    if not isinstance(messages, list) and not isinstance(prompt, str):
        names = ", ".join(map(repr, columns)) or "none"
        raise ValueError(  # noqa: TRY004  # the value of a row, not the type of an argument
            f"neither 'prompt' nor 'messages' among the columns {names}; "
            "the command makes one of columns by --prompt"
        )
    given = {name: columns[name] for name in PARAMETERS & columns.keys() if columns[name] not in (None, "")}
    parameters = {name: _value(name, value) for name, value in sorted(given.items())}
    _refuse_several(columns)
    return ChatRequest.of(
        messages if isinstance(messages, list) else str(prompt), _model(columns.get("model")), parameters
    )


def with_ids(found: Found) -> Found:
    """Give rows for OpenAI's Batch API their `custom_id` as id."""
    for line, columns in found:
        if not isinstance(columns, str) and isinstance(columns.get("body"), dict) and "custom_id" in columns:
            yield line, {"id": columns["custom_id"], **columns}
        else:
            yield line, columns


def _batch_request(columns: Mapping[str, object], body: JsonObject) -> ChatRequest:
    """Read a row of a file for OpenAI's Batch API."""
    url, method = columns.get("url", _BATCH_URL), columns.get("method", "POST")
    if url != _BATCH_URL or method != "POST":
        raise ValueError(f"{method} {url} cannot be sent; only POST {_BATCH_URL}")
    messages = body.get("messages")
    if not isinstance(messages, list):
        raise ValueError("no 'messages' in its 'body'")  # noqa: TRY004  # as above
    _refuse_several(body)
    parameters: JsonDict = {
        name: value
        for name, value in body.items()
        if name not in {"messages", "model", "stream", "n"} and value is not None
    }
    return ChatRequest.of(messages, _model(body.get("model")), parameters)


def _refuse_several(fields: Mapping[str, object]) -> None:
    """Refuse a stream, and several answers: each row has one."""
    if fields.get("stream") is True:
        raise ValueError("stream=true: a row has its whole answer at once; leave it out")
    count = fields.get("n")
    if isinstance(count, int) and count > 1 and not isinstance(count, bool):
        raise ValueError(f"n={count}: a row has one answer; repeat the row")


def _model(value: object) -> str | None:
    if value in (None, ""):
        return None
    if not isinstance(value, str):
        raise ValueError(f"model={value!r} is not a name of a model")  # noqa: TRY004  # as above
    return value


def _value(name: str, value: object) -> object:
    """Return the value of a parameter, that of a text in CSV."""
    if not isinstance(value, str) or name in _TEXTS:
        return value
    try:
        return from_json(value, allow_inf_nan=False)
    except ValueError:
        raise ValueError(f"{name}={value!r} is not a JSON value") from None
