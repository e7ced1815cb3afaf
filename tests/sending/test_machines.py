"""Every interleaving keeps the promises: ledger, pacer and throttle as state machines."""

from __future__ import annotations

import math

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from segmind_async._money.budget import Budget
from segmind_async._money.cost_model import CostModel
from segmind_async._money.doubts import DOUBT_SETTLES_AFTER
from segmind_async._money.ledger import Ledger
from segmind_async._money.protocol import Hold, Price, Shortfall
from segmind_async._rate.pacer import SPANS, Pacer
from segmind_async._rate.start_tracker import StartTag
from segmind_async._rate.throttle import Throttle

CENT = 10**8


class LedgerMachine(RuleBasedStateMachine):
    """An account on the server and its ledger: balances arrive late, out of order or never."""

    @initialize(floor=st.integers(0, 20), balance=st.integers(30, 300))
    def begin(self, floor: int, balance: int) -> None:
        self.now = 0.0
        self.ledger = Ledger(floor * CENT)
        self.outer = Budget(self.ledger.root, 40 * CENT)
        self.inner = Budget(self.outer, 15 * CENT, (floor + 5) * CENT)
        self.model = CostModel(CENT)
        self.truth = balance * CENT
        self.spent = 0
        self.out: list[Hold] = []
        self.late: list[tuple[float, int]] = []
        """Balances in transit: when their request was sent, and their units."""
        self.ledger.observe(self.truth, 0, 0)
        for _ in range(30):
            self.model.finished(CENT, 1.0)

    @rule(seconds=st.floats(0.001, 30))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(which=st.sampled_from(["root", "outer", "inner"]))
    def send(self, which: str) -> None:
        budget = {"root": self.ledger.root, "outer": self.outer, "inner": self.inner}[which]
        got = self.ledger.reserve(budget, self.model, None, self.now)
        if isinstance(got, Shortfall):
            assert got.available < got.needed or self.ledger.in_flight or self.ledger.in_doubt
            return
        self.out.append(got)
        known = self.ledger.balance
        assert known is not None
        assert len(self.out) * CENT + self.ledger.in_doubt <= known - budget.floor
        for level in budget.line:
            if level.cap is not None:
                held = sum(level in hold.budget.line for hold in self.out)
                assert level.spent + level.doubted + held * CENT <= level.cap

    def end(self, index: int) -> Hold:
        return self.out.pop(index % len(self.out))

    @precondition(lambda self: self.out)
    @rule(index=st.integers(0, 99), read=st.sampled_from(["now", "late", "never"]))
    def answer(self, index: int, read: str) -> None:
        hold = self.end(index)
        self.truth -= CENT
        self.spent += CENT
        self.now += 0.01
        if read == "late":
            self.late.append((hold.started_at, self.truth))
        self.ledger.settle(hold, Price(CENT), self.truth if read == "now" else None, self.now)

    @precondition(lambda self: self.late)
    @rule(index=st.integers(0, 99))
    def a_late_balance_arrives(self, index: int) -> None:
        sent_at, balance = self.late.pop(index % len(self.late))
        self.ledger.observe(balance, sent_at, self.now)

    @precondition(lambda self: self.out)
    @rule(index=st.integers(0, 99), billed=st.booleans())
    def lose(self, index: int, billed: bool) -> None:
        self.ledger.doubt(self.end(index), self.now)
        self.truth -= CENT * billed

    @precondition(lambda self: self.out)
    @rule(index=st.integers(0, 99))
    def cancel_unsent(self, index: int) -> None:
        self.ledger.release(self.end(index))

    @precondition(lambda self: self.out)
    @rule(index=st.integers(0, 99), named=st.booleans())
    def refuse(self, index: int, named: bool) -> None:
        self.ledger.refuse(self.end(index), self.truth if named else None, CENT if named else None, self.now)

    @rule(amount=st.integers(1, 50))
    def top_up(self, amount: int) -> None:
        self.truth += amount * CENT

    @rule()
    def read(self) -> None:
        sent_at, self.now = self.now, self.now + 0.1
        self.ledger.observe(self.truth, sent_at, self.now)

    @invariant()
    def the_books_agree(self) -> None:
        if not hasattr(self, "ledger"):
            return
        assert self.ledger.in_flight == len(self.out)
        assert self.ledger.root.spent == self.spent
        assert self.ledger.exposure.required(self.now, None) >= len(self.out) * CENT * 0.99
        assert self.inner.spent <= self.outer.spent <= self.ledger.root.spent
        assert self.ledger.in_doubt >= 0

    def teardown(self) -> None:
        if not hasattr(self, "ledger"):
            return
        while self.out:
            self.ledger.release(self.out.pop())
        assert self.ledger.in_flight == 0
        assert self.ledger.exposure.required(self.now, None) == 0
        # After every hold has ended and a balance was read, the ledger knows the truth.
        self.now += DOUBT_SETTLES_AFTER + 1
        self.ledger.observe(self.truth, self.now, self.now + 1)
        assert self.ledger.balance == self.truth
        assert self.ledger.in_doubt == 0


