"""deploy/systemd/first.conf: systemd takes it, and a Redis that runs as it says goes first, without what it forks."""

from __future__ import annotations

import configparser
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from ami_rotator.embedded.processes import is_running
from tests.bench.first import going_first
from tests.docs.terminal import ROOT

_FIRST = ROOT / "deploy/systemd/first.conf"
_UNIT = "[Unit]\nDescription=Redis\n[Service]\nExecStart=/bin/true\n"
_OPTIONS = ("--port", "0", "--unixsocket", "socket", "--save", "", "--appendonly", "yes")
_ASK_S = 0.02
_MOST_S = 20.0


def _said() -> configparser.SectionProxy:
    conf = configparser.RawConfigParser()
    conf.optionxform = str  # type: ignore[assignment,method-assign]
    conf.read(_FIRST)
    return conf["Service"]


@pytest.mark.parametrize(("last_line", "is_right"), [("", True), ("CPUSchedulingPolcy=rr\n", False)])
@pytest.mark.parametrize("name", ["redis-server", "ami-rotator"])
def test_systemd_takes_the_file_beside_the_unit(tmp_path: Path, name: str, last_line: str, is_right: bool) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    own = ROOT / f"deploy/systemd/{name}.service"
    (tmp_path / f"{name}.service").write_text(own.read_text() if own.exists() else _UNIT)
    beside = tmp_path / f"{name}.service.d"
    beside.mkdir()
    (beside / "first.conf").write_text(_FIRST.read_text() + last_line)

    done = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / f"{name}.service")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ("first.conf" in done.stderr) is not is_right, done.stderr


@pytest.fixture
def redis_first() -> Iterator[Redis]:
    """A Redis that is started with the priority of the file, as systemd would."""
    server, chrt = shutil.which("redis-server"), shutil.which("chrt")
    if server is None or chrt is None or os.getuid() != 0:
        assert os.environ.get("CI") != "true"
        pytest.skip("needs redis-server, chrt and root")
    said = _said()
    policy = [f"--{said['CPUSchedulingPolicy']}", *["--reset-on-fork"] * (said["CPUSchedulingResetOnFork"] == "yes")]
    with tempfile.TemporaryDirectory(prefix="rot-") as folder:
        process = subprocess.Popen(
            [chrt, *policy, said["CPUSchedulingPriority"], server, *_OPTIONS],
            cwd=folder,
            stdout=subprocess.DEVNULL,
        )
        try:
            with Redis(unix_socket_path=f"{folder}/socket", socket_timeout=5) as redis:
                _wait_for(lambda: _answers(redis))
                yield redis
        finally:
            process.terminate()  # it ends what it has forked, too
            process.wait(10)


def test_redis_goes_first_and_what_it_forks_does_not(redis_first: Redis) -> None:
    pid = int(redis_first.info("server")["process_id"])
    for number in range(1000):
        redis_first.set(f"key:{number}", "x")
    redis_first.config_set("rdb-key-save-delay", 10_000)  # µs: the process that writes the file anew takes ten seconds

    redis_first.bgrewriteaof()
    _wait_for(lambda: bool(_children(pid)))
    (child,) = _children(pid)

    assert os.sched_getscheduler(pid) == os.SCHED_RR | os.SCHED_RESET_ON_FORK
    assert os.sched_getparam(pid).sched_priority == 1
    assert os.sched_getscheduler(child) == os.SCHED_OTHER


def test_the_benchmark_gives_the_priority_of_the_file(redis_first: Redis) -> None:
    pid = int(redis_first.info("server")["process_id"])
    by_the_file = os.sched_getscheduler(pid), os.sched_getparam(pid)

    with going_first(pid) as is_first:
        assert is_first
        assert (os.sched_getscheduler(pid), os.sched_getparam(pid)) == by_the_file

    assert os.sched_getscheduler(pid) == os.SCHED_OTHER
    with going_first(pid):
        redis_first.shutdown(nosave=True)
        _wait_for(lambda: not is_running(pid))


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _answers(redis: Redis) -> bool:
    try:
        return bool(redis.ping())
    except (RedisError, OSError):
        return False


def _wait_for(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + _MOST_S
    while not is_so():
        assert time.monotonic() < until
        time.sleep(_ASK_S)
