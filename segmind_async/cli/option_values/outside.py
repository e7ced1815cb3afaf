"""Gives commands the values that stand outside their arguments."""

from __future__ import annotations

import os

import typer

from ...errors import ConfigurationError
from ..console import say
from .option_sources import Option, Options, read_defaults


def set_defaults(ctx: typer.Context) -> None:
    """Give the commands below *ctx* the values of the environment, `.env` and `segmind.toml`.

    Raises typer.BadParameter for a file that cannot be used; says which variables are nearly an option's.
    """
    try:
        found, misspelt = read_defaults(os.environ, _options(ctx))
    except ConfigurationError as error:
        raise typer.BadParameter(str(error)) from error
    for name, near in misspelt.items():
        say(f"the variable {name} sets nothing: did you mean {near}?")
    ctx.default_map = {**found}


def _options(ctx: typer.Context) -> Options:
    """Return the options of all commands, without their arguments."""
    commands = getattr(ctx.command, "commands", {})
    found: dict[str, list[Option]] = {}
    for name, command in commands.items():
        found[name] = []
        for param in command.params:
            long = max(param.opts, key=len)
            if long.startswith("--"):
                words = long.removeprefix("--").replace("-", "_")
                found[name].append(Option(words, param.name, bool(getattr(param, "multiple", False))))
    return found
