"""pydantic-ai: chat model, tools, an output type, streaming."""

import asyncio

from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel


class City(BaseModel):
    name: str


model = OpenAIChatModel("gpt-5.4-mini")


async def main() -> None:
    assert (await Agent(model).run("hello")).output == "echo: hello"
    assert isinstance((await Agent(model, output_type=City).run("Paris")).output, City)
    async with Agent(model).run_stream("hello") as stream:
        assert await stream.get_output() == "echo: hello"


asyncio.run(main())
