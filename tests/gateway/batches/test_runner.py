"""Batches and what gets in their way: budgets, other callers, cancels, the end of their time, restarts."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import openai
import pytest

from segmind_async import Limits
from segmind_async.emulator import faults
from segmind_async.gateway import BudgetRule
from segmind_async.gateway._batches import batch as batch_module
from segmind_async.gateway._batches.batch import Batch, BatchStatus
from segmind_async.gateway._batches.store import BatchStore
from tests.gateway.batches.support import begun, ended, in_state, kept, line, rows
from tests.gateway.support import World, asked

COST = Decimal("0.01")
FEW: dict[str, Any] = {"limits": Limits(max_in_flight=2)}


def clock(w: World) -> Callable[[float], None]:
    """Let the gateway's wall clock go with the loop's; returns what sets it forward, in seconds."""
    storage = w.gateway._storage
    assert storage is not None
    began, start = anyio.current_time(), storage.batches.wall_clock()
    ahead = 0.0

    def now() -> float:
        return start + ahead + anyio.current_time() - began

    def forward(seconds: float) -> None:
        nonlocal ahead
        ahead += seconds

    storage.batches.wall_clock = storage.files._wall_clock = now
    return forward


def custom_ids(found: list[dict[str, Any]]) -> list[str]:
    return [row["custom_id"] for row in found]


async def test_a_batch_counts_in_the_budget_of_its_token_and_waits_until_it_is_filled(tmp_path: Path) -> None:
    rule = BudgetRule("team", "token-of-a-caller", credits_per_day=Decimal("0.035"))
    async with kept(tmp_path, budgets=[rule], cost=COST) as (w, sdk):
        forward = clock(w)
        budgets = w.gateway._storage.runner._calls.budgets  # type: ignore[union-attr]
        budgets.wall_clock = w.gateway._storage.batches.wall_clock  # type: ignore[union-attr]
        batch = await begun(sdk, [line(n) for n in range(6)], completion_window="48h")
        batch = await in_state(sdk, batch, lambda found: found.errors is not None)
        assert batch.status == "in_progress"
        assert batch.request_counts is not None
        assert batch.request_counts.to_dict() == {"total": 6, "completed": 3, "failed": 0}
        assert "budget" in str(batch.errors)
        assert w.emulator.requests == 3
        forward(86_400)
        batch = await ended(sdk, batch)
        assert (batch.status, batch.errors) == ("completed", None)
        assert w.emulator.billed() == {f"row {n}": 1 for n in range(6)}
        assert budgets.left(rule) == Decimal("0.005")


async def test_calls_of_a_batch_stand_behind_those_of_others(tmp_path: Path) -> None:
    one_a_second: dict[str, Any] = {"limits": Limits(max_in_flight=16, requests_per_minute=60)}
    async with kept(tmp_path, client=one_a_second, latency=0.1) as (w, sdk):
        batch = await begun(sdk, [line(n) for n in range(40)])
        await in_state(sdk, batch, lambda _found: w.emulator.requests >= 10)
        # Its other rows wait by now.
        before = w.emulator.requests
        assert (await w.chat("urgent")).status == 200
        # One grant of the batch may come before it.
        assert w.emulator.requests - before <= 2
        await sdk.batches.cancel(batch.id)


async def test_what_was_answered_when_a_batch_is_cancelled_is_in_its_output(tmp_path: Path) -> None:
    async with kept(tmp_path, client=FEW, latency=1.0) as (w, sdk):
        batch = await begun(sdk, [line(n) for n in range(20)])
        await in_state(sdk, batch, lambda found: found.request_counts.completed >= 4)
        cancelling = await sdk.batches.cancel(batch.id)
        assert cancelling.status == "cancelling"
        batch = await ended(sdk, batch)
        assert batch.status == "cancelled"
        assert batch.cancelled_at is not None
        answered = await rows(sdk, batch.output_file_id)
        others = await rows(sdk, batch.error_file_id)
        assert sorted(custom_ids([*answered, *others])) == sorted(f"r{n}" for n in range(20))
        # Those that were in flight have ended.
        assert w.emulator.requests == len(answered) < 10
        assert {row["error"]["code"] for row in others} == {"batch_cancelled"}
        assert (await sdk.batches.cancel(batch.id)).status == "cancelled"


async def test_rows_that_wait_for_a_slot_are_not_sent_when_their_batch_is_cancelled(tmp_path: Path) -> None:
    async with kept(tmp_path, client=FEW, latency=20.0) as (w, sdk), anyio.create_task_group() as tasks:
        for text in ("one", "two"):
            tasks.start_soon(w.chat, text)
        await anyio.sleep(1)
        batch = await begun(sdk, [line(n) for n in range(4)])
        await anyio.sleep(5)
        await sdk.batches.cancel(batch.id)
        assert (await ended(sdk, batch)).status == "cancelled"
        assert anyio.current_time() < 15
        tasks.cancel_scope.cancel()
        assert not any("row" in call.prompt for call in w.emulator.calls)


async def test_a_batch_that_has_ended_is_not_cancelled(tmp_path: Path) -> None:
    async with kept(tmp_path) as (_, sdk):
        batch = await ended(sdk, await begun(sdk, [line(0)]))
        with pytest.raises(openai.ConflictError, match="completed cannot be cancelled"):
            await sdk.batches.cancel(batch.id)


async def test_a_batch_whose_time_ends_keeps_its_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    minute = property(lambda batch: int(batch.created_at) + 60)
    monkeypatch.setattr(batch_module.Batch, "expires_at", minute)  # an hour of virtual time takes a minute
    async with kept(tmp_path, client=FEW, latency=5.0) as (w, sdk):
        clock(w)
        batch = await ended(sdk, await begun(sdk, [line(n) for n in range(90)]))
        assert batch.status == "expired"
        assert batch.expires_at is not None
        assert batch.expires_at <= (batch.expired_at or 0) <= batch.expires_at + 5
        answered = await rows(sdk, batch.output_file_id)
        others = await rows(sdk, batch.error_file_id)
        assert len(answered) == w.emulator.requests >= 20
        assert sorted(custom_ids([*answered, *others])) == sorted(f"r{n}" for n in range(90))
        assert {row["error"]["code"] for row in others} == {"batch_expired"}


async def test_a_batch_that_was_being_cancelled_at_a_crash_does_not_wait_for_others(tmp_path: Path) -> None:
    async with kept(tmp_path, client=FEW, latency=5.0) as (w, sdk):
        first = await begun(sdk, [line(n) for n in range(90)])
        second = await begun(sdk, [line(n) for n in range(2)])
        await in_state(sdk, second, lambda found: found.status == "in_progress")
        storage = w.gateway._storage
        assert storage is not None
        # What is on the disk when the gateway is killed just after a cancel was written.
        await storage.batches.save(storage.batches[second.id].moved(BatchStatus.CANCELLING, 1.0))
    async with kept(tmp_path, client=FEW, latency=5.0) as (_, sdk):
        assert (await ended(sdk, second)).status == "cancelled"
        assert (await sdk.batches.retrieve(first.id)).status == "in_progress"
        await sdk.batches.cancel(first.id)


async def test_a_batch_that_waits_for_money_expires_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = property(lambda batch: int(batch.created_at) + 70)
    monkeypatch.setattr(batch_module.Batch, "expires_at", soon)
    rule = BudgetRule("team", "token-of-a-caller", credits=Decimal("0.02"))
    async with kept(tmp_path, budgets=[rule], cost=COST) as (w, sdk):
        clock(w)
        batch = await ended(sdk, await begun(sdk, [line(n) for n in range(6)]))
        # Not only when it would have tried again: after 15 s, 45 s and 105 s.
        assert batch.status == "expired"
        assert (batch.expired_at or 0) - batch.created_at < 80
        assert len(await rows(sdk, batch.output_file_id)) == 2


async def test_output_that_is_written_again_takes_the_place_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save = BatchStore.save
    failed: list[Batch] = []

    async def once_full(store: BatchStore, batch: Batch) -> None:
        if batch.status is BatchStatus.COMPLETED and not failed:
            failed.append(batch)
            raise OSError("no space left on device")
        await save(store, batch)

    monkeypatch.setattr(BatchStore, "save", once_full)
    async with kept(tmp_path) as (w, sdk):
        batch = await ended(sdk, await begun(sdk, [line(n) for n in range(3)]))
        assert (batch.status, len(failed)) == ("completed", 1)
        files = [file.id async for file in sdk.files.list(purpose="batch_output")]
        assert files == [batch.output_file_id]
        assert w.emulator.requests == 3


async def test_batches_of_one_caller_run_one_after_the_other_and_a_cancelled_one_does_not_wait(
    tmp_path: Path,
) -> None:
    rule = BudgetRule("team", "token-of-the-team")
    async with kept(tmp_path, client=FEW, latency=5.0, tokens=["token-of-a-caller"], budgets=[rule]) as (
        w,
        sdk,
    ):
        first = await begun(sdk, [line(n) for n in range(10)])
        await in_state(sdk, first, lambda found: found.request_counts.completed)
        second, third = [await begun(sdk, [line(n)]) for n in (20, 30)]
        await in_state(sdk, third, lambda found: found.status == "in_progress")
        await sdk.batches.cancel(second.id)
        assert (await ended(sdk, second)).status == "cancelled"
        async with openai.AsyncOpenAI(api_key="token-of-the-team", base_url=w.gateway.url) as other:
            assert (await ended(other, await begun(other, [line(40)]))).status == "completed"
        assert (await sdk.batches.retrieve(first.id)).status == "in_progress"
        assert (await ended(sdk, third)).status == "completed"
        assert (await sdk.batches.retrieve(first.id)).status == "completed"


async def test_the_next_gateway_goes_on_and_asks_nothing_twice(tmp_path: Path) -> None:
    lines = [line(n) for n in range(12)]
    async with kept(tmp_path, client=FEW, latency=1.0, grace=0.5) as (w, sdk):
        batch = await begun(sdk, lines)
        waiting = await begun(sdk, [line(99)])
        await in_state(sdk, batch, lambda found: found.request_counts.completed >= 4)
        before = w.emulator.billed().copy()
    async with kept(tmp_path) as (w, sdk):
        batch, waiting = await ended(sdk, batch), await ended(sdk, waiting)
        assert (batch.status, waiting.status) == ("completed", "completed")
        answered = await rows(sdk, batch.output_file_id)
        assert custom_ids(answered) == [f"r{n}" for n in range(12)]
        # Two were in flight when the time of the first gateway was over.
        assert len(before) <= 12 - w.emulator.billed().total() + 1 + 2


async def test_a_stopping_gateway_lets_rows_in_flight_end(tmp_path: Path) -> None:
    async with kept(tmp_path, client=FEW, latency=1.0) as (w, sdk):
        batch = await begun(sdk, [line(n) for n in range(12)])
        await in_state(sdk, batch, lambda found: found.request_counts.completed >= 4)
        emulator = w.emulator
        held = emulator.billed()
    assert held.total() == len(emulator.calls)
    async with kept(tmp_path) as (w, sdk):
        await ended(sdk, batch)
        assert (held | w.emulator.billed()) == {f"row {n}": 1 for n in range(12)}
        assert held.total() + w.emulator.billed().total() == 12


async def test_a_row_that_the_service_fails_is_an_error_with_its_status(tmp_path: Path) -> None:
    async with kept(tmp_path) as (w, sdk):
        w.emulator.script(faults.status(400, "no such thing"))
        batch = await ended(sdk, await begun(sdk, [line(0), line(1)]))
        assert batch.status == "completed"
        [failed] = await rows(sdk, batch.error_file_id)
        assert failed["response"]["status_code"] == 400
        assert "no such thing" in failed["response"]["body"]["error"]["message"]


async def test_a_budget_that_is_gone_is_said_and_the_batch_waits(tmp_path: Path) -> None:
    rule = BudgetRule("team", "token-of-a-caller")
    async with kept(tmp_path, client=FEW, latency=1.0, grace=0.1, budgets=[rule]) as (_, sdk):
        batch = await begun(sdk, [line(n) for n in range(9)])
        await in_state(sdk, batch, lambda found: found.request_counts.completed)
    async with kept(tmp_path, tokens=["token-of-a-caller"]) as (_, sdk):
        batch = await in_state(sdk, batch, lambda found: found.errors is not None)
        assert batch.status == "in_progress"
        assert "there is no budget 'team'" in str(batch.errors)
    async with kept(tmp_path, budgets=[rule]) as (_, sdk):
        assert (await ended(sdk, batch)).status == "completed"


async def test_a_batch_that_cannot_be_written_when_its_time_ends_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with kept(tmp_path) as (w, sdk):
        forward = clock(w)

        def full(_id: str) -> Any:
            raise OSError(28, "No space left on device")

        storage = w.gateway._storage
        assert storage is not None
        monkeypatch.setattr(storage.files, "new_output", full)
        file_id = (await sdk_file(w)).id
        hour: Any = "1h"
        batch = await sdk.batches.create(
            input_file_id=file_id, endpoint="/v1/chat/completions", completion_window=hour
        )
        batch = await in_state(sdk, batch, lambda found: found.errors is not None)
        assert "log" in str(batch.errors)
        forward(3600)
        batch = await ended(sdk, batch)
        assert batch.status == "failed"
        # What was paid is not lost with it.
        assert [*tmp_path.glob("batch_*.journal.db")]


async def sdk_file(w: World) -> Any:
    """Store a file without writing one anew."""
    storage = w.gateway._storage
    assert storage is not None
    content = storage.files._folder.new(f"file-{'1' * 32}.content.jsonl")
    content.write(b'{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":')
    content.write(repr(asked()).replace("'", '"').encode() + b"}\n")
    file = storage.files.described(f"file-{'1' * 32}", "", "a.jsonl", "batch")
    return await storage.files.add(file, content)
