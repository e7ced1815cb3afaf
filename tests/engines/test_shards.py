"""A job in shards: however its rows are divided, and whatever is killed, nothing that was answered is asked again."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import pickle
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio.to_thread
import pytest
from pydantic import BaseModel

import segmind_async as sa
from segmind_async._jobs.journal.journal import Journal
from segmind_async._jobs.journal.lock import Lock
from segmind_async._jobs.journal.reader import JournalReader
from segmind_async._jobs.journal.record import Record
from segmind_async._jobs.known_rows import keyed
from segmind_async._jobs.report.shards import read_shards
from segmind_async._jobs.rows import Row as JobRow
from segmind_async._jobs.rows import rows_made
from segmind_async.emulator import Emulator, FunctionBrain, faults
from segmind_async.engines import ShardJob, ShardStoppedError, read_folder, run_shard
from segmind_async.engines._answered import take_answers
from segmind_async.engines._index import AnswerIndex
from tests.jobs.processes import wait_for
from tests.support import KEY

Row = dict[str, Any]


def texts(count: int) -> list[Row]:
    return [{"text": f"mail {n}", "n": n} for n in range(count)]


def shards(rows: list[Row], size: int) -> list[list[Row]]:
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def job(folder: Path, **more: Any) -> ShardJob:
    return ShardJob(folder / "journal", prompt="Classify: {text}", **more)


def run_all(rows: list[Row], size: int, with_job: ShardJob) -> list[dict[str, object]]:
    return [row for shard in shards(rows, size) for row in run_shard(shard, with_job)]


def test_answers_stand_beside_all_columns_of_the_input(emulator: Emulator, tmp_path: Path) -> None:
    found = list(run_shard(iter(texts(300)), job(tmp_path)))
    assert [(row["n"], row["text"]) for row in found] == [(n, f"mail {n}") for n in range(300)]
    assert {row["result_status"] for row in found} == {"ok"}
    assert all(str(row["result_text"]).endswith(f"mail {row['n']}") for row in found)
    assert sum(Decimal(str(row["result_cost"])) for row in found) == read_folder(tmp_path / "journal").spent
    assert emulator.requests == 300


@pytest.mark.slow
def test_another_division_into_shards_asks_nothing_again(emulator: Emulator, tmp_path: Path) -> None:
    rows = texts(60)
    first = run_all(rows, 20, job(tmp_path))
    spent = read_folder(tmp_path / "journal").spent
    again = run_all(list(reversed(rows)), 13, job(tmp_path))
    assert emulator.requests == 60
    assert [row["result_text"] for row in reversed(again)] == [row["result_text"] for row in first]
    totals = read_folder(tmp_path / "journal")
    assert (totals.shards, totals.spent, totals.attempts) == (3 + 5, spent, 60)
    assert {row["result_cost"] for row in again} == {Decimal(0)}
    run_all([*rows, {"text": "new", "n": 60}], 30, job(tmp_path))
    assert emulator.requests == 61


@pytest.mark.parametrize("order", ["ab", "ba"])
async def test_an_answer_of_one_shard_counts_more_than_a_failure_of_another(
    order: str, tmp_path: Path
) -> None:
    made = job(tmp_path)

    def rows() -> Iterator[JobRow]:
        return rows_made([{"text": "x"}], made.make_request())

    digest = keyed(next(rows()))[1]
    for place, status in zip(order, ("failed", "ok"), strict=True):
        with Journal(tmp_path / f"{place}.journal", made.settings) as journal:
            await journal.keep(Record(f"request {digest.hex()}", digest, status))
    with AnswerIndex(tmp_path) as index:
        await take_answers(tmp_path / "c.journal", made.settings, made.options, rows, index)
    with JournalReader(tmp_path / "c.journal") as reader:
        assert [record.status for record in reader.rows()] == ["ok"]


def test_what_a_shard_takes_from_others_adds_nothing_to_the_sums(emulator: Emulator, tmp_path: Path) -> None:
    run_all(texts(6), 3, job(tmp_path))
    before = read_folder(tmp_path / "journal")
    run_all(texts(6), 2, job(tmp_path))
    after = read_folder(tmp_path / "journal")
    assert emulator.requests == 6
    assert (after.spent, after.attempts, after.in_doubt) == (before.spent, 6, 0)


def test_a_file_that_is_no_journal_is_left_out_and_named(
    emulator: Emulator, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_all(texts(2), 2, job(tmp_path))
    (path,) = (tmp_path / "journal").rglob("*.journal")
    foreign = path.with_name("x.journal")
    foreign.write_bytes(b"no database, but long enough to be read as one" * 30)
    assert statuses(run_shard(texts(3), job(tmp_path))) == ["ok"] * 3
    assert emulator.requests == 3
    totals, report = read_folder(tmp_path / "journal"), read_shards(tmp_path / "journal")
    assert (totals.shards, totals.unreadable, totals.attempts) == (2, 1, 3)
    assert report.state == "2 of 2 shards finished, 1 journals cannot be read"
    assert report.counts["ok"] == 3
    assert "x.journal" in caplog.text
    for path in (tmp_path / "journal").rglob("*.journal"):
        path.write_bytes(foreign.read_bytes())
    for read in (read_folder, read_shards):
        with pytest.raises(sa.JournalError, match="cannot be read"):
            read(tmp_path / "journal")


def test_a_damaged_answer_of_another_shard_is_asked_again_once(emulator: Emulator, tmp_path: Path) -> None:
    run_all(texts(6), 3, job(tmp_path))
    path = min((tmp_path / "journal").rglob("*.journal"))
    with sqlite3.connect(path) as database:
        database.execute("UPDATE answers SET raw = x'7b7d' WHERE number = 2")
    database.close()
    assert statuses(run_shard(texts(6), job(tmp_path))) == ["ok"] * 6
    assert emulator.requests == 7
    run_all(texts(6), 2, job(tmp_path))
    assert emulator.requests == 7
    assert read_shards(tmp_path / "journal").counts["ok"] == 7


def test_a_report_is_of_all_shards_and_counts_an_answer_where_it_was_paid(
    emulator: Emulator, tmp_path: Path
) -> None:
    folder, rows = tmp_path / "journal", [*texts(60), {"other": 1}]
    with pytest.raises(sa.JournalError, match="holds no journal"):
        read_shards(tmp_path)
    run_all(rows, 20, job(tmp_path))
    run_all(list(reversed(rows)), 30, job(tmp_path))
    found = read_shards(folder)
    assert found.counts == {"ok": 60, "failed": 0}
    assert (found.totals.attempts, found.totals.spent) == (60, read_folder(folder).spent)
    assert found.settings["model"] == "gpt-5.4-mini"
    assert found.state == "7 of 7 shards finished"
    assert found.latency is not None
    assert sum(one.count for one in found.latency.bins) == 60
    assert {str(row.answer) for row in found.dearest} <= {f"echo: Classify: mail {n}" for n in range(60)}
    assert found.worked <= (found.ended_at or 0) - (found.begun_at or 0)
    (path, *_) = sorted(folder.rglob("*.journal"))
    lock = Lock(path.with_name(path.name + ".lock"))
    assert lock.take() is None
    try:
        running = read_shards(folder)
        assert (running.state, running.owner) == ("running, 1 of 7 shards", f"process {os.getpid()}")
    finally:
        lock.release()


def test_a_report_of_several_models_has_the_settings_that_are_equal(
    emulator: Emulator, tmp_path: Path
) -> None:
    for model in ("gpt-5.4-mini", "gpt-5.4-nano"):
        list(run_shard(texts(3), job(tmp_path, model=model)))
    found = read_shards(tmp_path / "journal")
    assert "model" not in found.settings
    assert found.settings["dedupe"] is True
    assert found.counts["ok"] == 6


def test_equal_requests_share_an_answer_that_is_counted_once(emulator: Emulator, tmp_path: Path) -> None:
    rows: list[Row] = [{"text": "same", "n": 0}, {"text": "same", "n": 1}]
    first, second = run_shard(rows, job(tmp_path))
    assert emulator.requests == 1
    assert first["result_text"] == second["result_text"]
    assert (first["n"], second["n"], second["result_cost"]) == (0, 1, 0)


def test_a_changed_model_or_schema_is_another_folder_inside(emulator: Emulator, tmp_path: Path) -> None:
    for model in ("gpt-5.4-mini", "gpt-5.4-nano"):
        list(run_shard(texts(3), job(tmp_path, model=model)))
    assert emulator.requests == 6
    assert len(list((tmp_path / "journal").iterdir())) == 2


class Kind(BaseModel):
    kind: str


def test_parsed_answers_are_json(emulator: Emulator, tmp_path: Path) -> None:
    emulator.brain = FunctionBrain(lambda _: '{"kind": "spam"}')
    (row,) = run_shard(texts(1), job(tmp_path, parse=Kind))
    assert json.loads(str(row["result_parsed"])) == {"kind": "spam"}


def test_a_row_without_the_column_fails_alone(emulator: Emulator, tmp_path: Path) -> None:
    first, second = run_shard([{"other": 1}, {"text": "good"}], job(tmp_path))
    assert (first["result_status"], second["result_status"]) == ("failed", "ok")
    assert "row 1: no column 'text' among 'other'" in str(first["result_error"])


def test_a_shard_that_stops_early_raises_and_goes_on_when_it_is_run_again(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEGMIND_API_KEY", "SG_another")
    with pytest.raises(ShardStoppedError, match=r"stopped early: .*401"):
        list(run_shard(texts(5), job(tmp_path)))
    rows = list(run_shard(texts(5), job(tmp_path, yield_unsent=True)))
    assert len(rows) == 5
    assert "ok" not in {row["result_status"] for row in rows}
    monkeypatch.setenv("SEGMIND_API_KEY", KEY)
    assert {row["result_status"] for row in run_shard(texts(5), job(tmp_path))} == {"ok"}


def test_a_shard_that_stopped_early_takes_what_another_division_has_answered_since(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, whole = texts(12), job(tmp_path)
    for shard in shards(rows, 4):
        stop_early(shard, whole, monkeypatch)
    refused = emulator.requests
    run_all(rows, 3, whole)
    assert {row["result_status"] for row in run_all(rows, 4, whole)} == {"ok"}
    assert emulator.requests - refused == 12


def test_a_row_of_two_shards_that_stopped_early_is_asked_once(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [[{"text": "same"}, {"text": "a"}], [{"text": "same"}, {"text": "b"}]]
    for shard in both:
        stop_early(shard, job(tmp_path), monkeypatch)
    refused = emulator.requests
    for shard in both:
        assert statuses(run_shard(shard, job(tmp_path))) == ["ok", "ok"]
    assert emulator.requests - refused == 3


def stop_early(shard: list[Row], with_job: ShardJob, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a shard with a key that is refused."""
    with monkeypatch.context() as patched, pytest.raises(ShardStoppedError):
        patched.setenv("SEGMIND_API_KEY", "SG_another")
        list(run_shard(shard, with_job))


