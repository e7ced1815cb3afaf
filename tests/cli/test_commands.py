"""The command line as a user meets it: what it prints where, and its exit codes."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

import segmind_async as sa
from segmind_async import __version__
from segmind_async._jobs.own_request import own_request
from segmind_async._jobs.rows import open_rows
from segmind_async.cli import app, console, job
from segmind_async.cli.client_options import ClientOptions
from segmind_async.cli.start import input_check, outlook
from segmind_async.emulator import Emulator, FunctionBrain, Question, faults
from tests.pictures import drawn
from tests.support import serving
from tests.virtual_time import VirtualTimeLoop


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
    for command in ("chat", "balance", "run", "classify", "report", "serve", "emulate", "demo"):
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
    console.say("HTTP 400: \x1b]0;owned\x07")
    assert capsys.readouterr().err == "HTTP 400: \\x1b]0;owned\\x07\n"


def test_on_a_terminal_messages_are_broken_between_words_and_not_within_numbers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setattr(sys.stderr, "fileno", lambda: 2)
    monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((30, 24)))
    console.say(
        "2 999 418 rows to send, known by 1 537 answered rows\n\nin /a-very-long/path/that-fits-nowhere.csv"
    )
    console.say("segmind-async run file.csv -o out.csv", wraps=False)
    assert capsys.readouterr().err.splitlines() == [
        "2 999 418 rows to send, known",
        "by 1 537 answered rows",
        "",
        "in",
        "/a-very-long/path/that-fits-nowhere.csv",
        "segmind-async run file.csv -o out.csv",
    ]


def test_balance() -> None:
    assert call("balance", "--emulate").stdout == "5 credits (5 and 0 free)\n"
    assert json.loads(call("balance", "--emulate", "--json").stdout)["total"] == "5"


def test_the_balance_of_several_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = "SG_0123456789abcdef", "SG_fedcba9876543210"
    monkeypatch.chdir(tmp_path)
    with serving(Emulator(key=first, balance=2)) as emulator:
        emulator.state.add_account(second, 3)
        (tmp_path / ".env").write_text(
            f"SEGMIND_API_KEYS={first},{second}\nSEGMIND_BASE_URL={emulator.url}\n"
        )
        got = call("balance")
        assert got.stdout == "5 credits (5 and 0 free)\n…cdef: 2, in use\n…3210: 3, in use\n"
        keys = json.loads(call("balance", "--json").stdout)["keys"]
        assert [(key["name"], key["total"]) for key in keys] == [("…cdef", "2"), ("…3210", "3")]


def test_keys_come_from_a_file_that_only_its_owner_may_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = "SG_0123456789abcdef", "SG_fedcba9876543210"
    monkeypatch.setenv("SEGMIND_API_KEYS", "SG_0000000000000000")
    keys = tmp_path / "keys"
    keys.write_text(f"# of both accounts\n{first}\n\n {second}\n")
    keys.chmod(0o600)
    with serving(Emulator(key=first, balance=2)) as emulator:
        emulator.state.add_account(second, 3)
        monkeypatch.setenv("SEGMIND_BASE_URL", emulator.url)
        got = call("balance", "--api-keys-file", str(keys))
        assert got.stdout == "5 credits (5 and 0 free)\n…cdef: 2, in use\n…3210: 3, in use\n"
        assert call("chat", "hi", "--api-keys-file", str(keys)).exit_code == 0
        rows = tmp_path / "rows.jsonl"
        rows.write_text('{"prompt": "hi"}\n')
        run = ("run", str(rows), "-o", str(tmp_path / "out.jsonl"), "--floor", "2.5", "--dry-run")
        # Both keys keep their floor: nothing may be spent.
        assert "not enough" in call(*run, "--api-keys-file", str(keys)).output
        keys.chmod(0o640)
        got = call("balance", "--api-keys-file", str(keys))
    assert got.exit_code == 2
    assert "its mode is 640; run chmod 600" in " ".join(got.stderr.split())
    assert "abcdef" not in got.output


def test_a_run_with_several_keys_says_what_each_has_spent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = ("SG_0123456789abcdef", "SG_fedcba9876543210")
    monkeypatch.setenv("SEGMIND_API_KEYS", ",".join(keys))
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(f'{{"prompt": "{n}"}}\n' for n in range(4)))
    words = ["run", str(rows), "--max-in-flight", "1", "-o"]
    with serving(Emulator(key=keys[0], balance=2, cost="0.25")) as emulator:
        emulator.state.add_account(keys[1], 3)
        monkeypatch.setenv("SEGMIND_BASE_URL", emulator.url)
        got = call(*words, str(tmp_path / "a.jsonl"))
        said = re.findall(r"^(….{4}): (.+) credits spent, (.+) left; in use$", got.stderr, re.M)
        assert [name for name, *_ in said] == ["…cdef", "…3210"]
        assert [Decimal(spent) + Decimal(left) for _, spent, left in said] == [2, 3]
        assert sum(Decimal(spent) for _, spent, _ in said) == 1
        told = json.loads(call(*words, str(tmp_path / "b.jsonl"), "--json").stdout)["keys"]
    assert [key["name"] for key in told] == ["…cdef", "…3210"]
    assert sum(Decimal(key["spent"]) for key in told) == 1
    assert sum(Decimal(key["balance"]) for key in told) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"# none\n", "holds no key", id="no-key"),
        pytest.param(b"SG_\xff\xfe", "it is not UTF-8", id="not-text"),
        pytest.param(None, "cannot be read: No such file", id="no-file"),
        pytest.param(b'SG_secret1\n"SG_secret2"\n', "key 2 of 2, 12 characters", id="quoted"),
    ],
)
def test_a_file_without_keys(tmp_path: Path, content: bytes | None, message: str) -> None:
    keys = tmp_path / "keys"
    if content is not None:
        keys.touch(0o600)
        keys.write_bytes(content)
    got = call("balance", "--api-keys-file", str(keys))
    assert got.exit_code == 2
    assert message in " ".join(got.stderr.split())
    assert "Traceback" not in got.output
    assert "secret" not in got.output


def test_keys_of_the_environment_that_are_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGMIND_API_KEYS", "'SG_secret1,SG_secret2'")
    got = call("balance")
    assert got.exit_code == 2
    assert "SEGMIND_API_KEYS: key 1 of 2, 11 characters long" in " ".join(got.stderr.split())
    assert "secret" not in got.output


def test_without_a_key() -> None:
    got = call("chat", "hello")
    assert got.exit_code == 2
    assert got.stderr.count("SEGMIND_API_KEY") == 1
    assert "set SEGMIND_API_KEY, or write it into a file .env" in " ".join(got.stderr.split())
    assert "api_key" not in got.stderr
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
        "prompt",
        "index",
        "status",
        "text",
        "label",
        "truth",
        "parsed",
        "tool_calls",
        "error",
        "attempts",
        "cost",
        "usage",
        "elapsed",
    ]
    assert not (tmp_path / "out.jsonl.part").exists()


@pytest.mark.slow
def test_what_the_emulator_said_never_passes_for_a_real_answer(rows: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    words = ["run", str(rows), "-o", str(output)]
    assert call(*words, "--emulate").exit_code == 0
    again = call(*words, "--emulate", "--retry-failed")
    assert again.exit_code == 0
    assert "50 ok, 0 failed, 0 unsent (50 by earlier runs)" in again.stderr
    emulated = output.read_bytes()
    with serving(Emulator(FunctionBrain(lambda question: question.prompt.upper()))) as emulator:
        got = call(*words, **on(emulator))
        assert (got.exit_code, emulator.requests) == (0, 50)
    assert "the emulator has answered 50 rows; a new job begins; the old journal is " in got.stderr
    assert lines(output)[0]["text"] == "WORD 0"
    assert (tmp_path / "out.jsonl.1").read_bytes() == emulated
    assert call("report", str(tmp_path / "out.jsonl.journal.1")).exit_code == 0
    back = call(*words, "--emulate")
    assert back.exit_code == 2
    said = " ".join(back.stderr.split())
    assert "emulate=False, and now emulate=True" in said
    assert "--keep-finished" not in said
    assert "--restart begins anew" in said


@pytest.mark.slow
def test_a_first_mistake_is_not_final(tmp_path: Path) -> None:
    path, output = tmp_path / "rows.csv", tmp_path / "out.csv"
    path.write_text("title,body\n" + "".join(f"a {n},b {n}\n" for n in range(20)))
    words = ["run", str(path), "-o", str(output)]
    with serving(Emulator()) as emulator:
        emulator.script(*[faults.status(400)] * 40)
        wrong = call(*words, "--prompt", "{titel} {body}", **on(emulator))
        assert (wrong.exit_code, emulator.requests) == (2, 0)
        assert "--prompt names the column 'titel'" in wrong.stderr
        assert "has 'title', 'body'" in wrong.stderr
        assert call(*words, "--prompt", "{body}", **on(emulator)).exit_code == 1
        assert call(*words, "--prompt", "{title}", "--model", "gpt-5-nano", **on(emulator)).exit_code == 1
        # Nothing was paid so far.
        got = call(*words, "--prompt", "{title} {body}", **on(emulator))
        assert got.exit_code == 0, got.stderr
        assert emulator.requests == 60


def test_a_job_with_paid_rows_goes_on_with_other_settings(tmp_path: Path) -> None:
    path, output = tmp_path / "rows.csv", tmp_path / "out.jsonl"
    # Two rows are alike, and keep their answers each.
    path.write_text("name\nAnn\nBen\nAnn\nCid\nDan\n")
    words = ["run", str(path), "-o", str(output), "--prompt"]
    with serving(Emulator()) as emulator:
        assert call(*words, "Hi {name}", "--limit", "3", **on(emulator)).exit_code == 0
        got = call(*words, "Hi {name}", "--limit", "4", "--max-tokens", "9", **on(emulator))
        assert (got.exit_code, emulator.requests) == (0, 4), got.stderr
        assert "3 finished rows stay as earlier settings made them" in got.stderr
        refused = call(*words, "Ho {name}", "--model", "gpt-5", **on(emulator))
        assert refused.exit_code == 2
        said = " ".join(refused.stderr.split())
        assert "model='gpt-5.4-mini', and now model='gpt-5'; prompt='Hi {name}', and now" in said
        assert "--keep-finished keeps the 4 finished rows and sends the others with the new settings" in said
        assert "this job had" not in said, "the refusal says what has changed"
        new = ["Ho {name}", "--model", "gpt-5", "--keep-finished"]
        assert "to send       1 rows" in call(*words, *new, "--dry-run", **on(emulator)).stdout
        for _ in range(2):
            got = call(*words, *new, **on(emulator))
            assert (got.exit_code, emulator.requests) == (0, 5), got.stderr
            assert "4 finished rows stay as earlier settings made them" in got.stderr
        texts = [row["text"] for row in lines(output)]
        assert texts == [f"echo: {text}" for text in ("Hi Ann", "Hi Ben", "Hi Ann", "Hi Cid", "Ho Dan")]
        path.write_text(path.read_text().replace("Ben", "Bob"))
        got = call(*words, *new, **on(emulator))
        assert (lines(output)[1]["text"], emulator.requests) == ("echo: Ho Bob", 6)


def test_to_begin_anew_keeps_the_old_journal_and_results(rows: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    words = ["run", str(rows), "-o", str(output), "--emulate"]
    assert call(*words).exit_code == 0
    before = output.read_bytes()
    assert "to send       50 rows" in call(*words, "--restart", "--dry-run").stdout
    for number in (1, 2):
        got = call(*words, "--restart", "--limit", "5", "--model", "gpt-5")
        assert got.exit_code == 0
        assert f"begun anew; the old journal is {output.resolve()}.journal.{number}" in got.stderr
        assert len(lines(output)) == 5
    assert (tmp_path / "out.jsonl.1").read_bytes() == before


def test_what_is_refused_puts_nothing_aside(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    output, journal = tmp_path / "out.jsonl", tmp_path / "out.jsonl.journal"
    words = ["run", str(rows), "-o", str(output), "--limit", "5"]
    monkeypatch.setattr(job, "may_start", lambda *_: False)
    with serving(Emulator()) as emulator:
        assert call(*words, "--yes", **on(emulator)).exit_code == 0
        before = (output.read_bytes(), journal.stat().st_ino)
        for more, variables, said in (
            ([], {}, "no API key"),
            (["--model", "gpt 5"], on(emulator), "is not a slug"),
            (["--journal", str(rows)], on(emulator), "is the input; name another one"),
            ([], on(emulator), "not started, nothing was sent"),
        ):
            got = call(*words, "--restart", *more, **variables)
            assert got.exit_code == 2
            assert said in " ".join(got.stderr.split())
            assert "begun anew" not in got.stderr
            assert (output.read_bytes(), journal.stat().st_ino) == before
        assert "(5 by earlier runs)" in call(*words, **on(emulator)).stderr
        assert emulator.requests == 5


@pytest.mark.parametrize("restart", [[], ["--restart"]])
def test_an_output_of_another_job_is_left_alone(rows: Path, tmp_path: Path, restart: list[str]) -> None:
    journal = tmp_path / "j"
    words = ["run", str(rows), "--emulate", "--journal", str(journal), "--limit", "5"]
    assert call(*words, "-o", str(tmp_path / "out.jsonl")).exit_code == 0
    mine = tmp_path / "mine.jsonl"
    mine.write_text("mine")
    for output in (mine, rows):
        before = output.read_bytes()
        got = call(*words, "-o", str(output), *restart)
        assert got.exit_code == 2
        assert "no journal of this job explains it" in got.stderr or "is the input" in got.stderr
        assert output.read_bytes() == before
        assert journal.exists()


@pytest.mark.parametrize("option", ["--restart", "--dry-run", "--sample=2", "--retry-failed"])
def test_writing_results_alone_goes_with_nothing_that_sends(rows: Path, tmp_path: Path, option: str) -> None:
    words = ["run", str(rows), "-o", str(tmp_path / "out.jsonl"), "--emulate"]
    assert call(*words).exit_code == 0
    got = call(*words, "--results-only", option)
    assert got.exit_code == 2
    assert (
        f"--results-only sends nothing and keeps all: leave out {option.split('=', maxsplit=1)[0]}"
        in got.stderr
    )
    assert len(lines(tmp_path / "out.jsonl")) == 50


def test_writing_results_alone_needs_no_key(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    output = tmp_path / "out.jsonl"
    with serving(Emulator()) as emulator:
        assert call("run", str(rows), "-o", str(output), **on(emulator)).exit_code == 0
    output.unlink()
    got = call("run", str(rows), "-o", str(output), "--results-only")
    assert (got.exit_code, len(lines(output))) == (0, 50), got.stderr


def test_rows_that_were_piped_in_stay_although_nothing_is_piped_in_again(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    words = ["run", "-", "-o", str(output), "--input-format", "jsonl", "--emulate"]
    piped = "".join(json.dumps({"prompt": f"row {n}"}) + "\n" for n in range(8))
    got = CliRunner().invoke(app, [*words, "--max-failures", "1", "--max-credits", "0.00001"], input=piped)
    assert got.exit_code == 3, got.stderr
    copied = (tmp_path / "out.jsonl.journal.input").read_bytes()
    assert copied
    for more in (["--results-only"], ["--max-credits", "0.00001"]):
        assert CliRunner().invoke(app, [*words, *more], input="").exit_code in {0, 3}
        assert (tmp_path / "out.jsonl.journal.input").read_bytes() == copied
        assert len(lines(output)) == 8


def test_a_dry_run_sends_nothing_and_says_what_it_would_cost(tmp_path: Path) -> None:
    path, output = tmp_path / "rows.csv", tmp_path / "out.jsonl"
    path.write_text("text\n" + "".join(f"{'word ' * 80}{n % 9}\n" for n in range(10)) + "a,b\n")
    words = ["run", str(path), "-o", str(output), "--prompt", "{text}", "--dry-run"]
    got = call(*words)
    assert got.exit_code == 0
    assert got.stdout.splitlines() == [
        "rows          11, 1 of them invalid, 1 duplicates",
        "              line 12: 1 fields more than the header names",
        "to send       10 rows, about 1110 tokens in",
        "credits       about 0.00543 at the published mean of gpt-5.4-mini",
        "              upper bound 0.0443: 8 published means for each of 10 rows without a bound",
        "time          about 5 s with 64 calls at once",
        "balance       unknown (no API key)",
    ]
    told = json.loads(call(*words, "--json").stdout)
    assert (told["rows"], told["duplicates"], told["expected"], told["balance"]) == (11, 1, "0.00543", None)
    assert list(tmp_path.iterdir()) == [path]
    labels = ["classify", str(path), "-o", str(output), "--labels", "a,b", "--dry-run"]
    assert "to send       10 rows, about" in call(*labels).stdout
    odd = tmp_path / "odd.jsonl"
    odd.write_text('{"prompt": "\\ud83d"}\n')
    assert "1 of them invalid" in call("run", str(odd), "-o", str(output), "--dry-run").stdout


def test_equal_requests_are_asked_once_if_that_is_wanted(tmp_path: Path) -> None:
    path, output = tmp_path / "rows.csv", tmp_path / "out.jsonl"
    path.write_text("text\n" + "a\nb\n" * 5)
    words = ["run", str(path), "-o", str(output), "--prompt", "{text}", "--dedupe"]
    with serving(Emulator()) as emulator:
        got = call(*words, **on(emulator))
        assert (got.exit_code, emulator.requests) == (0, 2)
        assert "8 rows repeat the request of an earlier row and share its answer" in got.stderr
    assert [row["result_text"] for row in lines(output)] == ["echo: a", "echo: b"] * 5


def on(emulator: Emulator) -> dict[str, Any]:
    return {"env": {"SEGMIND_BASE_URL": emulator.url, "SEGMIND_API_KEY": emulator.key}}


def test_a_dry_run_with_a_key_reads_the_balance_and_sends_nothing(rows: Path, tmp_path: Path) -> None:
    words = ["run", str(rows), "-o", str(tmp_path / "out"), "--dry-run"]
    for balance, says in [
        ("5", "5 credits: enough, also for the upper bound"),
        ("0.1", "0.1 credits: enough for the expected cost"),
        ("0.01", "0.01 credits: not enough"),
    ]:
        with serving(Emulator(balance=balance)) as emulator:
            got = call(*words, **on(emulator))
            assert (got.exit_code, emulator.requests) == (0, 0)
        assert got.stdout.splitlines()[-1] == f"balance       {says}"
    assert "balance       3 credits: enough" in call(*words, "--emulate", "--emulated-balance", "3").stdout
    kept = call(*words, "--emulate", "--floor", "4.999").stdout
    assert "not enough" in kept
    bounded = call(*words, "--emulate", "--emulated-balance", "0.1", "--max-credits", "0.05").stdout
    assert "at most 0.05 by --max-credits" in bounded
    assert "enough, also for the upper bound" in bounded
    with serving(Emulator(balance="2.5")) as emulator:
        emulator.state.add_account("SG_fedcba9876543210", "2.5")
        keys = f"{emulator.key},SG_fedcba9876543210"
        both = {"env": {"SEGMIND_BASE_URL": emulator.url, "SEGMIND_API_KEYS": keys}}
        assert "balance       5.0 credits: enough, also" in call(*words, **both).stdout
        # A floor is kept on each account.
        assert "balance       5.0 credits: not enough" in call(*words, "--floor", "2.499", **both).stdout
    nobody = {"env": {"SEGMIND_BASE_URL": "http://127.0.0.1:1/v1", "SEGMIND_API_KEY": "k"}}
    assert "balance       unknown (APIConnectionError" in call(*words, **nobody).stdout


def test_a_job_begins_whatever_it_may_cost_and_says_how_far_the_money_goes(
    rows: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    words = ["run", str(rows), "-o", str(output)]
    with serving(Emulator(balance="0.015", cost="0.001")) as emulator:
        got = call(*words, "--max-in-flight", "1", **on(emulator))
        assert got.exit_code == 3
        assert 10 <= (sent := emulator.requests) <= 15
        assert (
            "50 rows to send for about 0.0272 credits (0.00339 to 0.218: by the published mean of gpt-5.4-mini; "
            "known better after 20 rows); the 0.015 credits that may be spent last for about 27 of them, then "
            "the job stops and can be continued" in got.stderr
        )
        emulator.state.top_up("0.13")
        got = call(*words, "--floor", "0.05", "--max-credits", "0.075", **on(emulator))
        assert got.exit_code == 0
        assert (
            f"{50 - sent} rows to send for about 0.0{50 - sent} credits (95 % "
            f"confidence, by {sent} answered rows); the 0.0{75 - sent} credits that may be spent are enough"
            in got.stderr
        )


@pytest.mark.slow
def test_when_twenty_rows_are_known_the_cost_is_said_again(rows: Path, tmp_path: Path) -> None:
    words = ["run", str(rows), "-o", str(tmp_path / "out"), "--max-in-flight", "2"]
    with serving(Emulator(balance="0.045", cost="0.001", latency=0.1)) as emulator:
        got = call(*words, **on(emulator))
    assert got.exit_code == 3
    [again] = [line for line in got.stderr.splitlines() if "confidence" in line]
    assert "answered rows); the 0.0" in again
    assert "last for about" in again


@pytest.mark.parametrize(
    ("answer", "more", "code", "asked"),
    [
        pytest.param("n\n", [], 2, True, id="no"),
        pytest.param("\n", [], 2, True, id="no-by-default"),
        pytest.param("y\n", [], 3, True, id="yes"),
        pytest.param("", ["--yes"], 3, False, id="yes-given"),
        pytest.param("", ["--max-credits", "0.005"], 3, False, id="bounded-below-the-balance"),
        pytest.param("", ["--limit", "3"], 0, False, id="expected-to-suffice"),
    ],
)
def test_on_a_terminal_a_job_is_asked_about_that_is_expected_to_cost_too_much(
    rows: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
    more: list[str],
    code: int,
    asked: bool,
) -> None:
    monkeypatch.setattr(outlook, "is_terminal", lambda: True)
    with serving(Emulator(balance="0.01", cost="0.001")) as emulator:
        words = ["run", str(rows), "-o", str(tmp_path / "out"), *more]
        got = call(*words, input=answer, **on(emulator))
        assert got.exit_code == code, got.stderr
        assert ("[y/N]" in got.stderr) == asked
        assert (emulator.requests == 0) == (code == 2)
    assert ("not started, nothing was sent" in got.stderr) == (code == 2)


def test_a_job_begins_although_the_balance_cannot_be_read(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(_: object) -> None:
        raise sa.ServerError("HTTP 503")

    monkeypatch.setattr(sa.SegmindClient, "balance", unavailable)
    with serving(Emulator()) as emulator:
        got = call("run", str(rows), "-o", str(tmp_path / "out"), **on(emulator))
    assert got.exit_code == 0, got.stderr
    assert "known better after 20 rows)\n" in got.stderr


@pytest.mark.slow
def test_a_sample_is_paid_for_once_and_says_what_all_would_cost(rows: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    words = ["run", str(rows), "-o", str(output)]
    with serving(Emulator(balance="0.1", cost="0.001")) as emulator:
        got = call(*words, "--sample", "20", **on(emulator))
        assert (got.exit_code, emulator.requests) == (0, 20)
        assert "sent 20 of 50 rows" in got.stderr
        shown = got.stdout
        assert "done          20 rows for 0.02 credits, 0 failed; 0.0% to 16.1% of all may fail" in shown
        assert "credits       about 0.03, with 95 % confidence, by 20 answered rows" in shown
        assert "balance       0.08 credits: enough, also for the upper bound" in shown
        found = lines(output)
        assert len(found) == 20
        assert all(n * 50 // 20 <= row["index"] < (n + 1) * 50 // 20 for n, row in enumerate(found))
        told = json.loads(call(*words, "--sample", "20", "--json", **on(emulator)).stdout)
        assert (told["resumed"], told["forecast"]["done"], emulator.requests) == (20, 20, 20)
        assert (
            "sent 0 of 50 rows (20 of the sample before)"
            in call(*words, "--sample", "20", **on(emulator)).stderr
        )
        assert "to send       30 rows" in call(*words, "--dry-run", **on(emulator)).stdout
        assert call(*words, **on(emulator)).exit_code == 0
        assert set(emulator.billed().values()) == {1}
    assert [row["text"] for row in lines(output)] == [f"echo: word {n}" for n in range(50)]


def test_rows_may_be_piped_in(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    words = ["run", "-", "-o", str(output), "--prompt", "{text}", "--input-format", "csv", "--emulate"]
    got = call(*words, "--dry-run", input="text\na\nb\n")
    assert "to send       2 rows" in got.stdout
    assert list(tmp_path.iterdir()) == []
    for _ in range(2):
        got = call(*words, input=gzip.compress(b"text\na\nb\n"))
        assert got.exit_code == 0, got.stderr
        assert [row["result_text"] for row in lines(output)] == ["echo: a", "echo: b"]
        assert not (tmp_path / "out.jsonl.journal.input").exists()
    assert "(2 by earlier runs)" in got.stderr
    without = call("run", "-", "-o", str(output), input="x")
    assert without.exit_code == 2
    assert "with --input-format" in " ".join(without.stderr.split())


def test_rows_that_were_piped_in_are_kept_until_all_are_sent(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    words = ["run", "-", "-o", str(output), "--input-format", "jsonl"]
    piped = "".join(json.dumps({"prompt": f"row {n}"}) + "\n" for n in range(50))
    with serving(Emulator(balance="0.2", cost="0.01")) as emulator:
        assert call(*words, "--yes", input=piped, **on(emulator)).exit_code == 3
        kept = tmp_path / "out.jsonl.journal.input"
        assert kept.read_text() == piped
        emulator.state.top_up(5)
        again = call("run", str(kept), "-o", str(output), "--input-format", "jsonl", **on(emulator))
        assert again.exit_code == 0
        assert set(emulator.billed().values()) == {1}


def test_classify_with_rows_that_are_piped_in(tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    words = ["classify", "-", "-o", str(output), "--input-format", "csv", "--labels", "a,b"]
    got = call(*words, "--truth-column", "label", "--emulate", input="text,label\nx x,a\ny y,b\nx,a\n")
    assert got.exit_code == 0, got.stderr
    assert "accuracy" in got.stderr


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
    assert told["errors"] == {"InvalidRow": 1}
    assert [row["status"] for row in lines(output)] == ["ok", "failed", "ok"]
    assert lines(output)[1]["error"] == "InvalidRow: line 3: no value in column 'age'"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["out.csv", "out.parquet", "out.jsonl.gz"])
def test_the_name_of_the_output_says_its_form(rows: Path, tmp_path: Path, name: str) -> None:
    output = tmp_path / name
    assert call("run", str(rows), "-o", str(output), "--emulate").exit_code == 0
    # What was written is read: it has a text for every row.
    again = call("run", str(output), "-o", str(tmp_path / "again"), "--prompt", "{text}", "--emulate")
    assert again.exit_code == 0
    assert lines(tmp_path / "again")[3]["result_text"] == "echo: echo: word 3"


def test_what_is_read_is_not_written_over(rows: Path, tmp_path: Path) -> None:
    before = rows.read_bytes()
    for words in (["-o", str(rows)], ["-o", str(tmp_path / "out"), "--journal", str(rows)]):
        got = call("run", str(rows), *words, "--emulate")
        assert got.exit_code == 2
        assert "is the input; name another one" in " ".join(got.stderr.split())
    assert rows.read_bytes() == before


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


@pytest.mark.slow
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
    # The emulator has learnt from the even rows, which are all spam here.
    assert got.exit_code == 0
    assert "accuracy 50.0% of 40 rows" in got.stderr
    assert {row["label"] for row in lines(output)} == {"spam"}
    output = tmp_path / "other.jsonl"
    by_chance = call("classify", str(path), "-o", str(output), "--labels", "spam,ham", "--emulate")
    assert by_chance.exit_code == 0
    assert {row["label"] for row in lines(output)} <= {"spam", "ham"}


@pytest.mark.parametrize(
    ("options", "held"),
    [
        pytest.param((), True, id="a-model-that-takes-a-schema-is-held-to-the-labels"),
        pytest.param(("--labels-by", "prompt"), False, id="or-told-to-if-that-is-wanted"),
        pytest.param(("--model", "qwen-plus"), False, id="and-told-to-where-a-schema-may-not-be-taken"),
        pytest.param(("--model", "claude-4-sonnet"), True, id="claude"),
    ],
)
def test_how_labels_are_asked_for(tmp_path: Path, options: tuple[str, ...], held: bool) -> None:
    path, output = tmp_path / "rows.csv", tmp_path / "out.jsonl"
    path.write_text("text\nbuy\n")
    asked: list[Question] = []

    def answer(question: Question) -> str:
        asked.append(question)
        return '{"label": "Spam"}' if question.schema is not None else "Spam."

    with serving(Emulator(FunctionBrain(answer))) as emulator:
        words = ["classify", str(path), "-o", str(output), "--labels", "spam,ham", "--yes", *options]
        assert call(*words, **on(emulator)).exit_code == 0
    assert (asked[0].schema is not None) is held
    if asked[0].schema is not None:
        properties: Any = asked[0].schema["properties"]
        assert properties["label"]["enum"] == ["spam", "ham"]
    assert lines(output)[0]["label"] == "spam"


def test_what_is_no_label_is_a_failed_row_whose_text_is_kept(tmp_path: Path) -> None:
    path, output = tmp_path / "rows.csv", tmp_path / "out.jsonl"
    path.write_text("text\nbuy\n")
    texts = ["a spam, I think", '{"label": "eggs"}', '{"other": 1}', '{"label": "sp', "[]"]
    with serving(Emulator(FunctionBrain(lambda _question: texts[0]))) as emulator:
        for text in list(texts):
            words = ["classify", str(path), "-o", str(output), "--labels", "spam,ham", "--yes"]
            got = call(*words, "--retry-failed=NotALabel", **on(emulator))
            assert got.exit_code == 1
            (row,) = lines(output)
            assert (row["status"], row["label"], row["result_text"]) == ("failed", None, text)
            assert row["error"].startswith("NotALabel: ")
            texts.pop(0)


@pytest.mark.slow
def test_failed_rows_are_asked_again_by_class(rows: Path, tmp_path: Path) -> None:
    words = ["run", str(rows), "-o", str(tmp_path / "out.jsonl"), "--limit", "4", "--yes"]
    with serving(Emulator()) as emulator:
        emulator.script(faults.status(400), faults.status(503), *[faults.status(503)] * 3)
        assert call(*words, "--max-in-flight", "1", **on(emulator)).exit_code == 1
        classes = {row["error"].split(":")[0] for row in lines(tmp_path / "out.jsonl") if row["error"]}
        assert classes == {"BadRequestError", "ServerError"}
        assert call(*words, "--retry-failed=ServerError", **on(emulator)).exit_code == 1
        assert [row["status"] for row in lines(tmp_path / "out.jsonl")].count("failed") == 1
        assert call(*words, "--retry-failed", **on(emulator)).exit_code == 0
        unknown = call(*words, "--retry-failed=NoError", **on(emulator))
    assert unknown.exit_code == 2
    assert "'NoError' is not an error class" in unknown.stderr


def test_classify_with_examples(tmp_path: Path) -> None:
    path, shown, output = tmp_path / "rows.csv", tmp_path / "shown.csv", tmp_path / "out.jsonl"
    path.write_text("text\nsee you\nbuy\n")
    shown.write_text("text,label\ncheap pills,spam\nat noon?,HAM\n")
    words = ["classify", str(path), "-o", str(output), "--labels", "spam,ham", "--examples", str(shown)]
    asked: list[Any] = []

    def answer(question: Question) -> str:
        asked.append(question.messages)
        return "ham"

    with serving(Emulator(FunctionBrain(answer))) as emulator:
        assert call(*words, **on(emulator)).exit_code == 0
    spam, ham = '{"label": "spam"}', '{"label": "ham"}'
    before = [("user", "cheap pills"), ("assistant", spam), ("user", "at noon?"), ("assistant", ham)]
    assert sorted(asked) == [(*before, ("user", "buy")), (*before, ("user", "see you"))]
    shown.write_text("text,label\ncheap pills,spam\nat noon?,spam\n")
    with serving(Emulator()) as emulator:
        got = call(*words, **on(emulator))
        assert (got.exit_code, emulator.requests) == (2, 0)
        assert "with examples='2 rows, " in " ".join(got.stderr.split())
    shown.write_text("text,label\ncheap pills,eggs\n")
    got = call(*words, "--emulate")
    assert got.exit_code == 2
    assert "line 2: 'eggs' in column 'label' is none of spam, ham" in " ".join(got.stderr.split())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["run", "missing.jsonl", "-o", "x"], "does not exist"),
        (["run", "x" * 300, "-o", "x"], "cannot be read: File name too long"),
        (["run", "ROWS"], "Missing option"),
        (["run", "ROWS", "-o", "out", "--floor", "-1", "--emulate"], "is not an amount of credits"),
        (["run", "ROWS", "-o", "out", "--floor", "much", "--emulate"], "is not an amount of credits"),
        (["run", "ROWS", "-o", "out", "--floor", "1e999", "--emulate"], "is not an amount of credits"),
        (["run", "ROWS", "-o", "out", "--max-in-flight", "0"], "greater than or equal to 1"),
        (["run", "ROWS", "-o", "out", "--prompt", "{", "--emulate"], "write {{ and }}"),
        (["run", "ROWS", "-o", "out", "--rpm", "-5", "--emulate"], "requests_per_minute=-5"),
        (["run", "ROWS", "-o", "out", "--model", "a b", "--emulate"], "is not a slug"),
        (["run", "ROWS", "-o", "out.parquet.gz", "--emulate"], "Parquet is packed already"),
        (["classify", "ROWS", "-o", "out", "--labels", "one", "--emulate"], "at least two different"),
        (["run", "ROWS", "-o", "out", "--schema", f'{{"title": "{"x" * 300}"}}'], "names no module"),
        (["run", "ROWS", "-o", "out", "--journal", ".", "--emulate"], "journal='.' is a folder; name a file"),
        (["emulate", "--rpm", "0"], "greater than or equal to 1"),
        (["emulate", "--rpm", "nan"], "should be a valid integer"),
        (["serve", "--budgets", "LATIN", "--emulate"], "latin.toml' cannot be read: it is not UTF-8"),
        (["nonsense"], "No such command"),
    ],
)
def test_misuse_is_exit_code_2_and_one_line(
    words: list[str], says: str, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"# caf\xe9")
    files = {"ROWS": str(rows), "LATIN": str(latin)}
    got = call(*[files.get(word, word) for word in words])
    assert got.exit_code == 2
    assert says in " ".join(got.output.split())
    assert "Traceback" not in got.output


def test_a_place_that_cannot_be_written_is_exit_code_5(rows: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    got = call("run", str(rows), "-o", str(tmp_path / "file" / "out"), "--emulate")
    assert got.exit_code == 5
    assert "Not a directory" in got.stderr or "File exists" in got.stderr


def test_a_clean_end_leaves_results_and_journal_in_a_folder_that_is_made(rows: Path, tmp_path: Path) -> None:
    output = tmp_path / "results" / "today" / "out.jsonl"
    got = call("run", str(rows), "-o", str(output), "--emulate")
    assert got.exit_code == 0
    assert f"made the folder {output.parent}" in got.stderr
    assert sorted(each.name for each in output.parent.iterdir()) == ["out.jsonl", "out.jsonl.journal"]
    for path in (output, output.with_name("out.jsonl.journal")):
        told = json.loads(call("report", str(path), "--json").stdout)
        assert told["counts"]["ok"] == 50
    assert sorted(each.name for each in output.parent.iterdir()) == ["out.jsonl", "out.jsonl.journal"]
    assert "name one that ends in .journal" in " ".join(call("report", "nothing").stderr.split())


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="pipes")
def test_a_reader_that_leaves_ends_the_command_quietly(rows: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.jsonl"
    assert call("run", str(rows), "-o", str(output), "--emulate").exit_code == 0
    command = [sys.executable, "-m", "segmind_async", "report", str(output), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


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


@pytest.mark.slow
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


def test_an_interrupt_while_the_command_is_imported_is_no_traceback() -> None:
    script = """
