"""Forms of tables on disk: each is read one row at a time, and written one row at a time."""

from __future__ import annotations
