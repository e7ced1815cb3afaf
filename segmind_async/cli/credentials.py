"""Keys and address for the command line: a file of keys, else the environment, then `.env` here."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import ClassVar

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from ..config import check_separated, split_keys
from ..errors import ConfigurationError

_OF_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class Credentials(BaseSettings):
    """Keys and address. Only the command reads `.env`: the library itself reads no file."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix="SEGMIND_", env_file=".env", extra="ignore"
    )

    api_key: SecretStr | None = None
    api_keys: SecretStr | None = None
    """Several, separated by commas; they come before the single one."""
    base_url: str | None = None

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys, in their order; empty if there is none. Raises as `check_separated`."""
        if self.api_keys is not None and (several := split_keys(self.api_keys.get_secret_value())):
            check_separated("SEGMIND_API_KEYS", several)
            return several
        return () if self.api_key is None else (self.api_key.get_secret_value(),)


def read_keys(path: Path) -> tuple[str, ...]:
    """Return the keys of a file, one a line; empty lines and those that begin with # are none.

    Raises ConfigurationError, which quotes nothing of the file, if it cannot be read, holds no key or what is
    none, or is open to others than its owner.
    """
    try:
        with path.open(encoding="utf-8-sig") as file:
            # Of the open file, so that no other one is checked than is read.
            mode = os.fstat(file.fileno()).st_mode
            lines = file.read().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigurationError(f"file of keys {str(path)!r} cannot be read: {reason}") from None
    if os.name == "posix" and stat.S_ISREG(mode) and mode & _OF_OTHERS:
        raise ConfigurationError(
            f"file of keys {str(path)!r} is open to other users: its mode is {stat.S_IMODE(mode):o}; "
            "run chmod 600"
        )
    keys = tuple(key for line in lines if not line.startswith("#") for key in split_keys(line))
    if not keys:
        raise ConfigurationError(f"file of keys {str(path)!r} holds no key; write one a line")
    check_separated(f"file of keys {str(path)!r}", keys)
    return keys
