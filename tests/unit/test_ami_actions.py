"""Nothing that comes from a call can become a line of its own in an AMI action."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ami_rotator.ami import actions
from ami_rotator.ami.permissions import missing_to_write
from ami_rotator.ami.stanza import manager_conf

Make = Callable[[str], dict[str, str]]


@pytest.mark.parametrize("poison", ["a\r\nAction: Originate", "a\nb", "a\rb", "a\0b", "\ud800"], ids=repr)
@pytest.mark.parametrize(
    "make",
    [
        lambda text: actions.setvar(text, "ROTATOR_CID", "3125551234"),
        lambda text: actions.setvar("Local/1@a-1;2", text, "3125551234"),
        lambda text: actions.setvar("Local/1@a-1;2", "ROTATOR_CID", text),
        lambda text: actions.set_caller_id_number(text, "3125551234"),
        lambda text: actions.set_caller_id_number("Local/1@a-1;2", text),
        lambda text: actions.db_put(text, "V1", "1"),
        lambda text: actions.db_put("rotator", text, "1"),
        lambda text: actions.db_put("rotator", "V1", text),
        lambda text: actions.db_delete("rotator", text),
        lambda text: actions.db_delete_tree(text),
        lambda text: actions.action("Login", Username="rotator", Secret=text),
    ],
)
def test_a_line_break_in_any_field_is_refused(make: Make, poison: str) -> None:
    with pytest.raises(ValueError):
        make(poison)


@pytest.mark.parametrize(
    "value", ["", "abc", "312 555", "${SHELL(id)}", "+", "1" * 21, "\u0663\u0661\u0662", "3125551234,x"]
)
def test_only_digits_are_set(value: str) -> None:
    with pytest.raises(ValueError):
        actions.setvar("Local/1@a-1;2", "ROTATOR_CID", value)


@pytest.mark.parametrize("variable", ["SHELL(rm)", "CALLERID(name)", "CALLERID(num)", "A B", "", "9A"])
def test_only_plain_variables_are_set(variable: str) -> None:
    with pytest.raises(ValueError):
        actions.setvar("Local/1@a-1;2", variable, "3125551234")


def test_a_variable_without_channel_would_be_global_and_is_refused() -> None:
    with pytest.raises(ValueError):
        actions.setvar("", "ROTATOR_CID", "3125551234")


def test_the_number_is_set_and_the_name_never() -> None:
    assert actions.set_caller_id_number("Local/1@a-1;2", "+13125551234") == {
        "Action": "Setvar",
        "Channel": "Local/1@a-1;2",
        "Variable": "CALLERID(num)",
        "Value": "+13125551234",
    }


@pytest.mark.parametrize(("mode", "count"), [("observe", 1), ("direct", 2), ("hook", 4)])
def test_each_mode_needs_no_more_than_it_uses(mode: str, count: int) -> None:
    missing = missing_to_write(mode, {"Ping"}, "rotator")  # type: ignore[arg-type]

    assert len(missing) == count
    assert all("[rotator] in manager.conf" in sentence for sentence in missing)
    assert missing_to_write(mode, {"coreshowchannels", "Setvar", "DBPut", "DBDel"}, "rotator") == ()  # type: ignore[arg-type]


def test_the_stanza_has_the_least_rights_and_filters() -> None:
    lines = manager_conf("rotator", "write a secret here").splitlines()

    assert lines[:2] == ["[rotator]", "secret = write a secret here"]
    assert "read = call,dialplan" in lines
    assert "write = call,system,reporting" in lines
    assert sum(line.startswith("eventfilter = Event: ") for line in lines) == 6
    assert not any(";" in line for line in lines)
