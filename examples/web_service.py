"""A web service that summarises many texts at once: POST a JSON list to /summaries. Needs SEGMIND_API_KEY.

One client for the whole service: every request's fan-out shares its slots, its pace and its ledger.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiohttp import web

from segmind_async import SegmindClient

CLIENT = web.AppKey("client", SegmindClient)


async def summaries(request: web.Request) -> web.Response:
    prompts = (f"Summarise in one sentence: {text}" for text in await request.json())
    outcomes = await request.app[CLIENT].chat_many(prompts, floor=0.5)
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
    web.run_app(make_app(), host="127.0.0.1")
