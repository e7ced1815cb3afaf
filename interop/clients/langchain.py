"""LangChain: OPENAI_BASE_URL and OPENAI_API_KEY, nothing else."""

import asyncio

from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel


class City(BaseModel):
    name: str
    country: str


@tool
def weather(city: str) -> str:
    """Return the weather of a city."""
    return f"sunny in {city}"


model = ChatOpenAI(model="gpt-5.4-mini")


async def main() -> None:
    assert model.invoke("hello").content == "echo: hello"
    assert [one.content for one in await model.abatch(["one", "two"])] == ["echo: one", "echo: two"]
    assert "".join(str(piece.content) for piece in model.stream("hello")) == "echo: hello"
    assert isinstance(model.with_structured_output(City).invoke("Paris"), City)
    [call] = model.bind_tools([weather], tool_choice="any").invoke("Paris").tool_calls
    assert call["name"] == "weather"


asyncio.run(main())
