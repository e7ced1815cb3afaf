"""The commands and their options."""

from __future__ import annotations

import sys
from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import anyio
import typer

from .._jobs.classify import Examples, Labels, fingerprint, label_mode_for, read_examples
from .._jobs.formats.file_format import Format
from .._jobs.options import JobOptions
from .._jobs.rows import (
    MakeRequest,
    column,
    own_request,
    template,
    with_instruction,
    with_max_tokens,
    with_parameters,
)
from .._sending.options import MAX_OUTAGE
from .._version import __version__
from ..messages import system, user
from ..models import DEFAULT_MODEL
from . import job as bulk
from . import report_command as report
from .client_options import ClientOptions, open_client
from .console import plain, say, show_json
from .exit_codes import Exit, run_to_exit
from .retry_failed import JobCommand, rows_to_retry

app: typer.Typer = typer.Typer(
    name="segmind-async",
    help="Chat completions on Segmind: many at once, never more than the account can pay.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class Delivery(StrEnum):
    """How answers are delivered."""

    DIRECT = "direct"
    QUEUED = "queued"


class LabelsBy(StrEnum):
    """How a label is requested from the model."""

    AUTO = "auto"
    SCHEMA = "schema"
    PROMPT = "prompt"


class OnExhausted(StrEnum):
    """The action of a job when the credits are used up."""

    STOP = "stop"
    WAIT = "wait"


def _amount(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount < 0:
        raise typer.BadParameter(f"{text!r} is no amount of credits; write a number such as 0.5")
    return amount


def _existing(path: Path) -> Path:
    if str(path) != "-" and not path.exists():
        raise typer.BadParameter(f"file {str(path)!r} does not exist")
    return path


Model = Annotated[str, typer.Option(help="Slug of the model.")]
Emulate = Annotated[
    bool, typer.Option("--emulate", help="Use a local stand-in for the service: no key, no cost.")
]
EmulatedBalance = Annotated[
    Decimal, typer.Option(parser=_amount, metavar="CREDITS", help="Balance of the --emulate account.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Input = Annotated[
    Path,
    typer.Argument(
        help="Rows: JSON lines or CSV, also .gz, or Parquet; - reads standard input.",
        callback=_existing,
        dir_okay=False,
    ),
]
InputFormat = Annotated[
    Format | None, typer.Option(help="Format of the rows, if the file's name does not tell it.")
]
Output = Annotated[
    Path,
    typer.Option(
        "--output",
        "-o",
        help="File for the results; .csv, .parquet or JSON lines by its name, also .gz.",
        dir_okay=False,
    ),
]
InFlight = Annotated[int, typer.Option(min=1, help="Maximum number of calls in flight.")]
Rpm = Annotated[float | None, typer.Option(help="Calls per minute; learned from 429s if not given.")]
Floor = Annotated[Decimal, typer.Option(parser=_amount, metavar="CREDITS", help="Credits that must be left.")]
MaxCredits = Annotated[
    Decimal | None, typer.Option(parser=_amount, metavar="CREDITS", help="Credits this job may spend.")
]
WhenExhausted = Annotated[OnExhausted, typer.Option(help="What to do when the credits are used up.")]
MaxFailures = Annotated[int | None, typer.Option(min=1, help="Stop after this many failed rows.")]
MaxOutage = Annotated[
    float,
    typer.Option(min=0, help="Stop after an outage of this many seconds (0: stop at once)."),
]
HowDelivered = Annotated[
    Delivery, typer.Option(help="queued: after a crash, submitted answers are fetched instead of paid again.")
]
Limit = Annotated[int | None, typer.Option(min=1, help="Maximum number of rows to read.")]
JournalPath = Annotated[
    Path | None,
    typer.Option("--journal", help="File with finished rows; default: beside the output.", dir_okay=False),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print rows and estimated cost, and send nothing.")]
Sample = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Send N rows only, and estimate the cost of all.")
]
Dedupe = Annotated[bool, typer.Option("--dedupe", help="Send equal requests once and share the answer.")]
Yes = Annotated[bool, typer.Option("--yes", help="Start even if the credits may not cover all rows.")]
MaxTokens = Annotated[int | None, typer.Option(min=1, help="Maximum number of tokens of an answer.")]
RetryFailed = Annotated[
    bool,
    typer.Option("--retry-failed", help="Retry rows that failed in an earlier run (=CLASS: only those)."),
]
RetryOnly = Annotated[
    list[str] | None, typer.Option("--retry-only", metavar="CLASS", help="The same for one class of errors.")
]

FIVE = Decimal(5)
NOTHING = Decimal(0)


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _main(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Chat completions on Segmind: many at once, never more than the account can pay."""


@app.command()
def chat(
    prompt: Annotated[str, typer.Argument(help="The prompt; - reads it from standard input.")],
    system_prompt: Annotated[str | None, typer.Option("--system", help="The system prompt.")] = None,
    model: Model = DEFAULT_MODEL,
    emulate: Emulate = False,
    as_json: AsJson = False,
) -> None:
    """Send one prompt and print the answer."""
    text = sys.stdin.read() if prompt == "-" else prompt
    messages = [user(text)] if system_prompt is None else [system(system_prompt), user(text)]

    async def main() -> Exit:
        async with open_client(ClientOptions(model, emulate=emulate)) as client:
            reply = await client.chat(messages)
        if as_json:
            show_json(asdict(reply))
            return Exit.OK
        print(plain(reply.text))
        say(f"{reply.cost} credits, {reply.credits_remaining} left, {reply.elapsed:.2f} s")
        return Exit.OK

    run_to_exit(main)


@app.command()
def balance(emulate: Emulate = False, as_json: AsJson = False) -> None:
    """Print the balance of the account."""

    async def main() -> Exit:
        async with open_client(ClientOptions(emulate=emulate)) as client:
            held = await client.balance()
        if as_json:
            show_json({**asdict(held), "total": held.total})
        else:
            print(f"{held.total} credits ({held.credits} and {held.free_credits} free)")
        return Exit.OK

    run_to_exit(main)


@app.command("run", cls=JobCommand)
def run_rows(
    rows: Input,
    output: Output,
    prompt: Annotated[
        str | None, typer.Option(help="Template with {column}s; without it, each row has a prompt.")
    ] = None,
    system_prompt: Annotated[str | None, typer.Option("--system", help="The system prompt.")] = None,
    model: Model = DEFAULT_MODEL,
    max_in_flight: InFlight = 64,
    rpm: Rpm = None,
    floor: Floor = NOTHING,
    max_credits: MaxCredits = None,
    on_exhausted: WhenExhausted = OnExhausted.STOP,
    max_failures: MaxFailures = None,
    max_outage: MaxOutage = MAX_OUTAGE,
    delivery: HowDelivered = Delivery.DIRECT,
    limit: Limit = None,
    journal: JournalPath = None,
    retry_failed: RetryFailed = False,
    retry_only: RetryOnly = None,
    input_format: InputFormat = None,
    max_tokens: MaxTokens = None,
    dedupe: Dedupe = False,
    dry_run: DryRun = False,
    sample: Sample = None,
    yes: Yes = False,
    emulate: Emulate = False,
    emulated_balance: EmulatedBalance = FIVE,
    as_json: AsJson = False,
) -> None:
    """Send every row of a file and write one result for each. The same command resumes a stopped job."""

    async def main() -> Exit:
        make: MakeRequest = own_request if prompt is None else template(prompt)
        if system_prompt is not None:
            make = with_instruction(system_prompt, make)
        job = bulk.Job(
            rows,
            output,
            with_max_tokens(max_tokens, make),
            bulk.SpendingLimits(floor, max_credits, on_exhausted.value, max_failures, max_outage),
            JobOptions(
                delivery.value,
                retry_failed=rows_to_retry(retry_failed, retry_only),
                dedupe=dedupe,
            ),
            ClientOptions(model, max_in_flight, rpm, emulate, emulated_balance),
            limit,
            journal,
            {"prompt": prompt, "system": system_prompt, "max_tokens": max_tokens},
            bulk.Confirmation(dry_run, sample, yes),
            input_format,
        )
        return await bulk.run(job, as_json=as_json)

    run_to_exit(main)


@app.command(cls=JobCommand)
def classify(
    rows: Input,
    output: Output,
    labels: Annotated[str, typer.Option(help="The labels, separated by commas.")],
    text_column: Annotated[str, typer.Option(help="The column that holds the text.")] = "text",
    truth_column: Annotated[str | None, typer.Option(help="The column that holds the right label.")] = None,
    examples: Annotated[
        Path | None,
        typer.Option(
            help="A file with a few labelled rows, which are sent with every request.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    labels_by: Annotated[
        LabelsBy,
        typer.Option(help="schema: the provider enforces a label; prompt: the instruction asks for one."),
    ] = LabelsBy.AUTO,
    model: Model = DEFAULT_MODEL,
    max_in_flight: InFlight = 64,
    rpm: Rpm = None,
    floor: Floor = NOTHING,
    max_credits: MaxCredits = None,
    on_exhausted: WhenExhausted = OnExhausted.STOP,
    max_failures: MaxFailures = None,
    max_outage: MaxOutage = MAX_OUTAGE,
    delivery: HowDelivered = Delivery.DIRECT,
    limit: Limit = None,
    journal: JournalPath = None,
    retry_failed: RetryFailed = False,
    retry_only: RetryOnly = None,
    input_format: InputFormat = None,
    max_tokens: MaxTokens = None,
    dedupe: Dedupe = False,
    dry_run: DryRun = False,
    sample: Sample = None,
    yes: Yes = False,
    emulate: Emulate = False,
    emulated_balance: EmulatedBalance = FIVE,
    as_json: AsJson = False,
) -> None:
    """Classify every row of a file by a list of labels. The same command resumes a stopped job."""

    async def main() -> Exit:
        by = label_mode_for(model) if labels_by is LabelsBy.AUTO else labels_by
        chosen = Labels(labels.split(","), "schema" if by == LabelsBy.SCHEMA else "prompt")
        shown: Examples = ()
        if examples is not None:
            shown = read_examples(examples, chosen, text_column, truth_column or "label")
        turns = [(text, chosen.answer(label)) for text, label in shown]
        make = with_parameters(
            chosen.parameters, with_instruction(chosen.instruction, column(text_column), turns)
        )
        job = bulk.Job(
            rows,
            output,
            with_max_tokens(max_tokens, make),
            bulk.SpendingLimits(floor, max_credits, on_exhausted.value, max_failures, max_outage),
            JobOptions(
                delivery.value,
                chosen.read,
                chosen.truth_in(truth_column),
                rows_to_retry(retry_failed, retry_only),
                dedupe,
            ),
            ClientOptions(model, max_in_flight, rpm, emulate, emulated_balance),
            limit,
            journal,
            {
                "labels": chosen.names,
                "labels_by": chosen.mode,
                "text_column": text_column,
                "examples": fingerprint(shown),
                "max_tokens": max_tokens,
            },
            bulk.Confirmation(dry_run, sample, yes),
            input_format,
            lambda opened: bulk.labelling_brain(opened, chosen, text_column, truth_column),
        )
        return await bulk.run(job, as_json=as_json)

    run_to_exit(main)


@app.command("report")
def run_report(
    journal: Annotated[Path, typer.Argument(help="A job's journal.", exists=True, dir_okay=False)],
    html: Annotated[
        Path | None,
        typer.Option(
            "--html", help="Write one self-contained page; needs the extra [report].", dir_okay=False
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Report on a job from its journal, also while it runs."""

    async def main() -> Exit:
        return report.run(journal, html, as_json=as_json)

    run_to_exit(main)


@app.command("emulate")
def run_emulator(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes any.")] = 8765,
    balance: Annotated[
        Decimal, typer.Option(parser=_amount, metavar="CREDITS", help="The account's balance.")
    ] = FIVE,
    rpm: Annotated[float | None, typer.Option(help="Rate limit, calls per minute.")] = None,
    latency: Annotated[float, typer.Option(min=0, help="Latency of a call, seconds.")] = 0.5,
) -> None:
    """Serve a local stand-in for the service until Ctrl-C."""
    from . import demo  # noqa: PLC0415  # imports the emulator, which --help does not need

    async def main() -> Exit:
        async with demo.emulator(port, balance, rpm, latency) as emulator:
            say(f"export SEGMIND_BASE_URL={emulator.url} SEGMIND_API_KEY={emulator.key}")
            await anyio.sleep_forever()
        return Exit.OK

    run_to_exit(main)


@app.command("demo")
def run_demo(as_json: AsJson = False) -> None:
    """Classify 240 support messages against a local stand-in, and watch the credits: no key, no cost."""
    from . import demo  # noqa: PLC0415  # as above

    async def main() -> Exit:
        return await demo.run(as_json=as_json)

    run_to_exit(main)
