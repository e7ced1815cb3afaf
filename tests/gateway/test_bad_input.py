"""What strangers send: every part of every body as something else, paths, headers and bodies of every kind.

Each is answered, or refused by a 4xx in the envelope of its path; nothing here fails, and no key is told.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from segmind_async.gateway import GatewayOptions
from segmind_async.gateway._access import Tokens
from tests.gateway.support import TOKEN, World, world

OTHERS: tuple[Any, ...] = (
    None, True, 0, -1, 1.5, 10**400, "", "x", "\x00\u202e", "\ud800", [], [None], [[]], [{}], {}, {"x": {}}, {"type": 1},
)  # fmt: skip
"""Values of every type. One of them is wrong in each place."""

TOOL = {
    "type": "function",
    "function": {
        "name": "f",
        "description": "d",
        "parameters": {"type": "object", "properties": {}},
        "strict": True,
    },
}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}

CHAT: dict[str, Any] = {
    "model": "gpt-5.4-mini",
    "messages": [
        {"role": "system", "content": "s"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "t"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}},
            ],
        },
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c", "content": "r"},
    ],
    "tools": [TOOL],
    "tool_choice": {"type": "function", "function": {"name": "f"}},
    "parallel_tool_calls": True,
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}},
    "stop": ["x"],
    "stream": True,
    "stream_options": {"include_usage": True},
    "metadata": {"a": "b"},
    **dict.fromkeys(("temperature", "top_p", "frequency_penalty", "presence_penalty"), 0.5),
    **dict.fromkeys(("seed", "n", "max_tokens", "max_completion_tokens"), 1),
    **dict.fromkeys(("user", "reasoning_effort"), "x"),
    "logit_bias": {"1": 1},
    "logprobs": False,
}  # fmt: skip

RESPONSES: dict[str, Any] = {
    "model": "gpt-5.4-mini",
    "input": [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "t"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "r"},
    ],
    "instructions": "s",
    "tools": [{"type": "function", "name": "f", "description": "d", "parameters": SCHEMA, "strict": True}],
    "tool_choice": {"type": "function", "name": "f"},
    "text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA, "strict": True}},
    "reasoning": {"effort": "low"},
    "previous_response_id": None,
    "max_output_tokens": 100,
    "temperature": 0.5,
    "stream": True,
    "store": False,
    "metadata": {"a": "b"},
    "user": "x",
    "include": ["reasoning.encrypted_content"],
    "truncation": "auto",
    "background": False,
    "parallel_tool_calls": True,
}

BODIES = {
    "/chat/completions": CHAT,
    "/responses": RESPONSES,
    "/gpt-5.4-mini": {name: CHAT[name] for name in ("messages", "tools", "tool_choice", "temperature")},
    "/claude-4-sonnet": {"messages": [{"role": "user", "content": "x"}], "max_tokens": 5, "system": "s"},
    "/gemini-2.5-pro": {"messages": [{"role": "user", "content": "x"}], "max_tokens": 5},
}


def changed(body: Any) -> Iterator[Any]:
    """Yield *body* once for each of its parts and each other value of that part, and without that part."""
    yield from OTHERS
    items = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for name, part in items:
        for other in changed(part):
            copy = body.copy()
            copy[name] = other
            yield copy
        copy = body.copy()
        del copy[name]
        yield copy


def as_sent(value: Any) -> bytes:
    return json.dumps(value).encode()


async def assert_fit(w: World, path: str, response: Any, sent: bytes) -> None:
    text = await response.text()
    assert response.status == 200 or 400 <= response.status < 500, (path, sent, response.status, text)
    assert w.emulator.key not in text
    assert TOKEN not in text
    assert "Traceback" not in text
    if response.status != 200:
        error = json.loads(text)["error"]
        own_form = path.removeprefix("/") in {"gpt-5.4-mini", "claude-4-sonnet", "gemini-2.5-pro"}
        assert isinstance(error, str) if own_form else set(error) == {"message", "type", "param", "code"}, (
            text
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "via"),
    [*((path, "native") for path in BODIES), ("/chat/completions", "schema"), ("/responses", "schema")],
)
async def test_every_part_of_every_body_as_something_else(
    path: str, via: Any, caplog: pytest.LogCaptureFixture
) -> None:
    options = GatewayOptions(port=0, tokens=[TOKEN], tools_via=via)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
    seen: dict[int, int] = {}
    with caplog.at_level(logging.ERROR):
        async with world(options=options, balance=1000) as w:
            for body in changed(BODIES[path]):
                sent = as_sent(body)
                response = await w.post(path, data=sent, headers=headers)
                await assert_fit(w, path, response, sent)
                seen[response.status] = seen.get(response.status, 0) + 1
            assert w.client.statistics().in_flight == 0
    assert seen[400] > 20
    assert not caplog.records, caplog.text


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"}", b"nul", b"\xff\xfe", b'{"a":1,}', b'{"model":"gpt-5.4-mini"', b"[" * 100_000, b'{"a":' * 50_000,
        b'"' + b"x" * 100_000, b"\xef\xbb\xbf{}", b"1e999", b'{"model": NaN}', b"{}{}",
    ],
    ids=lambda body: repr(body[:12]),
)  # fmt: skip
@pytest.mark.parametrize("path", BODIES)
async def test_bodies_that_are_not_json(path: str, body: bytes) -> None:
    async with world() as w:
        response = await w.post(path, data=body, headers={"Content-Type": "application/json"})
        assert response.status == 400
        await assert_fit(w, path, response, body)
        if path in ("/chat/completions", "/responses"):
            assert w.emulator.requests == 0  # in the service's own form it judges what a parser may take


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (name, value)
        for name in (
            "x-segmind-priority", "x-segmind-timeout", "x-segmind-budget", "x-stainless-retry-count",
            "x-stainless-read-timeout", "x-request-id", "Authorization", "x-api-key", "Accept-Encoding", "Origin",
        )
        for value in ("", "x", "-1", "nan", "inf", "1e999", "0x10", "²", "é" * 50, "Bearer", "Bearer  ", ", ," * 99)
    ],
)  # fmt: skip
async def test_headers_that_mean_nothing(name: str, value: str, caplog: pytest.LogCaptureFixture) -> None:
    async with world() as w:
        with caplog.at_level(logging.ERROR):
            for path, body in (
                ("/chat/completions", CHAT | {"stream": False}),
                ("/gpt-5.4-mini", {"messages": []}),
            ):
                response = await w.post(path, body, headers={name: value})
                await assert_fit(w, path, response, f"{name}: {value}".encode())
    assert not caplog.records, caplog.text


PATHS = (
    "/../../etc/passwd", "/..%2f..%2fetc%2fpasswd", "/%2e%2e/x", "//chat//completions", "/chat%2fcompletions",
    "/chat/completions/", "/chat/completions/../x", "/gpt-5.4-mini%00", "/gpt-5.4-mini%0d%0aX-A:%20b", "/%ff%fe", "/é",
    "/%F0%9F%98%80", "/" + "a" * 4000, "/" + "%2f" * 1000, "/;x", "/models/%2e%2e", "/models/" + "m" * 4000,
    "/models/<script>", "/responses/../files", "/responses/%2e%2e%2f", "/?key=SG_0123456789abcdef", "/SG_0123456789abcdef",
    "/%", "/%zz", "/\\..\\x", "/.", "/-", "/_",
)  # fmt: skip


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path[:24])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PUT", "TRACE"])
async def test_paths_that_lead_nowhere(method: str, path: str, caplog: pytest.LogCaptureFixture) -> None:
    async with world() as w:
        host, port = w.gateway.url.removeprefix("http://").removesuffix("/v1").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"{method} /v1{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        with caplog.at_level(logging.ERROR):
            writer.write(f"{head}Content-Length: 2\r\nConnection: close\r\n\r\n{{}}".encode())
            answer = await reader.read()
        writer.close()
        await writer.wait_closed()
        assert answer.split()[1][:1] == b"4", answer[:300]
        assert b"Traceback" not in answer
        assert b"0123456789abcdef" not in answer
        assert b"\r\nX-A:" not in answer
        # What may be a model's slug, only the service can tell.
        assert w.emulator.requests <= (method == "POST" and path[1:].replace("_", "").isalnum())
    assert not caplog.records, caplog.text


async def test_a_body_of_100_mb_is_refused_without_being_kept() -> None:
    async with world() as w:
        host, port = w.gateway.url.removeprefix("http://").removesuffix("/v1").split(":")
        for path in BODIES:
            reader, writer = await asyncio.open_connection(host, int(port))
            head = f"POST /v1{path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            writer.write(f"{head}Content-Length: {100 << 20}\r\n\r\n".encode())
            answer = await reader.readuntil(b"\r\n\r\n")
            # It did not wait for what will not be taken.
            assert answer.startswith(b"HTTP/1.1 413 "), answer
            writer.close()


async def test_a_body_that_drips_is_given_up_in_time() -> None:
    async with world(options=GatewayOptions(port=0, body_timeout=10)) as w:
        host, port = w.gateway.url.removeprefix("http://").removesuffix("/v1").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        writer.write(f"{head}Content-Length: 1000\r\n\r\n".encode())

        async def drip() -> None:
            while not reader.at_eof() and not writer.is_closing():
                writer.write(b" ")
                await asyncio.sleep(1)

        dripping = asyncio.create_task(drip())
        answer = await reader.readuntil(b"\r\n\r\n")
        dripping.cancel()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_wrong_token_takes_as_long_whatever_of_it_is_right() -> None:
    """Digests are compared, each with each: what is right of a token decides nothing."""
    tokens = Tokens(["a" * 40, "b" * 40], {"c" * 40: "budget"})
    compared: list[int] = []

    def counted(one: bytes, other: bytes) -> bool:
        compared.append(len(one) + len(other))
        return one == other

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segmind_async.gateway._access.compare_digest", counted)
        for given in ("a" * 40, "a" * 39 + "b", "c" * 40, "x", ""):
            try:
                tokens.check({"Authorization": f"Bearer {given}"})
            except Exception as error:
                assert "token of this gateway" in str(error)
    assert compared == [128] * 15
