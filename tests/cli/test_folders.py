"""A folder as a job: many files, one journal, results of the same names, whatever is renamed, added or killed."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from segmind_async.emulator import Emulator, FunctionBrain
from tests.cli.test_commands import call, lines, on
from tests.jobs.processes import environment, finish, wait_for
from tests.support import serving

PROMPT = ("--prompt", "say {text}")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files of three formats with nine rows, of which each has its own ids."""
    (tmp_path / "in" / "sub").mkdir(parents=True)
    (tmp_path / "in" / "a.csv").write_text("id,text\n" + "".join(f"{n},a {n}\n" for n in range(4)))
    (tmp_path / "in" / "sub" / "b.tsv").write_text("id\ttext\n" + "".join(f"{n}\tb {n}\n" for n in range(3)))
    write(tmp_path / "in" / "sub" / "c.jsonl", "c", 2)
    return tmp_path / "in"


def write(path: Path, word: str, count: int) -> None:
    path.write_text("".join(json.dumps({"id": n, "text": f"{word} {n}"}) + "\n" for n in range(count)))


def words(folder: Path, *more: str, name: str = "out") -> list[str]:
    return ["run", str(folder), "-o", str(folder.with_name(name)), *PROMPT, *more]


def table(path: Path, delimiter: str = ",") -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def said(result: Any) -> str:
    return " ".join(result.stderr.split())


def test_results_mirror_the_files_and_nothing_is_asked_twice(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with serving(Emulator()) as emulator:
        got = call(*words(folder), **on(emulator))
        assert (got.exit_code, emulator.requests) == (0, 9), got.stderr
        assert "9 ok, 0 failed, 0 unsent" in got.stderr
        assert "for details: segmind-async report" in got.stderr
        assert json.loads(call("report", str(out), "--json").stdout)["counts"] == {"ok": 9, "failed": 0}
        assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*")) == [
            "a.csv",
            "sub/b.tsv",
            "sub/c.jsonl",
        ]
        found = [*table(out / "a.csv"), *table(out / "sub/b.tsv", "\t"), *lines(out / "sub/c.jsonl")]
        assert [int(row["index"]) for row in found] == list(range(9))
        assert [str(row["id"]) for row in found] == ["0", "1", "2", "3", "0", "1", "2", "0", "1"]
        assert [row["result_text"] for row in found] == [f"echo: say {row['text']}" for row in found]
        # Renamed, split, joined, copied and added to: only what is new is asked.
        (folder / "a.csv").rename(folder / "z.csv")
        write(folder / "sub" / "c.jsonl", "c", 5)
        write(folder / "new.jsonl", "b", 3)
        got = call(*words(folder), **on(emulator))
        assert (got.exit_code, emulator.requests) == (0, 9 + 3 + 3), got.stderr
        assert "15 ok, 0 failed, 0 unsent (9 by earlier runs)" in got.stderr
        assert f"1 files of results have no input any more and stay, such as {out / 'a.csv'}" in said(got)
        before = (out / "z.csv").read_bytes()
        (out / "z.csv").unlink()
        report = call("report", str(out)).stdout
        assert "finished" in report
        assert call(*words(folder, "--results-only")).exit_code == 0
        assert (out / "z.csv").read_bytes() == before
        # It is no run of the job.
        assert call("report", str(out)).stdout == report


