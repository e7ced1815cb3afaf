"""A server that refuses as the gateway does, and notes when it is asked.

`python -m interop.refusing N STATUS` prints its base URL. The first N requests are refused, later ones
answered; `GET /asked` tells at what second each of them came.
"""

from __future__ import annotations

import argparse
import asyncio

from aiohttp import web

from segmind_async.errors import BudgetExceededError
from segmind_async.gateway._errors import GatewayError, budget_error, headers_of
from segmind_async.gateway._load import Load
from segmind_async.gateway._openai.envelope import envelope

ANSWER = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-5.4-mini",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": '{"name": "x"}'}, "finish_reason": "stop"}
    ],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
}


def refusal(status: int) -> GatewayError:
    """Return the gateway's own refusal of that status."""
    if status == 402:
        return budget_error(BudgetExceededError("0 of 1 credits are left"), "team", daily=True)
    load = Load(0, 0)
    try:
        with load.taken(None, 0):
            raise AssertionError
    except GatewayError as error:
        return error


async def serve(refusals: int, status: int) -> None:
    asked: list[float] = []
    clock = asyncio.get_running_loop().time

    async def answer(_request: web.Request) -> web.Response:
        asked.append(clock())
        if len(asked) > refusals:
            return web.json_response(ANSWER)
        problem = refusal(status)
        return web.json_response(envelope(problem), status=problem.status, headers=headers_of(problem))

    async def told(_request: web.Request) -> web.Response:
        return web.json_response(asked)

    app = web.Application()
    app.router.add_get("/asked", told)
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}/v1", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("refusals", type=int)
    parser.add_argument("status", type=int, choices=(402, 429))
    options = parser.parse_args()
    asyncio.run(serve(options.refusals, options.status))
