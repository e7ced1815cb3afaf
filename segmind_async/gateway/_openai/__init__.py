"""OpenAI's form of the API: requests read, answers, event streams, lists and errors formed."""
