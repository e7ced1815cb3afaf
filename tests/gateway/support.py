"""A gateway over the emulator, and a caller of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest

from segmind_async import SegmindClient
from segmind_async.emulator import Brain, Emulator
from segmind_async.gateway import Gateway, GatewayOptions

TOKEN = "open-sesame-please"

WITH_WRONG_VALUES = pytest.mark.parametrize(
    "value",
    ["text", 1.5, True, {"a": 1}, [1], -1],
    ids=["text", "fraction", "bool", "object", "list", "negative"],
)
"""Gives a test the argument `value`: of each type that JSON has, and a number that is rarely allowed."""


@dataclass
class World:
    emulator: Emulator
    client: SegmindClient
    gateway: Gateway
    session: aiohttp.ClientSession

    async def post(self, path: str, json: Any = None, **more: Any) -> aiohttp.ClientResponse:
        response = await self.session.post(self.gateway.url + path, json=json, **more)
        await response.read()
        return response

    async def get(self, path: str, **more: Any) -> aiohttp.ClientResponse:
        response = await self.session.get(self.gateway.url + path, **more)
        await response.read()
        return response

    async def chat(self, text: str = "hello", **fields: Any) -> aiohttp.ClientResponse:
        return await self.post("/chat/completions", asked(text, **fields))


def asked(text: str = "hello", **fields: Any) -> dict[str, Any]:
    return {"model": "gpt-5.4-mini", "messages": [{"role": "user", "content": text}], **fields}


@asynccontextmanager
async def world(
    brain: Brain | None = None,
    *,
    options: GatewayOptions | None = None,
    client: dict[str, Any] | None = None,
    accounts: Mapping[str, float] | None = None,
    **service: Any,
) -> AsyncIterator[World]:
    """Open a gateway over one key, and those of further *accounts* with their credits."""
    service.setdefault("balance", 5)
    async with (
        Emulator(brain, **service) as emulator,
        SegmindClient(
            api_keys=[emulator.key, *(accounts or {})], base_url=emulator.url, **(client or {})
        ) as opened,
        Gateway(opened, options or GatewayOptions(port=0)) as gateway,
        aiohttp.ClientSession() as session,
    ):
        for key, balance in (accounts or {}).items():
            emulator.state.add_account(key, balance)
        yield World(emulator, opened, gateway, session)
