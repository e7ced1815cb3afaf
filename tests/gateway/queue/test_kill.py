"""A gateway that is killed between the submissions of a job and its polls."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from segmind_async.emulator import Emulator
from tests.cli.test_serve import serving
from tests.support import KEY
from tests.support import serving as emulating

ROWS, KILLS, SLOTS = 12, 2, 2
COST = Decimal("0.01")
TOKEN = "token-of-the-team"


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills processes")
def test_a_queued_job_through_kills_of_its_gateway(tmp_path: Path) -> None:
    budgets, rows = tmp_path / "budgets.toml", tmp_path / "rows.jsonl"
    budgets.write_text(f'[team]\ntoken = "{TOKEN}"\ncredits = {2 * ROWS * COST}\n')
    rows.write_text("".join(f'{{"id": "r{n}", "prompt": "question {n}"}}\n' for n in range(ROWS)))
    words, port = ["--budgets", str(budgets), "--max-in-flight", str(SLOTS)], "0"
    job: subprocess.Popen[bytes] | None = None
    with emulating(Emulator(cost=COST, latency=2, key=KEY)) as emulator:
        environment = {"SEGMIND_API_KEY": KEY, "SEGMIND_BASE_URL": emulator.url}
        for _ in range(KILLS):
            with serving(*words, "--port", port, emulate=False, **environment) as (process, url):
                port = url.split(":")[2].removesuffix("/v1")
                job = job or started(rows, url)
                before = emulator.requests
                # With all slots taken by what is queued, nothing is being submitted.
                while emulator.requests == before or submissions(tmp_path / "out.jsonl.journal") < SLOTS:
                    time.sleep(0.02)
                process.kill()
        with serving(*words, "--port", port, emulate=False, **environment):
            assert job is not None
            assert job.wait(60) == 0
        billed = emulator.billed()
        spent = 5 - emulator.state.account.balance
    assert billed == Counter(f"question {n}" for n in range(ROWS))
    with closing(sqlite3.connect(tmp_path / "budgets.toml.db")) as book:
        [(units,)] = book.execute("SELECT units FROM spent WHERE budget = 'team'").fetchall()
        assert book.execute("SELECT count(*) FROM sent").fetchone() == (0,)
    assert Decimal(units).scaleb(-10) == spent == ROWS * COST


def started(rows: Path, url: str) -> subprocess.Popen[bytes]:
    output = rows.with_name("out.jsonl")
    command = [
        sys.executable,
        "-m",
        "segmind_async",
        "run",
        str(rows),
        "-o",
        str(output),
        "--yes",
        "--max-in-flight",
        str(SLOTS),
    ]
    environment = {**os.environ, "SEGMIND_BASE_URL": url, "SEGMIND_API_KEY": TOKEN, "SEGMIND_GATEWAY": "1"}
    return subprocess.Popen([*command, "--delivery", "queued"], env=environment, stdout=subprocess.DEVNULL)


def submissions(journal: Path) -> int:
    """Return how many requests of the job are queued, and not answered."""
    try:
        with closing(sqlite3.connect(f"file:{journal}?mode=ro", uri=True)) as database:
            return int(database.execute("SELECT count(*) FROM submissions").fetchone()[0])
    except sqlite3.Error:
        return 0  # it is not there yet
