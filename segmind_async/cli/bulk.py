"""`run` and `classify`: one job from the command line."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from ..emulator import Brain, FunctionBrain, NaiveBayes
from ..jobs.labels import Labels
from ..jobs.rows import MakeRequest, column, open_rows
from ..jobs.runner import JobOptions, JobReport, run_job
from ..models import Status
from .running import ClientOptions, Exit, open_client, say, show_json


@dataclass(frozen=True, slots=True)
class Job:
    """A bulk file and all that is wanted of it."""

    input: Path
    output: Path
    make: MakeRequest
    options: JobOptions
    client: ClientOptions
    limit: int | None


async def run(job: Job, *, as_json: bool) -> Exit:
    """Run a job, print what came of it, and return the exit code."""
    with open_rows(job.input, job.make, job.limit) as rows:
        async with open_client(job.client) as client:
            report = await run_job(client, rows, job.output, job.options, lambda so_far: say(_line(so_far)))
    if as_json:
        show_json(_as_json(report))
    else:
        say(_line(report))
        _tell_end(report, job.output)
    return exit_code(report)


def exit_code(report: JobReport) -> Exit:
    """Return what a finished job means for the caller."""
    assert report.fan_out is not None
    stopped = report.fan_out.stopped or ""
    if stopped.startswith("credits"):
        return Exit.CREDITS
    if stopped:
        return Exit.REFUSED
    return Exit.SOME_FAILED if report.counts[Status.FAILED] else Exit.OK


def _line(report: JobReport) -> str:
    fan_out = report.fan_out
    assert fan_out is not None
    rate = fan_out.ok / fan_out.elapsed if fan_out.elapsed else 0.0
    return (
        f"{report.counts['ok']} ok, {report.counts['failed']} failed, {report.counts['unsent']} unsent; "
        f"{rate:.1f} a second; {fan_out.spent} credits spent, {fan_out.credits_remaining} left"
    )


def _tell_end(report: JobReport, output: Path) -> None:
    fan_out = report.fan_out
    assert fan_out is not None
    for name, count in report.errors.most_common(5):
        say(f"  {count} x {name}")
    if report.accuracy is not None:
        say(f"accuracy {report.accuracy:.1%} of {report.judged} rows with a known label")
    if fan_out.maybe_paid_twice:
        say(f"{fan_out.maybe_paid_twice} attempts may have been paid twice: their answers were lost")
    if fan_out.stopped:
        say(f"stopped early: {fan_out.stopped}")
    say(f"results in {output}")


def _as_json(report: JobReport) -> object:
    assert report.fan_out is not None
    return {
        "rows": report.counts,
        "errors": report.errors,
        "accuracy": report.accuracy,
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
