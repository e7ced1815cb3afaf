"""Whether any value fits a strict schema: none does if each must contain another of its kind."""

from __future__ import annotations

from typing import Any


def endless(schema: dict[str, Any]) -> str | None:
    """Return the name of a definition that no finite value fits, "" for the whole; None if values fit.

    Takes a schema as `strict` makes it: all properties are required, and references lead to `$defs`.
    """
    definitions: dict[str, Any] = schema.get("$defs", {})
    finite: set[str] = set()
    # Each round finds those that need only what the rounds before have found.
    while found := {
        name for name, one in definitions.items() if name not in finite and _is_finite(one, finite)
    }:
        finite |= found
    if _is_finite(schema, finite):
        return None
    return min(definitions.keys() - finite, default="")


def _is_finite(node: object, finite: set[str]) -> bool:
    """Return whether a value fits *node*, if values fit the definitions named in *finite*."""
    if not isinstance(node, dict):
        return True
    if "$ref" in node:
        return str(node["$ref"]).removeprefix("#/$defs/") in finite
    if "anyOf" in node:
        return any(_is_finite(member, finite) for member in node["anyOf"])
    parts = [*node.get("properties", {}).values()]
    if node.get("minItems", 0) > 0:
        parts.append(node.get("items"))
    return all(_is_finite(part, finite) for part in parts)
