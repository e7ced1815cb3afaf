"""Options of a job, and the settings that identify it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal, Required, TypeAlias

from pydantic_core import to_json

from .._sending.conversation import Expected
from .._sending.options import JobSending
from ..config import check_choice
from ..errors import ConfigurationError
from ..models import ChatCompletion
from .journal.settings import JobSettings
from .progress_reporter import Progress
from .results import ParsedAnswer, ReadAnswer
from .rows import Row

Delivery: TypeAlias = Literal["direct", "queued"]


def _read_nothing(_: ChatCompletion) -> ParsedAnswer:
    return ParsedAnswer()


@dataclass(frozen=True, slots=True)
class JobOptions:
    """How a job treats its rows; how it sends them is an option of the fan-out."""

    delivery: Delivery = "direct"
    """"direct": a call waits for its answer. "queued": by way of `/v2`, where the id of each request is on
    the disk at once, and after a crash its answer is fetched instead of paid for again."""
    read: ReadAnswer = _read_nothing
    """Reads a label or other values from an answer. If it raises, its row is failed, and `Outcome.error` has
    the answer; `truth` likewise."""
    truth: Callable[[Row], str | None] = lambda _: None
    """Returns the right label of a row; None if it is not known."""
    retry_failed: bool | frozenset[str] = False
    """Whether rows that failed in an earlier run are sent again; or the classes of errors that are."""
    dedupe: bool = False
    """Whether equal requests are sent once. The first of their rows has the outcome, the others have none;
    `JobRun.matched` gives each of them the answer, and the first its cost and attempts."""

    keep_finished: bool = False
    """Whether finished rows stay when prompt, model or other settings have changed; the others follow the new
    ones. A change of `max_tokens` or other parameters needs no permission, nor does any of a job of which
    nothing was paid."""

    def __post_init__(self) -> None:
        check_choice("delivery", self.delivery, ("direct", "queued"))

    @property
    def settings(self) -> JobSettings:
        """Settings that must not change when a job is resumed: all rows would be sent again."""
        return {"delivery": self.delivery, "dedupe": self.dedupe}

    @property
    def runs_user_code(self) -> bool:
        """Whether answers are read by code from elsewhere: they are on the disk before it sees them."""
        return not (_is_ours(self.read) and _is_ours(self.truth))

    def sends_again(self, error_type: str | None) -> bool:
        """Return whether a finished row is sent again; *error_type* is None if it is ok."""
        if error_type is None:
            return False
        return (
            error_type in self.retry_failed if isinstance(self.retry_failed, frozenset) else self.retry_failed
        )


def _is_ours(code: Callable[..., object]) -> bool:
    """Return whether a function, or the method of an object, is of this package."""
    return str(getattr(code, "__module__", "")).partition(".")[0] == __name__.partition(".")[0]


@dataclass(frozen=True, slots=True)
class JobPlan:
    """What a `JobRun` needs beside its rows."""

    path: Path
    """Its journal."""
    settings: JobSettings
    options: JobOptions
    expected: Expected[Any] | None = None
    """Shape of every answer; None: any."""
    max_credits: Decimal | None = None
    """Credits that all runs together may cost; None: as an earlier run has bounded it."""
    rows: int | None = None
    """Rows of the input, if it has a length."""
    progress: Progress | None = None
    """Called on the event loop, twice a second, with the progress of the job."""
    keeps_state: bool = True
    """Whether the journal keeps pace and money for a restart; False: whoever owns the client does."""

    @classmethod
    def of(
        cls,
        path: Path,
        model: str,
        settings: JobSettings,
        options: JobOptions,
        expected: Expected[Any] | None,
        progress: Progress | None,
    ) -> JobPlan:
        """Make a plan."""
        all_settings = settings_of(model, settings, options, expected)
        return cls(path, all_settings, options, expected, progress=progress)


def settings_of(
    model: str, settings: JobSettings, options: JobOptions, expected: Expected[Any] | None = None
) -> JobSettings:
    """Return all settings that must not change when a job is resumed."""
    schema = None if expected is None else to_json(expected.shape.schema)
    digest = None if schema is None else hashlib.sha256(schema).hexdigest()[:16]
    own = {"model": model, "parse": digest, **options.settings}
    taken = sorted(own.keys() & settings.keys())
    if taken:
        raise ConfigurationError(f"settings={taken}: the job has settings of these names; choose others")
    return {**own, **settings}


class JobArguments(JobSending, total=False):
    """Keyword arguments of `SegmindClient.run_job`; its docstring describes them."""

    journal: Required[str | Path]
    options: JobOptions | None
    settings: Mapping[str, object] | None
    progress: Progress | None
