"""A gateway over several keys: its callers see one service."""

from __future__ import annotations

from collections import Counter

import anyio

from .support import world

SECOND = "SG_fedcba9876543210"


async def test_callers_are_served_by_all_keys_and_a_revoked_one_fails_none() -> None:
    async with world(accounts={SECOND: 5}, cost="0.01", latency=1.0) as w:
        statuses: Counter[int] = Counter()

        async def calls(name: str) -> None:
            for n in range(6):
                statuses[(await w.chat(f"{name} {n}")).status] += 1
                if (name, n) == ("a", 2):
                    del w.emulator.state.accounts[SECOND]

        async with anyio.create_task_group() as tasks:
            for name in "abcd":
                tasks.start_soon(calls, name)
        used = Counter(record.key for record in w.emulator.calls)
        assert min(used[w.emulator.key], used[SECOND]) >= 4
    assert statuses == {200: 24}


async def test_the_metrics_have_the_figures_of_each_key() -> None:
    async with world(accounts={SECOND: 3}, cost="0.01", latency=1.0) as w:
        for n in range(4):
            await w.chat(str(n))
        del w.emulator.state.accounts[SECOND]
        await w.chat("5")
        await w.chat("6")
        async with w.session.get(w.gateway.url.removesuffix("/v1") + "/metrics") as response:
            metrics = await response.text()
        assert 'segmind_key_in_use{key="…cdef"} 1' in metrics
        assert 'segmind_key_in_use{key="…3210"} 0' in metrics
        assert 'segmind_key_balance_credits{key="…3210"} 2.98' in metrics
        assert w.emulator.key not in metrics
        assert SECOND not in metrics


async def test_the_credits_of_all_keys_are_told_as_one_sum() -> None:
    async with world(accounts={SECOND: 3}) as w:
        assert (await (await w.get("/credits")).json())["total"] == "8"