import builtins, signal
from segmind_async.__main__ import main

def interrupted(name, *rest, real=builtins.__import__):
    if name == "cli":
        signal.raise_signal(signal.SIGINT)
    return real(name, *rest)

builtins.__import__ = interrupted
main()
"""
    got = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (got.returncode, got.stderr) == (130, "interrupted\n")


def test_progress_is_told_every_ten_seconds(
    rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A slow service: lines appear while it runs."""
    import anyio

    from segmind_async._jobs.own_request import own_request
    from segmind_async.cli import job as bulk
    from segmind_async.jobs import JobOptions

    async def main() -> Any:
        async with Emulator(latency=5) as emulator:
            emulator.script(*[faults.status(400)] * 3)
            client, options = ClientOptions(max_in_flight=8), JobOptions()
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("SEGMIND_BASE_URL", emulator.url)
                patch.setenv("SEGMIND_API_KEY", emulator.key)
                return await bulk.run(
                    bulk.Job(
                        rows,
                        tmp_path / "out",
                        own_request,
                        bulk.SpendingLimits(),
                        options,
                        client,
                        None,
                        None,
                        {},
                    ),
                    as_json=False,
                )

    code = anyio.run(main, backend_options={"loop_factory": VirtualTimeLoop})
    told = capsys.readouterr().err.splitlines()
    assert code == 1
    assert len([line for line in told if " of 50 rows done, 3 failed, " in line]) >= 3
    assert told[-1].startswith("results in")
    assert "  3 x BadRequestError, such as: HTTP 400: Something went wrong" in told


