"""Run an image without an engine: its command in a chroot, as its user, as its configuration and docker-compose.yml say.

    unshare --mount python3 try_image.py IMAGE.json TREE        as root; IMAGE.json is from `buildah inspect --type image`

First with the embedded servers, then with Debian's redis-server and PostgreSQL 15 on loopback. The root is read-only, /tmp
and /data are not; the daemon is process 1. /health is asked with the image's own health check, and SIGTERM has to end it.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

_START_S = 60.0
_STOP_S = 15.0  # stop_grace_period of docker-compose.yml
_TOOLS = re.compile(r"(pytest|playwright|ruff|mypy|hatchling|pip|setuptools)(-|$)")
_POSTGRESQL = Path("/usr/lib/postgresql/15/bin")
_SECRETS = {"ADMIN_TOKEN": "token-of-this-try-0123456789"}


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _call(*command: str | Path) -> None:
    subprocess.run(list(map(str, command)), check=True, timeout=60, stdout=subprocess.DEVNULL)


def _need(is_so: bool, message: str) -> None:
    if not is_so:
        sys.exit(message)


class Image:
    """A mounted image. What it mounts is gone with the mount namespace of this process."""

    def __init__(self, configuration: Mapping[str, object], tree: Path) -> None:
        self.tree = tree
        self.configuration: dict[str, object] = dict(configuration)
        lines = [line.split(":") for line in (tree / "etc/passwd").read_text().splitlines()]
        self.uid, self.gid = next((int(line[2]), int(line[3])) for line in lines if line[0] == configuration["User"])
        self.environment = dict(item.split("=", 1) for item in configuration["Env"])  # type: ignore[attr-defined]
        _call("mount", "--bind", tree, tree)
        for device in ("null", "urandom"):
            (tree / "dev" / device).touch()
            _call("mount", "--bind", f"/dev/{device}", tree / "dev" / device)
        _call("mount", "-o", "remount,ro,bind", tree)
        _call("mount", "-t", "tmpfs", "-o", "mode=1777", "tmpfs", tree / "tmp")

    def give_data(self) -> None:
        """Mount an empty /data, as a new volume is: with the owner and mode that the image has there."""
        _need((self.tree / "data").stat().st_uid == self.uid, "/data does not belong to the image's user")
        _call("mount", "-t", "tmpfs", "-o", f"uid={self.uid},gid={self.gid},mode=0750", "tmpfs", self.tree / "data")

    def command(self, *arguments: str, **environment: str) -> list[str]:
        """Return a command that runs in the image as its user, with its environment and this one."""
        given = self.environment | environment
        variables = [f"{name}={value}" for name, value in given.items()]
        where = ["chroot", f"--userspec={self.uid}:{self.gid}", "--groups=", str(self.tree), "/usr/bin/env", "-i"]
        return [*where, "-C", str(self.configuration["WorkingDir"]), *variables, *arguments]

    def said(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the image to its end."""
        command = self.command(*arguments, **environment)
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def look(image: Image) -> None:
    """Hold the configuration against the Dockerfile, and look at what is inside."""
    found = image.configuration
    for name in ("User", "StopSignal", "Entrypoint", "Cmd", "WorkingDir", "Healthcheck", "Env"):
        print(f"{name}: {found.get(name)}")
    _need(image.uid >= 1000, "it runs as a user of the system")
    packages = os.listdir(image.tree / "opt/rotator/lib/python3.11/site-packages")
    _need(not [name for name in packages if _TOOLS.match(name)], f"development tools are inside: {sorted(packages)}")
    _need(image.said("sh", "-c", "touch /opt/rotator/x").returncode != 0, "the user may change the program")
    told = image.said("ami-rotator", "--version")
    _need(told.returncode == 0, told.stderr)
    size = subprocess.run(["du", "-sh", image.tree / "opt/rotator"], capture_output=True, text=True, check=True)
    print(f"{told.stdout.strip()}, user {image.uid}, the program takes {size.stdout.split()[0]}")


