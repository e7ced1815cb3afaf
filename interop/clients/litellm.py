"""litellm as a client: an answer and a stream."""

import asyncio

import litellm

ASKED = [{"role": "user", "content": "hello"}]


async def main() -> None:
    got = await litellm.acompletion(model="openai/gpt-5.4-mini", messages=ASKED)
    assert got.choices[0].message.content == "echo: hello"
    pieces = [
        piece
        async for piece in await litellm.acompletion(model="openai/gpt-5.4-mini", messages=ASKED, stream=True)
    ]
    assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == "echo: hello"


asyncio.run(main())
