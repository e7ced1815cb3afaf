"""A job: rows through a fan-out into a journal, and out again in what they became.

Each answer is on the disk before its outcome is handed out and before its slot takes another row. Rows
that an earlier run has finished are handed out from the journal.
"""

from __future__ import annotations

import math
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from dataclasses import replace
from types import TracebackType
from typing import Any, Generic, TypeAlias

import anyio
from anyio.abc import TaskGroup
from pydantic_core import to_json

from .._money.units import ceil_units
from .._providers.answers import decode, finish_of
from .._providers.base import Finish
from .._sending.conversation import Expected
from .._sending.fan_out import FanOut, Settled
from .._sending.queued import QueuedTransport
from .._sending.service import Service
from ..errors import (
    AccessError,
    InvalidRequestError,
    InvalidResponseError,
    ModelRetiredError,
    NotFoundError,
    OutputError,
)
from ..models import (
    ChatCompletion,
    ChatRequest,
    Outcome,
    Status,
    StopReason,
    T_co,
)
from .journal import restart
from .journal.finished import FinishedRows
from .journal.journal import Journal
from .journal.record import Draft, Record
from .journal.submissions import JournaledSubmissions
from .journal.writer import of
from .options import JobPlan
from .progress import JobProgress
from .progress_reporter import LOOK_EVERY, ProgressReporter
from .report.samples import Notable
from .report.tally import INVALID_ROW, JobReport
from .results import (
    Reading,
    outcome_of,
    record_of,
    record_of_draft,
    with_excerpt,
)
from .row_keys import (
    Known,
    batches_of,
    matched,
)
from .rows import Row

Keep: TypeAlias = Callable[[Outcome[Any]], Awaitable[None]]
MakeFanOut: TypeAlias = Callable[
    [Service, AsyncIterable[ChatRequest], Keep, Expected[Any] | None], FanOut[Any]
]

_OF_ALL = (AccessError, NotFoundError, ModelRetiredError)
"""What every row would meet; it stops the job."""

_NOTE_EVERY = 1.0
"""Seconds between two notes of pace and money for a restart."""


class _Asked(ChatRequest):
    """A request that knows its row."""

    __slots__ = ("known",)

    def __init__(self, request: ChatRequest, known: Known) -> None:
        super().__init__(request.messages, model=request.model, id=known.row.id)
        self.parameters = request.parameters
        self.known = known


def _submission_of(outcome: Outcome[Any]) -> str | None:
    """Return the queued request that an outcome was read from, None if its answer may still be fetched."""
    if outcome.completion is not None:
        return outcome.completion.request_id
    error = outcome.error
    return error.request_id if isinstance(error, InvalidResponseError | OutputError) else None


