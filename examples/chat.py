"""One question, one answer. Needs SEGMIND_API_KEY."""

from __future__ import annotations

import asyncio

from segmind_async import SegmindClient


async def main() -> None:
    async with SegmindClient() as client:
        reply = await client.chat("Tell me a joke about dogs.", max_tokens=200)
    print(reply.text)
    print(f"{reply.cost} credits, {reply.credits_remaining} left")


if __name__ == "__main__":
    asyncio.run(main())
