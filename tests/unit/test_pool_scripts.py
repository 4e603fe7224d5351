"""The scripts' own rules: STYLE of their headers, includes, and what they may use."""

from __future__ import annotations

import re

import pytest

from ami_rotator.pool.scripts import Script, load_scripts

SCRIPTS = sorted(load_scripts().values(), key=lambda script: script.name)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_says_what_it_promises_and_takes_the_keys_its_name_says(script: Script) -> None:
    header = script.source.split("\nlocal ", 1)[0]

    assert header.startswith(f"-- {script.name}: ")
    assert "-- returns  " in header
    assert {int(n) for n in re.findall(r"\b(?:KEYS|keys)\[(\d+)\]", script.source)} == set(range(1, script.keys + 1))
    assert "--- include" not in script.source


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_time_is_redis_own(script: Script) -> None:
    assert script.source.count("redis.call('TIME')") == (1 if "now_ms(" in script.source else 0)
    assert "os.time" not in script.source


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_phone_numbers_are_never_made_numbers(script: Script) -> None:
    assert not re.search(r"tonumber\((cid|c\.cid|destination|shown|trunk)\)", script.source)
