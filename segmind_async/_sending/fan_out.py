"""Many calls over one iterator: workers pull a row when they are free, and each row ends in one outcome.

There is no task per row, and nothing is kept of a finished row: memory is proportional to the calls in
flight, not to the job. A row is pulled only if there is room for its outcome, so a slow consumer stops the
sending.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter, deque
from collections.abc import AsyncIterable, AsyncIterator, Collection
from dataclasses import replace
from decimal import Decimal
from itertools import count, islice
from types import TracebackType
from typing import Any, Generic

import anyio
from anyio.abc import TaskGroup

from .._money.units import ceil_units, credits_of, floor_units
from .._text.error_text import class_and_message
from .._text.wait_reasons import WaitReason
from ..agent_result import T_co
from ..config import RetryPolicy
from ..errors import (
    AccessError,
    AuthenticationError,
    ClientClosedError,
    CreditsError,
    ErrorDetails,
    InsufficientCreditsError,
    ModelRetiredError,
    NotFoundError,
    SegmindError,
    ToolsNotSupportedError,
    TransientError,
)
from ..models import ChatCompletion, ChatRequest, FanOutReport, Outcome, Status, StopReason
from .admission import CallScope
from .call import Call, CallOptions, CallTotals, NotSentError
from .conversation import Conversation
from .histogram import Histogram
from .options import FanOutOptions, SendRow
from .service import Service, read_balance
from .source import FinishedRow, PendingRow, Rows, Source
from .waits import Pause

_OUTAGE_POLL_MIN, _OUTAGE_POLL = 0.001, 1.0
"""Seconds between two checks whether an outage has ended, at least and at most: a timer may fire earlier
than it was set by the resolution of the clock, and then a wait for the rest would end at once."""

_BALANCE_POLL_FIRST, _BALANCE_POLL_MAX = 5.0, 60.0
"""Seconds between two reads of the balance while waiting for a top-up: at first, and at most."""

_POLLS_PER_TRY = 20
"""Reads of the balance after which a call is tried although the balance has not risen."""


class FanOut(AsyncIterator[Outcome[T_co]], Generic[T_co]):
    """Outcomes of many calls, as they complete; made by `SegmindClient.fan_out`.

    Enter it as an async context manager and iterate over the result. Leaving the context, for whatever
    reason, cancels the calls in flight.
    """

    def __init__(
        self,
        service: Service,
        options: FanOutOptions,
        call: CallOptions,
        rows: Rows | AsyncIterable[PendingRow | FinishedRow],
    ) -> None:
        self._service = service
        self._options = options
        self._call = call
        self._source = Source(rows)
        # One permit for each row between being read and being taken by the consumer.
        self._permits = asyncio.Semaphore(options.workers + options.buffer)
        self._ready: deque[Outcome[Any]] = deque()
        self._early: list[tuple[int, Outcome[Any]]] = []
        self._next_position = 0
        self._consumer: asyncio.Future[None] | None = None
        self._tasks: TaskGroup | None = None
        self._workers = 0
        self._error: BaseException | None = None
        self._stop_reason: StopReason | None = None
        self._stop_message: str | None = None
        self._top_up: asyncio.Future[None] | None = None
        self._sums = _ReportTotals()
        self._started_at = 0.0
        self._ended_at: float | None = None

    def __repr__(self) -> str:
        return f"FanOut({self._sums!r}, workers={self._workers}, stop_reason={self._stop_reason!r})"

    async def __aenter__(self) -> FanOut[T_co]:
        if self._tasks is not None:
            raise RuntimeError("a fan-out runs once; make a new one")
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._started_at = anyio.current_time()
        self._start_worker()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._tasks is not None
        if self._workers:
            self.stop("its consumer left", StopReason.CONSUMER_LEFT)
        self._tasks.cancel_scope.cancel()
        # The error is not passed in: it would be raised wrapped in a group. It propagates by itself.
        await self._tasks.__aexit__(None, None, None)
        await self._source.aclose()
        self._ended_at = anyio.current_time()

    def __aiter__(self) -> FanOut[T_co]:
        return self

    async def __anext__(self) -> Outcome[T_co]:
        """Wait for the next outcome. If cancelled, none is lost."""
        if self._tasks is None:
            raise RuntimeError("enter the fan-out first: async with client.fan_out(…) as outcomes")
        if self._consumer is not None:
            raise RuntimeError("only one task may take outcomes at a time")
        while not self._ready:
            if not self._workers:
                if self._error is not None:
                    error, self._error = self._error, None
                    raise error
                raise StopAsyncIteration
            self._consumer = asyncio.get_running_loop().create_future()
            try:
                await self._consumer
            finally:
                self._consumer = None
        self._permits.release()
        return self._ready.popleft()

    @property
    def scope(self) -> CallScope:
        """The scope whose limits its calls count in."""
        return self._call.scope

    @property
    def report(self) -> FanOutReport:
        """Counts, costs and times of the rows so far; may be read at any time."""
        balance = self._service.admission.balance
        until = anyio.current_time() if self._ended_at is None else self._ended_at
        report = self._sums.report(
            None if balance is None else credits_of(balance),
            until - self._started_at,
            self._stop_reason,
            self._stop_message,
        )
        return replace(report, total=self._source.total)

    def stop(self, message: str = "stopped by the caller", reason: StopReason = StopReason.STOPPED) -> None:
        """Read no more rows and send none of those that wait; calls in flight end and are delivered.

        The first stop decides the reason and the message of the report; later ones change neither.
        """
        self._read_no_more(reason, message)
        self._service.admission.close(self._call.scope)

    def _start_worker(self) -> None:
        assert self._tasks is not None
        self._workers += 1
        self._tasks.start_soon(self._work)

    async def _work(self) -> None:
        """Process rows one at a time until there are none."""
        started_next, source = False, self._source
        try:
            while await self._permits.acquire():
                row = (
                    None
                    if self._stop_reason
                    else source.pull_nowait()
                    if source.plain
                    else await source.pull()
                )
                if row is None:
                    self._permits.release()
                    break
                if not started_next and self._workers < self._options.workers:
                    # Each worker starts the next one as long as there are rows: few rows, few workers.
                    started_next = True
                    self._start_worker()
                await self._process(*row)
        except (anyio.get_cancelled_exc_class(), GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001  # code of the user, or a bug: the consumer receives it
            self._error = self._error or error
            self.stop(class_and_message(error), StopReason.ERROR)
        finally:
            self._workers -= 1
            if not self._workers:
                self._wake()

    async def _process(self, position: int, row: PendingRow | FinishedRow) -> None:
        """Send a row, unless its outcome is known, and deliver the outcome."""
        if isinstance(row, FinishedRow):
            self._deliver(position, row.outcome)
            return
        outcome = await self._outcome(row)
        if row.keep is not None:
            kept = await row.keep(outcome)
            if kept.status is not outcome.status:
                self._sums.recount(outcome.status, kept.status)
                self._check_failures()
            outcome = kept
        elif self._options.keep is not None:
            await self._options.keep(outcome)
        self._deliver(position, outcome)

    def _deliver(self, position: int, outcome: Outcome[Any]) -> None:
        if self._options.ordered:
            heapq.heappush(self._early, (position, outcome))
            while self._early and self._early[0][0] == self._next_position:
                self._ready.append(heapq.heappop(self._early)[1])
                self._next_position += 1
        else:
            self._ready.append(outcome)
        self._wake()

    def _wake(self) -> None:
        if self._consumer is not None and not self._consumer.done():
            self._consumer.set_result(None)

    async def _outcome(self, row: PendingRow) -> Outcome[Any]:
        """Send one row and return its outcome; only a cancellation or a bug raises."""
        totals = CallTotals()
        try:
            completion = await self._complete(row, totals)
        except SegmindError as error:
            status = self._status_after(error, row.request)
            if status is Status.UNSENT and totals.reasks:
                # An answer came and was paid; only the request for a better one could not be sent.
                status = Status.FAILED
            outcome = Outcome(row.index, row.id, status, None, error, totals.attempts, totals.cost)
        except BaseException:
            # Cancelled: a row without any attempt is unsent.
            self._sums.count(Status.CANCELLED if totals.attempts else Status.UNSENT, totals)
            raise
        else:
            outcome = Outcome(row.index, row.id, Status.OK, completion, None, totals.attempts, totals.cost)
        self._sums.count(outcome.status, totals)
        self._check_failures()
        return outcome

    async def _complete(self, row: PendingRow, totals: CallTotals) -> ChatCompletion[Any]:
        breaker, expected = self._service.admission.breaker, self._options.expected
        if expected is not None and row.answered is not None:
            expected = replace(expected, answered=row.answered)
        # Kept over the tries: one that has received an answer continues from it.
        conversation = (
            None
            if expected is None
            else Conversation(self._service, self._call, row.request, expected, totals)
        )
        while True:
            try:
                if breaker.opened_at is not None and self._options.max_outage:
                    await self._wait_for_probe()
                if conversation is not None:
                    return await conversation.run()
                if self._options.send is not None:
                    return await _sent(self._options.send, row.request, totals)
                return await Call(self._service, self._call, row.request, totals).run()
            except InsufficientCreditsError as error:
                if self._options.on_exhausted != "wait":
                    raise
                await self._wait_for_top_up(error)
            except TransientError as error:
                # In an outage a row waits instead of failing, unless it may have been paid too often already.
                if totals.in_doubt > self._call.retry.resend_in_doubt or not await self._may_wait_out(error):
                    raise

    async def _wait_for_evidence(self) -> None:
        """Wait until other attempts show whether the service fails for all; without any, assume that it does.

        The retry budget of the client is empty: that the row may not try again says nothing of the row.
        """
        admission, since = self._service.admission, anyio.current_time()
        while admission.breaker.opened_at is None and not admission.breaker.succeeded_after(since):
            if not admission.in_flight:
                admission.breaker.open(anyio.current_time())
                return
            if self._stop_reason:
                return
            await anyio.sleep(_OUTAGE_POLL)

    async def _may_wait_out(self, error: TransientError) -> bool:
        """Return whether *error* is due to an outage to wait out; stop if that has lasted too long."""
        most = self._options.max_outage
        if most and self._service.retry_budget.is_empty:
            await self._wait_for_evidence()
        opened_at = self._service.admission.breaker.opened_at
        if opened_at is None or not most or self._stop_reason:
            return False
        if anyio.current_time() - opened_at < most:
            return True
        self.stop(f"the service has been failing for max_outage={most:g} s: {error}", StopReason.OUTAGE)
        return False

    async def _wait_for_probe(self) -> None:
        """Wait until the service works again, or it is this row's turn to probe it."""
        admission = self._service.admission
        breaker = admission.breaker
        with admission.pause(WaitReason.OUTAGE, breaker.probe_at) as pause:
            pause.since = breaker.opened_at or pause.since
            while not breaker.take_probe(now := anyio.current_time()):
                pause.until = breaker.probe_at
                # Polled, because a success elsewhere closes the circuit breaker without waking anybody.
                await anyio.sleep(min(max(breaker.probe_at - now, _OUTAGE_POLL_MIN), _OUTAGE_POLL))
                if self._stop_reason:
                    raise NotSentError("its fan-out has stopped")

    def _status_after(self, error: SegmindError, row: ChatRequest) -> Status:
        """Return the status of a row that ended with *error*, and stop if all rows would meet the same."""
        if isinstance(error, NotSentError | ClientClosedError):
            return Status.UNSENT
        if isinstance(error, CreditsError):
            if self._options.on_exhausted == "raise":
                self._error = self._error or error
            # Waiting rows may be cheaper and still fit, so they are not closed; no new ones are read.
            self._read_no_more(StopReason.CREDITS, f"credits: {error}")
            return Status.UNSENT
        all_rows_meet_it = (
            isinstance(error, AccessError | NotFoundError | ModelRetiredError | ToolsNotSupportedError)
            and row.model is None
        )
        if all_rows_meet_it or isinstance(error, AuthenticationError):
            self.stop(str(error), StopReason.REFUSED)
        return Status.FAILED

    def _check_failures(self) -> None:
        most = self._options.max_failures
        if most is not None and self._sums.counts[Status.FAILED] >= most:
            failed = self._sums.counts[Status.FAILED]
            self.stop(f"{failed} rows failed (max_failures={most})", StopReason.MAX_FAILURES)

    def _read_no_more(self, reason: StopReason, message: str) -> None:
        """Read no more rows; those that wait may still be sent."""
        if self._stop_reason is None:
            self._stop_reason, self._stop_message = reason, message

    async def _wait_for_top_up(self, error: InsufficientCreditsError) -> None:
        """Wait until the balance has risen; the first waiting row polls for all."""
        if self._top_up is not None:
            await asyncio.shield(self._top_up)
            return
        self._top_up = asyncio.get_running_loop().create_future()
        try:
            await self._poll_balance(error)
        finally:
            self._top_up.set_result(None)
            self._top_up = None

    async def _poll_balance(self, error: InsufficientCreditsError) -> None:
        admission = self._service.admission
        with admission.pause(WaitReason.TOP_UP, admission.now()) as pause:
            await self._poll_until_risen(error, pause)

    async def _poll_until_risen(self, error: InsufficientCreditsError, pause: Pause) -> None:
        admission = self._service.admission
        lowest, step = admission.balance or 0, _BALANCE_POLL_FIRST
        pause.needed = None if error.needed is None else ceil_units(error.needed)
        for poll in count(1):
            balance = admission.balance
            pause.available = None if balance is None else balance - floor_units(error.floor)
            pause.until = admission.now() + step
            await anyio.sleep(step)
            step = min(step * 1.5, _BALANCE_POLL_MAX)
            if self._stop_reason:
                break
            try:
                await read_balance(self._service, RetryPolicy())
            except SegmindError:
                continue  # the next read may succeed; a key that has become invalid shows at the next call
            balance = admission.balance or 0
            # Tried from time to time without a rise: reservations of others are released without a trace.
            if balance > lowest or poll % _POLLS_PER_TRY == 0:
                admission.accounts.forget_reservations()
                return
            lowest = min(lowest, balance)
        raise error


