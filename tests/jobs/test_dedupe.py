"""Equal requests asked once, if that is wanted."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import segmind_async as sa
from segmind_async._jobs.cost_estimate import Terms, forecast
from segmind_async._jobs.files.file_job import run_file
from segmind_async._jobs.journal.journal_error import JournalError
from segmind_async._jobs.own_request import own_request
from segmind_async.models import Request
from segmind_async.testing import ScriptedTransport
from tests.jobs.mappings import open_mappings
from tests.support import always, client, status

ROWS: list[dict[str, object]] = [
    {"id": "a", "prompt": "x"},
    {"id": "b", "prompt": "y"},
    {"id": "c", "prompt": "x"},
    {"prompt": "x"},
    {"id": "a", "prompt": "z"},
    {"no": "prompt"},
    {"no": "prompt"},
]

ONCE = sa.JobOptions(dedupe=True)


async def run(
    folder: Path, transport: ScriptedTransport, rows: list[dict[str, object]], options: sa.JobOptions = ONCE
) -> tuple[sa.JobReport, list[dict[str, Any]]]:
    output = folder / "out.jsonl"
    async with client(transport) as opened:
        report = await run_file(
            lambda found: opened.run_job(found, journal=folder / "j", options=options),
            lambda: open_mappings(rows, own_request),
            output,
        )
    return report, [json.loads(line) for line in output.read_text().splitlines()]


def asked(transport: ScriptedTransport) -> Counter[str]:
    return Counter(
        json.loads(request.body)["messages"][-1]["content"] for request in transport.requests if request.body
    )


async def test_equal_requests_are_asked_once_whatever_their_ids_and_paid_in_one_row(tmp_path: Path) -> None:
    transport = ScriptedTransport()
    report, got = await run(tmp_path, transport, ROWS)
    assert asked(transport) == {"x": 1, "y": 1, "z": 1}
    assert [row["text"] for row in got] == ["echo: x", "echo: y", "echo: x", "echo: x", "echo: z", None, None]
    assert [row["id"] for row in got] == ["a", "b", "c", "3", "a", "5", "6"]
    assert [row["attempts"] for row in got] == [1, 1, 0, 0, 1, 0, 0]
    assert [row["cost"] == "0" for row in got] == [False, False, True, True, False, False, False]
    assert (report.repeated, report.counts) == (2, {"ok": 5, "failed": 2})


async def test_the_same_again_asks_nothing_in_whatever_order(tmp_path: Path) -> None:
    transport = ScriptedTransport()
    await run(tmp_path, transport, ROWS)
    report, got = await run(tmp_path, transport, [*ROWS[::-1], {"prompt": "y"}])
    assert asked(transport).total() == 3
    assert [row["text"] for row in got[2:]] == [
        "echo: z",
        "echo: x",
        "echo: x",
        "echo: y",
        "echo: x",
        "echo: y",
    ]
    assert [row["attempts"] for row in got[2:]] == [1, 1, 0, 1, 0, 0]
    assert (report.resumed, report.repeated) == (3, 3)


async def test_what_failed_has_failed_for_all_who_ask_it_and_is_asked_again_once(tmp_path: Path) -> None:
    await run(tmp_path, ScriptedTransport(otherwise=always(status(400, "no"))), ROWS)
    fine = ScriptedTransport()
    report, got = await run(tmp_path, fine, ROWS)
    assert {row["status"] for row in got} == {"failed"}
    again = sa.JobOptions(dedupe=True, retry_failed=True)
    report, got = await run(tmp_path, fine, ROWS, again)
    assert asked(fine) == {"x": 1, "y": 1, "z": 1}
    assert report.counts == {"ok": 5, "failed": 2}


async def test_unless_it_is_wanted_every_row_is_asked(tmp_path: Path) -> None:
    transport = ScriptedTransport()
    report, _ = await run(tmp_path, transport, ROWS, sa.JobOptions())
    assert asked(transport) == {"x": 3, "y": 1, "z": 1}
    assert report.repeated == 0
    # By other keys all of it would be asked anew.
    with pytest.raises(JournalError, match="with dedupe=False, and now dedupe=True"):
        await run(tmp_path, transport, ROWS)


async def test_a_row_that_shares_an_answer_has_no_outcome_of_its_own_in_any_run(tmp_path: Path) -> None:
    transport = ScriptedTransport()
    given: list[Request] = ["x", "y", "x", "z"]
    for _ in range(2):
        async with (
            client(transport) as opened,
            opened.run_job(given, journal=tmp_path / "j", options=ONCE, ordered=True) as outcomes,
        ):
            got = [(outcome.id, outcome.text) async for outcome in outcomes]
        assert got == [("0", "echo: x"), ("1", "echo: y"), ("3", "echo: z")]
    assert asked(transport).total() == 3


async def test_a_forecast_does_not_reckon_with_what_is_not_asked() -> None:
    for options, to_send in [(sa.JobOptions(), 5), (ONCE, 3)]:
        with open_mappings(ROWS, own_request) as rows:
            found = await forecast(rows, Terms("gpt-5.4-mini", 1, None), None, options)
        assert (found.rows, found.duplicates, found.invalid, found.to_send) == (7, 2, 2, to_send)
