"""Answers as event streams: what adds up from the chunks, heartbeats, and errors before and after the head."""

from __future__ import annotations

import json
import logging
from typing import Any

import anyio
import pytest
from aiohttp import web

import segmind_async
from segmind_async import RetryPolicy
from segmind_async.emulator import Calls, FunctionBrain, faults
from segmind_async.gateway._openai.event_stream import PIECE, chat_events
from tests.gateway.support import asked, world


def events(body: bytes) -> list[Any]:
    blocks = body.decode().split("\n\n")
    assert blocks[-1] == ""
    lines = [[line for line in block.split("\n") if not line.startswith(":")] for block in blocks[:-1]]
    assert all(len(block) == 1 and block[0].startswith("data: ") for block in lines)
    data = [block[0].removeprefix("data: ") for block in lines]
    return [one if one == "[DONE]" else json.loads(one) for one in data]


def answer(message: dict[str, Any], finish: str = "stop", **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": finish}
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 5,
        "model": "m",
        "choices": [choice],
        "usage": usage,
        **more,
    }


def test_a_text_comes_in_pieces_after_the_role_and_before_the_reason() -> None:
    text = "ä" * (2 * PIECE + 1)
    *chunks, done = events(chat_events(answer({"content": text, "refusal": None}), with_usage=False))
    assert done == "[DONE]"
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": ""}
    assert deltas[-1] == {}
    assert "".join(delta["content"] for delta in deltas[1:-1]) == text
    assert len(deltas) == 5
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * 4 + ["stop"]
    assert {(c["id"], c["object"], c["created"], c["model"]) for c in chunks} == {
        ("x", "chat.completion.chunk", 5, "m")
    }
    assert not any("usage" in chunk for chunk in chunks)


def test_usage_comes_last_in_a_chunk_without_choices() -> None:
    *chunks, last, _ = events(
        chat_events(answer({"content": "hi"}, system_fingerprint="fp"), with_usage=True)
    )
    assert (last["choices"], last["usage"]["total_tokens"]) == ([], 3)
    assert all(chunk["usage"] is None for chunk in chunks)
    assert all(chunk["system_fingerprint"] == "fp" for chunk in [*chunks, last])


def test_tool_calls_begin_with_index_id_and_name() -> None:
    calls: list[dict[str, Any]] = [
        {"id": f"c{n}", "type": "function", "function": {"name": f"f{n}", "arguments": "x" * (PIECE + n)}}
        for n in range(2)
    ]
    calls[1]["extra_content"] = {"google": {"thought_signature": "s"}}
    chunks = events(
        chat_events(answer({"content": None, "tool_calls": calls}, "tool_calls"), with_usage=False)
    )[:-1]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert deltas[0] == {"role": "assistant", "content": None}
    pieces = [delta["tool_calls"][0] for delta in deltas[1:-1]]
    assert pieces[0] == {
        "index": 0,
        "id": "c0",
        "type": "function",
        "function": {"name": "f0", "arguments": ""},
    }
    for n, call in enumerate(calls):
        own = [piece for piece in pieces if piece["index"] == n]
        assert "".join(piece["function"]["arguments"] for piece in own) == call["function"]["arguments"]
        assert [piece.get("id") for piece in own] == [f"c{n}", *[None] * (len(own) - 1)]
    assert [piece.get("extra_content") for piece in pieces if piece.get("id")] == [
        None,
        calls[1]["extra_content"],
    ]


def test_a_refusal_and_what_a_provider_adds_are_kept() -> None:
    message = {"content": None, "refusal": "no", "reasoning_content": "hm", "audio": None}
    deltas = [c["choices"][0]["delta"] for c in events(chat_events(answer(message), with_usage=False))[:-1]]
    assert deltas == [
        {"role": "assistant", "content": None, "reasoning_content": "hm"},
        {"refusal": "no"},
        {},
    ]


