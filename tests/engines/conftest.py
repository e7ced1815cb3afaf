"""The service for shards, which take its address from the environment."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from segmind_async.emulator import Emulator
from tests.support import KEY, serving


@pytest.fixture
def emulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    monkeypatch.setenv("SEGMIND_API_KEY", KEY)
    with serving(Emulator(latency=0.001, balance=10_000, key=KEY)) as running:
        monkeypatch.setenv("SEGMIND_BASE_URL", running.url)
        yield running
