"""Parameters of the model from options: how they are read, and that they reach the service."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from segmind_async.cli import app
from segmind_async.cli.option_values.parameters import parameters_of
from segmind_async.emulator import Emulator, FunctionBrain, Question
from tests.support import serving


def call(emulator: Emulator, *words: str) -> Result:
    env = {"SEGMIND_API_KEY": emulator.key, "SEGMIND_BASE_URL": emulator.url}
    return CliRunner().invoke(app, list(words), env=env)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("seed=7", 7, id="a-number"),
        pytest.param("reasoning_effort=low", "low", id="text"),
        pytest.param('stop=["a", "b"]', ["a", "b"], id="json"),
        pytest.param("user=", "", id="empty"),
        pytest.param("user=a=b", "a=b", id="the-first-equals-sign-divides"),
        pytest.param("penalty=NaN", "NaN", id="no-json-number"),
    ],
)
def test_a_value_is_json_or_else_text(text: str, value: object) -> None:
    assert list(parameters_of(None, None, None, [text]).values()) == [value]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["seed"], "not a NAME=VALUE"),
        (["=7"], "not a NAME=VALUE"),
        (["a b=7"], "not a NAME=VALUE"),
        (["temperature=0"], "use --temperature"),
        (["model=gpt-5"], "use --model"),
        (["seed=1", "seed=2"], "seed is given twice"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_anything_is_sent(given: list[str], says: str) -> None:
    with serving(Emulator()) as emulator:
        words = [word for text in given for word in ("--param", text)]
        got = call(emulator, "chat", "hello", *words)
        assert got.exit_code == 2
        assert says in " ".join(got.stderr.replace("│", " ").split())
        assert not emulator.calls


def test_parameters_reach_the_service(tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("text\na\n")
    options = ["--temperature", "0", "--top-p", "0.5", "--max-tokens", "9", "--param", "seed=7"]
    sent: list[Mapping[str, object]] = []

    def answer(question: Question) -> str:
        sent.append(question.parameters)
        return "a"

    with serving(Emulator(FunctionBrain(answer))) as emulator:
        assert call(emulator, "chat", "hello", *options).exit_code == 0
        run = ["run", str(rows), "-o", str(tmp_path / "out"), "--prompt", "{text}", "--yes"]
        assert call(emulator, *run, *options).exit_code == 0
        classify = ["classify", str(rows), "-o", str(tmp_path / "labels"), "--labels", "a,b", "--yes"]
        assert call(emulator, *classify, *options).exit_code == 0
    assert len(sent) == 3
    for parameters in sent:
        assert {name: parameters[name] for name in ("temperature", "top_p", "max_tokens", "seed")} == {
            "temperature": 0, "top_p": 0.5, "max_tokens": 9, "seed": 7,
        }  # fmt: skip


def test_a_timeout_ends_a_call() -> None:
    with serving(Emulator(latency=30)) as emulator:
        got = call(emulator, "chat", "hello", "--timeout", "0.2")
    assert got.exit_code == 1
    assert "APITimeoutError" in got.stderr
