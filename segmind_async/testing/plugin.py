"""A pytest plugin: the emulator, a client of it and a gateway as fixtures.

pytest loads it where this package is installed. The fixtures are plain ones: they work in tests with and
without `async`, under any plugin that runs async tests, and patch nothing. The servers run in a thread.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal

from ..client import SegmindClient
from ..emulator import Emulator
from ..gateway import Gateway, GatewayOptions

__all__ = ["pytest_configure", "segmind_client", "segmind_emulator", "segmind_gateway"]


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers", "segmind(brain=None, **options): arguments of the Emulator behind the segmind_ fixtures"
    )


@pytest.fixture
def _segmind_portal() -> Iterator[BlockingPortal]:
    """Run the loop of the servers in a thread."""
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture
def segmind_emulator(request: pytest.FixtureRequest, _segmind_portal: BlockingPortal) -> Iterator[Emulator]:
    """Segmind's service on loopback, new for each test; `@pytest.mark.segmind(…)` sets its options."""
    marker = request.node.get_closest_marker("segmind")
    emulator = Emulator() if marker is None else Emulator(*marker.args, **marker.kwargs)
    with _segmind_portal.wrap_async_context_manager(emulator):
        yield emulator


@pytest.fixture
def segmind_client(segmind_emulator: Emulator, _segmind_portal: BlockingPortal) -> Iterator[SegmindClient]:
    """A client of the emulator. Its connections close with the loop of the test."""
    client = SegmindClient(segmind_emulator.key, segmind_emulator.url)
    yield client
    _segmind_portal.call(client.aclose)


@pytest.fixture
def segmind_gateway(segmind_emulator: Emulator, _segmind_portal: BlockingPortal) -> Iterator[Gateway]:
    """A gateway before the emulator, with a client of its own; `segmind_gateway.url` for OpenAI's SDKs."""
    with _segmind_portal.wrap_async_context_manager(_gateway(segmind_emulator)) as gateway:
        yield gateway


@asynccontextmanager
async def _gateway(emulator: Emulator) -> AsyncIterator[Gateway]:
    async with (
        SegmindClient(emulator.key, emulator.url) as client,
        # No grace: who calls when its test has ended waits for nothing.
        Gateway(client, GatewayOptions(port=0, grace=0)) as gateway,
    ):
        yield gateway
