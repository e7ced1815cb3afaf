"""The command line: it parses, calls the library once, prints, and sets the exit code."""

from __future__ import annotations

from .app import app

__all__ = ["app"]