class JobRun(AsyncIterator[Outcome[T_co]], Generic[T_co]):
    """Outcomes of a job, as they complete; made by `SegmindClient.run_job`.

    Use it as an async context manager and iterate over what that gives. Leaving the context, for whatever
    reason, ends what is in flight; the same job again goes on from there.
    """

    def __init__(
        self,
        service: Service,
        make_fan_out: MakeFanOut,
        rows: Iterable[Row] | AsyncIterable[Row],
        plan: JobPlan,
    ) -> None:
        self.path = plan.path
        self.report = JobReport()
        self.for_now: dict[str, Record] = {}
        """Results that the next run is to forget, by key: the key or the model is at fault, not the row."""
        self.notable = Notable()
        """The few rows of this run that are worth a look."""
        self.journal: Journal
        self._service = service
        self._make_fan_out = make_fan_out
        self._rows = rows
        self._plan = plan
        self._options = plan.options
        self._model = str(plan.settings["model"])
        self._shape = None if plan.expected is None else plan.expected.shape
        self._drafts: dict[str, Draft] = {}
        self.skip_finished = False
        """Whether rows that an earlier run finished yield no outcome, which saves reading their answers; for
        a caller that reads `matched` afterwards. Set before entering."""
        self._finished_rows: FinishedRows
        self._under_way: dict[int, Known] = {}
        self.sights = ProgressReporter(service, self._model, plan.progress)
        self._read = 0
        self._failed_earlier = 0
        self._noted_at = -math.inf
        self._tasks: TaskGroup | None = None
        self._fan_out: FanOut[T_co] | None = None
        self._submissions: JournaledSubmissions | None = None
        self._ended = False

    def __repr__(self) -> str:
        return f"JobRun({str(self.path)!r}, {dict(self.report.counts)})"

    async def __aenter__(self) -> JobRun[T_co]:
        if self._tasks is not None:
            raise RuntimeError("a job run is entered once; make a new one")
        self._tasks = anyio.create_task_group()
        # Ours before anything is waited for: whoever gives up meanwhile lets go of it.
        self.journal = Journal(self.path, self._plan.settings, wait=False)
        try:
            await of(self.journal.opened)
            restart.resume(self._service.admission, await of(self.journal.noted("state")))
            expected = await self._expected()
            self._fan_out = self._make_fan_out(await self._delivery(), self._requests(), self._keep, expected)
            await self.sights.begin(self.journal)
            self._finished_rows = await FinishedRows.open(self.path)
        except BaseException:
            self.journal.close()
            raise
        await self._tasks.__aenter__()
        await self._fan_out.__aenter__()
        self._tasks.start_soon(self._look_often)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self.end()
        finally:
            # Whatever is still to be written is written before the lock is let go.
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self._close)

    def _close(self) -> None:
        self._finished_rows.close()
        self.journal.close()

    async def end(self) -> None:
        """End what is in flight; the journal stays open. Idempotent."""
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
            self._look()
            self._note()

    async def __anext__(self) -> Outcome[T_co]:
        """Wait for the next outcome. If cancelled, none is lost."""
        if self._fan_out is None:
            raise RuntimeError("enter the job first: async with client.run_job(…) as outcomes")
        return await anext(self._fan_out)

    def stop(self, message: str = "stopped by the caller", reason: StopReason = StopReason.STOPPED) -> None:
        """Send no more; calls in flight end and are delivered. See `FanOut.stop`."""
        assert self._fan_out is not None
        self._fan_out.stop(message, reason)
        self._look()

    async def matched(self, rows: Iterable[Row]) -> AsyncIterator[tuple[Row, Record | None]]:
        """Yield all rows of the input, read anew, with what has become of them; after `end`."""
        if not self._ended:
            raise RuntimeError("the job is still sending; call end() first")
        await of(self.journal.flush())
        await self._finished_rows.refresh()
        batches = batches_of(rows)
        async for known in matched(self._finished_rows, batches, dedupe=self._options.dedupe, answers=True):
            record = known.record or self.for_now.get(known.key)
            if record is not None and known.repeated:
                record = replace(record, units=0, attempts=0)
            yield known.row, record

    async def _delivery(self) -> Service:
        """Return what the calls of this job are sent by."""
        if self._options.delivery == "direct":
            return self._service
        self._submissions = JournaledSubmissions(self.journal)
        await self._submissions.load()
        return replace(self._service, transport=QueuedTransport(self._service, self._submissions))

    async def _expected(self) -> Expected[Any] | None:
        """Return what answers must be, with a hook that has each on the disk before user code reads it."""
        if self._plan.expected is None:
            return None
        for draft in await of(self.journal.drafts()):
            self._drafts[draft.key] = draft.after(self._drafts.get(draft.key))
        return replace(self._plan.expected, answered=self._draft)

    async def _draft(self, request: ChatRequest, completion: ChatCompletion) -> None:
        assert isinstance(request, _Asked)
        known, cost = request.known, completion.cost
        units = None if cost is None else ceil_units(cost)
        draft = Draft(known.key, known.digest, units, to_json(completion.raw))
        await self.journal.draft(draft, completion.request_id)

    async def _requests(self) -> AsyncIterator[ChatRequest]:
        """Yield what is still to be sent, and remember every row until its outcome comes."""
        index = 0
        found = matched(
            self._finished_rows,
            batches_of(self._rows),
            dedupe=self._options.dedupe,
            answers=not self.skip_finished,
        )
        async with aclosing(found):
            async for known in found:
                request = self._to_do(known)
                if request is None:
                    continue
                if isinstance(request, _Asked):
                    self._under_way[index] = known
                index += 1
                yield request
        self.sights.total = self._read

    def _to_do(self, known: Known) -> ChatRequest | None:
        """Return what to do for a row: a call, or an outcome to yield; None for neither."""
        if known.repeated:
            self.report.repeated += 1
            return None
        self._read += 1
        if known.row.request is None:
            return self._unusable(known.row)
        record = known.record
        if record is None:
            record = self._read_draft(known)
        elif self._options.again(record.kind):
            record = None
        if record is None:
            return _Asked(known.row.request, known)
        return self._finished(known.row, record)

    def _unusable(self, row: Row) -> ChatRequest | None:
        self.report.count(Status.FAILED, INVALID_ROW, row.problem)
        error = InvalidRequestError(row.problem or "the row cannot be used")
        outcome: Outcome[Any] = Outcome(row.index, row.id, Status.FAILED, None, error)
        return None if self.skip_finished else Settled(outcome)

    def _finished(self, row: Row, record: Record) -> ChatRequest | None:
        self.report.resumed += 1
        self._failed_earlier += record.kind is not None
        self.report.book(record)
        if self.skip_finished:
            return None
        assert row.request is not None
        return Settled(outcome_of(record, row, row.request.model or self._model, self._shape))

    def _read_draft(self, known: Known) -> Record | None:
        """Read an answer that an earlier run has received and not read; None if there is none that fits."""
        draft = self._drafts.get(known.key)
        if draft is None or draft.digest != known.digest or self._shape is None:
            return None
        answer = decode(draft.raw)
        if finish_of(answer.finish_reason, answer.raw) is not Finish.WHOLE:
            return None
        try:
            parsed = self._shape.write(self._shape.read(answer.text))
        except Exception:  # noqa: BLE001  # it is asked again, as it would have been
            return None
        record = record_of_draft(known, draft, parsed)
        self.journal.keep(record)
        return record

    async def _keep(self, outcome: Outcome[Any]) -> None:
        """Put an outcome on the disk; rows that were not sent are simply still to do."""
        known = self._under_way.pop(outcome.index, None)
        if known is None or outcome.status not in {Status.OK, Status.FAILED}:
            return
        record = record_of(known, outcome, *self._reading(known.row, outcome))
        with_excerpt(record, known, self.sights.slow)
        draft = self._drafts.pop(known.key, None)
        if draft is not None and draft.units is not None:
            # Paid for in an earlier run, and of no use.
            record.units = draft.units + (record.units or 0)
        self.report.book(record)
        self.notable.add(record)
        if isinstance(outcome.error, _OF_ALL):
            self.for_now[known.key] = record
            return
        kept = self.journal.keep(record, _submission_of(outcome))
        if anyio.current_time() - self._noted_at >= _NOTE_EVERY:
            self._note()
        # If this is cancelled, it is written all the same.
        await kept
        if self.journal.trouble is not None:
            self.stop(f"the journal cannot be written: {self.journal.trouble}", StopReason.DISK)

    def _reading(self, row: Row, outcome: Outcome[Any]) -> tuple[Reading, str | None]:
        """Return what is read from an answer, and what is right; user code that fails costs no answer."""
        completion, truth = outcome.completion, None
        try:
            truth = self._options.truth(row)
            if completion is None:
                return Reading(), truth
            if self._shape is not None:
                return Reading(parsed=self._shape.write(completion.parsed)), truth
            return self._options.read(completion), truth
        except Exception as error:  # noqa: BLE001  # whatever a user wrote: the answer is kept with it
            return Reading(kind=type(error).__name__, message=str(error)), truth

    def _note(self) -> None:
        """Note pace and money for a restart, with the next rows."""
        self.journal.note("state", restart.noted(self._service.admission))
        self._noted_at = anyio.current_time()

    async def _look_often(self) -> None:
        while True:
            await anyio.sleep(LOOK_EVERY)
            self._look()

    def _look(self) -> None:
        """See how the job stands, write it down, and tell."""
        assert self._fan_out is not None
        self.report.fan_out = sent = self._fan_out.report
        for status, count in ((Status.UNSENT, sent.unsent), (Status.CANCELLED, sent.cancelled)):
            if count:
                self.report.counts[str(status)] = count
        if self._submissions is not None:
            self.report.taken_over = self._submissions.taken_over
            self.report.asked_again = self._submissions.asked_again
        self.sights.look(self._fan_out, self._so_far(), last=self._ended)

    def _so_far(self) -> JobProgress:
        """Say what has become of the rows that were read."""
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
