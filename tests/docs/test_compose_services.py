"""The services of docker-compose.yml without an engine: their commands, environments and health checks, in one namespace.

What the images bring is Debian's: redis-server, PostgreSQL 15, and this environment for the daemon.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ami_rotator.settings_reference import env_example
from tests.docs.service import NAMESPACES, POSTGRESQL, missing
from tests.docs.test_compose import DOCKERFILE, composed

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(200)]

# As .env would have it for the profile `simulator`, by the head of the file.
OWN = {"AMI_HOST": "127.0.0.1", "AMI_SECRET": "simulator"}

_SCRIPT = """
ip link set lo up
mount -t tmpfs tmpfs /run
mkdir /run/upper /run/work /run/data
mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/upper,workdir=/run/work /etc
echo '127.0.0.1 localhost db redis' >/etc/hosts
until_well() {{ until eval "$1" >/run/check 2>&1; do kill -0 "$2" || {{ cat /run/*.log >&2; exit 1; }}; sleep 0.1; done; }}

install -d -o postgres -m 0700 /run/cluster
echo "$db_password" >/run/password
initdb="$initdb --auth=scram-sha-256 --pwfile=/run/password"
runuser -u postgres -- {postgresql}/initdb -D /run/cluster $initdb --username "$db_user" >/dev/null
runuser -u postgres -- {postgresql}/postgres -D /run/cluster -k '' -h 127.0.0.1 2>/run/db.log & db=$!
export PGHOST=127.0.0.1
until_well "$db_check" $db
PGPASSWORD=$db_password {postgresql}/createdb --username "$db_user" "$db_name"

env "${{redis[@]}}" >/run/redis.log & redis_pid=$!
until_well "$redis_check" $redis_pid

env -i "${{api[@]}}" {program} serve >/run/api.log 2>&1 & api_pid=$!
env -i PATH="$PATH" {program} "${{simulator[@]:1}}" >/run/simulator.log 2>&1 &
until_well "$api_check" $api_pid
until curl -s http://127.0.0.1:8000/health >/run/health; grep -q '"dialer1":"up"' /run/health; do sleep 0.1; done
cat /run/health
redis_said() {{ REDISCLI_AUTH=$redis_password redis-cli config get "$1" | tail -n 1; }}
printf '\\n%s %s\\n' "$(redis_said appendonly)" "$(redis_said maxmemory-policy)"
kill $api_pid && wait $api_pid && tail -n 1 /run/api.log
"""


def _shell(text: str) -> str:
    """Return what a container's shell would read; the folders of volumes and /tmp are elsewhere here."""
    return text.replace("/tmp/redis.conf", "/run/redis.conf").replace("--dir /data", "--dir /run/data")


def _check(service: dict[str, Any]) -> str:
    kind, text = service["healthcheck"]["test"]
    assert kind == "CMD-SHELL"
    variables = " ".join(f"{name}={shlex.quote(str(value))}" for name, value in service["environment"].items())
    return f"env {variables} sh -c {shlex.quote(text)}"


def _settings(api: dict[str, Any]) -> dict[str, str]:
    """Return the environment of the daemon: `.env` (its example, and what is set in it), then the file's own."""
    example = dict(line.split("=", 1) for line in env_example().splitlines() if line and not line.startswith("#"))
    return {
        **example,
        **OWN,
        **{name: str(value) for name, value in api["environment"].items()},
        "DATA_DIR": "/run/data",
    }


def test_stores_daemon_and_simulator_come_up_in_order_as_the_file_says_and_find_each_other() -> None:
    if lacks := missing():
        pytest.skip(f"for want of {lacks}")
    services = composed(**OWN)["services"]
    db, redis, api = services["db"], services["redis"], services["api"]
    (check,) = re.findall(r'HEALTHCHECK .*\n    CMD \["python", "-c", "(.*)"\]', DOCKERFILE)
    database = db["environment"]
    own = {
        "db_user": database["POSTGRES_USER"],
        "db_password": database["POSTGRES_PASSWORD"],
        "db_name": database["POSTGRES_DB"],
        "initdb": database["POSTGRES_INITDB_ARGS"],
        # `pg_isready` is in the path of the image.
        "db_check": f"PATH={POSTGRESQL}:$PATH {_check(db)}",
        "redis_password": redis["environment"]["REDIS_PASSWORD"],
        "redis_check": _check(redis),
        "api_check": f"API_PORT=8000 {sys.executable} -c {shlex.quote(check)}",
    }
    lists = {
        "redis": [*(f"{name}={value}" for name, value in redis["environment"].items()), *map(_shell, redis["command"])],
        "api": [f"{name}={value}" for name, value in _settings(api).items()],
        "simulator": services["simulator"]["entrypoint"],
    }
    head = [f"{name}={shlex.quote(str(value))}" for name, value in own.items()]
    head += [f"{name}=({shlex.join(map(str, values))})" for name, values in lists.items()]
    program = Path(sys.executable).parent / "ami-rotator"
    script = "\n".join([*head, _SCRIPT.format(postgresql=POSTGRESQL, program=program)])
    done = subprocess.run(
        [*NAMESPACES, "bash", "-euo", "pipefail", "-c", script],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    health, redis_said, last = done.stdout.splitlines()

    said = json.loads(health)
    assert (said["status"], said["dialers"]) == ("healthy", {"dialer1": "up"})
    assert redis_said == "yes noeviction"
    assert last == "Stopped."
