"""What a job is said to cost beforehand, and which rows stand for all."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import segmind_async as sa
from segmind_async._jobs.cost_estimate import (
    UPPER_BOUND_IN_MEANS,
    Forecast,
    Moments,
    Terms,
    choose_rows,
    forecast,
    mean_of_rest,
    rows_at,
    share,
)
from segmind_async._jobs.journal.journal import Journal
from segmind_async._jobs.journal.record import Record
from segmind_async._jobs.known_rows import KnownRow
from segmind_async._jobs.own_request import own_request
from segmind_async._jobs.prompt_template import with_images, with_parameters
from segmind_async._jobs.row_keys import digest_of
from segmind_async._jobs.rows import Row
from segmind_async.jobs import JobOptions
from tests.jobs.mappings import open_mappings
from tests.pictures import drawn

MEAN = Decimal("0.000543")


def terms(model: str = "gpt-5.4-mini", at_once: int = 64, rpm: float | None = None) -> Terms:
    return Terms(model, at_once, rpm)


async def of(
    rows: list[dict[str, Any]],
    make: Any = own_request,
    where: Terms | None = None,
    journal: Journal | None = None,
) -> Forecast:
    with open_mappings(rows, make) as opened:
        return await forecast(opened, where or terms(), journal)


async def test_rows_are_counted_for_what_they_are() -> None:
    got = await of(
        [
            {"prompt": "a"},
            {"prompt": "a"},
            {"id": 5, "prompt": "a"},
            {"nothing": 1},
            {"prompt": "sch\ufffdn"},
            {"messages": []},
        ]
    )
    assert (got.rows, got.invalid, got.duplicates, got.garbled, got.to_send, got.done) == (6, 2, 2, 1, 4, 0)
    assert str(got.first_problem).startswith("row 4: neither 'prompt' nor 'messages'")
    assert got.expected == 4 * MEAN
    assert got.expected_between is None
    assert got.failing is None


async def test_an_answer_without_bound_is_reckoned_at_several_means_and_that_is_said() -> None:
    got = await of([{"prompt": "a"}] * 10)
    at_input = Decimal("0.75e-6") * Decimal(len('{"messages":[{"role":"user","content":"a"}]}')) / 4
    assert got.upper_bound == pytest.approx(10 * (UPPER_BOUND_IN_MEANS * MEAN + at_input))
    assert got.upper_bound_basis == "8 published means for each of 10 rows without a bound"


async def test_a_bound_on_the_answer_is_one_on_its_cost_where_the_price_is_known() -> None:
    got = await of([{"prompt": "a" * 4000}] * 10, with_parameters({"max_tokens": 10}, own_request))
    at_most = 10 * (Decimal("0.75e-6") * 1011 + Decimal("4.5e-6") * 10)
    assert got.upper_bound == pytest.approx(at_most, rel=Decimal("0.01"))
    assert got.upper_bound_basis == "every answer as long as it may be, at list price"
    tiny = await of([{"prompt": "a"}], with_parameters({"max_tokens": 1}, own_request))
    assert tiny.expected == tiny.upper_bound < MEAN
    elsewhere = await of(
        [{"prompt": "a"}], with_parameters({"max_tokens": 10}, own_request), terms("claude-4-sonnet")
    )
    assert (elsewhere.expected, elsewhere.upper_bound) == (Decimal("0.021433"), 8 * Decimal("0.021433"))


async def test_long_prompts_cost_more_than_the_mean_call() -> None:
    got = await of([{"prompt": "a" * 40_000}])
    assert got.expected == pytest.approx(Decimal("0.75e-6") * 10_011, rel=Decimal("0.001"))


async def test_rows_of_several_kinds_are_added_up_and_named_apart() -> None:
    made = iter([sa.ChatRequest("a", max_tokens=10), sa.ChatRequest("b"), sa.ChatRequest("c", model="o3")])
    got = await of([{}] * 3, lambda _: next(made))
    assert got.unbounded == 2
    assert got.upper_bound_basis.endswith(
        "each of 2 rows without a bound; else every answer as long as it may be, at list price"
    )
    picture = [sa.user("x", sa.image("https://example.com/a.png"))]
    assert (await of([{"messages": picture}], with_parameters({"max_tokens": 5}, own_request))).unbounded == 1


async def test_images_are_read_and_their_bytes_are_no_tokens(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(drawn("PNG"))
    (tmp_path / "b.png").write_bytes(b"no image")
    got = await of(
        [{"prompt": "four", "image": name} for name in ("a.png", "b.png")], with_images(tmp_path, own_request)
    )
    assert (got.to_send, got.invalid, got.input_tokens, got.unbounded) == (1, 1, 1, 1)
    assert "not a PNG, JPEG, GIF or WebP" in str(got.first_problem)


@pytest.mark.parametrize(
    ("where", "rows", "seconds"),
    [
        pytest.param(terms(at_once=10), 100, 51.0, id="by-latency"),
        pytest.param(terms(at_once=10, rpm=60), 100, 100.0, id="by-rate"),
        pytest.param(terms(at_once=64), 3, 5.1, id="fewer-rows-than-slots"),
        pytest.param(terms(at_once=64), 0, 0.0, id="none"),
        pytest.param(terms("nobody-knows", 1), 1, 7.1, id="unknown-model"),
    ],
)
async def test_the_slower_of_latency_and_rate_decides_how_long_it_takes(
    where: Terms, rows: int, seconds: float
) -> None:
    assert (await of([{"prompt": "a"}] * rows, where=where)).duration == pytest.approx(seconds)


async def test_rows_that_are_done_take_the_place_of_published_means(tmp_path: Path) -> None:
    rows = [{"id": str(n), "prompt": f"row {n}"} for n in range(1000)]
    chance = random.Random(1)
    costs = [round(1e6 * chance.lognormvariate(0, 0.5)) for _ in range(40)]
    with Journal(tmp_path / "j", {}) as journal:
        for n, units in enumerate(costs):
            request = sa.ChatRequest(f"row {n}")
            failed = n % 10 == 9
            await journal.keep(
                Record(
                    f"id {n}", digest_of(request), "failed" if failed else "ok", "BadRequestError" if failed else None,
                    units=None if failed else units, seconds=2.0, attempts=1,
                )
            )  # fmt: skip
        await asyncio.wrap_future(journal.flush())
        got = await of(rows, where=terms(at_once=8), journal=journal)
        with open_mappings(rows, own_request) as opened:
            again = await forecast(opened, terms(), journal, JobOptions(retry_failed=True))
    paid = [units for n, units in enumerate(costs) if n % 10 != 9]
    mean = sum(paid) / len(paid)
    assert (got.done, got.failed, got.to_send) == (40, 4, 960)
    assert got.spent == Decimal(sum(paid)).scaleb(-10)
    assert float(got.expected) == pytest.approx(960 * mean * 1e-10)
    between = got.expected_between
    assert between is not None
    assert between[0] < got.expected < between[1] < got.upper_bound
    assert got.upper_bound_basis == "what 36 answered rows cost, 1 job in 100 costs more"
    assert got.duration == pytest.approx(960 * 2 / 8)
    assert got.duration_between == pytest.approx((240, 240))
    assert got.failing is not None
    assert got.failing.low < 0.1 < got.failing.high
    assert (again.done, again.to_send) == (36, 964)
    told = got.as_json()
    assert told["expected_between"] == list(between)
    assert (told["spent"], told["seconds"]) == (got.spent, got.duration)


async def test_a_few_rows_that_are_done_say_too_little() -> None:
    got = Forecast(terms())
    row = Row(0, 1, "a", True, {}, sa.ChatRequest("a"))
    for _ in range(9):
        got.add(
            KnownRow(row, "k", b"", Record("k", b"", "ok", units=10**9), None), again=False, repeated=False
        )
    got.add(KnownRow(row, "k", b"", None, None), again=False, repeated=False)
    assert (got.is_measured, got.expected) == (False, MEAN)
    assert got.as_json()["expected_between"] is None


@pytest.mark.parametrize("count", [1, 7, 100])
def test_a_sample_takes_one_row_of_each_part_and_the_same_ones_each_time(count: int) -> None:
    got = choose_rows(count, 1000)
    assert got == choose_rows(count, 1000)
    assert [index * count // 1000 for index in got] == list(range(count))
    assert choose_rows(count, 1000, seed=1) != got


def test_every_row_has_the_same_chance() -> None:
    seen = Counter(index for seed in range(4000) for index in choose_rows(4, 20, seed))
    assert len(seen) == 20
    assert 650 < min(seen.values()) <= max(seen.values()) < 950


def test_a_sample_as_large_as_the_input_is_all_of_it() -> None:
    assert choose_rows(5, 5) == choose_rows(9, 5) == [0, 1, 2, 3, 4]
    assert choose_rows(3, 0) == []


def test_no_more_is_read_than_the_last_one_wanted() -> None:
    read = []

    def rows() -> Any:
        for n in range(10):
            read.append(n)
            yield Row(n, n + 1, str(n), False, {}, None)

    assert [row.index for row in rows_at(rows(), [2, 5])] == [2, 5]
    assert read == [0, 1, 2, 3, 4, 5]
    assert list(rows_at(rows(), [])) == []


def moments(*values: float) -> Moments:
    result = Moments()
    for value in values:
        result.add(value)
    return result


def test_moments() -> None:
    got = moments(1, 2, 3, 10)
    assert (got.count, got.total, got.mean) == (4, 16, 4)
    assert got.deviation == pytest.approx(4.08248, abs=1e-5)
    assert (Moments().mean, moments(5).deviation) == (0, 0)


def test_few_values_or_no_rest_give_no_interval() -> None:
    assert mean_of_rest(moments(*range(9)), 100) is None
    assert mean_of_rest(moments(*range(10)), 0) is None


def test_a_fixed_price_gives_an_interval_of_no_width() -> None:
    assert mean_of_rest(moments(*[0.1] * 20), 1000) == pytest.approx((0.1, 0.1))


def test_a_small_rest_widens_the_interval() -> None:
    values = moments(*range(10))
    few, many = mean_of_rest(values, 5), mean_of_rest(values, 10**6)
    assert few is not None
    assert many is not None
    assert few.high - few.low > 1.5 * (many.high - many.low)


def test_more_confidence_widens_the_interval_and_no_cost_is_negative() -> None:
    values = moments(*[0] * 9, 1)
    wide, narrow = mean_of_rest(values, 100, 0.99), mean_of_rest(values, 100, 0.5)
    assert wide is not None
    assert narrow is not None
    assert wide.low == 0 <= narrow.low < narrow.high < wide.high


@pytest.mark.parametrize(("sigma", "least"), [(0.3, 0.92), (0.8, 0.87), (1.2, 0.81)])
def test_the_interval_holds_the_mean_of_costs_with_a_long_tail_nearly_as_often_as_its_confidence(
    sigma: float, least: float
) -> None:
    chance, truth = random.Random(1), math.exp(sigma**2 / 2)
    hits = 0
    for _ in range(1000):
        got = mean_of_rest(moments(*[chance.lognormvariate(0, sigma) for _ in range(20)]), 10**6)
        assert got is not None
        hits += got.low <= truth <= got.high
    assert least <= hits / 1000 <= 0.98


@pytest.mark.parametrize(
    ("hits", "count", "expected"),
    [
        pytest.param(0, 20, (0.0, 0.161), id="none-seen-is-not-none-there"),
        pytest.param(20, 20, (0.839, 1.0), id="all"),
        pytest.param(5, 50, (0.043, 0.214), id="some"),
    ],
)
def test_shares(hits: int, count: int, expected: tuple[float, float]) -> None:
    assert share(hits, count) == pytest.approx(expected, abs=1e-3)
    assert share(0, 0) is None
