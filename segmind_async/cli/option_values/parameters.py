"""Parameters of the model from the options of a command."""

from __future__ import annotations

import typer
from pydantic_core import from_json

from ...models import JsonDict

_ELSEWHERE = {
    "model": "--model",
    "messages": "--prompt or the rows",
    "temperature": "--temperature",
    "top_p": "--top-p",
    "max_tokens": "--max-tokens",
    "timeout": "--timeout",
    "parse": "response_format",
    "max_reasks": "response_format",
}
"""Names that have an option of their own, or that no model has."""


def parameters_of(
    temperature: float | None, top_p: float | None, max_tokens: int | None, more: list[str] | None
) -> JsonDict:
    """Return the parameters that are given, by name; *more* are texts `name=value`.

    Raises typer.BadParameter, which names the text, if one cannot be read.
    """
    own = {"temperature": temperature, "top_p": top_p, "max_tokens": max_tokens}
    given: JsonDict = {name: value for name, value in own.items() if value is not None}
    for text in more or ():
        name, found, value = text.partition("=")
        name = name.strip()
        if not found or not name.isidentifier():
            _refuse(f"{text!r} is not a NAME=VALUE; write for instance --param seed=7")
        if name in _ELSEWHERE:
            _refuse(f"{text!r}: use {_ELSEWHERE[name]}")
        if name in given:
            _refuse(f"{text!r}: {name} is given twice")
        given[name] = _value(value)
    return given


def _value(text: str) -> object:
    """Return the JSON value of a text; the text itself if it is not JSON, or no JSON that can be sent."""
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError:
        return text


def _refuse(message: str) -> None:
    raise typer.BadParameter(message, param_hint="--param")
