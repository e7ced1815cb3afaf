"""Writes the output of a batch: rows with an answer into one file, all others into another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, aclosing
from pathlib import Path

import anyio
import anyio.to_thread
from pydantic_core import to_json

from ..._jobs.journal.record import Record
from ..._jobs.results import outcome_of
from ..._jobs.rows import Row
from ..._jobs.run import JobRun
from ...errors import SegmindError
from ...models import JsonDict, Status
from .._errors import GatewayError, gateway_error_of, invalid
from .._files.folder import NewFile, writing
from .._files.store import FileStore
from .batch import Batch, Problem, RequestCounts
from .input import rows_of
from .rows import Named, answer_body, answered_line, failed_line, read_request, unsent_line

_BUFFER = 256 * 1024
"""Bytes of lines that are written at once."""


class BatchOutput:
    """The two files of one batch."""

    def __init__(self, files: FileStore, batch: Batch, unsent: Problem) -> None:
        self.output_id: str | None = None
        """None if no row has an answer."""
        self.error_id: str | None = None
        """None if every row has one."""
        self.counts: RequestCounts = batch.counts
        self._files = files
        self._batch = batch
        self._unsent = unsent
        """What is said of rows without an answer."""

    async def write(self, run: JobRun, path: Path) -> None:
        """Write a line for each row of the input at *path*; *run* has ended."""
        batch = self._batch
        # The ids are the batch's own: what a gateway has written before it was killed is written over.
        ids = [f"file-{batch.id.removeprefix('batch_')[:-1]}{last}" for last in "0e"]
        with ExitStack() as stack:
            made = [await anyio.to_thread.run_sync(self._files.new_output, id_) for id_ in ids]
            answered, others = (_Lines(stack.enter_context(writing(one))) for one in made)
            async with aclosing(run.matched(rows_of(path, batch.order.endpoint))) as matched:
                await self._put_all(matched, answered, others)
            self.output_id = await self._kept(ids[0], f"{batch.id}_output.jsonl", answered)
            self.error_id = await self._kept(ids[1], f"{batch.id}_error.jsonl", others)

    async def _put_all(
        self, matched: AsyncIterator[tuple[Row, Record | None]], answered: _Lines, others: _Lines
    ) -> None:
        failed = 0
        async for row, record in matched:
            status, line = self._line_of(row, record)
            failed += status is Status.FAILED
            await (answered if status is Status.OK else others).put(line)
        self.counts = RequestCounts(self._batch.counts.total, answered.count, failed)

    def _line_of(self, row: Row, record: Record | None) -> tuple[Status, JsonDict]:
        """Return how a row has ended, and its line."""
        endpoint = self._batch.order.endpoint
        name = Named(self._batch.id, row.index, str(row.columns.get("custom_id")))
        if row.request is None:
            return Status.FAILED, failed_line(name, _refusal_of(endpoint, row))
        if record is None:
            return Status.UNSENT, unsent_line(name, self._unsent)
        assert row.request.model is not None
        outcome = outcome_of(record, row, row.request.model, None)
        if outcome.completion is None:
            assert outcome.error is not None
            return Status.FAILED, failed_line(name, gateway_error_of(outcome.error))
        chat = outcome.completion.raw
        body = answer_body(endpoint, row.columns, name, chat)
        return Status.OK, answered_line(name, str(chat.get("id")), body)

    async def _kept(self, id_: str, name: str, lines: _Lines) -> str | None:
        """Store a file, unless it has no lines; return its id."""
        await lines.flush()
        if not lines.count:
            return None
        file = self._files.described(id_, self._batch.owner, name, "batch_output")
        seconds = self._batch.order.output_expires_after
        await self._files.add(file.expiring(seconds), lines.file)
        return id_


class _Lines:
    """The lines of a file that is being written."""

    def __init__(self, file: NewFile) -> None:
        self.file = file
        self.count: int = 0
        self._buffer = bytearray()

    async def put(self, line: JsonDict) -> None:
        """Append a line."""
        self._buffer += to_json(line) + b"\n"
        self.count += 1
        if len(self._buffer) >= _BUFFER:
            await self.flush()

    async def flush(self) -> None:
        """Write what is buffered."""
        content = bytes(self._buffer)
        self._buffer.clear()
        await anyio.to_thread.run_sync(self.file.write, content)


def _refusal_of(endpoint: str, row: Row) -> GatewayError:
    """Return why a row was not sent, with the field that is wrong."""
    try:
        read_request(endpoint, row.columns)
    except GatewayError as error:
        return error
    except SegmindError as error:
        return gateway_error_of(error)
    return invalid(row.problem or "the row cannot be sent")