@pytest.mark.slow
def test_max_credits_bounds_a_job_over_all_its_runs_and_may_be_raised(rows: Path, tmp_path: Path) -> None:
    words = ["run", str(rows), "-o", str(tmp_path / "out"), "--max-in-flight", "1"]
    with serving(Emulator(cost="0.001")) as emulator:
        assert call(*words, "--max-credits", "0.01", **on(emulator)).exit_code == 3
        sent = emulator.requests
        assert 5 <= sent <= 10
        # What costs are known to be is known to the next run too: it keeps what this one has kept.
        again = call(*words, **on(emulator))
        used_up = call(*words, "--max-credits", f"0.{sent:03}", **on(emulator))
        kept = call(*words, **on(emulator))
        assert {again.exit_code, used_up.exit_code, kept.exit_code} == {3}
        assert emulator.requests == sent
        assert "no more credits may be spent: raise --max-credits" in kept.stderr.splitlines()[0]
        assert "at most 0 by --max-credits" in call(*words, "--dry-run", **on(emulator)).stdout
        assert call(*words, "--max-credits", "0.1", **on(emulator)).exit_code == 0
        assert emulator.requests == 50
        assert set(emulator.billed().values()) == {1}


@pytest.mark.parametrize("form", ["csv", "jsonl", "parquet"])
def test_the_output_has_the_columns_of_the_input_beside_the_results(tmp_path: Path, form: str) -> None:
    path, output = tmp_path / "mails.csv", tmp_path / f"out.{form}"
    path.write_text("nr,text,label\n1,cheap pills,spam\n2,at noon,ham\n3,buy\n")
    words = [
        "classify",
        str(path),
        "-o",
        str(output),
        "--labels",
        "spam,ham",
        "--truth-column",
        "label",
        "--emulate",
    ]
    assert call(*words).exit_code == 0
    back = tmp_path / "back.jsonl"
    assert (
        call("run", str(output), "-o", str(back), "--prompt", "{nr}", "--prefix", "r_", "--emulate").exit_code
        == 0
    )
    found = lines(back)
    assert [(row["nr"], row["text"], row["label"]) for row in found] == [
        ("1", "cheap pills", "spam"),
        ("2", "at noon", "ham"),
        ("3", "buy", "" if form == "csv" else None),
    ]
    assert {row["result_label"] for row in found} <= {"spam", "ham"}
    assert [row["truth"] for row in found] == ["spam", "ham", "" if form == "csv" else None]
    assert found[0]["r_text"] == "echo: 1"


