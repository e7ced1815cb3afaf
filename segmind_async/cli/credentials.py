"""Key and address for the command line: the environment first, then `.env` of the working directory."""

from __future__ import annotations

from typing import ClassVar

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Credentials(BaseSettings):
    """Key and address. Only the command reads `.env`: the library itself reads no file."""

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix="SEGMIND_", env_file=".env", extra="ignore"
    )

    api_key: SecretStr | None = None
    base_url: str | None = None
