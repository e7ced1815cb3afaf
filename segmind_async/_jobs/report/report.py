"""Reports on a job, from its journal alone: at any time, also while it runs.

Every row is read once and none is kept, so memory does not grow with the job.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TypedDict

from pydantic import ValidationError

from ..._providers.answers import decode
from ..._sending.histogram import Histogram
from ..journal.journal_error import JournalError
from ..journal.reader import JournalReader, Sample, Totals
from ..progress import JobProgress, Recent, seconds_to_end, seconds_to_floor
from .aggregates import Aggregates
from .keys import KeyReport, KeySums
from .samples import ErrorClass, SampleRow, Samples, clipped
from .scores import Scores
from .timeline import Moment, cut_off, runs_of, timeline, worked

MOST_BINS = 20
"""Bars of a histogram."""

_LAST = 200
"""Progress records that include the last minute: they are half a second apart, or more."""

_IN_THE_BARS = 0.99
"""Share of the rows that bars of equal width are made for; the last bar takes the rest."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows whose call took from `least` up to `below` seconds; None: whatever longer."""

    least: float
    below: float | None
    count: int


@dataclass(frozen=True, slots=True)
class Latency:
    """How long calls took, in seconds from their first slot; quantiles to 1 %."""

    p50: float
    p95: float
    p99: float
    bins: tuple[Bin, ...]


@dataclass(frozen=True, slots=True)
class Shards:
    """How many shards a job has begun, and how far they are."""

    begun: int
    running: int
    finished: int
    """Shards whose rows have all ended."""
    unreadable: int = 0
    """Journals that are left out because they cannot be read, or from where they cannot."""
    damaged: int = 0
    """Rows that are left out because they are damaged."""

    def __str__(self) -> str:
        parts = [f"{self.finished} of {self.begun} shards finished"]
        if self.running:
            parts = [f"running, {self.running} of {self.begun} shards"]
        if self.unreadable:
            parts.append(f"{self.unreadable} journals cannot be read")
        if self.damaged:
            parts.append(f"{self.damaged} damaged rows left out")
        return ", ".join(parts)


@dataclass(frozen=True, slots=True)
class Report:
    """A job as its journal shows it. Amounts are in credits; times are in seconds."""

    journal: str
    owner: str | None
    """Who is working on it, such as "process 4711"; None if nobody is."""
    settings: dict[str, object]
    counts: dict[str, int]
    """Finished rows by status."""
    pending: int | None
    """Rows still to do; None if the input was never read to its end."""
    progress: JobProgress | None
    """The latest one in the journal; None if there is none yet."""
    ends_in: float | None
    """When the last row of a running job will end; None if that cannot be said."""
    floor_in: float | None
    """When a running job will have spent what it may; None if that cannot be said."""
    runs: int
    worked: float
    """Sum of the durations of all runs."""
    begun_at: float | None
    """In epoch seconds; None before the first row or sample."""
    ended_at: float | None
    """When the last row ended, or the last sample was taken, in epoch seconds."""
    totals: Totals
    mean_cost: Decimal | None
    """Of a finished row; None if none has a known cost."""
    rate_limited: int
    """429 answers."""
    cut_off: int
    """Calls that were on their way when a run was cancelled or killed: they may have been billed, and their
    rows were asked again. They are in no other figure."""
    keys: tuple[KeyReport, ...]
    """What went through each of several keys; empty with one, and behind a gateway, which has the keys."""
    latency: Latency | None
    errors: tuple[ErrorClass, ...]
    scores: Scores | None
    """For a classification of rows with a known label."""
    failed: tuple[SampleRow, ...]
    misjudged: tuple[SampleRow, ...]
    misjudged_count: int
    """All misjudged rows."""
    ordinary: tuple[SampleRow, ...]
    """Answered rows that were not misjudged, drawn from the whole job."""
    slowest: tuple[SampleRow, ...]
    dearest: tuple[SampleRow, ...]
    timeline: tuple[Moment, ...]
    shards: Shards | None = None
    """None unless it is a job in shards."""

    @property
    def finished(self) -> int:
        """Rows that were asked and have ended, rightly or not."""
        return sum(self.counts.values())

    @property
    def rate(self) -> float | None:
        """Rows a second over all the time worked; None if none was."""
        return self.finished / self.worked if self.worked > 0 else None

    @property
    def of_no_known_key(self) -> Decimal:
        """Credits that runs with one key have spent, or killed runs after their last progress record."""
        known = sum((key.spent for key in self.keys), Decimal(0))
        return max(Decimal(0), self.totals.spent - known)

    @property
    def state(self) -> str:
        """Whether it is running, finished or stopped, and why, for people to read."""
        if self.shards is not None:
            return str(self.shards)
        if self.owner is not None:
            return f"running, by {self.owner}"
        if self.pending == 0:
            return "finished"
        if self.progress is not None and self.progress.fan_out.stop_reason is not None:
            return f"stopped early: {self.progress.fan_out.stop_message}"
        return "not finished: it was ended from outside"

    def as_json(self) -> dict[str, object]:
        """Return all fields and derived figures for programs."""
        scores: dict[str, object] | None = None
        if self.scores is not None:
            by_label = [
                {**asdict(score), "precision": score.precision, "recall": score.recall, "f1": score.f1}
                for score in self.scores.by_label
            ]
            scores = {**asdict(self.scores), "accuracy": self.scores.accuracy, "by_label": by_label}
        derived = {"state": self.state, "finished": self.finished, "rate": self.rate, "scores": scores}
        return {**asdict(self), **derived}


