"""A run of a job: rows go through a fan-out into a journal.

Each answer is on the disk before its outcome is delivered and before its worker takes another row. Outcomes
of rows that an earlier run finished come from the journal.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import aclosing
from dataclasses import replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeAlias

import anyio
from anyio.abc import TaskGroup
from pydantic_core import to_json

from .._money.units import ceil_units, credits_of
from .._providers.finish import finish_of
from .._providers.provider import Finish
from .._sending import restart
from .._sending.fan_out import FanOut
from .._sending.queued.queued_inference import QueuedTransport
from .._sending.service import Service, ask_gateway
from .._sending.source import FinishedRow, PendingRow
from .._structured.prompting import calls_offered_tools
from .._text.error_text import message_of
from ..agent_result import T_co
from ..errors import (
    AccessError,
    InvalidRequestError,
    InvalidResponseError,
    ModelRetiredError,
    NotFoundError,
    OutputError,
    TransientError,
)
from ..models import ChatCompletion, Outcome, Status, StopReason
from .cost_estimate import Moments
from .journal.checksums import Damage
from .journal.commit_thread import wait_for
from .journal.finished import FinishedRows
from .journal.journal import Journal
from .journal.record import Draft, Record
from .journal.submissions import JournaledSubmissions
from .known_rows import KnownRow, excerpt_of, matched
from .options import JobPlan
from .progress import JobProgress
from .progress_reporter import PROGRESS_EVERY, ProgressReporter
from .report.row_counts import INVALID_ROW, JobReport
from .report.samples import Samples
from .results import ParsedAnswer, completion_of, outcome_of, record_of, record_of_draft, storable
from .rows import BatchSize, Row, batches_of

ToSend: TypeAlias = AsyncIterable[PendingRow | FinishedRow]

MakeFanOut: TypeAlias = Callable[[Service, ToSend, Decimal | None], FanOut[Any]]
"""Makes the fan-out of rows that may cost so many credits, earlier runs included; None: any amount."""

MAX_CREDITS_FACT = "max_credits"
"""Name of the journal's fact with the bound of the job, as text."""

_JOB_WIDE_ERRORS = (AccessError, NotFoundError, ModelRetiredError)
"""Errors that every row would get: they stop the job."""

_LOG = logging.getLogger(__name__)

_MOST_NAMED = 20
"""Damaged rows that one log record names."""

_ASK_GATEWAY_EVERY = 5.0
"""Seconds between two questions to a gateway about the calls that wait there."""

_STATE_EVERY = 1.0
"""Seconds between two writes of what a restart needs."""


def _submission_of(outcome: Outcome[Any]) -> str | None:
    """Return the id of the queued request of an outcome; None if its answer may still be fetched."""
    if outcome.completion is not None:
        return outcome.completion.request_id
    error = outcome.error
    return error.request_id if isinstance(error, InvalidResponseError | OutputError) else None


