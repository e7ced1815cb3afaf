"""`report`: what it prints, in which form, for whom; also of a job that another process runs."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import anyio
import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from segmind_async._jobs.journal.journal import Journal
from segmind_async._jobs.journal.record import Record
from segmind_async._jobs.progress import KeyUse
from segmind_async._jobs.report.report import read_report
from segmind_async._text.wait_reasons import Wait, WaitReason
from segmind_async.cli import app
from segmind_async.cli.page.html import page
from segmind_async.cli.report_command import show
from segmind_async.emulator import Emulator
from segmind_async.models import KeyStatistics
from tests.jobs.journals import Story, fill, progress
from tests.jobs.processes import command, numbered, write
from tests.support import serving

EVIL = "[bold red]x[/]\x1b]0;owned\x07\x1b[2J\r\n\u202e"
TOPICS = ("billing", "shipping", "returns", "account", "technical", "other", "praise")


def call(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def shown(path: Path, width: int, **options: Any) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False, **options)
    show(read_report(path), console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "mails.jsonl.journal"
    anyio.run(fill, path, Story())
    return path


def test_a_report_sums_a_job_up(journal: Path) -> None:
    lines = shown(journal, 120)
    assert lines[:6] == [
        "job       mails.jsonl · finished · gpt-5.4-mini · 2 runs · 2026-05-28 21:26 to 22:27 UTC",
        "rows      587 ok · 13 failed · 1 invalid · 0 to go",
        "credits   0.3508 spent · 0.5976 a thousand rows · 0.8492 left (floor 0.2)",
        "time      46 s of work · 13.2 a second",
        "sending   614 attempts · 3 × 429 · 2 maybe paid twice · limit 64 in flight, at most 1 000 calls a minute",
        "latency   p50 3.1 s · p95 7.5 s · p99 10 s",
    ]
    text = "\n".join(lines)
    assert "1–2 s  ██" in text
    assert "errors    7 × BadRequestError" in text
    assert "of 587 rows whose label is known · 13 got no label" in text
    for kind in ("failed", "misjudged", "slowest", "dearest"):
        assert sum(line.startswith(kind) for line in lines) == 1


def test_a_folder_of_shards_is_one_report(tmp_path: Path) -> None:
    (tmp_path / "mails").mkdir()
    for name in ("a", "b"):
        anyio.run(fill, tmp_path / "mails" / f"{name}.journal", Story())
    got = call("report", str(tmp_path / "mails"), "--html", str(tmp_path / "page.html"))
    assert (got.exit_code, got.stdout) == (0, "")
    assert "2 of 2 shards finished" in (tmp_path / "page.html").read_text()
    lines = call("report", str(tmp_path / "mails")).stdout.splitlines()
    assert lines[0].startswith(
        "job       mails · 2 of 2 shards finished · gpt-5.4-mini · 2 runs · 2026-05-28"
    )
    assert lines[1] == "rows      1 174 ok · 26 failed"
    assert lines[2].startswith("credits   0.7016 spent · 0.5976 a thousand rows")
    assert lines[3].startswith("time      46 s of work")
    (tmp_path / "nothing").mkdir()
    assert "no journal of a shard" in call("report", str(tmp_path / "nothing")).stderr


async def test_each_of_several_keys_has_a_line(tmp_path: Path) -> None:
    keys = tuple(KeyUse(name, Decimal(spent), limited) for name, spent, limited in _USES)
    states = tuple(
        KeyStatistics(name, state, balance=balance)
        for (name, *_), (state, balance) in zip(_USES, _STATES, strict=True)
    )
    record = Record("id 1", b"1", "ok", units=9 * 10**10, attempts=1)
    with Journal(tmp_path / "j", {}) as journal:
        await journal.keep(record)
        told = progress(elapsed=2.0, keys=keys)
        told = replace(told, statistics=replace(told.statistics, keys=states))
        journal.sample(1.8e9, told.as_json()).result()
    lines = shown(tmp_path / "j", 120)
    assert lines[3:6] == [
        "keys      …aaaa: 5.0000 spent · 1.5000 left · 1 200 × 429 · in use",
        "          …bbbb: 3.0000 spent · balance unknown",
        "          with keys that were not recorded: 1.0000 spent",
    ]
    html = page(read_report(tmp_path / "j"))
    assert "<h2>Keys</h2>" in html
    assert "…bbbb" in html
    assert "not recorded" in html


_USES = (("…aaaa", "5", 1200), ("…bbbb", "3", 0))
_STATES = (("in use", Decimal("1.5")), ("balance unknown", None))


def test_a_running_job_says_what_it_is_at(tmp_path: Path) -> None:
    before = progress(
        elapsed=50.0, total=1000, ok=100, attempts=100, spent=Decimal("0.1"), balance=Decimal("5.1")
    )
    now = progress(
        before, elapsed=60.0, ok=200, attempts=200, spent=Decimal("0.2"), balance=Decimal(5), held=Decimal("0.05"),
        floor=Decimal(4), in_flight=40, limit=64, waiting=9, wait=Wait(WaitReason.PACE, left=2.5), requests_per_minute=600.0,
    )  # fmt: skip
    with Journal(tmp_path / "j", {}) as journal:
        for snapshot in (before, now):
            journal.sample(1.8e9, snapshot.as_json()).result()
        lines = shown(tmp_path / "j", 120)
    assert lines[0].startswith(f"job       j · running, by process {os.getpid()} · ")
    assert lines[1:5] == [
        "rows      0 ok · 0 failed · 800 to go",
        "credits   0 spent · 0.0500 held · 5.0000 left (floor 4)",
        "time      1:00 min of work · 0.0 a second · about 1:20 min to go · no credits left to spend in 1:40 min",
        "sending   0 attempts · 40 of 64 in flight, 9 waiting: the pace allows the next start in 3 s, at most 600 calls a minute",
    ]


@pytest.mark.parametrize("width", [40, 80, 120, 200])
@pytest.mark.parametrize("labels", [(), ("spam", "ham"), TOPICS], ids=["none", "two", "seven"])
async def test_no_line_is_longer_than_the_terminal_is_wide(
    tmp_path: Path, width: int, labels: tuple[str, ...]
) -> None:
    await fill(tmp_path / "j", Story(rows=200, labels=labels))
    lines = shown(tmp_path / "j", width)
    assert max(map(len, lines)) <= width
    # What a job has cost and still needs is wrapped, never cut.
    assert "(floor 0.2)" in " ".join(" ".join(lines).split())


async def test_a_matrix_is_shown_where_it_fits(tmp_path: Path) -> None:
    await fill(tmp_path / "j", Story(rows=200, labels=TOPICS))
    assert "right ↓ given →" in "\n".join(shown(tmp_path / "j", 160))
    narrow = "\n".join(shown(tmp_path / "j", 80))
    assert "given →" not in narrow
    assert "precision" in narrow


async def test_a_journal_without_rows_has_a_report_too(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", {}):
        pass
    assert shown(tmp_path / "j", 80)[1:3] == ["rows      0 ok · 0 failed", "credits   0 spent"]


async def test_nothing_of_what_others_wrote_can_steer_a_terminal(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", {"model": EVIL, "labels": [EVIL, "b"]}) as journal:
        fields: dict[str, Any] = {"excerpt": EVIL, "truth": EVIL, "seconds": 1.0, "units": 5, "row_index": 0}
        await journal.keep(Record(f"id {EVIL}", b"", "failed", error_type=EVIL, message=EVIL, **fields))
        await journal.keep(Record("id 2", b"", "ok", label="b", **fields))
    text = "\n".join(shown(tmp_path / "j", 200, force_terminal=True, color_system=None))
    assert "[bold red]x[/]\\x1b]0;owned\\x07\\x1b[2J \\u202e" in text
    for steering in ("\x1b]", "\x07", "\x1b[2J", "\r", "\u202e"):
        assert steering not in text


@pytest.mark.slow
def test_the_command_prints_json_and_pages_and_says_so(journal: Path, tmp_path: Path) -> None:
    got = call("report", str(journal))
    assert got.exit_code == 0
    assert got.stdout.startswith("job       mails.jsonl · finished")
    assert got.stderr == ""
    page = tmp_path / "page.html"
    got = call("report", str(journal), "--html", str(page), "--json")
    assert got.exit_code == 0
    told = json.loads(got.stdout)
    assert (told["state"], told["finished"], told["counts"]["failed"]) == ("finished", 600, 13)
    assert got.stderr == f"page in {page}\n"
    assert page.read_text().startswith("<!doctype html>")
    assert call("report", str(journal), "--html", str(page)).stdout == ""


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        pytest.param(None, 2, "does not exist", id="missing"),
        pytest.param(
            "no database, but as long as the header of one would be: " * 20, 2, "cannot be read", id="foreign"
        ),
    ],
)
def test_what_is_no_journal_is_exit_code_2(tmp_path: Path, content: str | None, code: int, says: str) -> None:
    path = tmp_path / "j"
    if content is not None:
        path.write_text(content)
    got = call("report", str(path))
    assert got.exit_code == code
    assert says in " ".join(got.output.split())
    assert "Traceback" not in got.output


@pytest.mark.slow
def test_a_page_that_cannot_be_written_is_exit_code_5(journal: Path, tmp_path: Path) -> None:
    assert call("report", str(journal), "--html", str(tmp_path / "no such folder" / "x")).exit_code == 5


@pytest.mark.slow
def test_without_the_extra_the_page_has_no_charts_and_says_so(journal: Path, tmp_path: Path) -> None:
    script = "import sys; sys.modules['matplotlib'] = None\nfrom segmind_async.__main__ import main\nmain()"
    words = [sys.executable, "-c", script, "report", str(journal), "--html", str(tmp_path / "x")]
    got = subprocess.run(words, capture_output=True, text=True, check=False)
    assert got.returncode == 0
    said = "the page has no charts, which need matplotlib: pip install 'segmind-async[report]'\n"
    assert got.stderr.startswith(said)
    page = (tmp_path / "x").read_text()
    assert "Charts need the extra" in page
    assert "<svg" not in page
    assert "Rows worth a look" in page


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_running_job_is_reported_on_from_another_process(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    rows = write(tmp_path / "rows.jsonl", numbered(400))
    with serving(Emulator(latency=0.3, balance=5)) as emulator:
        process = command(emulator, rows, "--max-in-flight", "8")
        try:
            told: dict[str, Any] = {}
            while process.poll() is None and not (told.get("progress") and told["finished"]):
                got = call("report", f"{output}.journal", "--json")
                told = json.loads(got.stdout) if got.exit_code == 0 else {}
            assert told["owner"] == f"process {process.pid}"
            assert told["state"] == f"running, by process {process.pid}"
            assert 0 < told["finished"] < 400
            assert told["progress"]["in_flight"] <= 8
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate()
    after = json.loads(call("report", f"{output}.journal", "--json").stdout)
    assert after["owner"] is None
    assert after["state"] == "stopped early: interrupted"
    assert after["pending"] == 400 - after["finished"]
