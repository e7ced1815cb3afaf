"""The help: its text, its groups, and that it fits the terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from segmind_async.cli import app
from segmind_async.cli.exit_codes import MEANINGS, Exit

PINNED = Path(__file__).parent / "help"
COMMANDS = ("", "chat", "balance", "run", "classify", "report", "serve", "emulate", "demo")


def shown(command: str, columns: int, word: str = "--help") -> str:
    words = [command, word] if command else [word]
    return CliRunner().invoke(app, words, env={"COLUMNS": str(columns), "LINES": "24"}).stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_the_text_is_pinned(command: str) -> None:
    """After a wanted change: `for c in "" run …; COLUMNS=80 segmind-async $c -h > tests/cli/help/${c:-all}.txt`."""
    assert shown(command, 80) == (PINNED / f"{command or 'all'}.txt").read_text()


@pytest.mark.parametrize("columns", [60, 80, 120])
@pytest.mark.parametrize("command", COMMANDS)
def test_it_is_as_wide_as_the_terminal(command: str, columns: int) -> None:
    lines = shown(command, columns).splitlines()
    assert max(map(len, lines)) < columns
    if command in {"run", "classify"}:
        assert max(map(len, lines)) > columns - 12


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_two_examples_and_a_short_way_to_its_help(command: str) -> None:
    text = shown(command, 80, "-h")
    _, _, after = text.partition("Examples:\n")
    assert after.count("  segmind-async ") >= 2


def test_the_options_of_a_job_are_in_groups() -> None:
    text = shown("run", 80)
    groups = ["Input", "Output", "Model", "Limits of money and rate", "Delivery", "Display", "Examples"]
    places = [text.index(f"\n{name}:\n") for name in groups]
    assert places == sorted(places)


def test_environment_and_exit_codes_are_in_the_help_of_the_command_itself() -> None:
    text = " ".join(shown("", 120).split())
    for name in ("SEGMIND_API_KEY", "SEGMIND_BASE_URL", ".env", "segmind.toml"):
        assert name in text
    assert set(MEANINGS) == set(Exit)
    for code, meaning in MEANINGS.items():
        assert f"{code.value} {meaning}" in text
