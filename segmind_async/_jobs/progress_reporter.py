"""Reports the progress of a running job: to its journal, and to a function of the user."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any, TypeAlias

from .._money.units import credits_of
from .._sending.call_queue import AccountUse
from .._sending.fan_out import FanOut
from .._sending.service import Service
from ..models import FanOutReport
from .journal.commit_thread import wait_for
from .journal.journal import Journal
from .progress import JobProgress, KeyUse

_LOG = logging.getLogger(__name__)

Progress: TypeAlias = Callable[[JobProgress], None]

PROGRESS_EVERY = 0.5
"""Seconds between two reports."""

ROWS_FACT = "rows"
"""Name of the journal's fact with the number of rows of the input, as an estimate or a run counted them."""

_WRITES = 400.0
"""Reports are written at least this fraction of the elapsed time apart: a few thousand for a job of days."""


class ProgressReporter:
    """Reports the progress of one run of a job."""

    def __init__(self, service: Service, model: str, progress: Progress | None) -> None:
        self.total: int | None = None
        """Rows of the input: from the start if it has a length, else when it has been read to its end."""
        self.counted: int = 0
        """Rows of the input that have been counted so far; may be set by another thread."""
        self.part: bool = False
        """Whether the job takes a part of the input, whose number of rows the next run does not expect."""
        self._service = service
        self._model = model
        self._progress = progress
        self._journal: Journal | None = None
        self._keeps = True
        """Whether the journal keeps the progress of this run."""
        self._run = 1
        self._spent_before = Decimal(0)
        self._rows_expected: int | None = None
        self._written = JobProgress()

    def __repr__(self) -> str:
        return f"ProgressReporter(run={self._run}, written={self._written.elapsed:.1f})"

    async def load(self, journal: Journal, *, keeps: bool) -> None:
        """Read the facts that earlier runs left in the journal, which *keeps* those of this one."""
        self._journal, self._keeps = journal, keeps
        runs = await wait_for(journal.fact("runs"))
        self._run = runs + 1 if isinstance(runs, int) else 1
        self._spent_before = credits_of(await wait_for(journal.spent()))
        if keeps:
            journal.set_fact("runs", self._run)
        rows = await wait_for(journal.fact(ROWS_FACT))
        self._rows_expected = rows if isinstance(rows, int) else None

    def expect(self, rows: int) -> None:
        """Expect so many rows until the input has been read to its end."""
        self._rows_expected = rows

    def end_of_input(self, rows: int) -> None:
        """Set the number of rows to read, which the next run expects again unless they are a part."""
        assert self._journal is not None
        self.total = rows
        if self._keeps and not self.part:
            self._journal.set_fact(ROWS_FACT, rows)

    def report(self, fan_out: FanOut[Any], rows: JobProgress, *, last: bool) -> None:
        """Report the progress; *rows* has counts of rows. The *last* report of a run is always written."""
        assert self._journal is not None
        sent = fan_out.report
        now = self._progress_of(fan_out, sent, rows)
        pause = max(PROGRESS_EVERY, now.elapsed / _WRITES)
        # Reports are a little early or late: the nearest one is written.
        if self._keeps and (last or now.elapsed - self._written.elapsed >= pause - PROGRESS_EVERY / 2):
            self._written = now
            self._journal.sample(time.time(), now.as_json())  # noqa: TID251  # for people to read
        if self._progress is not None:
            self._call(self._progress, now)

    def _call(self, progress: Progress, now: JobProgress) -> None:
        try:
            progress(now)
        except Exception:  # noqa: BLE001  # of the user's code
            # An observer must not end a job that is paid for.
            _LOG.exception("progress has failed")

    def _progress_of(self, fan_out: FanOut[Any], sent: FanOutReport, rows: JobProgress) -> JobProgress:
        budget, admission = fan_out.scope.budget, self._service.admission
        # A gateway tells of all calls of the client, which may have others beside this job.
        there = admission.waits.at_gateway(fan_out.scope.in_flight, admission.now())
        return replace(
            rows,
            run=self._run,
            total=(total := self._total_after(rows.rows)),
            counted=max(rows.rows, self.counted) if total is None else 0,
            in_flight=fan_out.scope.in_flight - there,
            waiting=len(fan_out.scope.waiting) + there,
            spent_before=self._spent_before,
            floor=credits_of(budget.floor) * len(self._service.admission.accounts.distinct),
            max_credits=None if budget.cap is None else credits_of(budget.cap),
            fan_out=sent,
            statistics=admission.statistics(self._service.estimates.of(self._model)),
            keys=self._uses(fan_out) if admission.accounts.several else (),
        )

    def _uses(self, fan_out: FanOut[Any]) -> tuple[KeyUse, ...]:
        by_account = fan_out.scope.by_account
        uses = [
            (one.name, by_account.get(one.index, AccountUse()))
            for one in self._service.admission.accounts.all
        ]
        return tuple(KeyUse(name, credits_of(use.units), use.rate_limited) for name, use in uses)

    def _total_after(self, rows: int) -> int | None:
        """Return how many rows the input has, of which *rows* were read; None if that is not known."""
        if self.total is not None:
            return self.total
        # An input that has grown is longer than expected: then nothing is known of its end.
        is_expected = self._rows_expected is not None and rows < self._rows_expected
        return self._rows_expected if is_expected else None
