"""The exit code of a job, for each way in which it can end."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from segmind_async import FanOutReport, StopReason
from segmind_async._jobs.files.file_job import NotWrittenError
from segmind_async.cli import app, job
from segmind_async.cli.exit_codes import EXIT_AFTER_STOP, Exit, exit_for_report
from segmind_async.emulator import Emulator, faults
from segmind_async.jobs import JobReport
from tests.support import serving


def report(stop_reason: StopReason | None, message: str | None, **counts: int) -> JobReport:
    sent = FanOutReport(
        ok=counts.get("ok", 0),
        failed=counts.get("failed", 0),
        unsent=counts.get("unsent", 0),
        cancelled=0,
        spent=Decimal(0),
        unpriced=0,
        credits_remaining=None,
        attempts=0,
        rate_limited=0,
        maybe_paid_twice=0,
        latency_p50=None,
        latency_p95=None,
        latency_p99=None,
        elapsed=1.0,
        stop_reason=stop_reason,
        stop_message=message,
    )
    return JobReport(fan_out=sent, counts=Counter(counts))


def test_every_reason_to_stop_has_an_exit_code() -> None:
    assert set(EXIT_AFTER_STOP) == set(StopReason)
    assert Exit.OK not in EXIT_AFTER_STOP.values()


@pytest.mark.parametrize(
    ("stop_reason", "code"),
    [
        pytest.param(StopReason.CREDITS, 3, id="credits"),
        pytest.param(StopReason.INTERRUPTED, 130, id="interrupted"),
        pytest.param(StopReason.MAX_FAILURES, 1, id="max-failures"),
        pytest.param(StopReason.OUTAGE, 6, id="outage"),
        pytest.param(StopReason.REFUSED, 4, id="refused"),
        pytest.param(StopReason.DISK, 5, id="disk"),
    ],
)
def test_the_reason_decides_and_not_the_message(stop_reason: StopReason, code: int) -> None:
    for message in ("credits: none left", "interrupted", "max_outage=5", ""):
        assert exit_for_report(report(stop_reason, message, ok=1, failed=1)) == code


@pytest.mark.parametrize(
    ("counts", "code"),
    [
        pytest.param({"ok": 3}, 0, id="all-ok"),
        pytest.param({"ok": 3, "failed": 1}, 1, id="one-failed"),
    ],
)
def test_a_job_that_took_all_rows(counts: dict[str, int], code: int) -> None:
    assert exit_for_report(report(None, None, **counts)) == code


def run(tmp_path: Path, emulator: Emulator, *words: str) -> tuple[int, str]:
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"prompt": f"word {n}"}) + "\n" for n in range(100)))
    got = CliRunner().invoke(
        app,
        ["run", str(rows), "-o", str(tmp_path / "out.jsonl"), "--yes", *words],
        env={"SEGMIND_API_KEY": emulator.key, "SEGMIND_BASE_URL": emulator.url},
    )
    return got.exit_code, got.stderr


@pytest.mark.slow
def test_an_outage_longer_than_max_outage_is_exit_code_6(tmp_path: Path) -> None:
    with serving(Emulator()) as emulator:
        emulator.script(*[faults.status(503)] * 1000)
        code, said = run(tmp_path, emulator, "--max-outage", "1")
    assert code == 6, said
    assert "stopped early: the service has been failing for max_outage=1 s" in said


@pytest.mark.slow
def test_rows_that_failed_in_an_outage_are_asked_again_and_others_are_not(tmp_path: Path) -> None:
    outage = ["--max-outage", "1", "--max-in-flight", "2"]
    with serving(Emulator()) as emulator:
        emulator.script(faults.status(400), *[faults.status(503)] * 1000)
        code, said = run(tmp_path, emulator, *outage)
        assert code == 6, said
        assert "of the failed rows met an outage or a refusal: the same command asks again" in said
        assert "1 of the failed rows are not asked again; --retry-failed does that" in said
    with serving(Emulator()) as emulator:
        code, said = run(tmp_path, emulator, *outage)
        assert code == 1, said
        assert "99 ok, 1 failed" in said
        assert "met an outage" not in said
        code, said = run(tmp_path, emulator, *outage, "--retry-failed")
        assert (code, "not asked again" in said) == (0, False), said


def test_results_alone_are_exit_code_0_whatever_is_unsent_and_need_a_journal(tmp_path: Path) -> None:
    with serving(Emulator()) as emulator:
        code, said = run(tmp_path, emulator, "--results-only")
        assert (code, "there is no journal" in said) == (2, True)
        assert run(tmp_path, emulator, "--limit", "7")[0] == 0
        (tmp_path / "out.jsonl").unlink()
        code, said = run(tmp_path, emulator, "--results-only")
        assert code == 0, said
        assert "7 ok, 0 failed, 93 unsent; nothing was sent now" in said
        assert emulator.requests == 7
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 100


def test_results_left_unwritten_are_exit_code_130_and_the_command_that_writes_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def left(*_: object) -> JobReport:
        raise NotWrittenError(report(StopReason.INTERRUPTED, "interrupted", ok=3))

    monkeypatch.setattr(job, "run_file", left)
    monkeypatch.setattr("sys.argv", ["segmind-async", "run", "rows.jsonl", "-o", "out.jsonl"])
    with serving(Emulator()) as emulator:
        code, said = run(tmp_path, emulator)
    assert code == 130
    assert said.splitlines()[-5:] == [
        "3 ok, 0 failed; 3.0 a second; 0 credits spent",
        "stopped early: interrupted",
        f"the same command resumes the job; its journal is {tmp_path / 'out.jsonl.journal'}",
        f"results not written in {tmp_path / 'out.jsonl'}; this writes them, and sends nothing:",
        "  segmind-async run rows.jsonl -o out.jsonl --results-only",
    ]


def test_max_failures_is_exit_code_1(tmp_path: Path) -> None:
    with serving(Emulator()) as emulator:
        emulator.script(*[faults.status(400)] * 1000)
        code, said = run(tmp_path, emulator, "--max-failures", "3", "--max-in-flight", "1")
    assert code == 1, said
    assert "stopped early: 3 rows failed (max_failures=3)" in said


def test_a_refused_key_is_exit_code_4(tmp_path: Path) -> None:
    with serving(Emulator()) as emulator:
        emulator.script(*[faults.status(401)] * 1000)
        code, said = run(tmp_path, emulator)
    assert code == 4, said
