"""The openai SDK: sync, async, stream, tools, parse, responses, files and batches."""

import asyncio
import json
import time

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


def responses() -> None:
    client = openai.OpenAI()
    got = client.responses.create(model=MODEL, input="hello")
    assert got.output_text == "echo: hello"
    again = client.responses.create(model=MODEL, input="again", previous_response_id=got.id)
    assert again.output_text == "echo: again"
    events = list(client.responses.create(model=MODEL, input="hello", stream=True))
    assert events[-1].type == "response.completed"
    parsed = client.responses.parse(model=MODEL, input="Paris", text_format=City)
    assert isinstance(parsed.output_parsed, City)


def batch() -> None:
    client = openai.OpenAI()
    row = {"custom_id": "a", "method": "POST", "url": "/v1/chat/completions"}
    row["body"] = {"model": MODEL, "messages": ASKED}
    file = client.files.create(file=("rows.jsonl", json.dumps(row).encode()), purpose="batch")
    made = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    while made.status != "completed":
        assert made.status in {"validating", "in_progress", "finalizing"}
        time.sleep(0.2)
        made = client.batches.retrieve(made.id)
    assert "echo: hello" in client.files.content(made.output_file_id).text


async def main() -> None:
    async with openai.AsyncOpenAI() as client:
        got = await client.chat.completions.create(model=MODEL, messages=ASKED)
        assert got.choices[0].message.content == "echo: hello"


blocking()
responses()
batch()
asyncio.run(main())