def test_a_failed_row_that_is_retried_takes_an_answer_that_another_division_has(
    emulator: Emulator, tmp_path: Path
) -> None:
    retried = job(tmp_path, retry_failed=True)
    emulator.script(faults.status(400))
    rows = texts(1)
    assert statuses(run_shard(rows, job(tmp_path))) == ["failed"]
    assert statuses(run_shard(texts(2), retried)) == ["ok", "ok"]
    assert statuses(run_shard(rows, job(tmp_path))) == ["failed"]
    assert statuses(run_shard(rows, retried)) == ["ok"]
    assert statuses(run_shard(rows, job(tmp_path))) == ["ok"]
    assert emulator.requests == 3
    assert read_folder(tmp_path / "journal").attempts == 3


def statuses(rows: Iterator[dict[str, object]]) -> list[object]:
    return [row["result_status"] for row in rows]


@pytest.mark.parametrize("retry_failed", [False, True])
def test_a_shard_that_has_its_answers_looks_none_up(
    retry_failed: bool, emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    list(run_shard(texts(3), job(tmp_path)))
    monkeypatch.setattr(AnswerIndex, "refresh", lambda _: pytest.fail("the index was read"))
    monkeypatch.setattr(AnswerIndex, "find", lambda *_: pytest.fail("rows were looked up"))
    assert statuses(run_shard(texts(3), job(tmp_path, retry_failed=retry_failed))) == ["ok"] * 3


def test_an_answer_that_was_damaged_is_taken_from_another_shard(emulator: Emulator, tmp_path: Path) -> None:
    run_all(texts(4), 2, job(tmp_path))
    list(run_shard(texts(4), job(tmp_path)))
    whole = max((tmp_path / "journal").rglob("*.journal"), key=rows_in)
    with sqlite3.connect(whole) as database:
        database.execute("UPDATE answers SET raw = x'7b7d' WHERE number = 3")
    database.close()
    assert statuses(run_shard(texts(4), job(tmp_path))) == ["ok"] * 4
    assert emulator.requests == 4


@pytest.mark.slow
def test_the_same_shard_at_the_same_time_is_sent_once(emulator: Emulator, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: list(run_shard(texts(20), job(tmp_path))), range(4)))
    assert emulator.requests == 20
    assert all(result == results[0] for result in results)


