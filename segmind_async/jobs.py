"""Bulk jobs: rows in, outcomes out, one for each row, and nothing lost in between."""

from __future__ import annotations

from ._jobs.formats.dataframes import frame_of, rows_of
from ._jobs.journal.journal_error import JournalError
from ._jobs.options import JobOptions
from ._jobs.progress import JobProgress, KeyUse
from ._jobs.report.row_counts import JobReport
from ._jobs.run import JobRun

__all__ = [
    "JobOptions",
    "JobProgress",
    "JobReport",
    "JobRun",
    "JournalError",
    "KeyUse",
    "frame_of",
    "rows_of",
]
