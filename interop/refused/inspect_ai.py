import asyncio

from inspect_ai.model import get_model

asyncio.run(get_model("openai/gpt-5.4-mini", responses_api=False).generate("hello"))
