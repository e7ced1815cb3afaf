"""A JSON schema as a type: a validator that checks an answer against it and returns the answer's plain JSON.

Checked is all that a strict schema may hold, and the formats of dates, times, durations and UUIDs; other
formats are hints. Patterns are searched for by a linear engine, so look-around is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter
from pydantic_core import CoreSchema, SchemaError, SchemaValidator, core_schema, from_json, to_json

from ..errors import InvalidRequestError
from ..models import JsonObject
from .strict_schema import Schema, definitions_of, is_map

_WRAPPING = "json_schema"
"""OpenAI's `response_format` wraps the schema in an object of this name."""

_FORMATS: Mapping[str, Callable[[], CoreSchema]] = {
    "date": core_schema.date_schema,
    "date-time": core_schema.datetime_schema,
    "duration": core_schema.timedelta_schema,
    "time": core_schema.time_schema,
    "uuid": core_schema.uuid_schema,
}
_NUMBER_BOUNDS = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
}
_ROOT = "root"

_OF_SCHEMAS = {
    "$defs": dict, "allOf": list, "anyOf": list, "definitions": dict, "oneOf": list,
    "patternProperties": dict, "prefixItems": list, "properties": dict,
}  # fmt: skip
"""Keywords whose values hold schemas."""
_OF_A_SCHEMA = {"additionalProperties": (dict, bool), "items": (dict, bool), "propertyNames": (dict, bool)}
_VALUES: Mapping[str, Any] = {
    **_OF_SCHEMAS, **_OF_A_SCHEMA, "$ref": str, "description": str, "enum": list, "format": str,
    "pattern": str, "required": list, "title": str, "type": (str, list),
}  # fmt: skip
"""Types of the values of keywords."""


def normalised(given: JsonObject) -> Schema:
    """Return a schema with its definitions in `$defs`; OpenAI's `response_format` around it is taken off.

    Raises InvalidRequestError for what is not JSON.
    """
    try:
        schema = from_json(to_json(given), allow_inf_nan=False)
    except ValueError as error:
        raise InvalidRequestError(f"parse is a dict that is not a JSON schema: {error}") from error
    assert isinstance(schema, dict)
    named = schema.get(_WRAPPING) if schema.get("type") == _WRAPPING else schema
    inner = named.get("schema") if isinstance(named, dict) else None
    if isinstance(inner, dict) and isinstance(named, dict) and "name" in named:
        schema = {"title": named["name"], **inner}
    _check_form(schema, "the root")
    definitions = {**schema.pop("definitions", {}), **schema.pop("$defs", {})}
    if _mentions_root(schema) or _mentions_root(definitions):
        title = schema.get("title")
        definitions[_ROOT] = schema
        schema = {"$ref": f"#/$defs/{_ROOT}", **({"title": title} if title else {})}
    pointed = _pointed({**schema, **({"$defs": definitions} if definitions else {})})
    assert isinstance(pointed, dict)
    return pointed


def _check_form(node: object, place: str) -> None:
    """Check that keywords have values of their types; raises InvalidRequestError naming the place."""
    if isinstance(node, bool):
        return  # a schema, which `strict` refuses
    if not isinstance(node, dict):
        raise InvalidRequestError(f"the schema at {place} is {node!r:.60}; a JSON schema is an object there")
    for word, value in node.items():
        kinds = _VALUES.get(word, object)
        if not isinstance(value, kinds):
            raise InvalidRequestError(
                f"the schema at {place}: {word!r} is {value!r:.60}, which no JSON schema has there"
            )
        if word in _OF_SCHEMAS:
            parts = value.items() if isinstance(value, dict) else enumerate(value)
            for name, part in parts:
                _check_form(part, f"{place}.{name}")
        elif word in _OF_A_SCHEMA:
            _check_form(value, f"{place}.{word}")


