"""inspect_ai: a model asked directly, by chat completions."""

import asyncio

from inspect_ai.model import get_model


async def main() -> None:
    async with get_model("openai/gpt-5.4-mini", responses_api=False) as model:
        assert (await model.generate("hello")).completion == "echo: hello"


asyncio.run(main())
