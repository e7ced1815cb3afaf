"""The openai SDK: sync, async, stream, tools, parse."""

import asyncio

import openai
from pydantic import BaseModel


class City(BaseModel):
    name: str


MODEL = "gpt-5.4-mini"
ASKED = [{"role": "user", "content": "hello"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def blocking() -> None:
    client = openai.OpenAI()
    got = client.chat.completions.create(model=MODEL, messages=ASKED)
    assert got.choices[0].message.content == "echo: hello"
    pieces = client.chat.completions.create(model=MODEL, messages=ASKED, stream=True)
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces if piece.choices) == "echo: hello"
    got = client.chat.completions.create(model=MODEL, messages=ASKED, tools=[TOOL], tool_choice="required")
    assert got.choices[0].message.tool_calls[0].function.name == "weather"
    parsed = client.chat.completions.parse(model=MODEL, messages=ASKED, response_format=City)
    assert isinstance(parsed.choices[0].message.parsed, City)
    assert "gpt-5.4-mini" in {one.id for one in client.models.list()}


async def main() -> None:
    async with openai.AsyncOpenAI() as client:
        got = await client.chat.completions.create(model=MODEL, messages=ASKED)
        assert got.choices[0].message.content == "echo: hello"


blocking()
asyncio.run(main())
