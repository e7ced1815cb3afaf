"""`python -m segmind_async`, the same as the command `segmind-async`."""

from __future__ import annotations

import gc
import sys

from ._process import early_interrupt, early_sign, standard_streams

_ALLOCATIONS = 20_000
"""Objects made, less those that went, between two looks of the garbage collector."""


def main() -> None:
    """Run the command line, or say what it needs."""
    early_interrupt.install()
    standard_streams.open_missing()
    standard_streams.escape_unencodable()
    try:
        from .cli import app  # noqa: PLC0415  # an extra: without it, say so
    except ModuleNotFoundError as error:
        if error.name not in {"typer", "rich", "pydantic_settings"}:
            raise
        early_sign.clear()
        sys.exit("the command line needs more packages: pip install 'segmind-async[cli]'")
    # This process is ours, so the collector is too. Nothing here makes rubbish that it alone could find,
    # and with 512 calls in flight it takes a third of the time: what is there stays out of its sight, and
    # it looks less often.
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS)
    early_sign.clear()
    app()


if __name__ == "__main__":
    main()
