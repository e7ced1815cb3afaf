"""A TCP chaos proxy between clients and a service: `make chaos`, or `python -m interop.chaos`.

The proxy is the package faulty; openai, litellm and instructor meet the same as this library, in the same
form, each without retries. A call ends with the right text, with an error of the client's own kind, with a
wrong text, with any other exception, or not within its timeout and a grace.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version
from itertools import count
from pathlib import Path

import anyio
import instructor
import litellm
import openai
from aiohttp import web
from faulty.core.proxy import FaultyProxy
from faulty.middlewares import (
    BaseMiddleware,
    CorruptBytesMiddleware,
    DropMiddleware,
    LatencyMiddleware,
    ThrottleMiddleware,
)
from instructor.core import InstructorError
from pydantic import BaseModel

import segmind_async as sa

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "chaos.md"
CALLS, AT_ONCE = 200, 8
TIMEOUT, GRACE = 2.0, 4.0
"""Seconds that each client is told, and how long beyond them a call counts as hanging."""
KEY = "SG_0123456789abcdef"
litellm.suppress_debug_info = True

Ask = Callable[[str], Awaitable[str | None]]


class Echo(BaseModel):
    """What instructor parses."""

    text: str


class Twice(BaseMiddleware):
    """Sends every piece twice, as a broken proxy may."""

    async def process(self, chunk: bytes) -> AsyncGenerator[bytes, None]:
        yield chunk
        await anyio.sleep(0.001)
        yield chunk


class Bytewise(BaseMiddleware):
    """Sends single bytes."""

    async def process(self, chunk: bytes) -> AsyncGenerator[bytes, None]:
        for byte in chunk:
            yield bytes((byte,))


class Cut(BaseMiddleware):
    """Ends the connection in the middle of one piece in four."""

    async def process(self, chunk: bytes) -> AsyncGenerator[bytes, None]:
        if random.random() < 0.25:
            yield chunk[: random.randrange(len(chunk))]
            raise ConnectionResetError
        yield chunk


CASES: dict[str, tuple[list[BaseMiddleware], list[BaseMiddleware]]] = {
    "nothing": ([], []),
    "0.1 to 0.5 s late": ([LatencyMiddleware(100, 500)], []),
    "100 kB a second": ([ThrottleMiddleware(100_000)], []),
    "single bytes": ([Bytewise()], []),
    "one byte wrong in each tenth answer": ([CorruptBytesMiddleware(0.1)], []),
    "one byte wrong in each answer": ([CorruptBytesMiddleware(1.0)], []),
    "one byte wrong in each request": ([], [CorruptBytesMiddleware(1.0)]),
    "a tenth of the answers lost": ([DropMiddleware(0.1)], []),
    "a tenth of the requests lost": ([], [DropMiddleware(0.1)]),
    "a quarter of the answers cut": ([Cut()], []),
    "each answer twice": ([Twice()], []),
}
"""What the proxy does to answers, and to requests."""


async def serve(request: web.Request) -> web.Response:
    """Answer any POST in OpenAI's form with the prompt itself."""
    try:
        asked = (await request.json())["messages"][-1]["content"]
    except (ValueError, KeyError, TypeError, IndexError):
        return web.json_response({"error": "not a request"}, status=400)
    message = {"role": "assistant", "content": asked}
    body = {
        "id": f"chatcmpl-{next(_IDS)}",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-5.4-mini",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    }
    headers = {"x-request-id": str(next(_IDS)), "x-cost": "0.0001", "x-remaining-credits": "100"}
    return web.json_response(body, headers=headers)


_IDS = count(1)


@asynccontextmanager
async def ours(url: str) -> AsyncIterator[Ask]:
    async with sa.SegmindClient(
        KEY,
        url,
        limits=sa.Limits(AT_ONCE),
        timeouts=sa.Timeouts(total=TIMEOUT, attempt=TIMEOUT),
        retry=sa.RetryPolicy(retries=0),
    ) as client:

        async def ask(prompt: str) -> str | None:
            return (await client.chat(prompt)).text

        yield ask


@asynccontextmanager
async def the_openai_sdk(url: str) -> AsyncIterator[Ask]:
    async with openai.AsyncOpenAI(api_key=KEY, base_url=url, timeout=TIMEOUT, max_retries=0) as client:

        async def ask(prompt: str) -> str | None:
            got = await client.chat.completions.create(model="gpt-5.4-mini", messages=_asked(prompt))
            return got.choices[0].message.content

        yield ask


@asynccontextmanager
async def the_instructor(url: str) -> AsyncIterator[Ask]:
    async with openai.AsyncOpenAI(api_key=KEY, base_url=url, timeout=TIMEOUT, max_retries=0) as client:
        patched = instructor.from_openai(client, mode=instructor.Mode.JSON)

        async def ask(prompt: str) -> str | None:
            got = await patched.chat.completions.create(
                model="gpt-5.4-mini", messages=_asked(prompt), response_model=Echo, max_retries=1
            )
            return got.model_dump_json()

        yield ask


@asynccontextmanager
async def the_litellm(url: str) -> AsyncIterator[Ask]:
    async def ask(prompt: str) -> str | None:
        got = await litellm.acompletion(
            model="openai/gpt-5.4-mini", messages=_asked(prompt), api_base=url, api_key=KEY, timeout=TIMEOUT,
            num_retries=0, max_retries=0,
        )  # fmt: skip
        return got.choices[0].message.content

    yield ask


def _asked(prompt: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}]


