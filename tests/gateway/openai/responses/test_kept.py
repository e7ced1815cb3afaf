"""Kept responses: their bound, and which go first."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic_core import from_json

from segmind_async.gateway._errors import GatewayError
from segmind_async.gateway._openai.responses import kept as kept_module
from segmind_async.gateway._openai.responses.kept import CallersResponses, KeptResponses

MANY = 1_000_000
"""Bytes: more than any request here takes."""


def request(**fields: Any) -> bytes:
    return json.dumps({"model": "m", "input": "hello", **fields}).encode()


def answered(one: CallersResponses, length: int = 1000, **fields: Any) -> Any:
    call = one.read(request(**fields))
    choice = {"message": {"content": "x" * length}, "finish_reason": "stop"}
    return one.formed(call, {"created": 1, "model": "m", "choices": [choice]})


def asked(one: CallersResponses, **fields: Any) -> str:
    return str(answered(one, **fields)["id"])


def is_kept(one: CallersResponses, id_: str) -> bool:
    try:
        one.read(json.dumps({"model": "m", "input": "x", "previous_response_id": id_}).encode())
    except Exception as error:
        assert getattr(error, "code", None) == "previous_response_not_found"
        return False
    return True


def test_what_was_used_longest_ago_is_dropped_first() -> None:
    kept = KeptResponses(5_000, MANY)
    one = kept.of("token")
    first, second = asked(one), asked(one)
    assert is_kept(one, first)
    third = asked(one)
    assert kept.bytes <= 5_000
    assert [is_kept(one, id_) for id_ in (first, second, third)] == [True, False, True]


def test_a_conversation_is_used_with_its_last_response() -> None:
    kept = KeptResponses(5_500, MANY)
    one = kept.of("token")
    first = asked(one)
    second = asked(one, previous_response_id=first)
    other = asked(one)
    assert is_kept(one, second)
    asked(one)
    assert [is_kept(one, id_) for id_ in (second, other)] == [True, False]


def test_what_is_longer_than_all_the_room_is_not_kept() -> None:
    kept = KeptResponses(0, MANY)
    one = kept.of("token")
    response = answered(one)
    assert not response["store"]
    assert not is_kept(one, response["id"])
    assert kept.bytes == 0


def test_what_is_too_long_to_be_kept_drops_nothing() -> None:
    kept = KeptResponses(5_000, MANY)
    first = asked(kept.of("token"))
    assert not answered(kept.of("other"), length=6_000)["store"]
    assert is_kept(kept.of("token"), first)
    assert kept.of("token").get(first)["store"] is True
    assert not answered(kept.of("token"), store=False)["store"]


def test_dropping_gives_the_room_back() -> None:
    kept = KeptResponses(5_000, MANY)
    one = kept.of("token")
    id_ = asked(one)
    one.delete(id_)
    assert kept.bytes == 0


def test_a_kept_response_is_returned_as_it_was() -> None:
    one = KeptResponses(5_000, MANY).of("token")
    response = answered(one)
    assert list(one.get(response["id"]).items()) == list(response.items())


def test_a_request_has_the_size_of_all_that_it_refers_to() -> None:
    one = KeptResponses(MANY, MANY).of("token")
    first = answered(one)
    item = {"id": first["output"][0]["id"]}
    alone = one.read(request())
    assert alone.size == len(request())
    body = request(previous_response_id=first["id"])
    assert 1000 < one.read(body).size - len(body) < 1500
    body = request(input=[item] * 3)
    assert 3 * 1000 < one.read(body).size - len(body) < 3 * 1500


def test_a_request_that_refers_to_more_than_it_may_have_is_refused() -> None:
    one = KeptResponses(MANY, 3_000).of("token")
    first = answered(one)
    second = asked(one, length=2_000, previous_response_id=first["id"])
    items = [{"id": first["output"][0]["id"]}] * 3
    for param, value in (("previous_response_id", second), ("input", items)):
        with pytest.raises(GatewayError) as caught:
            one.read(request(**{param: value}))
        assert (caught.value.status, caught.value.param, caught.value.code) == (413, param, "too_large")
        assert "3000 bytes" in caught.value.message


def test_an_item_is_parsed_once_for_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    one = KeptResponses(MANY, MANY).of("token")
    item = {"id": answered(one)["output"][0]["id"]}
    parsed: list[bytes] = []

    def counted(text: bytes) -> Any:
        parsed.append(text)
        return from_json(text)

    monkeypatch.setattr(kept_module, "from_json", counted)
    one.read(request(input=[item] * 50))
    assert len(parsed) == 1


def test_a_turn_outlives_what_it_has_referred_to() -> None:
    one = KeptResponses(MANY, MANY).of("token")
    first = answered(one)
    second = asked(one, input=[{"id": first["output"][0]["id"]}, {"role": "user", "content": "go on"}])
    one.delete(first["id"])
    rows: Any = one.read(request(previous_response_id=second)).chat.messages
    assert [row["content"] for row in rows] == ["x" * 1000, "go on", "x" * 1000, "hello"]
