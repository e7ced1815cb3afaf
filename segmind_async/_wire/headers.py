"""The headers of a response, as the rest of the library reads them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy


class Headers(Mapping[str, str]):
    """Response headers under their names in lower case, of which most calls read three.

    Lowering all names takes longer than parsing the JSON of an answer, so it is done only when they are
    iterated over. A copy or a pickle is a plain dictionary.
    """

    __slots__ = ("_received",)

    def __init__(self, received: CIMultiDictProxy[str]) -> None:
        self._received = received

    def __getitem__(self, name: str) -> str:
        # Of repeated headers the last: a proxy appends its own to those of the service.
        return self._received.getall(name)[-1]

    def get(self, name: str, default: str | None = None) -> str | None:  # type: ignore[override]  # default is text
        """Return a header, *default* without one."""
        values = self._received.getall(name, None)
        return values[-1] if values else default

    def __contains__(self, name: object) -> bool:
        return name in self._received

    def __iter__(self) -> Iterator[str]:
        return iter({name.lower(): None for name in self._received})

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def texts(self) -> Iterable[str]:
        """Return all values as received, those of repeated headers included."""
        return self._received.values()

    def __repr__(self) -> str:
        return repr(dict(self))

    def __reduce__(self) -> tuple[type[dict[str, str]], tuple[dict[str, str]]]:
        return dict, (dict(self),)
