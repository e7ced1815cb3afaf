from langchain_openai import ChatOpenAI

ChatOpenAI(model="gpt-5.4-mini").invoke("hello")