CLIENTS = {
    "segmind-async": (ours, (sa.SegmindError,)),
    "openai": (the_openai_sdk, (openai.OpenAIError,)),
    "instructor": (the_instructor, (openai.OpenAIError, InstructorError)),
    "litellm": (the_litellm, (openai.OpenAIError,)),
}
"""Each client, and what its own errors are; those of litellm are openai's."""


async def tried(name: str, url: str) -> Counter[str]:
    """Send all calls, a few at once, and count how they ended."""
    opened, own = CLIENTS[name]
    ended: Counter[str] = Counter()
    numbers = iter(range(CALLS))

    async def work(ask: Ask) -> None:
        for number in numbers:
            prompt = f'{{"text":"row {number}"}}'
            try:
                async with asyncio.timeout(TIMEOUT + GRACE):
                    text = await ask(prompt)
                ended["right" if text == prompt else "wrong"] += 1
            except own:
                ended["typed"] += 1
            except TimeoutError:
                ended["hung"] += 1
            except Exception as error:  # noqa: BLE001  # counted
                ended["raw"] += 1
                print(f"{name}: {type(error).__name__}: {str(error)[:100]}", file=sys.stderr)

    async with opened(url) as ask, asyncio.TaskGroup() as workers:
        for _ in range(AT_ONCE):
            workers.create_task(work(ask))
    return ended


HEAD = f"""# A chaos proxy

{CALLS} calls of each client, {AT_ONCE} at a time, over a TCP proxy that spoils what goes over it (the
package faulty), each without retries and with a timeout of {TIMEOUT:g} s: `make chaos`. A cell counts right
answers / errors of the client's own / wrong answers / other exceptions / calls without an end {GRACE:g} s
after their timeout. A byte that is wrong within a text is found by no client: HTTP and JSON have no checksum,
TLS has.

"""


async def main() -> None:
    app = web.Application()
    app.router.add_post("/{path:.*}", serve)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    heads = [f"{name} {version(name)}" for name in CLIENTS]
    lines = [f"| the proxy does | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for case, (answers, requests) in CASES.items():
        cells = []
        for name in CLIENTS:
            random.seed(case)
            async with FaultyProxy("127.0.0.1", 0, "127.0.0.1", runner.addresses[0][1]) as proxy:
                for rule in answers:
                    proxy.add_ingress_rule(rule)
                for rule in requests:
                    proxy.add_egress_rule(rule)
                ended = await tried(name, f"http://127.0.0.1:{proxy._server.sockets[0].getsockname()[1]}/v1")
                proxy._server.close()
            cells.append(" / ".join(str(ended[one]) for one in ("right", "typed", "wrong", "raw", "hung")))
        lines.append(f"| {case} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    await runner.cleanup()
    PAGE.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main())
