from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel

Agent(OpenAIChatModel("gpt-5.4-mini")).run_sync("hello")