def adapter_of(schema: Schema, check: Callable[[Any], Any] | None = None) -> TypeAdapter[Any]:
    """Return the type that a normalised schema describes; raises InvalidRequestError naming the place.

    *check* is called with each value that fits; it returns the value, or raises ValueError.
    """
    try:
        validator = SchemaValidator(_Checks(schema).whole())
    except (SchemaError, TypeError, ValueError) as error:
        if isinstance(error, InvalidRequestError):
            raise
        reason = str(error).strip().splitlines()[-1].strip()
        raise InvalidRequestError(f"parse is a dict that is not a JSON schema: {reason}") from error
    described = _Described(schema, validator)
    if check is None:
        return TypeAdapter(Annotated[Any, described])
    return TypeAdapter(Annotated[Any, described, AfterValidator(check)])


def _mentions_root(node: object) -> bool:
    if isinstance(node, dict):
        return node.get("$ref") == "#" or any(map(_mentions_root, node.values()))
    return isinstance(node, list) and any(map(_mentions_root, node))


def _pointed(node: object) -> object:
    """Return a schema whose references all point into `$defs`."""
    if isinstance(node, list):
        return [_pointed(one) for one in node]
    if not isinstance(node, dict):
        return node
    made = {name: _pointed(value) for name, value in node.items()}
    ref = made.get("$ref")
    if isinstance(ref, str):
        name = _ROOT if ref == "#" else ref.rpartition("/")[2]
        made["$ref"] = f"#/$defs/{name}"
    return made


class _Described:
    """An annotation: the validator of a schema, and the schema itself as the description."""

    def __init__(self, schema: Schema, validator: SchemaValidator) -> None:
        self._schema = schema
        self._validator = validator

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return a validator that returns the value it was given; its errors keep their places."""
        return core_schema.no_info_plain_validator_function(self._checked)

    def _checked(self, value: Any) -> Any:
        self._validator.validate_python(value)
        return value

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> Schema:
        """Return the schema without references: its definitions are none of the schema around it."""
        whole: Schema = _inlined(self._schema, self._schema, ())
        return whole


def _inlined(node: Any, root: Schema, inside: tuple[str, ...]) -> Any:
    if isinstance(node, list):
        return [_inlined(one, root, inside) for one in node]
    if not isinstance(node, dict):
        return node
    rest = {
        name: _inlined(value, root, inside) for name, value in node.items() if name not in {"$ref", "$defs"}
    }
    ref = node.get("$ref")
    if not isinstance(ref, str):
        return rest
    if ref in inside:
        raise InvalidRequestError(
            f"the schema {ref!r} contains itself, which tools_via='schema' does not take; use a model"
        )
    return {**_inlined(definitions_of(root).get(ref.removeprefix("#/$defs/")), root, (*inside, ref)), **rest}


class _Checks:
    """Builds the validator of one schema, whose constructs are those that `strict` takes."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    def whole(self) -> CoreSchema:
        """Return the checks of the whole schema."""
        definitions = [
            {**self._of(part, name), "ref": name} for name, part in definitions_of(self._schema).items()
        ]
        checks = self._of(self._schema, "the root")
        if definitions:
            return core_schema.definitions_schema(checks, definitions)  # type: ignore[arg-type]  # with refs
        return checks

    def _of(self, node: Any, place: str) -> CoreSchema:
        checks: list[CoreSchema] = []
        ref, types = node.get("$ref"), node.get("type", "object" if "properties" in node else None)
        if isinstance(ref, str):
            checks.append(core_schema.definition_reference_schema(ref.removeprefix("#/$defs/")))
        if types is not None:
            listed = types if isinstance(types, list) else [types]
            checks.append(_one_of([self._typed(one, node, place) for one in listed]))
        for name in ("enum", "const"):
            if name in node:
                checks.append(_literal(node["enum"] if name == "enum" else [node["const"]]))
        for name in ("anyOf", "oneOf"):
            if name in node:
                checks.append(_one_of([self._of(one, place) for one in node[name]]))
        checks += [self._of(one, place) for one in node.get("allOf", ())]
        return checks[0] if len(checks) == 1 else core_schema.chain_schema(list(map(_kept, checks)))

    def _typed(self, kind: str, node: Schema, place: str) -> CoreSchema:
        if kind == "object":
            return self._object(node, place)
        if kind == "array":
            return self._array(node, place)
        if kind == "string":
            return _string(node, place)
        if kind in {"integer", "number"}:
            bounds: dict[str, Any] = {
                theirs: node[ours] for ours, theirs in _NUMBER_BOUNDS.items() if ours in node
            }
            number = core_schema.int_schema if kind == "integer" else core_schema.float_schema
            return number(strict=True, **bounds)
        if kind == "boolean":
            return core_schema.bool_schema(strict=True)
        if kind == "null":
            return core_schema.none_schema()
        raise InvalidRequestError(f"the schema at {place}: there is no type {kind!r} in JSON schemas")

    def _object(self, node: Schema, place: str) -> CoreSchema:
        extra = node.get("additionalProperties", True)
        if is_map(node):
            patterns: Any = node.get("patternProperties") or {}
            of_key = {"type": "string", **(node.get("propertyNames") or {})}  # type: ignore[dict-item]
            if patterns:
                of_key, extra = {**of_key, "pattern": next(iter(patterns))}, next(iter(patterns.values()))
            least: Any = node.get("minProperties")
            most: Any = node.get("maxProperties")
            return core_schema.dict_schema(
                self._of(of_key, place),
                self._of(extra, place),
                min_length=least,
                max_length=most,
            )
        required: Any = node.get("required", ())
        parts: Any = node.get("properties", {})
        fields = {
            name: core_schema.typed_dict_field(self._of(part, name), required=name in required)
            for name, part in parts.items()
        }
        return core_schema.typed_dict_schema(fields, extra_behavior="allow" if extra else "forbid")

    def _array(self, node: Schema, place: str) -> CoreSchema:
        first = node.get("prefixItems")
        if isinstance(first, list):
            return core_schema.tuple_schema([self._of(one, place) for one in first])
        least: Any = node.get("minItems")
        most: Any = node.get("maxItems")
        return core_schema.list_schema(
            self._of(node.get("items"), place), min_length=least, max_length=most, strict=True
        )