def test_columns_of_parquet_keep_their_types_whatever_the_first_row_holds(tmp_path: Path) -> None:
    path, output = tmp_path / "in.parquet", tmp_path / "out.parquet"
    columns = {
        "prompt": ["a", "b", "c"],
        "count": pa.array([None, 7, None], pa.int64()),
        "large": pa.array([1, None, 2**63 + 1], pa.uint64()),
        "list": [None, ["x", "y"], []],
    }
    pq.write_table(pa.table(columns), path)
    assert call("run", str(path), "-o", str(output), "--emulate").exit_code == 0
    found = pq.read_table(output).select(["count", "large", "list"])
    assert found.to_pydict() == {
        "count": [None, 7, None],
        "large": ["1", None, "9223372036854775809"],
        "list": [None, '["x","y"]', "[]"],
    }


def test_an_output_that_is_not_of_this_job_is_not_replaced(rows: Path, tmp_path: Path) -> None:
    output = tmp_path / "notes.txt"
    output.write_text("mine")
    words = ["run", str(rows), "-o", str(output), "--emulate"]
    got = call(*words)
    assert got.exit_code == 2
    assert "no journal of this job explains it" in got.stderr
    assert output.read_text() == "mine"
    assert call(*words, "--overwrite").exit_code == 0
    assert len(lines(output)) == 50
    assert call(*words).exit_code == 0
    other = call(*words, "--journal", str(tmp_path / "other"))
    assert other.exit_code == 2
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("more", [["--limit", "7"], ["--sample", "7"]])
def test_fewer_rows_leave_the_finished_ones_in_the_output(
    rows: Path, tmp_path: Path, more: list[str]
) -> None:
    output = tmp_path / "out.jsonl"
    words = ["run", str(rows), "-o", str(output), "--emulate"]
    assert call(*words, *more).exit_code == 0
    assert len(lines(output)) == 7
    assert call(*words, "--limit", "30").exit_code == 0
    before = lines(output)
    assert 30 <= len(before) <= 37
    got = call(*words, *more)
    assert (got.exit_code, lines(output)) == (0, before)
    assert f"{len(before)} ok, 0 failed, 0 unsent ({len(before)} by earlier runs)" in got.stderr


