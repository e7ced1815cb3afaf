"""What a command says at the end, and the command to go on with."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from segmind_async import FanOutReport, StopReason
from segmind_async.cli.summary import Files, as_json_of, command_again, print_results_only, print_summary
from segmind_async.jobs import JobReport

FILES = Files(Path("out.csv.journal"), Path("out.csv"))
STOPPED = JobReport(
    counts=Counter(ok=7, failed=1, unsent=2),
    fan_out=FanOutReport(stop_reason=StopReason.INTERRUPTED, stop_message="interrupted"),
)


@pytest.mark.parametrize(
    ("argv", "again"),
    [
        pytest.param(
            ["/venv/bin/segmind-async", "run", "a b.csv", "-o", "o.csv", "--prompt", "{text}"],
            "segmind-async run 'a b.csv' -o o.csv --prompt '{text}' --results-only",
            id="quoted",
        ),
        pytest.param(
            ["/lib/segmind_async/__main__.py", "run", "a.csv"],
            "python -m segmind_async run a.csv --results-only",
            id="as-a-module",
        ),
        pytest.param(
            ["segmind-async", "run", "a.csv", "--restart", "--sample", "20", "--yes", "--limit", "5"],
            "segmind-async run a.csv --limit 5 --results-only",
            id="without-what-begins-anew",
        ),
        pytest.param(
            ["segmind-async", "run", "a.csv", "--sample=20", "--results-only"],
            "segmind-async run a.csv --results-only",
            id="once",
        ),
        pytest.param(
            ["segmind-async", "run", "a.csv", "--retry-failed", "--retry-failed=TimeoutError", "-o", "b.csv"],
            "segmind-async run a.csv -o b.csv --results-only",
            id="without-what-sends-again",
        ),
    ],
)
def test_the_command_that_only_writes_the_results(argv: list[str], again: str) -> None:
    assert command_again("--results-only", argv=argv) == again


def test_results_that_are_not_written_come_with_the_command_that_writes_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["segmind-async", "run", "in.csv", "-o", "out.csv", "--restart"])
    print_summary(STOPPED, FILES, written=False)
    assert capsys.readouterr().err.splitlines() == [
        "7 ok, 1 failed; 0.0 a second; 0 credits spent",
        "1 of the failed rows are not asked again; --retry-failed does that",
        "stopped early: interrupted",
        "the same command, without --restart, resumes the job; its journal is out.csv.journal",
        "results not written in out.csv; this writes them, and sends nothing:",
        "  segmind-async run in.csv -o out.csv --results-only",
    ]


def test_what_results_hold_that_were_written_alone(capsys: pytest.CaptureFixture[str]) -> None:
    print_results_only(STOPPED, FILES)
    assert capsys.readouterr().err.splitlines() == [
        "7 ok, 1 failed, 2 unsent; nothing was sent now",
        "results in out.csv; the same command without --results-only resumes the job",
    ]


def test_what_the_journal_held_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    report = JobReport(
        counts=Counter(ok=7), recovered=5, resubmitted=2, damaged=3, fan_out=FanOutReport(ok=7)
    )
    print_summary(report, FILES)
    assert capsys.readouterr().err.splitlines()[1:-1] == [
        "3 answers in the journal were damaged, and their rows were asked again",
        "5 requests were in the service's queue from an earlier run",
        "2 of them had expired: they were sent again, and may be paid twice",
    ]
    found = as_json_of(report)
    assert (found["recovered"], found["resubmitted"], found["damaged"]) == (5, 2, 3)
