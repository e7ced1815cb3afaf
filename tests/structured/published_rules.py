"""The rules that providers publish for JSON schemas of structured output, written from their documentation.

Independent of the library, so that the two cannot share a mistake:

- OpenAI: guide "Structured outputs", section "Supported schemas" (2026-11).
- Anthropic: "Structured outputs", sections "JSON Schema limitations" and "Schema complexity limits" (2026-11).
- Google: reference of `GenerationConfig.responseJsonSchema`; guide "Structured output", "JSON Schema support"
  (2026-11).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

OBJECTS = {"properties", "required", "additionalProperties"}
COMMON = {"type", "title", "description", "enum", "anyOf", "$ref", "$defs"}
TYPES = {"string", "number", "boolean", "integer", "object", "array", "null"}


def nodes(node: Any, place: str = "root") -> Iterator[tuple[str, Any]]:
    yield place, node
    if not isinstance(node, dict):
        return
    for word in ("properties", "$defs"):
        for name, part in node.get(word, {}).items():
            yield from nodes(part, f"{place}/{word}/{name}")
    if "items" in node:
        yield from nodes(node["items"], f"{place}/items")
    for index, part in enumerate(node.get("anyOf", ())):
        yield from nodes(part, f"{place}/anyOf/{index}")


def openai(schema: Any) -> list[str]:
    allowed: dict[str, set[str]] = {
        "string": {"pattern", "format"},
        "number": {"multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"},
        "integer": {"multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum"},
        "array": {"items", "minItems", "maxItems"},
        "object": OBJECTS,
    }
    formats = {"date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid"}
    problems = checked(schema, allowed, formats, {"const"}) + open_objects(schema)
    for place, node in nodes(schema):
        if node.get("type") == "object" and node.get("required", []) != list(node.get("properties", {})):
            problems.append(f"{place}: must require all its properties")
    if schema.get("type") != "object" or "anyOf" in schema:
        problems.append("root: must be an object and no anyOf")
    for place, node in nodes(schema):
        if re.search(r"\(\?[=!<]", node.get("pattern", "")):
            problems.append(f"{place}: look-around")
    return problems


def anthropic(schema: Any) -> list[str]:
    allowed = {"string": {"pattern", "format"}, "array": {"items", "minItems"}, "object": OBJECTS}
    formats = {"date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"}
    problems = checked(schema, allowed, formats, {"const", "default", "allOf"}) + open_objects(schema)
    unions = 0
    for place, node in nodes(schema):
        unions += "anyOf" in node or isinstance(node.get("type"), list)
        if node.get("minItems", 0) not in (0, 1):
            problems.append(f"{place}: minItems may be 0 or 1")
        if re.search(r"\(\?[=!<]|\\[1-9bB]|\{\d{3,}|,\d{3,}\}", node.get("pattern", "")):
            problems.append(f"{place}: look-around, back-references, word boundaries or large counts")
    if unions > 16:
        problems.append(f"root: {unions} unions, 16 at most")
    return problems + recursion(schema)


def gemini(schema: Any) -> list[str]:
    allowed = {
        "string": {"format"},
        "number": {"maximum", "minimum", "format"},
        "integer": {"maximum", "minimum", "format"},
        "array": {"items", "minItems", "maxItems", "prefixItems"},
        "object": OBJECTS,
    }
    problems = checked(schema, allowed, {"date-time", "date", "time"}, set())
    for place, node in nodes(schema):
        if any(
            isinstance(value, bool) or not isinstance(value, str | int | float)
            for value in node.get("enum", ())
        ):
            problems.append(f"{place}: an enum of strings and numbers")
    return problems + recursion(schema, optional=True)


RULES: dict[str, Callable[[Any], list[str]]] = {
    "gpt-5.4-mini": openai,
    "claude-4-sonnet": anthropic,
    "gemini-2.5-flash": gemini,
}


def checked(schema: Any, allowed: dict[str, set[str]], formats: set[str], more: set[str]) -> list[str]:
    """Rules that all three publish, with what each allows by type."""
    problems = []
    for place, node in nodes(schema):
        if not isinstance(node, dict):
            problems.append(f"{place}: not an object")
            continue
        kind = node.get("type")
        words = COMMON | more | allowed.get(str(kind), set())
        problems += [f"{place}: {word!r} is not taken" for word in node.keys() - words]
        if "$ref" in node:
            target = node["$ref"].removeprefix("#/$defs/")
            if len(node.keys() - {"$defs"}) > 1:
                problems.append(f"{place}: keywords beside $ref")
            if target not in schema.get("$defs", {}):
                problems.append(f"{place}: a reference to nothing")
        elif "anyOf" not in node and "enum" not in node and "const" not in node and kind not in TYPES:
            problems.append(f"{place}: no type")
        if "format" in node and node["format"] not in formats:
            problems.append(f"{place}: format {node['format']!r} is not taken")
        if kind == "array" and "items" not in node:
            problems.append(f"{place}: no items")
    return problems


def open_objects(schema: Any) -> list[str]:
    return [
        f"{place}: must allow no other properties"
        for place, node in nodes(schema)
        if node.get("type") == "object" and node.get("additionalProperties") is not False
    ]


def recursion(schema: Any, *, optional: bool = False) -> list[str]:
    """References that lead back to themselves; with *optional* those through optional properties are fine."""
    definitions = schema.get("$defs", {})

    def visit(node: Any, inside: tuple[str, ...]) -> bool:
        name = str(node.get("$ref", "")).removeprefix("#/$defs/")
        if name in inside:
            return True
        if name in definitions:
            return visit(definitions[name], (*inside, name))
        required = node.get("required", ())
        parts = [part for key, part in node.get("properties", {}).items() if key in required or not optional]
        parts += [node["items"]] if "items" in node else []
        return any(visit(part, inside) for part in (*parts, *node.get("anyOf", ())))

    return ["root: it contains itself"] if visit(schema, ()) else []
