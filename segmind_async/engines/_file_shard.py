"""A file of a folder as a shard: an engine sends its rows and writes its file of results, where it likes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, replace

import anyio

from .._jobs.files.input_files import InputFile, InputFiles
from .._jobs.files.output_files import Output
from .._jobs.formats.text import AS_FOUND, TextOptions
from .._jobs.own_request import own_request
from .._jobs.report.row_counts import JobReport
from .._jobs.rows import Row
from ..models import FanOutReport
from ._shard import Shard, ShardJob


@dataclass(frozen=True, slots=True)
class FileShard:
    """A file and its place in the job. Call it to run it; it can be pickled."""

    job: ShardJob
    file: InputFile
    first: int
    """Index of its first row in the folder."""
    output: Output
    """The folder of results and what stands in its files; with `only` nothing is sent."""
    text: TextOptions = AS_FOUND

    def __call__(self, url: str | None = None, token: str | None = None) -> JobReport:
        """Send what has no answer through the gateway at *url*, and write the file of results.

        A shard that stops early writes its other rows as unsent; its report says why.
        """
        return anyio.run(self._run, url, "none" if self.output.only else token)

    async def _run(self, url: str | None, token: str | None) -> JobReport:
        inputs = InputFiles((self.file,), self.job.make_request(), self.text)
        output = replace(self.output, files=inputs.outputs(self.output.path, self.output.form))

        def opened() -> AbstractContextManager[Iterator[Row]]:
            return inputs.open_file(self.file, self.first)

        def rows() -> Iterator[Row]:
            with opened() as found:
                yield from found

        shard = Shard(replace(self.job, yield_unsent=True), rows)
        await shard.prepare()
        async with self.job.client(token, url) as client:
            return await shard.send_and_write(client, output, opened)


def count_exactly(file: InputFile, text: TextOptions) -> int:
    """Return the number of rows that a file is read as, invalid ones included."""
    with InputFiles((file,), own_request, text).open_file(file) as rows:
        return sum(1 for _ in rows)


def merged(reports: Iterable[JobReport], elapsed: float) -> JobReport:
    """Return the sums of the reports of shards, which took *elapsed* seconds together.

    Why one of them has stopped is why the job has.
    """
    whole, sent = JobReport(), FanOutReport()
    for report in reports:
        for one in fields(JobReport):
            value = getattr(report, one.name)
            if isinstance(value, int | Counter):
                setattr(whole, one.name, getattr(whole, one.name) + value)
        whole.examples = {**report.examples, **whole.examples}
        if report.fan_out is not None:
            sent = _added(sent, report.fan_out)
    whole.fan_out = replace(sent, elapsed=elapsed)
    return whole


def _added(one: FanOutReport, other: FanOutReport) -> FanOutReport:
    stopped = one if one.stop_reason is not None else other
    return FanOutReport(
        ok=one.ok + other.ok,
        failed=one.failed + other.failed,
        unsent=one.unsent + other.unsent,
        cancelled=one.cancelled + other.cancelled,
        spent=one.spent + other.spent,
        unpriced=one.unpriced + other.unpriced,
        credits_remaining=one.credits_remaining
        if other.credits_remaining is None
        else other.credits_remaining,
        attempts=one.attempts + other.attempts,
        rate_limited=one.rate_limited + other.rate_limited,
        maybe_paid_twice=one.maybe_paid_twice + other.maybe_paid_twice,
        stop_reason=stopped.stop_reason,
        stop_message=stopped.stop_message,
    )
