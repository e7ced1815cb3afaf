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

from .._version import __version__
from ..jobs.labels import Labels
from ..jobs.rows import MakeRequest, column, own_request, template, under
from ..jobs.runner import JobOptions
from ..messages import system, user
from ..models import DEFAULT_MODEL
from . import bulk
from .running import ClientOptions, Exit, open_client, plain, run, say, show_json

app = typer.Typer(
    name="segmind-async",
    help="Chat completions on Segmind: many at once, never more than the account can pay.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


class OnExhausted(StrEnum):
    """What a job does when the credits are used up."""

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


Model = Annotated[str, typer.Option(help="Slug of the model.")]
Emulate = Annotated[
    bool, typer.Option("--emulate", help="Use a local stand-in for the service: no key, no cost.")
]
EmulatedBalance = Annotated[
    Decimal, typer.Option(parser=_amount, metavar="CREDITS", help="What --emulate starts with.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Input = Annotated[
    Path, typer.Argument(help="Rows: CSV or JSON lines, also .gz.", exists=True, dir_okay=False)
]
Output = Annotated[
    Path, typer.Option("--output", "-o", help="Where the results go, as JSON lines.", dir_okay=False)
]
InFlight = Annotated[int, typer.Option(min=1, help="Calls at once, at most.")]
Rpm = Annotated[float | None, typer.Option(help="Calls a minute; found out if not given.")]
Floor = Annotated[Decimal, typer.Option(parser=_amount, metavar="CREDITS", help="Credits that must stay.")]
MaxCredits = Annotated[
    Decimal | None, typer.Option(parser=_amount, metavar="CREDITS", help="Credits this job may spend.")
]
WhenExhausted = Annotated[OnExhausted, typer.Option(help="What to do when the credits are used up.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Rows to read, at most.")]
JournalPath = Annotated[
    Path | None,
    typer.Option("--journal", help="What is done stands here; else beside the output.", dir_okay=False),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what it would send and cost, and send nothing.")]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Ask again what failed in an earlier run.")]

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
    prompt: Annotated[str, typer.Argument(help="What to say; - reads it from standard input.")],
    system_prompt: Annotated[str | None, typer.Option("--system", help="How the model shall behave.")] = None,
    model: Model = DEFAULT_MODEL,
    emulate: Emulate = False,
    as_json: AsJson = False,
) -> None:
    """Ask once and print the answer."""
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

    run(main)


@app.command()
def balance(emulate: Emulate = False, as_json: AsJson = False) -> None:
    """Print what the account holds."""

    async def main() -> Exit:
        async with open_client(ClientOptions(emulate=emulate)) as client:
            held = await client.balance()
        if as_json:
            show_json({**asdict(held), "total": held.total})
        else:
            print(f"{held.total} credits ({held.credits} and {held.free_credits} free)")
        return Exit.OK

    run(main)


@app.command("run")
def run_rows(
    rows: Input,
    output: Output,
    prompt: Annotated[
        str | None, typer.Option(help="Text with {column}s; without it, rows have a prompt.")
    ] = None,
    system_prompt: Annotated[str | None, typer.Option("--system", help="How the model shall behave.")] = None,
    model: Model = DEFAULT_MODEL,
    max_in_flight: InFlight = 64,
    rpm: Rpm = None,
    floor: Floor = NOTHING,
    max_credits: MaxCredits = None,
    on_exhausted: WhenExhausted = OnExhausted.STOP,
    limit: Limit = None,
    journal: JournalPath = None,
    retry_failed: RetryFailed = False,
    dry_run: DryRun = False,
    emulate: Emulate = False,
    emulated_balance: EmulatedBalance = FIVE,
    as_json: AsJson = False,
) -> None:
    """Send every row of a file and write one result for each. The same command again goes on after a stop."""

    async def main() -> Exit:
        make: MakeRequest = own_request if prompt is None else template(prompt)
        job = bulk.Job(
            rows,
            output,
            make if system_prompt is None else under(system_prompt, make),
            JobOptions(floor, max_credits, on_exhausted.value, retry_failed=retry_failed),
            ClientOptions(model, max_in_flight, rpm, emulate, emulated_balance),
            limit,
            journal,
            {"prompt": prompt, "system": system_prompt},
            dry=dry_run,
        )
        return await bulk.run(job, as_json=as_json)

    run(main)


@app.command()
def classify(
    rows: Input,
    output: Output,
    labels: Annotated[str, typer.Option(help="The labels, separated by commas.")],
    text_column: Annotated[str, typer.Option(help="The column that holds the text.")] = "text",
    truth_column: Annotated[str | None, typer.Option(help="The column that holds the right label.")] = None,
    model: Model = DEFAULT_MODEL,
    max_in_flight: InFlight = 64,
    rpm: Rpm = None,
    floor: Floor = NOTHING,
    max_credits: MaxCredits = None,
    on_exhausted: WhenExhausted = OnExhausted.STOP,
    limit: Limit = None,
    journal: JournalPath = None,
    retry_failed: RetryFailed = False,
    dry_run: DryRun = False,
    emulate: Emulate = False,
    emulated_balance: EmulatedBalance = FIVE,
    as_json: AsJson = False,
) -> None:
    """Put every row of a file under one of some labels. The same command again goes on after a stop."""

    async def main() -> Exit:
        chosen = Labels(labels.split(","))
        brain = None
        if emulate:
            brain = bulk.labelling_brain(rows, chosen, text_column, truth_column)
        job = bulk.Job(
            rows,
            output,
            under(chosen.instruction, column(text_column)),
            JobOptions(floor, max_credits, on_exhausted.value, chosen, truth_column, retry_failed),
            ClientOptions(model, max_in_flight, rpm, emulate, emulated_balance, brain),
            limit,
            journal,
            {"labels": chosen.names, "text_column": text_column},
            dry=dry_run,
        )
        return await bulk.run(job, as_json=as_json)

    run(main)


@app.command("emulate")
def run_emulator(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes any.")] = 8765,
    balance: Annotated[
        Decimal, typer.Option(parser=_amount, metavar="CREDITS", help="The account's balance.")
    ] = FIVE,
    rpm: Annotated[float | None, typer.Option(help="Rate limit, calls a minute.")] = None,
    latency: Annotated[float, typer.Option(min=0, help="Seconds a call takes.")] = 0.5,
) -> None:
    """Serve a local stand-in for the service until Ctrl-C."""
    from . import demo  # noqa: PLC0415  # brings the emulator, which --help does not need

    async def main() -> Exit:
        async with demo.emulator(port, balance, rpm, latency) as emulator:
            say(f"export SEGMIND_BASE_URL={emulator.url} SEGMIND_API_KEY={emulator.key}")
            await anyio.sleep_forever()
        return Exit.OK

    run(main)


@app.command("demo")
def run_demo(as_json: AsJson = False) -> None:
    """Classify 240 support messages against a local stand-in, and watch the credits: no key, no cost."""
    from . import demo  # noqa: PLC0415  # as above

    async def main() -> Exit:
        return await demo.run(as_json=as_json)

    run(main)
