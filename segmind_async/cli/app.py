"""The commands and their options."""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import anyio
import typer

from .._jobs.classify import Examples, fingerprint, label_mode_for, read_examples
from .._jobs.formats.text import TextOptions
from .._jobs.options import JobOptions
from .._jobs.own_request import own_request
from .._jobs.prompt_template import (
    MakeRequest,
    column,
    template,
    with_images,
    with_instruction,
    with_parameters,
)
from .._text.escaping import plain
from .._version import __version__
from ..messages import system, user
from ..models import DEFAULT_MODEL, JsonDict
from . import job as bulk
from . import report_command as report
from .client_options import ClientOptions, open_client
from .console import say, show_json
from .exit_codes import Exit, run_to_exit
from .help import Command, Commands, Group
from .option_values.labels import chosen_labels
from .option_values.outside import set_defaults
from .option_values.parameters import parameters_of
from .option_values.schema import read_schema
from .option_values.text_file import read_text
from .options import (
    ApiKeysFile,
    AsJson,
    CallTimeout,
    Emulate,
    EngineAddress,
    EngineConcurrency,
    EngineName,
    Floor,
    GatewayTools,
    Input,
    JobFlags,
    MaxInFlight,
    MaxTokens,
    Model,
    Param,
    Rpm,
    System,
    Temperature,
    ToolsVia,
    TopP,
    amount,
    with_job_flags,
)
from .retry_failed import JobCommand, rows_to_retry
from .start.input_check import NO_COLUMNS_NEEDED, ColumnsNeeded

