"""`run` and `classify`: one job from the command line."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..jobs.forecast import forecast
from ..jobs.journal import Journal, Settings
from ..jobs.labels import Labels
from ..jobs.rows import MakeRequest, column, open_rows
from ..jobs.runner import INTERRUPTED, JobOptions, JobReport, run_job
from ..models import FanOutReport, Status
from .running import ClientOptions, Exit, open_client, plain, say, show_json

if TYPE_CHECKING:
    from ..emulator import Brain


@dataclass(frozen=True, slots=True)
class Job:
    """A bulk file and all that is wanted of it."""

    input: Path
    output: Path
    make: MakeRequest
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
    # What a stand-in said must never pass for an answer of the real service.
    settings = {"emulate": job.client.emulate, "model": job.client.model, **job.settings}
    with Journal(path, settings) as journal:
        async with open_client(job.client) as client:
            report = await run_job(
                client,
                lambda: open_rows(job.input, job.make, job.limit),
                journal,
                job.output,
                job.options,
                lambda so_far: say(_progress(so_far)),
            )
    if as_json:
        show_json(_as_json(report))
    else:
        _tell_end(report, job.output, path)
    return exit_code(report)


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
    if stopped:
        return Exit.REFUSED
    return Exit.SOME_FAILED if report.counts[Status.FAILED] else Exit.OK


def _progress(report: JobReport) -> str:
    fan_out = report.fan_out
    assert fan_out is not None
    earlier = f", {report.resumed} from earlier runs" if report.resumed else ""
    if fan_out.stopped == INTERRUPTED:
        return "interrupted: what is in flight may end, for a minute at most; Ctrl-C again ends at once"
    return (
        f"{fan_out.ok} ok, {fan_out.failed} failed{earlier}; {_rate(fan_out)}; "
        f"{fan_out.spent} credits spent, {fan_out.credits_remaining} left"
    )


def _rate(fan_out: FanOutReport) -> str:
    return f"{fan_out.ok / fan_out.elapsed if fan_out.elapsed else 0.0:.1f} a second"


def _tell_end(report: JobReport, output: Path, journal: Path) -> None:
    fan_out, counts = report.fan_out, report.counts
    assert fan_out is not None
    earlier = f" ({report.resumed} by earlier runs)" if report.resumed else ""
    say(
        f"{counts['ok']} ok, {counts['failed']} failed, {counts['unsent']} unsent{earlier}; "
        f"{_rate(fan_out)}; {fan_out.spent} credits spent, {fan_out.credits_remaining} left"
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
    say(f"results in {output}")


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
    from ..emulator import FunctionBrain, NaiveBayes  # noqa: PLC0415  # see `open_client`

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
