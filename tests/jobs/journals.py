"""Journals to look at: filled as the runner fills them, with rows and samples from a seed."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from dataclasses import fields as dataclass_fields
from decimal import Decimal
from pathlib import Path
from typing import Any

from segmind_async._jobs.journal.finished import Asked, FinishedRows, Found
from segmind_async._jobs.journal.journal import Journal
from segmind_async._jobs.journal.record import Record
from segmind_async._jobs.progress import JobProgress
from segmind_async._money.units import credits_of
from segmind_async._text.wait_reasons import Wait, WaitReason
from segmind_async.models import FanOutReport, Statistics, StopReason


def progress(base: JobProgress = JobProgress(), /, **fields: Any) -> JobProgress:  # noqa: B008  # frozen
    """Return *base* with other *fields*, be they its own, its fan-out's or its statistics'; `ok` is both's."""
    own = {name: value for name, value in fields.items() if name in _OWN}
    sent = {name: value for name, value in fields.items() if name in _SENT}
    seen = {name: value for name, value in fields.items() if name in _SEEN}
    assert fields.keys() == own.keys() | sent.keys() | seen.keys(), fields
    return replace(
        base, **own, fan_out=replace(base.fan_out, **sent), statistics=replace(base.statistics, **seen)
    )


_OWN = {field.name for field in dataclass_fields(JobProgress)}
_SENT = {field.name for field in dataclass_fields(FanOutReport)}
_SEEN = {field.name for field in dataclass_fields(Statistics)} - _OWN - _SENT

BEGAN = 1_780_000_000.0
"""Epoch seconds."""

ERRORS = (
    ("BadRequestError", "HTTP 400: The response was filtered due to the prompt triggering a content policy."),
    ("APITimeoutError", "no answer within 120 s"),
    ("NotALabel", "'I am not able to say whether this is spam.'"),
    ("ServerError", "HTTP 502: <html><head><title>502 Bad Gateway</title></head></html>"),
)
OPENINGS = (
    "Dear friend, I have an urgent proposal",
    "Re: [zzzzteana] The Guardian on",
    "Minutes of Tuesday's call:",
)


@dataclass(frozen=True)
class Story:
    """What a journal is to tell."""

    rows: int = 600
    runs: int = 2
    labels: Sequence[str] = ("spam", "ham")
    failing: float = 0.02
    wrong: float = 0.06
    slots: int = 64
    rate_limit: float | None = 1000
    balance: Decimal = Decimal("1.2")
    floor: Decimal = Decimal("0.2")
    complete: bool = True
    """Whether the last run finished; else it was interrupted half-way."""


def records(story: Story, chance: random.Random) -> Iterator[Record]:
    """Yield finished rows without their times of day."""
    for n in range(story.rows):
        seconds = chance.lognormvariate(math.log(3.2), 0.55)
        record = Record(
            key=f"id mail-{n:05}",
            digest=n.to_bytes(16, "big"),
            status="ok",
            row_index=n,
            units=int(chance.lognormvariate(math.log(5.43e6), 0.5)),
            seconds=seconds,
            attempts=1 + (chance.random() < 0.03),
            in_doubt=int(chance.random() < 0.002),
        )
        if chance.random() < story.failing:
            kind, message = ERRORS[min(int(chance.expovariate(1.1)), len(ERRORS) - 1)]
            record = replace(record, status="failed", error_type=kind, message=message, units=None)
        if story.labels:
            truth = chance.choice(story.labels)
            wrong = chance.choice([label for label in story.labels if label != truth])
            record.truth = truth
            if record.status == "ok":
                record.label = wrong if chance.random() < story.wrong else truth
        if record.status == "failed" or record.label != record.truth or seconds > 9:
            record.excerpt = f"{chance.choice(OPENINGS)} number {n}, and so on for a good while"
        yield record


