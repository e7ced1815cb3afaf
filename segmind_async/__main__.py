"""`python -m segmind_async`, the same as the command `segmind-async`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, or say what it needs."""
    try:
        from .cli import app  # noqa: PLC0415  # an extra: without it, say so
    except ModuleNotFoundError as error:
        if error.name not in {"typer", "rich", "pydantic_settings"}:
            raise
        sys.exit("the command line needs more packages: pip install 'segmind-async[cli]'")
    app()


if __name__ == "__main__":
    main()
