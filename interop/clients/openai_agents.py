"""openai-agents over responses, its default, and over chat completions: `set_default_openai_api`."""

from agents import Agent, Runner, set_default_openai_api, set_tracing_disabled

set_tracing_disabled(True)
agent = Agent(name="a", model="gpt-5.4-mini")
assert Runner.run_sync(agent, "hello").final_output == "echo: hello"
set_default_openai_api("chat_completions")
assert Runner.run_sync(agent, "hello").final_output == "echo: hello"
