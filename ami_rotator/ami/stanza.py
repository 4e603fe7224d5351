"""The account that the daemon needs in manager.conf."""

from __future__ import annotations

from ami_rotator.ami.events import CAMPAIGN_VARIABLE, PROBE_VARIABLE

# Regular expressions over the whole text of an event; [[:cntrl:]] is the line's end. VarSet and Newexten would otherwise be
# most of what is sent. Answers to actions are never filtered. No Shutdown: it needs `read = system`, and the connection
# closes at the same moment.
_FILTERS = (
    "Event: NewCallerid.*CallerIDName: [VM][0-9]",
    "Event: Newexten.*AppData: [^[:cntrl:]]*/call_log[[:cntrl:]]",
    f"Event: VarSet.*[[:cntrl:]]Variable: _*({CAMPAIGN_VARIABLE}|{PROBE_VARIABLE})[[:cntrl:]]",
    "Event: DialBegin[[:cntrl:]]",
    "Event: DialEnd[[:cntrl:]]",
    "Event: Hangup[[:cntrl:]]",
)


def manager_conf(username: str, secret_placeholder: str, permit: str = "127.0.0.1/255.255.255.255") -> str:
    """Return the stanza: least rights, and only the events that are used.

    `call` in `write` is for Setvar, `system` for DBPut and DBDel, `reporting` for CoreShowChannels. `permit` is the address
    the daemon comes from.
    """
    lines = [
        f"[{username}]",
        f"secret = {secret_placeholder}",
        "deny = 0.0.0.0/0.0.0.0",
        f"permit = {permit}",
        "read = call,dialplan",
        "write = call,system,reporting",
        "writetimeout = 5000",
        *(f"eventfilter = {text}" for text in _FILTERS),
    ]
    return "\n".join(lines) + "\n"
