"""`run` and `classify`: one job from the command line."""

from __future__ import annotations

import shutil
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, TypeAlias

import anyio.to_thread

from .._jobs.classify import Labels
from .._jobs.cost_estimate import Forecast, Moments, Terms, choose_rows, forecast, rows_at
from .._jobs.files.file_job import CountRows, NotWrittenError, run_file
from .._jobs.files.input_files import InputFile, InputFiles, files_in
from .._jobs.files.output_files import OpenRows, Output, Part
from .._jobs.formats.file_format import Format, OutputFormat, check_input_name, format_of
from .._jobs.formats.spool import spool, spool_of
from .._jobs.formats.text import AS_FOUND, TextOptions
from .._jobs.journal.journal import Journal, OtherSettingsError
from .._jobs.journal.journal_error import JournalError
from .._jobs.journal.reader import JournalReader
from .._jobs.journal.settings import JobSettings
from .._jobs.options import JobOptions, settings_of
from .._jobs.outlook import FIRST_ROWS, Outlook, guessed, measured
from .._jobs.progress import JobProgress
from .._jobs.prompt_template import MakeRequest
from .._jobs.report.row_counts import JobReport
from .._jobs.rows import Row
from .._jobs.run import MAX_CREDITS_FACT, JobRun
from .._sending.conversation import expected
from .._sending.options import MAX_OUTAGE, OnExhausted
from ..errors import AccessError, ConfigurationError, SegmindError
from .client_options import ClientOptions, open_client
from .console import drop, is_gone, say, show_json
from .exit_codes import Exit, exit_for_report
from .live import Live
from .option_values.schema import AnswerSchema
from .start.changed_settings import begin_anew, refusal_text, tell_changes, why_anew
from .start.files_check import check_inputs, check_paths, make_folders, tell_without_input
from .start.forecast import balance_of, kept_on_all, show_forecast
from .start.input_check import NO_COLUMNS_NEEDED, ColumnsNeeded
from .start.outlook import Announcer, may_start, outlook_text
from .summary import Files, as_json_of, print_keys, print_results_only, print_summary
from .wording import count

if TYPE_CHECKING:
    from ..client import SegmindClient
    from ..emulator import Brain


