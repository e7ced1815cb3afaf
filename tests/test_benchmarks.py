"""The suite of measurements: its front door opens on all of them, and what they give lands where it belongs."""

from __future__ import annotations

import argparse
import json
import re
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks import clients, server, tables, worker
from benchmarks.__main__ import MEASUREMENTS
from benchmarks.tables import Table


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_a_measurement_has_options_and_can_be_run(name: str) -> None:
    module = import_module(f"benchmarks.{name}")
    module.add_options(argparse.ArgumentParser())
    assert callable(module.run)


def test_every_table_that_is_made_has_its_place_in_the_readme() -> None:
    places = set(re.findall(r"<!-- (.+?) -->\n", tables.README.read_text(encoding="utf-8"))) - {"end"}
    sources = "".join((tables.HERE / f"{name}.py").read_text(encoding="utf-8") for name in MEASUREMENTS)
    made = set(re.findall(r'Table\("([^"]+)"', sources)) | {"money", "rate", "situations", "limits"}
    assert made == places


def test_results_are_written_between_their_marks_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("a\n<!-- one -->\nold\n<!-- end -->\nb\n<!-- two -->\n\n<!-- end -->\nc")
    monkeypatch.setattr(tables, "README", readme)
    monkeypatch.setattr(tables, "RESULTS", tmp_path / "results")
    path = tables.keep("some", [Table("two", ("x", "y"), [["1", "2"]], "Above.")])
    text = readme.read_text()
    assert text.startswith(
        "a\n<!-- one -->\nold\n<!-- end -->\nb\n<!-- two -->\nAbove.\n\n| x | y |\n|---|---|\n| 1 | 2 |\n"
    )
    assert text.endswith("<!-- end -->\nc")
    kept = json.loads(path.read_text())
    assert kept["tables"][0]["rows"] == [["1", "2"]]
    assert {"python", "versions", "processor", "cores"} <= kept["machine"].keys()
    with pytest.raises(LookupError, match="no place for three"):
        tables.keep("some", [Table("three", ("x",), [])])


@pytest.mark.parametrize("client", [*clients.WAYS, "fan_out"])
def test_a_client_measures_itself(client: str) -> None:
    with server.running() as url:
        sample = worker.measure(client, "asyncio", url, 4, 40, timed=True)
    assert sample.cpu > 0
    assert sample.rate > 0
    assert 0 < sample.p50 <= sample.p99
