"""The demo: a job that the guard stops, its result, and the honesty of its classifier."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from segmind_async.cli import app
from segmind_async.cli.demo import demo
from segmind_async.cli.demo.demo import Message
from segmind_async.emulator import Question


def known_words(row: Message) -> set[str]:
    return set(re.findall(r"\w+", row["text"].lower()))


def test_the_bundled_messages_are_balanced_and_distinct() -> None:
    messages = demo.messages()
    assert len({row["text"] for row in messages}) == len(messages) == 746
    counts = [sum(row["label"] == label for row in messages) for label in {row["label"] for row in messages}]
    assert len(counts) == 6
    assert min(counts) >= 115


def test_no_message_that_is_asked_was_learnt_nor_one_much_like_it() -> None:
    learnt, asked = demo.parted(demo.messages())
    assert (len(learnt), len(asked)) == (560, 186)
    seen = [known_words(row) for row in learnt]
    for row in asked:
        own = known_words(row)
        assert max(len(own & other) / len(own | other) for other in seen) < 0.6


@pytest.mark.slow
def test_the_model_is_right_about_most_messages_that_it_has_not_seen() -> None:
    learnt, asked = demo.parted(demo.messages())
    model = demo.brain(learnt)
    answers = [model.answer(Question("m", "", (("user", row["text"]),), {})) for row in asked]
    right = sum(answer == row["label"] for answer, row in zip(answers, asked, strict=True))
    assert right / len(asked) >= 0.85


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(demo, "_LATENCY", (0.0, 0.001))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


@pytest.mark.slow
@pytest.mark.usefixtures("_quick")
def test_the_demo_stops_in_front_of_the_floor_and_finishes_after_a_top_up() -> None:
    got = CliRunner().invoke(app, ["demo"], env={"COLUMNS": "80"})
    assert got.exit_code == 0, got.output
    assert "The guard has stopped in front of the floor" in got.stderr
    text = got.stdout
    assert "186 ok · 0 failed · 0 to go" in text
    assert "right ↓ given →  account  billing  feedback  returns  shipping  technical" in text
    assert re.search(r"floor     0.01 kept: stopped at 0.010\d*, 0 calls refused", text)
    assert re.search(r"paid      0.0\d+ for 186 rows in two runs, none twice", text)
    assert text.rstrip().splitlines()[-1].startswith("  segmind-async classify FILE.csv")
    page = re.search(r"^page +(.*)$", text, re.MULTILINE)
    assert page is not None
    assert "186" in Path(page[1]).read_text()
    assert max(map(len, text.splitlines())) <= 80 or str(Path(page[1]).parent) in text


@pytest.mark.slow
@pytest.mark.usefixtures("_quick")
def test_the_figures_of_the_demo_as_json() -> None:
    got = CliRunner().invoke(app, ["demo", "--json"])
    found = json.loads(got.stdout)
    assert found["refused"] == 0
    assert 0.01 <= float(found["stopped_at"]) < 0.0105
    assert found["rows"] == 186
    assert 0 < found["unsent"] < 186
    assert found["accuracy"] >= 0.85
    assert Path(found["page"]).is_file()
