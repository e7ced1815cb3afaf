"""The same call with other people's clients, in an environment of their own that is made here."""

from __future__ import annotations

import subprocess
import sys
import threading
import venv
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from .clients import MESSAGES, MODEL, Way
from .tables import HERE

REQUIREMENTS = ("openai[aiohttp]>=3.54", "httpx>=0.28,<0.29", "segmind==1.3.0", "uvloop>=0.22")


def environment(name: str, requirements: Sequence[str]) -> str:
    """Return the interpreter of an environment of other people's packages, made on first use."""
    home = HERE / f".{name}"
    path = home / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    ready = home / "ready"
    wanted = "\n".join(requirements)
    if not ready.exists() or ready.read_text() != wanted:
        print(f"making the environment {home.name}", file=sys.stderr)
        venv.create(home, with_pip=True, clear=True)
        subprocess.run([path, "-m", "pip", "install", "-q", *requirements], check=True)
        ready.write_text(wanted)
    return str(path)


def python() -> str:
    """Return the interpreter of the other clients' environment."""
    return environment("peers", REQUIREMENTS)


@asynccontextmanager
async def httpx(url: str, in_flight: int) -> AsyncIterator[Callable[[], Awaitable[object]]]:
    import httpx as library  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415, TID251  # a peer

    # Its own limits: with more connections than its default of 100 it only gets slower.
    async with library.AsyncClient(timeout=60, headers={"x-api-key": "k"}) as client:

        async def call() -> object:
            response = await client.post(f"{url}/{MODEL}", json={"messages": MESSAGES})
            return response.json()

        yield call


def openai(*, over_aiohttp: bool) -> Way:
    @asynccontextmanager
    async def way(url: str, in_flight: int) -> AsyncIterator[Callable[[], Awaitable[object]]]:
        import openai as library  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415  # a peer

        inner = library.DefaultAioHttpClient() if over_aiohttp else None
        async with library.AsyncOpenAI(api_key="k", base_url=url, http_client=inner) as client:

            async def call() -> object:
                return await client.chat.completions.create(model=MODEL, messages=cast("Any", MESSAGES))

            yield call

    return way


def segmind(url: str) -> Callable[[], object]:
    """The vendor's own client, which blocks: one for each thread, since many threads break a shared one."""
    import segmind as library  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415  # a peer

    mine = threading.local()

    def call() -> object:
        if not hasattr(mine, "client"):
            mine.client = library.SegmindClient(api_key="k", base_url=url)
        return mine.client.chat_sync(MODEL, messages=MESSAGES)

    return call


WAYS: dict[str, Way] = {
    "httpx": httpx,
    "AsyncOpenAI": openai(over_aiohttp=False),
    "AsyncOpenAI with aiohttp": openai(over_aiohttp=True),
}
THREADS = "segmind in threads"
