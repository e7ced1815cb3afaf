"""Options from the environment, from `.env` and from `segmind.toml`, for what the arguments leave open."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TypeAlias

from ...errors import ConfigurationError

PREFIX = "SEGMIND_"
DOT_ENV = Path(".env")
TOML = Path("segmind.toml")

_NOT_SET_HERE = {
    "help", "version", "output", "journal", "limit", "overwrite", "keep_finished", "restart", "dry_run",
    "sample", "yes", "retry_failed", "retry_only", "results_only", "html",
}  # fmt: skip
"""Options that concern one run: set for all runs they would overwrite, begin anew or pay without a word."""

_ELSEWHERE = {
    "api_key": "SEGMIND_API_KEY in the environment or in .env",
    "api_keys": "SEGMIND_API_KEYS in the environment or in .env",
    "base_url": "SEGMIND_BASE_URL in the environment or in .env",
    "proxy": "SEGMIND_PROXY in the environment",
    "token": "SEGMIND_GATEWAY_TOKEN in the environment",
}
"""Settings that have a place of their own, secrets above all."""

_OTHERS = {
    "API_KEY", "API_KEYS", "BASE_URL", "GATEWAY", "GATEWAY_BUDGET", "GATEWAY_TOKEN", "PROXY", "TRANSPORT",
}  # fmt: skip
"""What follows the prefix in variables that are not options."""


@dataclass(frozen=True, slots=True)
class Option:
    """An option of a command, as far as it can be set from outside."""

    name: str
    """Its long name, with underscores."""
    parameter: str
    """The name by which the command takes it."""
    repeatable: bool = False


Options: TypeAlias = Mapping[str, Iterable[Option]]
"""The options of each command."""

Defaults: TypeAlias = dict[str, dict[str, object]]
"""Values by command and parameter; values are texts, or lists of texts for repeatable options."""


def settable(options: Options) -> dict[str, dict[str, Option]]:
    """Return by command and name the options that may be set outside the arguments."""
    return {
        command: {one.name: one for one in found if one.name not in _NOT_SET_HERE | _ELSEWHERE.keys()}
        for command, found in options.items()
    }


def from_variables(variables: Mapping[str, str | None], options: Options) -> Defaults:
    """Return what variables such as SEGMIND_FLOOR set; empty ones set nothing."""
    given = {
        name.removeprefix(PREFIX).lower(): text
        for name, text in variables.items()
        if text and name.startswith(PREFIX) and name.isupper()
    }
    return {
        command: {
            one.parameter: [given[name]] if one.repeatable else given[name]
            for name, one in known.items()
            if name in given
        }
        for command, known in settable(options).items()
    }


def misspelt(variables: Iterable[str], options: Options) -> dict[str, str]:
    """Return the variables that are nearly one of an option, each with that one.

    Others are left alone: the prefix belongs to other programs too.
    """
    known = {name.upper() for found in settable(options).values() for name in found} | _OTHERS
    found = {}
    for variable in variables:
        name = variable.removeprefix(PREFIX)
        if variable.startswith(PREFIX) and name not in known:
            near = get_close_matches(name, known, 1, 0.8)
            if near:
                found[variable] = PREFIX + near[0]
    return found


def from_toml(values: Mapping[str, object], options: Options, where: str) -> Defaults:
    """Return what a file sets: keys for all commands that have the option, tables for one command.

    Raises ConfigurationError naming *where* and a key that is not an option, or whose value cannot be one.
    """
    known = settable(options)
    everywhere = {name for found in known.values() for name in found}
    common = {key: value for key, value in values.items() if not isinstance(value, dict)}
    tables = {key: value for key, value in values.items() if isinstance(value, dict)}
    for key in common:
        _check_known(_name(key), everywhere, f"{where}, {key}")
    found: Defaults = {}
    for command, own in known.items():
        mine = {key: value for key, value in common.items() if _name(key) in own}
        found[command] = {
            own[_name(k)].parameter: _value(v, own[_name(k)], f"{where}, {k}") for k, v in mine.items()
        }
    for table, content in tables.items():
        if table not in known:
            near = _near(table, known)
            raise ConfigurationError(f"{where}, [{table}]: there is no command of this name{near}")
        for key, value in content.items():
            place = f"{where}, [{table}] {key}"
            _check_known(_name(key), known[table], place)
            one = known[table][_name(key)]
            found[table][one.parameter] = _value(value, one, place)
    return found


def _name(key: str) -> str:
    return key.replace("-", "_")


def _check_known(name: str, known: Iterable[str], place: str) -> None:
    if name in known:
        return
    if name in _ELSEWHERE:
        raise ConfigurationError(f"{place}: this file does not hold it; set {_ELSEWHERE[name]}")
    if name in _NOT_SET_HERE:
        raise ConfigurationError(f"{place}: it is for one run; give --{name.replace('_', '-')} there")
    raise ConfigurationError(f"{place}: there is no such option{_near(name, known)}")


def _near(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), 1)
    return f"; did you mean {near[0]}?" if near else ""


def _value(value: object, option: Option, place: str) -> object:
    """Return a value of TOML as the texts that an argument would be."""
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        if option.repeatable:
            return value
        if option.name == "labels":
            return ",".join(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return [str(value)] if option.repeatable else str(value)
    raise ConfigurationError(
        f"{place}={value!r}: write a text, a number or true and false"
        + (", or a list of texts" if option.repeatable or option.name == "labels" else "")
    )


def read_defaults(environment: Mapping[str, str], options: Options) -> tuple[Defaults, dict[str, str]]:
    """Return values of the environment, else `.env`, else `segmind.toml`; and misspelt variables.

    Raises ConfigurationError as `from_toml`, or if a file cannot be read.
    """
    written = _dot_env()
    layers = [from_toml(_toml(), options, TOML.name)]
    layers += [from_variables(variables, options) for variables in (written, environment)]
    found: Defaults = {command: {} for command in options}
    for layer in layers:
        for command, values in layer.items():
            found[command].update(values)
    return found, misspelt([*environment, *written], options)


def _toml() -> dict[str, object]:
    try:
        return tomllib.loads(TOML.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{TOML.name} cannot be read: {error}") from error


def _dot_env() -> Mapping[str, str | None]:
    if not DOT_ENV.is_file():
        return {}
    from dotenv import dotenv_values  # noqa: PLC0415  # only where there is a file

    try:
        return dotenv_values(DOT_ENV)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{DOT_ENV} cannot be read: {error}; write it as UTF-8") from error