async def _sent(send: SendRow, request: ChatRequest, totals: CallTotals) -> ChatCompletion[Any]:
    """Return the answer to a row, and add to *totals* what it took."""
    try:
        completion = await send(request)
    except SegmindError as error:
        _add(totals, error.details)
        raise
    _add(totals, completion)
    totals.unpriced += completion.cost is None
    return completion


def _add(totals: CallTotals, took: ChatCompletion[Any] | ErrorDetails) -> None:
    totals.attempts += took.attempts
    totals.in_doubt += took.in_doubt
    totals.elapsed += took.elapsed
    if took.cost is not None:
        totals.cost = took.cost + (totals.cost or 0)


async def all_outcomes(fan_out: FanOut[Any], rows: Rows) -> list[Outcome[Any]]:
    """Return the outcomes of an ordered fan-out over *rows*: of a collection, one for each, sent or not.

    An error at its end holds the answers that were paid, and their cost.
    """
    outcomes: list[Outcome[Any]] = []
    try:
        async with fan_out:
            async for outcome in fan_out:
                outcomes.append(outcome)  # kept if the iteration raises
    except SegmindError as error:
        error.add_paid(tuple(done.text for done in outcomes if done.text is not None), fan_out.report.spent)
        raise
    if isinstance(rows, Collection):
        reason = fan_out.report.stop_message or "its fan-out has stopped"
        for position, row in enumerate(islice(rows, len(outcomes), None), len(outcomes)):
            name = row.id if isinstance(row, ChatRequest) and row.id is not None else str(position)
            outcomes.append(Outcome(position, name, Status.UNSENT, None, NotSentError(reason)))
    return outcomes


