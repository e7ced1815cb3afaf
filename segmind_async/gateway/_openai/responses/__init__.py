"""OpenAI's Responses API over chat completions: requests read, responses and their event streams formed."""
