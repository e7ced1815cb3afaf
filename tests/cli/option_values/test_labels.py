"""`--labels` and `--instructions`: names, files of definitions, and the prompt that is made of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from segmind_async._jobs.classify import Labels, read_definitions
from segmind_async.cli import app
from segmind_async.cli.option_values.labels import chosen_labels
from segmind_async.emulator import Emulator, FunctionBrain, Question
from segmind_async.errors import ConfigurationError
from tests.support import serving

FILE = """\ufeff---
# what our desk sorts by
spam: unwanted adverts: all of them
- "ham, good": 'mail that somebody waits for'
other:
plain
"""


def test_lines_with_labels_and_what_they_mean() -> None:
    assert read_definitions(FILE, "labels.yaml") == {
        "spam": "unwanted adverts: all of them",
        "ham, good": "mail that somebody waits for",
        "other": "",
        "plain": "",
    }


def test_json_with_labels_and_what_they_mean() -> None:
    assert read_definitions('{"a": "first", " b ": ""}', "x") == {"a": "first", "b": ""}
    assert read_definitions('["a", "b"]', "x") == {"a": "", "b": ""}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("a: x\n  more", "line 2: it is indented", id="indented"),
        pytest.param("a:x", "line 1: 'a:x' is no", id="no-blank-after-the-colon"),
        pytest.param(": x", "line 1", id="no-label"),
        pytest.param('"a" x', "line 1", id="text-after-the-quotes"),
        pytest.param("a: x\na: y", "line 2: the label 'a' is there twice", id="twice"),
        pytest.param("label,meaning\nspam,junk", "line 1: 'label,meaning' has a comma", id="a-table"),
        pytest.param("{", "is not JSON", id="no-json"),
        pytest.param('{"a": 1}', "'a' is not a label with a text", id="no-text"),
        pytest.param("[1]", "1 is not a label", id="no-name"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=r"labels='file'") as caught:
        read_definitions(text, "file")
    assert says in str(caught.value)


def test_labels_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="'Spam' and 'spam' cannot be told apart"):
        Labels(["Spam", "ham", "spam"])
    assert Labels(["spam", " spam", "ham"]).names == ["spam", "ham"]


def test_a_label_with_a_comma_is_quoted_in_the_prompt() -> None:
    assert 'nothing else: spam, "ham, good". The' in Labels(["spam", "ham, good"]).instruction


def test_the_prompt_has_instructions_and_meanings() -> None:
    plain = Labels(["a", "b"])
    assert plain.own_instruction is None
    assert plain.instruction.startswith("Classify the user's message. Answer with exactly one")
    full = Labels(["a", "b"], definitions={"a": "first"}, task=" Sort the mail. ")
    assert full.instruction.split("\n\n")[:2] == ["Sort the mail.", "The labels mean:\n- a: first"]
    assert "exactly one of these labels and nothing else: a, b." in full.instruction
    assert full.own_instruction == full.instruction
    assert Labels(["a", "b"], task="Sort.").instruction.startswith("Sort.\n\nAnswer with")


def test_the_options_take_names_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.yaml").write_text("a: first\nb\n")
    (tmp_path / "task").write_text("Sort.\n")
    assert chosen_labels("a, b", "prompt", None).names == ["a", "b"]
    for name in ("labels.yaml", "@labels.yaml"):
        found = chosen_labels(name, "prompt", "@task")
        assert (found.names, found.definitions) == (["a", "b"], {"a": "first"})
        assert found.instruction.startswith("Sort.\n\nThe labels mean:\n- a: first\n\n")
    with pytest.raises(typer.BadParameter, match=r"'none\.txt' cannot be read: No such file"):
        chosen_labels("none.txt", "prompt", None)
    (tmp_path / "latin").write_bytes(b"\xe9: x")
    with pytest.raises(typer.BadParameter, match="not UTF-8"):
        chosen_labels("@latin", "prompt", None)
    with pytest.raises(typer.BadParameter, match="empty"):
        chosen_labels("a,b", "prompt", " ")
    with pytest.raises(ConfigurationError, match="at least two"):
        chosen_labels("a", "prompt", None)


def test_the_model_is_told_what_the_labels_mean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def answer(question: Question) -> str:
        seen.append(question.system)
        return '{"label": "a"}'

    (tmp_path / "in.csv").write_text("text\nx\n")
    (tmp_path / "labels.yaml").write_text("a: first\nb: second\n")
    words = ["classify", str(tmp_path / "in.csv"), "-o", str(tmp_path / "out.csv")]
    words += ["--labels", str(tmp_path / "labels.yaml")]
    with serving(Emulator(FunctionBrain(answer))) as emulator:
        monkeypatch.setenv("SEGMIND_API_KEY", emulator.key)
        monkeypatch.setenv("SEGMIND_BASE_URL", emulator.url)
        got = CliRunner().invoke(app, [*words, "--instructions", "Sort by order."])
        assert got.exit_code == 0, got.output
        assert seen[0].startswith("Sort by order.\n\nThe labels mean:\n- a: first\n- b: second\n\n")
        other = CliRunner().invoke(app, [*words, "--instructions", "Sort by size."])
    assert other.exit_code == 2
    assert "--restart begins anew" in other.stderr
    assert len(seen) == 1
