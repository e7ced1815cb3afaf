"""`--schema`: the shape of structured answers, from a file with a JSON schema or from a type in a module."""

from __future__ import annotations

import codecs
import sys
from dataclasses import dataclass
from importlib import import_module
from inspect import isroutine
from pathlib import Path
from typing import Any

import typer
from pydantic import TypeAdapter
from pydantic.errors import PydanticUserError
from pydantic_core import from_json

from ..._jobs.formats.columns import Columns
from ..._jobs.formats.parsed_columns import parsed_columns
from ..._structured.shape import shape_of
from ..._text.error_text import class_and_message
from ...errors import InvalidRequestError
from .text_file import is_file


@dataclass(frozen=True, slots=True)
class AnswerSchema:
    """The shape that answers must have."""

    parse: Any
    """As `SegmindClient.run_job` takes it."""
    fields: Columns
    """Columns for the fields of an answer; none if it is not an object."""


def read_schema(text: str) -> AnswerSchema:
    """Return the schema that *text* names: a file, or `module:Type`, looked for in the working directory too.

    Raises typer.BadParameter, which names what cannot be used.
    """
    path = Path(text)
    in_file = is_file(path) or path.suffix.lower() == ".json" or ":" not in text
    wanted = _read_file(path) if in_file else _imported(text)
    try:
        shape = shape_of(wanted)
    except InvalidRequestError as error:
        raise _refusal(f"{text!r}: {error.message}") from error
    if shape.wraps:
        return AnswerSchema(wanted, {})
    return AnswerSchema(wanted, parsed_columns(wanted if isinstance(wanted, dict) else _written(wanted)))


def _read_file(path: Path) -> dict[str, Any]:
    try:
        found = from_json(path.read_bytes().removeprefix(codecs.BOM_UTF8))
    except OSError as error:
        raise _refusal(f"file {str(path)!r} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise _refusal(f"file {str(path)!r} is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise _refusal(f"file {str(path)!r} holds no JSON schema: an object such as {{'type': 'object', …}}")
    return found


def _imported(text: str) -> Any:
    module, _, name = text.partition(":")
    if not all(part.isidentifier() for part in module.split(".")) or module.endswith(".py"):
        stem = Path(module).stem
        raise _refusal(f"{text!r} names no module: write it without folder and suffix, as {stem}:{name}")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:  # the module is the user's, and may do anything
        raise _refusal(f"{text!r}: {class_and_message(error)}") from error
    if isroutine(found):
        raise _refusal(f"{text!r} is a function; name a type, such as a pydantic model")
    return found


def _written(wanted: Any) -> dict[str, Any]:
    """Return the schema of the values of a type as they are written, which may be another than when read."""
    adapter = wanted if isinstance(wanted, TypeAdapter) else TypeAdapter(wanted)
    try:
        return adapter.json_schema(by_alias=False, mode="serialization")
    except PydanticUserError:  # a serialiser of which only the code knows what it writes
        return {}


def _refusal(message: str) -> typer.BadParameter:
    return typer.BadParameter(message, param_hint="--schema")