LATIN = "text;label\nsch\xf6n, ja;a\n".encode("latin-1")


@pytest.mark.parametrize(
    ("name", "content", "words", "says"),
    [
        pytest.param(
            "a.csv", LATIN, ["--prompt", "{text}"], "line 2: after 'sch' byte 0xf6 is not UTF-8", id="latin-1"
        ),
        pytest.param("a.csv", LATIN, ["--prompt", "{text}"], "such as --encoding cp1252", id="the-way-out"),
        pytest.param("a.csv", b"text\na\n", ["--prompt", "hi"], "the prompt names no column", id="no-column"),
        pytest.param(
            "a.csv", b"text\na\n", [], "none of its 1 rows can be sent; line 2: neither", id="no-prompt"
        ),
        pytest.param("a.csv", b"text\n", ["--prompt", "{text}"], "has no rows", id="only-a-header"),
        pytest.param("a.jsonl", b"", [], "has no rows", id="empty"),
        pytest.param("a.jsonl", b"[1, 2", [], "begins as a JSON array and is none", id="half-an-array"),
        pytest.param("a.xlsx", b"PK", ["--prompt", "{text}"], "a spreadsheet: save it as CSV", id="xlsx"),
        pytest.param("a.txt", b"hello\n", [], "plain text, which has no columns", id="txt"),
        *(
            pytest.param(
                "a.csv",
                b"text\na\n",
                ["--prompt", "{text}", "--encoding", name],
                f"encoding={name!r}",
                id=name,
            )
            for name in ("hex", "rot13")
        ),
        pytest.param(
            "a.csv",
            b"text\na\n",
            ["--prompt", "{text}", "--encoding", "utf-16"],
            "line 1: it is not utf-16 from here on (",
            id="no-mark",
        ),
        pytest.param(
            "a.csv", b"text\na\n", ["--prompt", "{text}", "--encoding", "x9"], "encoding='x9'", id="encoding"
        ),
        pytest.param(
            "a.csv", b"t\na\n", ["--prompt", "{t}", "--delimiter", "ab"], "delimiter='ab'", id="delimiter"
        ),
        pytest.param(
            "a.csv", b"t,r_text\na,b\n", ["--prompt", "{t}", "--prefix", "r_"], "'r_text'", id="prefix"
        ),
    ],
)
def test_an_input_that_would_be_paid_for_in_vain_is_refused(
    tmp_path: Path, name: str, content: bytes, words: list[str], says: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with serving(Emulator()) as emulator:
        got = call("run", str(path), "-o", str(tmp_path / "out.jsonl"), *words, **on(emulator))
        assert (got.exit_code, emulator.requests) == (2, 0)
    assert says in " ".join(got.stderr.split())
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_a_truth_column_that_is_not_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\na,b\n")
    words = ["classify", str(path), "-o", str(tmp_path / "out"), "--labels", "a,b", "--emulate"]
    got = call(*words, "--truth-column", "truth")
    assert got.exit_code == 2
    assert "--truth-column names the column 'truth'" in got.stderr
    assert call(*words, "--text-column", "body").exit_code == 2


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        pytest.param("a.csv", LATIN, ["--encoding", "cp1252"], id="cp1252-with-semicolons"),
        pytest.param("a.csv", LATIN, ["--encoding", "latin-1", "--delimiter", ";"], id="delimiter"),
        pytest.param("a.tsv", "text\tlabel\nsch\xf6n, ja\ta\n".encode(), [], id="tsv"),
        pytest.param("a.tsv.gz", gzip.compress("text\tlabel\nsch\xf6n, ja\ta\n".encode()), [], id="tsv-gz"),
        pytest.param("a.csv", "text\tlabel\nsch\xf6n, ja\ta\n".encode(), ["--delimiter", "\\t"], id="tab"),
        pytest.param("a.json", '[\n {"text": "sch\xf6n, ja"}\n]'.encode(), [], id="array"),
        pytest.param("a.json", '[{"text": "sch\xf6n, ja"}]'.encode("utf-16"), [], id="array-utf-16"),
        pytest.param("a.txt", '{"text": "sch\xf6n, ja"}'.encode(), ["--input-format", "jsonl"], id="named"),
    ],
)
def test_files_as_they_are_found_are_read(
    tmp_path: Path, name: str, content: bytes, words: list[str]
) -> None:
    path, output = tmp_path / name, tmp_path / "out.jsonl"
    path.write_bytes(content)
    got = call("run", str(path), "-o", str(output), "--prompt", "{text}", "--emulate", *words)
    assert got.exit_code == 0, got.stderr
    assert "1 rows to send" in got.stderr or "1 row to send" in got.stderr
    assert [row["result_text"] for row in lines(output)] == ["echo: sch\xf6n, ja"]


