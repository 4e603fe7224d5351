"""The settings: the seed's names, the example file, and errors that say what to write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ami_rotator.errors import SettingsError
from ami_rotator.settings import Settings, load_settings
from ami_rotator.settings_reference import env_example

ROOT = Path(__file__).parents[2]
TOKEN = "0123456789abcdef"


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_example_file_lists_every_option_with_its_default() -> None:
    assert (ROOT / ".env.example").read_text() == env_example()


def test_the_example_file_as_it_stands_changes_nothing(tmp_path: Path) -> None:
    plain = load_settings()
    (tmp_path / ".env").write_text(env_example())

    assert load_settings() == plain


def test_the_names_of_the_seed_project_are_read_and_take_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {
        "DB_HOST": "db.local", "DB_PORT": "5433", "DB_USER": "u", "DB_PASSWORD": "p@ss/word", "DB_NAME": "n",
        "REDIS_HOST": "redis.local", "REDIS_PORT": "6380", "REDIS_DB": "2", "REDIS_PASSWORD": "s:cret",
        "ADMIN_TOKEN": TOKEN, "JWT_SECRET_KEY": "k" * 32, "RESERVATION_TTL_SECONDS": "120",
        "DEFAULT_DAILY_LIMIT": "150", "DEFAULT_HOURLY_LIMIT": "20", "RATE_LIMIT_PER_AGENT": "7",
        "RATE_LIMIT_PER_IP": "8", "API_HOST": "0.0.0.0", "API_PORT": "9000", "DEBUG": "true", "LOG_LEVEL": "warning",
    }  # fmt: skip
    for name, value in values.items():
        monkeypatch.setenv(name, value)

    settings = load_settings()

    assert settings.database_dsn() == "postgresql://u:p%40ss%2Fword@db.local:5433/n"
    assert settings.redis_dsn() == "redis://:s%3Acret@redis.local:6380/2"
    assert settings.admin_token is not None
    assert settings.admin_token.get_secret_value() == TOKEN
    assert (settings.reservation_ttl_seconds, settings.default_daily_limit, settings.default_hourly_limit) == (
        120,
        150,
        20,
    )
    assert (settings.rate_limit_per_agent, settings.rate_limit_per_ip) == (7, 8)
    assert (settings.api_host, settings.api_port, settings.debug, settings.log_level) == (
        "0.0.0.0",
        9000,
        True,
        "WARNING",
    )


def test_dialers_are_a_json_list_or_one_by_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_TOKEN", TOKEN)
    monkeypatch.setenv("AMI_HOST", "10.0.0.5")
    monkeypatch.setenv("AMI_MODE", "observe")
    one = load_settings().all_dialers()
    monkeypatch.setenv("DIALERS", json.dumps([{"name": "a", "dial_prefixes": ["9", "8"]}, {"name": "b", "tls": True}]))
    two = load_settings().all_dialers()

    assert [(d.host, d.port, d.mode, d.dial_prefixes) for d in one] == [("10.0.0.5", 5038, "observe", {"9": None})]
    assert [(d.name, d.tls, d.dial_prefixes) for d in two] == [
        ("a", False, {"9": None, "8": None}),
        ("b", True, {"9": None}),
    ]


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("ADMIN_TOKEN", "change-me-in-production", "openssl rand -hex 24"),
        ("ADMIN_TOKEN", "short", "16 characters"),
        ("JWT_SECRET_KEY", "short", "32 characters"),
        ("TIMEZONE", "Mars/Olympus", "America/New_York"),
        ("API_PORT", "eighty", "API_PORT"),
        ("DEFAULT_DAILY_LIMIT", "-5", "DEFAULT_DAILY_LIMIT"),
        ("LOG_LEVEL", "LOUD", "'DEBUG', 'INFO', 'WARNING' or 'ERROR'"),
        ("DIALERS", "[{not json", "JSON list"),
        ("DIALERS", '[{"name": "a", "dial_prefixes": {"x": null}}]', '{"9": "SALES"}'),
        ("DIALERS", '[{"name": "a"}, {"name": "a"}]', "used twice"),
        ("DIALERS", '[{"name": "a"}]', "ADMIN_TOKEN"),
        ("NEXT_CID_NETWORKS", "10.0.0.0/99", "NEXT_CID_NETWORKS"),
    ],
)
def test_a_wrong_value_stops_the_start_and_says_which_why_and_what_to_write(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(SettingsError, match="Change these in the environment") as caught:
        load_settings()

    assert said in str(caught.value)


def test_secrets_stand_in_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_TOKEN", "s3cret-token")
    monkeypatch.setenv("JWT_SECRET_KEY", "s3cret-key")
    monkeypatch.setenv("DIALERS", '[{"name": "a", "secret": "s3cret-ami", "port": "x"}]')

    with pytest.raises(SettingsError) as caught:
        load_settings()

    assert "s3cret" not in str(caught.value)
