"""Nothing from outside reaches the terminal as it is: the whole command is driven with text that steers one.

Whatever a command prints, of answers, file names, columns, labels, models or words of a server, has its
control characters and changes of direction escaped. Results in files are data, and stay.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from segmind_async.cli import app
from segmind_async.emulator import Emulator, FunctionBrain, faults
from tests.jobs.processes import environment, on_terminal
from tests.support import serving

STEERS = ("\x1b]0;owned\x07", "\x1b[2J", "\x9b31m", "\u202e", "\x08", "\x7f")
"""Title, erase, a control sequence of one character, right to left, backspace, delete."""
EVIL = "".join(STEERS)
IN_NAME = "\x1b]0;owned\x07\u202e"
"""The same for the name of a file, short enough for any file system."""


@pytest.fixture(scope="module")
def service() -> Iterator[Emulator]:
    with serving(Emulator(FunctionBrain(lambda _: f"spam {EVIL}"), balance=100)) as emulator:
        yield emulator


def rows_in(folder: Path) -> Path:
    """Return a file of rows, good and bad, whose names and texts all steer."""
    path = folder / f"in{IN_NAME}.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "text", f"label{EVIL}"])
        writer.writerows([[f"r{n}{EVIL}", f"text {n} {EVIL}", EVIL] for n in range(3)])
        file.write(f'bad"{EVIL}",x\n')
    return path


def piped(words: list[str], variables: dict[str, str]) -> str:
    return CliRunner().invoke(app, words, env=variables).output


def drawn(words: list[str], variables: dict[str, str]) -> str:
    return on_terminal(words, 80, variables)[1]


def refused(code: int) -> faults.Answer:
    return faults.Answer(
        code, b'{"error": "no %s"}' % EVIL.encode("unicode_escape").replace(b"\\x", b"\\u00"),
        headers={"x-request-id": "id\u202e\x9b"},
    )  # fmt: skip


LABELS = f"spam {EVIL},ham"
COMMANDS: dict[str, tuple[list[str], faults.Fault | None]] = {
    "chat": (["chat", EVIL], None),
    "chat, refused": (["chat", "x"], refused(400)),
    "chat, of a proxy": (["chat", "x"], faults.Answer(403, f"<title>{EVIL}</title>".encode(), "text/html")),
    "chat, another model": (["chat", "x", "--model", f"gpt{EVIL}"], None),
    "chat, a parameter": (["chat", "x", "--param", f"{EVIL}=1"], refused(422)),
    "chat, not an option": (["chat", "x", f"--{EVIL}"], None),
    "not a command": ([EVIL], None),
    "chat, not a number": (["chat", "x", "--temperature", EVIL], None),
    "run": (["run", "IN", "-o", f"out{IN_NAME}.csv", "--prompt", "say {text}"], None),
    "run, refused": (["run", "IN", "-o", f"no{IN_NAME}.csv", "--prompt", "say {text}"], refused(400)),
    "run, key refused": (["run", "IN", "-o", f"no{IN_NAME}.csv", "--prompt", "{text}"], refused(401)),
    "run, to stdout as json": (["run", "IN", "-o", "j.csv", "--prompt", "say {text}", "--json"], None),
    "run, no such column": (["run", "IN", "-o", "x.csv", "--prompt", f"say {{x{EVIL}}}"], None),
    "run, no such file": (["run", f"none{IN_NAME}.csv", "-o", "x.csv"], None),
    "run, no such format": (["run", "IN", "-o", "x.csv", "--input-format", EVIL], None),
    "run, no prompt": (["run", "IN", "-o", "x.csv"], None),
    "run, no such schema": (["run", "IN", "-o", "x.csv", "--prompt", "{text}", "--schema", f"no{EVIL}.json"], None),
    "run, no such class": (["run", "IN", "-o", "x.csv", f"--retry-failed={EVIL}"], None),
    "dry run": (["run", "IN", "-o", "d.csv", "--prompt", "{text}", "--dry-run"], None),
    "sample": (["run", "IN", "-o", f"s{IN_NAME}.csv", "--prompt", "{text}", "--sample", "2"], None),
    "run, a folder": (["run", "IN", "-o", f"folder{IN_NAME}/o.csv", "--prompt", "{text}"], None),
    "changed prompt": (["run", "IN", "-o", f"out{IN_NAME}.csv", "--prompt", f"{EVIL} {{text}}"], None),
    "classify": (["classify", "IN", "-o", f"c{IN_NAME}.csv", "--labels", LABELS, "--truth-column", f"label{EVIL}"], None),
    "classify, one label": (["classify", "IN", "-o", "c.csv", "--labels", f"spam{EVIL}"], None),
    "report": (["report", f"c{IN_NAME}.csv.journal"], None),
    "report of failures": (["report", f"no{IN_NAME}.csv.journal"], None),
    "report, to a page": (["report", f"out{IN_NAME}.csv.journal", "--html", f"page{IN_NAME}.html"], None),
    "report, no journal": (["report", f"none{IN_NAME}"], None),
    "report, not a journal": (["report", "IN"], None),
    "balance": (["balance"], refused(401)),
    "serve, no such rules": (["serve", "--budgets", f"none{EVIL}"], None),
    "serve, no such host": (["serve", "--host", f"none{EVIL}", "--token", "x"], None),
}  # fmt: skip


def steered_by(
    run: Callable[[list[str], dict[str, str]], str], names: Iterable[str], rows: Path, service: Emulator
) -> dict[str, str]:
    """Run commands, and return the output of those that printed what steers a terminal."""
    variables, steered = {**environment(service), "COLUMNS": "80"}, {}
    for name in names:
        words, fault = COMMANDS[name]
        service.faults = None if fault is None else faults.RandomFaults((1, fault))
        text = run([rows.name if word == "IN" else word for word in words], variables)
        assert text
        assert "Traceback" not in text, f"{name}: {text}"
        if any(one in text for one in STEERS):
            steered[name] = text
    return steered


@pytest.mark.slow
def test_nothing_that_a_command_prints_from_outside_can_steer_the_terminal(
    service: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert not steered_by(piped, COMMANDS, rows_in(tmp_path), service)


@pytest.mark.slow
def test_nor_can_it_in_the_live_view(
    service: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = [
        "run",
        "run, refused",
        "run, key refused",
        "dry run",
        "sample",
        "changed prompt",
        "classify",
        "report",
    ]
    assert not steered_by(drawn, names, rows_in(tmp_path), service)
