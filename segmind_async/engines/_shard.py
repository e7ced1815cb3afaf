"""One shard of a job: rows in, rows with answers out, and all that a job promises."""

from __future__ import annotations

import logging
import math
import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import (
    AbstractContextManager,
    aclosing,
    asynccontextmanager,
    closing,
    contextmanager,
    suppress,
)
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import anyio.to_thread
from anyio.from_thread import start_blocking_portal

from .._jobs.files.output_files import OpenRows, Output, OutputWriter
from .._jobs.formats.dataframes import COLUMNS, Frame, cells_of, frame_of, rows_of
from .._jobs.journal.finished import FinishedRows
from .._jobs.journal.journal_error import JournalError
from .._jobs.journal.lock import Lock
from .._jobs.journal.record import Record
from .._jobs.journal.settings import JobSettings
from .._jobs.known_rows import KnownRow, matched
from .._jobs.options import JobOptions, settings_of
from .._jobs.own_request import own_request
from .._jobs.prompt_template import MakeRequest, template, with_instruction, with_parameters
from .._jobs.report.row_counts import JobReport
from .._jobs.results import row_of
from .._jobs.rows import Row, batches_of, rows_made
from .._jobs.run import JobRun
from .._sending.conversation import expected
from .._sending.options import JobSending, unknown_names
from ..client import SegmindClient
from ..config import Limits, RetryPolicy, Timeouts
from ..errors import ConfigurationError, SegmindError
from ..models import DEFAULT_MODEL, JsonObject
from ._answered import note_end, take_answers
from ._folder import folder_of, journal_of
from ._index import AnswerIndex

_LOG = logging.getLogger(__name__)

_LOOK_EVERY = 0.5
"""Seconds between two looks at whether another task has left the same shard."""


Results: TypeAlias = AsyncGenerator[list[tuple[Row, JsonObject]], None]
"""Batches of rows, each with its row of an output."""


class ShardStoppedError(SegmindError):
    """A shard ended before its rows did. Its journal has what was answered; run again, it sends the rest."""


@dataclass(frozen=True, slots=True)
class ShardJob:
    """A job as an engine takes it: call it with the rows of a block. It can be pickled.

    The key is not part of it: each worker takes it from `SEGMIND_API_KEY`, and its service or gateway from
    *base_url* or `SEGMIND_BASE_URL`. Raises ConfigurationError for options that cannot work.
    """

    journal: str | Path
    """Folder of the journals, which all workers reach: local or NFS. One folder for each service: answers of
    the emulator would pass for those of the real one."""
    prompt: str | None = None
    """Text with `{column}`s; None: each row has `prompt` or `messages`."""
    instructions: str | None = None
    """System prompt."""
    parse: Any = None
    """Type of the answers, as of `SegmindClient.run_job`; None: text."""
    model: str = DEFAULT_MODEL
    parameters: JsonObject = field(default_factory=dict)
    """Parameters of all requests, such as `max_tokens`."""
    base_url: str | None = None
    limits: Limits | None = None
    """Limits of each worker; those of a gateway hold for the sum of them."""
    timeouts: Timeouts | None = None
    retry: RetryPolicy | None = None
    sending: JobSending = field(default_factory=JobSending)
    """Further keyword arguments of `SegmindClient.run_job`, such as `max_outage`."""
    retry_failed: bool | frozenset[str] = False
    """As `JobOptions.retry_failed`."""
    prefix: str = "result_"
    """Stands before the names of the columns of results."""
    yield_unsent: bool = False
    """Whether a shard that stops early yields its other rows with the status `unsent`; else it raises."""
    wait: float | None = None
    """Seconds to wait while another task runs the same shard; None: until it ends, however. The system frees
    the shard of a process that dies. A bound is for NFS 3, where the lock of a machine that is gone may stay.
    """

    def __post_init__(self) -> None:
        if "max_credits" in self.sending:
            raise ConfigurationError(
                f"sending={{'max_credits': {self.sending['max_credits']}}} would bound each shard, and not "
                "the job; give its caller a budget at the gateway"
            )
        if unknown := unknown_names(self.sending):
            raise ConfigurationError(f"sending: a job does not take {unknown}")
        self.make_request()

    def __call__(self, rows: Iterable[Mapping[str, object]]) -> list[dict[str, object]]:
        """Run a shard as `run_shard`, and return its rows as a list, which engines can send on."""
        return list(run_shard(rows, self))

    def frame(self, frame: Frame) -> Frame:
        """Run a shard whose rows are those of a data frame; return it with the columns of `frame_of`.

        pandas, polars or pyarrow, as engines hand out blocks; a frame without rows sends nothing. Needs the
        extra `dataframe`. Raises as `run_shard`.
        """
        found = _results(list(rows_of(frame)), self)
        return frame_of((result for _, result in found), frame, self.prefix)

    def make_request(self) -> MakeRequest:
        """Return what makes the requests of rows."""
        make = own_request if self.prompt is None else template(self.prompt)
        if self.instructions is not None:
            make = with_instruction(self.instructions, make)
        return with_parameters(self.parameters, make)

    def client(self, key: str | None = None, base_url: str | None = None) -> SegmindClient:
        """Return a client for shards of this job; a *base_url* given here is that of a gateway.

        Such a URL may be plain HTTP: its key opens only the gateway.
        """
        return SegmindClient(
            key,
            base_url or self.base_url,
            self.model,
            self.limits,
            self.timeouts,
            self.retry,
            allow_http=base_url is not None,
        )

    @property
    def options(self) -> JobOptions:
        """Options of the job of one shard: rows are known by what they ask."""
        return JobOptions(retry_failed=self.retry_failed, dedupe=True)

    @property
    def settings(self) -> JobSettings:
        """What must be equal for an answer to be shared."""
        wanted = None if self.parse is None else expected(self.parse, self.sending.get("max_reasks", 1))
        return settings_of(self.model, {}, self.options, wanted)