def read_report(path: Path) -> Report:
    """Read a journal, also one that another process is writing.

    Raises JournalError for a file that is none. Takes time with the rows, and no more memory for
    them; 6 kB for each progress record, of which a run of a day has some 2800.
    """
    with JournalReader(path) as reader:
        owner, settings, samples = reader.owner, reader.settings(), reader.samples()
        aggregates = Aggregates(settings, samples[-1].at if samples else math.inf)
        for record in reader.rows():
            aggregates.add(record)
        totals = reader.totals()
        answers = reader.answers(sampled_numbers(aggregates.samples))
    records = progress_of(path, samples)
    keys = KeySums()
    keys.add(records, samples)
    last = records[-1] if records else None
    begun = [sample.at - progress.elapsed for sample, progress in zip(samples[:1], records, strict=False)]
    ends_in, floor_in = (None, None) if owner is None else _estimated_ends(records)
    return Report(
        journal=str(path),
        owner=owner,
        settings=settings,
        pending=None if last is None or last.pending is None else max(0, last.pending - aggregates.since),
        progress=last,
        ends_in=ends_in,
        floor_in=floor_in,
        runs=max((progress.run for progress in records), default=0),
        worked=worked(records),
        begun_at=min([*aggregates.times, *begun], default=None),
        ended_at=max([*aggregates.times, *(sample.at for sample in samples[-1:])], default=None),
        totals=totals,
        rate_limited=rate_limited(records),
        cut_off=cut_off(records, running=owner is not None),
        keys=keys.reports(),
        timeline=timeline(records),
        **of_rows(aggregates, answers),
    )


class OfRows(TypedDict):
    """The fields of a report that come from the rows alone."""

    counts: dict[str, int]
    mean_cost: Decimal | None
    latency: Latency | None
    errors: tuple[ErrorClass, ...]
    scores: Scores | None
    failed: tuple[SampleRow, ...]
    misjudged: tuple[SampleRow, ...]
    misjudged_count: int
    ordinary: tuple[SampleRow, ...]
    slowest: tuple[SampleRow, ...]
    dearest: tuple[SampleRow, ...]


def of_rows(aggregates: Aggregates, answers: Mapping[int, bytes]) -> OfRows:
    """Return the fields that come from the rows; *answers* are those of the samples, by number."""
    kept = aggregates.samples
    return {
        "counts": dict(aggregates.counts),
        "mean_cost": aggregates.mean_cost,
        "latency": latency_of(aggregates.latency),
        "errors": tuple(kept.errors),
        "scores": aggregates.judge.scores(),
        "failed": _with_answers(kept.failed, answers),
        "misjudged": _with_answers(kept.misjudged, answers),
        "misjudged_count": kept.misjudged_count,
        "ordinary": _with_answers(kept.ordinary, answers),
        "slowest": _with_answers(kept.slowest, answers),
        "dearest": _with_answers(kept.dearest, answers),
    }


