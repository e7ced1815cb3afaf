"""Interim: how many attempts may be in flight."""

from __future__ import annotations

from .pacing import StartTag


class Window:
    def __init__(self, max_in_flight: int = 64) -> None:
        self.limit = max_in_flight
        self.reason = "max_in_flight"

    def succeeded(self, tag: StartTag, now: float) -> None: ...

    def failed(self, tag: StartTag, now: float) -> None: ...

    def refused(self, tag: StartTag, now: float) -> None: ...
