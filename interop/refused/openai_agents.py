from agents import Agent, Runner, set_default_openai_api, set_tracing_disabled

set_default_openai_api("chat_completions")
set_tracing_disabled(True)
Runner.run_sync(Agent(name="a", model="gpt-5.4-mini"), "hello")
