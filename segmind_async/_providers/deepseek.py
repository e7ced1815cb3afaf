"""DeepSeek's models: OpenAI's form, but structured output by `json_object` only."""

from __future__ import annotations

from .._structured.prompting import SchemaSupport
from .openai import OpenAI


class DeepSeek(OpenAI):
    """OpenAI's form without JSON schemas. Source: DeepSeek's API reference (2026-08)."""

    name = "deepseek"
    slug_prefixes = ("deepseek-",)
    schema_support = SchemaSupport.JSON_OBJECT
