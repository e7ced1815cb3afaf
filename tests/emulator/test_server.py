"""The service over HTTP, as its documentation describes it, by a client that knows nothing of ours."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import anyio
import pytest

import segmind_async as sa
from segmind_async.emulator import Emulator, FunctionBrain, RandomFaults, faults

HELLO = {"messages": [{"role": "user", "content": "hello"}]}


class Caller:
    def __init__(self, session: aiohttp.ClientSession, emulator: Emulator) -> None:
        self._session = session
        self._emulator = emulator
        self.headers = {"x-api-key": emulator.key}

    async def post(self, path: str, body: Any = None, **options: Any) -> tuple[int, dict[str, str], Any]:
        return await self._send("POST", path, json=HELLO if body is None else body, **options)

    async def get(self, path: str) -> tuple[int, dict[str, str], Any]:
        return await self._send("GET", path)

    async def _send(self, method: str, path: str, **options: Any) -> tuple[int, dict[str, str], Any]:
        origin = self._emulator.url.removesuffix("/v1")
        headers = {**self.headers, **options.pop("headers", {})}
        async with self._session.request(method, origin + path, headers=headers, **options) as response:
            text = await response.text()
            told = {name.lower(): value for name, value in response.headers.items()}
            return (
                response.status,
                told,
                json.loads(text) if response.content_type == "application/json" and text else text,
            )


@asynccontextmanager
async def calling(emulator: Emulator) -> AsyncIterator[Caller]:
    async with emulator, aiohttp.ClientSession() as session:
        yield Caller(session, emulator)


async def test_an_answer_and_its_headers() -> None:
    async with calling(Emulator(latency=1.5)) as call:
        status, headers, body = await call.post("/v1/gpt-5.4-mini")
    assert status == 200
    assert body["choices"][0]["message"]["content"] == "echo: hello"
    assert body["usage"] == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    assert headers["x-cost"] == "0.0000097500"
    assert headers["x-remaining-credits"] == "4.9999902500"
    assert headers["x-generation-time"] == "1.500"
    assert "date" in headers


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"{", "Malformed JSON"),
        (b"\xff", "Malformed JSON"),
        (b"[" * 100_000, "Malformed JSON"),
        (b"[]", "must be a JSON object"),
        ({}, "Missing required field: messages"),
        ({"messages": []}, "non-empty array"),
        ({"messages": "x"}, "non-empty array"),
        ({"messages": [{"role": "bot", "content": "x"}]}, "Invalid message"),
        ({"messages": [{"role": "user", "content": 5}]}, "content must be a string"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "must be an object"),
        ({**HELLO, "stream": True}, "stream is not supported"),
        ({**HELLO, "response_format": {"type": "json_object"}}, "must contain the word 'json'"),
    ],
)
async def test_bodies_the_provider_refuses(body: Any, text: str) -> None:
    async with calling(Emulator()) as call:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        status, _, got = await call._send(
            "POST", "/v1/gpt-5.4-mini", data=raw, headers={"Content-Type": "application/json"}
        )
    assert status == 400
    assert text in got["error"]


@pytest.mark.parametrize(
    ("slug", "body", "text"),
    [
        (
            "claude-4-sonnet",
            {"messages": [{"role": "system", "content": "x"}, {"role": "user", "content": "y"}]},
            "use instruction",
        ),
        ("claude-4-sonnet", {**HELLO, "response_format": {"type": "json_object"}}, "use json_schema"),
        ("gemini-2.5-flash", HELLO, "must be an object with contents"),
        (
            "gemini-2.5-flash",
            {"messages": {"contents": [{"role": "assistant", "parts": []}]}},
            "Invalid content",
        ),
    ],
)
async def test_shapes_of_another_provider(slug: str, body: Any, text: str) -> None:
    async with calling(Emulator()) as call:
        status, _, got = await call.post(f"/v1/{slug}", body)
    assert status == 400
    assert text in got["error"]


async def test_prompts_instructions_and_pictures_reach_the_brain() -> None:
    brain = FunctionBrain(lambda q: f"{q.system}|{q.prompt}|{sorted(q.parameters)}")
    gemini = {
        "messages": {
            "contents": [{"role": "user", "parts": [{"text": "a"}, {"inlineData": {}}]}],
            "system_instruction": {"parts": {"text": "s"}},
        }
    }
    async with calling(Emulator(brain)) as call:
        _, _, one = await call.post("/v1/gpt-5.4-mini", {"prompt": "flat", "temperature": 0})
        _, _, two = await call.post("/v1/claude-4-sonnet", {**HELLO, "instruction": "be brief"})
        _, _, three = await call.post("/v1/gemini-2.5-flash", gemini)
        _, _, four = await call.post(
            "/v1/gpt-5.4-mini", {"messages": [{"role": "assistant", "content": None}]}
        )
    assert one["choices"][0]["message"]["content"] == "|flat|['temperature']"
    assert two["content"][0]["text"] == "be brief|hello|[]"
    assert three["candidates"][0]["content"]["parts"][0]["text"] == "s|a [image]|[]"
    assert four["choices"][0]["message"]["content"] == "||[]"


async def test_who_may_not_call() -> None:
    async with calling(Emulator()) as call:
        call.headers = {}
        assert (await call.post("/v1/gpt-5.4-mini"))[2][
            "error"
        ] == "Missing Authorization or x-api-key in header"
        assert (await call.get("/v1/get-user-credits"))[0] == 401
        assert (await call.get("/v2/requests/x"))[0] == 401
        call.headers = {"Authorization": "Bearer x"}
        assert "invalid or may have expired" in (await call.post("/v1/gpt-5.4-mini"))[2]["error"]
        call.headers = {"x-api-key": "SG_wrong"}
        assert (await call.post("/v2/gpt-5.4-mini"))[0] == 401


async def test_statuses_of_the_gateway() -> None:
    async with calling(Emulator(retired={"o3"}, forbidden={"gpt-5"}, balance=0)) as call:  # type: ignore[arg-type]  # any set will do
        assert (await call.post("/v1/nobody"))[0] == 404
        assert (await call.post("/v1/o3"))[0] == 410
        assert (await call.post("/v1/gpt-5"))[0] == 403
        assert (await call.post("/v1/gpt-5.4-mini"))[0] == 406
        status, headers, page = await call.get("/v1/gpt-5.4-mini")
        assert (status, headers["content-type"]) == (405, "text/html; charset=utf-8")
        assert "405" in page
        text = await call._send("POST", "/v1/gpt-5.4-mini", data=b"x", headers={"Content-Type": "text/plain"})
        assert (text[0], text[2]["error"]) == (406, "Invalid content type")


async def test_the_balance_is_exact() -> None:
    async with calling(Emulator(balance="1.0000000001", free_credits="0.5")) as call:
        status, _, body = await call.get("/v1/get-user-credits")
    assert (status, body) == (200, {"credits": 1.0000000001, "free-credits": 0.5})


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, {"x-rate-limit-reset-at-utc": "2026-11-01T00:01:00+00:00"}),
        ({"reset_header": "epoch"}, {"x-rate-limit-reset-at-utc": "1793491260.000"}),
        ({"reset_header": "ms"}, {"x-rate-limit-reset-at-utc": "1793491260000"}),
        ({"reset_header": "garbage"}, {"x-rate-limit-reset-at-utc": "in a while"}),
        ({"reset_header": None}, {}),
        ({"reset_header": None, "retry_after": "seconds"}, {"retry-after": "60"}),
        ({"reset_header": None, "retry_after": "date"}, {"retry-after": "Sun, 01 Nov 2026 00:01:00 GMT"}),
        ({"reset_header": None, "retry_after": "ms"}, {"retry-after-ms": "60000"}),
    ],
)
async def test_how_it_says_when_to_come_back(
    options: Any, told: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from segmind_async._emulator import http_responses

    monkeypatch.setattr(http_responses, "now", lambda: 0.0)
    async with calling(Emulator(requests_per_minute=1, headers_on_errors=True, **options)) as call:
        await call.post("/v1/gpt-5.4-mini")
        status, headers, _ = await call.post("/v1/gpt-5.4-mini")
    assert status == 429
    assert {k: v for k, v in headers.items() if k.startswith(("retry", "x-rate"))} == told
    assert headers["x-remaining-credits"] == "4.9999902500"


async def test_headers_may_be_missing() -> None:
    async with calling(Emulator(cost_header=False, balance_header=False)) as call:
        _, headers, _ = await call.post("/v1/gpt-5.4-mini")
    assert not headers.keys() & {"x-cost", "x-remaining-credits"}


async def test_faults_in_order_and_by_chance() -> None:
    emulator = Emulator()
    async with calling(emulator) as call:
        emulator.script(
            faults.status(503, "busy", Retry_After="2"),
            None,
            faults.Headers({"x-cost": None, "x-new": "1"}),
            faults.Delay(30),
        )
        before = anyio.current_time()
        status, headers, body = await call.post("/v1/gpt-5.4-mini")
        assert (status, headers["retry-after"], body) == (503, "2", {"error": "busy"})
        assert (await call.post("/v1/gpt-5.4-mini"))[0] == 200
        _, headers, _ = await call.post("/v1/gpt-5.4-mini")
        assert ("x-cost" in headers, headers["x-new"]) == (False, "1")
        await call.post("/v1/gpt-5.4-mini")
        assert anyio.current_time() - before >= 30
        emulator.faults = RandomFaults((1.0, faults.status(500)))
        assert (await call.post("/v1/gpt-5.4-mini"))[0] == 500
    assert [record.status for record in emulator.calls] == [503, 200, 200, 200, 500]
    assert emulator.billed() == {"hello": 3}


async def test_without_records_nothing_is_kept() -> None:
    emulator = Emulator(keep_calls=False)
    async with calling(emulator) as call:
        await call.post("/v1/gpt-5.4-mini")
    assert (emulator.calls, emulator.billed(), emulator.requests) == ([], {}, 1)


async def test_the_life_of_a_queued_call() -> None:
    emulator = Emulator(latency=10, queue_time=5, results_ttl=60)
    async with calling(emulator) as call:
        _, _, receipt = await call.post("/v2/gpt-5.4-mini")
        path = "/v2/requests/" + receipt["request_id"]
        assert receipt["status_url"].endswith(path + "/status")
        assert receipt["response_url"].endswith(path)
        seen = []
        for _ in range(4):
            status, _, body = await call.get(path + "/status")
            seen.append((status, body["status"]))
            await anyio.sleep(5.1)
        assert seen == [(200, "QUEUED"), (200, "PROCESSING"), (200, "PROCESSING"), (200, "COMPLETED")]
        _, _, result = await call.get(path)
        assert json.loads(result["output"])["choices"][0]["message"]["content"] == "echo: hello"
        assert result["metrics"]["cost"] > 0
        assert emulator.billed() == {"hello": 1}
        await anyio.sleep(70)
        assert (await call.get(path))[2] == {"error": "Request not found or expired"}
        assert (await call.get("/v2/requests/unknown/status"))[0] == 404


async def test_a_queued_call_may_fail_or_be_refused_or_lose_its_receipt() -> None:
    emulator = Emulator(latency=1, requests_per_minute=2)
    async with calling(emulator) as call:
        emulator.script(faults.Answer(), faults.status(500), faults.Reset())
        _, _, receipt = await call.post("/v2/gpt-5.4-mini")
        path = "/v2/requests/" + receipt["request_id"]
        _, _, early = await call.get(path)
        assert early["status"] in {"QUEUED", "PROCESSING"}
        await anyio.sleep(2)
        status, _, body = await call.get(path)
        assert (status, body["status"], body["error"]) == (422, "FAILED", "Model execution failed")
        assert emulator.state.account.balance == 5
        assert (await call.post("/v2/gpt-5.4-mini"))[0] == 500
        with pytest.raises(aiohttp.ClientError):
            await call.post("/v2/gpt-5.4-mini")
        assert (await call.post("/v2/gpt-5.4-mini"))[0] == 429
        await anyio.sleep(2)
    assert emulator.billed() == {"hello": 1}
    assert "http://127.0.0.1" in repr(emulator)


async def test_two_accounts_on_one_service() -> None:
    emulator = Emulator()
    emulator.state.add_account("SG_two", 0)
    async with calling(emulator) as call:
        assert (await call.post("/v1/gpt-5.4-mini"))[0] == 200
        call.headers = {"x-api-key": "SG_two"}
        assert (await call.post("/v1/gpt-5.4-mini"))[0] == 406


async def test_a_chosen_port_and_a_wrong_option() -> None:
    with pytest.raises(TypeError, match="speed"):
        Emulator(speed=5)  # type: ignore[call-arg]
    async with Emulator() as one:
        with pytest.raises(OSError, match="in use"):
            async with Emulator(port=int(one.url.split(":")[2].split("/")[0])):
                pass


@pytest.mark.parametrize(
    "fault",
    [faults.NoHttp(), faults.Cut(), faults.Drip(), faults.Silence(1)],
    ids=lambda fault: type(fault).__name__,
)
async def test_a_caller_that_has_gone_is_no_error_of_the_server(
    fault: faults.Fault, caplog: pytest.LogCaptureFixture
) -> None:
    async with Emulator(latency=1) as emulator, sa.SegmindClient(emulator.key, emulator.url) as client:
        emulator.script(fault)
        with anyio.move_on_after(0.5):
            await client.chat("hello")
        await anyio.sleep(5)
    assert [one.getMessage() for one in caplog.records if one.name == "aiohttp.server"] == []
