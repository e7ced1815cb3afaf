"""The option `--retry-failed`, or `--retry-failed=CLASS`: the failed rows that a job retries."""

from __future__ import annotations

import typer

from .. import errors
from .._jobs.classify import NOT_A_LABEL
from ..errors import SegmindError
from .help import Command

_WITH_CLASS = "--retry-failed="

_CLASSES = frozenset(
    {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, SegmindError)}
) | {NOT_A_LABEL}


class JobCommand(Command):
    """A command whose `--retry-failed` takes an optional class, which Typer's flags cannot."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override,unused-ignore]  # typer vendors its own click
        """Read `--retry-failed=CLASS` as `--retry-only CLASS`."""
        read = [
            f"--retry-only={arg.removeprefix(_WITH_CLASS)}" if arg.startswith(_WITH_CLASS) else arg
            for arg in args
        ]
        return super().parse_args(ctx, read)


def rows_to_retry(all_failed: bool, classes: list[str] | None) -> bool | frozenset[str]:
    """Return whether all failed rows are retried, or the classes that are; refuses an unknown class."""
    for name in classes or ():
        if name not in _CLASSES:
            raise typer.BadParameter(
                f"{name!r} is not an error class; choose from {', '.join(sorted(_CLASSES))}",
                param_hint="--retry-failed",
            )
    return all_failed or frozenset(classes or ())
