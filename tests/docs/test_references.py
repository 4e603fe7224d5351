"""Documentation that can be checked by reading: references, links, words, sizes."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest

from ami_rotator.ami.stanza import manager_conf
from ami_rotator.dialplan import Hook, hook_lines
from ami_rotator.dialplan_lint import lint
from ami_rotator.ledger.csv_rows import open_csv
from tests.docs.references import cli_page, settings_page

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md"))]


def _anchor(heading: str) -> str:
    """Return the anchor that a forge makes of a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def _indented(page: Path, first: str) -> str:
    """Return the indented block of a page that begins with a line."""
    lines = page.read_text().splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith(f"    {first}"))
    block = []
    for line in lines[start:]:
        if not line.startswith("    "):
            break
        block.append(line[4:])
    return "\n".join(block) + "\n"


def test_the_settings_page_is_made_from_the_program() -> None:
    assert (DOCS / "settings.md").read_text() == settings_page(), "run: make docs"


def test_the_commands_page_is_made_from_the_program() -> None:
    assert (DOCS / "cli.md").read_text() == cli_page(), "run: make docs"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / unquote(path)).resolve() if path else page
        headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE) if file.exists() and anchor else []
        if not file.exists() or (anchor and anchor not in map(_anchor, headings)):
            broken.append(target)

    assert broken == []


def test_every_page_can_be_found_from_the_index() -> None:
    index = (DOCS / "README.md").read_text()

    assert [page.name for page in DOCS.glob("*.md") if page.name != "README.md" and f"({page.name})" not in index] == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_the_manager_stanza_of_the_page_is_the_one_that_the_program_prints() -> None:
    shown = _indented(DOCS / "vicidial-integration.md", "[rotator]")

    assert shown == manager_conf("rotator", "WRITE_A_LONG_SECRET_HERE", "10.0.0.9/255.255.255.255")


def test_the_carrier_entry_of_the_page_is_the_one_that_the_program_prints_and_has_no_fault() -> None:
    shown = _indented(DOCS / "vicidial-integration.md", "exten =>").splitlines()

    assert shown == hook_lines(Hook(base_url="http://10.0.0.9:8000"))
    assert lint(shown) == []


def test_no_page_shows_dialplan_lines_with_a_fault() -> None:
    for page in PAGES:
        lines = [line.strip() for line in page.read_text().splitlines() if line.strip().startswith("exten =>")]
        # What dials nothing is no carrier entry, and has no call_log.
        dials = any("Dial(" in line for line in lines)
        assert [fault for fault in lint(lines) if dials or "call_log" not in fault] == [], page.name


def test_the_example_csv_has_only_good_rows() -> None:
    file = open_csv(ROOT / "example_caller_ids.csv")
    rows = list(file.rows())
    file.close()

    assert len(rows) == 21
    assert [row for row in rows if row.problem] == []
    assert file.unknown_columns == ()


def test_concepts_defines_every_word_of_the_code() -> None:
    concepts = (DOCS / "concepts.md").read_text().lower()
    types = (ROOT / "ami_rotator/domain/types.py").read_text()
    states = re.findall(r'^    [A-Z_]+ = "(\w+)"  #', types.split("class Rung")[0], re.MULTILINE)

    assert len(states) == 6
    for word in [
        *states,
        "caller-id",
        "reservation",
        "miss",
        "rung",
        "group",
        "campaign",
        "dialer",
        "outbox",
        "ledger",
    ]:
        assert word.replace("_", " ") in concepts, word


def test_the_unit_is_one_that_systemd_accepts_and_rates_as_well_protected() -> None:
    unit = ROOT / "deploy/systemd/ami-rotator.service"
    try:
        done = subprocess.run(
            ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60, check=False
        )
    except FileNotFoundError:
        pytest.skip("systemd-analyze is not installed")
    # The program is not installed here; anything else that it says is a fault.
    said = [line for line in done.stderr.splitlines() if "is not executable" not in line and "ami-rotator" in line]

    assert said == []

    rated = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=20", "--no-pager", str(unit)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert rated.returncode == 0, rated.stdout[-300:]  # tenths: 2.0 of 10, where 10 is a unit without any protection
