import dspy

dspy.LM("openai/gpt-5.4-mini", cache=False)("hello")
