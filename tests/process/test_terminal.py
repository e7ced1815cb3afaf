"""The live view of a real command in a real terminal, at several widths."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from segmind_async.emulator import Emulator
from tests.jobs.processes import environment, numbered, on_terminal, results, write
from tests.support import serving

_COLOUR, _CURSOR = re.compile(r"\x1b\[[0-9;]*m"), re.compile(r"\x1b\[[0-9;]*[A-Z]")


def seen(words: list[str], width: int, emulator: Emulator) -> tuple[int, list[str]]:
    """Run a command in a terminal; return its exit code and all lines that it has drawn, without colours."""
    code, drawn = on_terminal(words, width, environment(emulator))
    lines = _CURSOR.sub("\n", _COLOUR.sub("", drawn)).replace("\r", "\n").splitlines()
    return code, [line for line in lines if line]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "rows", "money", "end"),
    [
        pytest.param(
            50, r"^\d+/60 · \d+(\.\d+)? left", r" left · \d+ s to go$", r"^\d+/60 · .* to go$", id="50"
        ),
        *(
            pytest.param(
                width,
                r"^rows +\d+ ok · 0 failed · \d+ to go$",
                r"^credits +0\.\d+ spent · .*99\.\d+ left",
                r"^time +\d+ s so far · all done in (about \d+ s|a moment)$",
                id=str(width),
            )
            for width in (60, 80, 120)
        ),
    ],
)
def test_rows_money_and_end_are_there_at_any_width(
    width: int, rows: str, money: str, end: str, tmp_path: Path
) -> None:
    file = write(tmp_path / "in.jsonl", numbered(60))
    with serving(Emulator(latency=0.4, balance=100)) as emulator:
        words = ["run", str(file), "-o", str(tmp_path / "out.jsonl"), "--max-in-flight", "8"]
        code, lines = seen(words, width, emulator)
    assert code == 0
    assert [row["status"] for row in results(tmp_path / "out.jsonl")] == ["ok"] * 60
    assert lines[:2] == ["starting …", "⠋ reading in.jsonl"]
    paths = [line for line in lines if str(tmp_path) in line]
    assert max(len(line) for line in lines if line not in paths) <= width
    assert not [line for line in lines[1:] if "–" in line or ("…" in line and "slowest" not in line)]
    for fact in (rows, money, end):
        assert [line for line in lines if re.search(fact, line)], fact
    if width < 60:
        assert not [line for line in lines if line.startswith(("rows  ", "credits  ", "time  "))]
