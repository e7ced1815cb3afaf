"""LlamaIndex: `OpenAILike`, which takes the base URL as an argument."""

import os

from llama_index.core.llms import ChatMessage
from llama_index.llms.openai_like import OpenAILike

model = OpenAILike(
    model="gpt-5.4-mini",
    api_base=os.environ["OPENAI_BASE_URL"],
    api_key=os.environ["OPENAI_API_KEY"],
    is_chat_model=True,
    is_function_calling_model=True,
)
assert model.chat([ChatMessage(role="user", content="hello")]).message.content == "echo: hello"
assert [*model.stream_chat([ChatMessage(role="user", content="hello")])][-1].message.content == "echo: hello"
