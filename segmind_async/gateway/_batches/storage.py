"""What `files` in the options turns on: files and batches, over one folder."""

from __future__ import annotations

from pathlib import Path

from .._files.folder import Folder
from .._files.store import FileLimits, FileStore
from .calls import GatewayCalls
from .runner import BatchRunner
from .store import BatchStore


class Storage:
    """The folder with all that stands in it, and the batches that run."""

    def __init__(self, path: Path, limits: FileLimits, calls: GatewayCalls) -> None:
        self._folder = folder = Folder(path)
        try:
            self.files = FileStore(folder, limits)
            self.batches = BatchStore(folder)
        except BaseException:
            folder.close()
            raise
        self.files.user_of = self.batches.user_of
        self.runner = BatchRunner(self.batches, self.files, calls)

    async def start(self) -> None:
        """Go on with the batches that an earlier gateway has left."""
        await self.runner.start()

    def stop(self, grace: float) -> None:
        """Send no more rows; those in flight have *grace* seconds to end."""
        self.runner.stop(grace)

    async def aclose(self) -> None:
        """Wait for the batches to stop, and release the folder."""
        try:
            await self.runner.aclose()
        finally:
            self._folder.close()
