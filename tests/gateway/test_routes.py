"""The routes over loopback: answers, errors, tokens, bad input, callers that leave, and the end."""

from __future__ import annotations

import asyncio
import json
import logging
from decimal import Decimal
from typing import Any

import aiohttp
import anyio
import pytest

from segmind_async import CallEnded, RetryPolicy, current_trace
from segmind_async._providers.catalogue import MODELS
from segmind_async.emulator import Calls, FunctionBrain, Question, faults
from segmind_async.gateway import Gateway, GatewayOptions
from segmind_async.telemetry import PROMETHEUS_CONTENT_TYPE, prometheus_text
from segmind_async.testing import RecordingHooks
from tests.gateway.support import TOKEN, World, asked, world

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


async def error_of(response: aiohttp.ClientResponse) -> dict[str, Any]:
    body = await response.json()
    assert list(body) == ["error"]
    assert set(body["error"]) == {"message", "type", "param", "code"}
    return dict(body["error"])


async def test_an_answer_is_in_openais_form_with_its_cost_in_headers() -> None:
    async with world() as w:
        response = await w.chat("hello", temperature=0)
        body = await response.json()
        assert response.status == 200
        assert body["object"] == "chat.completion"
        assert body["choices"][0]["message"]["content"] == "echo: hello"
        assert body["usage"]["total_tokens"] > 0
        cost = w.emulator.calls[0].cost
        assert cost is not None
        assert Decimal(response.headers["x-segmind-cost"]) == cost
        assert Decimal(response.headers["x-segmind-remaining-credits"]) == 5 - cost
        assert response.headers["x-request-id"] == "req-00000001"
        assert "E" not in response.headers["x-segmind-cost"]


@pytest.mark.parametrize("model", sorted(MODELS))
async def test_every_model_of_the_catalogue_answers_in_openais_form(model: str) -> None:
    async with world() as w:
        body = await (await w.chat("hello", model=model)).json()
    assert body["model"] == model
    assert body["choices"][0]["message"]["content"] == "echo: hello"
    assert body["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("model", ["gpt-5.4-mini", "claude-4-sonnet", "gemini-2.5-pro"])
@pytest.mark.parametrize(
    "choice", ["auto", "required", {"type": "function", "function": {"name": "weather"}}]
)
async def test_tools_go_there_and_back_for_every_provider(model: str, choice: Any) -> None:
    def brain(question: Question) -> Any:
        return f"It is {question.results[0]}" if question.results else Calls([("weather", {"city": "Paris"})])

    async with world(FunctionBrain(brain)) as w:
        body = await (await w.chat("weather?", model=model, tools=[WEATHER], tool_choice=choice)).json()
        [said] = body["choices"]
        [call] = said["message"]["tool_calls"]
        assert said["finish_reason"] == "tool_calls"
        assert json.loads(call["function"]["arguments"]) == {"city": "Paris"}
        turns = [
            {"role": "user", "content": "weather?"},
            said["message"],
            {"role": "tool", "tool_call_id": call["id"], "content": "sunny"},
        ]
        body = await (await w.chat(messages=turns, model=model, tools=[WEATHER])).json()
    # Gemini's results are objects.
    assert body["choices"][0]["message"]["content"] in {"It is sunny", 'It is {"result": "sunny"}'}


async def test_schemas_images_and_unknown_fields_reach_the_model() -> None:
    seen: list[Question] = []

    def brain(question: Question) -> str:
        seen.append(question)
        return "{}"

    schema = {"name": "x", "schema": {"type": "object", "properties": {}, "additionalProperties": False}}
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    async with world(FunctionBrain(brain)) as w:
        messages = [{"role": "user", "content": [{"type": "text", "text": "see"}, picture]}]
        response = await w.chat(
            messages=messages,
            response_format={"type": "json_schema", "json_schema": schema},
            seed=7,
            stop=["x"],
            stream=False,
            user="ann",
            timeout=3,
            parse="this",
            messages_too=1,
        )
        assert response.status == 200, await response.text()
    assert "[image]" in seen[0].messages[0][1]
    assert seen[0].schema == schema["schema"]
    passed_on = {"response_format", "seed", "stop", "timeout", "parse", "messages_too"}
    assert set(seen[0].parameters) >= passed_on
    assert not {"stream", "user", "model"} & set(seen[0].parameters)


async def test_user_is_the_trace_of_hooks() -> None:
    hooks = RecordingHooks()
    async with world(client={"hooks": [hooks]}) as w:
        await w.chat(user="ann", metadata={"app": "mail"})
        await w.chat()
    assert [event.trace for event in hooks.events if isinstance(event, CallEnded)] == ["ann/app=mail", ""]
    assert current_trace() == ""


async def test_models_and_credits() -> None:
    async with world(free_credits=Decimal("0.0184921035")) as w:
        listed = await (await w.get("/models")).json()
        assert {one["id"] for one in listed["data"]} == set(MODELS)
        one = await (await w.get("/models/gpt-5.4-mini")).json()
        assert one in listed["data"]
        assert one["context_length"] == 400_000
        assert one["pricing"] == {"prompt": "0.00000075", "completion": "0.0000045"}
        unknown = await w.get("/models/gpt-99")
        assert (unknown.status, (await error_of(unknown))["code"]) == (404, "model_not_found")
        told = await (await w.get("/credits")).json()
        assert told["total"] == "5.0184921035"
        assert (told["credits"], told["free_credits"]) == ("5", "0.0184921035")
        health = await w.session.get(w.gateway.url.removesuffix("/v1") + "/healthz")
        assert (await health.json())["status"] == "ok"


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        (faults.status(400, "no such parameter"), 400, None),
        (faults.status(401, "no"), 502, "upstream_key_refused"),
        (faults.status(403, "no"), 403, "model_not_allowed"),
        (faults.status(406, "a member's spend limit"), 402, "insufficient_quota"),
        (faults.status(410, "retired"), 404, "model_retired"),
        (faults.status(503, "down"), 502, "upstream_failed"),
        (faults.Reset(), 502, "upstream_unreachable"),
        (faults.Answer(200, b"<html>"), 502, "upstream_unreadable"),
    ],
)
async def test_a_failed_call_is_an_error_in_the_envelope(fault: Any, status: int, code: str | None) -> None:
    async with world(client={"retry": RetryPolicy(retries=0)}) as w:
        w.emulator.script(fault)
        response = await w.chat()
        assert response.status == status
        assert (await error_of(response))["code"] == code
        assert response.headers["x-request-id"]
        assert w.emulator.key not in await response.text()
        assert (await w.chat()).status == 200


