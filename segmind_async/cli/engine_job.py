"""`run --engine ray`: a folder as a job on a cluster, each file a shard that writes its own results."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from time import monotonic
from typing import Any

import anyio.to_thread

from .._jobs.files.input_files import InputFile, files_in
from .._jobs.report.row_counts import JobReport
from .._process.stop_signals import on_stop_signals
from .._text.quantities import credits_text
from ..config import Limits
from ..engines import ShardJob, ShardStoppedError
from ..engines._file_shard import FileShard, merged
from ..errors import ConfigurationError
from ..models import JsonDict
from ..ray import GatewaySettings
from ..ray._files import connect, count_files, run_files
from ..ray._gateway import start_gateway
from .client_options import access
from .console import say, show_json
from .exit_codes import Exit, exit_for_report
from .job import MAX_REASKS, Job
from .start.engine_settings import keep_settings
from .start.files_check import check_inputs, check_paths, make_folders, tell_without_input
from .summary import JOURNALS, Files, as_json_of, print_results_only, print_summary
from .wording import count

_LINE_EVERY = 10.0
"""Seconds between two lines of progress."""


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Where a job runs, and what its requests are made of: closures do not travel."""

    address: str | None
    """Of the cluster; None: one on this machine, for the time of the job."""
    concurrency: int | None
    """Files at the same time; None: one for each processor of the cluster."""
    prompt: str | None
    instructions: str | None
    parameters: JsonDict


async def run(job: Job, engine: EngineOptions, *, as_json: bool) -> Exit:
    """Run or resume a job on a folder, print its summary, and return the exit code."""
    _refuse_others(job)
    # Workers have other working directories.
    files = files_in(job.input.resolve(), job.form, job.pattern)
    output = job.output.resolve()
    journal = job.journal or output.with_name(output.name + JOURNALS)
    if job.confirmation.results_only and not journal.is_dir():
        raise ConfigurationError(f"--results-only: there are no journals in {str(journal)!r}")
    _check(job, files, journal)
    # Rows are known by what they ask, whether `--dedupe` is given or not.
    keep_settings(journal, {**job.all_settings, "dedupe": True})
    gateway = None if job.confirmation.results_only else _gateway_settings(job)
    stop, begun = threading.Event(), monotonic()
    try:
        with on_stop_signals(lambda _: stop.set()):
            reports = await anyio.to_thread.run_sync(_run, job, engine, gateway, files, journal, stop)
    except ShardStoppedError as error:
        say(str(error))
        return Exit.OUTAGE
    report = merged(reports, monotonic() - begun)
    if stop.is_set():
        say("interrupted: calls in flight were cancelled; the same command resumes the job")
        return Exit.INTERRUPTED
    found = Files(journal, job.output)
    if as_json:
        show_json(as_json_of(report))
    elif job.confirmation.results_only:
        print_results_only(report, found)
    else:
        print_summary(report, found)
    tell_without_input(job.with_files(files).target, journal)
    return Exit.OK if job.confirmation.results_only else exit_for_report(report)


def _refuse_others(job: Job) -> None:
    """Refuse options that only one process can follow, and inputs that are no folder."""
    if not job.input.is_dir():
        raise ConfigurationError(
            f"--engine: input={str(job.input)!r} is no folder; each file of a folder is one shard"
        )
    asked = job.confirmation
    refused = {
        "--sample": asked.sample is not None,
        "--dry-run": asked.dry_run,
        "--restart": asked.restart,
        "--limit": job.limit is not None,
        "--emulate": job.client.emulate,
        "--keep-finished": job.options.keep_finished,
        "--delivery queued": job.options.delivery != "direct",
        "--on-exhausted wait": job.spending.on_exhausted != "stop",
        "--max-failures": job.spending.max_failures is not None,
    }
    for option, given in refused.items():
        if given:
            raise ConfigurationError(
                f"--engine: {option} works without an engine only; leave one of them out"
            )


def _check(job: Job, files: tuple[InputFile, ...], journal: Path) -> None:
    if journal.is_file():
        raise ConfigurationError(
            f"--engine: journal={str(journal)!r} is a file; name a folder for the journals"
        )
    whole = job.with_files(files)
    check_inputs(whole.inputs, job.needs, job.prefix)
    check_paths(job.input, whole.target, journal, overwrite=job.overwrite)
    make_folders(whole.target, journal)


def _run(
    job: Job,
    engine: EngineOptions,
    gateway: GatewaySettings | None,
    files: tuple[InputFile, ...],
    journal: Path,
    stop: threading.Event,
) -> list[JobReport]:
    """Run all files in the cluster, and say every ten seconds how far they are; None: send nothing."""
    connect(engine.address)
    counts = count_files(files, job.text)
    door = None if gateway is None else start_gateway(gateway, journal.resolve())
    shards = _shards(job, _shard_job(job, engine, journal), files, counts)
    reports: list[JobReport] = []
    said_at = monotonic()
    for report in run_files(shards, door, engine.concurrency, stop):
        reports.append(report)
        if monotonic() - said_at >= _LINE_EVERY:
            said_at = monotonic()
            say(_progress_text(reports, counts))
    return reports


def _progress_text(reports: list[JobReport], counts: list[int]) -> str:
    found = merged(reports, 0.0)
    assert found.fan_out is not None
    return (
        f"{count(len(reports))} of {count(len(counts))} files, {count(found.counts['ok'])} ok and "
        f"{count(found.counts['failed'])} failed of {count(sum(counts))} rows; "
        f"{credits_text(found.fan_out.spent)} credits spent"
    )


def _shards(job: Job, of: ShardJob, files: tuple[InputFile, ...], counts: list[int]) -> list[FileShard]:
    output = job.with_files(files).target.without_files()
    firsts: Iterator[int] = accumulate(counts, initial=0)
    return [FileShard(of, file, first, output, job.text) for file, first in zip(files, firsts, strict=False)]


def _gateway_settings(job: Job) -> GatewaySettings:
    client = job.client
    limits = Limits(client.max_in_flight, client.requests_per_minute, client.floor)
    keys, base_url = access(client)
    return GatewaySettings(limits, job.spending.max_credits, base_url, keys)


def _shard_job(job: Job, engine: EngineOptions, journal: Path) -> ShardJob:
    sending: dict[str, Any] = {"max_outage": job.spending.max_outage, "max_reasks": MAX_REASKS}
    return ShardJob(
        journal.resolve(),
        engine.prompt,
        engine.instructions,
        None if job.schema is None else job.schema.parse,
        job.client.model,
        engine.parameters,
        limits=Limits(job.client.max_in_flight),
        timeouts=job.client.timeouts,
        sending=sending,  # type: ignore[arg-type]  # names of `JobSending`
        retry_failed=job.options.retry_failed,
        yield_unsent=True,
    )
