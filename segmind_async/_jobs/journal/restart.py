"""State for a restart: the pace of the previous run, and the money that may still be billed.

A run may have ended a moment ago, and the minute in which the service counts has not. Both clocks are
noted, because either may be wrong: wall time can be set, and monotonic time begins anew with the machine.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..._rate.pacer import PacerState
from ..._sending.accounts.account import Account
from ..._sending.admission import Admission

_MOST_STARTS = 2000
"""Starts that are written: twice as many as the highest published rate allows in a minute."""


def state_of(admission: Admission) -> dict[str, object]:
    """Return the state, as JSON: of one account as it is, of several by the names of their keys."""
    first, *others = admission.accounts.all
    several = {account.name: _state_of(admission, account) for account in (first, *others)} if others else {}
    return {
        **({"keys": several} if several else _state_of(admission, first)),
        "at": time.time(),  # noqa: TID251  # two processes share no other clock over a restart of the machine
        "monotonic": time.monotonic(),
        "by": admission.name,
    }


def _state_of(admission: Admission, account: Account) -> dict[str, object]:
    pace, in_doubt = admission.state(account)
    ages = [round(age, 3) for age in pace.ages[:_MOST_STARTS]]
    return {"ages": ages, "rate": pace.rate, "in_doubt": in_doubt}


def resume(admission: Admission, state: object) -> None:
    """Restore the state of an earlier run, if there is one; before any call has started.

    With other keys than that run had, each account takes over what it may have been: the whole of it.
    """
    if not isinstance(state, dict) or state.get("by") == admission.name:
        return  # this client still has that state
    by_wall = time.time() - state["at"]  # noqa: TID251  # as above
    by_machine = time.monotonic() - state["monotonic"]
    # The later of the two moments at which that may have been, so that no clock set forward doubles a window.
    elapsed = min(max(0.0, seconds) for seconds in (by_wall, by_machine if by_machine >= 0 else by_wall))
    by_name = state.get("keys", {"": state})
    for account in admission.accounts.all:
        known = by_name.get(account.name)
        pace, in_doubt = _sum_of([*by_name.values()] if known is None else [known])
        admission.resume(account, pace, in_doubt, elapsed)


def _sum_of(states: Sequence[Mapping[str, Any]]) -> tuple[PacerState, int]:
    """Return all starts, the lowest rate, and all that may still be billed."""
    rates = [one["rate"] for one in states if one["rate"] is not None]
    ages = sorted(age for one in states for age in one["ages"])
    return PacerState(tuple(ages), min(rates, default=None)), sum(one["in_doubt"] for one in states)