def test_a_shard_that_another_task_keeps_is_an_error_at_last(emulator: Emulator, tmp_path: Path) -> None:
    list(run_shard(texts(1), job(tmp_path)))
    (path,) = (tmp_path / "journal").rglob("*.journal")
    lock = Lock(path.with_name(path.name + ".task"))
    assert lock.take() is None
    try:
        with pytest.raises(sa.JournalError, match=f"process {os.getpid()} has run the shard"):
            list(run_shard(texts(1), job(tmp_path, wait=0.0)))
    finally:
        lock.release()


def test_a_journal_that_another_task_is_just_making_is_passed_over(
    emulator: Emulator, tmp_path: Path
) -> None:
    list(run_shard(texts(1), job(tmp_path)))
    (path,) = (tmp_path / "journal").rglob("*.journal")
    path.with_name("made.journal").touch()
    assert [row["result_status"] for row in run_shard(texts(2), job(tmp_path))] == ["ok", "ok"]
    assert emulator.requests == 2
    assert read_folder(tmp_path / "journal").counts == {"ok": 3}


def test_copying_that_was_cut_off_is_done_again_without_doubles(emulator: Emulator, tmp_path: Path) -> None:
    run_all(texts(4), 1, job(tmp_path))
    list(run_shard(texts(4), job(tmp_path)))
    whole = max((tmp_path / "journal").rglob("*.journal"), key=rows_in)
    with sqlite3.connect(whole) as database:
        database.execute("DELETE FROM rows WHERE number > 2")
        database.execute("DELETE FROM answers WHERE number > 2")
    database.close()
    list(run_shard(texts(4), job(tmp_path)))
    assert rows_in(whole) == 4
    assert emulator.requests == 4


