from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes.util import find_library
from pathlib import Path

import asyncpg
import pytest
from redis import Redis

from ami_rotator import embedded
from ami_rotator.embedded.postgresql import PostgreSQL
from ami_rotator.embedded.processes import User, end, is_running, processes_in, spawn
from ami_rotator.embedded.shared_server import SharedServer
from ami_rotator.embedded.valkey import Valkey

# Opens both, says so, and waits to be cancelled; then it still writes to both, as a daemon's last words.
USER = """
import asyncio, signal, sys
from pathlib import Path
import asyncpg
from redis.asyncio import Redis
from ami_rotator import embedded

async def main(folder):
    async with embedded.redis_url(folder) as url, embedded.database_url(folder) as dsn:
        print("ready", flush=True)
        try:
            await asyncio.sleep(600)
        finally:
            client = Redis.from_url(url)
            await client.set("last", "words")
            await client.aclose()
            connection = await asyncpg.connect(dsn, timeout=10)
            await connection.execute("CREATE TABLE last_words ()")
            await connection.close()

# As in a terminal, also where the tests were started in the background: a shell has such jobs ignore Ctrl-C.
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    asyncio.run(main(Path(sys.argv[1])))
except KeyboardInterrupt:
    print("stopped", flush=True)
"""


@contextmanager
def user_process(folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process, in a group of its own, that uses both servers."""
    process = subprocess.Popen(
        [sys.executable, "-c", USER, str(folder)], stdout=subprocess.PIPE, start_new_session=True
    )
    try:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, b"")
        assert any(line == b"ready\n" for line in lines)
        yield process
    finally:
        process.kill()
        process.wait(10)
        assert process.stdout is not None
        process.stdout.close()


def servers(folder: Path) -> list[int]:
    return [pid for name in ("valkey", "postgresql") for pid in processes_in((folder / name).resolve())]


async def read(folder: Path) -> tuple[bytes | None, bool]:
    """Return what `USER` leaves behind in both servers."""
    async with embedded.redis_url(folder) as url, embedded.database_url(folder) as dsn:
        with Redis.from_url(url) as client:
            words = client.get("last")
        connection = await asyncpg.connect(dsn, timeout=10)
        has_table = await connection.fetchval("SELECT to_regclass('last_words') IS NOT NULL")
        await connection.close()
    assert words is None or isinstance(words, bytes)
    return words, has_table


async def test_ctrl_c_in_a_terminal_stops_both_after_the_last_words_and_data_is_kept(tmp_path: Path) -> None:
    with user_process(tmp_path) as process:
        assert len(servers(tmp_path)) > 2
        os.killpg(process.pid, signal.SIGINT)
        process.wait(90)  # PostgreSQL may take a minute to write everything, on a disk that is slow at that moment

    assert process.returncode == 0
    assert servers(tmp_path) == []
    assert await read(tmp_path) == (b"words", True)
    assert servers(tmp_path) == []


async def test_after_a_kill_the_servers_run_on_and_the_next_process_takes_them_over(tmp_path: Path) -> None:
    with user_process(tmp_path) as process:
        before = {Valkey(tmp_path / "valkey").find(), PostgreSQL(tmp_path / "postgresql").find()}
        process.kill()
        process.wait(10)
    assert all(pid is not None and is_running(pid) for pid in before)

    async with embedded.redis_url(tmp_path), embedded.database_url(tmp_path):
        after = {Valkey(tmp_path / "valkey").find(), PostgreSQL(tmp_path / "postgresql").find()}

    assert after == before
    assert servers(tmp_path) == []


async def test_after_a_power_cut_both_start_again_from_what_was_written(tmp_path: Path) -> None:
    async with embedded.redis_url(tmp_path) as url, embedded.database_url(tmp_path) as dsn:
        with Redis.from_url(url) as client:
            client.set("last", "words")
        connection = await asyncpg.connect(dsn, timeout=10)
        await connection.execute("CREATE TABLE last_words ()")
        pids = servers(tmp_path)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            assert end(pid, [(signal.SIGKILL, 10.0)])
        connection.terminate()
    # The ids of the dead servers belong to somebody else by now, of the same user.
    owner = (tmp_path / "postgresql").stat()
    user = User(owner.st_uid, owner.st_gid) if os.geteuid() == 0 else None
    somebody = spawn(["sleep", "600"], user, cwd=Path("/"), log=tmp_path / "somebody.log")
    for file in ("valkey/valkey.pid", "postgresql/postmaster.pid", "postgresql/.s.PGSQL.5432.lock"):
        lines = (tmp_path / file).read_text().splitlines()
        (tmp_path / file).write_text("\n".join([str(somebody.pid), *lines[1:]]) + "\n")

    assert await read(tmp_path) == (b"words", True)
    assert is_running(somebody.pid)
    somebody.kill()
    somebody.wait(10)


def test_who_comes_second_attaches_and_who_leaves_last_stops(tmp_path: Path) -> None:
    first = SharedServer(Valkey(tmp_path / "valkey"), tmp_path)
    second = SharedServer(Valkey(tmp_path / "valkey"), tmp_path)

    assert first.open() == second.open()
    [pid] = servers(tmp_path)
    first.close()
    assert is_running(pid)
    second.close()
    assert not is_running(pid)


async def test_many_that_start_at_once_start_one_server(tmp_path: Path) -> None:
    async def use() -> list[int]:
        async with embedded.redis_url(tmp_path):
            return servers(tmp_path)

    found = await asyncio.gather(*(use() for _ in range(8)))

    assert all(len(pids) == 1 for pids in found)
    assert servers(tmp_path) == []


async def test_who_is_cancelled_while_starting_leaves_nothing_running(tmp_path: Path) -> None:
    async def use() -> None:
        async with embedded.database_url(tmp_path):
            await asyncio.sleep(600)

    task = asyncio.create_task(use())
    deadline = time.monotonic() + 20
    while not (tmp_path / "postgresql.lock").exists():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert servers(tmp_path) == []


async def test_a_folder_too_deep_for_a_socket_s_name_works_and_leaves_nothing_in_the_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Not within tmp_path: a worker's is nearly too deep itself.
    temporary = Path(tempfile.mkdtemp(prefix="t-"))
    temporary.chmod(0o755)
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    deep = tmp_path / ("a folder, with 'quotes' " + "x" * 90)

    async with embedded.redis_url(deep) as url, embedded.database_url(deep) as dsn:
        with Redis.from_url(url) as client:
            assert client.ping()
        connection = await asyncpg.connect(dsn, timeout=10)
        assert await connection.fetchval("SELECT current_database()") == "ami_rotator"
        await connection.close()

    assert list(temporary.iterdir()) == []
    temporary.rmdir()


async def test_a_half_made_database_folder_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "postgresql.new").mkdir()
    (tmp_path / "postgresql.new" / "half").touch()

    assert await read(tmp_path) == (None, False)


async def test_a_server_that_cannot_start_is_reported_with_the_end_of_its_log(tmp_path: Path) -> None:
    async with embedded.redis_url(tmp_path) as url:
        with Redis.from_url(url) as client:
            client.set("a", "b")
    [log] = (tmp_path / "valkey" / "appendonlydir").glob("*.incr.aof")
    log.write_bytes(b"*3\r\n$9\r\nnot a log at all" + log.read_bytes())

    with pytest.raises(embedded.EmbeddedServerError, match="Bad file format"):
        async with embedded.redis_url(tmp_path):
            pass

    assert servers(tmp_path) == []


@pytest.mark.parametrize("is_installed", [True, False])
async def test_the_wheels_valkey_allocates_with_what_is_best_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_installed: bool
) -> None:
    jemalloc = find_library("jemalloc") if is_installed else None
    if is_installed and not jemalloc:
        pytest.skip("libjemalloc2 is not installed")
    if not is_installed:
        monkeypatch.setattr("ami_rotator.embedded.valkey.find_library", lambda _: None)
    async with embedded.redis_url(tmp_path):
        pid = Valkey(tmp_path / "valkey").find()
        mapped = Path(f"/proc/{pid}/maps").read_text()
        variables = Path(f"/proc/{pid}/environ").read_bytes()

    assert ("jemalloc" in mapped) == bool(jemalloc)
    assert b"GLIBC_TUNABLES=glibc.malloc.tcache_count=2000" in variables


async def test_a_data_folder_that_is_none_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(embedded.EmbeddedServerError, match="set DATA_DIR to a folder"):
        async with embedded.redis_url(tmp_path / "file"):
            pass


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root meets this")


@needs_root
async def test_as_root_a_data_folder_closed_to_others_works_and_stays_closed(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)

    assert await read(closed / "data") == (None, False)

    assert closed.stat().st_mode & 0o777 == 0o700
    assert (closed / "data" / "postgresql").stat().st_uid != 0


@needs_root
def test_another_user_than_root_can_run_both(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    # This user may pass through folders: the interpreter may be in root's home.
    script = "import asyncio, sys; from pathlib import Path; from tests.integration.test_embedded import read; "
    script += "print(asyncio.run(read(Path(sys.argv[1]))), flush=True)"
    output = tmp_path / "output"

    process = spawn(
        [sys.executable, "-c", script, str(folder)], User(65534, 65534, sees_all=True), cwd=Path.cwd(), log=output
    )

    assert process.wait(60) == 0, output.read_text()
    assert "(None, False)" in output.read_text()
    assert {path.stat().st_uid for path in folder.iterdir()} == {65534}