async def test_out_of_credits_is_a_402_that_no_sdk_repeats() -> None:
    async with world(balance=0) as w:
        response = await w.chat()
        error = await error_of(response)
    assert (response.status, error["type"], error["code"]) == (
        402,
        "insufficient_quota",
        "insufficient_quota",
    )
    assert response.headers["x-should-retry"] == "false"


async def test_a_bug_here_is_a_500_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with world() as w:
        monkeypatch.setattr(w.client, "chat", None)
        with caplog.at_level(logging.ERROR, "segmind_async.gateway"):
            response = await w.chat()
        text = await response.text()
    assert response.status == 500
    assert "TypeError" not in text
    assert "TypeError" in caplog.text


@pytest.mark.parametrize(
    "path",
    [
        "/embeddings",
        "/completions",
        "/images/generations",
        "/audio/speech",
        "/moderations",
        "/chat",
        "/no%20slug",
        "/gpt-5.4-mini/more",
    ],
)
async def test_paths_that_are_not_served_are_404_in_the_envelope(path: str) -> None:
    async with world() as w:
        response = await w.post(path, {"input": "x"})
        assert (response.status, (await error_of(response))["code"]) == (404, "unknown_url")
        assert w.emulator.requests == 0


async def test_a_wrong_method_is_a_405_that_says_which_is_right() -> None:
    async with world() as w:
        response = await w.get("/chat/completions")
        assert (response.status, response.headers["Allow"]) == (405, "POST")
        await error_of(response)


async def test_a_token_is_needed_everywhere_but_for_the_health() -> None:
    options = GatewayOptions(port=0, tokens=[TOKEN])
    async with world(options=options) as w:
        for headers in ({}, {"Authorization": "Bearer wrong"}):
            for response in (
                await w.post("/chat/completions", asked(), headers=headers),
                await w.get("/models", headers=headers),
                await w.get("/nothing", headers=headers),
            ):
                assert (response.status, (await error_of(response))["code"]) == (401, "invalid_api_key")
        right = await w.post("/chat/completions", asked(), headers={"Authorization": f"Bearer {TOKEN}"})
        assert right.status == 200
        assert (await w.session.get(w.gateway.url.removesuffix("/v1") + "/healthz")).status == 200
        assert w.emulator.requests == 1


async def test_the_figures_of_the_client_are_told_in_prometheus_form_to_who_has_the_token() -> None:
    async with world(options=GatewayOptions(port=0, tokens=[TOKEN])) as w:
        url = w.gateway.url.removesuffix("/v1") + "/metrics"
        assert (await w.session.get(url)).status == 401
        allowed = {"Authorization": f"Bearer {TOKEN}"}
        await w.post("/chat/completions", asked(), headers=allowed)
        told = await w.session.get(url, headers=allowed)
        assert told.headers["Content-Type"] == PROMETHEUS_CONTENT_TYPE
        assert await told.text() == prometheus_text(w.client.statistics())
        spent = w.client.statistics().spent
        assert spent > 0
        assert f"segmind_cost_credits_total {spent}\n" in await told.text()


