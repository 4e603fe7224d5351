"""A dialer on another machine that cannot ask is told so, by doctor and where the lines are printed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ami_rotator.cli import app
from ami_rotator.doctor.machine import env_file
from ami_rotator.reach import why_not_asked
from ami_rotator.settings import DialerSettings, Settings


@pytest.mark.parametrize(
    ("host", "settings", "why"),
    [
        ("127.0.0.1", {}, ""),
        ("10.0.0.5", {}, "listens on 127.0.0.1"),
        ("dialer.example.com", {}, "listens on 127.0.0.1"),
        ("10.0.0.5", {"API_HOST": "10.0.0.9"}, "10.0.0.5 is not in NEXT_CID_NETWORKS"),
        ("10.0.0.5", {"API_HOST": "10.0.0.9", "NEXT_CID_NETWORKS": "127.0.0.0/8,10.0.0.0/24"}, ""),
        ("dialer.example.com", {"API_HOST": "0.0.0.0"}, ""),
    ],
)
def test_what_keeps_a_dialer_from_asking_is_found(
    host: str, settings: dict[str, str], why: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    found = why_not_asked(Settings(), DialerSettings(name="d1", host=host))

    assert (why in found) if why else not found


def test_dialplan_lines_that_ask_the_dialer_itself_come_with_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = {"DIALERS": json.dumps([{"name": "d1", "host": "10.0.0.5"}]), "ADMIN_TOKEN": "t" * 20}
    plain = CliRunner(env=settings).invoke(app, ["dialplan"])
    with_address = CliRunner(env=settings).invoke(app, ["dialplan", "--url", "http://10.0.0.9:8000"])

    assert "These lines cannot work yet: the daemon listens on 127.0.0.1, where 10.0.0.5 cannot ask it." in plain.stderr
    assert "set API_HOST" in plain.stderr
    assert "These lines" not in plain.stdout
    assert with_address.stderr == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file away")
@pytest.mark.parametrize(
    ("owner", "mode", "level"),
    [
        (0, 0o600, "ok"),
        (0, 0o640, "problem"),
        (65534, 0o640, "ok"),
        (65534, 0o660, "problem"),
        (65534, 0o644, "problem"),
    ],
)
async def test_the_env_of_a_service_may_be_read_by_its_group_only(
    owner: int, mode: int, level: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env").touch()
    Path(".env").chmod(mode)
    os.chown(".env", owner, 65534)
    (found,) = await env_file(None)  # type: ignore[arg-type]

    assert found.level == level
