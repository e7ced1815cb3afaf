"""The actor class of Ray Data, without Ray: batches of every kind, one client, and the way to a gateway."""

from __future__ import annotations

import asyncio
import gc
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import anyio
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import segmind_async as sa
from segmind_async._jobs.journal import finished
from segmind_async.emulator import Emulator
from segmind_async.engines import ShardJob, ShardStoppedError
from segmind_async.gateway import Gateway, GatewayOptions
from segmind_async.ray import GatewayAddress, GatewaySettings, SegmindMapper, run_dataset
from segmind_async.ray._gateway import options_of
from tests.engines.conftest import emulator
from tests.support import KEY

__all__ = ["emulator"]


def job(folder: Path, **more: Any) -> ShardJob:
    return ShardJob(folder / "journal", prompt="say {text}", **more)


async def mapped(mapper: SegmindMapper, batch: Any) -> Any:
    (found,) = [each async for each in mapper(batch)]
    return found


@pytest.mark.parametrize(
    ("batch", "made"),
    [
        pytest.param({"text": np.array(["a", "b"]), "n": np.array([1, 2])}, pa.Table, id="arrays"),
        pytest.param({"text": np.array(["a", "b"]), "n": np.ones((2, 3))}, pa.Table, id="arrays-of-arrays"),
        pytest.param(pa.table({"text": ["a", "b"], "n": [1, 2]}), pa.Table, id="arrow"),
        pytest.param(pd.DataFrame({"text": ["a", "b"], "n": [1, 2]}), pd.DataFrame, id="pandas"),
    ],
)
async def test_a_batch_of_any_form_comes_back_with_its_answers(
    batch: Any, made: type, emulator: Emulator, tmp_path: Path
) -> None:
    mapper = SegmindMapper(job(tmp_path))
    found = await mapped(mapper, batch)
    assert type(found).__name__ == made.__name__
    assert [str(text) for text in found["result_text"]] == ["echo: say a", "echo: say b"]
    assert len(found["n"]) == 2
    await closed(mapper)


@pytest.mark.parametrize("make", [pa.table, pd.DataFrame])
async def test_of_long_answers_few_are_in_memory_at_once(
    make: Any, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 16 kB of answers at a time, of about 1 kB each.
    monkeypatch.setattr(finished, "_MOST_ANSWERS", 16_000)
    words = [f"{n} " + "long " * 100 for n in range(60)]
    words[7] = words[30]
    mapper = SegmindMapper(job(tmp_path))
    parts = [each async for each in mapper(make({"text": words, "n": list(range(60)), "index": words}))]
    assert len(parts) >= 3
    assert [int(n) for part in parts for n in part["n"]] == list(range(60))
    assert [str(text) for part in parts for text in part["result_text"]] == [
        f"echo: say {word}" for word in words
    ]
    assert len({str(part.schema if make is pa.table else part.dtypes.to_dict()) for part in parts}) == 1
    assert emulator.requests == 59
    await closed(mapper)


async def closed(mapper: SegmindMapper) -> None:
    """End a mapper as Ray does, which only lets go of it; its loop closes the client."""
    client = mapper._client
    del mapper
    gc.collect()
    if client is not None:
        await client.aclose()


async def test_batches_share_one_client_and_one_without_rows_sends_nothing(
    emulator: Emulator, tmp_path: Path
) -> None:
    mapper = SegmindMapper(job(tmp_path))
    empty = await mapped(mapper, pa.table({"text": pa.array([], pa.string())}))
    assert "result_text" in empty.column_names
    assert mapper._client is None
    clients = set()

    async def one(word: str) -> None:
        await mapped(mapper, pa.table({"text": [word]}))
        clients.add(mapper._client)

    async with anyio.create_task_group() as tasks:
        for word in "abc":
            tasks.start_soon(one, word)
    assert len(clients) == 1
    assert emulator.requests == 3
    await closed(mapper)


async def test_a_mapper_that_is_let_go_closes_its_client(emulator: Emulator, tmp_path: Path) -> None:
    mapper = SegmindMapper(job(tmp_path))
    await mapped(mapper, pa.table({"text": ["a"]}))
    client = mapper._client
    assert client is not None
    del mapper
    gc.collect()
    with anyio.fail_after(10):
        while not client._lifetime.closed:
            await asyncio.sleep(0.01)


async def test_a_batch_that_stops_early_is_an_error_for_the_engine(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGMIND_API_KEY", "SG_another")
    mapper = SegmindMapper(job(tmp_path))
    with pytest.raises(ShardStoppedError, match="stopped early"):
        await mapped(mapper, pa.table({"text": ["a"]}))
    await closed(mapper)


async def test_calls_go_through_the_gateway_that_the_door_names(emulator: Emulator, tmp_path: Path) -> None:
    async with (
        sa.SegmindClient(KEY, emulator.url) as client,
        Gateway(client, GatewayOptions(port=0, tokens=["a-long-token"])) as gateway,
    ):
        wrong = SegmindMapper(job(tmp_path), GatewayAddress(gateway.url, "another-token"))
        with pytest.raises(ShardStoppedError, match="token"):
            await mapped(wrong, pa.table({"text": ["a"]}))
        await closed(wrong)
        mapper = SegmindMapper(job(tmp_path), GatewayAddress(gateway.url, "a-long-token"))
        found = await mapped(mapper, pa.table({"text": ["a"]}))
        assert found["result_text"].to_pylist() == ["echo: say a"]
        await closed(mapper)
    assert emulator.requests == 1


@pytest.mark.parametrize(("actors", "bounds"), [(3, (3, 3)), ((1, 8), (1, 8))])
def test_a_dataset_is_mapped_by_actors_that_know_the_gateway(
    actors: int | tuple[int, int],
    bounds: tuple[int, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ray = ModuleType("ray")
    ray.data = SimpleNamespace(ActorPoolStrategy=lambda min_size, max_size: (min_size, max_size))  # type: ignore[attr-defined]  # as Ray has it
    monkeypatch.setitem(sys.modules, "ray", ray)
    given: dict[str, Any] = {}

    class Dataset:
        def map_batches(self, fn: type, **options: Any) -> str:
            given.update(options, fn=fn)
            return "mapped"

    door, work = GatewayAddress("http://10.0.0.7:8800/v1", "a-long-token"), job(tmp_path)
    assert run_dataset(Dataset(), work, gateway=door, concurrency=actors, batch_size=500) == "mapped"
    assert given["fn"] is SegmindMapper
    assert given["compute"] == bounds
    assert "concurrency" not in given
    assert given["fn_constructor_args"] == [work, door]
    assert (given["batch_size"], given["batch_format"]) == (500, "pyarrow")
    assert "a-long-token" not in repr(door)


def test_without_ray_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(sa.ConfigurationError, match=r"pip install 'segmind-async\[ray\]'"):
        run_dataset(object(), job(tmp_path))


def test_each_gateway_has_a_token_of_its_own_and_keeps_its_state_beside_the_journals(tmp_path: Path) -> None:
    first, second = (options_of(GatewaySettings(), tmp_path, "10.0.0.7", 8800) for _ in range(2))
    assert first.budgets[0].token != second.budgets[0].token
    assert first.state == tmp_path / "gateway.db"
    assert str(first.budgets[0].token) not in repr(first)
