"""No secret is ever in a log, an answer or an error, however much goes wrong."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from pathlib import Path

import aiohttp
import pytest

from ami_rotator.errors import SettingsError
from ami_rotator.pool.connect import connect
from ami_rotator.settings import load_settings
from tests.support.asterisk_lab import free_port
from tests.support.daemon_process import daemon, run_command

# Each is found by its last part, however it is quoted.
SECRETS = {
    name: f"secret-of-{name}-0123456789" for name in ("redis", "postgresql", "dialer", "admin", "key", "vicidial")
}


def settings() -> dict[str, str]:
    """Return settings with a secret wherever there can be one; nobody answers at any of the addresses."""
    port = free_port()
    return {
        "REDIS_URL": f"redis://:{SECRETS['redis']}@127.0.0.1:{port}/0",
        "DATABASE_URL": f"postgresql://someone:{SECRETS['postgresql']}@127.0.0.1:{port}/calls",
        "VICIDIAL_DATABASE_URL": f"mysql://cron:{SECRETS['vicidial']}@127.0.0.1:{port}/asterisk",
        "DIALERS": json.dumps([{"name": "one", "port": port, "secret": SECRETS["dialer"]}]),
        "ADMIN_TOKEN": SECRETS["admin"],
        "NEXT_CID_KEY": SECRETS["key"],
        "LOG_LEVEL": "DEBUG",
    }


def found_in(text: str) -> list[str]:
    """Return the names of the secrets that are in a text."""
    return [name for name, secret in SECRETS.items() if secret in text]


@pytest.mark.thorough
@pytest.mark.timeout(120)
async def test_with_everything_away_no_secret_is_in_the_log_in_an_answer_or_in_what_commands_print(
    tmp_path: Path,
) -> None:
    chosen = settings()
    said = ""
    async with daemon(tmp_path, chosen, wait_for="http") as running, aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {SECRETS['admin']}"}
        call = f"/next-cid?to=2125550100&campaign=A&agent=&key={SECRETS['key']}"
        for path in ("/health", "/metrics", "/dashboard", "/dialers", "/jobs", "/api/stats", "/openapi.json", call):
            async with session.get(running.base_url + path, headers=headers) as answer:
                said += await answer.text() + str(answer.headers)
        async with session.post(
            running.base_url + "/sign-in", data={"name": "admin", "password": SECRETS["admin"]}
        ) as answer:
            said += await answer.text()
        await asyncio.sleep(1.0)  # what fails in the background is told within a second
    log = running.log.read_text()
    printed = await asyncio.gather(*(run_command(tmp_path, chosen, name) for name in ("doctor", "migrate")))
    said += "".join(output for _, output in printed)

    assert "127.0.0.1" in log
    assert found_in(log) == []
    assert found_in(said) == []


def connect_as_set() -> None:
    """Make a client of Redis from the environment."""
    url = load_settings(_env_file=None).redis_url
    assert url is not None
    connect(url.get_secret_value())


@pytest.mark.parametrize(
    ("name", "change"),
    [("REDIS_URL", ("@127.0.0.1:", "@127.0.0.1:x")), ("DIALERS", ("[{", "[{{")), ("DIALERS", ('"port"', '"prot"'))],
)
def test_settings_that_cannot_be_used_are_refused_without_their_secrets(
    monkeypatch: pytest.MonkeyPatch, name: str, change: tuple[str, str]
) -> None:
    for setting, value in settings().items():
        monkeypatch.setenv(setting, value.replace(*change) if setting == name else value)

    with pytest.raises(SettingsError) as refused:
        connect_as_set()

    assert found_in(str(refused.value)) == []
    assert found_in("".join(traceback.format_exception(refused.value))) == []


async def test_a_traceback_on_a_terminal_shows_no_variables() -> None:
    master, slave = os.openpty()
    program = (
        "import structlog\n"
        "from ami_rotator.log import set_up_logging\n"
        "def fail():\n"
        "    url = ''.join(['secret-of-', 'redis-0123456789'])\n"
        "    raise ValueError(len(url))\n"
        "set_up_logging('INFO')\n"
        "try:\n"
        "    fail()\n"
        "except ValueError:\n"
        "    structlog.get_logger().exception('failed', password='secret-of-admin-0123456789')\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stderr=slave)
    os.close(slave)
    await process.wait()
    shown = os.read(master, 100_000).decode()
    os.close(master)

    assert "in fail" in shown
    assert "***" in shown
    assert found_in(shown) == []
