"""Every option, read once at the start from the environment and `.env`. `.env.example` lists them; a test holds both together."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote
from zoneinfo import ZoneInfo, available_timezones

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from ami_rotator.domain.numbers import Presentation
from ami_rotator.errors import SettingsError

UNSAFE_TOKENS = frozenset({"change-me-in-production", "your_admin_token", "changeme", "change-me", "admin"})
"""Tokens from examples. They are never accepted."""

Mode = Literal["hook", "direct", "observe", "push"]


class DialerSettings(BaseModel):
    """One Asterisk server. `dial_prefixes` maps the digits VICIdial puts before a number to the campaign that uses them, or
    to null where several campaigns share them: then the campaign is learned from `CAMPCUST`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9_.\-]{1,40}$")
    host: str = "127.0.0.1"
    port: int = Field(default=5038, ge=1, le=65535)
    username: str = Field(default="rotator", pattern=r"^[^\r\n]{1,80}$")
    secret: SecretStr = SecretStr("")
    mode: Mode = "hook"
    dial_prefixes: dict[str, str | None] = Field(default={"9": None})
    tls: bool = False
    tls_ca: Path | None = None
    server_ip: str = ""

    @field_validator("dial_prefixes", mode="before")
    @classmethod
    def _list_means_no_campaign(cls, value: Any) -> Any:
        return dict.fromkeys(value) if isinstance(value, list) else value

    @field_validator("dial_prefixes")
    @classmethod
    def _prefixes_are_digits(cls, value: dict[str, str | None]) -> dict[str, str | None]:
        for prefix in value:
            if prefix and not (prefix.isascii() and prefix.isdigit()):
                raise ValueError(f'dial prefix {prefix!r} is not digits; write for example {{"9": "SALES"}}')
        return value

    @field_validator("secret")
    @classmethod
    def _one_line(cls, value: SecretStr) -> SecretStr:
        if "\n" in value.get_secret_value() or "\r" in value.get_secret_value():
            raise ValueError("the AMI secret has a line break in it; write it on one line")
        return value


