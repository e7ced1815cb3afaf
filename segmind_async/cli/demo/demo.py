"""`demo` and `emulate`: commands on the emulator, without a key."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from decimal import Decimal
from importlib.resources import files
from typing import TypedDict

from ..._jobs.classify import Labels
from ...client import SegmindClient
from ...config import Limits
from ...emulator import Emulator
from ...messages import system, user
from ...models import ChatRequest, FanOutReport, Status
from ..console import plain, say, show_json
from ..exit_codes import Exit
from .classifier import BayesBrain, NaiveBayes, fragments

_BALANCE = Decimal("0.05")
_FLOOR = Decimal("0.01")
_LATENCY = 0.05


class Message(TypedDict):
    """One row of the bundled file."""

    id: str
    text: str
    label: str


@dataclass(frozen=True, slots=True)
class Summary:
    """The result of the demo, by the emulator's own account."""

    accuracy: float
    calls: int
    floor: Decimal
    balance: Decimal
    refused: int
    """Calls refused with 406 for want of credits."""
    stop_message: str | None


def messages() -> list[Message]:
    """Return the bundled support messages, written for this project."""
    text = files("segmind_async.cli.demo").joinpath("messages.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(io.StringIO(text))
    return [Message(id=row["id"], text=row["text"], label=row["label"]) for row in rows]


def brain(learnt: list[Message]) -> BayesBrain:
    """Return a brain that classifies by word fragments, trained on these messages."""
    learner = NaiveBayes(fragments)
    for row in learnt:
        learner.learn(row["text"], row["label"])
    return BayesBrain(learner)


def emulator(port: int, balance: Decimal, rpm: float | None, latency: float) -> Emulator:
    """Return the emulator that `emulate` serves."""
    limit = None if rpm is None else int(rpm)
    return Emulator(port=port, balance=balance, requests_per_minute=limit, latency=latency, keep_calls=False)


async def run(*, as_json: bool) -> Exit:
    """Classify the bundled messages repeatedly until the credit guard stops at the floor."""
    rows = messages()
    learnt, asked = rows[::2], rows[1::2]
    labels = Labels(sorted({row["label"] for row in rows}))
    say(f"{len(rows)} support messages in {len(labels.names)} categories: {', '.join(labels.names)}")
    say(f"the stand-in model is trained on {len(learnt)} of them and classifies the other {len(asked)}")
    async with (
        Emulator(brain(learnt), balance=_BALANCE, latency=_LATENCY) as service,
        SegmindClient(service.key, service.url, limits=Limits(max_in_flight=32)) as client,
    ):
        right, first = await _classify(client, asked, labels)
        say(f"repeating until only the floor of {_FLOOR} credits is left:")
        second = await _spend(client, asked, labels)
    summary = Summary(
        accuracy=right / len(asked),
        calls=first.ok + second.ok,
        floor=_FLOOR,
        balance=service.state.account.balance,
        refused=service.state.account.refused.get(406, 0),
        stop_message=second.stop_message,
    )
    if as_json:
        show_json(asdict(summary))
    else:
        _print_summary(summary)
    return Exit.OK


async def _classify(client: SegmindClient, rows: list[Message], labels: Labels) -> tuple[int, FanOutReport]:
    right = 0
    async with client.fan_out(_requests(rows, labels)) as outcomes:
        async for outcome in outcomes:
            row = rows[outcome.index]
            found = labels.find(outcome.text or "")
            right += found == row["label"]
            if outcome.index < 5 and outcome.completion is not None:
                left = outcome.completion.credits_remaining
                say(f"  {found:<10} {plain(row['text'])[:60]!r:<64} {left:.6f} credits left")
    say(f"  {right} of {len(rows)} right")
    return right, outcomes.report


async def _spend(client: SegmindClient, rows: list[Message], labels: Labels) -> FanOutReport:
    done = 0
    async with client.fan_out(_requests_without_end(rows, labels), floor=_FLOOR) as outcomes:
        async for outcome in outcomes:
            done += outcome.status is Status.OK
            if outcome.completion is not None and done % 250 == 0:
                held = client.statistics()
                say(f"  {done:5} calls, {held.balance:.6f} credits, {held.in_flight} in flight")
    return outcomes.report


def _requests(rows: list[Message], labels: Labels) -> Iterator[ChatRequest]:
    instruction = system(labels.instruction)
    return (ChatRequest([instruction, user(row["text"])], id=row["id"]) for row in rows)


def _requests_without_end(rows: list[Message], labels: Labels) -> Iterator[ChatRequest]:
    while True:
        yield from _requests(rows, labels)


def _print_summary(summary: Summary) -> None:
    kept = "kept" if summary.balance >= summary.floor else "BROKEN"
    print(f"accuracy          {summary.accuracy:.1%}")
    print(f"calls answered    {summary.calls}")
    print(f"credits           {_BALANCE} at the start, {summary.balance} at the end")
    print(f"floor             {summary.floor}, {kept}")
    print(f"refused (406)     {summary.refused}")
    print(f"stopped because   {summary.stop_message}")
