"""docker-compose.yml and Dockerfile, as far as they can be judged without an engine (deploy/docker/try_build.sh builds)."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from ami_rotator.settings import Settings
from ami_rotator.settings_reference import env_example

ROOT = Path(__file__).parents[2]
COMPOSE = (ROOT / "docker-compose.yml").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

ENV = {"ADMIN_TOKEN": "token-of-an-admin-0123", "DB_PASSWORD": "d" * 20, "REDIS_PASSWORD": "r" * 20}

# ${NAME}, ${NAME:-default}, ${NAME:?message}; $$ is a dollar (Compose specification, "Interpolation").
_REFERENCE = re.compile(r"\$(?:(\$)|\{(\w+)(?::([-?])((?:[^{}]|\{[^{}]*\})*))?\})")


class MissingError(Exception):
    """A variable that has to be set is not."""


def interpolated(value: Any, environment: Mapping[str, str]) -> Any:
    """Do what Compose does with the variables of a file."""
    if isinstance(value, dict):
        return {key: interpolated(item, environment) for key, item in value.items()}
    if isinstance(value, list):
        return [interpolated(item, environment) for item in value]
    if not isinstance(value, str):
        return value

    def one(match: re.Match[str]) -> str:
        dollar, name, kind, text = match.groups()
        if dollar:
            return "$"
        found = environment.get(name, "")
        if not found and kind == "?":
            raise MissingError(text)
        return found or (text if kind == "-" else "")

    assert "$" not in _REFERENCE.sub("", value), f"Compose would not understand {value!r}"
    return _REFERENCE.sub(one, value)


def composed(**environment: str) -> dict[str, Any]:
    found: dict[str, Any] = interpolated(yaml.safe_load(COMPOSE), ENV | environment)
    return found


def test_every_setting_reaches_the_daemon() -> None:
    api = composed()["services"]["api"]
    given = {line.partition("=")[0] for line in env_example().splitlines() if line and not line.startswith("#")}

    assert given == {name.upper() for name in Settings.model_fields}
    assert api["env_file"] == [".env"]
    # What stands here wins over .env: it must be .env's own value, or something that is different in a container.
    own = {"API_HOST", "API_PORT", "DATA_DIR"}
    environment: dict[str, Any] = yaml.safe_load(COMPOSE)["services"]["api"]["environment"]
    for name, value in environment.items():
        assert name in given
        assert name in own or f"${{{name}:" in str(value), f"{name} of .env is lost"


def test_a_setting_of_env_wins_over_the_containers_default() -> None:
    environment = composed(DB_HOST="10.0.0.9", NEXT_CID_NETWORKS="10.1.0.0/16", API_PORT="8123")["services"]["api"]

    assert environment["environment"]["DB_HOST"] == "10.0.0.9"
    assert environment["environment"]["NEXT_CID_NETWORKS"] == "10.1.0.0/16,172.31.243.0/24"
    assert environment["ports"] == ["127.0.0.1:8123:8000"]


def test_the_daemon_accepts_what_the_compose_file_gives_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for line in env_example().splitlines():
        name, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            monkeypatch.setenv(name, value)
    for name, value in composed()["services"]["api"]["environment"].items():
        monkeypatch.setenv(name, str(value))
    settings = Settings()

    assert settings.database_dsn() == f"postgresql://callerid_user:{ENV['DB_PASSWORD']}@db:5432/callerid_db"
    assert settings.redis_dsn() == f"redis://:{ENV['REDIS_PASSWORD']}@redis:6379/0"
    assert str(settings.next_cid_networks[-1]) == "172.31.243.0/24"
    assert settings.api_host == "0.0.0.0"


@pytest.mark.parametrize("name", sorted(ENV))
def test_a_secret_that_is_not_set_stops_it_with_what_to_do(name: str) -> None:
    with pytest.raises(MissingError, match=f"Set {name} in .env"):
        composed(**{name: ""})


def test_ports_are_bound_to_loopback_and_nothing_runs_with_more_rights_than_it_needs() -> None:
    services = composed()["services"]

    for name, service in services.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
        assert service["restart"] == "unless-stopped", name
        assert service["mem_limit"], name
        assert service["cpus"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert not service.get("privileged"), name
        assert ":" in service["image"], name
    assert services["api"]["read_only"] is True
    assert services["api"]["cap_drop"] == ["ALL"]


def test_the_stores_are_of_the_right_kind_and_keep_their_data() -> None:
    found = composed()
    redis, db = found["services"]["redis"], found["services"]["db"]
    command = " ".join(redis["command"])

    assert redis["image"].startswith("redis:7")
    assert "--appendonly yes" in command
    assert "--maxmemory-policy noeviction" in command
    assert "requirepass" in command
    assert ENV["REDIS_PASSWORD"] not in command
    assert db["image"].startswith("postgres:15")
    volumes = {text.split(":")[0] for service in found["services"].values() for text in service.get("volumes", [])}
    assert {volume for volume in volumes if not volume.startswith("./")} == set(found["volumes"])
    assert found["services"]["api"]["depends_on"] == {
        "db": {"condition": "service_healthy"},
        "redis": {"condition": "service_healthy"},
    }


def test_profiles_leave_the_plain_start_to_the_three_services_that_are_needed() -> None:
    services = composed()["services"]
    plain = {name for name, service in services.items() if "profiles" not in service}

    assert plain == {"api", "db", "redis"}
    assert services["simulator"]["network_mode"] == "service:api"
    for service in services.values():
        for volume in service.get("volumes", []):
            if volume.startswith("./"):
                assert (ROOT / volume.split(":")[0]).exists(), volume


def test_the_shell_in_the_redis_command_writes_a_password_that_redis_reads(tmp_path: Path) -> None:
    script = composed()["services"]["redis"]["command"][2].split("&& exec")[0].replace("/tmp/", f"{tmp_path}/")
    subprocess.run(["sh", "-c", script.strip()], env={"REDIS_PASSWORD": "a b#c%d"}, check=True, timeout=10)

    assert (tmp_path / "redis.conf").read_text() == 'requirepass "a b#c%d"\n'
    assert (tmp_path / "redis.conf").stat().st_mode & 0o077 == 0


def _compose() -> list[str]:
    """Return the command of Docker Compose 2.24 or newer; `config` needs no engine. Debian 13 has it as docker-compose."""
    for command in (["docker", "compose"], ["docker-compose"]):
        try:
            said = subprocess.run(
                [*command, "version", "--short"], capture_output=True, text=True, timeout=30, check=True
            )
            if tuple(map(int, re.findall(r"\d+", said.stdout)[:2])) >= (2, 24):
                return command
        except (OSError, subprocess.CalledProcessError):
            continue
    pytest.skip("Docker Compose 2.24 or newer is not installed")


def test_compose_itself_reads_the_file_and_env_as_the_pages_say(tmp_path: Path) -> None:
    command = _compose()
    shutil.copy(ROOT / "docker-compose.yml", tmp_path)
    dialers = '[{"name": "dialer1", "host": "10.0.0.5", "secret": "s3cret", "mode": "observe"}]'
    own = {"DIALERS": dialers, "NEXT_CID_KEY": "'a$b'", "API_PORT": "8123", **ENV}
    lines = (line if line.startswith("#") else line.partition("=")[0] for line in env_example().splitlines())
    defaults = dict(line.split("=", 1) for line in env_example().splitlines() if line and not line.startswith("#"))
    text = "\n".join(f"{line}={own.get(line, defaults[line])}" if line in defaults else line for line in lines)
    (tmp_path / ".env").write_text(text + "\n")
    done = subprocess.run(
        [*command, "--profile", "monitoring", "--profile", "simulator", "config", "--format", "json"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    services = json.loads(done.stdout)["services"]
    api = services["api"]["environment"]

    assert services.keys() == composed()["services"].keys()
    assert api.keys() == {name.upper() for name in Settings.model_fields}
    assert api["DIALERS"] == dialers
    assert api["NEXT_CID_KEY"].replace("$$", "$") == "a$b"  # `config` doubles what it would read again
    for name, value in composed()["services"]["api"]["environment"].items():
        assert api[name] == str(value), name
    for name, service in services.items():
        assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", [])), name
        assert int(service["mem_limit"]) > 0, name
    assert [port["published"] for port in services["api"]["ports"]] == ["8123"]


def test_the_dockerfile_is_lean_unprivileged_and_locked() -> None:
    assert DOCKERFILE.count("FROM python:3.11-slim") == 2
    last = DOCKERFILE.rpartition("FROM ")[2]

    assert "USER rotator" in last
    assert "STOPSIGNAL SIGTERM" in last
    assert "/health" in last
    assert "HEALTHCHECK" in last
    assert 'ENTRYPOINT ["ami-rotator"]' in last  # exec form: SIGTERM reaches the daemon
    assert all("--require-hashes" in line for line in re.findall(r"pip install [^\n]*-r [^\n]*", DOCKERFILE))
    assert not re.search(r"\b(curl|ADD|latest)\b", last.replace("no curl", ""))
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for path in source.split():
            assert (ROOT / path).exists(), path


def test_what_the_dockerfile_copies_is_let_in_by_dockerignore_and_secrets_are_not() -> None:
    allowed = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE):
        for path in source.split():
            assert any(path == item or path.startswith(f"{item}/") for item in allowed), path

    assert not {".env", "data", ".git"} & set(allowed)


def _locked(name: str) -> dict[str, str]:
    """Return the entries of a lock by name, each with its hashes."""
    entries = re.split(r"\n(?=\S)", (ROOT / name).read_text().strip())
    return {entry.split("==")[0]: entry for entry in entries}


def test_what_runs_and_what_builds_is_locked_at_the_versions_that_are_tested() -> None:
    tested = _locked("requirements-dev.lock")
    needed = {re.split(r"[\[><=]", line)[0].lower() for line in PROJECT["project"]["dependencies"]}

    for name in ("requirements.lock", "requirements-build.lock"):
        assert _locked(name).items() <= tested.items(), "run: make lock"
    assert needed <= set(_locked("requirements.lock"))
    assert not {"pytest", "mypy", "ruff", "playwright", "hatchling"} & set(_locked("requirements.lock"))
    assert {"hatchling", "editables"} <= set(_locked("requirements-build.lock"))
    for entry in tested.values():
        assert "--hash=sha256:" in entry
