"""Rows of a batch: what each asks, and its line of the output. Pure.

Source: OpenAI's API reference, "The request input object" and "The request output object" (2026-08).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pydantic_core import to_json

from ...models import ChatRequest, JsonDict, JsonObject
from .._errors import GatewayError
from .._openai.chat_request import ChatCall, read_chat
from .._openai.envelope import envelope
from .._openai.request_fields import unsupported
from .._openai.responses.answer import response_of
from .._openai.responses.request import ResponsesCall, read_response_request
from .batch import Problem

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"

ENDPOINTS = (CHAT, RESPONSES)
"""What rows may ask."""


class _NothingEarlier(NamedTuple):
    """What a row may refer to: nothing, because rows of a batch are sent in no order."""

    size: int

    def item(self, id_: str) -> None:  # as `Earlier` has it
        """Return None: no item is kept."""

    def conversation(self, id_: str) -> None:  # as `Earlier` has it
        """Return None: no response is kept."""


class Named(NamedTuple):
    """A row, as its line of the output names it."""

    batch_id: str
    number: int
    """Its place in the file, from 0."""
    custom_id: str


def read_request(endpoint: str, columns: Mapping[str, object]) -> ChatRequest:
    """Read the request of a row; raises GatewayError, a 400 that names the field of its body."""
    call = _response_call(columns).chat if endpoint == RESPONSES else read_chat(_body_of(columns))
    _refuse_stream(call)
    return ChatRequest.of(call.messages, call.model, call.parameters)


def answer_body(endpoint: str, columns: Mapping[str, object], name: Named, chat: JsonObject) -> JsonDict:
    """Return the body of an answered row; *chat* is the answer as a chat completion."""
    if endpoint != RESPONSES:
        return {**chat}
    echoed = _response_call(columns).echoed
    return response_of(
        {**chat}, f"resp_{name.batch_id.removeprefix('batch_')}x{name.number}", echoed, store=False
    )


def _body_of(columns: Mapping[str, object]) -> bytes:
    return to_json(columns.get("body"))


def _response_call(columns: Mapping[str, object]) -> ResponsesCall:
    body = _body_of(columns)
    return read_response_request(body, _NothingEarlier(len(body)))


def _refuse_stream(call: ChatCall) -> None:
    if call.stream:
        raise unsupported("stream", "a row of a batch has its whole answer at once; leave it out")


def answered_line(name: Named, request_id: str, body: JsonObject) -> JsonDict:
    """Return the line of a row that has an answer."""
    return _line(name, {"status_code": 200, "request_id": request_id, "body": body})


def failed_line(name: Named, problem: GatewayError) -> JsonDict:
    """Return the line of a row whose request was refused, or whose call has failed."""
    request_id = problem.request_id or f"{name.batch_id}_{name.number}"
    return _line(name, {"status_code": problem.status, "request_id": request_id, "body": envelope(problem)})


def unsent_line(name: Named, why: Problem) -> JsonDict:
    """Return the line of a row that was not sent."""
    return _line(name, None, {"code": why.code, "message": why.message})


def _line(name: Named, response: JsonDict | None, error: JsonDict | None = None) -> JsonDict:
    line_id = f"batch_req_{name.batch_id.removeprefix('batch_')}_{name.number}"
    return {"id": line_id, "custom_id": name.custom_id, "response": response, "error": error}