app: typer.Typer = typer.Typer(
    name="segmind-async",
    cls=Commands,
    help="Chat completions on Segmind: many at once, never more than the account can pay.",
    epilog="""
segmind-async demo
segmind-async chat "Tell me a joke on dogs."
""",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class LabelsBy(StrEnum):
    """How a label is requested from the model."""

    AUTO = "auto"
    SCHEMA = "schema"
    PROMPT = "prompt"


FIVE = Decimal(5)


def _version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def _main(
    ctx: typer.Context,
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Chat completions on Segmind: many at once, never more than the account can pay."""
    set_defaults(ctx)


@app.command(
    cls=Command,
    epilog="""
segmind-async chat "Tell me a joke on dogs."
segmind-async chat - --system "Summarise." < letter.txt
""",
)
def chat(
    prompt: Annotated[
        str,
        typer.Argument(
            metavar="PROMPT",
            help="The prompt; - reads it from standard input.",
            rich_help_panel=Group.INPUT.value,
        ),
    ],
    system_prompt: System = None,
    model: Model = DEFAULT_MODEL,
    temperature: Temperature = None,
    top_p: TopP = None,
    max_tokens: MaxTokens = None,
    param: Param = None,
    api_keys_file: ApiKeysFile = None,
    emulate: Emulate = False,
    timeout: CallTimeout = None,
    as_json: AsJson = False,
) -> None:
    """Send one prompt and print the answer."""
    parameters: dict[str, Any] = parameters_of(temperature, top_p, max_tokens, param)
    text = sys.stdin.read() if prompt == "-" else prompt
    messages = [user(text)] if system_prompt is None else [system(system_prompt), user(text)]

    async def main() -> Exit:
        options = ClientOptions(model, emulate=emulate, timeout=timeout, api_keys_file=api_keys_file)
        async with open_client(options) as client:
            reply = await client.chat(messages, **parameters)
        if as_json:
            show_json(asdict(reply))
            return Exit.OK
        print(plain(reply.text))
        say(f"{reply.cost} credits, {reply.credits_remaining} left, {reply.elapsed:.2f} s")
        return Exit.OK

    run_to_exit(main)


@app.command(
    cls=Command,
    epilog="""
segmind-async balance
segmind-async balance --json
""",
)
def balance(api_keys_file: ApiKeysFile = None, emulate: Emulate = False, as_json: AsJson = False) -> None:
    """Print the balance of the account."""

    async def main() -> Exit:
        async with open_client(ClientOptions(emulate=emulate, api_keys_file=api_keys_file)) as client:
            held, keys = await client.balance(), client.statistics().keys
        by_key = [{"name": key.name, "state": key.state, "total": key.balance} for key in keys]
        if as_json:
            show_json({**asdict(held), "total": held.total, **({"keys": by_key} if keys else {})})
        else:
            print(f"{held.total} credits ({held.credits} and {held.free_credits} free)")
            for key in keys:
                print(f"{key.name}: {'unknown' if key.balance is None else key.balance}, {key.state}")
        return Exit.OK

    run_to_exit(main)


@app.command(
    "run",
    cls=JobCommand,
    epilog="""
segmind-async run texts.csv -o out.csv \\
    --prompt "Translate into French: {text}" --floor 1
segmind-async run rows.jsonl -o out.jsonl --dry-run
segmind-async run in/ -o out/ --prompt "French: {text}"
""",
)
@with_job_flags
def run_rows(
    rows: Input,
    flags: JobFlags,
    prompt: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Template with {column}s; without it, each row has a prompt or messages.",
            rich_help_panel=Group.INPUT.value,
        ),
    ] = None,
    system_prompt: System = None,
    schema: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|MODULE:TYPE",
            help="Schema of the answers: a JSON schema, or a type of Python such as models:Invoice. Fields "
            "become columns.",
            rich_help_panel=Group.MODEL.value,
        ),
    ] = None,
    engine: EngineName = None,
    address: EngineAddress = None,
    concurrency: EngineConcurrency = None,
) -> None:
    """Send each row of a file or folder, write one result for it. The same command resumes a stopped job."""
    parameters = _parameters(flags)
    answers = None if schema is None else read_schema(schema)

    async def main() -> Exit:
        make = _with_images(flags, own_request if prompt is None else template(prompt))
        if system_prompt is not None:
            make = with_instruction(system_prompt, make)
        options = JobOptions(
            flags.delivery.value,
            retry_failed=rows_to_retry(flags.retry_failed, flags.retry_only),
            dedupe=flags.dedupe,
            keep_finished=flags.keep_finished,
        )
        settings: dict[str, object] = {"prompt": prompt, "system": system_prompt}
        needs = NO_COLUMNS_NEEDED if prompt is None else ColumnsNeeded.of_prompt(prompt)
        job = _job(rows, flags, with_parameters(parameters, make), options, settings, needs)
        if answers is not None:
            job = replace(job, schema=answers)
        if engine is not None:
            from . import engine_job  # noqa: PLC0415  # few jobs run on one

            if flags.images_from is not None:
                raise typer.BadParameter("--images-from works without an engine only", param_hint="--engine")
            where = engine_job.EngineOptions(address, concurrency, prompt, system_prompt, parameters)
            return await engine_job.run(job, where, as_json=flags.as_json)
        return await bulk.run(job, as_json=flags.as_json)

    run_to_exit(main)


@app.command(
    cls=JobCommand,
    epilog="""
segmind-async classify mails.csv -o labels.csv \\
    --labels spam,ham --truth-column label
segmind-async classify mails.csv -o labels.csv \\
    --labels spam,ham --sample 20
""",
)
@with_job_flags
def classify(
    rows: Input,
    flags: JobFlags,
    labels: Annotated[
        str,
        typer.Option(
            metavar="A,B,C|FILE",
            help="The labels, separated by commas; or a file with a line for each: label: what it means.",
            rich_help_panel=Group.MODEL.value,
        ),
    ],
    instructions: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT|@FILE",
            help="What to classify, and how; the labels and the form of the answer are added.",
            rich_help_panel=Group.MODEL.value,
        ),
    ] = None,
    text_column: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="The column that holds the text.", rich_help_panel=Group.INPUT.value
        ),
    ] = "text",
    truth_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The column that holds the right label.", rich_help_panel=Group.INPUT.value
        ),
    ] = None,
    examples: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A file with a few labelled rows, which are sent with every request.",
            exists=True,
            dir_okay=False,
            rich_help_panel=Group.MODEL.value,
        ),
    ] = None,
    labels_by: Annotated[
        LabelsBy,
        typer.Option(
            help="schema: the provider enforces a label; prompt: the instruction asks for one.",
            rich_help_panel=Group.MODEL.value,
        ),
    ] = LabelsBy.AUTO,
) -> None:
    """Classify each row of a file or folder by a list of labels. The same command resumes a stopped job."""
    parameters = _parameters(flags)

    async def main() -> Exit:
        by = label_mode_for(flags.model) if labels_by is LabelsBy.AUTO else labels_by
        chosen = chosen_labels(labels, "schema" if by == LabelsBy.SCHEMA else "prompt", instructions)
        shown: Examples = ()
        if examples is not None:
            shown = read_examples(examples, chosen, text_column, truth_column or "label")
        turns = [(text, chosen.answer(label)) for text, label in shown]
        make = with_instruction(chosen.instruction, _with_images(flags, column(text_column)), turns)
        options = JobOptions(
            flags.delivery.value,
            chosen.read,
            chosen.truth_in(truth_column),
            rows_to_retry(flags.retry_failed, flags.retry_only),
            flags.dedupe,
            flags.keep_finished,
        )
        settings: dict[str, object] = {
            "labels": chosen.names,
            "labels_by": chosen.mode,
            "instruction": chosen.own_instruction,
            "text_column": text_column,
            "examples": fingerprint(shown),
        }
        job = _job(
            rows,
            flags,
            with_parameters({**chosen.parameters, **parameters}, make),
            options,
            settings,
            ColumnsNeeded({"--text-column": text_column, "--truth-column": truth_column}),
            lambda opened: bulk.labelling_brain(opened, chosen, text_column, truth_column),
        )
        return await bulk.run(job, as_json=flags.as_json)

    run_to_exit(main)


def _parameters(flags: JobFlags) -> JsonDict:
    return parameters_of(flags.temperature, flags.top_p, flags.max_tokens, flags.param)


def _with_images(flags: JobFlags, make: MakeRequest) -> MakeRequest:
    return make if flags.images_from is None else with_images(flags.images_from, make)


def _job(
    rows: Path,
    flags: JobFlags,
    make: MakeRequest,
    options: JobOptions,
    settings: dict[str, object],
    needs: ColumnsNeeded,
    make_brain: bulk.MakeBrain | None = None,
) -> bulk.Job:
    """Return the job of `run` or `classify`."""
    more = {name: value for name, value in _parameters(flags).items() if name != "max_tokens"}
    return bulk.Job(
        input=rows,
        output=flags.output,
        make=make,
        spending=bulk.SpendingLimits(
            flags.floor, flags.max_credits, flags.on_exhausted.value, flags.max_failures, flags.max_outage
        ),
        options=options,
        client=ClientOptions(
            flags.model,
            flags.max_in_flight,
            flags.rpm,
            flags.emulate,
            flags.emulated_balance,
            timeout=flags.timeout,
            api_keys_file=flags.api_keys_file,
        ),
        limit=flags.limit,
        journal=flags.journal,
        settings={**settings, "max_tokens": flags.max_tokens, "parameters": more},
        confirmation=bulk.Confirmation(
            flags.dry_run, flags.sample, flags.yes, flags.restart, flags.results_only
        ),
        form=flags.input_format,
        pattern=flags.files,
        make_brain=make_brain,
        prefix=flags.prefix,
        overwrite=flags.overwrite,
        text=TextOptions(flags.encoding, _character(flags.delimiter)),
        needs=needs,
        output_format=flags.output_format,
        csv_safe=flags.csv_safe,
    )


def _character(text: str | None) -> str | None:
    """Return the character that a text stands for: a tab may be written as in most languages."""
    return "\t" if text in {"\\t", "tab"} else text


@app.command(
    "report",
    cls=Command,
    epilog="""
segmind-async report out.jsonl.journal
segmind-async report out.jsonl.journal --html report.html
""",
)
def run_report(
    journal: Annotated[
        Path,
        typer.Argument(
            metavar="JOURNAL",
            help="A job's journal, its output (a file or a folder), or the folder of journals of shards.",
            rich_help_panel=Group.INPUT.value,
        ),
    ],
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            help="Write one self-contained page; its charts need the extra [report].",
            dir_okay=False,
            rich_help_panel=Group.OUTPUT.value,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Report on a job from its journal, also while it runs."""

    async def main() -> Exit:
        return report.run(journal, html, as_json=as_json)

    run_to_exit(main)


@app.command(
    "emulate",
    cls=Command,
    epilog="""
segmind-async emulate
segmind-async emulate --balance 0.5 --rpm 60 --latency 2
""",
)
def run_emulator(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes any.")] = 8765,
    balance: Annotated[
        Decimal, typer.Option(parser=amount, metavar="CREDITS", help="The account's balance.")
    ] = FIVE,
    rpm: Annotated[int | None, typer.Option(min=1, metavar="N", help="Rate limit, calls per minute.")] = None,
    latency: Annotated[float, typer.Option(min=0, help="Latency of a call, seconds.")] = 0.5,
) -> None:
    """Serve a local stand-in for the service until Ctrl-C."""
    from .demo import demo  # noqa: PLC0415  # imports the emulator, which --help does not need

    async def main() -> Exit:
        async with demo.emulator(port, balance, rpm, latency) as emulator:
            say(f"export SEGMIND_BASE_URL={emulator.url} SEGMIND_API_KEY={emulator.key}")
            await anyio.sleep_forever()
        return Exit.OK

    run_to_exit(main)


@app.command(
    "serve",
    cls=Command,
    epilog="""
segmind-async serve --floor 1
segmind-async serve --host 0.0.0.0 --token "$(cat token)"
segmind-async serve --files batches
""",
)
def run_gateway(
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Address to listen on; any but loopback needs a token.",
            rich_help_panel=Group.SERVER.value,
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65535, metavar="N", help="Port; 0 takes any.", rich_help_panel=Group.SERVER.value
        ),
    ] = 8800,
    token: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            envvar="SEGMIND_GATEWAY_TOKEN",
            help="What callers send as their API key; repeatable. Better in the environment.",
            show_envvar=False,
            rich_help_panel=Group.SERVER.value,
        ),
    ] = None,
    budgets: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="TOML file of budgets by token; what they have spent is kept beside it.",
            exists=True,
            dir_okay=False,
            rich_help_panel=Group.SERVER.value,
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="SQLite file of what is spent and in flight, kept over a crash; default: beside --budgets.",
            dir_okay=False,
            rich_help_panel=Group.SERVER.value,
        ),
    ] = None,
    files: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder for uploaded files and batches; without it they are not served.",
            file_okay=False,
            rich_help_panel=Group.SERVER.value,
        ),
    ] = None,
    repeat_wait: Annotated[
        float,
        typer.Option(
            min=0,
            metavar="SECONDS",
            help="How long a call goes on after an SDK gave up, for its repeat to get the answer.",
            rich_help_panel=Group.SERVER.value,
        ),
    ] = 10.0,
    tools_via: GatewayTools = ToolsVia.AUTO,
    floor: Floor = Decimal(0),
    max_in_flight: MaxInFlight = 64,
    rpm: Rpm = None,
    timeout: CallTimeout = None,
    api_keys_file: ApiKeysFile = None,
    emulate: Emulate = False,
) -> None:
    """Serve OpenAI's form of the API for every program here: one key, one ledger, one pace."""
    from ..gateway import GatewayOptions, read_rules  # noqa: PLC0415  # imports a server, which --help does not need
    from .serve import serve  # noqa: PLC0415  # as above

    async def main() -> Exit:
        options = GatewayOptions(
            host,
            port,
            tuple(token or ()),
            () if budgets is None else read_rules(read_text("--budgets", budgets)),
            state or (None if budgets is None else budgets.with_name(f"{budgets.name}.db")),
            repeat_wait=repeat_wait,
            tools_via=tools_via.value,
            files=files,
        )
        client = ClientOptions(
            max_in_flight=max_in_flight,
            requests_per_minute=rpm,
            emulate=emulate,
            floor=floor,
            timeout=timeout,
            api_keys_file=api_keys_file,
        )
        return await serve.run(client, options)

    run_to_exit(main)


@app.command(
    "demo",
    cls=Command,
    epilog="""
segmind-async demo
segmind-async demo --json
""",
)
def run_demo(as_json: AsJson = False) -> None:
    """Classify support messages on the emulator, stop at the floor, and go on: no key, no cost."""
    from .demo import demo  # noqa: PLC0415  # as above

    async def main() -> Exit:
        return await demo.run(as_json=as_json)

    run_to_exit(main)
