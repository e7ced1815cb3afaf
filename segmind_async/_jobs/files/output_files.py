"""The files that a job writes: one for its file of rows, or one for each file of its folder.

One of them is open at a time, and each is written atomically.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Container, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, aclosing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

import anyio

from ...models import JsonDict, Status
from ..formats.columns import Columns
from ..formats.file_format import OutputFormat
from ..formats.layout import InputColumns, Layout, layout
from ..formats.output import BATCH_COLUMNS, Put, open_output
from ..journal.commit_thread import wait_for
from ..journal.record import Record
from ..report.row_counts import INVALID_ROW, JobReport
from ..results import batch_row_of, row_of
from ..rows import Row
from ..run import JobRun

OpenRows: TypeAlias = Callable[[], AbstractContextManager[Iterator[Row]]]

OUTPUTS_FACT = "outputs"
"""Name of the journal's fact with the files that this job has written."""

_TELL_EVERY = 0.25
"""Seconds between two reports of how many rows of the output are written."""

_LOOK_EVERY = 256
"""Rows of the output between two looks at the clock."""


@dataclass(frozen=True, slots=True)
class Part:
    """The rows of an input that a job takes, if these are not all of them."""

    indices: Container[int]
    last: int
    """The largest of them."""
    open_all: OpenRows
    """Opens the whole input: the output has its other finished rows too."""


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A file of results, and the file of rows that it answers."""

    path: Path
    open_rows: Callable[[int], AbstractContextManager[Iterator[Row]]]
    """Opens the rows, numbered from an index on."""
    uniform: bool = False
    """Whether all rows have the same columns, with values of the same types."""
    form: OutputFormat | None = None
    """None: what the name of the file says."""


@dataclass(frozen=True, slots=True)
class Output:
    """The file that a job writes, or the folder of its files, and what stands in them."""

    path: Path
    prefix: str | None = None
    """Stands before the names of results; None: only before those that the input has too."""
    uniform: bool = False
    """As of `OutputFile`, for a single file."""
    form: OutputFormat | None = None
    """As of `OutputFile`, for a single file."""
    passed_on: bool = False
    """Whether the file is only passed on, and not to be known by later runs."""
    fields: Columns | None = None
    """Columns of the fields of structured answers; None: the column `parsed` has them."""
    csv_safe: bool = False
    """Whether texts in CSV are spelt so that no spreadsheet takes them for formulas."""
    only: bool = False
    """Whether nothing is sent, and the results are written of what earlier runs have finished."""
    files: Mapping[str, OutputFile] = field(default_factory=dict)
    """The files of a folder by the names that its rows have, in order; none: *path* is the only file."""

    def without_files(self) -> Output:
        """Return the folder alone, for each of its files to be written by somebody else."""
        return replace(self, path=self.path.resolve(), files={})

    @property
    def targets(self) -> list[tuple[Path, OutputFormat | None]]:
        """All files that are written, with their formats."""
        return [(file.path, file.form) for file in self.files.values()] or [(self.path, self.form)]


class OutputWriter:
    """Writes one row of output for each row of the input, in its order, and counts them."""

    def __init__(
        self, run: JobRun, output: Output, part: Part | None, tell_written: Callable[[int], None]
    ) -> None:
        self._run = run
        self._output = output
        self._part = part
        self._tell_written = tell_written
        self._finished = 0
        """Records of the journal that are still to be met."""

    async def write(self, open_rows: OpenRows) -> JobReport:
        """Write the rows of *open_rows*, and return their report."""
        run, output = self._run, self._output
        report = run.report.without_rows()
        await self._note_outputs()
        self._finished = await wait_for(run.journal.finished())
        only = OutputFile(output.path, lambda _: open_rows(), output.uniform, output.form)
        with open_rows() as rows, ExitStack() as stack:
            files = _OpenFiles(
                stack, [*output.files.items()] or [(None, only)], self._layout, csv_safe=output.csv_safe
            )
            if not output.files:
                await files.go_to(None, 0)
            async with aclosing(run.matched(rows)) as matched:
                await self._put_rows(matched, report, files)
            if self._part is None:
                await files.end()
        report.never_sent = sum(not record.attempts for record in run.not_kept.values())
        report.asked_again = len(run.not_kept) - report.never_sent
        return report

    async def _put_rows(
        self, matched: AsyncIterator[tuple[Row, Record | None]], report: JobReport, files: _OpenFiles
    ) -> None:
        written, told_at = 0, anyio.current_time()
        async for row, record in matched:
            if self._is_past_end(row):
                return
            if not self._is_written(report, row, record):
                continue
            if row.file != files.current:
                await files.go_to(row.file, row.index, empty_ones=self._part is None)
            files.put(row, record)
            written += 1
            if written % _LOOK_EVERY == 0 and anyio.current_time() - told_at >= _TELL_EVERY:
                told_at = anyio.current_time()
                self._tell_written(written)

    async def _note_outputs(self) -> None:
        """Note in the journal which files it explains, before they are written."""
        if self._output.passed_on:
            return
        journal = self._run.journal
        known = await wait_for(journal.fact(OUTPUTS_FACT))
        outputs = known if isinstance(known, list) else []
        more = dict.fromkeys([*outputs, *(str(path.resolve()) for path, _ in self._output.targets)])
        if len(more) > len(outputs):
            await wait_for(journal.set_fact(OUTPUTS_FACT, list(more)))

    def _layout(self, file: OutputFile, first: int) -> Layout:
        """Return the columns of a file; reads the rows that it will have, or the first of uniform ones."""
        inputs = InputColumns()
        with file.open_rows(first) as rows:
            for row in rows:
                inputs.add(row.columns)
                if (file.uniform and row.columns) or self._is_past_end(row):
                    break
        return layout(inputs.columns, self._output.prefix, self._output.fields)

    def _is_past_end(self, row: Row) -> bool:
        """Return whether no row from *row* on belongs to the part or is finished."""
        return self._part is not None and row.index > self._part.last and self._finished <= 0

    def _is_written(self, report: JobReport, row: Row, record: Record | None) -> bool:
        """Return whether the output has a row, and count it."""
        if record is not None and record.number is not None:
            self._finished -= 1
            report.kept += record.number <= self._run.journal.kept
        if self._part is not None and row.index not in self._part.indices:
            if record is None:
                return False
            report.resumed += 1
        _count(report, row, record)
        return True


class _OpenFiles:
    """Opens the files of an output one after the other, in the order of the rows."""

    def __init__(
        self,
        stack: ExitStack,
        files: Sequence[tuple[str | None, OutputFile]],
        layout_of: Callable[[OutputFile, int], Layout],
        *,
        csv_safe: bool,
    ) -> None:
        self.current: str | None = None
        """Name of the file that is open; None: that of a single file, or none is open yet."""
        self._stack = stack
        self._left = [*reversed(files)]
        self._layout_of = layout_of
        self._csv_safe = csv_safe
        self._make: Callable[[Row, Record | None], JsonDict] = batch_row_of
        self._put: Put

    def put(self, row: Row, record: Record | None) -> None:
        """Write a row to the open file."""
        self._put(self._make(row, record))

    async def go_to(self, name: str | None, first: int, *, empty_ones: bool = False) -> None:
        """End the open file and open that of *name*, whose rows are numbered from *first* on.

        Files between the two have no rows; they are written only if *empty_ones*.
        """
        while True:
            skipped, file = self._left.pop()
            if skipped == name or empty_ones:
                await self._open(file, first)
            if skipped == name:
                self.current = name
                return

    async def end(self) -> None:
        """Write the files that are left, which have no rows."""
        while self._left:
            await self._open(self._left.pop()[1], 0)

    async def _open(self, file: OutputFile, first: int) -> None:
        self._stack.close()
        columns: Columns = BATCH_COLUMNS
        if file.form is not OutputFormat.OPENAI_BATCH:
            shape = await anyio.to_thread.run_sync(self._layout_of, file, first)
            columns = shape.columns
            self._make = lambda row, record: shape.row(row.columns, row_of(row, record))
        file.path.parent.mkdir(parents=True, exist_ok=True)
        opened = open_output(file.path, columns, file.form, csv_safe=self._csv_safe)
        self._put = self._stack.enter_context(opened)


def _count(report: JobReport, row: Row, record: Record | None) -> None:
    if row.request is None:
        report.count(Status.FAILED, INVALID_ROW, row.problem)
    elif record is None:
        report.count(Status.UNSENT, None, None)
    else:
        report.add(record)
