"""DSPy: a language model asked directly."""

import dspy

model = dspy.LM("openai/gpt-5.4-mini", cache=False)
assert model("hello") == ["echo: hello"]
