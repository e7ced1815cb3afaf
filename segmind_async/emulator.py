"""An emulator of Segmind's service on loopback, with credits, limits and faults, for tests and trials.

async with Emulator(balance=5) as emulator:
    async with SegmindClient(emulator.key, emulator.url) as client: ...

It imports nothing from the rest of the library: a mistake in both would stay unseen.
"""

from __future__ import annotations

from ._emulator import faults
from ._emulator.brains import (
    Brain,
    BrainAnswer,
    Calls,
    EchoBrain,
    FunctionBrain,
    MeasuredAnswer,
    Question,
    ScriptBrain,
)
from ._emulator.faults import RandomFaults
from ._emulator.schemas import Filler, SchemaError, check_format
from ._emulator.server import CallRecord, Emulator, Http
from ._emulator.service_state import (
    Account,
    CallFacts,
    Config,
    Refusal,
    Running,
    ServiceState,
    Settled,
    list_price,
)

__all__ = [
    "Account",
    "Brain",
    "BrainAnswer",
    "CallFacts",
    "CallRecord",
    "Calls",
    "Config",
    "EchoBrain",
    "Emulator",
    "Filler",
    "FunctionBrain",
    "Http",
    "MeasuredAnswer",
    "Question",
    "RandomFaults",
    "Refusal",
    "Running",
    "SchemaError",
    "ScriptBrain",
    "ServiceState",
    "Settled",
    "check_format",
    "faults",
    "list_price",
]
