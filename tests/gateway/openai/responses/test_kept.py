"""Kept responses: their bound, and which go first."""

from __future__ import annotations

import json
from typing import Any

from segmind_async.gateway._openai.responses.kept import CallersResponses, KeptResponses


def asked(one: CallersResponses, text: str = "hello", **fields: Any) -> str:
    call = one.read(json.dumps({"model": "m", "input": text, **fields}).encode())
    choice = {"message": {"content": "x" * 1000}, "finish_reason": "stop"}
    made: Any = one.formed(call, {"created": 1, "model": "m", "choices": [choice]})
    return str(made["id"])


def is_kept(one: CallersResponses, id_: str) -> bool:
    try:
        one.read(json.dumps({"model": "m", "input": "x", "previous_response_id": id_}).encode())
    except Exception as error:
        assert getattr(error, "code", None) == "previous_response_not_found"
        return False
    return True


def test_what_was_used_longest_ago_is_dropped_first() -> None:
    kept = KeptResponses(5_000)
    one = kept.of("token")
    first, second = asked(one), asked(one)
    assert is_kept(one, first)
    third = asked(one)
    assert kept.bytes <= 5_000
    assert [is_kept(one, id_) for id_ in (first, second, third)] == [True, False, True]


def test_a_conversation_is_used_with_its_last_response() -> None:
    kept = KeptResponses(5_500)
    one = kept.of("token")
    first = asked(one)
    second = asked(one, previous_response_id=first)
    other = asked(one)
    assert is_kept(one, second)
    asked(one)
    assert [is_kept(one, id_) for id_ in (second, other)] == [True, False]


def test_what_is_longer_than_all_the_room_is_not_kept() -> None:
    kept = KeptResponses(0)
    one = kept.of("token")
    assert not is_kept(one, asked(one))
    assert kept.bytes == 0


def test_dropping_gives_the_room_back() -> None:
    kept = KeptResponses(5_000)
    one = kept.of("token")
    id_ = asked(one)
    one.delete(id_)
    assert kept.bytes == 0
