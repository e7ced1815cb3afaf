"""Async tests run on a loop whose time jumps: an hour of waiting takes milliseconds, over real sockets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

from segmind_async._jobs.journal.commit_thread import WriterThread
from tests import virtual_time

# The same examples everywhere: a gate that fails by chance teaches people to press the button twice.
settings.register_profile("gate", derandomize=True, deadline=None, database=None, max_examples=60)
settings.register_profile("search", deadline=None, max_examples=2000)
settings.load_profile("gate")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Measure coverage by the quick tests alone: the slow ones take twice as long under it, and add no line."""
    for item in items:
        if item.get_closest_marker("slow") is not None:
            item.add_marker("no_cover")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": virtual_time.VirtualTimeLoop}


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the developer's own key and address out of the tests."""
    monkeypatch.delenv("SEGMIND_API_KEY", raising=False)
    monkeypatch.delenv("SEGMIND_API_KEYS", raising=False)
    monkeypatch.delenv("SEGMIND_BASE_URL", raising=False)
    monkeypatch.delenv("SEGMIND_TRANSPORT", raising=False)


@pytest.fixture(autouse=True)
def _time_waits_for_writer_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let the tests' loops know every writer thread of this test.

    Those of earlier tests would be asked at each poll too: aiohttp keeps the handlers of a thousand gateways
    in a cache, and so their databases.
    """
    start = WriterThread.__init__

    def started(self: WriterThread, *args: Any, **options: Any) -> None:
        start(self, *args, **options)
        virtual_time.writers.add(self)

    monkeypatch.setattr(WriterThread, "__init__", started)
    yield
    virtual_time.writers.clear()
