"""Segmind's service on loopback: money, limits, faults and all, for tests and for trying things out.

async with Emulator(balance=5) as emulator:
    async with SegmindClient(emulator.key, emulator.url) as client: ...

It imports nothing from the rest of the library: what both had misunderstood would cancel out.
"""

from __future__ import annotations

from . import faults
from .bayes import BayesBrain, NaiveBayes, fragments, words
from .brain import Brain, Calls, EchoBrain, FunctionBrain, Question, Said, ScriptBrain, Spoken
from .faults import RandomFaults
from .schemas import Filler, SchemaError, check_format
from .server import CallRecord, Emulator, Http
from .world import Account, CallFacts, Config, Refusal, Running, Settled, World, list_price

__all__ = [
    "Account",
    "BayesBrain",
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
    "NaiveBayes",
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
    "fragments",
    "list_price",
    "words",
]