def rate_limited(records: Sequence[JobProgress]) -> int:
    """Return the number of 429 answers in all runs."""
    return sum(run[-1].fan_out.rate_limited for run in runs_of(records))


def sampled_numbers(kept: Samples) -> set[int]:
    """Return the numbers of the records of all sample rows."""
    rows = (*kept.failed, *kept.misjudged, *kept.ordinary, *kept.slowest, *kept.dearest)
    return {row.number for row in rows if row.number is not None}


def _with_answers(rows: Sequence[SampleRow], answers: Mapping[int, bytes]) -> tuple[SampleRow, ...]:
    """Return *rows* with the beginnings of their answers."""
    found = [None if row.number is None else answers.get(row.number) for row in rows]
    return tuple(
        row if raw is None else replace(row, answer=_answer_text(raw))
        for row, raw in zip(rows, found, strict=True)
    )


def _answer_text(raw: bytes) -> str | None:
    """Return the text of an answer; of one without text, the tools that it calls; None if it has neither."""
    answer = decode(raw)
    called = ", ".join(one.name for one in answer.tool_calls)
    return clipped(answer.text.strip() or (f"calls {called}" if called else None))


def latency_of(histogram: Histogram) -> Latency | None:
    """Return quantiles and bars of equal, round width; None if nothing was measured."""
    p50, p95, p99 = (histogram.quantile(share) for share in (0.5, 0.95, 0.99))
    longest = histogram.quantile(_IN_THE_BARS)
    if p50 is None or p95 is None or p99 is None or longest is None:
        return None
    # As many bars as the rows can fill (the rule of Rice): a dozen rows in twenty are a comb.
    most = min(MOST_BINS, math.ceil(2 * histogram.count ** (1 / 3)))
    buckets = histogram.buckets()
    shortest = buckets[0][0]
    # Narrower than two buckets of the histogram they would show its gaps.
    width = _round_up(max((longest - shortest) / max(1, most - 1), 0.04 * longest))
    begin = math.floor(shortest / width)
    bars = max(1, math.ceil(longest / width) - begin)
    counts = [0] * (bars + 1)
    for seconds, count in buckets:
        counts[min(bars, int(seconds // width) - begin)] += count
    edges = [(begin + n) * width for n in range(bars + 1)]
    ends: list[float | None] = [*edges[1:], None]
    bins = [Bin(*one) for one in zip(edges, ends, counts, strict=True)]
    return Latency(p50, p95, p99, tuple(bins if counts[-1] else bins[:-1]))


def _round_up(width: float) -> float:
    """Return the next of 1, 2, 5, 10, 20, 50, …, at any scale."""
    scale = 10.0 ** math.floor(math.log10(width))
    return next(step * scale for step in (1, 2, 5, 10) if step * scale >= width * (1 - 1e-9))


def _estimated_ends(records: Sequence[JobProgress]) -> tuple[float | None, float | None]:
    """Return the seconds until the last row ends, and until no more may be spent."""
    if not records:
        return None, None
    recent = Recent()
    for progress in records[-_LAST:]:
        recent.add(progress)
    now = records[-1]
    return seconds_to_end(now, recent.rate), seconds_to_floor(now, recent.spend_rate)


def progress_of(path: Path, samples: Sequence[Sample]) -> list[JobProgress]:
    """Return the progress records of a journal; raises JournalError for those of other releases."""
    try:
        return [JobProgress.from_json(sample.facts) for sample in samples]
    except ValidationError as error:
        raise JournalError(
            f"the journal {str(path)!r} holds a sample that cannot be read ({error.errors()[0]['msg']}); "
            "report on it with the release that wrote it"
        ) from error
