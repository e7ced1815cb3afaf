"""pydantic-ai over chat completions and over responses: an answer, an output type, a stream."""

import asyncio

from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel


class City(BaseModel):
    name: str


async def main() -> None:
    for model in (OpenAIChatModel("gpt-5.4-mini"), OpenAIResponsesModel("gpt-5.4-mini")):
        assert (await Agent(model).run("hello")).output == "echo: hello"
        assert isinstance((await Agent(model, output_type=City).run("Paris")).output, City)
        async with Agent(model).run_stream("hello") as stream:
            assert await stream.get_output() == "echo: hello"


asyncio.run(main())
