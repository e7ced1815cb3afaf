"""Key and address for the command line: the environment first, then `.env` of the working directory."""

from __future__ import annotations

from pydantic import SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Key and address. Only the command reads `.env`: the library itself reads no file."""

    model_config = SettingsConfigDict(env_prefix="SEGMIND_", env_file=".env", extra="ignore")

    api_key: SecretStr | None = None
    base_url: str | None = None