async def test_a_page_of_another_site_cannot_call_a_gateway_without_token() -> None:
    async with world() as w:
        rebound = await w.post("/chat/completions", asked(), headers={"Host": "evil.example"})
        assert (rebound.status, (await error_of(rebound))["code"]) == (403, "host_not_allowed")
        plain = await w.post(
            "/chat/completions", data=json.dumps(asked()), headers={"Content-Type": "text/plain"}
        )
        assert plain.status == 415
        assert w.emulator.requests == 0


async def test_a_body_that_is_too_long_is_a_413() -> None:
    async with world(options=GatewayOptions(port=0, max_body_bytes=4096)) as w:
        for chunked in (False, True):
            body = json.dumps(asked("x" * 100_000)).encode()

            async def pieces(body: bytes = body) -> Any:
                yield body

            response = await w.session.post(
                w.gateway.url + "/chat/completions",
                data=pieces() if chunked else body,
                headers={"Content-Type": "application/json"},
            )
            assert (response.status, (await error_of(response))["code"]) == (413, "too_large")
        assert (await w.chat()).status == 200


async def test_a_body_that_does_not_come_is_a_408() -> None:
    async with world() as w:
        host, port = w.gateway.url.removeprefix("http://").removesuffix("/v1").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 1000\r\n\r\n{"
        )
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"did not arrive within 60 s" in answer


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(b"GET /v1/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", b"404", id="dots"),
        pytest.param(
            b"GET /v1/models/..%2f..%2fx HTTP/1.1\r\nHost: localhost\r\n\r\n", b"404", id="encoded-dots"
        ),
        pytest.param(b"GET //v1//models HTTP/1.1\r\nHost: localhost\r\n\r\n", b"404", id="double-slashes"),
        pytest.param(b"GET /v1/models%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", b"404", id="nul"),
        pytest.param(b"BANANA\r\n\r\n", b"400", id="no-http"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 10_000 + b"\r\n", b"400", id="header-flood"),
        pytest.param(b"GET / HTTP/1.1\r\na: " + b"b" * 100_000 + b"\r\n\r\n", b"400", id="long-header"),
        pytest.param(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
            b"400",
            id="length",
        ),
    ],
)
async def test_broken_requests_get_a_4xx_without_traceback(request_: bytes, status: bytes) -> None:
    async with world() as w:
        host, port = w.gateway.url.removeprefix("http://").removesuffix("/v1").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(request_)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.split()[1] == status
        writer.close()
        rest = await reader.read()
        assert b"Traceback" not in answer + rest
        assert b"SG_" not in answer + rest
        assert (await w.chat()).status == 200


async def hang_up(w: World, after: float) -> None:
    with anyio.move_on_after(after):
        await w.chat("abandoned")


async def test_a_caller_that_hangs_up_cancels_its_call_and_what_it_may_cost_stays_booked() -> None:
    async with world(latency=100) as w:
        async with anyio.create_task_group() as tasks:
            for _ in range(40):
                tasks.start_soon(hang_up, w, 20)
            await anyio.sleep(10)
            before = w.client.statistics()
        await anyio.sleep(1)
        after = w.client.statistics()
        assert before.in_flight > 0
        assert (after.in_flight, after.waiting) == (0, 0)
        assert after.held > 0
        # None was sent once its caller had gone.
        assert w.emulator.requests == before.in_flight


async def test_leaving_lets_calls_in_flight_end_and_takes_no_new_ones() -> None:
    async with world(latency=30) as w:
        statuses: list[int] = []

        async def ask() -> None:
            statuses.append((await w.chat()).status)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.sleep(10)
            tasks.start_soon(w.gateway.__aexit__, None, None, None)
            await anyio.sleep(1)
            with pytest.raises(aiohttp.ClientError):
                await w.chat()
    assert statuses == [200]


async def test_calls_that_outlast_the_grace_are_cancelled() -> None:
    async with world(latency=1000, options=GatewayOptions(port=0, grace=5)) as w:

        async def ask() -> None:
            with pytest.raises(aiohttp.ServerDisconnectedError):
                await w.chat()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask)
            await anyio.sleep(1)
            began = anyio.current_time()
            await w.gateway.__aexit__(None, None, None)
            assert anyio.current_time() - began < 20
            assert w.client.statistics().in_flight == 0


async def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_behind() -> None:
    async with world() as w:
        port = int(w.gateway.url.removesuffix("/v1").rsplit(":", 1)[1])
        with pytest.raises(OSError, match=str(port)):
            async with Gateway(w.client, GatewayOptions(port=port)):
                pass
        assert (await w.chat()).status == 200
        assert repr(w.gateway) == f"Gateway({w.gateway.url})"
        assert repr(Gateway(w.client)) == "Gateway(not started)"