class PacerMachine(RuleBasedStateMachine):
    """Whatever is learnt or set in between, no window contains more starts than the rate in force."""

    @initialize(rate=st.sampled_from([None, 0.5, 1.0, 5.0, 60.0, 300.0]))
    def begin(self, rate: float | None) -> None:
        self.pacer = Pacer(rate)
        self.now = 0.0
        self.starts: list[float] = []

    @rule(count=st.integers(1, 80))
    def start(self, count: int) -> None:
        for _ in range(count):
            self.now = max(self.now, self.pacer.next_start(self.now))
            self.starts.append(self.now)
            self.pacer.start(self.now, len(self.starts))
            rate = self.pacer.rate
            if rate is not None:
                assert sum(at > self.now - 60 for at in self.starts) <= max(1, math.floor(rate))

    @rule(seconds=st.floats(0, 200))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def answered(self) -> None:
        self.pacer.answered()

    @precondition(lambda self: self.starts)
    @rule(span=st.sampled_from(SPANS), most=st.integers(1, 50))
    def refused(self, span: float, most: int) -> None:
        self.pacer.refused(len(self.starts), self.starts[-1])
        self.pacer.bounds[span].lower(most, self.now, "429")
        self.pacer.changed()

    @rule(rate=st.sampled_from([None, 5.0, 60.0]))
    def set(self, rate: float | None) -> None:
        self.pacer.set_rate(rate)

    @rule(elapsed=st.floats(0, 100))
    def restart(self, elapsed: float) -> None:
        state, ceiling = self.pacer.state(self.now), self.pacer.rate
        self.now += elapsed
        fresh = Pacer(ceiling)
        fresh.restore(state, self.now, elapsed)
        self.pacer = fresh


class ThrottleMachine(RuleBasedStateMachine):
    """Against a server with a limit on the number in flight, or a rate: no start is lost or stuck."""

    @initialize(cap=st.sampled_from([None, 1, 3, 10]), rate=st.sampled_from([None, 5, 30]))
    def begin(self, cap: int | None, rate: int | None) -> None:
        self.cap, self.rate = cap, rate
        self.throttle = Throttle(16)
        self.now = 0.0
        self.out: list[StartTag] = []
        self.accepted: list[float] = []

    @rule()
    def start(self) -> None:
        if len(self.out) >= self.throttle.limit:
            return
        at = self.throttle.next_start(self.now, len(self.out))
        if at == math.inf:
            assert self.out, "waits for an answer although nothing is in flight"
            return
        self.now = max(self.now, at)
        tag = self.throttle.start(self.now, len(self.out))
        full = self.cap is not None and len(self.out) >= self.cap
        recent = sum(since > self.now - 60 for since in self.accepted)
        if full or (self.rate is not None and recent >= self.rate):
            self.now += 0.05
            self.throttle.refused(tag, self.now, None)
            return
        self.accepted.append(self.now)
        self.out.append(tag)

    @precondition(lambda self: self.out)
    @rule(index=st.integers(0, 99), end=st.sampled_from(["answer", "no answer"]))
    def end(self, index: int, end: str) -> None:
        tag = self.out.pop(index % len(self.out))
        self.now += 0.1
        if end == "no answer":
            self.throttle.abandoned(tag)
        else:
            self.throttle.answered(tag, self.now)

    @rule(seconds=st.floats(0, 100))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def the_limit_is_sane(self) -> None:
        if hasattr(self, "throttle"):
            assert 1 <= self.throttle.limit <= 16
            rate = self.throttle.pacer.rate
            assert rate is None or rate >= 1


_FEW = settings(max_examples=25, stateful_step_count=40, deadline=None)

TestLedger = LedgerMachine.TestCase
TestLedger.settings = _FEW
TestPacer = PacerMachine.TestCase
TestPacer.settings = _FEW
TestThrottle = ThrottleMachine.TestCase
TestThrottle.settings = _FEW
