"""State for a restart: the pace of the previous run, and the money that may still be billed.

A run may have ended a moment ago, and the minute in which the service counts has not. Both clocks are
noted, because either may be wrong: wall time can be set, and monotonic time begins anew with the machine.
"""

from __future__ import annotations

import time

from ..._rate.pacer import PacerState
from ..._sending.admission import Admission

_MOST_STARTS = 2000
"""Starts that are written: twice as many as the highest published rate allows in a minute."""


def state_of(admission: Admission) -> dict[str, object]:
    """Return the state, as JSON."""
    pace, in_doubt = admission.state()
    return {
        "ages": [round(age, 3) for age in pace.ages[:_MOST_STARTS]],
        "rate": pace.rate,
        "in_doubt": in_doubt,
        "at": time.time(),  # noqa: TID251  # two processes share no other clock over a restart of the machine
        "monotonic": time.monotonic(),
        "by": admission.name,
    }


def resume(admission: Admission, state: object) -> None:
    """Restore the state of an earlier run, if there is one; before any call has started."""
    if not isinstance(state, dict) or state.get("by") == admission.name:
        return  # this client still has that state
    by_wall = time.time() - state["at"]  # noqa: TID251  # as above
    by_machine = time.monotonic() - state["monotonic"]
    # The later of the two moments at which that may have been, so that no clock set forward doubles a window.
    elapsed = min(max(0.0, seconds) for seconds in (by_wall, by_machine if by_machine >= 0 else by_wall))
    admission.resume(PacerState(tuple(state["ages"]), state["rate"]), state["in_doubt"], elapsed)
