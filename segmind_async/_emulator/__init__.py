"""The emulated service. It imports nothing from the library: a mistake in both would stay unseen."""

from __future__ import annotations

from typing import TypeAlias

Json: TypeAlias = dict[str, object]
