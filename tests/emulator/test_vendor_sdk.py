"""The vendor's own client must be content with the emulator: what it takes for granted holds there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import segmind
from segmind.exceptions import SegmindError
from segmind.v2 import InferenceFailed

from segmind_async.emulator import Emulator, faults
from tests.support import serving


@contextmanager
def sdk(**options: Any) -> Iterator[tuple[Any, Emulator]]:
    with serving(Emulator(**options)) as emulator:
        client = segmind.SegmindClient(api_key=emulator.key, base_url=emulator.url)
        try:
            yield client, emulator
        finally:
            client._client.close()


@pytest.mark.parametrize(
    ("slug", "messages"),
    [
        ("gpt-5.4-mini", [{"role": "user", "content": "hello"}]),
        ("claude-4-sonnet", [{"role": "user", "content": "hello"}]),
        ("gemini-2.5-flash", {"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}),
    ],
)
def test_text_and_usage_of_the_three_shapes(slug: str, messages: Any) -> None:
    with sdk() as (client, _):
        reply = client.chat_sync(slug, messages=messages)
    assert reply.text == "echo: hello"
    assert reply.usage
    assert reply.finish_reason in {"stop", "end_turn", "STOP"}


def test_a_flat_prompt() -> None:
    with sdk() as (client, _):
        assert client.chat_sync("gpt-5.4-mini", prompt="flat").text == "echo: flat"


def test_out_of_credits() -> None:
    with sdk(balance=0) as (client, _):
        with pytest.raises(SegmindError) as caught:
            client.run_sync("gpt-5.4-mini", messages=[{"role": "user", "content": "x"}])
    assert caught.value.status == 406
    assert "Insufficient credits" in str(caught.value.detail)


def test_queued_calls() -> None:
    with sdk(latency=0.02, queue_time=0.02) as (client, emulator):
        job = client.submit_async("gpt-5.4-mini", messages=[{"role": "user", "content": "queued"}])
        body = job.wait(interval=0.01)
        chat = client.submit_chat("gpt-5.4-mini", messages=[{"role": "user", "content": "chat"}])
        reply = chat.wait(interval=0.01)
    assert json.loads(body["output"])["choices"][0]["message"]["content"] == "echo: queued"
    assert reply.text == "echo: chat"
    assert emulator.billed() == {"queued": 1, "chat": 1}


def test_a_queued_call_that_fails() -> None:
    with sdk() as (client, emulator):
        emulator.script(faults.Answer())
        job = client.submit_async("gpt-5.4-mini", messages=[{"role": "user", "content": "x"}])
        with pytest.raises(InferenceFailed):
            job.wait(interval=0.01)
