"""Crashes and failing disks, as SQLite tests them: at every step, and at random moments."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from segmind_async._jobs.journal.journal import Journal
from segmind_async._jobs.journal.reader import JournalReader
from segmind_async.emulator import Emulator
from tests.support import KEY, serving

from . import crash
from .nursery import Nursery

HERE = Path(__file__).parent
STRIDE = int(os.environ.get("CRASH_STRIDE", "5"))
"""Writes from one that fails to the next; odd, so that those that fail once and for good take turns.
`make crash` lets each of them fail."""

pytestmark = pytest.mark.skipif(os.name != "posix", reason="forks and signals")


@pytest.mark.slow
def test_killed_at_30_moments_each_row_is_there_once() -> None:
    tally = crash.kill_often(30, "direct", 1, longest=0.3, rows=160)
    print(tally)
    assert tally.kills == 30
    assert tally.twice <= tally.kills * crash.SLOTS


@pytest.mark.slow
def test_killed_at_10_moments_queued_rows_are_hardly_ever_paid_twice() -> None:
    tally = crash.kill_often(10, "queued", 2, longest=1.2, rows=24)
    print(tally)
    assert tally.kills == 10
    # A kill pays a row twice only in the instant between a receipt and the id's being on the disk.
    assert tally.twice <= tally.kills


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None or os.uname().sysname != "Linux":
        pytest.skip("needs a C compiler, to make a disk that fails")
    library = tmp_path_factory.mktemp("shim") / "failing_disk.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", library, HERE / "failing_disk.c", "-ldl"], check=True
    )
    return library


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with serving(Emulator(latency=0.001, balance=10_000, key=KEY)) as running:
        yield running


def results(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "last", "delivery"),
    [("write", 40, "direct"), ("sync", 24, "direct"), ("truncate", 8, "direct"), ("sync", 8, "queued")],
)
def test_whichever_write_or_sync_fails_nothing_is_lost(
    tmp_path: Path, shim: Path, emulator: Emulator, kind: str, last: int, delivery: str
) -> None:
    rows = 4 if delivery == "queued" else 20
    environment = {"SEGMIND_BASE_URL": emulator.url, "SEGMIND_API_KEY": KEY, "LD_PRELOAD": str(shim)}
    with Nursery(tmp_path, **environment) as nursery:
        codes: set[int] = set()
        for nth in range(1, last + 1, STRIDE):
            folder = tmp_path / f"{nth}"
            folder.mkdir()
            crash.write_rows(folder / "in.jsonl", rows)
            emulator.billed().clear()
            argv = [
                "run", str(folder / "in.jsonl"), "-o", str(folder / "out.jsonl"), "--max-in-flight", "4",
                "--delivery", delivery,
            ]  # fmt: skip
            # Once, or for as long as it takes to see that the disk is not to be had.
            code, said = nursery.run(*argv, plan=(kind, nth, 1 if nth % 2 else 10_000))
            codes.add(code)
            assert "Traceback" not in said, said
            paid = emulator.billed().total()
            code, said = nursery.run(*argv)
            if code == 2:
                # It failed while the journal was being made: nothing was sent, and it says what to do.
                assert paid == 0, said
                assert "delete it to begin anew" in said, said
                (folder / "out.jsonl.journal").unlink()
                code, said = nursery.run(*argv)
            assert code == 0, said
            assert [row["text"] for row in results(folder)] == [f"echo: row {n}" for n in range(rows)]
            assert emulator.billed().total() - rows <= 4, (
                "no more than was in flight when the disk failed for good"
            )
        assert codes & {2, 5}, "the disk failed where it should"
        assert codes <= {0, 2, 5}


@pytest.mark.slow
def test_a_full_disk_keeps_what_was_in_flight(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if (
        os.geteuid()
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", small], check=False).returncode
    ):
        pytest.skip("needs to mount a small disk")
    try:
        filled, emulated = _fill(small, tmp_path)
    finally:
        subprocess.run(["umount", small], check=True)
    assert filled == emulated


def _fill(small: Path, folder: Path) -> tuple[int, int]:
    crash.write_rows(folder / "in.jsonl", 400)
    with serving(Emulator(latency=0.02, balance=10_000, key=KEY)) as emulator:
        emulator.brain = _LongAnswers()
        environment = {"SEGMIND_BASE_URL": emulator.url, "SEGMIND_API_KEY": KEY}
        with Nursery(folder, **environment) as nursery:
            argv = [
                "run", str(folder / "in.jsonl"), "-o", str(folder / "out.jsonl"),
                "--journal", str(small / "j.journal"), "--max-in-flight", "8",
            ]  # fmt: skip
            code, said = nursery.run(*argv)
            assert code == 5, said
            assert "the journal cannot be written" in said, said
            assert "the same command resumes the job" in said, said
            with JournalReader(small / "j.journal") as journal:
                kept = journal.counts()["ok"]
            assert 20 < kept < 400
            sent = emulator.billed().total()
            shutil.move(small / "j.journal", folder / "j.journal")
            argv[argv.index("--journal") + 1] = str(folder / "j.journal")
            code, said = nursery.run(*argv)
            assert code == 0, said
            assert len(results(folder)) == 400
            assert set(emulator.billed().values()) == {1}
    return kept, sent


class _LongAnswers:
    def answer(self, question: Any) -> str:
        return f"{question.prompt} " * 4000


@pytest.mark.slow
def test_two_processes_never_work_on_one_journal(tmp_path: Path, emulator: Emulator) -> None:
    crash.write_rows(tmp_path / "in.jsonl", 5)
    argv = ["run", str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "out.jsonl")]
    settings = {
        "model": "gpt-5.4-mini",
        "delivery": "direct",
        "emulate": False,
        "prompt": None,
        "system": None,
    }
    environment = {"SEGMIND_BASE_URL": emulator.url, "SEGMIND_API_KEY": KEY}
    with Nursery(tmp_path, **environment) as nursery:
        with Journal(tmp_path / "out.jsonl.journal", settings):
            code, said = nursery.run(*argv)
        assert code == 2
        assert f"process {os.getpid()} is working on this journal" in said
        assert nursery.run(*argv)[0] == 0