def snapshots(
    story: Story, rows: Sequence[Record], chance: random.Random
) -> Iterator[tuple[JobProgress, list[Record]]]:
    """Yield how a job stood, every half second of its runs, with the rows that ended since."""
    left, done, spent, balance = list(rows), 0, 0, story.balance
    a_second = min(story.slots / 4.2, (story.rate_limit or math.inf) / 60)
    for run in range(1, story.runs + 1):
        share = len(left) // 2 if run < story.runs or not story.complete else len(left)
        now, left = left[:share], left[share:]
        yield from _run(
            progress(
                run=run,
                total=story.rows + 1,
                invalid=1,
                resumed=done,
                spent_before=credits_of(spent),
                balance=balance,
                floor=story.floor,
                requests_per_minute=story.rate_limit,
                pace_reason="accepted in the last minute before a 429",
                limit_reason="as many as asked for",
            ),
            now,
            a_second,
            story,
            chance,
        )
        done += len(now)
        fell = sum(record.units or 0 for record in now)
        spent, balance = spent + fell, balance - credits_of(fell)


def _run(
    first: JobProgress, rows: list[Record], a_second: float, story: Story, chance: random.Random
) -> Iterator[tuple[JobProgress, list[Record]]]:
    elapsed, at, units, ok, failed, refused, limit = 0.0, 0, 0, 0, 0, 0, 8
    while True:
        elapsed += max(0.5, elapsed / 400)
        limit = min(story.slots, limit * 2)
        if chance.random() < 0.02:
            refused, limit = refused + chance.randrange(1, 4), max(4, limit // 2)
        speed = a_second * min(1.0, elapsed / 4) * chance.uniform(0.8, 1.1)
        upto = min(len(rows), at + max(1, round(speed * max(0.5, elapsed / 400))))
        new, at = rows[at:upto], upto
        units += sum(record.units or 0 for record in new)
        ok += sum(record.status == "ok" for record in new)
        failed += sum(record.status == "failed" for record in new)
        over = at == len(rows)
        stopped = over and (first.run < story.runs or not story.complete)
        in_flight = 0 if over else min(limit, len(rows) - at)
        yield (
            progress(
                first,
                elapsed=elapsed,
                rows=first.resumed + at + in_flight + 1,
                ok=ok,
                failed=failed,
                in_flight=in_flight,
                waiting=0 if over else min(4, len(rows) - at),
                wait=None if over else Wait(WaitReason.PACE, left=0.1),
                limit=limit,
                balance=None
                if first.statistics.balance is None
                else first.statistics.balance - credits_of(units),
                held=credits_of(in_flight * 8_000_000),
                spent=credits_of(units),
                attempts=round(at * 1.03),
                rate_limited=refused,
                latency_p50=3.2,
                latency_p95=7.9,
                latency_p99=11.5,
                stop_reason=StopReason.INTERRUPTED if stopped else None,
                stop_message="interrupted" if stopped else None,
            ),
            new,
        )
        if over:
            return


async def fill(path: Path, story: Story, settings: dict[str, Any] | None = None, seed: int = 1) -> None:
    """Write a journal that tells *story*."""
    chance = random.Random(seed)
    rows = list(records(story, chance))
    settings = settings or {"emulate": False, "model": "gpt-5.4-mini", "labels": [*story.labels]}
    with Journal(path, settings) as journal:
        kept: list[asyncio.Future[None]] = []
        for snapshot, new in snapshots(story, rows, chance):
            at = BEGAN + snapshot.elapsed + 3600 * snapshot.run
            kept = [journal.keep(replace(record, at=at)) for record in new] or kept
            sampled = journal.sample(at, snapshot.as_json())
        # All that came before stands on the disk too: not one commit for each, which takes minutes.
        await kept[-1]
        sampled.result()


async def look_up(finished: FinishedRows, *asked: tuple[str, bytes]) -> list[Found]:
    """Look up rows by name and digest, and read their records with the answers."""
    found = await finished.look_up([Asked(*one) for one in asked])
    numbers = [one.record.number for one in found if one.record is not None and one.record.number is not None]
    read = await finished.read(numbers)
    return [
        one
        if one.record is None or one.record.number is None
        else one._replace(record=read[one.record.number])
        for one in found
    ]
