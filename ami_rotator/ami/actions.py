"""AMI actions that are safe to write: nothing that could start a line, a header or an action of its own."""

from __future__ import annotations

import re

_BREAKS = re.compile(r"[\r\n\0]")
_NUMBER = re.compile(r"\+?[0-9]{1,20}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,79}")
_DB_NAME = re.compile(r"[A-Za-z0-9_.\-]{1,80}")


def action(name: str, **fields: str) -> dict[str, str]:
    """Return the fields of an action.

    Raises:
        ValueError: a field has a line break or NUL in it, or cannot be encoded.
    """
    made = {"Action": name, **fields}
    for key, value in made.items():
        if _BREAKS.search(value):
            raise ValueError(f"{name}: {key} has a line break or NUL in it; nothing was sent")
        value.encode()
    return made


def setvar(channel: str, variable: str, value: str) -> dict[str, str]:
    """Return a Setvar of a plain variable (no dialplan function) to digits.

    Raises:
        ValueError: one of them is something else; `channel` may not be empty, that would be a global variable.
    """
    return _setvar(channel, _plain(variable), value)


def set_caller_id_number(channel: str, number: str) -> dict[str, str]:
    """Return a Setvar of `CALLERID(num)`. The name is VICIdial's call code and is never written.

    Raises:
        ValueError: not a channel, or not digits.
    """
    return _setvar(channel, "CALLERID(num)", number)


def set_global(variable: str, value: str) -> dict[str, str]:
    """Return a Setvar of a plain global variable to digits; raises as `setvar`."""
    return action("Setvar", Variable=_plain(variable), Value=_digits(value))


def db_put(family: str, key: str, value: str) -> dict[str, str]:
    """Return a DBPut of digits.

    Raises:
        ValueError: family or key has other characters than letters, digits, `_`, `-`, `.`, or the value is not digits.
    """
    return action("DBPut", Family=_db_name(family), Key=_db_name(key), Val=_digits(value))


def db_delete(family: str, key: str) -> dict[str, str]:
    """Return a DBDel; raises as `db_put`."""
    return action("DBDel", Family=_db_name(family), Key=_db_name(key))


def db_delete_tree(family: str) -> dict[str, str]:
    """Return a DBDelTree of a whole family; raises as `db_put`."""
    return action("DBDelTree", Family=_db_name(family))


def db_tree(family: str) -> dict[str, str]:
    """Return a DBGetTree of a whole family; raises as `db_put`."""
    return action("DBGetTree", Family=_db_name(family))


def _setvar(channel: str, variable: str, value: str) -> dict[str, str]:
    if not channel:
        raise ValueError("no channel; nothing was sent")
    return action("Setvar", Channel=channel, Variable=variable, Value=_digits(value))


def _plain(variable: str) -> str:
    if not _VARIABLE.fullmatch(variable):
        raise ValueError(f"{variable!r} is not the name of a plain channel variable; nothing was sent")
    return variable


def _digits(value: str) -> str:
    if not _NUMBER.fullmatch(value):
        raise ValueError("the value is not a phone number in digits; nothing was sent")
    return value


def _db_name(name: str) -> str:
    if not _DB_NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be a family or key of AstDB; nothing was sent")
    return name
