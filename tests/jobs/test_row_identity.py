"""How rows are recognised by the next run: by id, content and count, in whatever order they stand."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import segmind_async as sa
from segmind_async._jobs.journal import finished as finished_rows
from segmind_async._jobs.journal.finished import FinishedRows
from segmind_async._jobs.journal.journal import Journal
from segmind_async._jobs.journal.reader import JournalReader
from segmind_async._jobs.journal.record import Record
from segmind_async._jobs.known_rows import keyed, matched
from segmind_async._jobs.own_request import own_request
from segmind_async._jobs.prompt_template import template
from segmind_async._jobs.row_keys import key_of, name_of, source_of
from segmind_async._jobs.rows import Row, as_rows, rows_made
from segmind_async.testing import ScriptedTransport
from tests.support import client


async def sent(journal: Path, rows: str, **more: Any) -> int:
    """Run a job of rows such as `x1 x2 y1`, an id and what it asks; return how many calls it makes."""
    transport = ScriptedTransport()
    given = [{"id": row[0], "prompt": row} for row in rows.split()]
    async with client(transport) as opened, opened.run_job(given, journal=journal, **more) as run:
        got = {outcome.index: outcome async for outcome in run}
        await run.end()
        matched = [record async for _, record in run.matched(as_rows(given))]
    assert [got[index].text for index in range(len(given))] == [f"echo: {row}" for row in rows.split()]
    assert [record is not None and f"echo: {row}".encode() in (record.raw or b"") for record, row in zip(
        matched, rows.split(), strict=True
    )] == [True] * len(given)  # fmt: skip
    return len(transport.requests)


@pytest.mark.parametrize(
    ("runs", "calls"),
    [
        pytest.param(["x1 x2", "x2 x1"], [2, 0], id="two of one id change places"),
        pytest.param(["x1 x2 x3", "x3 x1 x2", "x2 x3 x1"], [3, 0, 0], id="three of one id"),
        pytest.param(["x1 x1 x2", "x2 x1 x1"], [3, 0], id="equal ones among them"),
        pytest.param(["x1 x1", "x1 x1 x1", "x1"], [2, 1, 0], id="equal ones stay and are counted"),
        pytest.param(["x1", "x2 x1", "x1 x2", "x2 x1"], [1, 1, 0, 0], id="another one stands before"),
        pytest.param(["x2 x1", "x1 x1", "x1 x2 x1"], [2, 1, 0], id="an equal one stands before"),
        pytest.param(["x1", "x2", "x1", "x2"], [1, 1, 0, 0], id="a row that changes, and back"),
        pytest.param(["x1 x2", "x2"], [2, 0], id="the first one is gone"),
        pytest.param(["x1 y1 x2 y2", "y2 x2 y1 x1"], [4, 0], id="of two ids"),
    ],
)
async def test_what_is_answered_is_not_asked_again_in_another_order(
    tmp_path: Path, runs: list[str], calls: list[int]
) -> None:
    assert [await sent(tmp_path / "j", rows) for rows in runs] == calls


@pytest.mark.parametrize("seed", range(6))
async def test_each_row_of_one_id_and_content_is_asked_once_over_all_runs(tmp_path: Path, seed: int) -> None:
    drawn = random.Random(seed)
    answered: Counter[str] = Counter()
    for _ in range(5):
        rows = drawn.choices(["x1", "x2", "x3", "y1", "y2"], k=drawn.randint(1, 8))
        calls = await sent(tmp_path / "j", " ".join(rows))
        assert calls == (Counter(rows) - answered).total()
        answered |= Counter(rows)
        assert await sent(tmp_path / "j", " ".join(rows)) == 0
        with JournalReader(tmp_path / "j") as reader:
            assert reader.counts()["ok"] >= len(rows), "each of them counts"
    assert await sent(tmp_path / "j", " ".join(answered.elements())) == 0


async def test_a_row_that_is_again_what_it_was_counts_in_place_of_what_it_has_been(tmp_path: Path) -> None:
    for rows in ("x1", "x2", "x1"):
        await sent(tmp_path / "j", rows)
    with JournalReader(tmp_path / "j") as reader:
        assert reader.counts() == {"ok": 1}
        assert [b"x1" in (record.raw or b"") for record in reader.rows(raw=True)] == [True]
    with Journal(tmp_path / "j", settings(tmp_path / "j")) as journal:
        assert journal.damage.rows == 0


def settings(path: Path) -> dict[str, object]:
    with JournalReader(path) as reader:
        return dict(reader.settings())


async def test_a_failed_row_of_a_shared_id_is_asked_again_on_demand_alone(tmp_path: Path) -> None:
    transport = ScriptedTransport()
    await sent(tmp_path / "j", "x1 x2")
    rows = [{"id": "x", "prompt": "x2"}, {"id": "x", "prompt": "x1"}]
    (_, digest), *_ = [keyed(row) for row in rows_made(rows, own_request)]
    with Journal(tmp_path / "j", settings(tmp_path / "j")) as journal:
        await journal.keep(Record("id#2 x", digest, "failed", "Odd", "of a reader", replaces=2))
    for again, calls in ((False, 0), (True, 1), (True, 0)):
        async with client(transport) as opened:
            options = sa.JobOptions(retry_failed=again)
            run = opened.run_job(rows, journal=tmp_path / "j", options=options)
            async with run:
                _ = [outcome async for outcome in run]
        assert len(transport.requests) == calls
        assert run.report.counts == ({"ok": 2} if again else {"ok": 1, "failed": 1})
        transport.requests.clear()


async def test_finished_rows_that_stay_with_another_prompt_stay_in_another_order_too(tmp_path: Path) -> None:
    columns = [{"id": "x", "text": "1"}, {"id": "x", "text": "2"}]
    transport = ScriptedTransport()
    async with client(transport) as opened:
        for prompt, given in (("a {text}", columns), ("b {text}", columns[::-1])):
            run = opened.run_job(
                rows_made(given, template(prompt)),
                journal=tmp_path / "j",
                options=sa.JobOptions(keep_finished=True),
                settings={"prompt": prompt},
            )
            async with run:
                texts = {outcome.index: outcome.text async for outcome in run}
    assert (texts, len(transport.requests)) == ({0: "echo: a 2", 1: "echo: a 1"}, 2)


@pytest.mark.parametrize("kept", [False, True], ids=["by request", "by source"])
async def test_of_long_answers_few_are_in_memory_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    monkeypatch.setattr(finished_rows, "_MOST_ANSWERS", 1000)
    rows = [*rows_made([{"prompt": "p" * 300, "column": n} for n in range(9)], own_request)]
    names = [(row, *keyed(row)) for row in rows]
    with Journal(tmp_path / "j", {}) as journal:
        for row, _, digest in names:
            raw = b"long" * 100 if row.index < 8 else b"longer" * 1000
            key = key_of(name_of(row, digest), row.index + 1)
            await journal.keep(
                Record(key, b"other" if kept else digest, "ok", source=source_of(row), raw=raw)
            )
    rows.insert(4, replace(rows[0], has_id=True, id="unknown"))

    async def batches() -> AsyncIterator[list[Row]]:
        yield rows

    with closing(await FinishedRows.open(tmp_path / "j", kept=9 if kept else 0)) as finished:
        parts = [part async for part in matched(finished, batches(), answers=True)]
    lengths = [[len(one.record.raw or b"") if one.record else None for one in part] for part in parts]
    assert lengths == [[400] * 3, [400, None, 400, 400], [400, 400, 6000]]
    assert [one.row for part in parts for one in part] == rows


@pytest.mark.parametrize("named", [True, False], ids=["by id", "by request"])
@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"temperature": 0.5}, id="a parameter"),
        pytest.param({"model": "gpt-5.4-nano"}, id="the model"),
        pytest.param({"prompt": "other"}, id="the prompt"),
    ],
)
async def test_a_row_of_which_anything_that_is_sent_has_changed_is_asked_again(
    tmp_path: Path, named: bool, changed: dict[str, object]
) -> None:
    row: dict[str, object] = {"prompt": "a", "temperature": 0.1, "model": "gpt-5.4-mini"}
    if named:
        row["id"] = "x"
    transport = ScriptedTransport()
    async with client(transport) as opened:
        for given in (row, {**row, "other column": 1}, {**row, **changed}):
            async with opened.run_job([given], journal=tmp_path / "j") as run:
                _ = [outcome async for outcome in run]
    assert len(transport.requests) == 2
