"""Options from the environment, `.env` and `segmind.toml`: which wins, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from segmind_async.cli import app
from segmind_async.cli.option_values.option_sources import (
    Option,
    Options,
    from_toml,
    from_variables,
    misspelt,
    read_defaults,
)
from segmind_async.errors import ConfigurationError

OPTIONS: Options = {
    "run": [
        Option("model", "model"),
        Option("max_in_flight", "max_in_flight"),
        Option("param", "param", repeatable=True),
        Option("json", "as_json"),
        Option("restart", "restart"),
        Option("token", "token"),
    ],
    "classify": [Option("model", "model"), Option("labels", "labels")],
}


def test_variables_are_named_as_the_options() -> None:
    variables = {
        "SEGMIND_MODEL": "o3", "SEGMIND_PARAM": "seed=7", "SEGMIND_JSON": "true", "SEGMIND_LABELS": "",
        "SEGMIND_RESTART": "true", "SEGMIND_TOKEN": "secret", "MODEL": "gpt-5", "segmind_model": "gpt-5",
        "SEGMIND_MAX_IN_FLIGHT": None,
    }  # fmt: skip
    assert from_variables(variables, OPTIONS) == {
        "run": {"model": "o3", "param": ["seed=7"], "as_json": "true"},
        "classify": {"model": "o3"},
    }


def test_a_variable_that_is_nearly_an_option_is_named() -> None:
    names = ["SEGMIND_MODL", "SEGMIND_MAX_INFLIGHT", "SEGMIND_API_KEY", "SEGMIND_QUITE_ELSE", "MODL"]
    assert misspelt(names, OPTIONS) == {
        "SEGMIND_MODL": "SEGMIND_MODEL",
        "SEGMIND_MAX_INFLIGHT": "SEGMIND_MAX_IN_FLIGHT",
    }


def test_keys_are_for_all_commands_and_tables_for_one() -> None:
    values = {
        "model": "o3",
        "max-in-flight": 4,
        "run": {"param": ["seed=7", "user=me"], "json": True, "model": "gpt-5"},
        "classify": {"labels": ["a", "b"]},
    }
    assert from_toml(values, OPTIONS, "f") == {
        "run": {
            "model": "gpt-5", "max_in_flight": "4", "param": ["seed=7", "user=me"], "as_json": "true",
        },
        "classify": {"model": "o3", "labels": "a,b"},
    }  # fmt: skip
    assert from_toml({"run": {"param": "seed=7"}}, OPTIONS, "f")["run"] == {"param": ["seed=7"]}


@pytest.mark.parametrize(
    ("values", "says"),
    [
        pytest.param({"modle": "x"}, "f, modle: there is no such option; did you mean model?", id="unknown"),
        pytest.param({"qqq": "x"}, "f, qqq: there is no such option", id="quite-unknown"),
        pytest.param(
            {"labels": "a,b", "run": {"labels": "a,b"}}, "f, [run] labels: there is no", id="of-another"
        ),
        pytest.param(
            {"rn": {}}, "f, [rn]: there is no command of this name; did you mean run?", id="command"
        ),
        pytest.param({"restart": True}, "f, restart: it is for one run; give --restart there", id="one-run"),
        pytest.param({"api_key": "SG_1"}, "set SEGMIND_API_KEY in the environment or in .env", id="the-key"),
        pytest.param({"run": {"token": "x"}}, "set SEGMIND_GATEWAY_TOKEN", id="a-token"),
        pytest.param(
            {"model": ["x"]}, "f, model=['x']: write a text, a number or true and false", id="a-list"
        ),
        pytest.param({"run": {"param": [1]}}, "or a list of texts", id="a-list-of-others"),
    ],
)
def test_what_cannot_be_set_is_refused_by_name(values: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        from_toml(values, OPTIONS, "f")
    assert says in str(caught.value)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_environment_wins_over_dot_env_and_that_over_the_file(folder: Path) -> None:
    assert read_defaults({}, OPTIONS) == ({"run": {}, "classify": {}}, {})
    (folder / "segmind.toml").write_text('model = "a"\nmax_in_flight = 1\n[run]\nparam = ["x=1"]\n')
    (folder / ".env").write_text("SEGMIND_MODEL=b\nSEGMIND_MAX_IN_FLIGHT=2\nSEGMIND_MODL=c\n")
    found, wrong = read_defaults({"SEGMIND_MODEL": "c"}, OPTIONS)
    assert found["run"] == {"model": "c", "max_in_flight": "2", "param": ["x=1"]}
    assert found["classify"] == {"model": "c"}
    assert wrong == {"SEGMIND_MODL": "SEGMIND_MODEL"}
    (folder / "segmind.toml").write_text("model = ")
    with pytest.raises(ConfigurationError, match=r"segmind\.toml cannot be read"):
        read_defaults({}, OPTIONS)


def call(*words: str, **env: str) -> Result:
    return CliRunner().invoke(app, list(words), env=env)


def test_an_argument_wins_over_all(folder: Path) -> None:
    (folder / "rows.csv").write_text("body\nx\n")
    (folder / "segmind.toml").write_text(
        'model = "gpt-5"\nemulate = true\n[run]\nprompt = "Say {body}"\nparam = ["seed=7"]\n'
    )

    def model(*words: str, **env: str) -> str:
        output = f"{len(list(folder.iterdir()))}.jsonl"
        got = call("run", "rows.csv", "-o", output, *words, **env)
        assert got.exit_code == 0, got.output
        report = json.loads(call("report", output, "--json").stdout)
        assert report["settings"]["parameters"] == {"seed": 7}
        return str(report["settings"]["model"])

    assert model() == "gpt-5"
    (folder / ".env").write_text("SEGMIND_MODEL=o3\n")
    assert model() == "o3"
    assert model(SEGMIND_MODEL="gpt-5-mini") == "gpt-5-mini"
    assert model("--model", "gpt-5-nano", SEGMIND_MODEL="gpt-5-mini") == "gpt-5-nano"


@pytest.mark.usefixtures("folder")
def test_a_value_that_cannot_be_used_says_where_it_stands() -> None:
    got = call("serve", SEGMIND_FLOOR="much")
    assert got.exit_code == 2
    told = " ".join(got.stderr.replace("│", " ").split())
    assert "'--floor': 'much' is not an amount of credits" in told
    assert "(from the environment, .env or segmind.toml)" in told
    got = call("serve", "--floor", "much")
    assert "segmind.toml" not in got.stderr


def test_a_file_that_cannot_be_used_is_named(folder: Path) -> None:
    (folder / "segmind.toml").write_text("flor = 1\n")
    got = call("chat", "x", "--emulate")
    assert got.exit_code == 2
    assert "segmind.toml, flor: there is no such option; did you mean floor?" in " ".join(got.stderr.split())


def test_a_dot_env_in_another_encoding_is_named(folder: Path) -> None:
    (folder / ".env").write_text("SEGMIND_FLOOR=1\n", encoding="utf-16")
    got = call("chat", "x", "--emulate")
    assert got.exit_code == 2
    assert ".env cannot be read: " in " ".join(got.stderr.split())
    assert "write it as UTF-8" in " ".join(got.stderr.split())


@pytest.mark.usefixtures("folder")
def test_a_misspelt_variable_is_named() -> None:
    got = call("chat", "x", "--emulate", SEGMIND_MODL="o3")
    assert got.exit_code == 0
    assert "the variable SEGMIND_MODL sets nothing: did you mean SEGMIND_MODEL?" in got.stderr
