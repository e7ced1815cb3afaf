"""Async tests run on a loop whose time jumps: an hour of waiting takes milliseconds, over real sockets."""

from __future__ import annotations

import looptime
import pytest
from hypothesis import settings

# The same examples everywhere: a gate that fails by chance teaches people to press the button twice.
settings.register_profile("gate", derandomize=True, deadline=None, database=None, max_examples=60)
settings.register_profile("search", deadline=None, max_examples=2000)
settings.load_profile("gate")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": looptime.new_event_loop}


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's own key and address out of the tests."""
    monkeypatch.delenv("SEGMIND_API_KEY", raising=False)
    monkeypatch.delenv("SEGMIND_BASE_URL", raising=False)
