import litellm

litellm.completion(model="openai/gpt-5.4-mini", messages=[{"role": "user", "content": "hello"}])
