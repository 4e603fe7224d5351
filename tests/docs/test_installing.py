"""From nothing to a running daemon, as README and docs/deployment.md say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.docs.service import deployed, missing
from tests.docs.terminal import ROOT, Terminal, blocks, terminal

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(600)]

# From the package index: always in CI, elsewhere where asked for.
FROM_NOTHING = os.environ.get("CI") == "true" or os.environ.get("AMI_ROTATOR_FRESH") == "1"
_INSTALL_S = 400.0


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name: paths of sockets have 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="rot-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def _without_uv() -> str:
    """Return a PATH without the programs of this environment, and without uv."""
    return ":".join(
        entry
        for entry in os.environ["PATH"].split(":")
        if not (Path(entry) / "uv").exists() and not (Path(entry) / "ami-rotator").exists()
    )


def _of_the_machine() -> str:
    """Return PATH without what is in somebody's home: a Python there is of no use to the service's user."""
    home = str(Path.home())
    return os.pathsep.join(part for part in _without_uv().split(os.pathsep) if not part.startswith(home))


def _commands_with(text: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in command:
            found.append(command)
    return found


@pytest.mark.skipif(not FROM_NOTHING, reason="installs packages anew: AMI_ROTATOR_FRESH=1")
def test_a_fresh_clone_with_nothing_but_python_runs_with_one_command_and_ends_with_ctrl_c(folder: Path) -> None:
    (run, *_) = blocks(ROOT / "README.md")
    clone = folder / "clone"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True, timeout=60)
    # Python alone: no uv, none of our packages, nobody to answer a question.
    python = os.path.realpath(f"{sys.base_prefix}/bin/python3")
    with closing(Terminal(clone, variables={"PATH": _without_uv(), "PYTHON": python}, start_s=_INSTALL_S)) as reader:
        reader.run(run)
        printed = reader.log("daemon")
        assert re.search(r"ami_rotator is running.  Dashboard: http://127.0.0.1:\d+/dashboard", printed)
        assert reader.get("/sign-in")[0] == 200
        while not re.search(r'rotator_assignments_total{[^}]*source="ami"[^}]*} [1-9]', reader.get("/metrics")[1]):
            time.sleep(0.1)
        packages = {path.name.split("-")[0] for path in clone.glob(".venv/lib/python3*/site-packages/*.dist-info")}
        assert "Stopped." in reader.stop("daemon")

    assert {"ami_rotator", "aiohttp", "asyncpg", "redis"} <= packages
    assert not {"pytest", "mypy", "ruff", "playwright"} & packages
    assert _commands_with(str(folder)) == []


def test_the_wheel_of_the_deployment_page_has_everything_and_runs_from_anywhere(folder: Path) -> None:
    (install,) = blocks(ROOT / "docs/deployment.md")
    environment = folder / "opt"
    with terminal(folder / "project") as reader:
        reader.replaced = {"/opt/ami_rotator": str(environment)}
        if FROM_NOTHING:
            reader.variables = {"PATH": _of_the_machine()}
            told = reader.run(install)
        else:
            # The packages are those of this environment; ours is only in the wheel.
            make, packages, *rest = re.split(r"^(.*--require-hashes.*)$\n", install, flags=re.MULTILINE)
            assert packages.endswith("-r requirements.lock")
            reader.run(make)
            borrowed = next((ROOT / ".venv/lib").glob("python3*/site-packages"))
            site = next(environment.glob("lib/python3*/site-packages"))
            (site / "borrowed.pth").write_text(f"{borrowed}\n")
            told = reader.run("".join(rest))
        assert re.search(r"^ami_rotator \d+\.\d+\.\d+$", told, re.MULTILINE)
    _runs_from(environment, folder / "elsewhere")
    if FROM_NOTHING:
        installed = {path.name.split("-")[0] for path in environment.glob("lib/python3*/site-packages/*.dist-info")}
        assert not {"pytest", "mypy", "ruff", "playwright", "hatchling"} & installed
        if missing():
            assert os.environ.get("CI") != "true", missing()
            pytest.skip(f"installed and run; not run as a service, for want of {missing()}")
        _runs_as_a_service(folder / "project", environment)


def _runs_as_a_service(project: Path, environment: Path) -> None:
    """Try what the page says of accounts, stores and unit, and what the pages on backup and API add to it."""
    said = deployed(project, environment)

    assert '"status":"healthy"' in said
    assert "  Imported: 21\n" in said
    assert "nothing was missing" in said
    assert '"in_pool":true' in said
    assert said.endswith("Stopped.\n")


def _runs_from(environment: Path, elsewhere: Path) -> None:
    """Run the installed program in an empty folder: help, then the daemon, its page and its style sheet."""
    elsewhere.mkdir()
    (elsewhere / "Makefile").write_text("run:\n\tami-rotator serve\n")
    with closing(Terminal(elsewhere, path=str(environment / "bin"))) as reader:
        where = reader.run(f"{environment}/bin/python -c 'import ami_rotator; print(ami_rotator.__file__)'")
        assert where.startswith(str(environment))
        reader.run("make run\n")
        assert reader.get("/sign-in")[0] == 200
        assert reader.get("/static/dashboard.css")[0] == 200
        assert "Stopped." in reader.stop("daemon")
