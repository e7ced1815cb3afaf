"""Bulk files: rows in, outcomes out, one line for each row."""

from __future__ import annotations
