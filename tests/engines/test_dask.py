"""A job in shards on Dask, the lightest engine."""

from __future__ import annotations

from pathlib import Path

import dask
import dask.bag
import dask.dataframe
import pandas as pd
import pytest

from segmind_async.emulator import Emulator
from segmind_async.engines import read_folder

from .test_shards import job, texts


@pytest.mark.parametrize(
    "scheduler", ["synchronous", "threads", pytest.param("processes", marks=pytest.mark.slow)]
)
def test_a_bag_is_mapped_and_another_number_of_partitions_asks_nothing(
    emulator: Emulator, tmp_path: Path, scheduler: str
) -> None:
    results = []
    for partitions in (3, 4):
        bag = dask.bag.from_sequence(texts(60), npartitions=partitions)  # type: ignore[no-untyped-call]  # dask gives it no types
        answered = bag.map_partitions(job(tmp_path))
        results.append(answered.compute(scheduler=scheduler))
    assert [row["n"] for row in results[0]] == list(range(60))
    assert [row["result_text"] for row in results[1]] == [row["result_text"] for row in results[0]]
    assert {row["result_status"] for row in results[0]} == {"ok"}
    assert emulator.requests == 60
    assert read_folder(tmp_path / "journal").attempts == 60


def test_a_frame_is_mapped_and_no_call_is_made_to_learn_its_columns(
    emulator: Emulator, tmp_path: Path
) -> None:
    whole = job(tmp_path)
    frame = dask.dataframe.from_pandas(pd.DataFrame(texts(30)), npartitions=3)  # type: ignore[no-untyped-call]  # as above
    answered = frame.map_partitions(whole.frame, meta=whole.frame(frame.head(0)))
    assert emulator.requests == 0
    found = answered.compute(scheduler="threads")
    assert list(found["n"]) == list(range(30))
    assert list(found["result_text"]) == [f"echo: Classify: mail {n}" for n in range(30)]
    assert found["result_cost"].sum() == read_folder(tmp_path / "journal").spent
    assert emulator.requests == 30
