"""Ways to make the same call with our own packages: bare aiohttp, `chat`, `fan_out`.

A way is an async context manager over a callable that makes one call. It imports what it measures when
it is opened, since each runs in a process of its own.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TypeAlias

MODEL = "gpt-5.4-mini"
KEY = "SG_0123456789abcdef"
"""As long as the service's own: answers are searched for it."""

MESSAGES = [
    {"role": "system", "content": "Classify the message. " * 12},
    {"role": "user", "content": "I was charged twice for my order last week. " * 8},
]

Way: TypeAlias = Callable[[str, int], AbstractAsyncContextManager[Callable[[], Awaitable[object]]]]


@asynccontextmanager
async def bare(url: str, in_flight: int) -> AsyncIterator[Callable[[], Awaitable[object]]]:
    """`session.post` + `json()`, as the aiohttp documentation shows it."""
    import aiohttp  # noqa: PLC0415  # see above

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers={"x-api-key": KEY}) as session:

        async def call() -> object:
            async with session.post(f"{url}/{MODEL}", json={"messages": MESSAGES}) as response:
                return await response.json()

        yield call


@asynccontextmanager
async def openai_form(url: str, in_flight: int) -> AsyncIterator[Callable[[], Awaitable[object]]]:
    """Bare aiohttp again, in OpenAI's form: what proxies take."""
    import aiohttp  # noqa: PLC0415  # see above

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, headers={"Authorization": "Bearer k"}) as session:

        async def call() -> object:
            body = {"model": MODEL, "messages": MESSAGES}
            async with session.post(f"{url}/chat/completions", json=body) as response:
                response.raise_for_status()
                return await response.json()

        yield call


@asynccontextmanager
async def chat(url: str, in_flight: int) -> AsyncIterator[Callable[[], Awaitable[object]]]:
    """Ours, `chat` from as many tasks."""
    from segmind_async import Limits, SegmindClient  # noqa: PLC0415  # see above

    async with SegmindClient(KEY, url, limits=Limits(in_flight)) as client:

        async def call() -> object:
            return await client.chat(MESSAGES)

        yield call


async def fan_out(url: str, in_flight: int, calls: int) -> AsyncIterator[float]:
    """Ours, one `fan_out` with everything on: gives the seconds that each row's call took."""
    from segmind_async import ChatRequest, Limits, SegmindClient  # noqa: PLC0415  # see above

    async with SegmindClient(KEY, url, limits=Limits(in_flight)) as client:
        rows = (ChatRequest(MESSAGES) for _ in range(calls))
        async with client.fan_out(rows, floor=0) as outcomes:
            async for outcome in outcomes:
                if outcome.completion is None:
                    raise AssertionError(outcome.error)
                yield outcome.completion.elapsed


async def run_job(url: str, in_flight: int, calls: int) -> AsyncIterator[float]:
    """The same rows as a job, each on the disk before it is seen."""
    from segmind_async import ChatRequest, Limits, SegmindClient  # noqa: PLC0415  # see above

    rows = (ChatRequest(MESSAGES, id=f"r{n}") for n in range(calls))
    with tempfile.TemporaryDirectory() as folder:
        client = SegmindClient(KEY, url, limits=Limits(in_flight))
        async with client, client.run_job(rows, journal=f"{folder}/journal", floor=0) as outcomes:
            async for outcome in outcomes:
                if outcome.completion is None:
                    raise AssertionError(outcome.error)
                yield outcome.completion.elapsed


WAYS: dict[str, Way] = {"bare aiohttp": bare, "openai form": openai_form, "chat": chat}
