"""The order of waiting calls over scopes and priorities."""

from __future__ import annotations

import pytest

from segmind_async._money.budget import Budget
from segmind_async._sending.call_queue import Priority, Queue, Scope


class Line:
    """A queue of names."""

    def __init__(self) -> None:
        self.queue: Queue[str] = Queue()
        self.root = Scope[str](None, Budget(None), None, "interactive")

    def scope(self, priority: Priority = "interactive", most: int | None = None) -> Scope[str]:
        return Scope(self.root, self.root.budget, most, priority)

    def add(self, scope: Scope[str], *names: str) -> list[int]:
        return [self.queue.add(scope, name, 0) for name in names]

    def serve(self, count: int = 1000) -> list[str]:
        """Admit calls as the admission does: a full scope steps aside."""
        got: list[str] = []
        while len(got) < count and (scope := self.queue.take()) is not None:
            full = scope.full()
            if full is not None:
                self.queue.step_aside(scope, full)
                continue
            number, name = next(iter(scope.waiting.items()))
            self.queue.remove(scope, number)
            for level in scope.line:
                level.in_flight += 1
            self.queue.granted(scope.priority)
            self.queue.first_admitted(scope)
            got.append(name)
        return got

    def end(self, scope: Scope[str]) -> None:
        for level in scope.line:
            level.in_flight -= 1
            self.queue.retry_one(level)


def test_first_come_first_served_over_scopes() -> None:
    line = Line()
    a, b = line.scope(), line.scope()
    line.add(a, "1")
    line.add(b, "2", "3")
    line.add(a, "4")
    line.add(b, "5")
    assert line.queue.waiting == 5
    assert line.serve() == ["1", "2", "3", "4", "5"]
    assert line.queue.waiting == 0


def test_a_full_scope_does_not_block_the_others() -> None:
    line = Line()
    narrow, wide = line.scope(most=1), line.scope()
    line.add(narrow, "n1", "n2", "n3")
    line.add(wide, "w1", "w2")
    assert line.serve() == ["n1", "w1", "w2"]
    line.end(narrow)
    assert line.serve() == ["n2"]
    assert line.serve() == []
    line.end(narrow)
    assert line.serve() == ["n3"]


def test_scopes_that_share_a_full_parent_take_turns_by_age() -> None:
    line = Line()
    parent = line.scope(most=2)
    a, b = (Scope[str](parent, parent.budget, None, "interactive") for _ in range(2))
    line.add(a, "a1", "a2", "a3")
    line.add(b, "b1", "b2")
    assert line.serve() == ["a1", "a2"]
    order = []
    for ended in (a, a, a, b):
        line.end(ended)
        order += line.serve()
    assert order == ["a3", "b1", "b2"]


def test_a_call_that_returns_keeps_its_place() -> None:
    line = Line()
    scope = line.scope()
    first, *_ = line.add(scope, "1", "2", "3")
    assert line.serve(1) == ["1"]
    line.queue.add(scope, "1 again", first)
    assert line.serve() == ["1 again", "2", "3"]


def test_bulk_waits_for_interactive_but_is_not_starved() -> None:
    line = Line()
    bulk, quick = line.scope("bulk"), line.scope()
    line.add(bulk, *(f"b{n}" for n in range(3)))
    line.add(quick, *(f"q{n}" for n in range(20)))
    got = line.serve()
    assert got[:9] == [f"q{n}" for n in range(8)] + ["b0"]
    assert got[9:18] == [f"q{n}" for n in range(8, 16)] + ["b1"]
    assert got[18:] == [f"q{n}" for n in range(16, 20)] + ["b2"]


def test_a_new_call_must_wait_behind_its_own_priority_and_a_due_bulk_call() -> None:
    line = Line()
    bulk, quick = line.scope("bulk"), line.scope()
    assert not line.queue.must_wait(bulk)
    assert not line.queue.must_wait(quick)
    line.add(bulk, "b")
    assert line.queue.must_wait(bulk)
    assert not line.queue.must_wait(quick)
    for _ in range(8):
        line.queue.granted("interactive")
    assert line.queue.must_wait(quick)  # a bulk call is due
    line.add(quick, "q")
    assert line.queue.must_wait(quick)
    assert line.serve() == ["b", "q"]


