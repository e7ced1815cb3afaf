"""One bulk file from end to end: rows through a fan-out into a journal, and in order into a file."""

from __future__ import annotations

import asyncio
import hashlib
import signal
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TypeAlias, TypeVar

import anyio
from pydantic_core import from_json, to_json

from .._core.pacing import PacerState
from .._fanout import FanOut, OnExhausted
from ..client import SegmindClient
from ..errors import AccessError, ModelRetiredError, NotFoundError, SegmindError
from ..models import ChatRequest, FanOutReport, Outcome, Status
from .journal import Journal, Record
from .labels import Labels
from .outputs import Put, open_output
from .rows import Row

T = TypeVar("T")

Json: TypeAlias = dict[str, object]
OpenRows: TypeAlias = Callable[[], AbstractContextManager[Iterator[Row]]]

PROGRESS_EVERY = 10.0
"""Seconds between two reports of progress."""

INTERRUPTED = "interrupted"

_GRACE = 60.0
"""Seconds that calls in flight get to end after a first Ctrl-C."""

AT_ONCE = 256
"""Rows that are looked up in the journal together."""

_OF_ALL = (AccessError, NotFoundError, ModelRetiredError)
"""What every row would meet; it stops the job."""

_NOTE_EVERY = 1.0
"""Seconds between two notes of pace and money for a restart."""


@dataclass(frozen=True, slots=True)
class JobOptions:
    """How a job spends; None means no bound of its own."""

    floor: Decimal = Decimal(0)
    max_credits: Decimal | None = None
    on_exhausted: OnExhausted = "stop"
    labels: Labels | None = None
    """What answers must be one of, for a classification."""
    truth_column: str | None = None
    """The column that holds the right label."""
    retry_failed: bool = False
    """Whether rows that failed in an earlier run are asked again."""


@dataclass(slots=True)
class JobReport:
    """What a job did, earlier runs included."""

    counts: Counter[str] = field(default_factory=Counter)
    """Rows by status; they add up to the rows of the input."""
    errors: Counter[str] = field(default_factory=Counter)
    """Failed rows by the class of their error."""
    examples: dict[str, str] = field(default_factory=dict)
    """What the first failed row of each class says."""
    right: int = 0
    judged: int = 0
    """Rows with a known label that were answered with one of the labels, and how many of them rightly."""
    resumed: int = 0
    """Rows that an earlier run had finished."""
    fan_out: FanOutReport | None = None
    """What this run did."""

    @property
    def accuracy(self) -> float | None:
        """Share of the judged rows that are right; None if none was judged."""
        return self.right / self.judged if self.judged else None


Progress: TypeAlias = Callable[[JobReport], None]


async def run_job(
    client: SegmindClient,
    open_rows: OpenRows,
    journal: Journal,
    output: Path,
    options: JobOptions,
    progress: Progress,
) -> JobReport:
    """Send all rows that *journal* does not hold yet, and write a result for each to *output*.

    Every answer is on the disk before the next row is taken, so that the same call goes on after any stop.
    Ctrl-C ends the sending and lets what is in flight end; a second one ends at once. *output* appears
    when the job has ended, for whatever reason but a crash of the process, in input order.

    Raises OSError or sqlite3.Error if the disk does not take it; what was written before is kept.
    """
    job = _Job(client, journal, options)
    if options.retry_failed:
        await _of(journal.drop(Status.FAILED))
    await job.resume()
    with open_rows() as rows:
        outcomes = client.fan_out(
            job.requests(rows),
            floor=options.floor,
            max_credits=options.max_credits,
            on_exhausted=options.on_exhausted,
            keep=job.keep,
        )
        try:
            await _run(job, outcomes, progress)
        finally:
            job.report.fan_out = outcomes.report
            job.note()
    await _of(journal.forget_occurrences())
    with open_rows() as rows, open_output(output) as put:
        await job.write(rows, put)
    return job.report


async def _run(job: _Job, outcomes: FanOut, progress: Progress) -> None:
    """Consume the fan-out, tell of the progress, and listen for signals."""
    failed: Exception | None = None

    def tell() -> None:
        job.report.fan_out = outcomes.report
        progress(job.report)

    async with anyio.create_task_group() as tasks:
        with anyio.CancelScope() as consuming:
            tasks.start_soon(_listen, outcomes, consuming, tell)
            tasks.start_soon(_tell_often, tell)
            try:
                await _drain(outcomes)
            except Exception as error:  # noqa: BLE001  # raised below, where no group wraps it
                failed = error
        tasks.cancel_scope.cancel()
    if failed is not None:
        raise failed


async def _drain(outcomes: FanOut) -> None:
    """Take what comes: it has been kept already."""
    async with outcomes:
        async for _ in outcomes:
            pass


async def _listen(outcomes: FanOut, consuming: anyio.CancelScope, tell: Callable[[], None]) -> None:
    """Stop sending at the first signal; at the second, or when the grace is over, stop at once."""
    if threading.current_thread() is not threading.main_thread():
        return  # signals come to the main thread alone
    with suppress(NotImplementedError), anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        await anext(signals)
        outcomes.stop(INTERRUPTED)
        tell()
        with anyio.move_on_after(_GRACE):
            await anext(signals)
        consuming.cancel()


async def _tell_often(tell: Callable[[], None]) -> None:
    while True:
        await anyio.sleep(PROGRESS_EVERY)
        tell()


@dataclass(frozen=True, slots=True)
class _Known:
    """A row, and what the journal knows it by."""

    row: Row
    key: str
    digest: bytes
    record: Record | None


