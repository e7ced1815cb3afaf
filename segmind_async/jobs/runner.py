"""One bulk file from end to end: rows through a fan-out, results in order into a file."""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import IO, TypeAlias

import anyio
from pydantic_core import to_json

from .._fanout import FanOut, OnExhausted
from ..client import SegmindClient
from ..errors import SegmindError
from ..models import ChatRequest, FanOutReport, Outcome, Status
from .labels import Labels
from .rows import Row

Json: TypeAlias = dict[str, object]

_END = object()

PROGRESS_EVERY = 10.0
"""Seconds between two reports of progress."""


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


@dataclass(slots=True)
class JobReport:
    """What a job did."""

    counts: Counter[str] = field(default_factory=Counter)
    """Rows by status; they add up to the rows of the input."""
    errors: Counter[str] = field(default_factory=Counter)
    """Failed rows by the class of their error."""
    right: int = 0
    judged: int = 0
    """Rows with a known label that were answered with one of the labels, and how many of them rightly."""
    fan_out: FanOutReport | None = None

    @property
    def accuracy(self) -> float | None:
        """Share of the judged rows that are right; None if none was judged."""
        return self.right / self.judged if self.judged else None


Progress: TypeAlias = Callable[[JobReport], None]


async def run_job(
    client: SegmindClient, rows: Iterator[Row], output: Path, options: JobOptions, progress: Progress
) -> JobReport:
    """Send all *rows* and write one JSON line for each, in input order, to *output*.

    The file appears under its name when the job has ended, for whatever reason but a crash of the
    process; until then it grows beside it, with `.part` added. Raises OSError if it cannot be written.
    """
    job = _Job(rows, options)
    outcomes = client.fan_out(
        job.requests(),
        floor=options.floor,
        max_credits=options.max_credits,
        on_exhausted=options.on_exhausted,
        ordered=True,
        # In order, a slow row holds back the results of faster ones: room for them keeps the slots full.
        buffer=1024,
    )
    with _appearing(output) as file:
        async with outcomes:
            await _write_all(job, file, outcomes, progress)
        job.write_rest(file)
    job.report.fan_out = outcomes.report
    return job.report


async def _write_all(job: _Job, file: IO[bytes], outcomes: FanOut, progress: Progress) -> None:
    """Write outcomes as they come, and tell of the progress in between."""
    tell_at = anyio.current_time() + PROGRESS_EVERY
    while True:
        outcome = None
        # An outcome that is waited for in vain is not lost: the next look finds it.
        with anyio.CancelScope(deadline=tell_at):
            outcome = await anext(outcomes, _END)
        if isinstance(outcome, Outcome):
            job.write(file, outcome)
        elif outcome is _END:
            return
        if anyio.current_time() >= tell_at:
            tell_at += PROGRESS_EVERY
            job.report.fan_out = outcomes.report
            progress(job.report)


@contextmanager
def _appearing(output: Path) -> Iterator[IO[bytes]]:
    """Write a file that gets its name when it is whole."""
    part = output.with_name(output.name + ".part")
    with part.open("wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    part.replace(output)


class _Job:
    """Matches outcomes, which come in order, with the rows they belong to."""

    def __init__(self, rows: Iterator[Row], options: JobOptions) -> None:
        self._rows = rows
        self._options = options
        self._under_way: deque[Row] = deque()
        self.report = JobReport()

    def requests(self) -> Iterator[ChatRequest]:
        """Yield what is to be sent, and remember every row until its outcome comes."""
        for row in self._rows:
            self._under_way.append(row)
            if row.request is not None:
                yield row.request

    def write(self, file: IO[bytes], outcome: Outcome) -> None:
        """Write the result of the next row, and of unusable rows before it."""
        row = self._under_way.popleft()
        while row.request is None:
            self._write_unusable(file, row)
            row = self._under_way.popleft()
        self._put(file, row, *self._result(row, outcome))

    def write_rest(self, file: IO[bytes]) -> None:
        """Write the rows that came after the last outcome: unusable ones, and those a stop left unread."""
        for row in (*self._under_way, *self._rows):
            if row.request is None:
                self._write_unusable(file, row)
            else:
                self._put(file, row, Status.UNSENT, {})
        self._under_way.clear()

    def _write_unusable(self, file: IO[bytes], row: Row) -> None:
        self.report.errors["unusable row"] += 1
        self._put(file, row, Status.FAILED, {"error": row.problem})

    def _result(self, row: Row, outcome: Outcome) -> tuple[Status, Json]:
        completion = outcome.completion
        result: Json = {"attempts": outcome.attempts, "cost": outcome.cost}
        if completion is None:
            if outcome.status is Status.FAILED:
                self.report.errors[type(outcome.error).__name__] += 1
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
            self.report.errors["not a label"] += 1
            return Status.FAILED, {**result, "error": f"not a label: {completion.text[:200]!r}"}
        self._judge(row, label, labels)
        return Status.OK, {**result, "label": label}

    def _judge(self, row: Row, label: str, labels: Labels) -> None:
        truth = row.columns.get(self._options.truth_column or "")
        if isinstance(truth, str) and truth:
            self.report.judged += 1
            self.report.right += labels.find(truth) == label

    def _put(self, file: IO[bytes], row: Row, status: Status, result: Json) -> None:
        self.report.counts[status.value] += 1
        named: Json = {**result, "id": row.id, "index": row.index, "status": status.value}
        line: Json = {name: named.get(name) for name in _FIELDS}
        file.write(to_json(line) + b"\n")


_FIELDS = ("id", "index", "status", "text", "label", "error", "attempts", "cost", "usage", "elapsed")


def _described(error: SegmindError | None) -> str | None:
    return None if error is None else f"{type(error).__name__}: {error}"
