"""A FastAPI service: POST {"question": …} to /answers. Needs SEGMIND_API_KEY.

Run it with `uvicorn --app-dir examples fastapi_service:app`. One client, opened and closed with the
application; a budget for each request; who hangs up ends the call, which FastAPI does not do by itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from fastapi import Body, FastAPI, HTTPException, Request

from segmind_async import Outcome, SegmindClient


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with SegmindClient() as app.state.client:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/answers")
async def answers(request: Request, question: str = Body(embed=True)) -> dict[str, str | None]:
    client: SegmindClient = request.app.state.client
    found: list[Outcome] = []
    async with client.budget(max_credits=0.05) as scoped, anyio.create_task_group() as tasks:
        tasks.start_soon(end_with_caller, request, tasks.cancel_scope)
        found = await scoped.chat_many([question])
        tasks.cancel_scope.cancel()
    if not found or found[0].error:
        raise HTTPException(502, str(found[0].error) if found else "the caller hung up")
    return {"text": found[0].text}


async def end_with_caller(request: Request, scope: anyio.CancelScope) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    scope.cancel()
