"""A JSON schema into the strict form that the providers take, or the reason why it has none.

Strict means: every object names all its properties, requires each of them and allows no other. What a
type says beyond that and a reader can check later is dropped; what would change the meaning is refused,
with the place and the way out, before anything is paid.

Source: OpenAI's rules for structured outputs (2026-08); the other providers take the same word.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from ..errors import InvalidRequestError

Schema: TypeAlias = dict[str, object]

MOST_LEVELS, MOST_PROPERTIES, MOST_ENUM_VALUES = 10, 5_000, 1_000
"""Objects inside objects, properties and enum values that one schema may have."""

_PAIRS = "use a list of models with a key and a value"
_UNION = "use a union of models, and check the rest on reading"
_REFUSED = {
    "patternProperties": _PAIRS,
    "propertyNames": _PAIRS,
    "not": _UNION,
    "if": _UNION,
    "then": _UNION,
    "else": _UNION,
    "dependentRequired": _UNION,
    "dependentSchemas": _UNION,
    "prefixItems": "use a model with named fields instead of a tuple",
}
_SAYS_SOMETHING = ("type", "$ref", "anyOf", "allOf", "enum", "const")

# A discriminator only tells a reader which member to try; a set is one whatever the model repeats.
_DROPPED = ("discriminator", "uniqueItems")


def strict(schema: Schema) -> Schema:
    """Return the strict form of a JSON schema whose references point into its own `$defs`.

    Raises InvalidRequestError naming the place, what stands there, and what to use instead.
    """
    made = _Strict(schema).node(schema, (), ())
    _check_limits(made)
    return made


class _Strict:
    """Walks one schema; the root stays at hand to look references up."""

    def __init__(self, root: Schema) -> None:
        self._root = root

    def node(self, node: object, path: tuple[str, ...], inside: tuple[str, ...]) -> Schema:
        """Return one part in strict form. *inside* names the definitions written out around it."""
        if not isinstance(node, dict):
            raise _refusal(path, f"{node!r} is no schema", "give it a type")
        made = {name: value for name, value in node.items() if name not in _DROPPED}
        if "oneOf" in made:
            # The members of a tagged union exclude each other anyhow.
            made["anyOf"] = made.pop("oneOf")
        _check_words(made, path)
        ref = made.get("$ref")
        if isinstance(ref, str) and len(made) > 1:
            return self._written_out(made, ref, path, inside)
        self._close(made, path, inside)
        return self._merged(made, path)

    def _written_out(self, made: Schema, ref: str, path: tuple[str, ...], inside: tuple[str, ...]) -> Schema:
        """Put a definition where it is referred to with words beside it, which a reference may not have."""
        del made["$ref"]
        if ref in inside:
            # Written out inside itself it would have no end.
            return {**made, "anyOf": [{"$ref": ref}]}
        return self.node({**self._definition(ref, path), **made}, path, (*inside, ref))

    def _definition(self, ref: str, path: tuple[str, ...]) -> Schema:
        found = _definitions(self._root).get(ref.removeprefix("#/$defs/"))
        if not isinstance(found, dict):
            raise _refusal(path, f"{ref!r} leads nowhere", "refer to one of its own $defs")
        return found

    def _close(self, made: Schema, path: tuple[str, ...], inside: tuple[str, ...]) -> None:
        """Turn to the parts, and let each object have its properties, all of them, and no others."""
        properties = made.get("properties")
        if isinstance(properties, dict):
            made["properties"] = {
                name: self.node(part, (*path, name), inside) for name, part in properties.items()
            }
            made["required"] = list(properties)
        if made.get("type") == "object":
            made["additionalProperties"] = False
        if "$defs" in made:
            definitions = _definitions(made).items()
            made["$defs"] = {name: self.node(part, (*path, name), inside) for name, part in definitions}
        if "items" in made:
            made["items"] = self.node(made["items"], (*path, "[]"), inside)
        for word in ("anyOf", "allOf"):
            members = made.get(word)
            if isinstance(members, list):
                made[word] = [self.node(part, path, inside) for part in members]

    def _merged(self, made: Schema, path: tuple[str, ...]) -> Schema:
        members = made.get("allOf")
        if not isinstance(members, list) or len(members) != 1:
            return made
        rest = {name: value for name, value in made.items() if name != "allOf"}
        return self.node({**rest, **members[0]}, path, ())


def _check_words(node: Schema, path: tuple[str, ...]) -> None:
    """Refuse what no strict schema can say."""
    for word, instead in _REFUSED.items():
        if word in node:
            raise _refusal(path, f"{word!r} is not supported", instead)
    if node.get("default") is not None:
        default = f"the default {node['default']!r} is not supported"
        raise _refusal(path, default, "let it be None (`X | None = None`) and put the default in on reading")
    node.pop("default", None)
    if node.get("type") == "object" and not node.get("properties") and node.get("additionalProperties"):
        raise _refusal(path, "an object of any keys (dict) is not supported", _PAIRS)
    if not any(word in node for word in _SAYS_SOMETHING):
        raise _refusal(path, "anything (Any, object) is not supported", "name the types it may have")
    if node.get("type") == "array" and "items" not in node and "prefixItems" not in node:
        raise _refusal(path, "a list of anything is not supported", "name the type of its items")


def _refusal(path: tuple[str, ...], what: str, instead: str) -> InvalidRequestError:
    place = ".".join(path).replace(".[]", "[]") or "the root"
    return InvalidRequestError(f"the schema at {place}: {what} in structured output; {instead}")


def _check_limits(schema: Schema) -> None:
    nodes = list(_nodes(schema))
    properties = sum(len(part) for node in nodes if isinstance(part := node.get("properties"), dict))
    values = sum(len(part) for node in nodes if isinstance(part := node.get("enum"), list))
    levels = _levels(schema, _definitions(schema), {})
    for count, most, what in (
        (properties, MOST_PROPERTIES, "properties"),
        (values, MOST_ENUM_VALUES, "enum values"),
        (levels, MOST_LEVELS, "levels of objects"),
    ):
        if count > most:
            raise InvalidRequestError(
                f"the schema has {count} {what}, and a structured output at most {most}; split it up"
            )


def _definitions(schema: Schema) -> Mapping[str, object]:
    found = schema.get("$defs")
    return found if isinstance(found, dict) else {}


def _parts(node: Schema) -> Iterator[Schema]:
    """Yield the schemas that stand in a node, those of its definitions left out."""
    properties, items = node.get("properties"), node.get("items")
    if isinstance(properties, dict):
        yield from properties.values()
    if isinstance(items, dict):
        yield items
    for word in ("anyOf", "allOf"):
        members = node.get(word)
        if isinstance(members, list):
            yield from members


def _nodes(node: Schema) -> Iterator[Schema]:
    yield node
    for part in (*_parts(node), *_definitions(node).values()):
        assert isinstance(part, dict)
        yield from _nodes(part)


def _levels(node: Schema, definitions: Mapping[str, object], known: dict[str, int]) -> int:
    """Count objects inside objects along the deepest way; what leads back into itself adds nothing."""
    name = str(node.get("$ref", "")).removeprefix("#/$defs/")
    target = definitions.get(name)
    if isinstance(target, dict):
        if name not in known:
            known[name] = 0
            known[name] = _levels(target, definitions, known)
        return known[name]
    below = max((_levels(part, definitions, known) for part in _parts(node)), default=0)
    return below + (node.get("type") == "object")
