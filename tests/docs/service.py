"""docs/deployment.md as a service, as it is written: its paths, accounts and ports, in namespaces that end with the test.

/etc and /var/lib are overlaid, /run is empty, and the network is a loopback of its own, so that the commands may make
users and use ports 5432, 6379 and 8000 without touching the machine. systemd does not run there: what the unit says is
done by hand.
"""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.docs.terminal import ROOT, blocks, commands

TOKEN = "a-token-of-my-own-0123456789"
POSTGRESQL = "/usr/lib/postgresql/15/bin"
_DSN = "postgresql://callerid_user:db-secret@127.0.0.1/callerid_db"

NAMESPACES = ("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")

# What no test runs, and why.
NOT_RUN = {
    "nano .env": "an editor",
    "nano /etc/ami_rotator/.env": "an editor",
    "docker compose up -d --build": "needs an engine",
    "docker compose cp my_numbers.csv api:/tmp/my_numbers.csv": "needs an engine",
    "docker compose exec api ami-rotator import /tmp/my_numbers.csv": "needs an engine",
    "systemctl daemon-reload": "needs systemd as process 1",
    "systemctl enable --now ami-rotator": "needs systemd as process 1",
    "systemctl restart redis-server ami-rotator": "needs systemd as process 1",
    "journalctl -fu ami-rotator": "needs systemd as process 1",
    "apt-get install postgresql redis-server": "changes the machine; .ci/run does it",
    "zypper install python311 python311-pip": "needs openSUSE",
    "ami-rotator import --dry-run --from-caller-id-api postgresql://callerid_user:PASSWORD@127.0.0.1:5432/callerid_db": (
        "needs the other program's database: tests/integration/test_seed_import.py makes one"
    ),
    "ami-rotator import --from-caller-id-api postgresql://callerid_user:PASSWORD@127.0.0.1:5432/callerid_db": (
        "needs the other program's database: tests/integration/test_seed_import.py makes one"
    ),
}

_PLACES = """
ip link set lo up
mount -t tmpfs tmpfs /run
mkdir /run/upper
for place in etc var/lib; do
    mkdir -p /run/upper/$place /run/beside/$place
    mount -t overlay overlay -o lowerdir=/$place,upperdir=/run/upper/$place,workdir=/run/beside/$place /$place
done
mkdir -p /opt/ami_rotator
mount --bind {environment} /opt/ami_rotator
export PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
"""

# As Debian's packages run them.
_STORES = """
install -d -o postgres -g postgres -m 2775 /run/postgresql
install -d -o postgres -g postgres -m 0700 /run/cluster
runuser -u postgres -- {postgresql}/initdb --auth-local=peer --auth-host=scram-sha-256 -D /run/cluster >/dev/null
runuser -u postgres -- {postgresql}/postgres -D /run/cluster -k /run/postgresql 2>/run/postgresql.log &
mkdir /run/redis
touch /run/redis/redis.conf
redis-server /run/redis/redis.conf --dir /run/redis --save "" >/run/redis/log &
until runuser -u postgres -- {postgresql}/pg_isready --quiet && redis-cli ping >/dev/null 2>&1; do sleep 0.1; done
"""


def missing() -> list[str]:
    """Return what this machine lacks to be root of namespaces with Debian's servers in them."""
    programs = ("unshare", "ip", "runuser", "setpriv", "curl", "redis-server", f"{POSTGRESQL}/postgres")
    rights = [] if os.getuid() == 0 else ["root"]
    return rights + [name for name in programs if shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") is None]


def deployed(project: Path, environment: Path) -> str:
    """Do what the page says after the wheel is in `environment`; return what the commands wrote."""
    docker, account, inside, stores, first, *_ = blocks(ROOT / "docs/deployment.md", "sh")
    dump, restore = blocks(ROOT / "docs/backup.md", "sh")
    (curl,) = blocks(ROOT / "docs/api.md", "sh")
    script = [
        _PLACES.format(environment=environment),
        _STORES.format(postgresql=POSTGRESQL),
        # Both questions for a password.
        *(_run(stores).replace("--pwprompt callerid_user", "--pwprompt callerid_user <<<$'db-secret\\ndb-secret'"),),
        _run(first),
        "test -s /etc/systemd/system/redis-server.service.d/first.conf",
        _run(account),
        _edited("/etc/ami_rotator/.env"),
        _unit(),
        "trap 'cat /run/daemon.log >&2' ERR",
        "until curl -sf http://127.0.0.1:8000/health; do kill -0 $daemon; sleep 0.2; done",
        "cp example_caller_ids.csv /run/my_numbers.csv",
        _run(inside).replace("/tmp/my_numbers.csv", "/run/my_numbers.csv"),
        f"export ADMIN_TOKEN={TOKEN}",
        _run(curl),
        f"mkdir /run/backup && chown postgres /run/backup && cd /run/backup && export DATABASE_URL={_DSN}",
        *(f"runuser -u postgres -- {line}" for line in commands(dump) + commands(restore)),
        "kill $daemon && wait $daemon && tail -n 1 /run/daemon.log",
    ]
    done = subprocess.run(
        [*NAMESPACES, "bash", "-euo", "pipefail", "-c", "\n".join(script)],
        cwd=project,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    assert docker
    return done.stdout


def _run(block: str) -> str:
    return "\n".join(f"({line})" if line.startswith("cd ") else line for line in commands(block) if line not in NOT_RUN)


def _edited(file: str) -> str:
    """Do what the page wants of the editor."""
    wanted = {
        "ADMIN_TOKEN": TOKEN,
        "DATA_DIR": "/var/lib/ami_rotator",
        "DATABASE_URL": _DSN,
        "REDIS_URL": "redis://127.0.0.1:6379/0",
    }
    return "sed -i " + " ".join(f"-e 's|^{name}=.*|{name}={value}|'" for name, value in wanted.items()) + f" {file}"


def _unit() -> str:
    """Start what the installed unit says, as its user, in its folder, with its environment."""
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(ROOT / "deploy/systemd/ami-rotator.service")
    said = unit["Service"]
    user, state = said["User"], f"/var/lib/{said['StateDirectory']}"
    assert re.fullmatch(r"[\w-]+", user)
    return (
        f"install -d -o {user} -g {said['Group']} -m {said['StateDirectoryMode']} {state}\n"
        f"cd {said['WorkingDirectory']}\n"
        f"env -i PATH=$PATH {said['Environment']} setpriv --reuid={user} --regid={said['Group']} --clear-groups "
        f"--no-new-privs {said['ExecStart']} >/run/daemon.log 2>&1 &\n"
        "daemon=$!\ncd - >/dev/null"
    )
