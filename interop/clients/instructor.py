"""instructor over the openai SDK: a response model by tools and by JSON schema."""

import instructor
import openai
from pydantic import BaseModel


class City(BaseModel):
    name: str


for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON_SCHEMA):
    client = instructor.from_openai(openai.OpenAI(), mode=mode)
    got = client.chat.completions.create(
        model="gpt-5.4-mini", response_model=City, messages=[{"role": "user", "content": "Paris"}]
    )
    assert isinstance(got, City)
