"""Ctrl-C, SIGTERM, a closed terminal, a reader that has gone: whenever they come, nothing paid is lost."""

from __future__ import annotations

import io
import os
import pty
import signal
import subprocess
import sys
from collections import Counter
from itertools import count
from pathlib import Path

import pytest

from segmind_async._process import early_sign
from segmind_async._process.early_interrupt import is_command
from segmind_async.emulator import Emulator
from tests.jobs.processes import command, environment, finish, numbered, results, wait_for, write
from tests.support import serving

SCRIPT = Path(sys.executable).with_name("segmind-async")


def quick_then_slow(quick: int) -> Emulator:
    """Return an emulator that never answers more than *quick* calls in the time of a test."""
    asked = count(1)

    def latency(*_: object) -> float:
        return 0.01 if next(asked) <= quick else 300.0

    return Emulator(latency=latency, balance=100)


def read_until(process: subprocess.Popen[str], text: str) -> str:
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if text in line:
            return said
    raise AssertionError(said)


@pytest.mark.parametrize(
    ("argv", "original", "command"),
    [
        pytest.param(["/usr/bin/segmind-async", "run"], [], True, id="script"),
        pytest.param(["segmind-async-script.py"], [], True, id="script-on-windows"),
        pytest.param(["-m"], ["python", "-m", "segmind_async"], True, id="module"),
        pytest.param(["-m"], ["python", "-msegmind_async"], True, id="module-in-one-word"),
        pytest.param(["-m"], ["python", "-m", "pytest"], False, id="another-module"),
        pytest.param(["job.py", "segmind-async"], ["python", "job.py"], False, id="a-program-of-others"),
        pytest.param([""], ["python"], False, id="interactive"),
        pytest.param([], [], False, id="embedded"),
    ],
)
def test_only_the_command_handles_ctrl_c_while_it_is_imported(
    argv: list[str], original: list[str], command: bool
) -> None:
    assert is_command(argv, original) == command


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        pytest.param([sys.executable, "-m", "segmind_async"], id="module"),
        pytest.param([str(SCRIPT)], id="script"),
    ],
)
@pytest.mark.parametrize("package", ["backoff", "typer"])
def test_ctrl_c_during_the_import_is_a_word_and_no_traceback(
    words: list[str], package: str, tmp_path: Path
) -> None:
    (tmp_path / f"{package}.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    process = subprocess.Popen(
        [*words, "--help"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    code, said = finish(process)
    assert (code, said) == (130, "interrupted\n")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_the_first_signal_lets_what_is_in_flight_end(name: str, tmp_path: Path) -> None:
    rows = write(tmp_path / "in.jsonl", numbered(400))
    with serving(Emulator(latency=0.3, balance=100)) as emulator:
        process = command(emulator, rows, "--max-in-flight", "8")
        wait_for(emulator, 20)
        process.send_signal(signal.Signals[name])
        if name == "SIGHUP":  # one closed terminal may send several
            process.send_signal(signal.SIGHUP)
        code, said = finish(process)
        got = Counter(row["status"] for row in results(tmp_path / "out.jsonl"))
        assert code == 130, said
        assert "stopping: " in said
        assert "stopped early: interrupted" in said
        assert "the same command resumes the job" in said
        assert (got["ok"], got["unsent"]) == (emulator.requests, 400 - emulator.requests)
        code, said = finish(command(emulator, rows, "--max-in-flight", "64"))
        assert code == 0
        assert set(emulator.billed().values()) == {1}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_the_second_signal_ends_at_once_and_writes_what_is_finished(name: str, tmp_path: Path) -> None:
    rows = write(tmp_path / "in.jsonl", numbered(50))
    with serving(quick_then_slow(16)) as emulator:
        process = command(emulator, rows, "--max-in-flight", "8")
        wait_for(emulator, 24)
        process.send_signal(signal.Signals[name])
        read_until(process, "stopping: 8 calls in flight, at most 1:00 min more; Ctrl-C again cancels them")
        process.send_signal(signal.Signals[name])
        code, said = finish(process)
    got = Counter(row["status"] for row in results(tmp_path / "out.jsonl"))
    assert code == 130, said
    assert got == {"ok": 16, "unsent": 34}
    assert "16 ok, 0 failed, 34 unsent" in said
    assert "8 calls were cancelled on their way: they may be billed all the same" in said
    assert "the same command resumes the job" in said
    assert f"results in {tmp_path / 'out.jsonl'}" in said


@pytest.mark.slow
def test_before_anything_is_sent_it_says_how_to_go_on(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "in.jsonl")  # opening it waits for a writer
    with serving(Emulator()) as emulator:
        process = command(emulator, tmp_path / "in.jsonl", "--input-format", "jsonl")
        with (tmp_path / "in.jsonl").open("w"):
            process.send_signal(signal.SIGTERM)
        code, said = finish(process)
        assert emulator.requests == 0
    assert (code, said) == (130, "the same command begins or resumes the job\ninterrupted\n")


@pytest.mark.slow
def test_a_closed_terminal_loses_nothing_that_was_paid(tmp_path: Path) -> None:
    rows = write(tmp_path / "in.jsonl", numbered(400))
    with serving(Emulator(latency=0.3, balance=100)) as emulator:
        words = [sys.executable, "-m", "segmind_async", "run", str(rows), "-o", str(tmp_path / "out.jsonl")]
        child, terminal = pty.fork()
        if child == 0:
            os.execve(sys.executable, [*words, "--max-in-flight", "8"], environment(emulator))
        wait_for(emulator, 20)
        os.close(terminal)
        _, status = os.waitpid(child, 0)
        got = Counter(row["status"] for row in results(tmp_path / "out.jsonl"))
        assert os.waitstatus_to_exitcode(status) == 130
        assert (got["ok"], got["unsent"]) == (sum(emulator.billed().values()), 400 - emulator.requests)
        assert emulator.requests < 400


@pytest.mark.slow
def test_a_reader_of_the_messages_that_has_gone_ends_no_job(tmp_path: Path) -> None:
    rows = write(tmp_path / "in.jsonl", numbered(40))
    with serving(Emulator(balance=100)) as emulator:
        process = command(emulator, rows)
        assert process.stderr is not None
        process.stderr.close()
        assert process.wait(60) == 0
    assert [row["status"] for row in results(tmp_path / "out.jsonl")] == ["ok"] * 40


@pytest.mark.slow
def test_a_reader_of_the_results_that_has_gone_ends_quietly(tmp_path: Path) -> None:
    rows = write(tmp_path / "in.jsonl", [{"id": f"r{n}", "prompt": "long" * 500} for n in range(100)])
    with serving(Emulator(balance=100)) as emulator:
        line = f"{sys.executable} -m segmind_async run {rows} -o - 2>{tmp_path / 'said'} | head -1; exit ${{PIPESTATUS[0]}}"
        ended = subprocess.run(
            ["bash", "-c", line], env=environment(emulator), capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0
        assert emulator.requests == 100
    assert ended.stdout.count("\n") == 1
    assert "Traceback" not in (tmp_path / "said").read_text() + ended.stderr
    assert "100 ok" in (tmp_path / "said").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["2>&-", "<&-", ">&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_no_place_for_a_journal(closed: str, tmp_path: Path) -> None:
    rows = write(tmp_path / "in.jsonl", numbered(8))
    with serving(Emulator(balance=100)) as emulator:
        line = f"exec {sys.executable} -m segmind_async run {rows} -o {tmp_path / 'out.jsonl'} {closed}"
        ended = subprocess.run(
            ["bash", "-c", line], env=environment(emulator), check=False, capture_output=True
        )
    assert ended.returncode == 0
    assert [row["status"] for row in results(tmp_path / "out.jsonl")] == ["ok"] * 8


@pytest.mark.slow
def test_in_development_mode_nothing_is_left_open(tmp_path: Path) -> None:
    rows = write(tmp_path / "in.jsonl", numbered(40))
    words = ["run", str(rows), "-o", str(tmp_path / "out.jsonl"), "--emulate"]
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-m", "segmind_async", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    for word in ("Warning", "Traceback", "ignored"):
        assert word not in ended.stderr


@pytest.mark.parametrize(
    ("argv", "wanted"),
    [
        (["segmind-async", "run", "in.csv"], True),
        (["segmind-async", "demo"], True),
        (["segmind-async", "run", "--help"], False),
        (["segmind-async", "report", "run"], False),
        (["segmind-async"], False),
        (["job.py", "run"], False),
    ],
)
def test_only_commands_with_a_live_view_show_a_sign_at_once(argv: list[str], wanted: bool) -> None:
    assert early_sign.is_wanted(argv, []) == wanted


@pytest.mark.slow
def test_an_answer_that_standard_output_cannot_encode_is_escaped() -> None:
    words = [sys.executable, "-m", "segmind_async", "chat", "caf\xe9 \u2192", "--emulate"]
    got = subprocess.run(
        words, env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, timeout=60, check=False
    )
    assert (got.returncode, got.stdout) == (0, b"echo: caf\\xe9 \\u2192\n"), got.stderr


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class _Gone(_Terminal):
    def flush(self) -> None:
        raise BrokenPipeError


def test_the_sign_is_removed_and_shown_on_terminals_only() -> None:
    terminal, gone = _Terminal(), _Gone()
    for stream in (terminal, None, io.StringIO(), gone):
        early_sign.show(stream)
        early_sign.clear()
        early_sign.clear()
    assert terminal.getvalue() == "starting …\r\x1b[K"
    early_sign.show(terminal)
    terminal.close()


def test_a_terminal_that_goes_while_the_sign_is_shown_costs_nothing() -> None:
    terminal = _Terminal()
    early_sign.show(terminal)
    terminal.flush = _Gone().flush  # type: ignore[method-assign]
    early_sign.clear()
    early_sign.clear()