def test_an_empty_answer_is_a_stream_too() -> None:
    deltas = [
        c["choices"][0]["delta"] for c in events(chat_events(answer({"content": ""}), with_usage=False))[:-1]
    ]
    assert deltas == [{"role": "assistant", "content": ""}, {}]


async def test_a_quick_answer_has_its_cost_in_the_head() -> None:
    async with world(latency=1) as w:
        response = await w.chat(stream=True, stream_options={"include_usage": True})
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        assert float(response.headers["x-segmind-cost"]) > 0
        assert response.headers["x-segmind-gateway"] == segmind_async.__version__
        body = await response.read()
    assert not body.startswith(b":")
    *chunks, usage, _done = events(body)
    assert "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks) == "echo: hello"
    assert usage["usage"]["total_tokens"] > 0


async def test_heartbeats_keep_a_slow_call_alive() -> None:
    async with world(latency=35) as w:
        began = anyio.current_time()
        response = await w.session.post(w.gateway.url + "/chat/completions", json=asked(stream=True))
        assert 9 < anyio.current_time() - began < 12
        assert response.headers["x-request-id"].startswith("gw-")
        assert response.headers["x-segmind-gateway"] == segmind_async.__version__
        body = await response.read()
    assert body.count(b": waiting for the answer\n") == 3
    assert b"id:" not in body
    assert events(body)[-1] == "[DONE]"


async def test_an_early_error_has_its_status() -> None:
    async with world(balance=0) as w:
        response = await w.chat(stream=True)
        assert (response.status, response.content_type) == (402, "application/json")


async def test_an_error_after_a_heartbeat_is_an_event_of_the_stream() -> None:
    async with world(latency=15, client={"retry": RetryPolicy(retries=0)}) as w:
        w.emulator.script(faults.Answer(200, b"<html>"))
        response = await w.chat(stream=True)
        [error] = events(await response.read())
    assert response.status == 200
    assert error["error"]["code"] == "upstream_unreadable"


async def test_a_bug_here_ends_the_stream_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def chat(*_args: Any) -> None:
        await anyio.sleep(15)
        raise RuntimeError("a bug")

    async with world() as w:
        monkeypatch.setattr(w.client, "chat", chat)
        with caplog.at_level(logging.ERROR, "segmind_async.gateway"):
            body = await (await w.chat(stream=True)).read()
    [error] = events(body)
    assert error["error"]["type"] == "api_error"
    assert b"a bug" not in body
    assert "a bug" in caplog.text


async def test_a_caller_that_hangs_up_between_heartbeats_ends_its_call() -> None:
    async with world(latency=1000) as w:
        with anyio.move_on_after(35):
            await w.chat(stream=True)
        await anyio.sleep(15)
        assert w.client.statistics().in_flight == 0
        assert w.client.statistics().held > 0
        assert w.emulator.requests == 1


async def test_tools_stream_for_every_provider() -> None:
    tool = {
        "type": "function",
        "function": {"name": "add", "parameters": {"type": "object", "properties": {}}},
    }
    async with world(FunctionBrain(lambda _: Calls([("add", {}), ("add", {})]))) as w:
        for model in ("gpt-5.4-mini", "claude-4-sonnet", "gemini-2.5-pro"):
            response = await w.chat(model=model, stream=True, tools=[tool])
            *chunks, _ = events(await response.read())
            begun = [
                call
                for chunk in chunks
                for call in chunk["choices"][0]["delta"].get("tool_calls", ())
                if "id" in call
            ]
            assert [call["index"] for call in begun] == [0, 1]
            assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


async def test_a_caller_whose_connection_breaks_at_a_heartbeat_ends_its_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def write(*_args: Any) -> None:
        raise ConnectionResetError("Cannot write to closing transport")

    async with world(latency=1000) as w:
        monkeypatch.setattr(web.StreamResponse, "write", write)
        with anyio.move_on_after(15):
            await w.chat(stream=True)
        await anyio.sleep(1)
        assert w.client.statistics().in_flight == 0
