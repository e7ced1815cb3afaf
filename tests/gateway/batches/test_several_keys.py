"""A batch over several keys of the service: they share its rows, and one that is revoked fails none."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from pathlib import Path

import anyio
import pytest

from segmind_async import Limits
from tests.gateway.batches.support import begun, ended, in_state, kept, line, rows

COST = Decimal("0.01")
SECOND = "SG_fedcba9876543210"
ROWS = 40


async def test_the_keys_share_the_rows_of_a_batch(tmp_path: Path) -> None:
    client = {"limits": Limits(max_in_flight=4)}
    async with kept(tmp_path, client=client, accounts={SECOND: 5}, cost=COST, latency=5) as (w, sdk):
        batch = await ended(sdk, await begun(sdk, [line(n) for n in range(ROWS)]))
        assert batch.status == "completed"
        used = Counter(record.key for record in w.emulator.calls)
        spent = [5 - account.balance for account in w.emulator.state.accounts.values()]
        assert len(await rows(sdk, batch.output_file_id)) == ROWS
    assert min(used.values()) > ROWS / 4
    assert spent == [used[key] * COST for key in used]
    assert sum(used.values()) == ROWS


async def test_a_key_that_is_revoked_midway_fails_no_row(tmp_path: Path) -> None:
    client = {"limits": Limits(max_in_flight=4)}
    async with kept(tmp_path, client=client, accounts={SECOND: 5}, cost=COST, latency=5) as (w, sdk):
        batch = await begun(sdk, [line(n) for n in range(ROWS)])
        await in_state(sdk, batch, lambda found: found.request_counts.completed >= ROWS / 4)
        del w.emulator.state.accounts[SECOND]
        batch = await ended(sdk, batch)
        assert (batch.status, batch.error_file_id) == ("completed", None)
        assert len(await rows(sdk, batch.output_file_id)) == ROWS


@pytest.mark.slow
async def test_a_batch_goes_on_with_other_keys_and_then_waits(tmp_path: Path) -> None:
    client = {"limits": Limits(max_in_flight=4)}
    few = 10
    async with kept(
        tmp_path, client=client, accounts={SECOND: few * COST}, balance=few * COST, cost=COST, latency=5
    ) as (w, sdk):
        batch = await begun(sdk, [line(n) for n in range(ROWS)])
        batch = await in_state(sdk, batch, lambda found: found.errors is not None)
        assert batch.request_counts is not None
        assert few < batch.request_counts.completed <= 2 * few
        assert "credits" in str(batch.errors)
        # However long it has waited: it tries again every 5 minutes.
        await anyio.sleep(4 * 3600)
        for key in (w.emulator.key, SECOND):
            w.emulator.state.top_up(5, key)
        began = anyio.current_time()
        batch = await ended(sdk, batch)
        assert batch.status == "completed"
        assert anyio.current_time() - began < 500
        assert len(await rows(sdk, batch.output_file_id)) == ROWS
