"""An aiohttp service that summarises many texts: POST a JSON list to /summaries. Needs SEGMIND_API_KEY.

One client for the whole service: all requests share its slots, its pace and its ledger. Each has a budget
of its own, and who hangs up ends what it had begun (`handler_cancellation`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web

from segmind_async import SegmindClient

CLIENT = web.AppKey("client", SegmindClient)


async def summaries(request: web.Request) -> web.Response:
    prompts = [f"Summarise in one sentence: {text}" for text in await request.json()]
    async with request.app[CLIENT].budget(max_credits=0.5, max_in_flight=8) as scoped:
        outcomes = await scoped.chat_many(prompts, floor=0.5)
    return web.json_response([{"text": o.text, "error": o.error and str(o.error)} for o in outcomes])


async def open_client(app: web.Application) -> AsyncIterator[None]:
    async with SegmindClient() as app[CLIENT]:
        yield


def make_app() -> web.Application:
    app = web.Application()
    app.router.add_post("/summaries", summaries)
    app.cleanup_ctx.append(open_client)
    return app


if __name__ == "__main__":
    web.run_app(make_app(), host="127.0.0.1", handler_cancellation=True)