def test_a_wrong_byte_far_behind_spoils_its_own_row_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(input_check, "_READ_FOR", -1.0)
    path, output = tmp_path / "a.csv", tmp_path / "out.jsonl"
    path.write_bytes(b'text\na\n"b\n\xe9\nx"\nc\n')
    got = call("run", str(path), "-o", str(output), "--prompt", "{text}", "--emulate")
    assert got.exit_code == 1
    assert [row["status"] for row in lines(output)] == ["ok", "failed", "ok"]
    assert "byte 0xe9 is not UTF-8" in lines(output)[1]["error"]


def batch_line(name: str, **body: Any) -> dict[str, Any]:
    given = {"model": "gpt-5.4-nano", "messages": [{"role": "user", "content": f"hi {name}"}], **body}
    return {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": given}


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_file_for_openais_batch_api_runs_unchanged(tmp_path: Path) -> None:
    rows = [batch_line("a", max_tokens=5, temperature=0, stream=False), batch_line("b", n=2)]
    rows.append({**batch_line("c"), "url": "/v1/embeddings"})
    rows.append(batch_line("d", model="claude-4-sonnet"))
    path, output = write_lines(tmp_path / "batch.jsonl", rows), tmp_path / "out.jsonl"
    words = ["run", str(path), "-o", str(output), "--output-format", "openai-batch"]
    asked: list[Question] = []

    def answer(question: Question) -> str:
        asked.append(question)
        return "hello"

    with serving(Emulator(FunctionBrain(answer))) as emulator:
        assert call(*words, **on(emulator)).exit_code == 1
    assert sorted(question.slug for question in asked) == ["claude-4-sonnet", "gpt-5.4-nano"]
    first, second, third, fourth = lines(output)
    assert [first["custom_id"], first["error"]] == ["a", None]
    assert first["response"]["status_code"] == 200
    assert first["response"]["body"]["choices"][0]["message"]["content"] == "hello"
    assert second["response"] is None
    assert "n=2: a row has one answer" in second["error"]["message"]
    assert "/v1/embeddings cannot be sent" in third["error"]["message"]
    assert fourth["response"]["body"]["choices"][0]["message"]["content"] == "hello"
    assert fourth["response"]["body"]["usage"]["total_tokens"] > 0


def test_what_a_row_names_itself_is_obeyed_or_refused(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"prompt": "a", "model": "gpt-5.4-nano", "temperature": 0.5, "max_tokens": 7, "note": "data"},
        {"prompt": "b"},
        {"prompt": "c", "temperature": "hot"},
        {"prompt": "d", "stream": True},
        {"prompt": "e", "model": 5},
    ]
    path, output = write_lines(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"
    asked: dict[str, Any] = {}

    def answer(question: Question) -> str:
        asked[question.slug] = dict(question.parameters)
        return "x"

    with serving(Emulator(FunctionBrain(answer))) as emulator:
        got = call("run", str(path), "-o", str(output), "--max-tokens", "9", **on(emulator))
        assert got.exit_code == 1
    assert {name: (asked[name].get("temperature"), asked[name].get("max_tokens")) for name in asked} == {
        "gpt-5.4-mini": (None, 9),
        "gpt-5.4-nano": (0.5, 7),
    }
    errors = [row["error"] for row in lines(output)]
    assert errors[:2] == [None, None]
    assert "temperature='hot' is not a JSON value" in errors[2]
    assert "stream=true" in errors[3]
    assert "model=5 is not a name of a model" in errors[4]
    table = tmp_path / "in.csv"
    table.write_text("prompt,temperature,max_tokens,tool_choice,model\na,0.25,,none,gpt-5\n")
    with open_rows(table, own_request) as read:
        (row,) = read
    assert row.request is not None
    assert (row.request.model, row.request.parameters) == (
        "gpt-5",
        {"temperature": 0.25, "tool_choice": "none"},
    )


@pytest.mark.slow
def test_results_may_go_to_standard_output(rows: Path, tmp_path: Path) -> None:
    words = ["run", str(rows), "-o", "-", "--emulate"]
    for _ in range(2):
        got = call(*words)
        assert got.exit_code == 0, got.stderr
        assert [json.loads(line)["text"] for line in got.stdout.splitlines()] == [
            f"echo: word {n}" for n in range(50)
        ]
        assert "results on standard output" in got.stderr
    assert "(50 by earlier runs)" in got.stderr
    assert (tmp_path / "rows.jsonl.journal").exists()
    table = call(*words, "--output-format", "csv", "--limit", "2")
    assert table.stdout.splitlines()[0].startswith("id,prompt,index,status,text")
    assert call(*words, "--json").exit_code == 2
    piped = ["run", "-", "-o", "-", "--input-format", "jsonl", "--emulate"]
    assert "with --journal" in call(*piped, input=rows.read_text()).stderr
    got = call(*piped, "--journal", str(tmp_path / "j"), input=rows.read_text())
    assert len(got.stdout.splitlines()) == 50


def test_rows_name_images_of_one_folder_and_formulas_are_spelt_out(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "a.png").write_bytes(drawn("PNG"))
    (tmp_path / "secret.png").write_bytes(drawn("PNG"))
    rows = tmp_path / "in.csv"
    rows.write_text("id,text,image\na,=1+1,a.png\nb,two,../secret.png\nc,three,\n")
    words = ("run", str(rows), "-o", str(tmp_path / "out.csv"), "--prompt", "{text}", "--csv-safe")
    got = call(*words, "--images-from", str(tmp_path / "pictures"), "--emulate")
    assert got.exit_code == 1, got.output
    with (tmp_path / "out.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert [row["status"] for row in found] == ["ok", "failed", "ok"]
    assert found[0]["text"] == "'=1+1"
    assert "'../secret.png' is not named by its path within the folder" in found[1]["error"]


def test_without_the_option_a_row_names_no_file(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(drawn("PNG"))
    url = (tmp_path / "a.png").as_uri()
    rows, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    parts = [{"type": "image_url", "image_url": {"url": one}} for one in (url, str(tmp_path / "a.png"))]
    rows.write_text("".join(json.dumps({"messages": [sa.user("what?", part)]}) + "\n" for part in parts))
    with serving(Emulator()) as emulator:
        environment = {"SEGMIND_BASE_URL": emulator.url, "SEGMIND_API_KEY": emulator.key}
        call("run", str(rows), "-o", str(out), env=environment)
        assert not emulator.requests
    assert [row["status"] for row in lines(out)] == ["failed", "failed"]
