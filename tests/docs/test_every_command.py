"""No page shows a command that nothing runs."""

from __future__ import annotations

import re
from typing import Any

import typer

from ami_rotator.cli import app
from ami_rotator.settings import Settings
from tests.asterisk import test_integration_page
from tests.docs.service import NOT_RUN
from tests.docs.terminal import ROOT, blocks, commands

MAKEFILE = (ROOT / "Makefile").read_text()
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Whose `bash` blocks test_commands.py and test_installing.py run, all of them.
AS_WRITTEN = {"README.md", "quickstart.md", "vicidial-integration.md", "backup.md", "deployment.md"}
# Whose `sh` blocks service.py runs, but for what is in NOT_RUN.
AS_A_SERVICE = {"deployment.md", "backup.md", "api.md"}
# Commands that a test runs in another form.
ELSEWHERE = {
    "cp .env.example .env": "test_compose.py reads it as Compose does",
    "curl http://127.0.0.1:8000/health": "the quickstart's",
    "python3.11 -m venv /opt/ami_rotator": "the same with python3 above it",
}

# Names of this shape that are no options of ours.
OF_OTHERS = {"ROTATOR_CID", "API_TITLE", "API_VERSION", "CONFIG_RT_GROUP_SCHED"}


def test_every_block_of_commands_is_marked_as_one_of_two_kinds() -> None:
    marks = {mark for page in PAGES for mark in re.findall(r"^```(\w+)$", page.read_text(), re.MULTILINE)}

    assert marks - {"bash", "sh"} <= {"json", "sql", "yaml", "python", "ini"}
    assert {page.name for page in PAGES if blocks(page)} == AS_WRITTEN


def test_every_command_is_run_by_a_test_or_listed_with_a_reason() -> None:
    console = set(re.findall(r"asterisk -rx '[^']+'", test_integration_page.PAGE))
    shown = {(page.name, line) for page in PAGES for block in blocks(page, "sh") for line in commands(block)}
    nobody_runs = {
        (name, line)
        for name, line in shown
        if line not in NOT_RUN and line not in ELSEWHERE and line not in console and name not in AS_A_SERVICE
    }

    assert nobody_runs == set()
    assert (NOT_RUN.keys() | ELSEWHERE.keys()) - {line for _, line in shown} == set(), "no page has these any more"


def test_every_command_that_a_sentence_names_exists() -> None:
    root: Any = typer.main.get_command(app)
    unknown = set()
    for page in PAGES:
        text = page.read_text()
        for named in re.findall(r"ami-rotator((?: [a-z][a-z-]+)+)", text):
            found = root
            for word in named.split():
                if not hasattr(found, "commands"):
                    break  # an argument
                if word not in found.commands:
                    unknown.add((page.name, named.strip()))
                    break
                found = found.commands[word]
        for named in re.findall(r"`make ([a-z-]+)", text):
            if not re.search(rf"^{named}:", MAKEFILE, re.MULTILINE):
                unknown.add((page.name, f"make {named}"))

    assert unknown == set()


def test_every_option_that_a_page_names_exists() -> None:
    known = {name.upper() for name in Settings.model_fields}
    shaped = re.compile(r"`([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?:=[^`]*)?`")
    named = {(page.name, name) for page in PAGES for name in shaped.findall(page.read_text())}

    assert {(page, name) for page, name in named if name not in known | OF_OTHERS} == set()
