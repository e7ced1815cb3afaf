"""Translate a JSON schema into the strict form that the providers take, or refuse it with a reason.

Strict means: every object lists all its properties, requires each of them and allows no others. A default
moves into the description, and is filled in on reading where a model leaves the property out. What a strict
schema cannot say is asked for in another form, and turned back on reading (`restore`): a dict as a list of
pairs, a tuple as an object. Constructs whose loss would change the meaning are refused before anything is
billed; the error names the place and an alternative.

Source: OpenAI's guide to structured outputs, "Supported schemas" (2026-11), which has the strictest form of
objects; what the providers take beyond it is in their own files (`rules`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

from pydantic_core import to_json

from ..errors import InvalidRequestError
from ..models import JsonDict, JsonObject

Schema: TypeAlias = JsonDict

MAX_LEVELS, MAX_PROPERTIES, MAX_ENUM_VALUES, MAX_CHARACTERS = 10, 5_000, 1_000, 120_000
"""Levels of nested objects, properties, enum values, and characters of all names and enum values of one
schema, at most."""

KEY, VALUE = "key", "value"
"""Properties of a pair, in the list that stands for a dict."""

_UNION = "use a union of models, and check the rest on reading"
_REFUSED = {
    "not": _UNION,
    "if": _UNION,
    "then": _UNION,
    "else": _UNION,
    "dependentRequired": _UNION,
    "dependentSchemas": _UNION,
}
_TYPE_KEYWORDS = ("type", "$ref", "anyOf", "allOf", "enum", "const")

_DROPPED = frozenset({"discriminator", "uniqueItems", "title", "$schema", "$id", "$comment"})
"""A discriminator is a hint for validators only; duplicates in an answer vanish when a set is built; titles
repeat the names, and every call would pay for them."""

_BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def strict(schema: Schema) -> Schema:
    """Return the strict form of a JSON schema whose references point into its own `$defs`.

    Raises InvalidRequestError with the place, the unsupported construct, and an alternative.
    """
    _check_references(schema)
    made = _Strict(schema).node(schema, (), ())
    _check_limits(made)
    return made


def item_name(index: int) -> str:
    """Return the property that holds the item *index* of a tuple, from 0."""
    return f"item_{index + 1}"


def is_map(node: JsonObject) -> bool:
    """Return whether a schema describes an object of any keys whose values have a type."""
    if node.get("type") != "object" or node.get("properties"):
        return False
    return bool(node.get("patternProperties")) or node.get("additionalProperties") not in (None, False)


def with_words(node: Schema, name: str, value: object) -> Schema:
    """Return a schema with a keyword in its description, for the model to read."""
    words = f"{name}: {value if isinstance(value, str) else to_json(value, fallback=str).decode()}"
    given = node.get("description")
    return {**node, "description": f"{given} ({words})" if given else words}


def mapped(schema: Schema, change: Callable[[Schema], Schema]) -> Schema:
    """Return a copy of a strict schema in which *change* was applied to every subschema, innermost first."""
    made = dict(schema)
    for name in ("properties", "$defs"):
        parts = made.get(name)
        if isinstance(parts, dict):
            made[name] = {key: mapped(part, change) for key, part in parts.items()}
    items, members = made.get("items"), made.get("anyOf")
    if isinstance(items, dict):
        made["items"] = mapped(items, change)
    if isinstance(members, list):
        made["anyOf"] = [mapped(part, change) for part in members]
    return change(made)


class _Strict:
    """Translates one schema recursively; references are looked up in its root."""

    def __init__(self, root: Schema) -> None:
        self._root = root

    def node(self, node: object, path: tuple[str, ...], inside: tuple[str, ...]) -> Schema:
        """Return a subschema in strict form. *inside* holds the definitions inlined around it."""
        if not isinstance(node, dict):
            raise _refusal(path, f"{node!r} is not a schema", "give it a type")
        made = {name: value for name, value in node.items() if name not in _DROPPED}
        if "oneOf" in made:
            # The members of a tagged union exclude each other already.
            made["anyOf"] = made.pop("oneOf")
        made = _plain(made)
        _check_keywords(made, path)
        ref = made.get("$ref")
        if isinstance(ref, str) and len(made) > 1:
            return self._inlined(made, ref, path, inside)
        if isinstance(ref, str):
            self._definition(ref, path)
        if "allOf" in made:
            return self._merged(made, path, inside)
        if is_map(made):
            made = as_pairs(made, path)
        elif "prefixItems" in made:
            made = as_object(made, path)
        self._close(made, path, inside)
        return made

    def _inlined(self, made: Schema, ref: str, path: tuple[str, ...], inside: tuple[str, ...]) -> Schema:
        """Inline a definition whose reference has other keywords beside it: strict schemas forbid those."""
        definitions = made.pop("$defs", None)
        del made["$ref"]
        if ref in inside:
            # Inlining a recursive definition would not end.
            return {**made, "anyOf": [{"$ref": ref}]}
        beside = made if definitions is None else {**made, "$defs": definitions}
        return self.node({**self._definition(ref, path), **beside}, path, (*inside, ref))

    def _definition(self, ref: str, path: tuple[str, ...]) -> Schema:
        found = definitions_of(self._root).get(ref.removeprefix("#/$defs/"))
        if not isinstance(found, dict):
            raise _refusal(path, f"{ref!r} is not defined", "refer to one of its own $defs")
        return found

    def _close(self, made: Schema, path: tuple[str, ...], inside: tuple[str, ...]) -> None:
        """Translate the subschemas; make every property of an object required and allow no others."""
        properties = made.get("properties")
        if isinstance(properties, dict):
            made["properties"] = {
                name: self.node(part, (*path, name), inside) for name, part in properties.items()
            }
            made["required"] = list(properties)
        if made.get("type") == "object":
            made["additionalProperties"] = False
        if "$defs" in made:
            definitions = definitions_of(made).items()
            made["$defs"] = {name: self.node(part, (*path, name), inside) for name, part in definitions}
        if "items" in made:
            made["items"] = self.node(made["items"], (*path, "[]"), inside)
        members = made.get("anyOf")
        if isinstance(members, list):
            made["anyOf"] = [self.node(part, path, inside) for part in members]

    def _merged(self, made: Schema, path: tuple[str, ...], inside: tuple[str, ...]) -> Schema:
        """Return one schema for all members of `allOf`, which strict schemas do not have."""
        whole = {name: value for name, value in made.items() if name != "allOf"}
        members = _listed(made["allOf"])
        if len(members) == 1 and isinstance(members[0], dict) and "$ref" not in whole:
            return self.node({**members[0], **whole}, path, inside)
        for member in members:
            if not isinstance(member, dict):
                raise _refusal(path, f"{member!r} is not a schema", "give it a type")
            ref = member.get("$ref")
            if ref in inside:
                raise _refusal(path, "'allOf' with a schema that contains itself", _UNION)
            target = self._definition(ref, path) if isinstance(ref, str) else {}
            rest = {name: value for name, value in member.items() if name != "$ref"}
            whole = _both(whole, {**target, **rest}, path)
            inside = (*inside, ref) if isinstance(ref, str) else inside
        return self.node(whole, path, inside)


def _both(first: Schema, second: Schema, path: tuple[str, ...]) -> Schema:
    """Return a schema that means two at once; raises InvalidRequestError if they name one keyword twice."""
    both = {**first, **second}
    for name in first.keys() & second.keys():
        ours, theirs = first[name], second[name]
        if name in {"properties", "$defs"} and isinstance(ours, dict) and isinstance(theirs, dict):
            both[name] = {**ours, **theirs}
        elif name == "description":
            both[name] = ours
        elif ours != theirs and name not in {"required", "title", "additionalProperties"}:
            raise _refusal(path, f"'allOf' with two of {name!r}", "write them into one schema")
    return both


def _plain(made: Schema) -> Schema:
    """Return a node without bounds that bound nothing, with one type, and with its default in words."""
    for bound in _BOUNDS:
        value = made.get(bound)
        if isinstance(value, float) and math.isinf(value):
            del made[bound]
    types = made.get("type")
    if isinstance(types, list):
        rest = {name: value for name, value in made.items() if name not in {"type", "default", "description"}}
        made = {name: made[name] for name in ("default", "description", "$defs") if name in made}
        made["anyOf"] = [{"type": one} if one == "null" else {**rest, "type": one} for one in types]
    if "default" in made:
        default = made.pop("default")
        if default is not None:
            made = with_words(made, "default", default)
    return made


def as_pairs(node: Schema, path: tuple[str, ...]) -> Schema:
    """Return a list of pairs for an object of any keys."""
    key: Schema = {"type": "string"}
    names, patterns = node.get("propertyNames"), node.get("patternProperties")
    value = node.get("additionalProperties")
    if isinstance(names, dict):
        key = {**key, **names}
    if isinstance(patterns, dict) and patterns:
        if len(patterns) > 1:
            raise _refusal(path, "several 'patternProperties' are not supported", "use one type of value")
        ((pattern, value),) = patterns.items()
        key = {**key, "pattern": pattern}
    if not isinstance(value, dict) or not value:
        raise _refusal(
            path, "a dict of anything is not supported", "name the type of its values: dict[str, int]"
        )
    bounds = {"minProperties": "minItems", "maxProperties": "maxItems"}
    kept: Schema = {name: value for name, value in node.items() if name in {"description", "$defs"}}
    kept |= {ours: node[theirs] for theirs, ours in bounds.items() if theirs in node}
    pair: Schema = {"type": "object", "properties": {KEY: key, VALUE: value}}
    return {**kept, "type": "array", "items": pair}


def as_object(node: Schema, path: tuple[str, ...]) -> Schema:
    """Return an object of numbered properties for a tuple."""
    if isinstance(node.get("items"), dict):
        raise _refusal(path, "a tuple with further items is not supported", "use a list, or a model")
    kept: Schema = {name: value for name, value in node.items() if name in {"description", "$defs"}}
    parts = {item_name(index): part for index, part in enumerate(_listed(node["prefixItems"]))}
    return {**kept, "type": "object", "properties": parts}


def _check_keywords(node: Schema, path: tuple[str, ...]) -> None:
    """Refuse keywords that no strict schema may have."""
    for keyword, instead in _REFUSED.items():
        if keyword in node:
            raise _refusal(path, f"{keyword!r} is not supported", instead)
    if not any(keyword in node for keyword in _TYPE_KEYWORDS):
        raise _refusal(path, "anything (Any, object) is not supported", "name the types it may have")
    if any(isinstance(value, dict | list) for value in (*_listed(node.get("enum")), node.get("const"))):
        raise _refusal(path, "objects and lists in 'enum' or 'const' are not supported", "name them by texts")
    if node.get("properties") and node.get("patternProperties"):
        raise _refusal(path, "'patternProperties' beside properties is not supported", "use a dict")
    if node.get("type") == "object" and "properties" not in node and not is_map(node):
        raise _refusal(path, "an object of anything is not supported", "name its properties")
    if node.get("type") == "array" and "items" not in node and "prefixItems" not in node:
        raise _refusal(path, "a list of anything is not supported", "name the type of its items")


def _check_references(root: Schema) -> None:
    """Refuse definitions that stand for themselves: following them would not end."""
    name = reached_from_itself({name: set(_meant(node)) for name, node in definitions_of(root).items()})
    if name is not None:
        raise _refusal((name,), "a definition that stands for itself is not supported", "say what it is")


def _meant(node: object) -> Iterator[str]:
    """Yield the definitions that a node may stand for, as a whole."""
    if not isinstance(node, dict):
        return
    if "$ref" in node:
        yield str(node["$ref"]).removeprefix("#/$defs/")
    for keyword in ("anyOf", "oneOf", "allOf"):
        for member in _listed(node.get(keyword)):
            yield from _meant(member)


def reached_from_itself(targets: Mapping[str, set[str]]) -> str | None:
    """Return a name from which a way of references leads back to it; None if there is none."""
    for name, near in targets.items():
        seen: set[str] = set()
        waiting = near
        while waiting:
            seen |= waiting
            waiting = {far for one in waiting for far in targets.get(one, ())} - seen
        if name in seen:
            return name
    return None


def _refusal(path: tuple[str, ...], problem: str, instead: str) -> InvalidRequestError:
    place = ".".join(path).replace(".[]", "[]") or "the root"
    return InvalidRequestError(f"the schema at {place}: {problem} in structured output; {instead}")


def _check_limits(schema: Schema) -> None:
    nodes = list(nodes_of(schema))
    names = [name for node in nodes for word in ("properties", "$defs") for name in _object(node.get(word))]
    values = [value for node in nodes for value in _listed(node.get("enum"))]
    properties = sum(len(_object(node.get("properties"))) for node in nodes)
    levels = _levels(schema, definitions_of(schema), {})
    for count, limit, noun in (
        (properties, MAX_PROPERTIES, "properties"),
        (len(values), MAX_ENUM_VALUES, "enum values"),
        (levels, MAX_LEVELS, "levels of objects"),
        (sum(map(len, map(str, (*names, *values)))), MAX_CHARACTERS, "characters of names and enum values"),
    ):
        if count > limit:
            raise InvalidRequestError(
                f"the schema has {count} {noun}, and a structured output at most {limit}; split it up"
            )


def definitions_of(schema: Schema) -> Mapping[str, object]:
    """Return the definitions of a schema."""
    return _object(schema.get("$defs"))


def nodes_of(node: Schema) -> Iterator[Schema]:
    """Yield a strict schema and all its subschemas, those in its definitions included."""
    yield node
    for part in (*_subschemas(node), *definitions_of(node).values()):
        assert isinstance(part, dict)
        yield from nodes_of(part)


def _subschemas(node: Schema) -> Iterator[Schema]:
    """Yield the direct subschemas of a node, without its definitions."""
    items = node.get("items")
    yield from _object(node.get("properties")).values()  # type: ignore[misc]  # of a strict schema: objects
    if isinstance(items, dict):
        yield items
    yield from _listed(node.get("anyOf"))  # type: ignore[misc]  # as above


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _listed(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _levels(node: Schema, definitions: Mapping[str, object], known: dict[str, int]) -> int:
    """Return the deepest nesting of objects; recursive references add no level."""
    name = str(node.get("$ref", "")).removeprefix("#/$defs/")
    target = definitions.get(name)
    if isinstance(target, dict):
        if name not in known:
            known[name] = 0
            known[name] = _levels(target, definitions, known)
        return known[name]
    below = max((_levels(part, definitions, known) for part in _subschemas(node)), default=0)
    return below + (node.get("type") == "object")
