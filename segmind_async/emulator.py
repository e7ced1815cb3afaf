"""Segmind's service on loopback: money, limits, faults and all, for tests and for trying things out.

async with Emulator(balance=5) as emulator:
    async with SegmindClient(emulator.key, emulator.url) as client: ...

It imports nothing from the rest of the library: what both had misunderstood would cancel out.
"""

from __future__ import annotations

from ._emulator import faults
from ._emulator.brain import (
    Brain,
    Calls,
    EchoBrain,
    FunctionBrain,
    Question,
    Said,
    ScriptBrain,
    Spoken,
)
from ._emulator.faults import RandomFaults
from ._emulator.schemas import Filler, SchemaError, check_format
from ._emulator.server import CallRecord, Emulator, Http
from ._emulator.world import (
    Account,
    CallFacts,
    Config,
    Refusal,
    Running,
    Settled,
    World,
    list_price,
)

__all__ = [
    "Account",
    "Brain",
    "CallFacts",
    "CallRecord",
    "Calls",
    "Config",
    "EchoBrain",
    "Emulator",
    "Filler",
    "FunctionBrain",
    "Http",
    "Question",
    "RandomFaults",
    "Refusal",
    "Running",
    "Said",
    "SchemaError",
    "ScriptBrain",
    "Settled",
    "Spoken",
    "World",
    "check_format",
    "faults",
    "list_price",
]
