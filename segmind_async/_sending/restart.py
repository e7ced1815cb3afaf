"""What a process leaves to the next one: the pace, the money that may still be billed, what calls cost.

The service's minute and its calls go on when a process ends, and the account has no more money for that the
next one knows less. Both clocks are noted, because either may be wrong: wall time can be set, and monotonic
time begins anew with the machine.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from .._money.cost_model import CostState
from .._money.estimates import Estimates
from .._rate.pacer import PacerState
from .accounts.account import Account
from .admission import Admission

_MOST_STARTS = 2000
"""Starts that are written: twice as many as the highest published rate allows in a minute."""


def state_of(admission: Admission, estimates: Estimates, *, in_flight: bool = True) -> dict[str, object]:
    """Return the state, as JSON: of one account as it is, of several by the names of their keys.

    Without *in_flight* the money of calls that are out is left to whoever has noted each of them.
    """
    first, *others = admission.accounts.all
    states = {account.name: _state_of(admission, account, in_flight) for account in (first, *others)}
    return {
        **({"keys": states} if others else states[first.name]),
        "costs": estimates.state(),
        "at": time.time(),  # noqa: TID251  # two processes share no other clock over a restart of the machine
        "monotonic": time.monotonic(),
        "by": admission.name,
    }


def _state_of(admission: Admission, account: Account, in_flight: bool) -> dict[str, object]:
    pace, held, in_doubt = admission.state(account)
    ages = [round(age, 3) for age in pace.ages[:_MOST_STARTS]]
    return {"ages": ages, "rate": pace.rate, "in_doubt": in_doubt + (held if in_flight else 0)}


def resume(admission: Admission, estimates: Estimates, state: object) -> float | None:
    """Restore the state of an earlier process, if there is one; before any call has started.

    With other keys than that one had, each account takes over what it may have been: the whole of it.
    Returns the seconds that have passed since; None if nothing was restored.
    """
    if not isinstance(state, dict) or state.get("by") == admission.name:
        return None  # this client still has that state
    by_wall = time.time() - state["at"]  # noqa: TID251  # as above
    by_machine = time.monotonic() - state["monotonic"]
    # The later of the two moments at which that may have been, so that no clock set forward doubles a window.
    elapsed: float = min(
        max(0.0, seconds) for seconds in (by_wall, by_machine if by_machine >= 0 else by_wall)
    )
    by_name = state.get("keys", {"": state})
    for account in admission.accounts.all:
        known = by_name.get(account.name)
        pace, in_doubt = _sum_of([*by_name.values()] if known is None else [known])
        admission.resume(account, pace, in_doubt, elapsed)
    # Journals of earlier releases have none.
    costs: Mapping[str, Sequence[Any]] = state.get("costs", {})
    estimates.restore({model: CostState(*kept) for model, kept in costs.items()})
    return elapsed


def _sum_of(states: Sequence[Mapping[str, Any]]) -> tuple[PacerState, int]:
    """Return all starts, the lowest rate, and all that may still be billed."""
    rates = [one["rate"] for one in states if one["rate"] is not None]
    ages = sorted(age for one in states for age in one["ages"])
    return PacerState(tuple(ages), min(rates, default=None)), sum(one["in_doubt"] for one in states)
