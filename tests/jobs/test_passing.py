"""What is passed over as a whole is what would have been found finished row by row, and no more."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BeforeValidator, TypeAdapter

import segmind_async as sa
from segmind_async._jobs import row_keys as identity
from segmind_async._jobs import run as runner
from segmind_async._jobs.journal import occurrences, stretches
from segmind_async._jobs.journal import writer as committer
from segmind_async._jobs.journal.journal import Journal
from segmind_async._jobs.journal.record import Record
from segmind_async._jobs.passing import Passing
from segmind_async._jobs.results import Reading, row_of
from segmind_async._jobs.rows import Row, open_mappings, own_request
from segmind_async._transport.aiohttp import WireRequest, WireResponse
from segmind_async.jobs import JobOptions, JobReport
from segmind_async.testing import ScriptedTransport, answer
from tests.support import client, status

Line = dict[str, object]


@dataclass(frozen=True)
class Step:
    """One run of a job: its input as it is then, how many answers come before it is stopped, and options."""

    rows: list[Line]
    answers: int
    retry: bool = False
    hand_on: bool = False


@dataclass
class Seen:
    """All that can be seen of a run."""

    asked: list[str]
    outcomes: list[tuple[int, sa.Status]]
    report: dict[str, Any]
    output: list[dict[str, Any]]


_line: st.SearchStrategy[Line] = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["a", "b", "c", None, None]),
        "prompt": st.sampled_from(["x", "y", "z", "fails", None]),
        "truth": st.sampled_from(["echo: x", None]),
    }
)


@st.composite
def _edited(draw: st.DrawFn, rows: list[Line]) -> list[Line]:
    """Draw what may become of an input between two runs; most often it stays."""
    edit = draw(st.sampled_from(["none", "none", "more", "less", "change", "insert", "swap", "turn"]))
    rows, at = list(rows), draw(st.integers(0, max(0, len(rows) - 1)))
    if edit == "more":
        return [*rows, *draw(st.lists(_line, max_size=6))]
    if edit == "insert":
        rows.insert(at, draw(_line))
    elif edit == "turn":
        rows.reverse()
    elif rows and edit == "less":
        del rows[at]
    elif rows and edit == "change":
        rows[at] = draw(_line)
    elif rows and edit == "swap":
        rows[at], rows[0] = rows[0], rows[at]
    return rows


@st.composite
def _histories(draw: st.DrawFn) -> list[Step]:
    inputs = [draw(st.lists(_line, min_size=4, max_size=14))]
    steps = []
    for _ in range(draw(st.integers(2, 5))):
        inputs.append(draw(_edited(draw(st.sampled_from(inputs[-3:])))))
        answers = draw(st.sampled_from([99, 99, 0, 3, 7]))
        options = draw(st.sampled_from([(False, False)] * 3 + [(True, False), (False, True)]))
        steps.append(Step(inputs[-1], answers, *options))
    return steps


def _replies(answers: int, asked: list[str]) -> Callable[[WireRequest], WireResponse]:
    def reply(request: WireRequest) -> WireResponse:
        prompt = json.loads(request.body or b"")["messages"][-1]["content"]
        if len(asked) == answers:
            return status(401)
        asked.append(prompt)
        return status(400, f"number {len(asked)}") if prompt == "fails" else answer(f"echo: {prompt}")

    return reply


async def _run(folder: Path, step: Step, *, dedupe: bool) -> Seen:
    asked: list[str] = []
    transport = ScriptedTransport(otherwise=_replies(step.answers, asked), keep=False)
    options = JobOptions(
        retry_failed=step.retry,
        hand_on=step.hand_on and not dedupe,
        dedupe=dedupe,
        read=lambda completion: Reading(label=completion.text),
        truth=lambda row: row.columns.get("truth"),  # type: ignore[arg-type,return-value]  # as it is drawn
    )
    output = []
    async with client(transport, limits=sa.Limits(max_in_flight=1)) as opened:
        with open_mappings(step.rows, own_request) as rows:
            job = opened.run_job(rows, journal=folder / "journal", options=options)
        async with job as outcomes:
            handed = [(outcome.index, outcome.status) async for outcome in outcomes]
            await outcomes.end()
            with open_mappings(step.rows, own_request) as rows:
                async for row, record in outcomes.matched(rows):
                    output.append(row_of(row, record))
                    output[-1].pop("elapsed")
        return Seen(asked, handed, _told(job.report), output)


def _told(report: JobReport) -> dict[str, Any]:
    names = ("counts", "errors", "examples", "right", "judged", "repeated", "resumed")
    return {name: getattr(report, name) for name in names}


async def _runs(steps: list[Step], *, dedupe: bool) -> list[Seen]:
    with tempfile.TemporaryDirectory() as folder:
        return [await _run(Path(folder), step, dedupe=dedupe) for step in steps]


@pytest.fixture(autouse=True)
def short_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (stretches, identity):
        monkeypatch.setattr(module, "LENGTH", 4)
    monkeypatch.setattr(committer, "BREATH", 0.0)


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many rows were looked at, a stretch at a time."""
    looked: list[int] = []
    whole = identity.looked_up

    async def counted(journal: Journal, batch: list[Row], **options: bool) -> list[identity.Known]:
        looked.append(len(batch))
        return await whole(journal, batch, **options)

    monkeypatch.setattr(runner, "looked_up", counted)
    return looked


@given(steps=_histories(), dedupe=st.booleans())
def test_a_job_that_passes_rows_over_is_one_that_looks_at_each(steps: list[Step], dedupe: bool) -> None:
    passing = asyncio.run(_runs(steps, dedupe=dedupe))
    with patch.object(Passing, "_is_done", lambda *_: False):
        looking = asyncio.run(_runs(steps, dedupe=dedupe))
    assert passing == looking