def run_shard(rows: Iterable[Mapping[str, object]], job: ShardJob) -> Iterator[dict[str, object]]:
    """Run a shard of *job*, then yield each row in order with the columns of its result beside its own.

    The results are those of `frame_of`. Nothing that a journal of the folder holds an answer of is sent
    again, however the rows were divided then. Equal requests in a shard share one answer, and only the first
    of them has its cost. Rows of an iterator are kept in a list; answers are read from the journal, one batch
    at a time. Works in any thread, also of a running event loop, which it blocks.

    Raises ShardStoppedError for a shard that stops early, with nothing yielded, unless *job* yields unsent
    rows, and for a journal that cannot be written, as on a full disk; JournalError while another task runs
    the same shard for longer than a `wait` that is given; ConfigurationError for a row that has a column of a
    result's name.
    """
    given = rows if isinstance(rows, Collection) else list(rows)
    for row, result in _results(given, job):
        yield {**row.columns, **cells_of(result, job.prefix)}


def _results(given: Collection[Mapping[str, object]], job: ShardJob) -> Iterator[tuple[Row, JsonObject]]:
    """Run a shard, then yield its rows in order, each with its row of an output."""
    if not given:
        return
    with start_blocking_portal() as portal:
        batches = shard_results(given, job)
        try:
            while batch := portal.call(_next, batches):
                yield from batch
        finally:
            portal.call(batches.aclose)


async def _next(batches: Results) -> list[tuple[Row, JsonObject]]:
    """Return the next batch; an empty list after the last one."""
    return await anext(batches, [])


async def shard_results(
    given: Collection[Mapping[str, object]], job: ShardJob, client: SegmindClient | None = None
) -> Results:
    """Run a shard as `run_shard`, then yield its rows in batches, each with its row of an output.

    All shards of a process may share one *client*; None: the shard opens its own.
    """
    _check_columns(given, job.prefix)
    shard = Shard(job, partial(rows_made, given, job.make_request()))
    with shard.disk_errors():
        await shard.prepare()
        if client is not None:
            await shard.send(client)
        else:
            async with job.client() as own:
                await shard.send(own)
    async with aclosing(shard.results()) as batches:
        async for batch in batches:
            yield batch


def _check_columns(rows: Iterable[Mapping[str, object]], prefix: str) -> None:
    names = {prefix + name for name in COLUMNS}
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            raise ConfigurationError(
                f"rows: row {number} is a {type(row).__name__}, and no mapping of columns to values"
            )
        if there := sorted(names & row.keys()):
            raise ConfigurationError(
                f"prefix={prefix!r}: row {number} has a column {there[0]!r}; choose another prefix"
            )


