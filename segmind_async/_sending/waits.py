"""What keeps calls from being sent: the block of the queue, and the pauses of calls outside of it. Pure.

Of several waits one is shown: that which explains why nothing is sent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

from .._money.units import credits_of
from .._text.wait_reasons import Wait, WaitReason
from .._wire.response_headers import credits_in
from ..models import JsonDict, Statistics

_ORDER = (WaitReason.OUTAGE, None, WaitReason.TOP_UP, WaitReason.DOUBTS, WaitReason.RETRY)
"""Which wait is shown first; None stands for the block of the queue."""

_LONGEST = 7 * 24 * 3600.0
"""Seconds. A longer wait is an error of the gateway."""

TOLD_LASTS = 15.0
"""Seconds for which what a gateway has told is shown: jobs ask it every 5 s."""


@dataclass(slots=True, eq=False)
class Pause:
    """One wait; times in seconds."""

    reason: WaitReason
    since: float
    until: float = math.inf
    """When it ends or something is tried; inf if an answer must come first."""
    available: int | None = None
    """Units left; None if money is not what is missing."""
    needed: int | None = None
    """Units that the next call may cost; None as above."""

    def seen(self, now: float) -> Wait:
        """Return it as it is at *now*."""
        return Wait(
            self.reason,
            max(0.0, now - self.since),
            None if self.until == math.inf else max(0.0, self.until - now),
            None if self.available is None else credits_of(max(0, self.available)),
            None if self.needed is None else credits_of(self.needed),
        )


class AtGateway(NamedTuple):
    """What a gateway has told of the calls of a client."""

    calls: int
    """Those that wait there."""
    wait: Wait | None
    """What it waits for; None if that is not known."""

    def seen(self, age: float) -> Wait | None:
        """Return that wait as it is *age* seconds later."""
        wait = self.wait
        if wait is None:
            return None
        left = None if wait.left is None else max(0.0, wait.left - age)
        return replace(wait, lasted=wait.lasted + age, left=left, at_gateway=True)


class Waits:
    """The waits of one client. *began* is told of each new one that nothing in flight can end."""

    __slots__ = ("_at_gateway", "_began", "_block", "_pauses", "_told", "_told_at")

    def __init__(self, began: Callable[[Wait], None] | None = None) -> None:
        self._began = began
        self._block: Pause | None = None
        self._pauses: list[Pause] = []
        self._told: WaitReason | None = None
        self._at_gateway: AtGateway | None = None
        self._told_at = -math.inf

    def __repr__(self) -> str:
        return f"Waits({self._block!r}, {len(self._pauses)} pauses)"

    @property
    def paused(self) -> bool:
        """Whether any call waits outside of the queue."""
        return bool(self._pauses)

    def block(self, pause: Pause) -> None:
        """Note what the first call of the queue waits for, since when it began to."""
        if self._block is not None and self._block.reason is pause.reason:
            pause.since = self._block.since
        self._block = pause

    def unblock(self) -> None:
        """Note that a call of the queue was sent."""
        self._block = None

    @contextmanager
    def pause(self, pause: Pause) -> Iterator[Pause]:
        """Note a wait outside of the queue while the context lasts; its `until` may be moved."""
        self._pauses.append(pause)
        try:
            yield pause
        finally:
            self._pauses.remove(pause)

    def now(self, now: float, *, queued: bool) -> Wait | None:
        """Return the wait that is shown; *queued*: whether any call is in the queue."""
        found = self._first(queued)
        return None if found is None else found.seen(now)

    def gateway_tells(self, told: AtGateway, now: float) -> None:
        """Note what a gateway tells of the calls of this client."""
        self._at_gateway, self._told_at = told, now

    def at_gateway(self, in_flight: int, now: float) -> int:
        """Return how many calls, of those *in_flight* here, wait at a gateway as far as known."""
        told = self._at_gateway
        return 0 if told is None or now - self._told_at > TOLD_LASTS else min(told.calls, in_flight)

    def shown_in(self, found: Statistics, now: float) -> Statistics:
        """Return figures with what is waited for, and with calls that wait at a gateway as waiting ones."""
        here, calls = self.now(now, queued=found.waiting > 0), self.at_gateway(found.in_flight, now)
        if not calls:
            return replace(found, wait=here)
        assert self._at_gateway is not None
        wait = here or self._at_gateway.seen(now - self._told_at)
        return replace(found, in_flight=found.in_flight - calls, waiting=found.waiting + calls, wait=wait)

    def tell(self, now: float, in_flight: int, *, queued: bool) -> None:
        """Tell of the wait if it is a new one, and nothing is in flight; forget the last one otherwise."""
        found = None if in_flight else self._first(queued)
        reason = None if found is None else found.reason
        if reason is self._told:
            return
        self._told = reason
        # A pause before a retry is an event of its own.
        if found is not None and reason is not WaitReason.RETRY and self._began is not None:
            self._began(found.seen(now))

    def _first(self, queued: bool) -> Pause | None:
        for reason in _ORDER:
            if reason is None:
                found = [self._block] if queued and self._block is not None else []
            else:
                found = [pause for pause in self._pauses if pause.reason is reason]
            if found:
                return min(found, key=lambda pause: pause.until)
        return None


def told_by_gateway(raw: JsonDict) -> AtGateway:
    """Read what a gateway tells; what cannot be read is taken for nothing that waits, or no known reason."""
    calls, wait = raw.get("waiting"), raw.get("wait")
    if not isinstance(calls, int) or calls < 0:
        return AtGateway(0, None)
    if not isinstance(wait, dict):
        return AtGateway(calls, None)
    reason = {str(one): one for one in WaitReason}.get(str(wait.get("reason")))
    if reason is None:
        return AtGateway(calls, None)
    lasted, left = (_seconds(wait.get(name)) for name in ("lasted", "left"))
    available, needed = (credits_in(wait.get(name)) for name in ("available", "needed"))
    return AtGateway(calls, Wait(reason, lasted or 0.0, left, available, needed))


def _seconds(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and 0 <= value <= _LONGEST else None
