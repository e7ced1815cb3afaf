"""What rows ask, and their lines of the output."""

from __future__ import annotations

from typing import Any

import pytest

from segmind_async.gateway._batches.batch import Problem
from segmind_async.gateway._batches.rows import (
    CHAT,
    RESPONSES,
    Named,
    answer_body,
    answered_line,
    failed_line,
    read_request,
    unsent_line,
)
from segmind_async.gateway._errors import GatewayError, invalid

MESSAGES = [{"role": "user", "content": "hello"}]
CHAT_ROW = {"body": {"model": "gpt-5.4-mini", "messages": MESSAGES, "temperature": 0.5}}
RESPONSE_ROW = {"body": {"model": "gpt-5.4-mini", "input": "hello", "temperature": 0.5}}
NAME = Named("batch_f00", 7, "mine")
CHAT_ANSWER: dict[str, Any] = {
    "id": "chatcmpl-1",
    "created": 1,
    "model": "gpt-5.4-mini",
    "choices": [{"message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}


@pytest.mark.parametrize(("endpoint", "row"), [(CHAT, CHAT_ROW), (RESPONSES, RESPONSE_ROW)])
def test_a_request(endpoint: str, row: dict[str, Any]) -> None:
    request = read_request(endpoint, row)
    assert request.model == "gpt-5.4-mini"
    assert request.messages == MESSAGES
    assert request.parameters == {"temperature": 0.5}


@pytest.mark.parametrize(
    ("endpoint", "body", "param"),
    [
        pytest.param(CHAT, {"model": "gpt-5.4-mini"}, "messages", id="no-messages"),
        pytest.param(CHAT, {**CHAT_ROW["body"], "n": 2}, "n", id="several"),
        pytest.param(CHAT, {**CHAT_ROW["body"], "stream": True}, "stream", id="stream"),
        pytest.param(
            RESPONSES,
            {**RESPONSE_ROW["body"], "previous_response_id": "resp_1"},
            "previous_response_id",
            id="earlier-response",
        ),
        pytest.param(
            RESPONSES,
            {**RESPONSE_ROW["body"], "input": [{"type": "item_reference", "id": "msg_1"}]},
            "input",
            id="earlier-item",
        ),
    ],
)
def test_a_bad_field_is_named(endpoint: str, body: dict[str, Any], param: str) -> None:
    with pytest.raises(GatewayError) as caught:
        read_request(endpoint, {"body": body})
    assert (caught.value.param or "").startswith(param)


def test_answers() -> None:
    assert answer_body(CHAT, CHAT_ROW, NAME, CHAT_ANSWER) == CHAT_ANSWER
    response: dict[str, Any] = answer_body(RESPONSES, RESPONSE_ROW, NAME, CHAT_ANSWER)
    assert response["object"] == "response"
    assert response["id"] == "resp_f00x7"
    assert response["output"][0]["content"][0]["text"] == "hi"


def test_lines() -> None:
    assert answered_line(NAME, "req-1", {"a": 1}) == {
        "id": "batch_req_f00_7",
        "custom_id": "mine",
        "response": {"status_code": 200, "request_id": "req-1", "body": {"a": 1}},
        "error": None,
    }
    failed: dict[str, Any] = failed_line(NAME, invalid("no", "n"))
    assert failed["error"] is None
    assert failed["response"]["status_code"] == 400
    assert failed["response"]["request_id"] == "batch_f00_7"
    assert failed["response"]["body"]["error"]["param"] == "n"
    unsent = unsent_line(NAME, Problem("batch_expired", "late"))
    assert (unsent["response"], unsent["error"]) == (None, {"code": "batch_expired", "message": "late"})
