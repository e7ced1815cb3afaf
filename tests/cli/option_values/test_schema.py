"""`--schema`: what it takes, what it refuses, and the columns of the output."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from segmind_async.cli import app
from segmind_async.cli.option_values.schema import read_schema

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": ["integer", "null"]},
        "tags": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
}
MODULE = """
from collections.abc import Callable
from enum import Enum
from typing import Annotated
from pydantic import BaseModel, PlainSerializer

class Kind(Enum):
    GOOD = "good"
    BAD = "bad"

class Item(BaseModel):
    price: float

class Invoice(BaseModel):
    kind: Kind
    item: Item
    text: str

class Odd(BaseModel):
    n: Annotated[int, PlainSerializer(str, return_type=Callable[..., int])]

Names = list[str]
broken = 3
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    (tmp_path / "rows.csv").write_text("nr,body\n1,alpha\n2,beta\n")
    (tmp_path / "s.json").write_text(json.dumps(SCHEMA))
    (tmp_path / "invoice_models.py").write_text(MODULE)
    return tmp_path


def run(output: str, schema: str, *more: str) -> Result:
    words = ["run", "rows.csv", "-o", output, "--prompt", "Read {body}", "--schema", schema, "--emulate"]
    return CliRunner().invoke(app, [*words, *more])


def table(path: Path) -> list[dict[str, Any]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_fields_of_a_json_schema_become_columns(folder: Path) -> None:
    assert run("out.csv", "s.json").exit_code == 0
    rows = table(folder / "out.csv")
    assert "parsed" not in rows[0]
    for row in rows:
        answer = json.loads(row["text"])
        assert row["name"] == answer["name"]
        assert row["age"] == ("" if answer["age"] is None else str(answer["age"]))
        assert json.loads(row["tags"]) == answer["tags"]
    assert run("out.jsonl", "s.json").exit_code == 0
    line = json.loads((folder / "out.jsonl").read_text().splitlines()[0])
    assert {name: line[name] for name in SCHEMA["properties"]} == json.loads(line["text"])


def test_a_file_may_begin_with_a_byte_order_mark(folder: Path) -> None:
    (folder / "marked.json").write_text(json.dumps(SCHEMA), encoding="utf-8-sig")
    assert list(read_schema("marked.json").fields) == ["name", "age", "tags"]


def test_fields_in_parquet(folder: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert run("out.parquet", "s.json").exit_code == 0
    found = parquet.read_table(folder / "out.parquet")
    assert str(found.schema.field("age").type) == "int64"
    row = found.to_pylist()[0]
    assert row["name"] == json.loads(row["text"])["name"]


def test_fields_of_a_type_become_columns(folder: Path) -> None:
    assert run("out.csv", "invoice_models:Invoice").exit_code == 0
    row = table(folder / "out.csv")[0]
    answer = json.loads(row["text"])
    assert row["kind"] == answer["kind"]
    assert row["parsed_text"] == answer["text"]
    assert json.loads(row["item"]) == answer["item"]


@pytest.mark.usefixtures("folder")
def test_a_type_whose_written_form_has_no_schema_has_one_column() -> None:
    assert read_schema("invoice_models:Odd").fields == {}


def test_a_list_stands_in_the_column_of_the_whole_answer(folder: Path) -> None:
    assert run("out.csv", "invoice_models:Names").exit_code == 0
    assert isinstance(json.loads(table(folder / "out.csv")[0]["parsed"]), list)


def test_another_schema_is_another_job(folder: Path) -> None:
    assert run("out.csv", "s.json").exit_code == 0
    got = run("out.csv", "invoice_models:Invoice")
    assert got.exit_code == 2
    assert "--restart begins anew" in got.stderr
    dry = run("out.csv", "s.json", "--dry-run")
    assert dry.exit_code == 0, dry.output


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        pytest.param("none.json", "No such file", id="no-file"),
        pytest.param("rows.csv", "is not JSON", id="no-json"),
        pytest.param("list.json", "holds no JSON schema", id="no-object"),
        pytest.param("no_such_module:A", "No module named", id="no-module"),
        pytest.param("invoice_models:Nothing", "has no attribute 'Nothing'", id="no-type"),
        pytest.param("invoice_models:broken", "3", id="no-schema"),
        pytest.param("./invoice_models.py:Item", "as invoice_models:Item", id="a-path"),
        pytest.param("invoice_models.py:Item", "as invoice_models:Item", id="a-file-name"),
        pytest.param(".invoice_models:Item", "names no module", id="relative"),
        pytest.param("broken_module:A", "SyntaxError", id="no-python"),
        pytest.param("leaving_module:A", "SystemExit: 3", id="a-module-that-exits"),
        pytest.param("json:loads", "is a function", id="a-function"),
    ],
)
def test_what_is_no_schema_is_named(folder: Path, schema: str, says: str) -> None:
    (folder / "list.json").write_text("[]")
    (folder / "broken_module.py").write_text("class A(:\n")
    (folder / "leaving_module.py").write_text("raise SystemExit(3)\n")
    got = run("out.csv", schema)
    assert got.exit_code == 2
    told = " ".join(got.stderr.split())
    assert "--schema" in told
    assert says in told
    assert not (folder / "out.csv").exists()
