"""For tests of code that uses this library: a transport that answers from a script, without a network.

For the whole service on loopback, with money, limits and faults, see `segmind_async.emulator`.
"""

from __future__ import annotations

from ._provider import FakeProvider
from ._recording import RecordingHooks
from ._scripted import Reply, ScriptedTransport, answer

__all__ = ["FakeProvider", "RecordingHooks", "Reply", "ScriptedTransport", "answer"]
