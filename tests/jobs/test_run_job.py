"""A job as a call of the library: outcomes come out, those of earlier runs included, however they are delivered."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

import anyio
import pytest
from pydantic import AfterValidator, BaseModel, BeforeValidator, TypeAdapter
from pydantic_core import to_json

import segmind_async as sa
from segmind_async._jobs.journal.journal import Journal
from segmind_async._jobs.journal.reader import JournalReader
from segmind_async._jobs.results import ParsedAnswer, row_of
from segmind_async._jobs.rows import Row, as_rows
from segmind_async.emulator import Emulator, FunctionBrain, faults
from segmind_async.models import Request
from segmind_async.testing import ScriptedTransport, answer
from segmind_async.transport import WireResponse
from tests.support import KEY, always, client, lost, status

T = TypeVar("T")

QUEUED = sa.JobOptions(delivery="queued")


def rows(count: int) -> list[sa.ChatRequest]:
    return [sa.ChatRequest(f"row {n}", id=f"r{n}") for n in range(count)]


async def outcomes(run: sa.JobRun[T]) -> list[sa.Outcome[T]]:
    async with run as running:
        return sorted([outcome async for outcome in running], key=lambda outcome: outcome.index)


async def test_outcomes_come_from_the_service_and_then_from_the_journal(tmp_path: Path) -> None:
    transport = ScriptedTransport()
    async with client(transport) as opened:
        run = opened.run_job(rows(100), journal=tmp_path / "j", ordered=True)
        first = await outcomes(run)
        assert run.report.counts == {"ok": 100}
        assert run.report.resumed == 0
        again = opened.run_job(rows(120), journal=str(tmp_path / "j"))
        second = await outcomes(again)
    assert [outcome.text for outcome in second] == [f"echo: row {n}" for n in range(120)]
    assert [outcome.id for outcome in second] == [f"r{n}" for n in range(120)]
    assert [outcome.index for outcome in second] == list(range(120))
    for before, after in zip(first, second[:100], strict=True):
        assert before.completion is not None
        assert after.completion is not None
        assert after.completion.raw == before.completion.raw
        assert after.completion.usage == before.completion.usage
        assert (after.cost, after.attempts, after.status) == (before.cost, before.attempts, before.status)
    assert (again.report.resumed, again.report.counts) == (100, {"ok": 120})
    assert len(transport.requests) == 120


@pytest.mark.slow
async def test_any_form_of_rows_will_do(tmp_path: Path) -> None:
    async def slowly() -> AsyncIterator[sa.ChatRequest | str]:
        for n in range(5):
            await anyio.sleep(600)
            made.append(n)
            yield sa.ChatRequest(f"{n}", id="same") if n % 2 else f"{n}"

    async with client(ScriptedTransport(latency=1.0)) as opened:
        got: list[str | None] = []
        made: list[int] = []
        async with opened.run_job(slowly(), journal=tmp_path / "j") as run:
            async for outcome in run:
                got.append(outcome.text)
                assert len(made) == len(got), "it comes before the next is there"
        assert got == [f"echo: {n}" for n in range(5)]
        given: list[Request] = [[sa.user("a")], "b", "b"]
        assert [o.text for o in await outcomes(opened.run_job(given, journal=tmp_path / "k"))] == [
            "echo: a",
            "echo: b",
            "echo: b",
        ]


async def test_a_failed_row_comes_back_as_the_error_it_was(tmp_path: Path) -> None:
    refusing = ScriptedTransport(otherwise=always(status(400, "no good")))
    async with client(refusing) as opened:
        await outcomes(opened.run_job(rows(3), journal=tmp_path / "j"))
    fine = ScriptedTransport()
    async with client(fine) as opened:
        (first, *_) = await outcomes(opened.run_job(rows(3), journal=tmp_path / "j"))
        assert isinstance(first.error, sa.BadRequestError)
        assert str(first.error) == "HTTP 400: no good"
        assert (first.status, first.attempts, first.error.attempts) == ("failed", 1, 1)
        other = sa.JobOptions(retry_failed=frozenset({"ServerError"}))
        await outcomes(opened.run_job(rows(3), journal=tmp_path / "j", options=other))
        assert fine.requests == []
        this = sa.JobOptions(retry_failed=frozenset({"BadRequestError"}))
        run = opened.run_job(rows(3), journal=tmp_path / "j", options=this)
        assert [outcome.status for outcome in await outcomes(run)] == ["ok"] * 3
        assert run.report.counts == {"ok": 3}
    with JournalReader(tmp_path / "j") as reader:
        assert reader.counts() == {"ok": 3}
        assert reader.fact("runs") == 4


async def test_an_error_of_a_class_that_is_no_longer_known_is_still_told(tmp_path: Path) -> None:
    async with client(ScriptedTransport(otherwise=always(status(400)))) as opened:
        await outcomes(opened.run_job(rows(1), journal=tmp_path / "j"))
        with JournalReader(tmp_path / "j") as reader:
            settings, (record,) = reader.settings(), reader.rows()
        with Journal(tmp_path / "j", settings) as journal:
            await journal.keep(replace(record, error_type="OldError", replaces=record.number))
        (outcome,) = await outcomes(opened.run_job(rows(1), journal=tmp_path / "j"))
    assert str(outcome.error) == "OldError: HTTP 400: no"


@pytest.mark.parametrize(
    ("changed", "named"),
    [({"model": "gpt-5.4-nano"}, "model"), ({"settings": {"prompt": 2}}, "prompt"), ({"options": QUEUED}, "delivery")],
)  # fmt: skip
async def test_another_job_is_refused(tmp_path: Path, changed: dict[str, object], named: str) -> None:
    async with client() as opened:
        await outcomes(opened.run_job(rows(1), journal=tmp_path / "j", settings={"prompt": 1}))
        other = opened.with_options(model=str(changed.pop("model", "gpt-5.4-mini")))
        settings = {"settings": {"prompt": 1}, **changed}
        with pytest.raises(sa.JournalError, match=f"with {named}="):
            await outcomes(other.run_job(rows(1), journal=tmp_path / "j", **settings))  # type: ignore[call-overload]


@pytest.mark.parametrize("name", ["flor", "max_credit", "fail_fast"])
async def test_what_a_job_does_not_take_is_refused_before_anything_is_sent(tmp_path: Path, name: str) -> None:
    transport = ScriptedTransport()
    unknown: Any = {name: 5}
    async with client(transport) as opened:
        with pytest.raises(TypeError, match=f"run_job.. does not take '{name}'; it takes floor, max_credits"):
            opened.run_job(["a"], journal=tmp_path / "j", **unknown)
    assert not (tmp_path / "j").exists()
    assert transport.requests == []


async def test_a_job_that_goes_on_at_its_floor_knows_what_calls_cost(tmp_path: Path) -> None:
    # Three times the published mean, which fits where a call does not.
    async with Emulator(cost="0.0026", balance="1.0535", latency=1.0, key=KEY) as emulator:
        spent = []
        for _ in range(3):
            limits = sa.Limits(floor=1)
            async with sa.SegmindClient(KEY, base_url=emulator.url, limits=limits) as opened:
                await outcomes(opened.run_job(rows(100), journal=tmp_path / "j"))
            spent.append(emulator.state.account.spent)
        assert emulator.state.account.balance >= 1
    assert spent[0] == spent[1] == spent[2] > 0


async def test_a_run_is_used_as_it_is_meant(tmp_path: Path) -> None:
    async with client() as opened:
        run = opened.run_job(rows(2), journal=tmp_path / "j")
        with pytest.raises(RuntimeError, match="enter the job first"):
            await anext(run)
        assert len(await outcomes(run)) == 2
        assert repr(run) == f"JobRun({str(tmp_path / 'j')!r}, {{'ok': 2}})"
        with pytest.raises(RuntimeError, match="entered once"):
            await outcomes(run)
        with pytest.raises(OSError, match="No such file"):
            await outcomes(opened.run_job(rows(2), journal=tmp_path / "missing" / "j"))
        with pytest.raises(sa.ConfigurationError, match="delivery='post' must be one of"):
            sa.JobOptions(delivery="post")  # type: ignore[arg-type]
    odd = sa.SegmindClient(KEY, "https://gateway.example/chat", transport=ScriptedTransport())
    with pytest.raises(sa.ConfigurationError, match="needs a base_url that ends in /v1"):
        odd.run_job(rows(1), journal=tmp_path / "k", options=QUEUED)


@pytest.mark.slow
async def test_leaving_early_leaves_a_journal_that_goes_on(tmp_path: Path) -> None:
    transport = ScriptedTransport(latency=1.0)
    async with client(transport, limits=sa.Limits(8)) as opened:
        async with opened.run_job(rows(100), journal=tmp_path / "j") as run:
            async for _ in run:
                break
        left = run.report
        assert left.counts["ok"] + left.counts["unsent"] + left.counts["cancelled"] <= 100
        assert left.counts["ok"] >= 1
        got = await outcomes(opened.run_job(rows(100), journal=tmp_path / "j"))
    assert [outcome.text for outcome in got] == [f"echo: row {n}" for n in range(100)]


async def test_an_error_of_the_rows_comes_out_and_what_was_answered_is_kept(tmp_path: Path) -> None:
    def broken() -> Iterator[sa.ChatRequest]:
        yield from rows(70)
        raise LookupError("no more")

    async with client() as opened:
        with pytest.raises(LookupError, match="no more"):
            await outcomes(opened.run_job(broken(), journal=tmp_path / "j"))
        run = opened.run_job(rows(70), journal=tmp_path / "j")
        assert len(await outcomes(run)) == 70
        assert run.report.resumed >= 1


@pytest.mark.slow
async def test_a_disk_that_refuses_stops_the_sending_and_keeps_what_was_in_flight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segmind_async._jobs.journal import journal
    from tests.jobs.journal.test_journal import Failing, failing

    transport = ScriptedTransport(latency=1.0)
    Failing.at, Failing.plan, Failing.seen = "commit", range(12, 13), 0
    monkeypatch.setattr(journal, "_connected", failing)
    async with client(transport, limits=sa.Limits(4)) as opened:
        run = opened.run_job(rows(500), journal=tmp_path / "j")
        first = await outcomes(run)
        assert run.report.fan_out is not None
        assert run.report.fan_out.stop_reason is sa.StopReason.DISK
        assert "database or disk is full" in str(run.report.fan_out.stop_message)
        sent = len(transport.requests)
        assert sent < 100
        assert sum(outcome.status == "ok" for outcome in first) == sent
        monkeypatch.undo()
        run = opened.run_job(rows(500), journal=tmp_path / "j")
        assert len(await outcomes(run)) == 500
        assert run.report.resumed == sent
    assert len(transport.requests) == 500


# Queued delivery


async def test_queued_delivery_gives_the_same_outcomes(tmp_path: Path) -> None:
    async with (
        Emulator(latency=5.0, balance=100) as emulator,
        sa.SegmindClient(KEY, emulator.url, limits=sa.Limits(16)) as opened,
    ):
        run = opened.run_job(rows(80), journal=tmp_path / "j", options=QUEUED)
        got = await outcomes(run)
        assert [outcome.text for outcome in got] == [f"echo: row {n}" for n in range(80)]
        assert all(outcome.completion and outcome.completion.cost for outcome in got)
        assert set(emulator.billed().values()) == {1}
        assert {call.path[:4] for call in emulator.calls} == {"/v2/"}
        assert run.report.fan_out is not None
        assert run.report.fan_out.spent == emulator.state.account.spent
    with JournalReader(tmp_path / "j") as reader:
        assert reader._database.execute("SELECT count(*) FROM submissions").fetchone() == (0,)


@pytest.mark.slow
async def test_what_was_queued_at_a_stop_is_fetched_and_not_paid_again(tmp_path: Path) -> None:
    async with (
        Emulator(latency=20.0, balance=100) as emulator,
        sa.SegmindClient(KEY, emulator.url, limits=sa.Limits(16)) as opened,
    ):
        with anyio.move_on_after(30.0):
            await outcomes(opened.run_job(rows(48), journal=tmp_path / "j", options=QUEUED))
        assert 16 < emulator.requests < 48
        run = opened.run_job(rows(48), journal=tmp_path / "j", options=QUEUED)
        got = await outcomes(run)
        assert [outcome.text for outcome in got] == [f"echo: row {n}" for n in range(48)]
        assert run.report.recovered == 16
        assert run.report.resubmitted == 0
        assert emulator.billed() == {f"row {n}": 1 for n in range(48)}


async def test_what_was_queued_too_long_ago_is_asked_again_and_said_so(tmp_path: Path) -> None:
    async with (
        Emulator(latency=20.0, balance=100, results_ttl=3600.0) as emulator,
        sa.SegmindClient(KEY, emulator.url, limits=sa.Limits(4)) as opened,
    ):
        await opened.balance()  # or one goes alone at first
        with anyio.move_on_after(10.0):
            await outcomes(opened.run_job(rows(4), journal=tmp_path / "j", options=QUEUED))
        await anyio.sleep(4000.0)
        run = opened.run_job(rows(4), journal=tmp_path / "j", options=QUEUED)
        assert [outcome.status for outcome in await outcomes(run)] == ["ok"] * 4
        assert (run.report.recovered, run.report.resubmitted) == (4, 4)
        assert set(emulator.billed().values()) == {2}


async def test_queued_work_that_fails_is_a_failed_row_and_free(tmp_path: Path) -> None:
    async with (
        Emulator(latency=2.0, balance=100) as emulator,
        sa.SegmindClient(KEY, emulator.url, limits=sa.Limits(4)) as opened,
    ):
        emulator.script(None, faults.status(200))
        got = await outcomes(opened.run_job(rows(4), journal=tmp_path / "j", options=QUEUED))
        (failed,) = [outcome for outcome in got if outcome.status == "failed"]
        assert isinstance(failed.error, sa.BadRequestError)
        assert "Model execution failed" in str(failed.error)
        assert emulator.billed().total() == 3


async def test_equal_rows_in_the_queue_are_not_mixed_up_with_their_count(tmp_path: Path) -> None:
    async with (
        Emulator(latency=20.0, balance=100) as emulator,
        sa.SegmindClient(KEY, emulator.url, limits=sa.Limits(8)) as opened,
    ):
        with anyio.move_on_after(10.0):
            await outcomes(opened.run_job(["same"] * 6, journal=tmp_path / "j", options=QUEUED))
        got = await outcomes(opened.run_job(["same"] * 6, journal=tmp_path / "j", options=QUEUED))
        assert len(got) == 6
        assert emulator.billed() == {"same": 6}


async def test_a_submission_in_doubt_is_counted_as_such(tmp_path: Path) -> None:
    transport = ScriptedTransport(
        [lost()], otherwise=lambda request: status(503) if request.queued else answer("x")
    )
    async with client(transport) as opened:
        (outcome,) = await outcomes(opened.run_job(rows(1), journal=tmp_path / "j", options=QUEUED))
    assert outcome.error is not None
    assert outcome.error.details.in_doubt == 1


async def test_the_journal_is_free_after_its_task_was_cancelled(tmp_path: Path) -> None:
    async with client(ScriptedTransport(latency=60.0)) as opened:
        with anyio.move_on_after(1.0):
            await outcomes(opened.run_job(rows(5), journal=tmp_path / "j"))
        assert len(await outcomes(opened.run_job(rows(5), journal=tmp_path / "j"))) == 5


# Answers of a type


class Verdict(BaseModel):
    word: str
    length: int


def saying(*texts: str) -> ScriptedTransport:
    return ScriptedTransport([answer(text, cost="0.01") for text in texts])


FITS, MISFITS = '{"word": "tea", "length": 3}', '{"word": "tea"}'


async def test_answers_of_a_type_are_read_and_asked_for_again(tmp_path: Path) -> None:
    transport = saying(FITS, MISFITS, FITS)
    async with client(transport, limits=sa.Limits(1)) as opened:
        run = opened.run_job(rows(2), journal=tmp_path / "j", parse=Verdict)
        first = await outcomes(run)
        assert [outcome.parsed for outcome in first] == [Verdict(word="tea", length=3)] * 2
        assert [str(outcome.cost) for outcome in first] == ["0.01", "0.02"]
        again = await outcomes(opened.run_job(rows(2), journal=tmp_path / "j", parse=Verdict))
        assert [outcome.parsed for outcome in again] == [Verdict(word="tea", length=3)] * 2
        assert len(transport.requests) == 3
        with pytest.raises(sa.JournalError, match="with parse="):
            await outcomes(opened.run_job(rows(2), journal=tmp_path / "j", parse=int))
    with JournalReader(tmp_path / "j") as reader:
        assert [each.parsed for each in reader.rows()] == ['{"word":"tea","length":3}'] * 2
        assert reader._database.execute("SELECT count(*) FROM drafts").fetchone() == (0,)


async def test_an_answer_is_on_the_disk_before_a_validator_of_the_users_sees_it(tmp_path: Path) -> None:
    seen: list[int] = []

    def look(value: Verdict) -> Verdict:
        with JournalReader(tmp_path / "j") as reader:
            seen.append(reader._database.execute("SELECT count(*) FROM drafts").fetchone()[0])
        return value

    async with client(saying(FITS), limits=sa.Limits(1)) as opened:
        parse = TypeAdapter(Annotated[Verdict, AfterValidator(look)])
        await outcomes(opened.run_job(rows(1), journal=tmp_path / "j", parse=parse))
    assert seen == [1]


async def test_an_answer_that_was_received_and_not_read_is_read_by_the_next_run(tmp_path: Path) -> None:
    def crash(_value: Verdict) -> Verdict:
        raise asyncio.CancelledError  # as good as a crash: nothing of this row is seen again

    crashing = TypeAdapter(Annotated[Verdict, AfterValidator(crash)])
    async with client(saying(FITS), limits=sa.Limits(1)) as opened:
        assert await outcomes(opened.run_job(rows(1), journal=tmp_path / "j", parse=crashing)) == []
    silent = ScriptedTransport()
    async with client(silent, limits=sa.Limits(1)) as opened:
        run = opened.run_job(rows(1), journal=tmp_path / "j", parse=Verdict)
        (outcome,) = await outcomes(run)
        assert outcome.parsed == Verdict(word="tea", length=3)
        assert str(outcome.cost) == "0.01"
        assert (silent.requests, run.report.counts) == ([], {"ok": 1})
    with JournalReader(tmp_path / "j") as reader:
        assert reader._database.execute("SELECT count(*) FROM drafts").fetchone() == (0,)


async def test_a_draft_that_does_not_fit_is_asked_again_and_its_cost_is_not_forgotten(tmp_path: Path) -> None:
    def crash(_value: object) -> object:
        raise asyncio.CancelledError  # as good as a crash: nothing of this row is seen again

    crashing = TypeAdapter(Annotated[Verdict, BeforeValidator(crash)])
    async with client(saying(MISFITS), limits=sa.Limits(1)) as opened:
        assert await outcomes(opened.run_job(rows(1), journal=tmp_path / "j", parse=crashing)) == []
    async with client(saying(FITS), limits=sa.Limits(1)) as opened:
        (outcome,) = await outcomes(opened.run_job(rows(1), journal=tmp_path / "j", parse=Verdict))
        assert outcome.status == "ok"
    with JournalReader(tmp_path / "j") as reader:
        assert str(reader.totals().spent) == "0.02"


async def test_an_answer_that_no_longer_fits_its_validator_comes_back_as_a_failed_row(tmp_path: Path) -> None:
    def refuse(_value: Verdict) -> Verdict:
        raise ValueError("too short")

    async with client(saying(FITS), limits=sa.Limits(1)) as opened:
        await outcomes(opened.run_job(rows(1), journal=tmp_path / "j", parse=Verdict))
        parse = TypeAdapter(Annotated[Verdict, AfterValidator(refuse)])
        (outcome,) = await outcomes(opened.run_job(rows(1), journal=tmp_path / "j", parse=parse))
    assert isinstance(outcome.error, sa.OutputValidationError)
    assert "too short" in str(outcome.error)


@pytest.mark.parametrize("max_reasks", [0, 1])
async def test_the_text_of_an_answer_that_never_fitted_is_kept(tmp_path: Path, max_reasks: int) -> None:
    """It is paid, and whoever wants to know what the model said must not pay again."""
    said: list[tuple[str, ...]] = []
    for transport in (saying(*[MISFITS] * (max_reasks + 1)), ScriptedTransport()):
        async with client(transport, limits=sa.Limits(1)) as opened:
            run = opened.run_job(rows(1), journal=tmp_path / "j", parse=Verdict, max_reasks=max_reasks)
            (outcome,) = await outcomes(run)
        assert isinstance(outcome.error, sa.OutputValidationError)
        said.append(outcome.error.answers)
    assert said[0] == (MISFITS,) * (max_reasks + 1)
    # The last one, which a later run has from the journal alone.
    assert said[1] == (MISFITS,)
    with JournalReader(tmp_path / "j") as reader:
        (record,) = reader.rows(raw=True)
    row = row_of(Row(0, 1, "r0", True, {}, rows(1)[0]), record)
    assert (row["text"], str(row["error"]).split(":")[0]) == (MISFITS, "OutputValidationError")


@pytest.mark.parametrize("parse", [None, Verdict])
async def test_answers_are_let_go_when_their_rows_have_ended(tmp_path: Path, parse: Any) -> None:
    answers = saying(*[FITS, MISFITS, FITS] * 20)
    async with client(answers, limits=sa.Limits(4)) as opened:
        options = sa.JobOptions(truth=lambda _: "x")
        run = opened.run_job(rows(20), journal=tmp_path / "j", parse=parse, options=options, max_reasks=1)
        assert {one.status for one in await outcomes(run)} <= {sa.Status.OK, sa.Status.FAILED}
    assert run._unread == {}


# What a job must not stumble over


ODD_ROWS: list[Any] = [
    pytest.param(["hi"], id="a-message-that-is-a-text"),
    pytest.param([5], id="a-message-that-is-a-number"),
    pytest.param([None], id="a-message-that-is-nothing"),
    pytest.param([[]], id="a-message-that-is-a-list"),
    pytest.param("half \ud83d", id="half-a-character"),
    pytest.param([{"role": "user", "content": "x", 1: "y", "a": "z"}], id="keys-of-two-kinds"),
]


@pytest.mark.parametrize("messages", ODD_ROWS)
async def test_a_row_that_cannot_be_sent_is_one_failed_row(tmp_path: Path, messages: Any) -> None:
    async with client() as opened:
        for _ in range(2):
            given: list[Request] = ["before", sa.ChatRequest(messages), "after"]
            got = await outcomes(opened.run_job(given, journal=tmp_path / "j"))
            assert [got[0].status, got[2].status] == ["ok", "ok"]
            assert got[1].status == "failed" or messages[0] != "half"


async def test_parameters_and_ids_that_cannot_be_written_are_failed_rows_too(tmp_path: Path) -> None:
    async with client() as opened:
        given: list[Request] = [
            sa.ChatRequest("a", id="\ud83d"),
            sa.ChatRequest("b", temperature=object()),
            sa.ChatRequest(5),  # type: ignore[arg-type]
            sa.ChatRequest("c", id="fine"),
        ]
        got = await outcomes(opened.run_job(given, journal=tmp_path / "j"))
    assert [outcome.status for outcome in got] == ["failed", "failed", "failed", "ok"]


async def test_ids_are_those_of_the_rows_in_the_first_run_too(tmp_path: Path) -> None:
    async with client() as opened:
        for _ in range(2):
            got = await outcomes(opened.run_job(["x", sa.ChatRequest("y", id="b")], journal=tmp_path / "j"))
            assert [outcome.id for outcome in got] == ["0", "b"]


@pytest.mark.parametrize("which", ["read", "truth"])
async def test_user_code_that_fails_costs_no_answer(tmp_path: Path, which: str) -> None:
    def fail(_: object) -> Any:
        raise LookupError("a bug of the user's")

    transport = ScriptedTransport()
    async with client(transport) as opened:
        options = sa.JobOptions(read=fail) if which == "read" else sa.JobOptions(truth=fail)
        first = opened.run_job(rows(3), journal=tmp_path / "j", options=options)
        again = opened.run_job(rows(3), journal=tmp_path / "j", options=options)
        for run in (first, again):
            got = await outcomes(run)
            assert [one.status for one in got] == ["failed"] * 3
            assert [str(one.error) for one in got] == ["LookupError: a bug of the user's"] * 3
            assert [one.error and one.error.answers for one in got] == [(f"echo: row {n}",) for n in range(3)]
            assert [one.error and one.error.details.cost for one in got] == [one.cost for one in got]
            assert run.report.counts == {"failed": 3}
    sent = first.report.fan_out
    assert sent is not None
    assert (sent.ok, sent.failed) == (0, 3)
    assert len(transport.requests) == 3
    with JournalReader(tmp_path / "j") as reader:
        assert all(each.raw for each in reader.rows(raw=True))


async def test_rows_whose_answers_cannot_be_read_count_as_failures(tmp_path: Path) -> None:
    def refuse(_: object) -> ParsedAnswer:
        return ParsedAnswer(error_type="NotALabel", message="none of them")

    options = sa.JobOptions(read=refuse)
    async with client(limits=sa.Limits(1)) as opened:
        run = opened.run_job(rows(9), journal=tmp_path / "j", options=options, max_failures=2)
        got = await outcomes(run)
    assert [str(one.error) for one in got] == ["NotALabel: none of them"] * len(got)
    assert run.report.fan_out is not None
    assert run.report.fan_out.stop_reason is sa.StopReason.MAX_FAILURES


@pytest.mark.parametrize("which", ["read", "truth"])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        pytest.param("half \ud800", None, id="half-a-character"),
        pytest.param(5, "TypeError: 5 is no text but a int", id="no-text"),
        pytest.param(ValueError("half \ud800"), "ValueError: half ?", id="half-a-character-in-an-error"),
    ],
)
async def test_what_user_code_returns_spoils_its_own_row_at_most(
    tmp_path: Path, which: str, value: Any, error: str | None
) -> None:
    def given(_: object) -> Any:
        if isinstance(value, Exception):
            raise value
        return value

    options = sa.JobOptions(truth=given)
    if which == "read":
        options = sa.JobOptions(read=lambda completion: ParsedAnswer(given(completion)))
    async with client() as opened:
        for _ in range(2):
            got = await outcomes(opened.run_job(rows(2), journal=tmp_path / "j", options=options))
    assert [None if each.error is None else str(each.error) for each in got] == [error] * 2
    with JournalReader(tmp_path / "j") as reader:
        records = [*reader.rows()]
    if error is None:
        assert [getattr(one, "label" if which == "read" else "truth") for one in records] == ["half ?"] * 2


async def test_the_same_client_does_not_inherit_from_itself(tmp_path: Path) -> None:
    async with client(ScriptedTransport(latency=3600.0), limits=sa.Limits(4)) as opened:
        held = []
        for _ in range(4):
            with anyio.move_on_after(10.0):
                await outcomes(opened.run_job(rows(8), journal=tmp_path / "j"))
            admission = opened._service.admission
            held.append(admission.state(admission.accounts.first)[1])
        starts = len(admission.accounts.first.throttle.pacer.state(anyio.current_time()).ages)
    assert starts <= 4
    assert held == sorted(held)
    assert held[-1] <= 4 * held[0]


async def test_whoever_gives_up_while_a_journal_is_opened_leaves_it_free(tmp_path: Path) -> None:
    async with client() as opened:
        for turns in range(12):
            task = asyncio.get_running_loop().create_task(
                outcomes(opened.run_job(rows(1), journal=tmp_path / "j"))
            )
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert len(await outcomes(opened.run_job(rows(1), journal=tmp_path / "j"))) == 1
    assert [thread.name for thread in threading.enumerate() if thread.name == "segmind journal"] == []


async def test_one_journal_under_two_names_is_one_journal(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "j")
    async with client() as opened, opened.run_job(rows(1), journal=tmp_path / "j"):
        with pytest.raises(sa.JournalError, match="is working on this journal"):
            await outcomes(opened.run_job(rows(1), journal=tmp_path / "link"))


async def test_settings_cannot_hide_what_a_job_is(tmp_path: Path) -> None:
    async with client() as opened:
        with pytest.raises(sa.ConfigurationError, match=r"settings=\['model'\]"):
            opened.run_job(rows(1), journal=tmp_path / "j", settings={"model": "other"})
        await outcomes(opened.run_job(rows(1), journal=tmp_path / "j", settings={"prompt": "p"}))
        with pytest.raises(sa.JournalError, match="with prompt='p', and now prompt=None"):
            await outcomes(opened.run_job(rows(1), journal=tmp_path / "j"))


async def test_what_became_of_all_rows_is_read_after_the_sending(tmp_path: Path) -> None:
    async with client() as opened:
        async with opened.run_job(rows(3), journal=tmp_path / "j") as run:
            with pytest.raises(RuntimeError, match="still sending"):
                _ = [each async for each in run.matched(iter([]))]
            async for _ in run:
                pass
            await run.end()
            given = list(as_rows(rows(3)))  # type: ignore[arg-type]  # a plain iterable
            found = [record async for _, record in run.matched(given)]
    assert [record.status for record in found if record] == ["ok"] * 3


async def test_a_generator_of_rows_is_closed_when_the_job_is_left(tmp_path: Path) -> None:
    closed = []

    async def endless() -> AsyncIterator[str]:
        try:
            while True:
                await anyio.sleep(0)
                yield "row"
        finally:
            closed.append(True)

    async with client() as opened:
        async with opened.run_job(endless(), journal=tmp_path / "j") as run:
            await anext(run)
    assert closed == [True]


@pytest.mark.slow
async def test_a_queued_row_that_ran_out_of_time_is_fetched_later_and_not_paid_again(tmp_path: Path) -> None:
    async with (
        Emulator(latency=700.0, balance=100) as emulator,
        sa.SegmindClient(KEY, emulator.url, limits=sa.Limits(4)) as opened,
    ):
        first = opened.run_job(rows(1), journal=tmp_path / "j", options=QUEUED)
        (outcome,) = await outcomes(first)
        assert isinstance(outcome.error, sa.APITimeoutError)
        await anyio.sleep(200.0)
        again = sa.JobOptions(delivery="queued", retry_failed=True)
        run = opened.run_job(rows(1), journal=tmp_path / "j", options=again)
        assert [each.status for each in await outcomes(run)] == ["ok"]
        assert (emulator.billed(), run.report.recovered) == ({"row 0": 1}, 1)


async def test_a_queued_answer_that_does_not_fit_is_not_fetched_again(tmp_path: Path) -> None:
    texts = iter(range(100))
    async with (
        Emulator(FunctionBrain(lambda _: f"no json {next(texts)}"), latency=2.0, balance=100) as emulator,
        sa.SegmindClient(KEY, emulator.url) as opened,
    ):
        first = opened.run_job(rows(1), journal=tmp_path / "j", options=QUEUED, parse=Verdict)
        await outcomes(first)
        with JournalReader(tmp_path / "j") as reader:
            assert reader._database.execute("SELECT count(*) FROM submissions").fetchone() == (0,)
        again = sa.JobOptions(delivery="queued", retry_failed=True)
        run = opened.run_job(rows(1), journal=tmp_path / "j", options=again, parse=Verdict)
        await outcomes(run)
        assert run.report.recovered == 0
    with JournalReader(tmp_path / "j") as reader:
        assert reader.totals().spent == emulator.state.account.spent


async def test_a_row_is_the_same_in_whatever_order_its_fields_stand(tmp_path: Path) -> None:
    transport = ScriptedTransport()
    first = [{"role": "user", "content": "hello"}]
    again = [{"content": "hello", "role": "user"}]
    async with client(transport) as opened:
        await outcomes(opened.run_job([sa.ChatRequest(first, top_p=1, seed=2)], journal=tmp_path / "j"))
        await outcomes(opened.run_job([sa.ChatRequest(again, seed=2, top_p=1)], journal=tmp_path / "j"))
    assert len(transport.requests) == 1


async def test_rows_that_call_tools_have_no_value_and_are_finished(tmp_path: Path) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    called = WireResponse(200, {"x-cost": "0.25"}, to_json({"choices": [{"message": message}]}))
    described = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
    row = sa.ChatRequest("Where?", id="r", tools=[described])
    transport = ScriptedTransport([called])
    async with client(transport) as opened:
        for _ in range(2):
            run = opened.run_job([row], journal=tmp_path / "j", parse=Verdict)
            (outcome,) = await outcomes(run)
            assert outcome.completion is not None
            assert (outcome.status, outcome.parsed, len(outcome.completion.tool_calls)) == ("ok", None, 1)
    assert len(transport.requests) == 1


@pytest.mark.parametrize(
    ("most", "sent"),
    [
        pytest.param(0.005, 0, id="more-was-spent"),
        pytest.param(0.009, 0, id="used-up"),
        pytest.param(1, 5, id="raised-by-much"),
    ],
)
async def test_a_bound_counts_what_earlier_runs_have_spent(tmp_path: Path, most: float, sent: int) -> None:
    transport = ScriptedTransport()
    async with client(transport, limits=sa.Limits(max_in_flight=1)) as opened:
        await outcomes(opened.run_job(rows(9), journal=tmp_path / "j"))
        for bound in (most, None):
            job = opened.run_job(rows(14), journal=tmp_path / "j", max_credits=bound)
            await outcomes(job)
            assert len(transport.requests) == 9 + sent
            assert (job.report.fan_out is not None and job.report.fan_out.stop_reason) == (
                None if sent == 5 else sa.StopReason.CREDITS
            )


async def test_mappings_are_rows_as_lines_of_a_file_are(tmp_path: Path) -> None:
    given: list[Any] = [
        {"prompt": "a", "id": "x"},
        {"messages": [{"role": "user", "content": "b"}]},
        {"question": "c"},
        "d",
    ]
    async with client() as opened:
        got = await outcomes(opened.run_job(given, journal=tmp_path / "j"))
    assert [(outcome.id, outcome.text) for outcome in got] == [
        ("x", "echo: a"), ("1", "echo: b"), ("2", None), ("3", "echo: d"),
    ]  # fmt: skip
    assert "neither 'prompt' nor 'messages' among the columns 'question'" in str(got[2].error)


async def test_the_progress_knows_the_total_of_a_sized_input_at_once(tmp_path: Path) -> None:
    seen: list[sa.JobProgress] = []
    async with client(ScriptedTransport(latency=1.0), limits=sa.Limits(1)) as opened:
        run = opened.run_job(rows(5), journal=tmp_path / "j", progress=seen.append)
        await outcomes(run)
    assert {progress.total for progress in seen} == {5}
