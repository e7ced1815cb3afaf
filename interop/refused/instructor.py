import instructor
import openai
from pydantic import BaseModel


class City(BaseModel):
    name: str


asked = [{"role": "user", "content": "hello"}]
client = instructor.from_openai(openai.OpenAI(), mode=instructor.Mode.JSON_SCHEMA)
client.chat.completions.create(model="gpt-5.4-mini", messages=asked, response_model=City)
