"""Callers of a gateway that keeps files, by the openai SDK."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import openai
from openai.types import Batch, FileObject

from segmind_async.emulator import Brain
from segmind_async.gateway import GatewayOptions
from tests.gateway.support import World, world

URL: Any = "/v1/chat/completions"
OPEN = {"validating", "in_progress", "finalizing", "cancelling"}


def line(number: int, model: str = "gpt-5.4-mini", **fields: Any) -> dict[str, Any]:
    body = {"model": model, "messages": [{"role": "user", "content": f"row {number}"}], **fields}
    return {"custom_id": f"r{number}", "method": "POST", "url": URL, "body": body}


def content(lines: Iterable[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(one) + "\n" for one in lines).encode()


@asynccontextmanager
async def kept(
    folder: Path, brain: Brain | None = None, *, client: dict[str, Any] | None = None, **more: Any
) -> AsyncIterator[tuple[World, openai.AsyncOpenAI]]:
    """Yield a gateway that keeps files in *folder*, and a caller; *more*: its options, and the service's."""
    options = {name: more.pop(name) for name in [*more] if name in GatewayOptions.__dataclass_fields__}
    made = GatewayOptions(port=0, files=folder, **options)
    async with (
        world(brain, options=made, client=client, **more) as w,
        openai.AsyncOpenAI(api_key="token-of-a-caller", base_url=w.gateway.url, max_retries=0) as sdk,
    ):
        yield w, sdk


async def uploaded(sdk: openai.AsyncOpenAI, lines: Iterable[dict[str, Any]] | bytes) -> FileObject:
    whole = lines if isinstance(lines, bytes) else content(lines)
    return await sdk.files.create(file=("rows.jsonl", whole), purpose="batch")


async def begun(sdk: openai.AsyncOpenAI, lines: Iterable[dict[str, Any]] | bytes, **more: Any) -> Batch:
    file = await uploaded(sdk, lines)
    order = {"endpoint": URL, "completion_window": "24h", **more}
    return await sdk.batches.create(input_file_id=file.id, **order)


async def ended(sdk: openai.AsyncOpenAI, batch: Batch) -> Batch:
    return await in_state(sdk, batch, lambda found: found.status not in OPEN)


async def in_state(sdk: openai.AsyncOpenAI, batch: Batch, wanted: Any) -> Batch:
    for looked in range(1000):
        found = await sdk.batches.retrieve(batch.id)
        if wanted(found):
            return found
        await anyio.sleep(1 if looked < 30 else 60)
    raise AssertionError(f"not in that state: {found}")


async def rows(sdk: openai.AsyncOpenAI, file_id: str | None) -> list[dict[str, Any]]:
    if file_id is None:
        return []
    return [json.loads(row) for row in (await sdk.files.content(file_id)).text.splitlines()]
