"""`python -m segmind_async`, the same as the command `segmind-async`."""

from __future__ import annotations

import gc
import sys

_ALLOCATIONS = 20_000
"""Objects made, less those that went, between two looks of the garbage collector."""

_INTERRUPTED = 130
"""The exit code after Ctrl-C; `cli.exit_codes` is not imported yet."""


def main() -> None:
    """Run the command line, or say what it needs."""
    try:
        from .cli import app  # noqa: PLC0415  # an extra: without it, say so
    except ModuleNotFoundError as error:
        if error.name not in {"typer", "rich", "pydantic_settings"}:
            raise
        sys.exit("the command line needs more packages: pip install 'segmind-async[cli]'")
    except KeyboardInterrupt:
        # Before the command can handle it: its packages take some tenths of a second.
        sys.exit(_INTERRUPTED)
    # This process is ours, so the collector is too. Nothing here makes rubbish that it alone could find,
    # and with 512 calls in flight it takes a third of the time: what is there stays out of its sight, and
    # it looks less often.
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS)
    app()


if __name__ == "__main__":
    main()
