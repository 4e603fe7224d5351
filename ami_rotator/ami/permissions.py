"""What the AMI account may do, in words that say how to change it."""

from __future__ import annotations

from collections.abc import Collection

from ami_rotator.settings import Mode

# Action: write class that allows it. Asterisk 16 and 22, main/manager.c, main/db.c.
_NEEDED: dict[Mode, dict[str, str]] = {
    "observe": {"CoreShowChannels": "reporting"},
    "direct": {"CoreShowChannels": "reporting", "Setvar": "call"},
    "hook": {"CoreShowChannels": "reporting", "Setvar": "call", "DBPut": "system", "DBDel": "system"},
}
_WITHOUT = {
    "CoreShowChannels": "calls that end while the connection is down are not noticed",
    "Setvar": "no number can be set on a call",
    "DBPut": "no number can be left for a call that is about to begin",
    "DBDel": "numbers that no call took are not cleaned up",
}


def missing_to_write(mode: Mode, allowed: Collection[str], username: str) -> tuple[str, ...]:
    """Return what is missing, one sentence each. `allowed` are the action names that ListCommands gave."""
    lower = {name.lower() for name in allowed}
    return tuple(
        f"{action} is not allowed: {_WITHOUT[action]}. Add {write} to `write =` of [{username}] in manager.conf, "
        "then run: asterisk -rx 'manager reload'"
        for action, write in _NEEDED[mode].items()
        if action.lower() not in lower
    )


def missing_to_read(event_class: str, username: str) -> str:
    """Return the sentence for a class of events (`call` or `dialplan`) that does not arrive."""
    without = {
        "call": "calls are not followed to their end",
        "dialplan": "campaigns are known only where the dial prefix tells",
    }[event_class]
    return (
        f"events of class {event_class} do not arrive: {without}. Add {event_class} to `read =` of [{username}] in "
        "manager.conf, compare its eventfilter lines with those in the documentation, then run: "
        "asterisk -rx 'manager reload'"
    )