def serve(image: Image, title: str, **settings: str) -> None:
    """Run the image's command until its health check is content, then stop it with its signal."""
    port = str(_free_port())
    settings |= _SECRETS | {"API_HOST": "127.0.0.1", "API_PORT": port}
    words = [*image.configuration["Entrypoint"], *image.configuration["Cmd"]]  # type: ignore[misc]
    alone = ["unshare", "--pid", "--fork", "--kill-child", f"--mount-proc={image.tree}/proc"]
    with tempfile.TemporaryFile("w+") as log:
        started = time.monotonic()
        outer = subprocess.Popen(alone + image.command(*words, **settings), stdout=log, stderr=log)
        try:
            _healthy(image, outer, settings)
            up_s = time.monotonic() - started
            children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
            _need(len(children) == 1, f"not one process 1: {children}")
            os.kill(int(children[0]), getattr(signal, str(image.configuration["StopSignal"])))
            started = time.monotonic()
            outer.wait(_STOP_S)
        except (subprocess.TimeoutExpired, TimeoutError) as error:
            log.seek(0)
            sys.exit(f"{title}: {error}\n{log.read()[-4000:]}")
        finally:
            outer.kill()
            outer.wait()
        log.seek(0)
        _need("Stopped." in log.read(), f"{title}: it did not stop in order")
    print(f"{title}: healthy after {up_s:.1f} s, stopped by {image.configuration['StopSignal']} in {_since(started)}")


def _healthy(image: Image, outer: subprocess.Popen[bytes], settings: Mapping[str, str]) -> None:
    kind, *check = image.configuration["Healthcheck"]["Test"]  # type: ignore[index]
    _need(kind == "CMD", "the health check is no command")
    deadline = time.monotonic() + _START_S
    while image.said(*check, **settings).returncode != 0:
        if time.monotonic() > deadline or outer.poll() is not None:
            raise TimeoutError("its health check is not content")
        time.sleep(0.2)


def _since(started: float) -> str:
    return f"{time.monotonic() - started:.1f} s"


@contextmanager
def _redis(folder: Path) -> Iterator[dict[str, str]]:
    port = str(_free_port())
    (folder / "redis.conf").write_text('requirepass "redis-secret"\n')
    options = ["--appendonly", "yes", "--maxmemory", "768mb", "--maxmemory-policy", "noeviction", "--dir", str(folder)]
    command = ["redis-server", str(folder / "redis.conf"), "--port", port, "--bind", "127.0.0.1", *options]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": port, "REDIS_PASSWORD": "redis-secret"}
    finally:
        server.terminate()
        server.wait(20)


@contextmanager
def _postgresql(folder: Path) -> Iterator[dict[str, str]]:
    port, owner = str(_free_port()), pwd.getpwnam("postgres")
    os.chown(folder, owner.pw_uid, owner.pw_gid)
    secret = folder / "secret"
    secret.write_text("db-secret")
    as_owner = ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
    made = ["--auth=scram-sha-256", "--username=callerid_user", f"--pwfile={secret}", "--data-checksums"]
    _call(*as_owner, _POSTGRESQL / "initdb", "--pgdata", folder / "data", *made)
    server = subprocess.Popen(
        [*as_owner, _POSTGRESQL / "postgres", "-D", folder / "data", "-p", port, "-k", "", "-h", "127.0.0.1"],
        stderr=subprocess.DEVNULL,
    )
    try:
        yield {"DB_HOST": "127.0.0.1", "DB_PORT": port, "DB_PASSWORD": "db-secret", "DB_NAME": "postgres"}
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(20)


def main() -> None:
    """Try the image of the arguments."""
    configuration = json.loads(Path(sys.argv[1]).read_text())["Docker"]["config"]
    image = Image(configuration, Path(sys.argv[2]))
    look(image)
    image.give_data()
    serve(image, "with the embedded servers")
    if shutil.which("redis-server") is None or not _POSTGRESQL.is_dir():
        print("not tried with real servers: apt-get install redis-server postgresql-15")
        return
    with ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="try-"))) for _ in range(2)]
        stores = stack.enter_context(_redis(folders[0])) | stack.enter_context(_postgresql(folders[1]))
        image.give_data()
        serve(image, "with redis-server and PostgreSQL 15", **stores)
    print("Everything that can be tried without an engine works.")


if __name__ == "__main__":
    main()
