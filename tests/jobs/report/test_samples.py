"""Which rows are kept for a look, and that they stay few."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import Any

import pytest

from segmind_async._jobs.journal.record import Record
from segmind_async._jobs.report.samples import OTHERS, Samples, shown_name


def record(name: object, status: str = "ok", **fields: Any) -> Record:
    return Record(f"id {name}", b"", status, **fields)


def test_the_slowest_and_the_dearest_are_those_of_a_sort() -> None:
    chance = random.Random(1)
    rows = [record(n, seconds=chance.random(), units=chance.randrange(10**6)) for n in range(5000)]
    samples = Samples(7)
    for row in rows:
        samples.add(row)
    by_time = sorted(rows, key=lambda row: -(row.seconds or 0))[:7]
    by_cost = sorted(rows, key=lambda row: -(row.units or 0))[:7]
    assert [f"id {row.name}" for row in samples.slowest] == [row.key for row in by_time]
    assert [f"id {row.name}" for row in samples.dearest] == [row.key for row in by_cost]
    assert samples.dearest[0].cost == Decimal(by_cost[0].units or 0).scaleb(-10)


def test_of_equal_rows_the_first_stay() -> None:
    samples = Samples(2)
    for name in "abc":
        samples.add(record(name, seconds=1.0))
    assert [row.name for row in samples.slowest] == ["a", "b"]
    assert samples.dearest == []


def test_errors_are_counted_by_class_with_the_first_as_an_example() -> None:
    samples = Samples()
    for n in range(10):
        samples.add(record(n, "failed", error_type="BadRequestError", message=f"no {n}"))
    samples.add(record("x", "failed", error_type="APITimeoutError", message="late"))
    samples.add(record("y", "failed"))
    assert [(one.name, one.count, one.example.message) for one in samples.errors] == [
        ("BadRequestError", 10, "no 0"),
        ("APITimeoutError", 1, "late"),
        ("Error", 1, None),
    ]
    assert [row.name for row in samples.failed] == ["0", "x", "y", "1", "2"]


def test_misjudged_rows_are_of_as_many_confusions_as_there_are() -> None:
    samples = Samples(3)
    for n in range(9):
        samples.add(record(n, label="spam", truth="ham"))
    samples.add(record("right", label="spam", truth="spam"))
    samples.add(record("unknown", label="spam"))
    samples.add(record("other", label="ham", truth="spam"))
    assert [row.name for row in samples.misjudged] == ["0", "other", "1"]
    assert samples.errors == []


def test_what_a_report_over_all_runs_shows_was_wanted_when_it_ended() -> None:
    chance = random.Random(2)
    whole, wanted = Samples(5), set()
    for _ in range(4):
        of_run = Samples(5)
        for _ in range(500):
            fails = chance.random() < 0.01
            row = record(
                chance.random(), "failed" if fails else "ok", seconds=chance.random(), units=chance.randrange(9**9),
                label="a", truth=chance.choice("aab"),
            )  # fmt: skip
            if of_run.wants(row):
                wanted.add(row.key)
            of_run.add(row)
            whole.add(row)
    shown = [*whole.failed, *whole.misjudged, *whole.ordinary, *whole.slowest, *whole.dearest]
    assert len(shown) == 3 + 3 + 3 * 5
    assert {f"id {row.name}" for row in shown} <= wanted
    assert whole.misjudged_count > 400
    assert all(row.label == row.truth and row.error is None for row in whole.ordinary)


def test_few_rows_of_many_are_wanted() -> None:
    samples, wanted, chance = Samples(), 0, random.Random(3)
    for n in range(5000):
        row = record(n, seconds=chance.random(), units=chance.randrange(10**6))
        wanted += samples.wants(row)
        samples.add(row)
    assert wanted < 300


def test_it_stays_small_whatever_comes() -> None:
    samples = Samples(5)
    for n in range(2000):
        samples.add(record(n, "failed", error_type=f"E{n}", message="m" * 70_000, excerpt="x" * 70_000))
        samples.add(record(n, label=f"a{n}", truth=f"b{n}", raw=b"r" * 1000, seconds=float(n)))
    assert len(samples.errors) == 65
    assert samples.errors[0].name == OTHERS
    assert samples.errors[0].count == 2000 - 64
    assert len(samples._misjudged._groups) == len(samples._failed._groups) == 65
    assert [len(rows) for rows in (samples.failed, samples.misjudged, samples.slowest)] == [5, 5, 5]
    assert len(samples.failed[0].message or "") == 300
    assert (samples.failed[0].excerpt or "").endswith("x…")


@pytest.mark.parametrize(
    ("key", "name"),
    [
        pytest.param("id r7", "r7", id="its-id"),
        pytest.param("id mail 3 of 5", "mail 3 of 5", id="an-id-with-blanks"),
        pytest.param("request 00112233445566778899aabbccddeeff (2)", "request 001122334455", id="a-digest"),
    ],
)
def test_a_row_is_named_as_its_user_knows_it(key: str, name: str) -> None:
    assert shown_name(key) == name
