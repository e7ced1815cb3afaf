import os

from llama_index.llms.openai_like import OpenAILike

url = os.environ["OPENAI_BASE_URL"]
OpenAILike(model="gpt-5.4-mini", api_base=url, api_key="unused", is_chat_model=True).complete("hello")
