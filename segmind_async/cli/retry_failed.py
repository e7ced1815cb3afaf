"""Which failed rows a job asks again: `--retry-failed`, or `--retry-failed=CLASS`."""

from __future__ import annotations

import typer
from typer.core import TyperCommand

from .. import errors
from .._jobs.classify import NOT_A_LABEL
from ..errors import SegmindError

_WITH_CLASS = "--retry-failed="

_CLASSES = frozenset(
    {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, SegmindError)}
) | {NOT_A_LABEL}


class JobCommand(TyperCommand):
    """A command whose `--retry-failed` may name a class, which a flag of Typer's cannot."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override,unused-ignore]  # typer vendors its own click
        """Read `--retry-failed=CLASS` as `--retry-only CLASS`."""
        read = [
            f"--retry-only={arg.removeprefix(_WITH_CLASS)}" if arg.startswith(_WITH_CLASS) else arg
            for arg in args
        ]
        return super().parse_args(ctx, read)


def again(all_of_them: bool, classes: list[str] | None) -> bool | frozenset[str]:
    """Return which failed rows are asked again; refuses a class that no error has."""
    for name in classes or ():
        if name not in _CLASSES:
            raise typer.BadParameter(
                f"{name!r} is no class of errors; one of {', '.join(sorted(_CLASSES))}",
                param_hint="--retry-failed",
            )
    return all_of_them or frozenset(classes or ())
