"""Says what a job will cost and how far the money goes: at its start, and when its first rows are known.

No job is refused for what it may cost: it begins, learns what its rows cost, and stops in front of the floor.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from decimal import Decimal

from ..._jobs.cost_estimate import Moments
from ..._jobs.outlook import Outlook, measured
from ..._jobs.progress import JobProgress
from ..._text.escaping import plain
from ..console import say
from ..wording import count, rough

KNOWN_ROWS = 20
"""Answered rows after which the outlook is said again, by what they cost."""


def outlook_text(outlook: Outlook, spendable: Decimal | None, model: str) -> str:
    """Return an outlook as one sentence; *spendable* are the credits that may be spent, None: unknown."""
    low, high = map(rough, outlook.expected_between)
    rows = f"{count(outlook.rows)} rows" if outlook.rows > 1 else "1 row"
    basis = (
        f"95 % confidence, by {count(outlook.by)} answered rows"
        if outlook.by
        else f"by the published mean of {plain(model)}; known better after {KNOWN_ROWS} rows"
    )
    span = f"{low} to {high}: " if low != high else ""
    cost = f"{rows} to send for about {rough(outlook.expected)} credits ({span}{basis})"
    return cost if spendable is None else f"{cost}; {_lasting(outlook, spendable)}"


def _lasting(outlook: Outlook, spendable: Decimal) -> str:
    if spendable <= 0:
        return "no more credits may be spent: raise --max-credits, lower --floor, or top up"
    lasts = outlook.lasts_for(spendable)
    money = f"the {rough(spendable)} credits that may be spent"
    if lasts < outlook.rows:
        return f"{money} last for about {count(lasts)} of them, then the job stops and can be continued"
    return f"{money} are enough" if outlook.expected_between[1] <= spendable else f"{money} should be enough"


def is_terminal() -> bool:
    """Return whether somebody can be asked."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def may_start(outlook: Outlook, affordable: Decimal, max_credits: Decimal | None) -> bool:
    """Return whether to start a job; if it is expected to cost more than *affordable*, ask on a terminal.

    *affordable* are the credits above the floor.
    """
    expected = outlook.expected if max_credits is None else min(outlook.expected, max_credits)
    if expected <= affordable or not is_terminal():
        return True
    print("start, and stop when they are used up? [y/N] ", end="", file=sys.stderr, flush=True)
    return _answer().strip().lower() in {"y", "yes"}


def _answer() -> str:
    if threading.current_thread() is not threading.main_thread():
        return sys.stdin.readline()
    # The event loop's own handler would only cancel a task, which a blocking read never notices.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return sys.stdin.readline()
    except KeyboardInterrupt:
        say("")  # what comes next begins a line
        raise
    finally:
        signal.signal(signal.SIGINT, before)


class Announcer:
    """Says the outlook once more, when enough rows of a job have been answered."""

    def __init__(self, costs: Moments, model: str, tell: Callable[[str], None] = say) -> None:
        self._costs = costs
        self._model = model
        self._tell = tell
        self._done = costs.count >= KNOWN_ROWS
        """Whether nothing is left to say: earlier runs have answered as many rows."""

    def __repr__(self) -> str:
        return f"Announcer({self._costs.count} rows, done={self._done})"

    def __call__(self, progress: JobProgress) -> None:
        """Say it if enough rows are known, and their rest is."""
        if self._done or self._costs.count < KNOWN_ROWS or progress.pending is None:
            return
        self._done = True
        outlook = measured(self._costs, progress.pending)
        if outlook is not None and progress.fan_out.stop_reason is None:
            self._tell(outlook_text(outlook, progress.spendable, self._model))
