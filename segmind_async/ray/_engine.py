"""Ray itself, imported when it is needed: the rest of the package works, and is tested, without it."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from ..errors import ConfigurationError


def engine() -> ModuleType:
    """Import Ray; raises ConfigurationError, saying how to get it, where it is not installed."""
    try:
        return import_module("ray")
    except ImportError as error:
        raise ConfigurationError("Ray is not installed: pip install 'segmind-async[ray]'") from error
