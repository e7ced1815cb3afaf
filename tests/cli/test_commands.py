"""The command line as a user meets it: what it prints where, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from segmind_async import __version__
from segmind_async.cli import app, demo, running
from segmind_async.emulator import Emulator, faults


def call(*words: str, **options: Any) -> Result:
    return CliRunner().invoke(app, list(words), **options)


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"id": f"r{n}", "prompt": f"word {n}"}) + "\n" for n in range(50)))
    return path


def test_version_and_help() -> None:
    assert call("--version").output.strip() == __version__
    shown = call("--help").output
    for command in ("chat", "balance", "run", "classify", "report", "emulate", "demo"):
        assert command in shown
    assert call().exit_code == 2


def test_chat() -> None:
    got = call("chat", "hello", "--emulate", "--system", "be brief")
    assert (got.exit_code, got.stdout) == (0, "echo: hello\n")
    assert "credits" in got.stderr
    as_json = json.loads(call("chat", "-", "--emulate", "--json", input="from stdin").stdout)
    assert as_json["text"] == "echo: from stdin"
    assert as_json["cost"] == "0.0000195000"


def test_text_of_the_model_cannot_steer_a_terminal() -> None:
    got = call("chat", "\x1b[2J\x07 bell\u202e", "--emulate")
    assert got.stdout == "echo: \\x1b[2J\\x07 bell\\u202e\n"


def test_words_of_a_server_cannot_steer_a_terminal_either(capsys: pytest.CaptureFixture[str]) -> None:
    running.say("HTTP 400: \x1b]0;owned\x07")
    assert capsys.readouterr().err == "HTTP 400: \\x1b]0;owned\\x07\n"


def test_balance() -> None:
    assert call("balance", "--emulate").stdout == "5 credits (5 and 0 free)\n"
    assert json.loads(call("balance", "--emulate", "--json").stdout)["total"] == "5"


def test_without_a_key() -> None:
    got = call("chat", "hello")
    assert got.exit_code == 2
    assert "set SEGMIND_API_KEY" in got.stderr
    assert "Traceback" not in got.output


def test_a_dotenv_file_is_read_by_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("SEGMIND_API_KEY=SG_x\nSEGMIND_BASE_URL=http://127.0.0.1:1/v1\nOTHER=1\n")
    monkeypatch.chdir(tmp_path)
    got = call("balance")
    assert got.exit_code == 1
    assert "APIConnectionError" in got.stderr
    assert "SG_x" not in got.output


def test_run(rows: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    got = call("run", str(rows), "-o", str(output), "--emulate")
    assert got.exit_code == 0
    assert "50 ok, 0 failed, 0 unsent" in got.stderr
    assert got.stdout == ""
    found = lines(output)
    assert [row["id"] for row in found] == [f"r{n}" for n in range(50)]
    assert found[3]["text"] == "echo: word 3"
    assert list(found[0]) == [
        "id",
        "index",
        "status",
        "text",
        "label",
        "parsed",
        "error",
        "attempts",
        "cost",
        "usage",
        "elapsed",
    ]
    assert not (tmp_path / "out.jsonl.part").exists()


def test_what_the_stand_in_said_never_passes_for_a_real_answer(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out.jsonl"
    assert call("run", str(rows), "-o", str(output), "--emulate").exit_code == 0
    monkeypatch.setenv("SEGMIND_API_KEY", "k")
    got = call("run", str(rows), "-o", str(output))
    assert got.exit_code == 2
    assert "with emulate=True, and now emulate=False" in " ".join(got.stderr.split())
    other = call("run", str(rows), "-o", str(output), "--emulate", "--model", "gpt-5", "--limit", "3")
    assert other.exit_code == 2
    assert "model='gpt-5.4-mini'" in other.stderr
    again = call("run", str(rows), "-o", str(output), "--emulate", "--retry-failed")
    assert again.exit_code == 0
    assert "50 ok, 0 failed, 0 unsent (50 by earlier runs)" in again.stderr
    elsewhere = call("run", str(rows), "-o", str(output), "--emulate", "--journal", str(tmp_path / "j"))
    assert "by earlier runs" not in elsewhere.stderr


def test_a_dry_run_sends_nothing_and_says_what_it_would_cost(tmp_path: Path) -> None:
    path, output = tmp_path / "rows.csv", tmp_path / "out.jsonl"
    path.write_text("text\n" + "".join(f"{'word ' * 80}{n % 9}\n" for n in range(10)) + "a,b\n")
    words = ["run", str(path), "-o", str(output), "--prompt", "{text}", "--dry-run"]
    got = call(*words)
    assert got.exit_code == 0
    assert got.stdout.splitlines() == [
        "rows          11, 1 of them unusable, 1 asked before",
        "              line 12: 1 fields more than the header names",
        "input         about 1110 tokens",
        "credits       about 0.00543 at the published mean of gpt-5.4-mini",
        "              0.0008325 for the input alone, at list price",
    ]
    told = json.loads(call(*words, "--json").stdout)
    assert (told["rows"], told["duplicates"], told["by_mean"]) == (11, 1, "0.00543")
    assert list(tmp_path.iterdir()) == [path]
    labels = ["classify", str(path), "-o", str(output), "--labels", "a,b", "--dry-run"]
    assert "input         about" in call(*labels).stdout
    odd = tmp_path / "odd.jsonl"
    odd.write_text('{"prompt": "\\ud83d"}\n')
    assert "1 of them unusable" in call("run", str(odd), "-o", str(output), "--dry-run").stdout


def test_run_with_a_template_and_rows_that_cannot_be_used(tmp_path: Path) -> None:
    path, output = tmp_path / "rows.csv", tmp_path / "out.jsonl"
    path.write_text("name,age\nAnn,5\nBen\nCid,7\n")
    got = call(
        "run",
        str(path),
        "-o",
        str(output),
        "--prompt",
        "How old is {name}, {age}?",
        "--system",
        "x",
        "--emulate",
        "--json",
    )
    assert got.exit_code == 1
    told = json.loads(got.stdout)
    assert told["rows"] == {"ok": 2, "failed": 1}
    assert told["errors"] == {"UnusableRow": 1}
    assert [row["status"] for row in lines(output)] == ["ok", "failed", "ok"]
    assert lines(output)[1]["error"] == "UnusableRow: line 3: no column 'age' among 'name', 'age'"


def test_run_stops_for_credits_with_exit_code_3(rows: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    got = call("run", str(rows), "-o", str(output), "--emulate", "--emulated-balance", "0.0002")
    assert got.exit_code == 3
    assert "stopped early: credits" in got.stderr
    found = lines(output)
    assert len(found) == 50
    assert {row["status"] for row in found} == {"ok", "unsent"}
    output = tmp_path / "other.jsonl"
    budget = call("run", str(rows), "-o", str(output), "--emulate", "--max-credits", "0.0002")
    assert budget.exit_code == 3


def test_classify(tmp_path: Path) -> None:
    path, output = tmp_path / "rows.csv", tmp_path / "out.jsonl"
    pairs = [("cheap pills", "spam"), ("see you at noon", "ham")] * 20
    path.write_text(
        "text,truth\n" + "".join(f"{text} {n},{label}\n" for n, (text, label) in enumerate(pairs))
    )
    got = call(
        "classify",
        str(path),
        "-o",
        str(output),
        "--labels",
        "spam,ham",
        "--truth-column",
        "truth",
        "--emulate",
    )
    # The stand-in has learnt from the even rows, which are all spam here.
    assert got.exit_code == 0
    assert "accuracy 50.0% of 40 rows" in got.stderr
    assert {row["label"] for row in lines(output)} == {"spam"}
    output = tmp_path / "other.jsonl"
    by_chance = call("classify", str(path), "-o", str(output), "--labels", "spam,ham", "--emulate")
    assert by_chance.exit_code == 0
    assert {row["label"] for row in lines(output)} <= {"spam", "ham"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "missing.jsonl", "-o", "x"], "does not exist"),
        (["run", "ROWS"], "Missing option"),
        (["run", "ROWS", "-o", "out", "--floor", "-1", "--emulate"], "is no amount of credits"),
        (["run", "ROWS", "-o", "out", "--floor", "much", "--emulate"], "is no amount of credits"),
        (["run", "ROWS", "-o", "out", "--max-in-flight", "0"], "greater than or equal to 1"),
        (["run", "ROWS", "-o", "out", "--prompt", "{", "--emulate"], "write {{ and }}"),
        (["run", "ROWS", "-o", "out", "--rpm", "-5", "--emulate"], "requests_per_minute=-5"),
        (["run", "ROWS", "-o", "out", "--model", "a b", "--emulate"], "is no slug"),
        (["classify", "ROWS", "-o", "out", "--labels", "one", "--emulate"], "at least two different"),
        (["nonsense"], "No such command"),
    ],
)
def test_misuse_is_exit_code_2_or_4_and_one_line(
    words: list[str], says: str, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    got = call(*[str(rows) if word == "ROWS" else word for word in words])
    assert got.exit_code == (4 if "slug" in says else 2)
    assert says in " ".join(got.output.split())
    assert "Traceback" not in got.output


def test_a_place_that_cannot_be_written_is_exit_code_5(rows: Path, tmp_path: Path) -> None:
    got = call("run", str(rows), "-o", str(tmp_path / "no such folder" / "out"), "--emulate")
    assert got.exit_code == 5
    assert "No such file" in got.stderr


def test_a_wrong_model_is_exit_code_4(rows: Path, tmp_path: Path) -> None:
    got = call("run", str(rows), "-o", str(tmp_path / "out"), "--emulate", "--model", "nobody")
    assert got.exit_code == 4
    assert "stopped early" in got.stderr
    assert call("chat", "x", "--emulate", "--model", "nobody").exit_code == 4


def test_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("anyio.run", interrupted)
    got = call("balance", "--emulate")
    assert (got.exit_code, "interrupted" in got.stderr) == (130, True)


def test_the_demo_ends_in_front_of_the_floor() -> None:
    got = call("demo")
    assert got.exit_code == 0
    summary = {line[:18].strip(): line[18:] for line in got.stdout.splitlines()}
    assert summary["refused (406)"] == "0"
    assert summary["floor"] == "0.01, kept"
    assert float(summary["accuracy"].rstrip("%")) > 45
    assert int(summary["calls answered"]) > 300
    left = json.loads(call("demo", "--json").stdout)
    assert 0.01 <= float(left["balance"]) < 0.0105


def test_the_bundled_messages_are_balanced_and_distinct() -> None:
    messages = demo.messages()
    assert len(messages) == 240
    assert len({row["text"] for row in messages}) == 240
    counts = [sum(row["label"] == label for row in messages) for label in {row["label"] for row in messages}]
    assert len(counts) == 6
    assert min(counts) >= 35


def test_the_emulator_command_serves_until_interrupted() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "segmind_async", "emulate", "--port", "0", "--rpm", "60"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    line = process.stderr.readline()
    address, key = (word.split("=")[1] for word in line.split()[1:])
    environment = {"SEGMIND_BASE_URL": address, "SEGMIND_API_KEY": key, "PATH": ""}
    shown = subprocess.check_output(
        [sys.executable, "-m", "segmind_async", "balance"], env=environment, text=True
    )
    process.send_signal(2)
    assert process.wait(20) == 130
    process.stderr.close()
    assert shown == "5 credits (5 and 0 free)\n"


def test_without_the_extra_the_command_says_what_it_needs() -> None:
    script = "import sys; sys.modules['typer'] = None\nfrom segmind_async.__main__ import main\nmain()"
    got = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert got.returncode == 1
    assert "pip install 'segmind-async[cli]'" in got.stderr


def test_progress_is_told_every_ten_seconds(
    rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A slow service: lines appear while it runs."""
    import anyio
    import looptime

    from segmind_async.cli import bulk
    from segmind_async.jobs import JobOptions
    from segmind_async.jobs.rows import own_request

    async def main() -> Any:
        async with Emulator(latency=5) as emulator:
            emulator.script(*[faults.status(400)] * 3)
            client, options = running.ClientOptions(max_in_flight=8), JobOptions(hand_on=False)
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("SEGMIND_BASE_URL", emulator.url)
                patch.setenv("SEGMIND_API_KEY", emulator.key)
                return await bulk.run(
                    bulk.Job(
                        rows, tmp_path / "out", own_request, bulk.Spending(), options, client, None, None, {}
                    ),
                    as_json=False,
                )

    code = anyio.run(main, backend_options={"loop_factory": looptime.new_event_loop})
    told = capsys.readouterr().err.splitlines()
    assert code == 1
    assert len([line for line in told if " of 50 rows done, 3 failed, " in line]) >= 3
    assert told[-1].startswith("results in")
    assert "  3 x BadRequestError, such as: HTTP 400: Something went wrong" in told
