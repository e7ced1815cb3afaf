"""What a transport of your own implements and returns: `SegmindClient(transport=…)`.

`segmind_async.testing.ScriptedTransport` is one that answers from a script.
"""

from __future__ import annotations

from ._transport.base import Transport, WireRequest, WireResponse
from ._wire.failures import Billing, Failure, FailureKind

__all__ = ["Billing", "Failure", "FailureKind", "Transport", "WireRequest", "WireResponse"]
