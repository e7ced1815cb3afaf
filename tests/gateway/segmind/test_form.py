"""Segmind's own form at the gateway: our own client, and any other program, change a base URL alone."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

import segmind_async as sa
from segmind_async import SegmindClient
from segmind_async.emulator import faults
from segmind_async.gateway import BudgetRule, GatewayOptions
from segmind_async.gateway._errors import GatewayError
from segmind_async.gateway._segmind import form
from tests.gateway.support import TOKEN, world

MODELS = ["gpt-5.4-mini", "claude-4-sonnet", "gemini-2.5-pro", "deepseek-chat"]


@pytest.mark.parametrize("model", MODELS)
async def test_our_own_client_changes_its_base_url_alone(model: str) -> None:
    async with world() as w, SegmindClient("any-key", w.gateway.url, model) as worker:
        answer = await worker.chat("hello", max_tokens=50)
        balance = await worker.balance()
    assert answer.text == "echo: hello"
    assert (answer.cost, answer.request_id) == (w.emulator.calls[0].cost, "req-00000001")
    assert answer.credits_remaining == balance.total == w.emulator.state.account.balance


async def test_the_body_is_passed_on_as_it_is() -> None:
    contents = [{"role": "user", "parts": [{"text": "from Gemini's form"}]}]
    async with world() as w:
        response = await w.post("/gemini-2.5-pro", {"messages": {"contents": contents}})
        body = await response.text()
    assert response.status == 200
    assert '"parts"' in body
    assert "echo: from Gemini's form" in body
    assert Decimal(response.headers["x-cost"]) == Decimal(response.headers["x-segmind-cost"])


@pytest.mark.parametrize("path", ["embeddings", "completions", "models", "moderations", "vector_stores"])
async def test_paths_of_openai_are_no_slugs(path: str) -> None:
    async with world() as w:
        response = await w.post("/" + path, {})
        assert response.status in {404, 405}
        assert set((await response.json())["error"]) == {"message", "type", "param", "code"}
        assert not w.emulator.calls


@pytest.mark.parametrize(
    ("slug", "body", "status", "named"),
    [
        pytest.param("gpt-5.4-mini", b"[1", 400, "JSON", id="broken-json"),
        pytest.param("gpt-5.4-mini", b"[]", 400, "JSON", id="a-list"),
        pytest.param("gpt-5.4-mini", b'{"stream": true}', 400, "stream", id="stream"),
        pytest.param("requests", b"{}", 400, "another path", id="a-path-of-the-service"),
        pytest.param("gpt-5.4-mini", b'{"messages": [1]}', 400, "", id="no-messages"),
        pytest.param("no-such-model", b"{}", 404, "", id="unknown-model"),
    ],
)
async def test_errors_are_in_segminds_form(slug: str, body: bytes, status: int, named: str) -> None:
    async with world() as w:
        response = await w.post("/" + slug, data=body, headers={"Content-Type": "application/json"})
        assert response.status == status
        [(name, text)] = (await response.json()).items()
        assert name == "error"
        assert named in text


async def test_out_of_credits_is_the_406_of_the_service_and_final() -> None:
    async with world(balance=0) as w:
        response = await w.post("/gpt-5.4-mini", {"messages": [{"role": "user", "content": "hello"}]})
        assert response.status == 406
        assert response.headers["x-should-retry"] == "false"
        assert "credits" in (await response.json())["error"]


async def test_a_budget_by_token_holds_for_our_own_client(tmp_path: Any) -> None:
    rules = (BudgetRule("team", "token-of-the-team", credits=Decimal("0.0000001")),)
    options = GatewayOptions(port=0, tokens=(TOKEN,), budgets=rules, state=tmp_path / "book.db")
    async with world(options=options) as w:
        async with SegmindClient("token-of-the-team", w.gateway.url) as worker:
            await worker.chat("the first call teaches")
            with pytest.raises(sa.InsufficientCreditsError, match="budget 'team'"):
                await worker.chat("hello")
        async with SegmindClient("a-wrong-token", w.gateway.url) as worker:
            with pytest.raises(sa.AuthenticationError):
                await worker.chat("hello")


async def test_a_refused_upstream_key_is_no_refusal_of_the_token() -> None:
    async with world() as w:
        w.emulator.script(faults.status(401, "no"))
        response = await w.post("/gpt-5.4-mini", {"messages": [{"role": "user", "content": "hello"}]})
        assert response.status == 502


def test_amounts_are_plain_numbers() -> None:
    written = form.balance_body(sa.Balance(Decimal("1E+2"), Decimal("1E-10")))
    assert written == b'{"credits": 100, "free-credits": 0.0000000001}'


@pytest.mark.parametrize("message", ["the account has 0 credits", "a spend limit"])
def test_the_text_of_a_406_names_credits(message: str) -> None:
    problem = GatewayError(402, message)
    assert form.status_of(problem) == 406
    assert "credits" in json.loads(form.error_body(problem))["error"]


def test_an_error_that_quotes_a_request_quotes_no_key() -> None:
    body = form.error_body(GatewayError(400, "there is no budget 'SG_0123456789abcdef'"))
    assert b"0123456789" not in body
