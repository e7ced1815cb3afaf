import os

from llm.default_plugins.openai_models import Chat

model = Chat("gpt-5.4-mini", model_name="gpt-5.4-mini", api_base=os.environ["OPENAI_BASE_URL"])
model.key = "unused"
model.prompt("hello", stream=False).text()
