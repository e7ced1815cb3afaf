"""The suite of measurements: its front door opens on all of them, and what they give lands where it belongs."""

from __future__ import annotations

import argparse
import json
import re
from dataclasses import replace
from decimal import Decimal
from importlib import import_module
from pathlib import Path

import anyio
import pytest

from benchmarks import clients, server, tables, virtual, worker
from benchmarks.__main__ import MEASUREMENTS
from benchmarks.tables import Table
from benchmarks.week import Plan, Week, drawn_down


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


def test_a_small_week_ends_each_row_once_and_its_books_add_up() -> None:
    plan = Plan(rows=200, shard=20, keys=2, processes=2, calls=4, restart=2, part=60, lost=0.02)
    plan = replace(plan, process_dies=60, gateway_dies=60, outage=60, storm=60, refused=60)
    week = Week(plan)
    books = virtual.run(week.run())
    assert week.left == 0
    assert all(all(shard.kept) for shard in week.shards)
    assert len(books.events) >= 5
    assert books.failed < 20
    assert 0 < books.paid_twice <= books.in_flight_at_kills + books.lost
    assert books.nominal < books.ideal < books.finished_at
    spent = sum(account.state.account.spent for account in week.accounts)
    assert float(spent) == pytest.approx(books.calls * plan.cost, rel=0.3)
    assert books.below_floor == 0


def test_a_week_of_some_of_the_keys_has_their_part_of_the_rows() -> None:
    plan = Plan().of_keys(2)
    assert (plan.keys, plan.rows) == (2, 2_500_000)


def test_a_payment_that_comes_late_tells_whether_the_floor_was_kept() -> None:
    async def books(below: str) -> tuple[int, int]:
        week = Week(Plan(rows=1, keys=1, part=600))
        service = week.accounts[0].state.account
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(week._payments, week.accounts[0])
            for end in ("0", below):  # the first payment is in time
                service.charge(service.balance - Decimal(repr(week.plan.floor)) + Decimal(end))
                await anyio.sleep(60)
            tasks.cancel_scope.cancel()
        return week.books.draws, week.books.broken

    assert virtual.run(books("0")) == (1, 0)
    assert virtual.run(books("0.01")) == (1, 1)


def test_a_key_is_drawn_down_to_its_floor_each_time() -> None:
    plan = Plan(processes=1, calls=4)
    left = virtual.run(drawn_down(plan, 3, calls=20))
    assert len(left) == 3
    assert max(left) < 6 * plan.cost
