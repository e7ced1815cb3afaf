"""Each reader of bytes from outside, for a moment: what `make fuzz` does for as long as it is let."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz import TARGETS, attempt, mutated


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=10, deadline=None)
@given(data=st.binary(max_size=200), seed=st.integers(0, 2**32))
def test_a_reader_of_bytes_returns_or_raises_an_error_of_its_own(name: str, data: bytes, seed: int) -> None:
    target = TARGETS[name]
    for one in (*target.seeds, data, next(mutated(target.seeds, random.Random(seed)))):
        attempt(target, one)