@dataclass(frozen=True, slots=True)
class SpendingLimits:
    """The limits at which a job stops early; None means no limit."""

    floor: Decimal = Decimal(0)
    max_credits: Decimal | None = None
    on_exhausted: OnExhausted = "stop"
    max_failures: int | None = None
    """How many rows may fail before the job stops; None: any number."""
    max_outage: float = MAX_OUTAGE
    """Seconds of an outage after which the job stops."""


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The steps that come before all rows are sent."""

    dry_run: bool = False
    """Whether to print the forecast only and send nothing."""
    sample: int | None = None
    """Number of rows to send for an estimate of the whole; None sends all rows."""
    yes: bool = False
    """Whether to start without asking, even if the account is not expected to cover all rows."""
    restart: bool = False
    """Whether to begin anew, and keep the old journal beside the new one."""
    results_only: bool = False
    """Whether to send nothing, and to write the results of earlier runs."""


MAX_REASKS = 1
"""How often an answer that does not fit its schema is requested again."""

MakeBrain: TypeAlias = "Callable[[OpenRows], Brain]"


@dataclass(frozen=True, slots=True)
class Job:
    """The input, output and options of one job."""

    input: Path
    """A file or a folder."""
    output: Path
    """A file, or a folder if the input is one."""
    make: MakeRequest
    spending: SpendingLimits
    options: JobOptions
    client: ClientOptions
    limit: int | None
    journal: Path | None
    settings: JobSettings
    """Settings that must be unchanged when the job is resumed."""
    confirmation: Confirmation = Confirmation()
    form: Format | None = None
    """Format of the input; None takes it from the names of files."""
    pattern: str | None = None
    """Which files of a folder are read; None: all."""
    folder: tuple[InputFile, ...] = ()
    """The files of the input, if that is a folder: as they were when the command began."""
    make_brain: MakeBrain | None = None
    """Makes the brain of the emulator; used with `emulate` only."""
    prefix: str | None = None
    """Stands before the names of result columns."""
    overwrite: bool = False
    """Whether an output that is not of this job is replaced."""
    text: TextOptions = AS_FOUND
    """Encoding and delimiter of the input."""
    needs: ColumnsNeeded = NO_COLUMNS_NEEDED
    """Columns that the input must have."""
    output_format: OutputFormat | None = None
    """None: what the name of the output says."""
    csv_safe: bool = False
    """Whether texts in CSV are spelt so that no spreadsheet takes them for formulas."""
    passed_on: bool = False
    """Whether the output is passed on to standard output."""
    schema: AnswerSchema | None = None
    """The shape that answers must have; None: any text."""
    anew: str | None = None
    """Why this job takes the place of an earlier one; None if it goes on with that, or is the first."""

    @property
    def inputs(self) -> InputFiles:
        """The files of rows."""
        one = InputFile(self.input, self.form or format_of(self.input))
        return InputFiles(self.folder or (one,), self.make, self.text)

    def with_files(self, files: tuple[InputFile, ...]) -> Job:
        """Return the job with the files of its folder."""
        return replace(self, folder=files)

    def open_rows(self) -> AbstractContextManager[Iterator[Row]]:
        """Open the input."""
        return self.inputs.open(self.limit)

    def open_all_rows(self) -> AbstractContextManager[Iterator[Row]]:
        """Open the input without a limit."""
        return self.inputs.open()

    @property
    def part(self) -> Part | None:
        """The rows that the limit leaves; None: all."""
        return None if self.limit is None else Part(range(self.limit), self.limit - 1, self.open_all_rows)

    @property
    def target(self) -> Output:
        """The output and its columns."""
        inputs = self.inputs
        return Output(
            self.output,
            self.prefix,
            inputs.files[0].is_all_text,
            self.output_format,
            self.passed_on,
            fields=None if self.schema is None else self.schema.fields,
            csv_safe=self.csv_safe,
            only=self.confirmation.results_only,
            files=inputs.outputs(self.output, self.output_format),
        )

    def count_rows(self, stop: threading.Event, tell: Callable[[int], None] = lambda _: None) -> int | None:
        """Count the rows of the input, without parsing them; None if *stop* is set before the end.

        *tell* is called with how many have been counted so far.
        """
        rows = self.inputs.count(stop, tell)
        return rows if rows is None or self.limit is None else min(rows, self.limit)

    @property
    def files(self) -> Files:
        """The files to name when the job has ended."""
        return Files(self.journal_path, None if self.passed_on else self.output)

    @property
    def journal_path(self) -> Path:
        """Path of the journal; by default beside the output."""
        output = self.output if self.output.name else self.output.resolve()
        return self.journal or output.with_name(output.name + ".journal")

    @property
    def terms(self) -> Terms:
        """Inputs of estimates."""
        return Terms(self.client.model, self.client.max_in_flight, self.client.requests_per_minute)

    @property
    def own_settings(self) -> JobSettings:
        """The settings together with whether the emulator answers."""
        # An answer of the emulator must never pass for one of the real service.
        return {"emulate": self.client.emulate, **self.settings}

    @property
    def all_settings(self) -> JobSettings:
        """The settings that the journal is opened with."""
        wanted = None if self.schema is None else expected(self.schema.parse, MAX_REASKS)
        return settings_of(self.client.model, self.own_settings, self.options, wanted)


async def run(job: Job, *, as_json: bool) -> Exit:
    """Run or resume a job, print its summary, and return the exit code."""
    if str(job.output) == "-":
        _check_stdout(job, as_json=as_json)
    with _rereadable(job) as read, _to_stdout(read) as found:
        try:
            return await _run(found, as_json=as_json)
        except OtherSettingsError as error:
            raise ConfigurationError(refusal_text(job.journal_path, error)) from error
        except NotWrittenError as error:
            print_summary(error.report, found.files, written=False)
            return Exit.INTERRUPTED
        except (KeyboardInterrupt, anyio.get_cancelled_exc_class()):
            say("the same command begins or resumes the job")
            raise


def _check_stdout(job: Job, *, as_json: bool) -> None:
    """Refuse results on standard output of a folder, beside those of `--json`, or without a journal."""
    if job.input.is_dir():
        raise ConfigurationError("output='-': results of a folder are files; name a folder with -o")
    if as_json:
        raise ConfigurationError("output='-': --json writes to standard output too; name a file with -o")
    if job.journal is None and not job.input.is_file():
        raise ConfigurationError("output='-': name the journal of rows that are piped in with --journal")


@contextmanager
def _to_stdout(job: Job) -> Iterator[Job]:
    """Provide a file for an output `-`, and copy it to standard output when the job has ended."""
    if str(job.output) != "-":
        yield job
        return
    journal = job.journal or job.input.with_name(job.input.name + ".journal")
    with TemporaryDirectory() as folder:
        output = Path(folder) / "results"
        yield replace(job, output=output, journal=journal, passed_on=True)
        if output.exists():
            _copy_to_stdout(output)


def _copy_to_stdout(output: Path) -> None:
    """Copy the results to standard output; the journal keeps them if nobody reads on."""
    try:
        with output.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
        sys.stdout.flush()
    except OSError as error:
        if not is_gone(error):
            raise
        drop(sys.stdout)


async def _run(job: Job, *, as_json: bool) -> Exit:
    if job.journal_path.is_dir():
        raise ConfigurationError(f"journal={str(job.journal_path)!r} is a folder; name a file")
    _check_results_only(job)
    if not job.confirmation.results_only:
        why = why_anew(job.journal_path, job.all_settings, restart=job.confirmation.restart)
        job = replace(job, anew=why)
    if job.confirmation.dry_run:
        await _print_forecast(job, as_json=as_json)
        return Exit.OK
    with Live() as live:
        live.begin(lambda: f"reading {job.input.name}")
        await anyio.to_thread.run_sync(_check_input, job)
    check_paths(job.input, job.target, job.journal_path, overwrite=job.overwrite)
    make_folders(job.target, job.journal_path)
    if job.anew is None:
        tell_changes(job.journal_path, job.all_settings, keep_finished=job.options.keep_finished)
    options = replace(job.client, offline=job.confirmation.results_only)
    if job.make_brain is not None and options.emulate:
        options = replace(options, brain=job.make_brain(job.open_rows))
    async with open_client(options) as client:
        code = await (_run_sample if job.confirmation.sample else _run_all)(job, client, as_json=as_json)
    all_sent = not (job.confirmation.sample or job.confirmation.results_only)
    if all_sent and code in {Exit.OK, Exit.SOME_FAILED} and job.input == spool_of(job.journal_path):
        job.input.unlink()
    return code


def _check_results_only(job: Job) -> None:
    """Refuse `--results-only` without a journal, or beside what would send rows or put the journal aside."""
    asked = job.confirmation
    if not asked.results_only:
        return
    beside = {
        "--restart": asked.restart,
        "--sample": asked.sample is not None,
        "--dry-run": asked.dry_run,
        "--retry-failed": job.options.retry_failed,
    }
    for option, given in beside.items():
        if given:
            raise ConfigurationError(f"--results-only sends nothing and keeps all: leave out {option}")
    if not job.journal_path.exists():
        raise ConfigurationError(
            f"--results-only: there is no journal {str(job.journal_path)!r}, so no row is finished"
        )


def _begun(job: Job) -> Job:
    """Put the files of an earlier job aside if this one takes its place: nothing can refuse it any more."""
    if job.anew is None:
        return job
    begin_anew(job.journal_path, job.output, job.anew)
    return replace(job, anew=None)


async def _run_all(job: Job, client: SegmindClient, *, as_json: bool) -> Exit:
    costs, only = Moments(), job.confirmation.results_only
    if not only and not await _may_start(job, client, costs):
        say("not started, nothing was sent")
        return Exit.USAGE
    job = _begun(job)
    report = await send_rows(job, client, costs)
    keys = client.statistics().keys
    if as_json:
        show_json({**as_json_of(report), **({"keys": [asdict(key) for key in keys]} if keys else {})})
    elif only:
        print_results_only(report, job.files)
    else:
        print_summary(report, job.files)
        print_keys(keys)
    if job.folder:
        tell_without_input(job.target, job.journal_path)
    return Exit.OK if only else exit_for_report(report)


async def _run_sample(job: Job, client: SegmindClient, *, as_json: bool) -> Exit:
    """Run some of the rows, and print the forecast for all of them."""
    assert job.confirmation.sample is not None
    whole = await _forecast(job)
    indices = choose_rows(job.confirmation.sample, whole.rows)
    job = _begun(job)
    report = await send_rows(job, client, Moments(), indices)
    found = await _forecast(job)
    if as_json:
        show_json({**as_json_of(report), "forecast": found.as_json()})
        return exit_for_report(report)
    print_summary(report, job.files)
    assert report.fan_out is not None
    sent = report.fan_out.ok + report.fan_out.failed
    before = f" ({len(indices) - sent} of the sample before)" if sent < len(indices) else ""
    say(f"sent {sent} of {whole.rows} rows{before}; the same command without --sample sends the rest")
    held = report.fan_out.credits_remaining
    floor = kept_on_all(job.spending.floor, job.client)
    show_forecast(found, "unknown" if held is None else held, floor, _left_of_bound(job))
    return exit_for_report(report)


async def send_rows(
    job: Job, client: SegmindClient, costs: Moments, sample: list[int] | None = None
) -> JobReport:
    """Send the rows, or those of a *sample*, add their *costs*, and show the progress meanwhile."""
    spending = job.spending
    take: tuple[OpenRows, CountRows, Part | None] = (job.open_rows, job.count_rows, job.part)
    if sample is not None:
        chosen = Part(frozenset(sample), max(sample, default=-1), job.open_all_rows)
        take = (lambda: _rows_at(job, sample), lambda _, __: len(sample), chosen)
    with Live() as live:

        def tell(text: str) -> None:
            live.clear()
            say(text)

        announcer = Announcer(costs, job.client.model, tell)

        def show(progress: JobProgress) -> None:
            announcer(progress)
            live(progress)

        def make_run(rows: Iterator[Row]) -> JobRun:
            run = client.run_job(
                rows,
                journal=job.journal_path,
                parse=None if job.schema is None else job.schema.parse,
                max_reasks=MAX_REASKS,
                options=job.options,
                settings=job.own_settings,
                progress=None if job.confirmation.results_only else show,
                floor=spending.floor,
                max_credits=spending.max_credits,
                on_exhausted=spending.on_exhausted,
                max_failures=spending.max_failures,
                max_outage=spending.max_outage,
            )
            live.samples, run.costs = run.samples, costs
            return run

        open_rows, count_rows, part = take
        live.begin(lambda: "opening the journal")
        return await run_file(make_run, open_rows, job.target, count_rows, part, live.tell)


@contextmanager
def _rows_at(job: Job, indices: list[int]) -> Iterator[Iterator[Row]]:
    with job.open_rows() as rows:
        yield rows_at(rows, indices)


@contextmanager
def _rereadable(job: Job) -> Iterator[Job]:
    """Provide the input as files that can be read twice: those of a folder, or a copy of a pipe."""
    if job.input.is_dir():
        yield job.with_files(files_in(job.input, job.form, job.pattern))
        return
    if job.pattern is not None:
        raise ConfigurationError(f"--files: input={str(job.input)!r} is no folder; leave it out")
    piped = str(job.input) == "-"
    if not piped and job.input.is_file():
        yield job
        return
    if job.form is None:
        raise ConfigurationError(f"input={str(job.input)!r}: name the format of a pipe with --input-format")
    with ExitStack() as stack:
        stream = sys.stdin.buffer if piped else stack.enter_context(job.input.open("rb"))
        journal = (
            Path(stack.enter_context(TemporaryDirectory())) / "rows"
            if job.confirmation.dry_run
            else job.journal_path
        )
        yield replace(job, input=spool(stream, journal, again=not job.confirmation.results_only))


def _check_input(job: Job) -> None:
    if not job.folder and job.form is None:
        check_input_name(job.input)
    check_inputs(job.inputs, job.needs, job.prefix)


async def _may_start(job: Job, client: SegmindClient, costs: Moments) -> bool:
    """Say what the rest of the job will cost; return whether to start, which may ask on a terminal."""
    with Live() as live:
        live.begin(lambda: "counting the rows, asking for the balance")
        outlook = await anyio.to_thread.run_sync(_outlook, job, costs)
        if outlook is None:
            return True
        affordable, most = await _affordable(job, client), _left_of_bound(job)
    bounds = [bound for bound in (affordable, most) if bound is not None]
    say(outlook_text(outlook, min(bounds, default=None), job.client.model))
    asks = not (job.confirmation.yes or job.client.emulate or job.spending.on_exhausted == "wait")
    return affordable is None or not asks or may_start(outlook, affordable, most)


def _left_of_bound(job: Job) -> Decimal | None:
    """Return the credits that the job may still cost: `--max-credits` is a bound of all its runs."""
    most, spent = job.spending.max_credits, Decimal(0)
    if job.anew is not None:
        return most
    try:
        with JournalReader(job.journal_path) as reader:
            spent, kept = reader.spent(), reader.fact(MAX_CREDITS_FACT)
            most = Decimal(kept) if most is None and isinstance(kept, str) else most
    except (JournalError, sqlite3.Error):
        pass  # as in `_finished`
    return None if most is None else max(Decimal(0), most - spent)


async def _affordable(job: Job, client: SegmindClient) -> Decimal | None:
    """Return the credits above the floor; None if the service does not say, which stops nothing yet."""
    try:
        held = job.client.emulated_balance if job.client.emulate else (await client.balance()).total
        return max(Decimal(0), held - job.spending.floor)
    except AccessError:
        raise
    except SegmindError:
        return None


def _outlook(job: Job, costs: Moments) -> Outlook | None:
    """Return the outlook on the rows still to be sent; adds to *costs* what earlier runs have paid."""
    rows = _counted(job) - (0 if job.anew else _finished(job.journal_path, costs))
    found = measured(costs, rows)
    if found is not None or rows < 1:
        return found
    with job.open_rows() as opened:
        return guessed(islice(opened, FIRST_ROWS), rows, job.terms)


def _counted(job: Job) -> int:
    """Return the number of rows; 0 if they cannot be counted in a moment."""
    stop = threading.Event()
    timer = threading.Timer(_COUNT_FOR, stop.set)
    timer.start()
    try:
        return job.count_rows(stop) or 0
    except Exception:  # noqa: BLE001  # the job reads the same file, and reports what is wrong with it
        return 0
    finally:
        timer.cancel()


def _finished(journal: Path, costs: Moments) -> int:
    """Return how many rows earlier runs have finished; adds their costs to *costs*."""
    # Read-only: opening it for writing takes seconds for each million rows, and happens later anyway.
    try:
        with JournalReader(journal) as reader:
            costs.add_all(*reader.costs())
            return sum(reader.counts().values())
    except (JournalError, sqlite3.Error):
        return 0  # there is none, or opening it for writing will report the error


_COUNT_FOR = 0.5
"""Seconds after which the job begins although its rows are not counted."""


async def _forecast(job: Job) -> Forecast:
    with ExitStack() as stack:
        journal = None
        if job.journal_path.exists() and job.anew is None:
            keep = job.options.keep_finished
            journal = stack.enter_context(Journal(job.journal_path, job.all_settings, keep_finished=keep))
        rows = stack.enter_context(job.open_rows())
        read, live = 0, stack.enter_context(Live())
        live.begin(lambda: f"reading {job.input.name}: {count(read)} rows")

        def counted() -> Iterator[Row]:
            nonlocal read
            for row in rows:
                read += 1
                yield row

        return await forecast(counted(), job.terms, journal, job.options)


async def _print_forecast(job: Job, *, as_json: bool) -> None:
    found, held = await _forecast(job), await balance_of(job.client)
    if as_json:
        show_json({**found.as_json(), "balance": held if isinstance(held, Decimal) else None})
    else:
        floor = kept_on_all(job.spending.floor, job.client)
        show_forecast(found, held, floor, _left_of_bound(job))


def labelling_brain(open_rows: OpenRows, labels: Labels, text_column: str, truth_column: str | None) -> Brain:
    """Return a brain that answers with labels, learnt from every second labelled row, else by hash."""
    from ..emulator import FunctionBrain  # noqa: PLC0415  # see `open_client`
    from .demo.classifier import NaiveBayes  # noqa: PLC0415  # it imports the emulator

    if truth_column is None:
        names = labels.names
        return FunctionBrain(
            lambda question: labels.answer(names[sum(question.prompt.encode()) % len(names)])
        )
    learner = NaiveBayes()
    with open_rows() as rows:
        for row in rows:
            label = labels.find_value(row.columns.get(truth_column))
            text = row.columns.get(text_column)
            if row.index % 2 == 0 and label is not None and isinstance(text, str):
                learner.learn(text, label)
    return FunctionBrain(lambda question: labels.answer(learner.classify(question.prompt)[0]))