def _split(value: Any) -> Any:
    """Read a list setting: JSON, or items with commas between."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.startswith("["):
        try:
            return json.loads(text)
        except ValueError as error:
            raise ValueError(f"not valid JSON ({error}); write a JSON list") from None
    return [item.strip() for item in text.split(",") if item.strip()]


class Settings(BaseSettings):
    """All options. Names are the environment's; the seed project's names mean what they meant there."""

    model_config = SettingsConfigDict(env_file=".env", env_file_encoding="utf-8", extra="ignore", env_ignore_empty=True)

    # Where things are
    data_dir: Path = Field(
        Path("data"), description="Folder of the embedded servers, used where no Redis or database is configured"
    )
    redis_url: SecretStr | None = Field(
        None,
        description="Redis >= 7 or Valkey: redis://, rediss:// (TLS), redis+sentinel://HOST:26379,HOST:26379/SERVICE/0 or redis+cluster://HOST:6379,HOST:6379; empty: REDIS_HOST, else an embedded Valkey",
    )
    redis_host: str | None = Field(None, description="Redis by parts, used where REDIS_URL is empty")
    redis_port: int = Field(6379, ge=1, le=65535, description="Port for REDIS_HOST")
    redis_db: int = Field(0, ge=0, description="Database number for REDIS_HOST")
    redis_password: SecretStr | None = Field(None, description="Password for REDIS_HOST")
    database_url: SecretStr | None = Field(
        None, description="PostgreSQL >= 15, postgresql://; empty: DB_HOST, else an embedded PostgreSQL"
    )
    db_host: str | None = Field(None, description="PostgreSQL by parts, used where DATABASE_URL is empty")
    db_port: int = Field(5432, ge=1, le=65535, description="Port for DB_HOST")
    db_user: str = Field("callerid_user", description="User for DB_HOST")
    db_password: SecretStr = Field(SecretStr(""), description="Password for DB_HOST")
    db_name: str = Field("callerid_db", description="Database for DB_HOST")
    inventory: str = Field(
        "main",
        pattern=r"^[A-Za-z0-9_\-]{1,20}$",
        description="Name of the inventory in Redis; several can share one Redis",
    )

    # Dialers
    dialers: Annotated[tuple[DialerSettings, ...], NoDecode, BeforeValidator(_split)] = Field(
        (),
        description='JSON list of dialers: [{"name": "dialer1", "host": "10.0.0.5", "username": "rotator", "secret": "...", "mode": "observe", "dial_prefixes": {"9": null}}]',
    )
    ami_host: str | None = Field(
        None, description="A single dialer by parts, used where DIALERS is empty; empty too: the simulator"
    )
    ami_port: int = Field(5038, ge=1, le=65535, description="Port for AMI_HOST")
    ami_username: str = Field("rotator", description="AMI user for AMI_HOST")
    ami_secret: SecretStr = Field(SecretStr(""), description="AMI secret for AMI_HOST")
    ami_mode: Mode = Field(
        "hook",
        description="hook: set a variable that the dialplan applies; direct: set the number itself; observe: set nothing; push: only count what VICIdial chose",
    )
    ami_ping_interval_s: float = Field(
        10.0, gt=0, le=300, description="Seconds between AMI pings; a dialer silent for two of them is reconnected"
    )
    ami_timeout_s: float = Field(5.0, gt=0, le=60, description="Longest wait for an AMI answer, in seconds")
    simulator_calls_per_s: float = Field(
        5.0, gt=0, le=5000, description="Calls a second of the simulator that runs where no dialer is configured"
    )

    # VICIdial's database
    vicidial_database_url: SecretStr | None = Field(
        None,
        description="VICIdial's MySQL or MariaDB: mysql://user:password@host:3306/asterisk; calls are then known before Asterisk has them. Empty: VICIDIAL_DB_HOST, else not used",
    )
    vicidial_db_host: str | None = Field(
        None, description="VICIdial's database by parts, used where VICIDIAL_DATABASE_URL is empty"
    )
    vicidial_db_port: int = Field(3306, ge=1, le=65535, description="Port for VICIDIAL_DB_HOST")
    vicidial_db_user: str = Field("rotator", description="User for VICIDIAL_DB_HOST")
    vicidial_db_password: SecretStr = Field(SecretStr(""), description="Password for VICIDIAL_DB_HOST")
    vicidial_db_name: str = Field("asterisk", description="Database for VICIDIAL_DB_HOST")
    vicidial_write_back: bool = Field(
        False,
        description="Write the number that was really sent into vicidial_dial_cid_log, so that VICIdial's reports stay true",
    )

    vicidial_push: Literal["off", "sql", "api"] = Field(
        "off",
        description="Keep VICIdial's own CID groups switched to eligible numbers: off, sql (needs rights to change), or api (VICIDIAL_API_URL); for dialers in mode push",
    )
    vicidial_push_groups: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = Field(
        (), description="CID groups to keep by api, with commas between"
    )
    vicidial_api_url: str | None = Field(
        None, description="VICIdial's Non-Agent API: https://dialer/vicidial/non_agent_api.php"
    )
    vicidial_api_user: str = Field("", description="User of the Non-Agent API, level 8 with Modify Campaigns")
    vicidial_api_password: SecretStr = Field(SecretStr(""), description="Password of the Non-Agent API user")

    # HTTP
    api_host: str = Field("127.0.0.1", description="Address the HTTP server listens on")
    api_port: int = Field(8000, ge=0, le=65535, description="Port of the HTTP server; 0 takes a free one")
    admin_token: SecretStr | None = Field(
        None,
        description="Token for POST /add-number and the dashboard, 16 characters or more; empty: a new one is printed at each start of the embedded demo",
    )
    jwt_secret_key: SecretStr | None = Field(
        None,
        description="Key that signs sessions, 32 characters or more, the same for all daemons; empty: a new one at each start, which ends them",
    )
    jwt_algorithm: Literal["HS256"] = Field("HS256", description="How sessions are signed; there is no other way")
    jwt_expiration_hours: float = Field(24, gt=0, le=8760, description="Hours after which one has to sign in again")
    next_cid_networks: Annotated[
        tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...], NoDecode, BeforeValidator(_split)
    ] = Field(
        (ipaddress.IPv4Network("127.0.0.0/8"), ipaddress.IPv6Network("::1/128")),
        description="Networks that may ask GET /next-cid, with commas between",
    )
    next_cid_key: SecretStr | None = Field(
        None, description="If set, GET /next-cid also wants it as ?key= or X-Api-Key"
    )
    rate_limit_per_agent: int = Field(
        100, ge=0, description="Calls of /next-cid a minute and agent; 0: no limit; an empty agent is not counted"
    )
    rate_limit_per_ip: int = Field(
        200, ge=0, description="Calls of /next-cid a minute and address outside loopback; 0: no limit"
    )
    rate_limit_per_user: int = Field(
        600, ge=0, description="Requests to /api/v1 a minute and user (the admin token is one); 0: no limit"
    )
    fastagi_port: int = Field(0, ge=0, le=65535, description="Port of the FastAGI server on API_HOST; 0: off")
    answer_budget_ms: int = Field(
        250, ge=20, le=5000, description="Longest time the dialplan is kept waiting for an answer"
    )

    # Choosing
    presentation: Presentation = Field(
        "national",
        description="How caller-IDs are presented: national 5551234567, e164 +15551234567, digits 15551234567",
    )
    default_region: str = Field(
        "US", pattern=r"^[A-Z]{2}$", description="Country of numbers without country code, ISO 3166"
    )
    timezone: str = Field("America/New_York", description="Time zone of the hourly and daily limits")
    reservation_ttl_seconds: int = Field(
        300,
        ge=5,
        le=86400,
        description="A reservation nobody confirms, renews or ends is taken back after this many seconds",
    )
    default_daily_limit: int = Field(
        1000, ge=0, description="Uses a day of a caller-ID that has no limit of its own; 0 is never"
    )
    default_hourly_limit: int = Field(
        100, ge=0, description="Uses an hour of a caller-ID that has no limit of its own; 0 is never"
    )
    default_cooldown_seconds: int = Field(30, ge=0, le=86400, description="Rest after each call, in seconds")
    ledger_keep_months: int = Field(
        13,
        ge=0,
        le=1200,
        description="Whole months of the ledger that are kept besides the one that runs; older ones are dropped; 0 keeps all",
    )
    outbox_alarm_entries: int = Field(
        100_000,
        ge=1,
        description="Records waiting in Redis for PostgreSQL (192 bytes each) from which on it is an alarm",
    )
    outbox_max_entries: int = Field(
        5_000_000, ge=1000, description="Records waiting in Redis for PostgreSQL from which on the oldest are dropped"
    )
    warm_share_max: float = Field(0.05, ge=0, le=0.5, description="Largest share of the inventory that is kept warm")

    # Logs
    debug: bool = Field(False, description="More detail in the log; never in answers")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")
    log_file: Path | None = Field(None, description="Also write the log to this file")

    @field_validator("log_level", mode="before")
    @classmethod
    def _any_case(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError(f"{value!r} is not a time zone; write one such as America/New_York or UTC")
        return value

    @field_validator("admin_token")
    @classmethod
    def _not_an_example(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            token = value.get_secret_value()
            if token in UNSAFE_TOKENS:
                raise ValueError("this token stands in every example; write one of your own: openssl rand -hex 24")
            if len(token) < 16:
                raise ValueError("shorter than 16 characters; write a longer one: openssl rand -hex 24")
        return value

    @field_validator("jwt_secret_key")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 32:
            raise ValueError("shorter than 32 characters; write a longer one: openssl rand -hex 32")
        return value

    @model_validator(mode="after")
    def _cross_checks(self) -> Self:
        names = [dialer.name for dialer in self.all_dialers()]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"DIALERS: the name {twice.pop()!r} is used twice; every dialer needs its own")
        real = not self.embedded_redis or not self.embedded_database or bool(names)
        if real and self.admin_token is None:
            raise ValueError(
                "ADMIN_TOKEN: not set; with a real Redis, database or dialer it must be: openssl rand -hex 24"
            )
        if self.vicidial_push == "api" and not (self.vicidial_api_url and self.vicidial_push_groups):
            raise ValueError(
                "VICIDIAL_PUSH: api needs VICIDIAL_API_URL and VICIDIAL_PUSH_GROUPS; set both, or write off"
            )
        if self.vicidial_push == "sql" and self.vicidial_database_url is None and self.vicidial_db_host is None:
            raise ValueError("VICIDIAL_PUSH: sql needs VICIDIAL_DATABASE_URL; set it, or write off")
        return self

    @property
    def zone(self) -> ZoneInfo:
        """The time zone of the limits."""
        return ZoneInfo(self.timezone)

    @property
    def embedded_redis(self) -> bool:
        """Whether the daemon runs its own Valkey."""
        return self.redis_url is None and self.redis_host is None

    @property
    def embedded_database(self) -> bool:
        """Whether the daemon runs its own PostgreSQL."""
        return self.database_url is None and self.db_host is None

    def redis_dsn(self) -> str | None:
        """Return the URL of the configured Redis; None means embedded."""
        if self.redis_url is not None:
            return self.redis_url.get_secret_value()
        if self.redis_host is None:
            return None
        password = f":{quote(self.redis_password.get_secret_value(), safe='')}@" if self.redis_password else ""
        return f"redis://{password}{self.redis_host}:{self.redis_port}/{self.redis_db}"

    def database_dsn(self) -> str | None:
        """Return the URL of the configured PostgreSQL; None means embedded."""
        if self.database_url is not None:
            return self.database_url.get_secret_value()
        if self.db_host is None:
            return None
        password = quote(self.db_password.get_secret_value(), safe="")
        return f"postgresql://{quote(self.db_user, safe='')}:{password}@{self.db_host}:{self.db_port}/{quote(self.db_name, safe='')}"

    def all_dialers(self) -> tuple[DialerSettings, ...]:
        """Return the configured dialers; none means the simulator."""
        if self.dialers or self.ami_host is None:
            return self.dialers
        return (
            DialerSettings(
                name="dialer1",
                host=self.ami_host,
                port=self.ami_port,
                username=self.ami_username,
                secret=self.ami_secret,
                mode=self.ami_mode,
            ),
        )


def load_settings(**overrides: Any) -> Settings:
    """Read the settings.

    Raises:
        SettingsError: names each wrong option, says why it is wrong and what to write instead.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        lines = []
        for item in error.errors(include_url=False, include_context=False):
            name = ".".join(str(part) for part in item["loc"]).upper()
            message = item["msg"].removeprefix("Value error, ")
            shown = "" if _is_secret(name) or not name else f" (it is {item['input']!r})"
            lines.append(f"  {name + ': ' if name else ''}{message}{shown}")
        raise SettingsError(
            "The settings cannot be used. Change these in the environment or in .env, then start again:\n"
            + "\n".join(lines)
        ) from None


def _is_secret(name: str) -> bool:
    return any(word in name for word in ("SECRET", "TOKEN", "PASSWORD", "KEY", "URL", "DIALERS"))