class _ReportTotals:
    """Sums over rows, from which reports are made."""

    def __init__(self) -> None:
        self.counts: Counter[Status] = Counter()
        self._spent = Decimal(0)
        self._sums = CallTotals()
        self._latency = Histogram()

    def __repr__(self) -> str:
        return ", ".join(f"{count} {status.value}" for status, count in self.counts.items())

    def count(self, status: Status, totals: CallTotals) -> None:
        """Add a row that has ended."""
        self.counts[status] += 1
        sums = self._sums
        sums.attempts += totals.attempts
        sums.rate_limited += totals.rate_limited
        sums.maybe_paid_twice += totals.maybe_paid_twice
        sums.unpriced += totals.unpriced
        if totals.cost is not None:
            self._spent += totals.cost
        if status is Status.OK:
            self._latency.add(totals.elapsed)

    def recount(self, before: Status, now: Status) -> None:
        """Count a row under another status: its answer was of no use to whoever keeps it."""
        self.counts[before] -= 1
        self.counts[now] += 1

    def report(
        self,
        balance: Decimal | None,
        elapsed: float,
        stop_reason: StopReason | None,
        stop_message: str | None,
    ) -> FanOutReport:
        """Return the sums as a report; amounts in credits, times in seconds."""
        counts, sums, latency = self.counts, self._sums, self._latency
        return FanOutReport(
            ok=counts[Status.OK],
            failed=counts[Status.FAILED],
            unsent=counts[Status.UNSENT],
            cancelled=counts[Status.CANCELLED],
            spent=self._spent,
            unpriced=sums.unpriced,
            credits_remaining=balance,
            attempts=sums.attempts,
            rate_limited=sums.rate_limited,
            maybe_paid_twice=sums.maybe_paid_twice,
            latency_p50=latency.quantile(0.5),
            latency_p95=latency.quantile(0.95),
            latency_p99=latency.quantile(0.99),
            elapsed=elapsed,
            stop_reason=stop_reason,
            stop_message=stop_message,
        )
