"""Settings from ``BROKER_*`` environment variables and one YAML file; the environment wins."""

import os
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


class Settings(BaseSettings):
    """Everything an operator may set for one deployment."""

    model_config = SettingsConfigDict(env_prefix="BROKER_", extra="forbid", frozen=True)

    profile: Literal["production", "development"] = Field(
        "production",
        description="`development` allows http issuers and outbound calls to loopback, and only while the "
        "broker itself is bound to loopback. A banner says so on every page.",
    )
    public_url: str = Field(
        "http://127.0.0.1:8080",
        description="The address that people and agents use. "
        "Issuers are built from it, never from the Host header.",
    )
    host: str = Field("127.0.0.1", description="The address to listen on.")
    port: int = Field(8080, ge=1, le=65535, description="The port to listen on.")
    workers: int = Field(1, ge=1, le=64, description="Worker processes; one per core serves best.")
    threads: int = Field(16, ge=1, le=64, description="Blocking threads per worker; they share commits.")
    data_dir: Path = Field(
        Path("broker-data"), description="Where SQLite and the key-encryption key live (made with mode 0700)."
    )
    database_url: str = Field(
        "",
        description="SQLAlchemy URL; empty means SQLite in `data_dir`. PostgreSQL: `postgresql+psycopg://…`.",
    )
    key_encryption_key: SecretStr | None = Field(
        None, description="32 bytes in base64url. Unset: read from `data_dir/kek`, made there at first start."
    )
    retired_key_encryption_keys: list[SecretStr] = Field(
        default_factory=list, description="Earlier key-encryption keys that may still open what they sealed."
    )
    clock_skew_seconds: int = Field(60, ge=0, le=300, description="Tolerated clock difference with others.")
    session_idle_seconds: int = Field(
        3600, ge=60, description="A browser session ends after this much silence."
    )
    session_absolute_seconds: int = Field(
        36000, ge=60, le=86400, description="A browser session never lives longer."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe line to log."
    )
    trusted_proxies: int = Field(
        0, ge=0, le=5, description="How many proxies in front may be believed for the caller's address."
    )

    directory_hosts: list[str] = Field(
        default_factory=list,
        description="LDAP servers in private networks that connections may name, as `host` or `host:port`. "
        "Servers at public addresses need no entry.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: arguments, environment, then the YAML file named by ``BROKER_CONFIG``."""
        path = os.environ.get("BROKER_CONFIG")
        yaml = (YamlConfigSettingsSource(settings_cls, yaml_file=path),) if path else ()
        return (init_settings, env_settings, *yaml)

    @model_validator(mode="after")
    def _check_profile(self) -> "Settings":
        url = urlsplit(self.public_url)
        if url.scheme not in {"http", "https"} or not url.hostname or url.query or url.fragment:
            raise ValueError("public_url must be an http(s) address without query or fragment")
        if self.public_url.endswith("/"):
            raise ValueError("public_url must not end with a slash")
        # Without this: a development broker reachable from outside would accept http and loopback egress.
        if self.profile == "development" and self.host not in _LOOPBACK:
            raise ValueError("the development profile only listens on loopback")
        if self.profile == "production" and url.scheme != "https" and url.hostname not in _LOOPBACK:
            raise ValueError("production needs an https public_url")
        return self

    @property
    def is_development(self) -> bool:
        """Whether the relaxations of the development profile are on."""
        return self.profile == "development"

    @property
    def is_https(self) -> bool:
        """Whether people reach the broker over https; cookies are then Secure and ``__Host-``."""
        return self.public_url.startswith("https://")

    @property
    def resolved_database_url(self) -> str:
        """The database to use: the configured one, else SQLite inside ``data_dir``."""
        return self.database_url or f"sqlite:///{self.data_dir / 'broker.db'}"

    def issuer(self, slug: str) -> str:
        """Return the issuer of the tenant ``slug``: one per tenant, no trailing slash (RFC 8414 §2)."""
        return f"{self.public_url}/t/{slug}"


def load_settings(**given: Any) -> Settings:
    """Return the settings of this process; ``given`` wins over environment and file.

    Raises ``pydantic.ValidationError`` naming every wrong field.
    """
    return Settings(**given)
