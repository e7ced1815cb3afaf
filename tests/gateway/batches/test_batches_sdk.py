"""Batches by the openai SDK: rows in, answers and errors out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest

from segmind_async.emulator import FunctionBrain
from segmind_async.gateway import BudgetRule
from tests.gateway.batches.support import begun, ended, kept, line, rows, uploaded
from tests.gateway.support import TOKEN, world
from tests.gateway.test_tool_support import ADD, without_tools


async def test_answers_and_errors_in_files_of_their_own(tmp_path: Path) -> None:
    models = ["gpt-5.4-mini", "claude-4-sonnet", "gemini-2.5-pro"]
    lines = [line(n, models[n % 3]) for n in range(9)]
    lines += [line(9, n=2), line(10, "no-such-model")]
    async with kept(tmp_path) as (w, sdk):
        batch = await begun(sdk, lines, metadata={"night": "1"})
        assert (batch.status, batch.completion_window, batch.metadata) == (
            "validating",
            "24h",
            {"night": "1"},
        )
        batch = await ended(sdk, batch)
        assert batch.status == "completed"
        assert batch.errors is None
        assert batch.request_counts is not None
        assert batch.request_counts.to_dict() == {"total": 11, "completed": 9, "failed": 2}
        answered = await rows(sdk, batch.output_file_id)
        failed = await rows(sdk, batch.error_file_id)
        assert len({one["id"] for one in [*answered, *failed]}) == 11
        # Nothing is left but the files, the batch and what the gateway itself keeps.
        assert not [*tmp_path.glob("*journal*"), *tmp_path.glob("*.part")]
        assert w.emulator.billed() == {f"row {n}": 1 for n in range(9)}
    for n, row in enumerate(answered):
        response = row["response"]
        assert (row["custom_id"], row["error"], response["status_code"]) == (f"r{n}", None, 200)
        assert response["body"]["object"] == "chat.completion"
        assert response["body"]["model"] == models[n % 3]
        assert response["body"]["choices"][0]["message"]["content"] == f"echo: row {n}"
        assert response["body"]["usage"]["total_tokens"] > 0
    assert [(row["custom_id"], row["response"]["status_code"]) for row in failed] == [
        ("r9", 400),
        ("r10", 404),
    ]
    assert failed[0]["response"]["body"]["error"]["param"] == "n"
    assert failed[1]["response"]["body"]["error"]["code"] == "model_not_found"


async def test_responses(tmp_path: Path) -> None:
    url = "/v1/responses"
    asked = {
        "custom_id": "a",
        "method": "POST",
        "url": url,
        "body": {"model": "gpt-5.4-mini", "input": "hello"},
    }
    async with kept(tmp_path) as (_, sdk):
        batch = await ended(sdk, await begun(sdk, [asked], endpoint=url))
        [row] = await rows(sdk, batch.output_file_id)
        assert batch.error_file_id is None
    response = openai.types.responses.Response.model_validate(row["response"]["body"])
    assert response.output_text == "echo: hello"


async def test_tools_that_the_service_drops_are_carried_through_a_schema(tmp_path: Path) -> None:
    async with kept(tmp_path, FunctionBrain(without_tools), ignore_tools=True) as (_, sdk):
        batch = await ended(sdk, await begun(sdk, [line(0, tools=[ADD])]))
        [row] = await rows(sdk, batch.output_file_id)
    choice = row["response"]["body"]["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert [call["function"]["name"] for call in choice["message"]["tool_calls"]] == ["add"]


async def test_a_file_that_is_none_of_a_batch_fails_before_anything_is_paid(tmp_path: Path) -> None:
    async with kept(tmp_path) as (w, sdk):
        batch = await ended(sdk, await begun(sdk, [line(0), {**line(0), "method": "GET"}]))
        assert batch.status == "failed"
        assert batch.failed_at is not None
        assert batch.errors is not None
        assert [(one.line, one.code, one.param) for one in batch.errors.data or []] == [
            (2, "duplicate_custom_id", "custom_id"),
            (2, "invalid_method", "method"),
        ]
        for other in (b"", b"[]", b"\x1f\x8b\x08", b"\xff\xfe{\0"):
            batch = await ended(sdk, await begun(sdk, other))
            assert batch.status == "failed"
        assert w.emulator.calls == []


async def test_each_caller_sees_its_own(tmp_path: Path) -> None:
    rule = BudgetRule("team", "token-of-the-team")
    async with kept(tmp_path, tokens=[TOKEN], budgets=[rule]) as (w, _):

        def caller(token: str) -> openai.AsyncOpenAI:
            return openai.AsyncOpenAI(api_key=token, base_url=w.gateway.url, max_retries=0)

        async with caller(TOKEN) as one, caller("token-of-the-team") as other:
            batch = await ended(one, await begun(one, [line(0)]))
            assert [found.id async for found in one.batches.list()] == [batch.id]
            assert [found.id async for found in other.batches.list()] == []
            assert [found.id async for found in other.files.list()] == []
            assert batch.output_file_id is not None
            for refused in (
                other.batches.retrieve(batch.id),
                other.batches.cancel(batch.id),
                other.files.retrieve(batch.input_file_id),
                other.files.content(batch.output_file_id),
                other.files.delete(batch.output_file_id),
                begun_of(other, batch.input_file_id),
            ):
                with pytest.raises(openai.NotFoundError):
                    await refused
        async with caller("another-token-here") as nobody:
            with pytest.raises(openai.AuthenticationError):
                await nobody.files.list()


async def begun_of(sdk: openai.AsyncOpenAI, file_id: str) -> Any:
    return await sdk.batches.create(
        input_file_id=file_id, endpoint="/v1/chat/completions", completion_window="24h"
    )


async def test_lists_are_paged(tmp_path: Path) -> None:
    async with kept(tmp_path) as (_, sdk):
        made = [await ended(sdk, await begun(sdk, [line(n)])) for n in range(3)]
        newest_first = [one.id for one in reversed(made)]
        assert [one.id async for one in sdk.batches.list(limit=1)] == newest_first
        page = await sdk.batches.list(limit=2)
        assert ([one.id for one in page.data], page.has_more) == (newest_first[:2], True)
        inputs = [one.id async for one in sdk.files.list(limit=2, purpose="batch", order="asc")]
        assert inputs == [one.input_file_id for one in made]
        assert len([one async for one in sdk.files.list()]) == 6


async def test_a_request_that_an_sdk_repeats_makes_one_batch(tmp_path: Path) -> None:
    async with kept(tmp_path) as (_, sdk):
        file = await uploaded(sdk, [line(0)])
        first = await begun_of(sdk, file.id)
        again = await sdk.batches.create(
            input_file_id=file.id,
            endpoint="/v1/chat/completions",
            completion_window="24h",
            extra_headers={"x-stainless-retry-count": "1"},
        )
        assert again.id == first.id
        assert (await begun_of(sdk, file.id)).id != first.id


async def test_files_may_expire_and_are_kept_while_a_batch_needs_them(tmp_path: Path) -> None:
    expiry: Any = {"anchor": "created_at", "seconds": 3600}
    async with kept(tmp_path) as (w, sdk):
        storage = w.gateway._storage
        assert storage is not None
        file = await sdk.files.create(file=("a", b"{}"), purpose="batch", expires_after=expiry)
        assert file.expires_at == file.created_at + 3600
        batch = await ended(sdk, await begun(sdk, [line(0)], output_expires_after=expiry))
        assert batch.output_file_id is not None
        assert (await sdk.files.retrieve(batch.output_file_id)).expires_at is not None
        storage.files._wall_clock = lambda: file.created_at + 3600.0
        with pytest.raises(openai.NotFoundError):
            await sdk.files.retrieve(file.id)
        storage.files.user_of = lambda _id: "batch_1"
        assert (await sdk.files.retrieve(file.id)).id == file.id
        with pytest.raises(openai.ConflictError, match="needs the file"):
            await sdk.files.delete(file.id)


async def test_without_a_folder_the_option_is_named() -> None:
    async with world() as w, openai.AsyncOpenAI(api_key="any", base_url=w.gateway.url) as sdk:
        with pytest.raises(openai.NotFoundError, match="--files DIR"):
            await sdk.files.create(file=("a", b"{}"), purpose="batch")
        with pytest.raises(openai.NotFoundError, match="--files DIR"):
            await sdk.batches.retrieve("batch_1")
