"""llm: a model class with the gateway as `api_base`, as a line of extra-openai-models.yaml makes it."""

import os

from llm.default_plugins.openai_models import Chat

model = Chat("gpt-5.4-mini", model_name="gpt-5.4-mini", api_base=os.environ["OPENAI_BASE_URL"])
model.key = "unused"
assert model.prompt("hello", stream=False).text() == "echo: hello"
assert model.prompt("hello", stream=True).text() == "echo: hello"
