"""The console commands of docs/vicidial-integration.md, on a real Asterisk with the page's account and carrier entry."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ami_rotator.ami.stanza import manager_conf
from ami_rotator.dialplan import Hook, hook_lines
from tests.asterisk.vicidial_lab import vicidial_lab
from tests.support.asterisk_lab import SECRET, DialerOptions

pytestmark = [pytest.mark.asterisk, pytest.mark.timeout(1200)]

PAGE = (Path(__file__).parents[2] / "docs" / "vicidial-integration.md").read_text()
# How the page's account is called here: the lab has a user `rotator` of its own.
ACCOUNT = "page"


async def test_every_console_command_of_the_page_says_what_the_page_is_looking_for(asterisk_root: Path) -> None:
    commands = list(dict.fromkeys(re.findall(r"asterisk -rx '([^']+)'", PAGE)))
    entry = hook_lines(Hook(trunk="PJSIP/{number}@carrier", dialer="lab"))
    options = DialerOptions(carrier_entry=entry, manager_users=manager_conf(ACCOUNT, SECRET))
    said = {}
    async with vicidial_lab(asterisk_root, options=options) as lab:
        await lab.asterisk.cli("database put rotator V1221530010000012345 2125550123")
        for command in commands:
            said[command] = await lab.asterisk.cli(command.replace("user rotator", f"user {ACCOUNT}"))
        left = await lab.asterisk.cli("database show rotator")

    assert set(said) == {
        "manager reload",
        "manager show user rotator",
        "core show function CURL",
        "dialplan show 912125550100@default",
        "database deltree rotator",
    }
    assert re.search(r"read perm: +call,dialplan", said["manager show user rotator"])
    assert re.search(r"write perm: +system,call,reporting", said["manager show user rotator"])
    assert "Info about function 'CURL'" in said["core show function CURL"]
    for line in entry:
        application = line.split(",", 2)[2]
        assert application.split("(")[0] in said["dialplan show 912125550100@default"]
    assert "1 database entries removed" in said["database deltree rotator"]
    assert "0 results found" in left
