"""`demo` and `emulate`: commands on the emulator, without a key."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from tempfile import mkdtemp
from typing import TypedDict

from rich.console import Console

from ..._jobs.classify import Labels
from ..._jobs.cost_estimate import Moments
from ..._jobs.options import JobOptions
from ..._jobs.prompt_template import column, with_instruction
from ..._jobs.report.report import Report, read_report
from ..._jobs.report.row_counts import JobReport
from ..._text.quantities import credits_text
from ...client import SegmindClient
from ...config import Limits
from ...emulator import CallFacts, Emulator
from ...models import DEFAULT_MODEL, StopReason
from .. import job as bulk
from .. import report_command
from ..client_options import ClientOptions
from ..console import say, show_json
from ..exit_codes import Exit, exit_for_report
from .classifier import LabelBrain
from .logistic import LogisticRegression

_BALANCE = Decimal("0.0166")
_FLOOR = Decimal("0.01")
"""The balance above the floor pays for about two thirds of the messages."""
_TOP_UP = Decimal("0.02")

_IN_FLIGHT = 16
_LATENCY = (0.25, 0.8)
"""Seconds that a call takes, at least and at most: long enough for the live view to be read."""

_HELD_OUT = 4
"""One message of so many is asked; the model learns from the others."""


class Message(TypedDict):
    """One row of the bundled file."""

    id: str
    text: str
    label: str


@dataclass(frozen=True, slots=True)
class Summary:
    """The result of the demo, by the journal and by the emulator's own account."""

    accuracy: float | None
    rows: int
    floor: Decimal
    stopped_at: Decimal
    """Balance after the guard had stopped the job."""
    stop_message: str | None
    unsent: int
    """Rows that waited for the top-up."""
    refused: int
    """Calls refused with 406 for want of credits."""
    spent: Decimal
    folder: str
    page: str


def messages() -> list[Message]:
    """Return the bundled support messages, written for this project."""
    text = files("segmind_async.cli.demo").joinpath("messages.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(io.StringIO(text))
    return [Message(id=row["id"], text=row["text"], label=row["label"]) for row in rows]


def parted(rows: Sequence[Message]) -> tuple[list[Message], list[Message]]:
    """Return the messages to learn from, and the held-out ones that are asked."""
    asked = list(rows[_HELD_OUT - 1 :: _HELD_OUT])
    kept = {row["id"] for row in asked}
    return [row for row in rows if row["id"] not in kept], asked


def brain(learnt: Sequence[Message]) -> LabelBrain:
    """Return a brain that classifies, trained on these messages."""
    return LabelBrain(LogisticRegression([(row["text"], row["label"]) for row in learnt]))


def emulator(port: int, balance: Decimal, rpm: int | None, latency: float) -> Emulator:
    """Return the emulator that `emulate` serves."""
    return Emulator(port=port, balance=balance, requests_per_minute=rpm, latency=latency, keep_calls=False)


async def run(*, as_json: bool) -> Exit:
    """Classify the held-out messages in a job that the guard stops at the floor; top up, and finish it."""
    rows = messages()
    learnt, asked = parted(rows)
    labels = Labels(sorted({row["label"] for row in rows}))
    folder = Path(mkdtemp(prefix="segmind-demo-"))
    job = _job(folder, asked, labels)
    say(f"{len(asked)} support messages, to be sorted into {len(labels.names)} kinds by a model on this")
    say(f"machine that has learnt from {len(learnt)} others: no key, no cost. The balance is {_BALANCE}")
    say(f"credits, and {_FLOOR} must stay on the account: too little for all of them.\n")
    async with Emulator(brain(learnt), balance=_BALANCE, latency=_seconds, keep_calls=False) as service:
        account = service.state.account
        first = await _send(job, service)
        stopped_at = account.balance
        assert first.fan_out is not None
        if first.fan_out.stop_reason is not StopReason.CREDITS:
            return exit_for_report(first)
        _say_how_it_stopped(first, stopped_at)
        service.state.top_up(_TOP_UP)
        last = await _send(job, service)
    report = read_report(job.journal_path)
    page = folder / "report.html"
    report_command.write_html(report, page)
    summary = Summary(
        accuracy=last.accuracy,
        rows=last.counts["ok"],
        floor=_FLOOR,
        stopped_at=stopped_at,
        stop_message=first.fan_out.stop_message,
        unsent=first.counts["unsent"],
        refused=account.refused.get(406, 0),
        spent=account.spent,
        folder=str(folder),
        page=str(page),
    )
    if as_json:
        show_json(asdict(summary))
    else:
        _print_summary(summary, report, job)
    return exit_for_report(last)


def _job(folder: Path, rows: Sequence[Message], labels: Labels) -> bulk.Job:
    """Write the messages into *folder*, and return the job that `classify` would make of them."""
    source = folder / "messages.csv"
    with source.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["id", "text", "label"])
        writer.writeheader()
        writer.writerows(rows)
    return bulk.Job(
        source,
        folder / "labels.csv",
        with_instruction(labels.instruction, column("text")),
        bulk.SpendingLimits(floor=_FLOOR),
        JobOptions(read=labels.read, truth=labels.truth_in("label")),
        ClientOptions(max_in_flight=_IN_FLIGHT, emulate=True),
        limit=None,
        journal=None,
        settings={"labels": labels.names},
    )


async def _send(job: bulk.Job, service: Emulator) -> JobReport:
    """Run the job with a client of its own, as each command does."""
    limits = Limits(_IN_FLIGHT, floor=job.spending.floor)
    async with SegmindClient(service.key, service.url, DEFAULT_MODEL, limits) as client:
        return await bulk.send_rows(job, client, Moments())


def _seconds(_: CallFacts, __: Decimal, chance: random.Random) -> float:
    return chance.uniform(*_LATENCY)


def _say_how_it_stopped(report: JobReport, left: Decimal) -> None:
    say(f"The guard has stopped in front of the floor: {report.counts['ok']} answers, {left:.6f} left.")
    say(f"{_TOP_UP} credits arrive, and the same command sends the other {report.counts['unsent']}.\n")


def _print_summary(summary: Summary, report: Report, job: bulk.Job) -> None:
    report_command.show(replace(report, slowest=(), dearest=()), Console(highlight=False))
    kept = "kept" if summary.stopped_at >= summary.floor else "BROKEN"
    refused = f"{summary.refused} calls refused for want of credits"
    print(f"\nfloor     {summary.floor} {kept}: stopped at {summary.stopped_at:.6f}, {refused}")
    print(f"paid      {credits_text(summary.spent)} for {summary.rows} rows in two runs, none twice")
    print(f"answers   {job.output}")
    print(f"page      {summary.page}")
    print(
        "\nNow with a file of your own, without cost at first:\n"
        "  segmind-async classify FILE.csv -o labels.csv --labels A,B,C --dry-run"
    )
