"""The request that a row names itself: its `prompt` or `messages` and parameters, or OpenAI's batch row.

A field that cannot be obeyed makes the row invalid: it is never ignored.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping

from pydantic_core import from_json

from ..models import ChatRequest, JsonDict, JsonObject, Message
from .formats.text import Found

PARAMETERS = frozenset(
    {
        "temperature", "top_p", "max_tokens", "max_completion_tokens", "response_format", "tools",
        "tool_choice", "parallel_tool_calls", "stop", "seed", "reasoning_effort", "frequency_penalty",
        "presence_penalty", "logit_bias", "logprobs", "top_logprobs", "metadata",
    }
)  # fmt: skip
"""Columns beside `prompt` or `messages` that are parameters of the request. All others are data."""

_OF_REQUESTS = PARAMETERS | {"prompt", "messages", "model"}
"""Names of columns that are fields of a request."""

_TEXTS = frozenset({"reasoning_effort", "stop", "tool_choice"})
"""Parameters that may be plain texts; other texts, of CSV, are JSON."""

_BATCH_URL = "/v1/chat/completions"


def own_request(columns: Mapping[str, object]) -> ChatRequest:
    """Take a row's own request; raises ValueError for a row without one, or with a field not to be obeyed."""
    body = columns.get("body")
    if "custom_id" in columns and isinstance(body, dict):
        return _batch_request(columns, body)
    asked = _asked(columns)
    given = {name: columns[name] for name in PARAMETERS & columns.keys() if columns[name] not in (None, "")}
    parameters = {name: _value(name, value) for name, value in sorted(given.items())}
    _refuse_several(columns)
    return ChatRequest.of(asked, _model(columns.get("model")), parameters)


def _asked(columns: Mapping[str, object]) -> str | list[Message]:
    """Return the prompt or the messages of a row; raises ValueError unless it has one of the two."""
    messages, prompt = columns.get("messages"), columns.get("prompt")
    if _is_given(messages) and _is_given(prompt):
        raise ValueError(
            f"both prompt={reprlib.repr(prompt)} and messages={reprlib.repr(messages)}: one would not be "
            "sent; empty the other, or choose with --prompt, such as --prompt '{prompt}'"
        )
    if isinstance(messages, list) and (messages or prompt is None):
        return messages
    if isinstance(prompt, str):
        return prompt
    for name, value, wanted in (("messages", messages, "a list"), ("prompt", prompt, "a text")):
        if _is_given(value):
            raise ValueError(f"{name}={reprlib.repr(value)} is of type {type(value).__name__}, not {wanted}")
    names = ", ".join(map(repr, columns)) or "none"
    raise ValueError(
        f"neither 'prompt' nor 'messages' among the columns {names}; "
        "the command makes one of columns by --prompt"
    )


def _is_given(value: object) -> bool:
    """Return whether a field of a row says anything: empty cells do not."""
    return not (value is None or (isinstance(value, str | list) and not value))


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
        raise ValueError(  # noqa: TRY004  # the value of a row, not the type of an argument
            "no 'messages' in its 'body'"
        )
    beside = sorted(name for name in _OF_REQUESTS & columns.keys() if _is_given(columns[name]))
    if beside:
        raise ValueError(
            f"{beside[0]}={reprlib.repr(columns[beside[0]])} beside its 'body' would not be sent; write it "
            "into the 'body', or give it another name"
        )
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
