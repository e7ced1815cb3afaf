"""Bulk jobs: rows in, outcomes out, one line for each row, and nothing lost in between."""

from __future__ import annotations

from .journal import JournalError
from .plan import JobOptions
from .runner import JobRun
from .tally import JobReport

__all__ = ["JobOptions", "JobReport", "JobRun", "JournalError"]
