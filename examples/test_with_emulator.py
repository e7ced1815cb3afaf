"""A test of your own code against the emulated service: no key, no network, no cost. Run it with pytest."""

from __future__ import annotations

import asyncio

from segmind_async import SegmindClient
from segmind_async.emulator import Emulator, FunctionBrain, faults


async def translate(client: SegmindClient, words: list[str]) -> list[str | None]:
    """Stand for the code under test."""
    outcomes = await client.chat_many(f"In French, one word: {word}" for word in words)
    return [outcome.text for outcome in outcomes]


def test_translate_survives_a_lost_answer() -> None:
    french = {"dog": "chien", "cat": "chat"}
    brain = FunctionBrain(lambda question: french[question.prompt.split()[-1]])

    async def main() -> list[str | None]:
        async with Emulator(brain, balance=1) as emulator:
            emulator.script(faults.status(503), faults.Reset())
            async with SegmindClient(emulator.key, emulator.url) as client:
                return await translate(client, ["dog", "cat"])

    assert asyncio.run(main()) == ["chien", "chat"]