class JobRun(AsyncIterator[Outcome[T_co]], Generic[T_co]):
    """Outcomes of a job, as they complete; made by `SegmindClient.run_job`.

    Use it as an async context manager and iterate over what that gives. Leaving the context, for whatever
    reason, cancels calls in flight; the same job on the same journal resumes there.
    """

    def __init__(
        self,
        service: Service,
        make_fan_out: MakeFanOut,
        rows: Iterable[Row] | AsyncIterable[Row],
        plan: JobPlan,
    ) -> None:
        self.path: Path = plan.path
        self.report: JobReport = JobReport()
        self.not_kept: dict[str, Record] = {}
        """Records that the journal does not get, by key: what failed was the key, the model or the service,
        and not the row. The next run sends their rows again."""
        self.samples: Samples = Samples()
        """Failed, misjudged, slowest and dearest rows of this run."""
        self.costs: Moments = Moments()
        """Costs of the rows of this run, in units."""
        self._journal: Journal | None = None
        self._service = service
        self._make_fan_out = make_fan_out
        self._rows = rows
        self._plan = plan
        self._options = plan.options
        self._model = str(plan.settings["model"])
        self._shape = None if plan.expected is None else plan.expected.shape
        self._drafts: dict[str, Draft] = {}
        """Answers that earlier runs received and did not read, by key."""
        self._unread: dict[str, bytes] = {}
        """The newest answer of each row in flight, by key, while it is not known to fit."""
        self.skip_finished = False
        """Whether rows that an earlier run finished yield no outcome, which saves reading their answers; for
        a caller that reads `matched` afterwards. Set before entering."""
        self.results_only = False
        """Whether it sends nothing, and is no run that a report tells of. Set before entering."""
        self._opened_rows: FinishedRows | None = None
        self.reporter: ProgressReporter = ProgressReporter(service, self._model, plan.progress)
        self._read = 0
        self._failed_earlier = 0
        self._state_written_at = -math.inf
        self._tasks: TaskGroup | None = None
        self._fan_out: FanOut[T_co] | None = None
        self._submissions: JournaledSubmissions | None = None
        self._ended = False

    def __repr__(self) -> str:
        return f"JobRun({str(self.path)!r}, {dict(self.report.counts)})"

    @property
    def journal(self) -> Journal:
        """The journal, from the entry of the job on."""
        if self._journal is None:
            raise RuntimeError("enter the job first: async with client.run_job(…) as outcomes")
        return self._journal

    @property
    def _finished_rows(self) -> FinishedRows:
        assert self._opened_rows is not None
        return self._opened_rows

    async def __aenter__(self) -> JobRun[T_co]:
        if self._tasks is not None:
            raise RuntimeError("a job run is entered once; make a new one")
        self._tasks = anyio.create_task_group()
        # Assigned before the first await, so that cancellation closes it.
        self._journal = Journal(
            self.path, self._plan.settings, wait=False, keep_finished=self._options.keep_finished
        )
        try:
            await wait_for(self.journal.opened)
            self._tell_damage(self.journal.damage)
            if self.journal.changed:
                await wait_for(self.journal.adopt())
            if self._plan.keeps_state:
                state = await wait_for(self.journal.fact("state"))
                restart.resume(self._service.admission, self._service.estimates, state)
            await self._load_drafts()
            self._fan_out = await self._new_fan_out()
            await self.reporter.load(self.journal, keeps=not self.results_only)
            self.reporter.total = self._plan.rows
            self._opened_rows = await FinishedRows.open(self.path, self.journal.kept)
        except BaseException:
            self.journal.close()
            raise
        await self._tasks.__aenter__()
        await self._fan_out.__aenter__()
        if self.results_only:
            self.stop("only the results are written")
        self._tasks.start_soon(self._report_progress_often)
        self._tasks.start_soon(self._ask_gateway_often)
        return self

    def _tell_damage(self, damage: Damage) -> None:
        self.report.damaged = damage.rows
        if damage.rows:
            _LOG.warning(
                "rows of the journal are damaged and asked again: %d, among them %s",
                damage.rows,
                ", ".join(map(repr, damage.keys[:_MOST_NAMED])) or "none whose key is certain",
            )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.end()
        finally:
            # Pending work is written before the lock is released.
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._close)

    def _close(self) -> None:
        self._finished_rows.close()
        self.journal.close()

    async def end(self) -> None:
        """Cancel calls in flight; the journal stays open. Idempotent."""
        if self._ended:
            return
        assert self._tasks is not None
        assert self._fan_out is not None
        self._ended = True
        try:
            await self._fan_out.__aexit__(None, None, None)
        finally:
            self._tasks.cancel_scope.cancel()
            await self._tasks.__aexit__(None, None, None)
            self._report_progress()
            self._write_state()

    async def __anext__(self) -> Outcome[T_co]:
        """Wait for the next outcome. If cancelled, none is lost."""
        if self._fan_out is None:
            raise RuntimeError("enter the job first: async with client.run_job(…) as outcomes")
        return await anext(self._fan_out)

    def stop(self, message: str = "stopped by the caller", reason: StopReason = StopReason.STOPPED) -> None:
        """Send no more; calls in flight end and are delivered. See `FanOut.stop`."""
        assert self._fan_out is not None
        self._fan_out.stop(message, reason)
        self._report_progress()

    async def matched(
        self, rows: Iterable[Row] | AsyncIterable[Row]
    ) -> AsyncGenerator[tuple[Row, Record | None], None]:
        """Yield all rows of the input, read again, with their records; only after `end`.

        A record is None for a row that was not sent, or is invalid.
        """
        if not self._ended:
            raise RuntimeError("the job is still sending; call end() first")
        await wait_for(self.journal.flush())
        await self._finished_rows.refresh()
        batches = batches_of(rows)
        found = matched(self._finished_rows, batches, dedupe=self._options.dedupe, answers=True)
        async with aclosing(found):
            async for known in (known async for batch in found for known in batch):
                record = known.record or self.not_kept.get(known.key)
                if record is not None and known.repeated:
                    record = replace(record, units=0, attempts=0, number=None)
                yield known.row, record

    async def _new_fan_out(self) -> FanOut[T_co]:
        """Return the fan-out, bounded by what earlier runs have left of the job's credits."""
        most = self._plan.max_credits
        if most is not None:
            self.journal.set_fact(MAX_CREDITS_FACT, str(most))
        elif isinstance(kept := await wait_for(self.journal.fact(MAX_CREDITS_FACT)), str):
            most = Decimal(kept)
        fan_out = self._make_fan_out(await self._delivery(), self._to_send(), most)
        if most is not None:
            fan_out.scope.budget.spent = await wait_for(self.journal.spent())
        return fan_out

    async def _delivery(self) -> Service:
        """Return the service that sends the calls of this job, directly or by way of the queue."""
        if self._options.delivery == "direct":
            return self._service
        self._submissions = JournaledSubmissions(self.journal)
        await self._submissions.load()
        return replace(self._service, transport=QueuedTransport(self._service, self._submissions))

    async def _load_drafts(self) -> None:
        """Load the answers that an earlier run received and did not read."""
        for draft in await wait_for(self.journal.drafts()):
            self._drafts[draft.key] = draft.after(self._drafts.get(draft.key))

    async def _received(self, known: KnownRow, completion: ChatCompletion) -> None:
        """Have an answer of a row in flight on the disk, and at hand until it is known whether it fits."""
        self._unread[known.key] = await self._draft(known, completion)

    async def _draft(self, known: KnownRow, completion: ChatCompletion) -> bytes:
        """Have an answer on the disk before code of the user reads it; return it as it is there."""
        cost = completion.cost
        units = None if cost is None else ceil_units(cost)
        draft = Draft(known.key, known.digest, units, to_json(completion.raw))
        await self.journal.draft(draft, completion.request_id)
        return draft.raw

    async def _to_send(self) -> AsyncIterator[PendingRow | FinishedRow]:
        """Yield the pending rows, and the outcomes of the finished ones."""
        size = BatchSize()
        found = matched(
            self._finished_rows,
            batches_of(self._rows, size),
            dedupe=self._options.dedupe,
            answers=not self.skip_finished,
        )
        async with aclosing(found):
            async for batch in found:
                sent = False
                for row in (row for row in map(self._row_of, batch) if row is not None):
                    sent = True
                    yield row
                size.adapt(sent=sent)
        self.reporter.end_of_input(self._read)

    def _row_of(self, known: KnownRow) -> PendingRow | FinishedRow | None:
        """Return what the fan-out does with a row: sends it or delivers its outcome; None for neither."""
        if known.repeated:
            self.report.repeated += 1
            return None
        self._read += 1
        row, record = known.row, known.record
        if row.request is None:
            return self._invalid(row)
        if record is None:
            record = self._read_draft(known)
        elif record.error_type is not None and self._options.sends_again(record.error_type):
            record = None
        if record is not None:
            if known.returns and record.number is not None:
                self.journal.restore(record.number, known.replaces)
            return self._finished(row, record)
        return PendingRow(
            row.index, row.id, row.request, partial(self._keep, known), partial(self._received, known)
        )

    def _invalid(self, row: Row) -> FinishedRow | None:
        self.report.count(Status.FAILED, INVALID_ROW, row.problem)
        if self.skip_finished:
            return None
        error = InvalidRequestError(row.problem or "the row cannot be used")
        return FinishedRow(Outcome(row.index, row.id, Status.FAILED, None, error))

    def _finished(self, row: Row, record: Record) -> FinishedRow | None:
        self.report.resumed += 1
        self._failed_earlier += record.error_type is not None
        self.report.add(record)
        if self.skip_finished:
            return None
        return FinishedRow(self._outcome_of(record, row))

    def _read_draft(self, known: KnownRow) -> Record | None:
        """Read an answer that an earlier run received; None if there is none, or it does not fit."""
        draft, row = self._drafts.get(known.key), known.row
        if draft is None or draft.digest != known.digest:
            return None
        assert row.request is not None
        unread = record_of_draft(known, draft, ParsedAnswer(), None)
        cost = None if draft.units is None else credits_of(draft.units)
        completion = completion_of(unread, row.request.model or self._model, cost)
        if self._shape is not None and not calls_offered_tools(row.request, completion.tool_calls):
            if finish_of(completion.finish_reason, completion.raw) is not Finish.WHOLE:
                return None
            try:
                completion = replace(completion, parsed=self._shape.read(completion.text))
            except Exception:  # noqa: BLE001  # the row is sent again, as by that run
                return None
        record = record_of_draft(known, draft, *self._parsed(row, completion))
        self.journal.keep(record)
        return record

    async def _keep(self, known: KnownRow, outcome: Outcome[Any]) -> Outcome[Any]:
        """Have an outcome on the disk, unless the row was not sent: it is still pending.

        Returns what later runs will make of the record: a failure if the answer could not be read.
        """
        unread = self._unread.pop(known.key, None)
        if outcome.status not in {Status.OK, Status.FAILED}:
            return outcome
        completion = outcome.completion
        if completion is not None and self._shape is None and self._options.runs_user_code:
            await self._draft(known, completion)
        record = record_of(known, outcome, *self._parsed(known.row, completion))
        if record.raw is None:
            # It is paid, though it fits nothing: its text stays beside the error.
            record.raw = unread
        if known.row.request is not None and self.samples.wants(record):
            record.excerpt = excerpt_of(known.row.request)
        draft = self._drafts.pop(known.key, None)
        if draft is not None and draft.units is not None:
            # Paid for in an earlier run, and it did not fit.
            record.units = draft.units + (record.units or 0)
        self.report.add(record)
        self.samples.add(record)
        if record.units is not None:
            self.costs.add(record.units)
        if self._is_asked_again(outcome):
            self.not_kept[known.key] = record
            return outcome
        kept = self.journal.keep(record, _submission_of(outcome))
        if anyio.current_time() - self._state_written_at >= _STATE_EVERY:
            self._write_state()
        # Written even if this is cancelled.
        await kept
        if self.journal.commit_error is not None:
            self.stop(f"the journal cannot be written: {self.journal.commit_error}", StopReason.DISK)
        is_misread = outcome.error is None and record.error_type is not None
        return self._outcome_of(record, known.row) if is_misread else outcome

    def _outcome_of(self, record: Record, row: Row) -> Outcome[Any]:
        assert row.request is not None
        return outcome_of(record, row, row.request.model or self._model, self._shape)

    def _is_asked_again(self, outcome: Outcome[Any]) -> bool:
        """Return whether the next run takes the row again: it was never sent, or is not what failed."""
        if outcome.error is not None and not outcome.attempts and outcome.cost is None:
            return True
        if isinstance(outcome.error, TransientError) and outcome.cost is None:
            return self._service.admission.breaker.fails_for_others(outcome.attempts)
        return isinstance(outcome.error, _JOB_WIDE_ERRORS)

    def _parsed(self, row: Row, completion: ChatCompletion[Any] | None) -> tuple[ParsedAnswer, str | None]:
        """Return values read from an answer, and the right label; errors of user code are values too."""
        truth: str | None = None
        try:
            truth = storable(self._options.truth(row))
            if completion is None:
                return ParsedAnswer(), truth
            if self._shape is not None:
                called = calls_offered_tools(row.request, completion.tool_calls)
                parsed = None if called else self._shape.write(completion.parsed)
                return ParsedAnswer(parsed=parsed), truth
            return self._options.read(completion).storable(), truth
        except Exception as error:  # noqa: BLE001  # of the user's code
            message = message_of(error)
            return ParsedAnswer(error_type=type(error).__name__, message=message).storable(), truth

    def _write_state(self) -> None:
        """Write what a restart needs, with the next commit."""
        if not self._plan.keeps_state or self.results_only:
            return
        state = restart.state_of(self._service.admission, self._service.estimates)
        self.journal.set_fact("state", state)
        self._state_written_at = anyio.current_time()

    async def _report_progress_often(self) -> None:
        while True:
            self._report_progress()
            await anyio.sleep(PROGRESS_EVERY)

    async def _ask_gateway_often(self) -> None:
        """Ask a gateway, if there is one, how many calls wait there: they are not shown as in flight."""
        while True:
            await anyio.sleep(_ASK_GATEWAY_EVERY)
            if self._service.admission.behind_gateway and self._service.admission.in_flight:
                await ask_gateway(self._service)

    def _report_progress(self) -> None:
        """Report the progress now."""
        assert self._fan_out is not None
        self.report.fan_out = sent = self._fan_out.report
        for status, count in ((Status.UNSENT, sent.unsent), (Status.CANCELLED, sent.cancelled)):
            if count:
                self.report.counts[str(status)] = count
        if self._submissions is not None:
            self.report.recovered = self._submissions.recovered
            self.report.resubmitted = self._submissions.resubmitted
        self.reporter.report(self._fan_out, self._row_progress(), last=self._ended)

    def _row_progress(self) -> JobProgress:
        """Return the progress as far as it concerns rows."""
        counts, report = self.report.counts, self.report
        invalid = report.errors[INVALID_ROW]
        earlier = self._failed_earlier
        return JobProgress(
            rows=self._read,
            ok=counts[Status.OK] - (report.resumed - earlier),
            failed=counts[Status.FAILED] - earlier - invalid,
            invalid=invalid,
            resumed=report.resumed,
        )