def _string(node: Schema, place: str) -> CoreSchema:
    least: Any = node.get("minLength")
    most: Any = node.get("maxLength")
    pattern: Any = node.get("pattern")
    checks = core_schema.str_schema(pattern=pattern, min_length=least, max_length=most, strict=True)
    try:
        SchemaValidator(checks)
    except SchemaError as error:
        raise InvalidRequestError(
            f"the schema at {place}: the pattern {pattern!r} is not supported; look-around and "
            "back-references cannot be checked in linear time"
        ) from error
    of_format = _FORMATS.get(str(node.get("format")))
    return core_schema.chain_schema([checks, _kept(of_format())]) if of_format else checks


def _literal(values: list[Any]) -> CoreSchema:
    """Return a check for one of *values*, which may be objects; True is not 1."""
    known = {to_json(value) for value in values}
    shown = to_json(values).decode()

    def check(value: Any) -> Any:
        if to_json(value) not in known:
            raise ValueError(f"it must be one of {shown}")
        return value

    return core_schema.no_info_plain_validator_function(check)


def _one_of(members: list[CoreSchema]) -> CoreSchema:
    return members[0] if len(members) == 1 else core_schema.union_schema(list(map(_kept, members)))


def _kept(checks: CoreSchema) -> CoreSchema:
    """Return the same checks, which return what they were given: a date stays its text."""
    return core_schema.no_info_wrap_validator_function(_unchanged, checks)


def _unchanged(value: Any, check: Callable[[Any], object]) -> Any:
    check(value)
    return value
