"""Images that data may name: files of one folder, and no others."""

from __future__ import annotations

from pathlib import Path, PurePath

from .loading import SourceImage
from .resizing import SizeLimit


class ImageFolder:
    """A folder whose images rows may name by their path below it.

    Rows are not trusted: a name never reaches another file, also not through a link in the folder.
    """

    __slots__ = ("_root",)

    def __init__(self, folder: Path) -> None:
        self._root = folder.resolve()

    def __repr__(self) -> str:
        return f"ImageFolder({str(self._root)!r})"

    def image(self, name: str) -> SourceImage:
        """Return the part of an image, which is read when a call needs it.

        Raises ValueError for a name that is not one of a file in the folder.
        """
        path = self._path(name)
        if not path.is_file():
            raise ValueError(f"the image {name[:_SHOWN]!r} is not a file")
        return SourceImage(path, SizeLimit())

    def _path(self, name: str) -> Path:
        shown, pure = repr(name[:_SHOWN]), PurePath(name)
        if not name or pure.is_absolute() or pure.drive or ".." in pure.parts:
            raise ValueError(f"the image {shown} is not named by its path within the folder of images")
        try:
            path = (self._root / pure).resolve(strict=True)
        except (OSError, RuntimeError, ValueError):  # missing, a circle of links, or no possible name
            raise ValueError(f"the image {shown} is not in the folder of images") from None
        if not path.is_relative_to(self._root):
            raise ValueError(f"the image {shown} is a link out of the folder of images")
        return path


_SHOWN = 80
"""Characters of a name that errors show."""