def rows_in(path: Path) -> int:
    database = sqlite3.connect(path)
    try:
        (count,) = database.execute("SELECT count(*) FROM rows").fetchone()
    finally:
        database.close()
    return int(count)


async def test_it_works_where_a_loop_runs(emulator: Emulator, tmp_path: Path) -> None:
    assert len(job(tmp_path)(texts(2))) == 2
    rows = await anyio.to_thread.run_sync(job(tmp_path), texts(2))
    assert len(rows) == 2


def test_what_cannot_work_is_refused_before_anything_is_sent(emulator: Emulator, tmp_path: Path) -> None:
    with pytest.raises(
        sa.ConfigurationError, match="row 2 has a column 'result_text'; choose another prefix"
    ):
        list(run_shard([{"text": "a"}, {"text": "b", "result_text": ""}], job(tmp_path)))
    rows: Any = [{"text": "a"}, "b"]
    with pytest.raises(sa.ConfigurationError, match="row 2 is a str, and no mapping of columns to values"):
        list(run_shard(rows, job(tmp_path)))
    with pytest.raises(sa.ConfigurationError, match="would bound each shard"):
        job(tmp_path, sending={"max_credits": 1})
    with pytest.raises(sa.ConfigurationError, match="does not take 'max_credit'; it takes floor, "):
        job(tmp_path, sending={"max_credit": 1})
    with pytest.raises(sa.ConfigurationError, match="not a plain column name"):
        ShardJob(tmp_path, prompt="{text.__class__}")
    with pytest.raises(sa.JournalError, match="holds no journal"):
        read_folder(tmp_path)
    assert emulator.requests == 0


