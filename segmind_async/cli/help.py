"""The help of the commands: options in groups, as wide as the terminal, with examples after them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from enum import StrEnum
from typing import Protocol, TypeAlias

import typer
from typer.core import TyperCommand, TyperGroup

from .._text.escaping import plain
from .exit_codes import MEANINGS

_NARROWEST = 30
"""Columns below which the help does not become narrower."""

_NAMES = 32
"""Columns of the longest name beside which its description begins; less on a narrow terminal."""

ENVIRONMENT: Mapping[str, str] = {
    "SEGMIND_API_KEY": "The key of the account.",
    "SEGMIND_BASE_URL": "Address of the service. Default: https://api.segmind.com/v1",
    "SEGMIND_PROXY": "URL of a proxy, such as http://user:password@host:3128.",
    "SEGMIND_GATEWAY_TOKEN": "The token of `serve`.",
    "NO_COLOR": "Set to any value: no colours.",
}
"""Environment variables that the command reads, with their meaning."""

OTHER_SOURCES = (
    "Options have variables too: SEGMIND_ and the name, such as SEGMIND_MAX_IN_FLIGHT=8. Variables are also "
    "read from a file .env in the working directory (lines NAME=value), options also from segmind.toml. "
    "Arguments win over the environment, that over .env, that over segmind.toml."
)

Entries: TypeAlias = Sequence[tuple[str, str]]
"""Names, each with its description."""


class Group(StrEnum):
    """The groups of options, in the order of the help."""

    INPUT = "Input"
    SERVER = "Server"
    OUTPUT = "Output"
    MODEL = "Model"
    LIMITS = "Limits of money and rate"
    DELIVERY = "Delivery"
    ENGINE = "Engine"
    DISPLAY = "Display"


class _Formatter(Protocol):
    """The formatter of Typer's own click, as far as it is used here; its class is private."""

    width: int

    def section(self, name: str, /) -> AbstractContextManager[None]: ...

    def write_dl(self, rows: Entries, col_max: int, /) -> None: ...

    def write_text(self, text: str, /) -> None: ...

    def write(self, string: str, /) -> None: ...


class Command(TyperCommand):
    """A command whose help has its options in groups; its epilog are its examples, printed line by line."""

    def get_help(self, ctx: typer.Context) -> str:  # type: ignore[override,unused-ignore]  # typer vendors its own click
        """Return the help, as wide as the terminal."""
        ctx.terminal_width = _width()
        formatter = ctx.make_formatter()
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        for group, entries in self._groups(ctx).items():
            _list(formatter, group, entries)
        _examples(formatter, self.epilog)
        formatter.write("\nEnvironment and exit codes: segmind-async --help\n")
        return formatter.getvalue().rstrip("\n")

    def collect_usage_pieces(self, ctx: typer.Context) -> list[str]:  # type: ignore[override,unused-ignore]  # as above
        """Return the words of the usage line, arguments without Typer's braces."""
        return [piece.strip("{}") for piece in super().collect_usage_pieces(ctx)]

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override,unused-ignore]  # as above
        """Parse the arguments; an error in a value that is not an argument says where it stands."""
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            source = ctx.get_parameter_source(error.param.name) if error.param and error.param.name else None
            if source is not None and source.name == "DEFAULT_MAP":
                error.message += " (from the environment, .env or segmind.toml)"
            raise

    def _groups(self, ctx: typer.Context) -> dict[str, list[tuple[str, str]]]:
        groups: dict[str, list[tuple[str, str]]] = {group.value: [] for group in Group}
        for param in self.get_params(ctx):
            name = getattr(param, "rich_help_panel", None) or Group.DISPLAY.value
            if (entry := param.get_help_record(ctx)) is not None:
                groups[name].append(entry)
        return groups


class Commands(TyperGroup):
    """The command itself: its help lists the commands, what the environment may set, and the exit codes.

    Errors of usage repeat what was given, so control characters in them are escaped.
    """

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override,unused-ignore]  # as above
        """Parse the options before a command."""
        with _escaped():
            return super().parse_args(ctx, args)

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override,unused-ignore]  # as above
        """Parse and run a command."""
        with _escaped():
            return super().invoke(ctx)

    def get_help(self, ctx: typer.Context) -> str:  # type: ignore[override,unused-ignore]  # as above
        """Return the help, as wide as the terminal."""
        ctx.terminal_width = _width()
        formatter = ctx.make_formatter()
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        _list(formatter, "Commands", [(name, one.help or "") for name, one in self.commands.items()])
        _list(formatter, "Options", [e for p in self.get_params(ctx) if (e := p.get_help_record(ctx))])
        _examples(formatter, self.epilog)
        _list(formatter, "Environment", [*ENVIRONMENT.items()])
        formatter.write("\n")
        formatter.write_text(f"  {OTHER_SOURCES}")
        _list(formatter, "Exit codes", [(str(code.value), meaning) for code, meaning in MEANINGS.items()])
        return formatter.getvalue().rstrip("\n")


@contextmanager
def _escaped() -> Iterator[None]:
    try:
        yield
    except typer.TyperException as error:
        error.message = plain(error.message)
        raise


def _examples(formatter: _Formatter, epilog: str | None) -> None:
    """Write examples as they are: wrapped, they could not be copied."""
    if epilog is not None:
        with formatter.section("Examples"):
            formatter.write("".join(f"  {line}\n" for line in epilog.strip().splitlines()))


def _list(formatter: _Formatter, title: str, entries: Entries) -> None:
    """Write a group; an empty one is left out."""
    if entries:
        with formatter.section(title):
            formatter.write_dl(entries, min(_NAMES, formatter.width // 3))


def _width() -> int:
    """Return the columns of the terminal; 80 if stdout is none and COLUMNS is not set."""
    # One column stays free: some terminals wrap a line that fills the last one.
    return max(_NARROWEST, shutil.get_terminal_size().columns - 1)
