"""What a job is, and what is wanted of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Required, TypeAlias

from pydantic_core import to_json

from .._sending.conversation import Expected
from .._sending.options import JobSending
from ..config import check_choice
from ..errors import ConfigurationError
from ..models import ChatCompletion
from .journal.journal import Settings
from .progress_reporter import Progress
from .results import ParsedAnswer, Read
from .rows import Row

Delivery: TypeAlias = Literal["direct", "queued"]


def _nothing(_: ChatCompletion) -> ParsedAnswer:
    return ParsedAnswer()


@dataclass(frozen=True, slots=True)
class JobOptions:
    """What a job does with its rows; how it sends them is the fan-out's."""

    delivery: Delivery = "direct"
    """"direct": a call waits for its answer. "queued": by way of `/v2`, where the id of each request is on
    the disk at once, and after a crash its answer is fetched instead of paid for again."""
    read: Read = _nothing
    """Reads more of an answer than its text."""
    truth: Callable[[Row], str | None] = lambda _: None
    """Says what is right for a row, where that is known."""
    retry_failed: bool | frozenset[str] = False
    """Whether rows that failed in an earlier run are asked again; or the classes of errors that are."""
    dedupe: bool = False
    """Whether equal requests are sent once. The first of their rows has the outcome, the others have none;
    `JobRun.matched` gives each of them the answer, and the first its cost and attempts."""

    def __post_init__(self) -> None:
        check_choice("delivery", self.delivery, ("direct", "queued"))

    @property
    def settings(self) -> Settings:
        """What must be the same when a job goes on: with other keys its rows would be asked again."""
        return {"delivery": self.delivery, "dedupe": self.dedupe}

    def sends_again(self, error_type: str | None) -> bool:
        """Return whether a finished row is sent again; *error_type* is None if it is ok."""
        if error_type is None:
            return False
        return (
            error_type in self.retry_failed if isinstance(self.retry_failed, frozenset) else self.retry_failed
        )


@dataclass(frozen=True, slots=True)
class JobPlan:
    """What a job is: the same whenever it goes on, but for the options."""

    path: Path
    """Its journal."""
    settings: Settings
    options: JobOptions
    expected: Expected[Any] | None = None
    """What every answer must be; None: anything."""
    progress: Progress | None = None
    """Called within the loop, twice a second, with how the job stands."""

    @classmethod
    def of(
        cls,
        path: Path,
        model: str,
        settings: Settings,
        options: JobOptions,
        expected: Expected[Any] | None,
        progress: Progress | None,
    ) -> JobPlan:
        """Make a plan."""
        return cls(path, settings_of(model, settings, options, expected), options, expected, progress)


def settings_of(
    model: str, settings: Settings, options: JobOptions, expected: Expected[Any] | None = None
) -> Settings:
    """Return all that must be the same when a job goes on: what its rows are asked, and how."""
    schema = None if expected is None else to_json(expected.shape.schema)
    digest = None if schema is None else hashlib.sha256(schema).hexdigest()[:16]
    own = {"model": model, "parse": digest, **options.settings}
    taken = sorted(own.keys() & settings.keys())
    if taken:
        raise ConfigurationError(f"settings={taken}: these are the job's own; name yours otherwise")
    return {**own, **settings}


class JobArguments(JobSending, total=False):
    """Keyword arguments of `SegmindClient.run_job`; its docstring describes them."""

    journal: Required[str | Path]
    options: JobOptions | None
    settings: Mapping[str, object] | None
    progress: Progress | None