def test_a_dry_run_a_sample_and_a_limit_are_of_the_whole_folder(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (folder / "empty.csv").write_text("text\n")
    with serving(Emulator()) as emulator:
        assert "to send       9 rows" in call(*words(folder, "--dry-run")).stdout
        assert not out.exists()
        got = call(*words(folder, "--sample", "2"), **on(emulator))
        assert (got.exit_code, emulator.requests) == (0, 2), got.stderr
        assert "sent 2 of 9 rows" in got.stderr
        got = call(*words(folder, "--limit", "5"), **on(emulator))
        assert got.exit_code == 0, got.stderr
        # A row of the sample that lies beyond the limit stays. A file without rows to write is not made.
        assert not (out / "empty.csv").exists()
        first = [*table(out / "a.csv"), *table(out / "sub/b.tsv", "\t")]
        assert [int(row["index"]) for row in first][:5] == list(range(5))
        assert emulator.requests <= 7
        assert call(*words(folder), **on(emulator)).exit_code == 0
        assert emulator.requests == 9
        assert table(out / "empty.csv") == []
        assert (out / "empty.csv").stat().st_size


def test_classify_takes_a_folder_too(folder: Path, tmp_path: Path) -> None:
    got = call("classify", str(folder), "-o", str(tmp_path / "out"), "--labels", "x,y", "--emulate")
    assert got.exit_code == 0, got.stderr
    assert {row["label"] for row in table(tmp_path / "out" / "a.csv")} <= {"x", "y"}


def test_to_begin_anew_keeps_the_folder_of_results(folder: Path, tmp_path: Path) -> None:
    assert call(*words(folder, "--emulate")).exit_code == 0
    before = (tmp_path / "out" / "a.csv").read_bytes()
    got = call(*words(folder, "--emulate", "--restart", "--model", "gpt-5"))
    assert got.exit_code == 0, got.stderr
    assert f"the old results {tmp_path / 'out.1'}" in said(got)
    assert (tmp_path / "out.1" / "a.csv").read_bytes() == before
    assert len(table(tmp_path / "out" / "sub" / "b.tsv", "\t")) == 3


def test_lines_of_the_batch_api_come_out_of_a_folder_of_them(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        body = {"model": "gpt-5.4-mini", "messages": [{"role": "user", "content": name}]}
        line = {"custom_id": name, "method": "POST", "url": "/v1/chat/completions", "body": body}
        (tmp_path / "in" / f"{name}.jsonl").write_text(json.dumps(line) + "\n")
    got = call(
        "run",
        str(tmp_path / "in"),
        "-o",
        str(tmp_path / "out"),
        "--output-format",
        "openai-batch",
        "--emulate",
    )
    assert got.exit_code == 0, got.stderr
    assert [lines(tmp_path / "out" / f"{name}.jsonl")[0]["custom_id"] for name in ("a", "b")] == ["a", "b"]


def test_what_cannot_work_is_refused_before_anything_is_sent(folder: Path, tmp_path: Path) -> None:
    with serving(Emulator()) as emulator:

        def refused(*arguments: str) -> str:
            got = call(*arguments, **on(emulator))
            assert (got.exit_code, emulator.requests) == (2, 0), got.stderr
            return said(got)

        assert "lies in the input" in refused("run", str(folder), "-o", str(folder / "out"), *PROMPT)
        assert "is the input; name another one" in refused("run", str(folder), "-o", str(folder), *PROMPT)
        assert "results of a folder are files" in refused("run", str(folder), "-o", "-", *PROMPT)
        one = ["run", str(folder / "a.csv"), "-o", str(tmp_path / "x.csv"), *PROMPT]
        assert "--files: input=" in refused(*one, "--files", "*.csv")
        assert "holds no files that match '*.x'" in refused(*words(folder, "--files", "*.x"))
        (tmp_path / "file").touch()
        assert "is a file, and the input a folder" in refused(*words(folder, name="file"))
        (tmp_path / "theirs" / "sub").mkdir(parents=True)
        for name in ("sub/b.tsv", "sub/c.jsonl"):
            (tmp_path / "theirs" / name).write_text("mine")
        assert "theirs/sub/b.tsv' is there already and 1 more, and no journal" in refused(
            *words(folder, name="theirs")
        )
        write(folder / "other.jsonl", "x", 1)
        (folder / "other.jsonl").write_text('{"body": "x"}\n')
        assert "other.jsonl' has 'body'" in refused(*words(folder))
        (folder / "other.jsonl").write_bytes(b'{"text": "caf\xe9"}\n')
        assert "other.jsonl', line 1: after" in refused(*words(folder))
        (folder / "other.jsonl").rename(folder / "other.parquet")
        assert "other.parquet' is not a Parquet file" in refused(*words(folder))
        for path in folder.rglob("*.*"):
            path.write_text("")
        assert "holds no files" not in refused(*words(folder, "--files", "*.jsonl"))
        assert "c.jsonl' has no rows" in refused(*words(folder, "--files", "*.jsonl"))
        assert (tmp_path / "theirs" / "sub" / "b.tsv").read_text() == "mine"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_named(folder: Path) -> None:
    (folder / "a.csv").chmod(0)
    got = call(*words(folder, "--emulate"))
    assert got.exit_code == 5
    assert "a.csv" in got.stderr


def test_a_row_that_cannot_be_used_is_named_with_its_file(folder: Path, tmp_path: Path) -> None:
    with (folder / "sub" / "c.jsonl").open("a") as file:
        file.write("no JSON\n")
    assert call(*words(folder, "--emulate")).exit_code == 1
    assert "sub/c.jsonl, line 3: not JSON" in lines(tmp_path / "out" / "sub" / "c.jsonl")[2]["error"]


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills processes")
def test_a_job_on_a_folder_that_is_killed_goes_on(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for n in range(20):
        write(tmp_path / "in" / f"{n:02}.jsonl", f"file {n}", 10)
    command = [sys.executable, "-m", "segmind_async", *words(tmp_path / "in", "--max-in-flight", "4")]
    with serving(Emulator(FunctionBrain(lambda question: question.prompt.upper()), latency=0.02)) as emulator:
        for after in (40, 90):
            process = subprocess.Popen(command, env=environment(emulator), stderr=subprocess.PIPE, text=True)
            wait_for(emulator, after)
            process.send_signal(signal.SIGKILL if after == 40 else signal.SIGINT)
            code, _ = finish(process)
            assert code == (-signal.SIGKILL if after == 40 else 130)
        process = subprocess.Popen(command, env=environment(emulator), stderr=subprocess.PIPE, text=True)
        assert finish(process)[0] == 0
        assert 200 <= emulator.requests <= 200 + 4
    found = [row for n in range(20) for row in lines(tmp_path / "out" / f"{n:02}.jsonl")]
    assert [row["result_text"] for row in found] == [f"SAY {row['text'].upper()}" for row in found]
    assert [row["index"] for row in found] == list(range(200))