class _Job:
    """Matches rows with what the journal holds of them."""

    def __init__(self, client: SegmindClient, journal: Journal, options: JobOptions) -> None:
        self._client = client
        self._journal = journal
        self._options = options
        self._under_way: dict[int, _Known] = {}
        self._for_now: dict[str, bytes] = {}
        """Results that the next run is to forget, by key."""
        self._noted_at = 0.0
        self.report = JobReport()

    async def resume(self) -> None:
        """Take over pace and doubts of an earlier run: it may have ended a moment ago."""
        noted = await _of(self._journal.noted("state"))
        if isinstance(noted, dict):
            elapsed = max(0.0, time.time() - noted["at"])  # noqa: TID251  # two processes share no other clock
            pace = PacerState(tuple(noted["ages"]), noted["rate"])
            self._client._service.admission.resume(pace, noted["in_doubt"], elapsed)

    async def requests(self, rows: Iterator[Row]) -> AsyncIterator[ChatRequest]:
        """Yield what is still to be sent, and remember every row until its outcome comes."""
        index = 0
        async for known in self._known(rows):
            request = known.row.request
            if request is None:
                continue
            if known.record is not None:
                self.report.resumed += 1
                continue
            self._under_way[index] = known
            index += 1
            yield request

    async def keep(self, outcome: Outcome) -> None:
        """Put an outcome on the disk; rows that were not sent are simply still to do."""
        known = self._under_way.pop(outcome.index)
        if outcome.status not in {Status.OK, Status.FAILED}:
            return
        status, result = self._result(outcome)
        if isinstance(outcome.error, _OF_ALL):
            # The key or the model is at fault, not the row: with another key the job goes on with it.
            self._for_now[known.key] = to_json(result)
            return
        kept = self._journal.keep(Record(known.key, known.digest, status, to_json(result)))
        if time.monotonic() - self._noted_at >= _NOTE_EVERY:
            self.note()
        # What was paid for is written even if this task is being cancelled.
        with anyio.CancelScope(shield=True):
            await _of(kept)

    def note(self) -> None:
        """Note pace and money for a restart, with the next rows."""
        self._noted_at = time.monotonic()
        pace, in_doubt = self._client._service.admission.state()
        state = {"ages": pace.ages, "rate": pace.rate, "in_doubt": in_doubt}
        self._journal.note("state", {**state, "at": time.time()})  # noqa: TID251  # as above

    async def write(self, rows: Iterator[Row], put: Put) -> None:
        """Write the result of every row, in order of the input, and count."""
        async for known in self._known(rows):
            row, record = known.row, known.record
            if row.request is None:
                self._put(put, row, {"status": Status.FAILED, "error": f"UnusableRow: {row.problem}"})
            elif record is not None:
                self._put(put, row, from_json(record.result))
            elif known.key in self._for_now:
                self._put(put, row, from_json(self._for_now[known.key]))
            else:
                self._put(put, row, {"status": Status.UNSENT})

    async def _known(self, rows: Iterator[Row]) -> AsyncIterator[_Known]:
        """Yield every row with its record, looked up many at a time."""
        while batch := list(islice(rows, AT_ONCE)):
            names, digests = [], []
            for row in batch:
                digest = digest_of(row.request) if row.request else b""
                digests.append(digest)
                names.append(f"id {row.id}" if row.has_id else f"request {digest.hex()}")
            counts = await _of(self._journal.occurrences(names))
            keys = [name if n == 1 else f"{name} ({n})" for name, n in zip(names, counts, strict=True)]
            found = await _of(self._journal.finished(keys))
            for row, key, digest in zip(batch, keys, digests, strict=True):
                record = found.get(key)
                yield _Known(row, key, digest, record if record and record.digest == digest else None)

    def _result(self, outcome: Outcome) -> tuple[Status, Json]:
        completion = outcome.completion
        result: Json = {"status": outcome.status, "attempts": outcome.attempts, "cost": outcome.cost}
        if completion is None:
            return outcome.status, {**result, "error": _described(outcome.error)}
        usage = completion.usage
        result["text"] = completion.text
        result["usage"] = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
        result["elapsed"] = round(completion.elapsed, 6)
        labels = self._options.labels
        if labels is None:
            return Status.OK, result
        label = labels.find(completion.text)
        if label is None:
            error = f"NotALabel: {completion.text[:200]!r}"
            return Status.FAILED, {**result, "status": Status.FAILED, "error": error}
        return Status.OK, {**result, "label": label}

    def _put(self, put: Put, row: Row, result: Json) -> None:
        status, error = str(result["status"]), result.get("error")
        self.report.counts[status] += 1
        if isinstance(error, str):
            name, _, what = error.partition(": ")
            self.report.errors[name] += 1
            self.report.examples.setdefault(name, what)
        self._judge(row, result.get("label"))
        put({**result, "id": row.id, "index": row.index})

    def _judge(self, row: Row, label: object) -> None:
        truth, labels = row.columns.get(self._options.truth_column or ""), self._options.labels
        if labels is not None and label is not None and isinstance(truth, str) and truth:
            self.report.judged += 1
            self.report.right += labels.find(truth) == label


def digest_of(request: ChatRequest) -> bytes:
    """Return what tells one request from another, whatever its place in the input."""
    canonical = to_json([request.messages, request.model, sorted(request.parameters.items())])
    return hashlib.sha256(canonical).digest()[:16]


def _described(error: SegmindError | None) -> str | None:
    return None if error is None else f"{type(error).__name__}: {error}"


def _of(future: Future[T]) -> asyncio.Future[T]:
    """Await what another thread is doing."""
    return asyncio.wrap_future(future)
