"""The options of the commands, and those that `run` and `classify` share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from functools import wraps
from inspect import Parameter, Signature, signature
from math import isfinite
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from .._jobs.formats.file_format import Format, OutputFormat
from .._sending.options import MAX_OUTAGE
from ..models import DEFAULT_MODEL
from .help import Group


class Delivery(StrEnum):
    """How answers are delivered."""

    DIRECT = "direct"
    QUEUED = "queued"


class OnExhausted(StrEnum):
    """The action of a job when the credits are used up."""

    STOP = "stop"
    WAIT = "wait"


class Engine(StrEnum):
    """The engines that a folder may run on."""

    RAY = "ray"


class ToolsVia(StrEnum):
    """How tools reach the models of a gateway."""

    AUTO = "auto"
    NATIVE = "native"
    SCHEMA = "schema"


def amount(text: str) -> Decimal:
    """Read an amount of credits."""
    try:
        read = Decimal(text)
    except InvalidOperation:
        read = Decimal(-1)
    # Not finite as a float either: the sum of larger ones is none.
    if not isfinite(read) or read < 0:
        raise typer.BadParameter(f"{text!r} is not an amount of credits; write a number such as 0.5")
    return read


def _existing(path: Path) -> Path:
    try:
        exists = str(path) == "-" or path.exists()
    except OSError as error:  # such as a name that is too long
        raise typer.BadParameter(f"file {str(path)!r} cannot be read: {error.strerror}") from error
    if not exists:
        raise typer.BadParameter(f"file {str(path)!r} does not exist")
    return path


def _option(group: Group, help_: str, *names: str, **more: Any) -> Any:
    """Return an option of *group*."""
    return typer.Option(*names, help=help_, rich_help_panel=group.value, **more)


Model = Annotated[str, _option(Group.MODEL, "Slug of the model.", metavar="SLUG")]
System = Annotated[str | None, _option(Group.MODEL, "The system prompt.", "--system", metavar="TEXT")]
Temperature = Annotated[
    float | None,
    _option(
        Group.MODEL, "How much answers vary; default: the provider's.", min=0, metavar="NUMBER",
    ),
]  # fmt: skip
TopP = Annotated[
    float | None,
    _option(
        Group.MODEL, "Share of the likeliest tokens that are drawn from; default: the provider's.", min=0,
        max=1, metavar="NUMBER",
    ),
]  # fmt: skip
MaxTokens = Annotated[
    int | None, _option(Group.MODEL, "Maximum number of tokens of an answer.", min=1, metavar="N")
]
Param = Annotated[
    list[str] | None,
    _option(
        Group.MODEL,
        "Any other parameter of the model, such as reasoning_effort=low; repeatable. The value is JSON, "
        "or else text.",
        metavar="NAME=VALUE",
    ),
]
CallTimeout = Annotated[
    float | None,
    _option(
        Group.DELIVERY,
        "Seconds for a call, its retries included; default: 600, and 120 for one attempt.",
        "--timeout",
        metavar="SECONDS",
        min=0.001,
    ),
]
Emulate = Annotated[
    bool, _option(Group.MODEL, "Use the emulator, a local stand-in: no key, no cost.", "--emulate")
]
GatewayTools = Annotated[
    ToolsVia,
    _option(
        Group.SERVER,
        "How tools reach models: by function calling, through a structured output, or as is found out "
        "for each.",
        "--tools-via",
    ),
]
ApiKeysFile = Annotated[
    Path | None,
    _option(
        Group.MODEL, "File of API keys, one a line, that only its owner may read; default: SEGMIND_API_KEYS.",
        metavar="FILE",
    ),
]  # fmt: skip
EmulatedBalance = Annotated[
    Decimal,
    _option(Group.MODEL, "Balance of the emulator's account.", parser=amount, metavar="CREDITS"),
]
Floor = Annotated[
    Decimal,
    _option(Group.LIMITS, "Credits that must be left on the account.", parser=amount, metavar="CREDITS"),
]
MaxInFlight = Annotated[int, _option(Group.LIMITS, "Maximum number of calls in flight.", min=1, metavar="N")]
Rpm = Annotated[
    float | None,
    _option(Group.LIMITS, "Maximum calls a minute; default: learnt from 429s.", metavar="NUMBER"),
]
AsJson = Annotated[bool, _option(Group.DISPLAY, "Print the result as JSON.", "--json")]
Input = Annotated[
    Path,
    typer.Argument(
        metavar="INPUT",
        help="File of rows: JSON lines or array, CSV, TSV or Parquet, also .gz; or a folder of such files. - "
        "reads standard input.",
        callback=_existing,
        rich_help_panel=Group.INPUT.value,
    ),
]
Output = Annotated[
    Path,
    _option(
        Group.OUTPUT,
        "File for the results; its name says whether .csv, .parquet or JSON lines, also .gz. - writes to "
        "standard output. For a folder of rows a folder, with files of the same names.",
        "--output",
        "-o",
        metavar="FILE|FOLDER",
    ),
]

EngineName = Annotated[
    Engine | None,
    _option(
        Group.ENGINE,
        "Run a folder on a cluster, each file as one shard; --journal then names a folder. Needs the extra "
        "[ray].",
    ),
]
EngineAddress = Annotated[
    str | None,
    _option(
        Group.ENGINE, "Address of the cluster; default: one on this machine, for this job.", metavar="ADDRESS"
    ),
]
EngineConcurrency = Annotated[
    int | None,
    _option(Group.ENGINE, "Files at the same time; default: as many as processors.", min=1, metavar="N"),
]


@dataclass(frozen=True, slots=True)
class JobFlags:
    """The options that `run` and `classify` share."""

    output: Output
    input_format: Annotated[
        Format | None, _option(Group.INPUT, "Format of the rows, if the names of files do not tell it.")
    ] = None
    files: Annotated[
        str | None,
        _option(
            Group.INPUT, "Which files of a folder, such as '*.csv'; default: all that are not hidden.",
            metavar="PATTERN",
        ),
    ] = None  # fmt: skip
    encoding: Annotated[
        str | None,
        _option(
            Group.INPUT, "Encoding of a text file, such as cp1252; default: UTF-8, or UTF-16 with its mark.",
            metavar="NAME",
        ),
    ] = None  # fmt: skip
    delimiter: Annotated[
        str | None,
        _option(
            Group.INPUT, "Delimiter of CSV; default: comma, semicolon or tab, as in the header.",
            metavar="CHARACTER",
        ),
    ] = None  # fmt: skip
    limit: Annotated[
        int | None, _option(Group.INPUT, "Maximum number of rows to read.", min=1, metavar="N")
    ] = None
    images_from: Annotated[
        Path | None,
        _option(
            Group.INPUT,
            "Folder whose images rows may name: in a column image, or as image_url in messages.",
            metavar="FOLDER", file_okay=False, exists=True,
        ),
    ] = None  # fmt: skip
    output_format: Annotated[
        OutputFormat | None,
        _option(Group.OUTPUT, "Format of the results, if the name does not tell it."),
    ] = None
    csv_safe: Annotated[
        bool,
        _option(
            Group.OUTPUT, "In CSV, put an apostrophe before text that a spreadsheet takes for a formula.",
            "--csv-safe",
        ),
    ] = False  # fmt: skip
    journal: Annotated[
        Path | None,
        _option(
            Group.OUTPUT, "File that keeps finished rows; default: beside the output.", metavar="FILE",
        ),
    ] = None  # fmt: skip
    prefix: Annotated[
        str | None,
        _option(
            Group.OUTPUT,
            "Stands before the names of result columns; default: result_, only where the input has the same "
            "name.",
            metavar="TEXT",
        ),
    ] = None
    overwrite: Annotated[
        bool, _option(Group.OUTPUT, "Replace an output that is not of this job.", "--overwrite")
    ] = False
    keep_finished: Annotated[
        bool,
        _option(
            Group.OUTPUT,
            "Keep finished rows although prompt or model have changed; the others follow the new ones.",
            "--keep-finished",
        ),
    ] = False
    restart: Annotated[
        bool,
        _option(
            Group.OUTPUT, "Begin anew; the old journal and results are kept beside the new ones.", "--restart"
        ),
    ] = False
    results_only: Annotated[
        bool,
        _option(
            Group.OUTPUT, "Send nothing, and write the results of what earlier runs have finished.",
            "--results-only",
        ),
    ] = False  # fmt: skip
    model: Model = DEFAULT_MODEL
    temperature: Temperature = None
    top_p: TopP = None
    max_tokens: MaxTokens = None
    param: Param = None
    api_keys_file: ApiKeysFile = None
    emulate: Emulate = False
    emulated_balance: EmulatedBalance = Decimal(5)
    floor: Floor = Decimal(0)
    max_credits: Annotated[
        Decimal | None,
        _option(
            Group.LIMITS,
            "Credits this job may spend, over all its runs; kept in its journal.",
            parser=amount,
            metavar="CREDITS",
        ),
    ] = None
    on_exhausted: Annotated[
        OnExhausted,
        _option(Group.LIMITS, "When the credits are used up: stop, or wait for a top-up."),
    ] = OnExhausted.STOP
    dry_run: Annotated[
        bool, _option(Group.LIMITS, "Print rows and estimated cost, and send nothing.", "--dry-run")
    ] = False
    sample: Annotated[
        int | None,
        _option(Group.LIMITS, "Send N rows only, and estimate the cost of all.", min=1, metavar="N"),
    ] = None
    yes: Annotated[
        bool,
        _option(Group.LIMITS, "Start without asking, even if the credits will not cover all rows.", "--yes"),
    ] = False
    max_in_flight: MaxInFlight = 64
    rpm: Rpm = None
    max_failures: Annotated[
        int | None, _option(Group.LIMITS, "Stop after this many failed rows.", min=1, metavar="N")
    ] = None
    max_outage: Annotated[
        float,
        _option(
            Group.LIMITS, "Stop when the service has failed so long; 0: rows fail without waiting.", min=0,
            metavar="SECONDS",
        ),
    ] = MAX_OUTAGE  # fmt: skip
    delivery: Annotated[
        Delivery,
        _option(
            Group.DELIVERY, "queued: after a crash, submitted answers are fetched instead of paid again."
        ),
    ] = Delivery.DIRECT
    timeout: CallTimeout = None
    retry_failed: Annotated[
        bool,
        _option(
            Group.DELIVERY,
            "Send rows again that failed in an earlier run; --retry-failed=CLASS: one class of errors.",
            "--retry-failed",
        ),
    ] = False
    retry_only: Annotated[
        list[str] | None,
        _option(Group.DELIVERY, "The same for one class of errors.", metavar="CLASS", hidden=True),
    ] = None
    dedupe: Annotated[
        bool, _option(Group.DELIVERY, "Send equal requests once and share the answer.", "--dedupe")
    ] = False
    as_json: AsJson = field(default=False)


def with_job_flags(command: Callable[..., None]) -> Callable[..., None]:
    """Return *command* with each option of `JobFlags` in place of its parameter `flags`."""
    own = [one for one in signature(command, eval_str=True).parameters.values() if one.name != "flags"]
    hints = get_type_hints(JobFlags, include_extras=True)
    shared = [
        Parameter(
            one.name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if one.default is MISSING else one.default,
            annotation=hints[one.name],
        )
        for one in fields(JobFlags)
    ]

    @wraps(command)
    def taking_each(**given: Any) -> None:
        flags = JobFlags(**{one.name: given.pop(one.name) for one in shared})
        command(**given, flags=flags)

    keyword_only = [one.replace(kind=Parameter.KEYWORD_ONLY) for one in own]
    taking_each.__signature__ = Signature([*keyword_only, *shared])  # type: ignore[attr-defined]  # read by inspect
    taking_each.__annotations__ = {one.name: one.annotation for one in (*own, *shared)}
    return taking_each