class Shard:
    """The rows of a shard and its journal."""

    def __init__(self, job: ShardJob, rows: Callable[[], Iterator[Row]]) -> None:
        self.rows = rows
        """Reads the rows, each time from the first."""
        self.path = Path(job.journal)
        """The journal, once it is prepared."""
        self.report: JobReport = JobReport()
        """Of the run, after `send`."""
        self._job = job
        self._folder = Path(job.journal)
        self._not_kept: Mapping[str, Record] = {}

    def __repr__(self) -> str:
        return f"Shard({self.path.name!r})"

    @contextmanager
    def disk_errors(self) -> Iterator[None]:
        """Raise ShardStoppedError in place of an error of a disk. For rows that are read from none."""
        try:
            yield
        except (OSError, sqlite3.OperationalError) as error:
            raise ShardStoppedError(
                f"the shard {self.path.name} stopped early: its journal cannot be written: {error}"
            ) from error

    async def prepare(self) -> None:
        """Find the journal, which is named by the rows."""
        await anyio.to_thread.run_sync(self._prepare)

    def _prepare(self) -> None:
        self._folder = folder_of(Path(self._job.journal), self._job.settings)
        self.path = journal_of(self._folder, self.rows())
        self._folder.mkdir(parents=True, exist_ok=True)

    async def send(self, client: SegmindClient) -> None:
        """Take what other shards have answered, and send the rest."""
        job = self._job
        async with self._turn():
            run = await self._run(client)
        self._not_kept = run.not_kept
        self.report = run.report
        sent = run.report.fan_out
        if sent is not None and sent.stop_reason is not None and not job.yield_unsent:
            raise ShardStoppedError(f"the shard {self.path.name} stopped early: {sent.stop_message}")

    async def send_and_write(self, client: SegmindClient, output: Output, opened: OpenRows) -> JobReport:
        """Send as `send`, and write the rows that *opened* opens; return their report, as `run_file`."""
        run = self._new_run(client)
        run.results_only = output.only
        async with self._turn(), run:
            await _consume(run)
            report = await OutputWriter(run, output, None, lambda _: None).write(opened)
        report.fan_out = None if output.only else run.report.fan_out
        return report

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Keep other tasks out of this shard, and take what other shards have answered."""
        in_thread = anyio.to_thread.run_sync
        with await _alone(self.path, self._job.wait), await in_thread(AnswerIndex, self._folder) as index:
            await in_thread(index.begin, self.path)
            await take_answers(self.path, self._job.settings, self._job.options, self.rows, index)
            yield
            with suppress(OSError, sqlite3.OperationalError):  # of a disk: the next shard reads it
                await in_thread(index.finish, self.path)

    async def _run(self, client: SegmindClient) -> JobRun[Any]:
        async with self._new_run(client) as run:
            await _consume(run)
        return run

    def _new_run(self, client: SegmindClient) -> JobRun[Any]:
        job = self._job
        run = client.run_job(
            self.rows(), journal=self.path, parse=job.parse, options=job.options, **job.sending
        )
        run.skip_finished = True
        return run

    async def results(self) -> Results:
        """Yield the rows in batches, each with its row of an output; answers are read batch by batch."""
        with closing(await FinishedRows.open(self.path)) as finished:
            batches = matched(finished, batches_of(self.rows()), dedupe=True, answers=True)
            async with aclosing(batches):
                async for batch in batches:
                    yield [(known.row, _result(known, self._not_kept)) for known in batch]


async def _consume(run: JobRun[Any]) -> None:
    """Send all rows of a run, and end it; their outcomes are in its journal."""
    async for _ in run:
        pass
    await run.end()
    await note_end(run)


def _result(known: KnownRow, not_kept: Mapping[str, Record]) -> JsonObject:
    """Return the row of an output."""
    record = known.record or not_kept.get(known.key)
    if record is not None and known.repeated:
        record = replace(record, units=0, attempts=0, number=None)
    return row_of(known.row, record)


async def _alone(path: Path, seconds: float | None) -> AbstractContextManager[None]:
    """Wait until no other task runs the shard of *path*; give a context that keeps others out.

    Raises JournalError after so many *seconds*; None: never. Cancelled, it leaves nothing locked.
    """
    lock, told = Lock(path.with_name(path.name + ".task")), False
    deadline = math.inf if seconds is None else anyio.current_time() + seconds
    while (owner := lock.take()) is not None:
        if anyio.current_time() >= deadline:
            raise JournalError(f"{owner} has run the shard {path.name} for {seconds:g} s; wait for it")
        if not told:
            told = True
            _LOG.info("a shard waits for another task that runs it: %s, %s", path.name, owner)
        await anyio.sleep(_LOOK_EVERY)
    return _held(lock)


@contextmanager
def _held(lock: Lock) -> Iterator[None]:
    try:
        yield
    finally:
        lock.release()
