"""Keys and address for the command line: the environment first, then `.env` of the working directory."""

from __future__ import annotations

from typing import ClassVar

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from ..config import split_keys


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
        """The keys, in their order; empty if there is none."""
        if self.api_keys is not None and (several := split_keys(self.api_keys.get_secret_value())):
            return several
        return () if self.api_key is None else (self.api_key.get_secret_value(),)
