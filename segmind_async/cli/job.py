"""`run` and `classify`: one job from the command line."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeAlias

from .._jobs.classify import Labels
from .._jobs.cost_estimate import Forecast, Terms, choose_rows, forecast, rows_at
from .._jobs.files import OpenRows, run_file
from .._jobs.formats.file_format import Format
from .._jobs.formats.output import check_output
from .._jobs.formats.spool import spool, spool_of
from .._jobs.journal.journal import Journal, JournalError, Settings
from .._jobs.journal.reader import JournalReader
from .._jobs.journal.writer import wait_for
from .._jobs.options import JobOptions, settings_of
from .._jobs.progress_reporter import ROWS_FACT
from .._jobs.report.row_counts import JobReport
from .._jobs.rows import MakeRequest, Row, open_rows
from .._jobs.run import JobRun
from .._sending.options import MAX_OUTAGE, OnExhausted
from ..errors import ConfigurationError
from ..models import FanOutReport
from .client_options import ClientOptions, open_client
from .confirmation import balance_of, check_affordable, show_forecast
from .console import say, show_json
from .exit_codes import Exit, exit_for_report
from .live import Live
from .wording import credits_text

if TYPE_CHECKING:
    from ..client import SegmindClient
    from ..emulator import Brain


@dataclass(frozen=True, slots=True)
class Spending:
    """When a job stops early; None means no bound of its own."""

    floor: Decimal = Decimal(0)
    max_credits: Decimal | None = None
    on_exhausted: OnExhausted = "stop"
    max_failures: int | None = None
    """How many rows may fail before the job stops; None: any number."""
    max_outage: float = MAX_OUTAGE
    """Seconds for which the service may fail for all before the job stops."""


@dataclass(frozen=True, slots=True)
class Asking:
    """What is wanted before all is sent."""

    dry: bool = False
    """Whether nothing is to be sent."""
    sample: int | None = None
    """How many rows are to be sent to know what all would cost; None: all are sent."""
    yes: bool = False
    """Whether a job is to begin that the account may be unable to pay."""


MakeBrain: TypeAlias = "Callable[[OpenRows], Brain]"


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
    asking: Asking = Asking()
    form: Format | None = None
    """What the input is; None: what its name says."""
    make_brain: MakeBrain | None = None
    """Makes what stands in for a model, where the stand-in is to be used."""

    def open_rows(self) -> AbstractContextManager[Iterator[Row]]:
        """Open the input."""
        return open_rows(self.input, self.make, self.limit, self.form)

    @property
    def place(self) -> Path:
        """Where the journal is."""
        return self.journal or self.output.with_name(self.output.name + ".journal")

    @property
    def own_settings(self) -> Settings:
        """What must be the same, with what says who answers."""
        # What a stand-in said must never pass for an answer of the real service.
        return {"emulate": self.client.emulate, **self.settings}

    @property
    def all_settings(self) -> Settings:
        """What its journal is opened with."""
        return settings_of(self.client.model, self.own_settings, self.options)


async def run(job: Job, *, as_json: bool) -> Exit:
    """Run a job, or go on with it, print what came of it, and return the exit code."""
    with _readable(job) as found:
        return await _run(found, as_json=as_json)


async def _run(job: Job, *, as_json: bool) -> Exit:
    if job.asking.dry:
        await _tell_forecast(job, as_json=as_json)
        return Exit.OK
    _check_places(job)
    options = job.client
    if job.make_brain is not None and options.emulate:
        options = replace(options, brain=job.make_brain(job.open_rows))
    async with open_client(options) as client:
        code = await (_sample if job.asking.sample else _whole)(job, client, as_json=as_json)
    if code in {Exit.OK, Exit.SOME_FAILED} and not job.asking.sample and job.input == spool_of(job.place):
        job.input.unlink()
    return code


async def _whole(job: Job, client: SegmindClient, *, as_json: bool) -> Exit:
    if not (job.asking.yes or job.client.emulate):
        await _ask(job, client)
    report = await _sent(job, client, job.open_rows)
    if as_json:
        show_json(_as_json(report))
    else:
        _tell_end(report, job.output, job.place)
    return exit_for_report(report)


async def _sample(job: Job, client: SegmindClient, *, as_json: bool) -> Exit:
    """Run some of the rows, and say what follows for all."""
    assert job.asking.sample is not None
    whole = await _forecast(job)
    indices = choose_rows(job.asking.sample, whole.rows)

    @contextmanager
    def some_rows() -> Iterator[Iterator[Row]]:
        with job.open_rows() as rows:
            yield rows_at(rows, indices)

    report = await _sent(job, client, some_rows)
    found = await _forecast(job)
    if as_json:
        show_json({**_as_json(report), "forecast": found.as_json()})
        return exit_for_report(report)
    _tell_end(report, job.output, job.place)
    say(f"these were {len(indices)} of {whole.rows} rows; without --sample the same command does the rest")
    assert report.fan_out is not None
    held = report.fan_out.credits_remaining
    show_forecast(found, "not told" if held is None else held, job.spending.floor, job.spending.max_credits)
    return exit_for_report(report)


async def _sent(job: Job, client: SegmindClient, open_rows: OpenRows) -> JobReport:
    """Send the rows, and show meanwhile how it stands."""
    spending = job.spending
    with Live() as live:

        def make_run(rows: Iterator[Row]) -> JobRun:
            run = client.run_job(
                rows,
                journal=job.place,
                options=job.options,
                settings=job.own_settings,
                progress=live,
                floor=spending.floor,
                max_credits=spending.max_credits,
                on_exhausted=spending.on_exhausted,
                max_failures=spending.max_failures,
                max_outage=spending.max_outage,
            )
            live.notable = run.samples
            return run

        return await run_file(make_run, open_rows, job.output)


@contextmanager
def _readable(job: Job) -> Iterator[Job]:
    """Have the input where it can be read twice."""
    piped = str(job.input) == "-"
    if not piped and job.input.is_file():
        yield job
        return
    if job.form is None:
        raise ConfigurationError(f"input={str(job.input)!r}: say what is piped in with --input-format")
    with ExitStack() as stack:
        stream = sys.stdin.buffer if piped else stack.enter_context(job.input.open("rb"))
        journal = Path(stack.enter_context(TemporaryDirectory())) / "rows" if job.asking.dry else job.place
        yield replace(job, input=spool(stream, journal))


def _check_places(job: Job) -> None:
    """Refuse to write over what is read."""
    check_output(job.output)
    for name, place in (("output", job.output), ("journal", job.place)):
        if place.resolve() == job.input.resolve():
            raise ConfigurationError(f"{name}={str(place)!r} is the input; name another file")


async def _ask(job: Job, client: SegmindClient) -> None:
    """Refuse a job that may be too dear, unless it has been found affordable before."""
    if _was_affordable(job.place):
        return
    spending = job.spending
    found = await _forecast(job)
    await check_affordable(client, found, spending.floor, spending.max_credits)
    with Journal(job.place, job.all_settings) as journal:
        # The progress of the run shows how many are left before it has read them all.
        journal.set_fact(ROWS_FACT, found.rows - (found.duplicates if job.options.dedupe else 0))
        await wait_for(journal.set_fact(_AFFORDABLE, value=True))


_AFFORDABLE = "affordable"


def _was_affordable(journal: Path) -> bool:
    # Only looked into: to open it for work takes seconds for each million rows, and is done soon enough.
    try:
        with JournalReader(journal) as reader:
            return bool(reader.fact(_AFFORDABLE))
    except (JournalError, sqlite3.Error):
        return False  # there is none, or whoever works with it will say what is wrong


async def _forecast(job: Job) -> Forecast:
    terms = Terms(job.client.model, job.client.max_in_flight, job.client.requests_per_minute)
    with ExitStack() as stack:
        journal = None
        if job.place.exists():
            journal = stack.enter_context(Journal(job.place, job.all_settings))
        rows = stack.enter_context(job.open_rows())
        return await forecast(rows, terms, journal, job.options)


async def _tell_forecast(job: Job, *, as_json: bool) -> None:
    found, held = await _forecast(job), await balance_of(job.client)
    if as_json:
        show_json({**found.as_json(), "balance": held if isinstance(held, Decimal) else None})
    else:
        show_forecast(found, held, job.spending.floor, job.spending.max_credits)


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
    if report.repeated:
        say(f"{report.repeated} rows ask what one before them does, and share its answer")
    for name, count in report.errors.most_common(5):
        say(f"  {count} x {name}, such as: {report.examples[name][:200]}")
    if report.accuracy is not None:
        say(f"accuracy {report.accuracy:.1%} of {report.judged} rows with a known label")
    if fan_out.maybe_paid_twice:
        say(f"{fan_out.maybe_paid_twice} attempts may have been paid twice: their answers were lost")
    if fan_out.stop_reason is not None:
        say(f"stopped early: {fan_out.stop_message}")
        say(f"the same command goes on; what is done stands in {journal}")
    say(f"results in {output}; segmind-async report {journal} says more")


def _as_json(report: JobReport) -> dict[str, object]:
    assert report.fan_out is not None
    return {
        "rows": report.counts,
        "errors": report.errors,
        "accuracy": report.accuracy,
        "resumed": report.resumed,
        "repeated": report.repeated,
        "fan_out": asdict(report.fan_out),
    }


def labelling_brain(open_rows: OpenRows, labels: Labels, text_column: str, truth_column: str | None) -> Brain:
    """Make the emulator answer with labels: learnt from every other row that has one, else by chance."""
    from ..emulator import FunctionBrain  # noqa: PLC0415  # see `open_client`
    from .demo_classifier import NaiveBayes  # noqa: PLC0415  # it imports the emulator

    if truth_column is None:
        names = labels.names
        return FunctionBrain(
            lambda question: labels.answer(names[sum(question.prompt.encode()) % len(names)])
        )
    learner = NaiveBayes()
    with open_rows() as rows:
        for row in rows:
            label = labels.find(str(row.columns.get(truth_column)))
            text = row.columns.get(text_column)
            if row.index % 2 == 0 and label is not None and isinstance(text, str):
                learner.learn(text, label)
    return FunctionBrain(lambda question: labels.answer(learner.classify(question.prompt)[0]))