def test_removed_calls_are_not_served() -> None:
    line = Line()
    scope, other = line.scope(), line.scope()
    one, two = line.add(scope, "1", "2")
    line.add(other, "3")
    assert line.queue.remove(scope, one)
    assert not line.queue.remove(scope, one)
    assert line.serve() == ["2", "3"]
    line.add(scope, "4", "5")
    assert list(line.queue.clear(scope)) == ["4", "5"]
    assert line.queue.waiting == 0
    assert line.serve() == []
    assert not line.queue.remove(scope, two)


def test_a_call_removed_while_its_scope_is_aside_leaves_the_slot_to_the_next() -> None:
    line = Line()
    parent = line.scope(most=1)
    a, b, c = (Scope[str](parent, parent.budget, None, "interactive") for _ in range(3))
    line.add(a, "a1")
    assert line.serve() == ["a1"]
    (waits,) = line.add(b, "b1")
    line.add(c, "c1")
    assert line.serve() == []
    line.queue.remove(b, waits)
    line.end(a)
    assert line.serve() == ["c1"]
    # The scope of the removed call can be served again.
    line.add(b, "b2")
    line.end(c)
    assert line.serve() == ["b2"]


def test_a_scope_that_is_empty_when_taken_leaves_the_slot_to_the_next() -> None:
    line = Line()
    parent = line.scope(most=1)
    a, b, c = (Scope[str](parent, parent.budget, None, "interactive") for _ in range(3))
    line.add(a, "a1")
    line.serve()
    (waits,) = line.add(b, "b1")
    line.add(c, "c1")
    assert line.serve() == []
    line.end(a)  # b is to be tried next, and its call is removed before
    line.queue.remove(b, waits)
    assert line.serve() == ["c1"]


def test_an_entry_with_a_lower_number_replaces_an_older_one() -> None:
    line = Line()
    a, b = line.scope(), line.scope()
    first, *_ = line.add(a, "a1", "a2")
    line.add(b, "b1")
    assert line.serve(1) == ["a1"]
    line.queue.add(a, "a1 again", first)  # in front of a2, whose entry is stale now
    assert line.serve() == ["a1 again", "a2", "b1"]


def test_a_scope_that_moves_from_one_shortage_to_another_lets_the_next_try() -> None:
    line = Line()
    outer = line.scope(most=2)
    inner = Scope[str](outer, outer.budget, 1, "interactive")
    a = Scope[str](inner, inner.budget, None, "interactive")
    b = Scope[str](outer, outer.budget, None, "interactive")
    line.add(a, "a1")
    line.add(b, "b1")
    assert line.serve() == ["a1", "b1"]
    line.add(b, "b2")
    line.add(a, "a2", "a3")
    c = Scope[str](inner, inner.budget, None, "interactive")
    line.add(c, "c1")
    assert line.serve() == []
    line.end(a)  # a2 has its slot within now, but b2 was first for the one around it
    assert line.serve() == ["b2"]
    line.end(b)
    assert line.serve() == ["a2"]
    line.end(b)
    assert line.serve() == []
    line.end(a)
    assert line.serve() == ["a3"]
    line.end(a)
    assert line.serve() == ["c1"]


def test_a_call_that_joins_a_scope_aside_waits_with_it() -> None:
    line = Line()
    narrow = line.scope(most=1)
    line.add(narrow, "1", "2")
    assert line.serve() == ["1"]
    line.add(narrow, "3")
    assert line.serve() == []
    line.end(narrow)
    assert line.serve() == ["2"]


def test_reprs_show_the_state() -> None:
    line = Line()
    line.add(line.scope("bulk"), "1")
    assert repr(line.queue) == "Queue(1 waiting in 0+1 scopes)"
    assert repr(line.root).startswith("Scope(interactive, 0 in flight, 0 waiting, Budget(")


@pytest.mark.parametrize("scopes", [1, 50])
def test_every_call_is_served_once(scopes: int) -> None:
    line = Line()
    lines = [line.scope("bulk" if n % 3 else "interactive") for n in range(scopes)]
    for n in range(1000):
        line.add(lines[n % scopes], str(n))
    assert sorted(map(int, line.serve())) == list(range(1000))
