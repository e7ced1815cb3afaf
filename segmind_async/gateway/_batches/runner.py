"""Runs the batches, from wherever a process before this one has left them.

Batches of one caller run one after the other, those of different callers beside each other. One that cannot
go on (its budget is used up, the account is empty, the service refuses the key) says why, and tries again
until its time ends.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from ..._jobs.run import JobRun
from ...models import Status
from .._errors import GatewayError
from .._files.store import FileStore
from .batch import Batch, BatchOrder, BatchStatus, Problem, RequestCounts
from .calls import GatewayCalls, RowCalls
from .input import checked, rows_of
from .output import BatchOutput
from .store import BatchStore

_FIRST_WAIT, _LONGEST_WAIT = 15.0, 300.0
"""Seconds before a batch that cannot go on tries again: at first, and at most."""

_log = logging.getLogger("segmind_async.gateway")


@dataclass(slots=True)
class _Running:
    """A batch while it runs."""

    woken: anyio.Event = field(default_factory=anyio.Event)
    """Set when it need not wait longer: it is cancelled, or the gateway stops."""
    turn: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    """Cancelled when it need not wait for its turn, for the same reasons."""
    saved: anyio.Event = field(default_factory=anyio.Event)
    """Set when a new batch is on the disk, or cannot be written there: see `not_saved`."""
    not_saved: OSError | None = None
    run: JobRun | None = None
    calls: RowCalls | None = None

    def wake(self, why: str) -> None:
        """End whatever it waits for, and send no more; what is in flight ends."""
        self.woken.set()
        self.turn.cancel()
        self.stop(why)

    def stop(self, why: str) -> None:
        """Send no more; what is in flight ends."""
        if self.run is not None and self.calls is not None:
            self.run.stop(why)
            self.calls.close()


class BatchRunner:
    """The batches that have not ended."""

    def __init__(self, batches: BatchStore, files: FileStore, calls: GatewayCalls) -> None:
        self._batches = batches
        self._files = files
        self._calls = calls
        self._running: dict[str, _Running] = {}
        self._lanes: defaultdict[tuple[str, str | None], anyio.Lock] = defaultdict(anyio.Lock)
        """Held by the batch of a caller and a budget that runs."""
        self._tasks: TaskGroup | None = None
        self._stopping = False

    async def start(self) -> None:
        """Go on with all batches. To be called in the task that closes it."""
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        for batch in self._batches.open_ones():
            self._start(batch, self._run)

    async def aclose(self) -> None:
        """Wait until all have stopped, at most as long as `stop` was told to."""
        if self._tasks is not None:
            await self._tasks.__aexit__(None, None, None)

    async def create(self, owner: str, budget: str | None, order: BatchOrder) -> Batch:
        """Return a new batch, which is on the disk and runs; raises GatewayError if there are too many.

        If its caller hangs up meanwhile, it runs nevertheless.
        """
        batch = self._batches.new(owner, budget, order)
        running = self._start(batch, self._save_and_run)
        await running.saved.wait()
        if running.not_saved is not None:
            raise running.not_saved
        return self._batches[batch.id]

    def _start(self, batch: Batch, work: Callable[[str], Coroutine[None, None, None]]) -> _Running:
        assert self._tasks is not None
        self._running[batch.id] = running = _Running()
        self._tasks.start_soon(work, batch.id)
        return running

    async def _save_and_run(self, id_: str) -> None:
        running = self._running[id_]
        try:
            await self._batches.save(self._batches[id_])
        except OSError as error:
            running.not_saved = error
            self._batches.forget(self._batches[id_])
            del self._running[id_]
            return
        finally:
            running.saved.set()
        await self._run(id_)

    def stop(self, grace: float) -> None:
        """Send no more; calls in flight have *grace* seconds to end. A later process goes on."""
        self._stopping = True
        for running in self._running.values():
            running.wake("the gateway stops")
        if self._tasks is not None:
            self._tasks.cancel_scope.deadline = anyio.current_time() + grace

    async def cancel(self, batch: Batch) -> Batch:
        """Cancel a batch; raises GatewayError, a 409, if it has ended or is about to."""
        if batch.status in {BatchStatus.CANCELLING, BatchStatus.CANCELLED}:
            return batch
        if not batch.may_be_cancelled:
            message = f"a batch that is {batch.status} cannot be cancelled"
            raise GatewayError(409, message, param="batch_id", code="batch_not_cancellable")
        cancelled = self.seen(batch).moved(BatchStatus.CANCELLING, self._batches.wall_clock())
        # First, because its caller may hang up while it is written: the runner writes it as well.
        self._batches.update(cancelled)
        self._running[batch.id].wake("the batch is cancelled")
        await self._batches.save(cancelled)
        return cancelled

    def seen(self, batch: Batch) -> Batch:
        """Return a batch with its counts as they are now."""
        running = self._running.get(batch.id)
        if running is None or running.run is None:
            return batch
        counts = running.run.report.counts
        now = RequestCounts(batch.counts.total, counts[Status.OK], counts[Status.FAILED])
        return replace(batch, counts=now)

    async def _run(self, id_: str) -> None:
        """Take a batch to its end, or until the gateway stops."""
        running, wait = self._running[id_], _FIRST_WAIT
        while not self._stopping:
            try:
                problem = await self._go_on(id_, running)
            except Exception as error:  # noqa: BLE001  # it is tried again, and whoever looks is told
                problem = await self._failed(id_, error)
            if problem is None:
                break
            await self._wait(id_, running, wait)
            wait = min(2 * wait, _LONGEST_WAIT)
        del self._running[id_]
        await self._batches.forget_old(self._batches[id_].owner)

    async def _failed(self, id_: str, error: Exception) -> Problem | None:
        """Log why a batch cannot go on, and end it if its time has ended too; its journal stays."""
        _log.error("a batch cannot go on", exc_info=error, extra={"batch": id_})
        message = error.message if isinstance(error, GatewayError) else "the log of the gateway says why"
        problem = Problem("gateway_failed", message)
        batch = replace(self._batches[id_], problems=(problem,))
        self._batches.update(batch)
        if self._has_time(batch):
            return problem
        await self._batches.save(batch.moved(BatchStatus.FAILED, self._batches.wall_clock()))
        return None

    async def _wait(self, id_: str, running: _Running, seconds: float) -> None:
        """Wait before a batch is tried again; not longer than until its time ends."""
        batch = self._batches[id_]
        left = batch.expires_at - self._batches.wall_clock()
        with anyio.move_on_after(min(seconds, max(left, 1.0))):
            await running.woken.wait()
        running.woken = anyio.Event()

    async def _go_on(self, id_: str, running: _Running) -> Problem | None:
        """Run a batch; return why it has to be tried again, None if it has ended or the gateway stops."""
        if self._batches[id_].status is BatchStatus.VALIDATING:
            await self._validate(id_)
        if self._batches[id_].has_ended:
            return None
        async with self._turn(self._batches[id_], running):
            if self._stopping:
                return None
            problem = await self._send_and_write(id_, running)
        if problem is not None:
            self._batches.update(replace(self._batches[id_], problems=(problem,)))
        return problem

    @asynccontextmanager
    async def _turn(self, batch: Batch, running: _Running) -> AsyncIterator[None]:
        """Wait for the turn of a batch in its lane; one that is cancelled needs none."""
        lane = self._lanes[batch.owner, batch.budget]
        held = False
        running.turn = anyio.CancelScope()
        with running.turn:
            if batch.status is not BatchStatus.CANCELLING:
                await lane.acquire()
                held = True
        try:
            yield
        finally:
            if held:
                lane.release()

    async def _validate(self, id_: str) -> None:
        """Look at all lines of the input, before any is sent."""
        batch = self._batches[id_]
        found = await anyio.to_thread.run_sync(checked, self._path_of(batch), batch.order.endpoint)
        batch = self._batches[id_]  # it may have been cancelled meanwhile
        counted = replace(batch, counts=RequestCounts(found.rows), problems=tuple(found.problems))
        if batch.status is BatchStatus.VALIDATING:
            next_ = BatchStatus.FAILED if found.problems else BatchStatus.IN_PROGRESS
            counted = counted.moved(next_, self._batches.wall_clock())
        elif found.problems:
            counted = counted.moved(BatchStatus.CANCELLED, self._batches.wall_clock())
        await self._batches.save(counted)

    async def _send_and_write(self, id_: str, running: _Running) -> Problem | None:
        batch = self._batches[id_]
        path, journal = self._path_of(batch), self._batches.journal_path(id_)
        calls = RowCalls(self._calls, batch)
        async with calls.job(journal, rows_of(path, batch.order.endpoint)) as run:
            with self._stoppable(id_, running, run, calls):
                async for _ in run:
                    pass  # the journal has it
            await run.end()
            problem = self._problem_of(run, id_)
            if problem is not None or self._is_left(run, id_):
                return problem
            await self._write(id_, run, path)
        await self._batches.remove_journal(id_)
        return None

    @contextmanager
    def _stoppable(self, id_: str, running: _Running, run: JobRun, calls: RowCalls) -> Iterator[None]:
        """Let the run be stopped: by a cancel, by the end of its time, and by that of the gateway."""
        running.run, running.calls = run, calls
        left = self._batches[id_].expires_at - self._batches.wall_clock()
        stop = partial(running.stop, "the time of the batch has ended")
        timer = asyncio.get_running_loop().call_later(max(0.0, left), stop)
        if self._batches[id_].status is BatchStatus.CANCELLING:
            running.stop("the batch is cancelled")
        elif self._stopping:
            running.stop("the gateway stops")
        try:
            yield
        finally:
            timer.cancel()
            self._batches.update(self.seen(self._batches[id_]))
            running.run = running.calls = None

    def _has_time(self, batch: Batch) -> bool:
        return batch.expires_at > self._batches.wall_clock()

    def _is_left(self, run: JobRun, id_: str) -> bool:
        """Return whether the rest is left to the next process."""
        return self._stopping and _stopped(run) is not None

    def _problem_of(self, run: JobRun, id_: str) -> Problem | None:
        """Return why the run has ended before its rows did, if it is to be tried again."""
        batch, why = self._batches[id_], _stopped(run)
        if why is None or self._stopping or batch.status is BatchStatus.CANCELLING:
            return None
        return Problem("waiting", why) if self._has_time(batch) else None

    async def _write(self, id_: str, run: JobRun, path: Path) -> None:
        """Write the output, and end the batch."""
        batch = self._batches[id_]
        cancelled = batch.status is BatchStatus.CANCELLING
        complete = _stopped(run) is None
        if batch.status is BatchStatus.IN_PROGRESS:
            batch = batch.moved(BatchStatus.FINALIZING, self._batches.wall_clock())
        await self._batches.save(replace(batch, problems=()))
        output = BatchOutput(self._files, self._batches[id_], _CANCELLED if cancelled else _EXPIRED)
        await output.write(run, path)
        ended = replace(
            self._batches[id_],
            counts=output.counts,
            output_file_id=output.output_id,
            error_file_id=output.error_id,
        )
        last = BatchStatus.COMPLETED if complete else BatchStatus.EXPIRED
        status = BatchStatus.CANCELLED if cancelled else last
        await self._batches.save(ended.moved(status, self._batches.wall_clock()))

    def _path_of(self, batch: Batch) -> Path:
        return self._files.path(self._files.get(batch.owner, batch.order.input_file_id))


_EXPIRED = Problem("batch_expired", "The time of the batch ended before this request was sent.")
_CANCELLED = Problem("batch_cancelled", "The batch was cancelled before this request was sent.")


def _stopped(run: JobRun) -> str | None:
    """Return why a run has ended before its rows did; None if it has not."""
    report = run.report.fan_out
    assert report is not None
    return None if report.stop_reason is None else report.stop_message or str(report.stop_reason)
