"""Jobs in shards: one picklable object that an engine (Dask, a process pool) maps over blocks."""

from __future__ import annotations

from ._folder import FolderTotals, read_folder
from ._shard import ShardJob, ShardStoppedError, run_shard

__all__ = ["FolderTotals", "ShardJob", "ShardStoppedError", "read_folder", "run_shard"]
