"""Compare the schemas that this library, openai, instructor and pydantic-ai send for the same ordinary types.

`make schemas` runs it in an environment of its own, and writes the table into docs/explanation/schemas.md.
Each schema is judged by `published_rules`. Counted are types whose schema the provider takes as a strict one
(ok), would refuse (400), types that the library sends without strict mode or in the prompt, so that nothing
binds the model (loose), and types that it refuses by an exception (error).
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import BaseModel, create_model
from pydantic_core import from_json, to_json

from segmind_async import ChatRequest
from segmind_async._providers.registry import provider_of
from segmind_async._structured.prompting import request_with_shape
from segmind_async._structured.shape import shape_of

from .ordinary_types import TYPES
from .published_rules import RULES

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "schemas.md"
MARKS = re.compile(r"(?<=<!-- schemas -->\n).*?(?=<!-- end -->)", re.S)

Schema = dict[str, Any]
Sends = Callable[[Any, str], Schema | None]
"""Returns the strict schema that is sent for a type to a model; None if none is."""


def ours(kind: Any, model: str) -> Schema | None:
    provider = provider_of(model)
    request = request_with_shape(
        ChatRequest("?"), shape_of(kind), provider.schema_support, provider.schema_rules
    )
    wanted: Any = request.parameters.get("response_format", {})
    return wanted["json_schema"]["schema"] if "json_schema" in wanted else None


def as_model(kind: Any) -> type[BaseModel]:
    """The others take models; another type is wrapped in one, as their users do."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind
    return create_model("Answer", value=(kind, ...))


def openai(kind: Any, model: str) -> Schema | None:
    made: Schema = import_module("openai.lib._pydantic").to_strict_json_schema(as_model(kind))
    return made


def instructor(kind: Any, model: str) -> Schema | None:
    mode = import_module("instructor").Mode.JSON_SCHEMA
    handlers = import_module("instructor.v2.providers.openai.handlers")
    handler = next(
        one for one in vars(handlers).values() if getattr(one, "mode", None) is mode and isinstance(one, type)
    )()
    _, request = handler.prepare_request(as_model(kind), {"messages": []})
    wanted = request["response_format"]["json_schema"]
    return wanted["schema"] if wanted.get("strict") else None


def pydantic_ai(kind: Any, model: str) -> Schema | None:
    schema = as_model(kind).model_json_schema()
    family = model.partition("-")[0]
    if family == "claude":
        # With NativeOutput, strict is set.
        made = import_module("pydantic_ai.providers.anthropic").AnthropicJsonSchemaTransformer(
            schema, strict=True
        )
    elif family == "gemini":
        made = import_module("pydantic_ai.profiles.google").GoogleJsonSchemaTransformer(schema, strict=True)
    else:
        made = import_module("pydantic_ai.profiles.openai").OpenAIJsonSchemaTransformer(schema, strict=None)
    walked: Schema = made.walk()
    return walked if made.is_strict_compatible else None


LIBRARIES: dict[str, tuple[Sends, tuple[str, ...]]] = {
    "segmind-async": (ours, tuple(RULES)),
    "openai": (openai, ("gpt-5.4-mini",)),
    "instructor": (instructor, ("gpt-5.4-mini",)),
    "pydantic-ai-slim": (pydantic_ai, tuple(RULES)),
}


def verdict(sends: Sends, kind: Any, model: str) -> str:
    try:
        schema = sends(kind, model)
    except Exception:  # of any library
        return "error"
    if schema is None:
        return "loose"
    return "400" if RULES[model](from_json(to_json(schema))) else "ok"


def table() -> str:
    head = "| provider | library | ok | 400 | loose | error |\n|---|---|---|---|---|---|\n"
    lines = []
    for model in RULES:
        for name, (sends, models) in LIBRARIES.items():
            if model in models:
                counts = Counter(verdict(sends, kind, model) for _, kind, _ in TYPES)
                cells = " | ".join(str(counts[one]) for one in ("ok", "400", "loose", "error"))
                shown = name if name == "segmind-async" else f"{name} {version(name)}"
                lines.append(f"| {model} | {shown} | {cells} |\n")
    return head + "".join(lines)


def main() -> None:
    warnings.simplefilter("ignore")
    made = table()
    print(made)
    PAGE.write_text(MARKS.sub(lambda _: f"\n{made}\n", PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
