"""`run` and `classify`: one job from the command line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path

from .._settings import OnExhausted
from ..client import SegmindClient
from ..emulator import Brain, FunctionBrain, NaiveBayes
from ..jobs.files import INTERRUPTED, run_file
from ..jobs.forecast import forecast
from ..jobs.journal import Settings
from ..jobs.labels import Labels
from ..jobs.plan import JobOptions
from ..jobs.rows import MakeRequest, Row, column, open_rows
from ..jobs.runner import DISK, JobReport, JobRun
from ..models import FanOutReport, Status
from .live import Live
from .running import ClientOptions, Exit, open_client, plain, say, show_json
from .wording import credits_text


@dataclass(frozen=True, slots=True)
class Spending:
    """How much a job may spend; None means no bound of its own."""

    floor: Decimal = Decimal(0)
    max_credits: Decimal | None = None
    on_exhausted: OnExhausted = "stop"


@dataclass(frozen=True, slots=True)
class Job:
    """A bulk file and all that is wanted of it."""

    input: Path
    output: Path
    make: MakeRequest
    spending: Spending
    options: JobOptions
    client: ClientOptions
    limit: int | None
    journal: Path | None
    settings: Settings
    """What must be the same when the job goes on after a stop."""
    dry: bool = False
    """Whether nothing is to be sent."""


async def run(job: Job, *, as_json: bool) -> Exit:
    """Run a job, or go on with it, print what came of it, and return the exit code."""
    if job.dry:
        _tell_forecast(job, as_json=as_json)
        return Exit.OK
    path = job.journal or job.output.with_name(job.output.name + ".journal")
    async with open_client(job.client) as client:
        with Live() as live:
            report = await run_file(
                lambda rows: _begun(client, job, path, rows, live),
                lambda: open_rows(job.input, job.make, job.limit),
                job.output,
            )
    if as_json:
        show_json(_as_json(report))
    else:
        _tell_end(report, job.output, path)
    return exit_code(report)


def _begun(client: SegmindClient, job: Job, path: Path, rows: Iterator[Row], live: Live) -> JobRun:
    spending = job.spending
    run = client.run_job(
        rows,
        journal=path,
        options=job.options,
        # What a stand-in said must never pass for an answer of the real service.
        settings={"emulate": job.client.emulate, **job.settings},
        progress=live,
        floor=spending.floor,
        max_credits=spending.max_credits,
        on_exhausted=spending.on_exhausted,
    )
    live.notable = run.notable
    return run


def _tell_forecast(job: Job, *, as_json: bool) -> None:
    found = forecast(open_rows(job.input, job.make, job.limit), job.client.model)
    if as_json:
        show_json(asdict(found))
        return
    print(f"rows          {found.rows}, {found.unusable} of them unusable, {found.duplicates} asked before")
    if found.first_problem is not None:
        print(f"              {plain(found.first_problem)}")
    print(f"input         about {found.input_tokens} tokens")
    print(f"credits       about {found.by_mean} at the published mean of {job.client.model}")
    print(f"              {found.for_input} for the input alone, at list price")


def exit_code(report: JobReport) -> Exit:
    """Return what a finished job means for the caller."""
    assert report.fan_out is not None
    stopped = report.fan_out.stopped or ""
    if stopped.startswith("credits"):
        return Exit.CREDITS
    if stopped == INTERRUPTED:
        return Exit.INTERRUPTED
    if stopped.startswith(DISK):
        return Exit.LOCAL_IO
    if stopped:
        return Exit.REFUSED
    return Exit.SOME_FAILED if report.counts[Status.FAILED] else Exit.OK


def _rate(fan_out: FanOutReport) -> str:
    return f"{fan_out.ok / fan_out.elapsed if fan_out.elapsed else 0.0:.1f} a second"


def _tell_end(report: JobReport, output: Path, journal: Path) -> None:
    fan_out, counts = report.fan_out, report.counts
    assert fan_out is not None
    earlier = f" ({report.resumed} by earlier runs)" if report.resumed else ""
    say(
        f"{counts['ok']} ok, {counts['failed']} failed, {counts['unsent']} unsent{earlier}; "
        f"{_rate(fan_out)}; {credits_text(fan_out.spent)} credits spent, "
        f"{credits_text(fan_out.credits_remaining)} left"
    )
    for name, count in report.errors.most_common(5):
        say(f"  {count} x {name}, such as: {report.examples[name][:200]}")
    if report.accuracy is not None:
        say(f"accuracy {report.accuracy:.1%} of {report.judged} rows with a known label")
    if fan_out.maybe_paid_twice:
        say(f"{fan_out.maybe_paid_twice} attempts may have been paid twice: their answers were lost")
    if fan_out.stopped:
        say(f"stopped early: {fan_out.stopped}")
        say(f"the same command goes on; what is done stands in {journal}")
    say(f"results in {output}; segmind-async report {journal} says more")


def _as_json(report: JobReport) -> object:
    assert report.fan_out is not None
    return {
        "rows": report.counts,
        "errors": report.errors,
        "accuracy": report.accuracy,
        "resumed": report.resumed,
        "fan_out": asdict(report.fan_out),
    }


def labelling_brain(path: Path, labels: Labels, text_column: str, truth_column: str | None) -> Brain:
    """Make the emulator answer with labels: learnt from every other row that has one, else by chance."""
    if truth_column is None:
        names = labels.names
        return FunctionBrain(lambda question: names[sum(question.prompt.encode()) % len(names)])
    learner = NaiveBayes()
    with open_rows(path, column(text_column)) as rows:
        for row in rows:
            label = labels.find(str(row.columns.get(truth_column)))
            text = row.columns.get(text_column)
            if row.index % 2 == 0 and label is not None and isinstance(text, str):
                learner.learn(text, label)
    return FunctionBrain(lambda question: learner.classify(question.prompt)[0])
