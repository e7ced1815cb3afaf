"""How long ago an earlier run has ended, whatever the clocks say."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from segmind_async._money.estimates import Estimates
from segmind_async._money.ledger import Ledger
from segmind_async._rate.pacer import PacerState
from segmind_async._rate.throttle import Throttle
from segmind_async._sending import restart
from segmind_async._sending.accounts.account import Account
from segmind_async._sending.accounts.accounts import Accounts


class Door:
    """As much of an admission as a restart needs."""

    name = "this"

    def __init__(self, *keys: str) -> None:
        self.accounts = Accounts([Account(Ledger(), Throttle(4), key) for key in keys or ("",)])
        self.resumed: list[tuple[str, PacerState, int, float]] = []

    def resume(self, account: Account, pace: PacerState, in_doubt: int, elapsed: float) -> None:
        self.resumed.append((account.name, pace, in_doubt, elapsed))

    def state(self, account: Account) -> tuple[PacerState, int, int]:
        return PacerState((1.0,), 30.0), len(account.name), 100


@pytest.mark.parametrize(
    ("by_wall", "by_machine", "elapsed"),
    [
        pytest.param(5.0, 5.0, 5.0, id="both-agree"),
        pytest.param(3600.0, 5.0, 5.0, id="the-wall-clock-was-set-forward"),
        pytest.param(-3600.0, 5.0, 0.0, id="the-wall-clock-was-set-back"),
        pytest.param(600.0, -9000.0, 600.0, id="the-machine-was-restarted"),
        pytest.param(-5.0, -9000.0, 0.0, id="restarted-and-set-back"),
    ],
)
def test_the_careful_one_of_two_clocks_decides(
    monkeypatch: pytest.MonkeyPatch, by_wall: float, by_machine: float, elapsed: float
) -> None:
    state = {"ages": [1.0], "rate": 30.0, "in_doubt": 7, "by": "another"}
    monkeypatch.setattr(time, "time", lambda: 1_000_000.0)
    monkeypatch.setattr(time, "monotonic", lambda: 50_000.0)
    door: Any = Door()
    restart.resume(
        door, Estimates(None), {**state, "at": 1_000_000.0 - by_wall, "monotonic": 50_000.0 - by_machine}
    )
    assert door.resumed == [("", PacerState((1.0,), 30.0), 7, elapsed)]


def taken_over(earlier: Door, later: Door) -> list[tuple[str, int]]:
    """Return the key and the units in doubt of each state that *later* takes over from *earlier*."""
    writer: Any = earlier
    reader: Any = later
    state = restart.state_of(writer, Estimates(None))
    restart.resume(reader, Estimates(None), {**state, "by": "another"})
    return [(name, in_doubt) for name, _, in_doubt, _ in later.resumed]


def test_each_of_several_keys_takes_over_its_own_state() -> None:
    assert taken_over(Door("ab", "xyz"), Door("xyz", "ab")) == [("xyz", 103), ("ab", 102)]


def test_a_key_that_the_earlier_run_did_not_know_takes_over_the_states_of_all() -> None:
    assert taken_over(Door("ab", "xyz"), Door("ab", "new")) == [("ab", 102), ("new", 205)]
    assert taken_over(Door("ab", "xyz"), Door("")) == [("", 205)]
    assert taken_over(Door(""), Door("ab", "xyz")) == [("ab", 100), ("xyz", 100)]


@pytest.mark.parametrize("state", [None, {"by": "this"}], ids=["nothing-noted", "noted-by-this-very-client"])
def test_nothing_is_taken_over(state: object) -> None:
    door: Any = Door()
    restart.resume(door, Estimates(None), state)
    assert door.resumed == []


def test_what_calls_cost_is_taken_over() -> None:
    before, after = Estimates(None), Estimates(None)
    for _ in range(9):
        before.of("gpt-5.5").finished(10**8, 2.5, 7.0)
    writer: Any = Door()
    reader: Any = Door()
    # As a file keeps it.
    state = json.loads(json.dumps(restart.state_of(writer, before)))
    assert restart.resume(reader, after, state) is None  # by this very client
    assert restart.resume(reader, after, {**state, "by": "another"}) is not None
    assert after.state() == before.state()


def test_calls_in_flight_can_be_left_to_who_has_noted_them() -> None:
    door: Any = Door("ab")
    assert restart.state_of(door, Estimates(None))["in_doubt"] == 102
    assert restart.state_of(door, Estimates(None), in_flight=False)["in_doubt"] == 100


def test_a_state_of_an_earlier_release_names_no_costs() -> None:
    door: Any = Door()
    estimates = Estimates(None)
    restart.resume(
        door,
        estimates,
        {"ages": [], "rate": None, "in_doubt": 0, "by": "another", "at": 0.0, "monotonic": 0.0},
    )
    assert estimates.state() == {}
