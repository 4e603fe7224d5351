"""A real MariaDB (Debian's) with VICIdial's tables: one a session with a database a test, or one of a test's own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import asyncmy
import pytest
from asyncmy.connection import Connection

from ami_rotator.vicidial.address import DatabaseAddress

_SCHEMA = Path(__file__).with_name("vicidial_schema.sql")
_STARTED = pytest.StashKey["MariaDb"]()
_START_LIMIT_S = 30.0

_FAST = (
    "--skip-log-bin",
    "--skip-name-resolve",
    "--performance-schema=OFF",
    "--innodb-buffer-pool-size=16M",
    "--innodb-log-file-size=8M",
    "--innodb-flush-log-at-trx-commit=0",
    "--key-buffer-size=64M",
    "--max-heap-table-size=512M",
    "--sql-mode=NO_ENGINE_SUBSTITUTION",  # VICIdial does not run in strict mode
)


class MariaDb:
    """One server in a folder of its own, reached by TCP on loopback."""

    def __init__(self, folder: Path) -> None:
        """Make an empty server's files; nothing runs yet."""
        self._folder = folder
        self._data = folder / "data"
        self._as_user = ("--user=mysql",) if os.getuid() == 0 else ()
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        # Its own: a server that starts removes what it takes for left-overs in the common one, another's tables too.
        self._temporary = folder / "tmp"
        self._temporary.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        if self._as_user:
            owner = pwd.getpwnam("mysql")
            for path in (folder, self._temporary):
                os.chown(path, owner.pw_uid, owner.pw_gid)
        made = subprocess.run(
            [
                *("mariadb-install-db", "--no-defaults", *self._as_user, f"--datadir={self._data}"),
                *("--auth-root-authentication-method=normal", "--skip-test-db", f"--tmpdir={self._temporary}"),
            ],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if made.returncode:
            raise RuntimeError(f"mariadb-install-db failed: {made.stdout}{made.stderr}")

    @property
    def pid(self) -> int:
        """The server's process id."""
        if self._process is None:
            raise RuntimeError("MariaDB is not running")
        return self._process.pid

    def address(self, name: str = "mysql", user: str = "root", password: str = "") -> DatabaseAddress:
        """Return the address of a database of this server."""
        return DatabaseAddress(port=self.port, user=user, password=password, name=name)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self._process = subprocess.Popen(
            [
                *("mariadbd", "--no-defaults", *self._as_user, *_FAST, f"--datadir={self._data}"),
                *(
                    f"--socket={self._folder / 's'}",
                    f"--pid-file={self._folder / 'pid'}",
                    f"--tmpdir={self._temporary}",
                ),
                *(f"--port={self.port}", "--bind-address=127.0.0.1", f"--log-error={self._folder / 'log'}"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline_s = time.monotonic() + _START_LIMIT_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                raise RuntimeError(f"MariaDB does not start:\n{(self._folder / 'log').read_text(errors='replace')}")
            time.sleep(0.05)

    def kill(self) -> None:
        """End the server as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def freeze(self) -> None:
        """Stop the server in its tracks: its sockets stay open, and it answers nothing."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        os.kill(self.pid, signal.SIGCONT)

    def cpu_s(self) -> float:
        """Return the processor seconds that the server has used so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connected:
                return len(connected.recv(5)) == 5
        except OSError:
            return False


async def execute(address: DatabaseAddress, *statements: str) -> None:
    """Run statements one after the other."""
    connection = await _connect(address)
    try:
        for statement in statements:
            await connection.cursor().execute(statement)
    finally:
        await connection.ensure_closed()


async def query(address: DatabaseAddress, sql: str) -> list[tuple[object, ...]]:
    """Run one query and return its rows."""
    connection = await _connect(address)
    try:
        cursor = connection.cursor()
        await cursor.execute(sql)
        return list(await cursor.fetchall())
    finally:
        await connection.ensure_closed()


async def execute_many(address: DatabaseAddress, sql: str, rows: Sequence[Sequence[object]]) -> None:
    """Insert many rows with one statement."""
    connection = await _connect(address)
    try:
        await connection.cursor().executemany(sql, [tuple(row) for row in rows])
    finally:
        await connection.ensure_closed()


async def create_vicidial_database(server: MariaDb, name: str) -> DatabaseAddress:
    """Make a database with VICIdial's tables and return its address, as root."""
    address = server.address(name)
    await execute(server.address(), f"CREATE DATABASE `{name}`")
    await execute(address, *(part for part in _SCHEMA.read_text().split(";\n") if part.strip()))
    return address


def need_mariadb() -> None:
    """Skip a test where Debian's mariadb-server is not installed; fail it in CI."""
    if shutil.which("mariadbd") and shutil.which("mariadb-install-db"):
        return
    reason = "mariadbd is not installed: apt-get install mariadb-server"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def mariadb(request: pytest.FixtureRequest) -> MariaDb:
    """The MariaDB of this session. Import it where it is used: all modules share one."""
    need_mariadb()
    stash = request.config.stash
    if _STARTED not in stash:
        folder = Path(tempfile.mkdtemp(prefix="rot-maria-"))
        server = MariaDb(folder)
        request.config.add_cleanup(lambda: _remove(server, folder))
        server.start()
        stash[_STARTED] = server
    return stash[_STARTED]


@pytest.fixture
async def vicidial_database(mariadb: MariaDb) -> AsyncIterator[DatabaseAddress]:
    """An empty VICIdial database of this test's own, as root."""
    name = f"asterisk_{uuid.uuid4().hex[:12]}"
    yield await create_vicidial_database(mariadb, name)
    await execute(mariadb.address(), f"DROP DATABASE `{name}`")


@pytest.fixture
def own_mariadb() -> Iterator[MariaDb]:
    """A MariaDB of this test's own, to break."""
    need_mariadb()
    folder = Path(tempfile.mkdtemp(prefix="rot-maria-"))
    server = MariaDb(folder)
    try:
        server.start()
        yield server
    finally:
        _remove(server, folder)


def as_account(address: DatabaseAddress, user: str, password: str) -> DatabaseAddress:
    """Return the same database for another account."""
    return replace(address, user=user, password=password)


async def _connect(address: DatabaseAddress) -> Connection:
    return await asyncmy.connect(
        host=address.host,
        port=address.port,
        user=address.user,
        password=address.password.encode(),
        database=address.name,
        autocommit=True,
    )


def _remove(server: MariaDb, folder: Path) -> None:
    server.kill()
    shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])
