"""The files of a folder as shards: each writes its results, also one whose rows another task is sending."""

from __future__ import annotations

import csv
import logging
from pathlib import Path

import anyio
import pytest

from segmind_async._jobs.files.input_files import files_in
from segmind_async._jobs.files.output_files import Output
from segmind_async._jobs.journal.lock import Lock
from segmind_async._jobs.report.row_counts import JobReport
from segmind_async.emulator import Emulator
from segmind_async.engines import ShardJob
from segmind_async.engines._file_shard import FileShard


@pytest.fixture
def twins(tmp_path: Path) -> tuple[FileShard, FileShard]:
    """Two files with the same three rows."""
    (tmp_path / "in").mkdir()
    for name in ("a.csv", "b.csv"):
        (tmp_path / "in" / name).write_text("text\none\ntwo\nthree\n")
    job = ShardJob(tmp_path / "journals", prompt="Classify: {text}", yield_unsent=True)
    first, second = files_in(tmp_path / "in")
    return FileShard(job, first, 0, Output(tmp_path / "out")), FileShard(
        job, second, 3, Output(tmp_path / "out")
    )


def task_lock(folder: Path) -> Lock:
    (path,) = folder.rglob("*.journal")
    return Lock(path.with_name(path.name + ".task"))


async def test_a_file_whose_rows_another_task_is_sending_waits_for_it_however_long(
    emulator: Emulator,
    twins: tuple[FileShard, FileShard],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    one, other = twins
    await one._run(None, None)
    lock, reports = task_lock(tmp_path), list[JobReport]()
    assert lock.take() is None

    async def run() -> None:
        reports.append(await other._run(None, None))

    with caplog.at_level(logging.INFO):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            await anyio.sleep(24 * 3600)
            assert not reports
            lock.release()
    (report,) = reports
    assert (report.counts["ok"], report.resumed, emulator.requests) == (3, 3, 3)
    with (tmp_path / "out" / "b.csv").open(newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["ok"] * 3
    assert caplog.text.count("a shard waits for another task that runs it") == 1


async def test_a_file_that_waits_can_be_cancelled(
    emulator: Emulator, twins: tuple[FileShard, FileShard], tmp_path: Path
) -> None:
    one, other = twins
    await one._run(None, None)
    lock = task_lock(tmp_path)
    assert lock.take() is None
    with anyio.move_on_after(60) as waited:
        await other._run(None, None)
    assert waited.cancelled_caught
    lock.release()
    assert lock.take() is None, "the shard is free"
    lock.release()
    assert not (tmp_path / "out" / "b.csv").exists()
    assert emulator.requests == 3
