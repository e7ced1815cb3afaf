"""The files of a folder as tasks of Ray: so many at once, each with its results written by itself."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from .._jobs.files.input_files import InputFile
from .._jobs.formats.text import TextOptions
from .._jobs.report.row_counts import JobReport
from .._text.error_text import class_and_message
from .._text.escaping import one_line
from ..engines import ShardStoppedError
from ..engines._file_shard import FileShard, count_exactly
from ..errors import ConfigurationError
from ._engine import cluster_errors, engine
from ._mapper import Door

_MOST_LOST = 16
"""Workers that one file may lose: each goes on where the one before it ended, but a file that kills every
worker, as by its memory, would go on for ever."""

_LOOK_EVERY = 0.5
"""Seconds between two looks at whether the driver is to stop."""


def connect(address: str | None) -> None:
    """Connect to the cluster at *address*; None: start one on this machine. Workers print for themselves.

    Raises ConfigurationError for a cluster that cannot be reached.
    """
    ray = engine()
    if ray.is_initialized():
        return
    try:
        # Without "local" Ray would take a cluster that happens to run here.
        ray.init(address or "local", log_to_driver=False, logging_level="error")
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ConfigurationError(f"address={address!r}: {one_line(class_and_message(error))}") from error


def count_files(files: Sequence[InputFile], text: TextOptions) -> list[int]:
    """Return the number of rows of each file, counted where there is room."""
    ray = engine()
    task = ray.remote(count_exactly)
    with cluster_errors():
        return list(ray.get([task.remote(file, text) for file in files]))


def run_files(
    shards: Sequence[FileShard], door: Door | None, concurrency: int | None, stop: threading.Event
) -> Iterator[JobReport]:
    """Run *shards* as tasks, at most *concurrency* at once, and yield their reports; None: as many as CPUs.

    Ray runs a task of a node that died once more. When a shard has stopped early, the others send no more and
    write what is finished. Ends when *stop* is set: calls in flight are cancelled. Raises ShardStoppedError
    if the cluster is lost, or one worker after the other on one file.
    """
    ray = engine()
    url, token = (None, None) if door is None else door.address()
    most = concurrency or max(1, int(ray.cluster_resources().get("CPU", 1)))
    task = ray.remote(_run).options(num_cpus=1, max_retries=_MOST_LOST, scheduling_strategy="SPREAD")
    waiting, running = deque(shards), list[Any]()
    try:
        while (waiting or running) and not stop.is_set():
            while waiting and len(running) < most:
                running.append(task.remote(waiting.popleft(), url, token))
            with cluster_errors():
                done, running = ray.wait(running, timeout=_LOOK_EVERY)
                reports: list[JobReport] = ray.get(done)
            yield from reports
            if any(map(_has_stopped, reports)):
                waiting = deque(replace(one, output=replace(one.output, only=True)) for one in waiting)
    finally:
        for left in running:
            with suppress(ShardStoppedError), cluster_errors():  # what is lost ends by itself
                ray.cancel(left)


def _has_stopped(report: JobReport) -> bool:
    return report.fan_out is not None and report.fan_out.stop_reason is not None


def _run(shard: FileShard, url: str | None, token: str | None) -> JobReport:
    return shard(url, token)
