"""Whether one of several keys takes calls; which reads of its balance bring it back. Pure.

A key leaves when the service refuses it, or refuses a call for lack of credits with no other call of the key
in flight. It comes back over a read of its balance, which costs nothing, and then over a single call: a read
does not show whether a model may be called. A key whose ledger is short stays: cheaper calls may fit. Its
balance is read from time to time, for a top-up shows in no other way.

Times are monotonic seconds.
"""

from __future__ import annotations

import math
from enum import Enum

RECHECK_AFTER = 60.0
"""Seconds between reads of the balance of a key that is out, short or a second one of its account: a top-up
is not in a hurry, and a read may count in the rate."""


class Standing(Enum):
    """What is known of a key."""

    IN_USE = "in use"
    SHORT = "short of credits"
    """Its ledger has refused a call, and nothing in flight can change that; a cheaper call may still fit."""
    EMPTY = "out of credits"
    """The service has refused a call for lack of credits, with no other call in flight."""
    REFUSED = "refused"
    """The service refuses the key, or has it call no further: 401, 403, or a spend limit."""
    UNKNOWN = "balance unknown"
    """Its balance could not be read, and none is known that will do."""
    SPARE = "same account"
    """It draws on the account of another key, which takes its calls; see `shared_balance`."""
    ON_TRIAL = "on trial"
    """Its balance was read again: one call at a time, until one was not refused."""


_TAKES = frozenset({Standing.IN_USE, Standing.SHORT, Standing.ON_TRIAL})

_AFTER_READ = {
    Standing.EMPTY: Standing.ON_TRIAL,
    Standing.REFUSED: Standing.ON_TRIAL,
    Standing.UNKNOWN: Standing.IN_USE,
}
"""The standing after a read that succeeded; others stay."""


class KeyStanding:
    """The standing of one key, and when its balance is to be read again."""

    __slots__ = ("_tried", "read_at", "state")

    def __init__(self) -> None:
        self.state: Standing = Standing.IN_USE
        self.read_at: float = math.inf
        """When its balance is to be read; inf if that is not needed."""
        self._tried = False
        """Whether the call of a trial was sent."""

    def __repr__(self) -> str:
        return f"KeyStanding({self.state.value})"

    @property
    def takes(self) -> bool:
        """Whether calls are sent with this key, as far as money and pace allow."""
        return self.state in _TAKES

    def refused(self, now: float) -> None:
        """Note that the service has refused the key."""
        self._leave(Standing.REFUSED, now)

    def emptied(self, now: float) -> None:
        """Note that the service has refused its only call in flight for lack of credits."""
        self._leave(Standing.EMPTY, now)

    def short(self, now: float) -> None:
        """Note that its ledger has refused a call with nothing in flight."""
        if self.state in (Standing.IN_USE, Standing.ON_TRIAL):
            self._leave(Standing.SHORT, now)

    def granted(self) -> None:
        """Note that a call is sent with it."""
        if self.state is Standing.SHORT:
            self._return(Standing.IN_USE)
        self._tried = self.state is Standing.ON_TRIAL

    def has_room(self, in_flight: int) -> bool:
        """Return whether one more call may be sent, with so many of this key *in_flight*.

        A trial is over when its call has ended and the key is not out again.
        """
        if self.state is not Standing.ON_TRIAL:
            return True
        if self._tried and not in_flight:
            self._return(Standing.IN_USE)
        return not in_flight

    def reading(self, now: float) -> None:
        """Note that its balance is being read: others need not."""
        if self.read_at < math.inf:
            self.read_at = now + RECHECK_AFTER

    def was_read(self) -> None:
        """Note that its balance was read."""
        if (state := _AFTER_READ.get(self.state)) is not None:
            self._return(state)

    def was_not_read(self, now: float, *, known: bool) -> None:
        """Note that a read has failed; *known*: whether the balance known from before will do."""
        if self.takes and not known:
            self._leave(Standing.UNKNOWN, now)

    def spare(self, now: float) -> None:
        """Note that another key of the same account takes its calls."""
        self._leave(Standing.SPARE, now)

    def parted(self) -> None:
        """Note that it has an account of its own after all, whose balance was read."""
        self._return(Standing.IN_USE)

    def read_soon(self) -> None:
        """Have its balance read before the next call."""
        self.read_at = -math.inf

    def replaces(self) -> None:
        """Note that the other key of its account is refused: once its balance was read, it takes calls."""
        self.state, self.read_at, self._tried = Standing.ON_TRIAL, -math.inf, False

    def shift(self, seconds: float) -> None:
        """Add *seconds* to every instant kept: the client goes on in a loop whose clock has another zero."""
        self.read_at += seconds

    def _leave(self, state: Standing, now: float) -> None:
        self.state, self.read_at, self._tried = state, now + RECHECK_AFTER, False

    def _return(self, state: Standing) -> None:
        self.state, self.read_at, self._tried = state, math.inf, False