def test_no_rows_are_no_shard(emulator: Emulator, tmp_path: Path) -> None:
    assert job(tmp_path)([]) == []
    assert not (tmp_path / "journal").exists()


def test_a_job_can_be_pickled_and_holds_no_key(emulator: Emulator, tmp_path: Path) -> None:
    whole = job(tmp_path, parse=Kind, limits=sa.Limits(max_in_flight=3))
    pickled = pickle.dumps(whole)
    assert pickle.loads(pickled) == whole
    assert KEY.encode() not in pickled


def work(block: list[Row], folder: Path) -> None:
    list(run_shard(block, job(folder, limits=sa.Limits(max_in_flight=4))))


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills processes")
def test_workers_that_are_killed_pay_twice_at_most_what_was_in_flight(
    emulator: Emulator, tmp_path: Path
) -> None:
    rows, spawn = texts(240), multiprocessing.get_context("spawn")
    for kill in range(1, 4):
        workers = [spawn.Process(target=work, args=(block, tmp_path)) for block in shards(rows, 80)]
        for worker in workers:
            worker.start()
        wait_for(emulator, 50 * kill)
        for worker in workers:
            os.kill(worker.pid or 0, signal.SIGKILL)
            worker.join()
            worker.close()
    found = run_all(rows, 48, job(tmp_path))
    assert [row["n"] for row in found] == list(range(240))
    assert {row["result_status"] for row in found} == {"ok"}
    assert 240 <= emulator.requests <= 240 + 3 * 3 * 4


def test_a_full_disk_is_named_before_anything_is_sent(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(ShardStoppedError, match=r"cannot be written: .*No space left.*\.journal\.reserve'"):
        list(run_shard(texts(3), job(tmp_path)))
    assert emulator.requests == 0
    monkeypatch.undo()
    monkeypatch.setenv("SEGMIND_API_KEY", KEY)
    monkeypatch.setenv("SEGMIND_BASE_URL", emulator.url)
    assert {row["result_status"] for row in run_shard(texts(3), job(tmp_path))} == {"ok"}


def test_an_index_that_cannot_be_written_fails_no_shard(
    emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_index: AnswerIndex, _journal: Path) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(AnswerIndex, "finish", refuse)
        assert len(list(run_shard(texts(3), job(tmp_path)))) == 3
    assert len(list(run_shard(texts(4), job(tmp_path)))) == 4
    assert emulator.requests == 4


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="mounts a small disk")
def test_a_shard_on_a_disk_that_fills_stops_and_its_retry_elsewhere_asks_nothing_twice(
    emulator: Emulator, tmp_path: Path
) -> None:
    small, rows = tmp_path / "small", [{"text": f"{n} " + "x" * 4000} for n in range(2000)]
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(small)]
    if os.geteuid() or subprocess.run(mount, check=False).returncode:
        pytest.skip("needs to mount a small disk")
    try:
        with pytest.raises(ShardStoppedError, match="cannot be written: database or disk is full"):
            list(run_shard(rows, job(small, limits=sa.Limits(8))))
        asked = emulator.requests
        with pytest.raises(ShardStoppedError, match="No space left"):
            list(run_shard(rows, job(small, limits=sa.Limits(8))))
        assert emulator.requests == asked
        shutil.copytree(small / "journal", tmp_path / "journal")
    finally:
        subprocess.run(["umount", str(small)], check=True)
    assert 100 < asked < 2000
    again = list(run_shard(rows[1000:], job(tmp_path))) + list(run_shard(rows[:1000], job(tmp_path)))
    assert {row["result_status"] for row in again} == {"ok"}
    assert emulator.requests == 2000