def _lines(*prompts: str | None) -> list[Line]:
    return [{"id": prompt, "prompt": prompt, "truth": None} for prompt in prompts]


NINE = _lines(*"abcdefghi")


async def _asked(folder: Path, rows: list[Line], answers: int = 99, *, retry: bool = False) -> str:
    return "".join((await _run(folder, Step(rows, answers, retry), dedupe=False)).asked)


async def test_an_input_that_was_another_in_between_is_not_passed_over(tmp_path: Path) -> None:
    await _asked(tmp_path, NINE)
    changed = [*_lines("a"), *({**line, "prompt": str(line["id"]).upper()} for line in NINE[1:3]), *NINE[3:]]
    assert await _asked(tmp_path, changed, answers=1) == "B"
    assert await _asked(tmp_path, NINE) == "b"
    assert await _asked(tmp_path, NINE) == ""


async def test_a_name_that_was_passed_over_elsewhere_than_it_was_asked_has_come_by(tmp_path: Path) -> None:
    await _asked(tmp_path, NINE)
    assert await _asked(tmp_path, NINE[::-1]) == ""
    # The first eight are passed over now, each at another place than when it was asked.
    assert await _asked(tmp_path, [*NINE[::-1], NINE[8]]) == "i"
    assert await _asked(tmp_path, [*NINE[::-1], NINE[8]]) == ""


async def test_a_record_of_another_input_is_none_of_the_rows_passed_over(tmp_path: Path) -> None:
    await _asked(tmp_path, NINE)
    others = [*_lines("A"), *NINE[1:]]
    assert await _asked(tmp_path, others) == "A"
    assert await _asked(tmp_path, [*others, NINE[0]]) == ""


async def test_rows_that_are_asked_again_are_not_passed_over(tmp_path: Path) -> None:
    rows = [*NINE[:5], *_lines("fails"), *NINE[5:]]
    await _asked(tmp_path, rows)
    assert await _asked(tmp_path, rows) == ""
    assert await _asked(tmp_path, rows, retry=True) == "fails"


async def test_a_row_that_cannot_be_used_is_never_asked_again(tmp_path: Path, looked: list[int]) -> None:
    rows: list[Line] = [*NINE[:3], {"id": "no"}, *NINE[3:]]
    assert await _asked(tmp_path, rows) == "abcdefghi"
    looked.clear()
    assert await _asked(tmp_path, rows, retry=True) == ""
    assert looked == [2]


async def test_an_answer_that_was_read_late_is_on_its_way_to_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(_value: object) -> object:
        raise asyncio.CancelledError  # as good as a crash: the answer is there, and nobody has read it

    async def statuses(prompts: str, parse: Any) -> list[str]:
        transport = ScriptedTransport(otherwise=lambda _: answer('"x"'))
        async with (
            client(transport, limits=sa.Limits(1)) as opened,
            opened.run_job(prompts, journal=tmp_path / "j", parse=parse) as outcomes,
        ):
            return [outcome.status async for outcome in outcomes]

    assert await statuses("a", TypeAdapter(Annotated[str, BeforeValidator(crash)])) == []
    keep = Journal.keep

    def keep_slowly(self: Journal, record: Record, submission: str | None = None) -> asyncio.Future[None]:
        kept = keep(self, record, submission)
        record.number = 99  # as the journal's thread may have it, in a commit that fails
        return kept

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "keep", keep_slowly)
        assert await statuses("abcd", str) == ["ok"] * 4
    with closing(sqlite3.connect(tmp_path / "j")) as database:
        assert database.execute("SELECT count(*) FROM stretches").fetchone() == (0,)


async def test_a_name_is_found_out_once_however_often_it_has_come_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    whole = occurrences._is_passed

    def counted(database: sqlite3.Connection, key: str, passed: int) -> bool:
        looks.append(key)
        return whole(database, key, passed)

    monkeypatch.setattr(occurrences, "_is_passed", counted)
    rows: list[Line] = [{"prompt": "x"}] * 80
    await _asked(tmp_path, rows)
    assert await _asked(tmp_path, [*rows, *rows[:40]]) == "x" * 40
    assert len(looks) <= 15, "seven to find the end of 80, and seven to find it exactly"


async def test_what_is_finished_is_looked_at_as_a_whole(tmp_path: Path, looked: list[int]) -> None:
    await _asked(tmp_path, NINE, answers=6)
    assert looked == [4, 4]
    looked.clear()
    assert await _asked(tmp_path, NINE) == "ghi"
    assert looked == [4, 1]
    looked.clear()
    assert await _asked(tmp_path, NINE) == ""
    assert looked == [1], "less than a stretch is never passed over"


async def test_of_rows_that_are_left_out_nothing_is_passed_over(tmp_path: Path) -> None:
    rows = _lines(*"abcdefghijklmnop")
    with open_mappings(rows, own_request) as all_rows:
        some = [*all_rows][::2]
    async with (
        client(ScriptedTransport()) as opened,
        opened.run_job(some, journal=tmp_path / "journal") as outcomes,
    ):
        assert [outcome.status async for outcome in outcomes] == ["ok"] * 8
    assert await _asked(tmp_path, rows) == "bdfhjlnp"


async def test_what_cannot_be_written_as_json_is_looked_at(tmp_path: Path) -> None:
    rows: list[Line] = [{"messages": [{"role": "user", "content": object()}]}, *NINE]
    assert await _asked(tmp_path, rows) == "abcdefghi"
    assert await _asked(tmp_path, rows) == ""


def test_it_says_how_far_it_is(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", {}) as journal:
        assert repr(Passing(journal, bool, look=False)) == "Passing(row=0, passing)"
