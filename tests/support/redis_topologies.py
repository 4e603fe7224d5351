"""Redis behind Sentinels and a Redis Cluster, as real processes on loopback."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import RedisError

_READY_S = 30.0


@dataclass(slots=True)
class Node:
    """One server process."""

    port: int
    command: list[str]
    log: Path
    process: subprocess.Popen[bytes]

    def start_again(self) -> None:
        """Start it once more after it was killed, with the configuration that it wrote itself meanwhile."""
        self.process = _process(self.command, self.log)
        until(lambda: bool(self.client().ping()))

    def client(self) -> Redis:
        """Return a client of this very node."""
        return Redis(port=self.port, decode_responses=True, socket_timeout=2, socket_connect_timeout=2)

    def ask(self, *command: str) -> Any:
        """Run a command on this very node."""
        with self.client() as client:
            return client.execute_command(*command)

    def kill(self) -> None:
        """End it without warning."""
        self.process.kill()
        self.process.wait(10)

    def freeze(self) -> None:
        """Stop it where it is; connections stay open."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.process.pid, signal.SIGCONT)


@contextmanager
def node(folder: Path, *options: str, is_sentinel: bool = False) -> Iterator[Node]:
    """Run one redis-server. Options are lines of its configuration."""
    binary = shutil.which("redis-server")
    if binary is None:
        if os.environ.get("CI") == "true":
            pytest.fail("redis-server is not installed: apt-get install redis-server")
        pytest.skip("redis-server is not installed: apt-get install redis-server")
    port = free_port()
    home = folder / str(port)
    home.mkdir(parents=True)
    configuration = home / "redis.conf"
    lines = [f"port {port}", "bind 127.0.0.1", f"dir {home}", "daemonize no"]
    # A replica is there at once, not after the five seconds in which others could share its copy.
    lines += [*options] if is_sentinel else ['save ""', "repl-diskless-sync-delay 0", *options]
    configuration.write_text("\n".join(lines) + "\n")
    command = [binary, str(configuration), *(["--sentinel"] if is_sentinel else [])]
    running = Node(port, command, home / "log", _process(command, home / "log"))
    try:
        until(lambda: bool(running.client().ping()))
        yield running
    finally:
        running.process.kill()
        running.process.wait(10)


def _process(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("ab") as output:
        return subprocess.Popen(command, stdout=output, stderr=output)


@dataclass(frozen=True, slots=True)
class Sentinels:
    """A primary with replicas, and the Sentinels that watch them."""

    nodes: tuple[Node, ...]
    sentinels: tuple[Node, ...]

    @property
    def url(self) -> str:
        """The URL as an operator writes it."""
        return f"redis+sentinel://{','.join(f'127.0.0.1:{one.port}' for one in self.sentinels)}/calls/0"

    def primary(self) -> Node:
        """Return the primary, as the first Sentinel sees it."""
        _, port = self.sentinels[0].ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "calls")
        return next(one for one in self.nodes if one.port == int(port))


@contextmanager
def sentinels(folder: Path) -> Iterator[Sentinels]:
    """Run a primary, two replicas and three Sentinels that fail over after half a second."""
    with ExitStack() as stack:
        primary = stack.enter_context(node(folder))
        replicas = [stack.enter_context(node(folder, f"replicaof 127.0.0.1 {primary.port}")) for _ in range(2)]
        watching = [
            stack.enter_context(
                node(
                    folder,
                    f"sentinel monitor calls 127.0.0.1 {primary.port} 2",
                    "sentinel down-after-milliseconds calls 500",
                    "sentinel failover-timeout calls 3000",
                    is_sentinel=True,
                )
            )
            for _ in range(3)
        ]

        def all_known() -> bool:
            for one in watching:
                state = one.ask("SENTINEL", "MASTER", "calls")
                if int(state["num-slaves"]) < 2 or int(state["num-other-sentinels"]) < 2:
                    return False
            return all(one.client().info("replication")["master_link_status"] == "up" for one in replicas)

        until(all_known)
        yield Sentinels((primary, *replicas), tuple(watching))


@dataclass(frozen=True, slots=True)
class Cluster:
    """Three primaries that share the slots, and a replica for each."""

    nodes: tuple[Node, ...]

    @property
    def url(self) -> str:
        """The URL as an operator writes it."""
        return f"redis+cluster://{','.join(f'127.0.0.1:{one.port}' for one in self.nodes[:3])}"

    def is_whole(self) -> bool:
        """Tell whether every node knows all others and every replica has its copy."""
        return all(
            "cluster_state:ok" in one.ask("CLUSTER", "INFO")
            and one.ask("CLUSTER", "NODES").count(" connected") == 6
            and one.client().info("replication").get("master_link_status", "up") == "up"
            for one in self.nodes
        )

    def wait_until_whole(self) -> None:
        """Wait until it is."""
        until(self.is_whole)

    def primary_of(self, key: str) -> Node:
        """Return the node that serves a key, as a node that lives sees it."""
        for one in self.nodes:
            with contextlib.suppress(RedisError, OSError):
                slot = one.ask("CLUSTER", "KEYSLOT", key)
                for first, last, primary, *_ in one.ask("CLUSTER", "SLOTS"):
                    if first <= slot <= last:
                        return next(found for found in self.nodes if found.port == int(primary[1]))
        raise LookupError(f"no node serves {key}")


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Run a Cluster of three primaries, each with a replica."""
    with ExitStack() as stack:
        nodes = [
            stack.enter_context(
                node(folder, "cluster-enabled yes", "cluster-node-timeout 1000", f"cluster-port {free_port()}")
            )
            for _ in range(6)
        ]
        addresses = [f"127.0.0.1:{one.port}" for one in nodes]
        subprocess.run(
            ["redis-cli", "--cluster", "create", *addresses, "--cluster-replicas", "1", "--cluster-yes"],
            check=True,
            capture_output=True,
            timeout=60,
        )

        running = Cluster(tuple(nodes))
        running.wait_until_whole()
        yield running


def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; fails after half a minute."""
    deadline = time.monotonic() + _READY_S
    while True:
        try:
            if condition():
                return
        except (RedisError, OSError):
            pass
        if time.monotonic() > deadline:
            raise TimeoutError("the servers do not come up")
        time.sleep(0.05)


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
