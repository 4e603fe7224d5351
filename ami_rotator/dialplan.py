"""The dialplan lines that put our caller-ID on a call, for VICIdial's Admin -> Carriers -> Dialplan Entry.

Every line was measured on real Asterisk; each rule that a line follows is one that a lint rule in `dialplan_lint` holds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from ami_rotator.domain.numbers import Presentation
from ami_rotator.errors import RotatorError

Via = Literal["curl", "fastagi"]

CALL_LOG = "agi://127.0.0.1:4577/call_log"
_CONNECT_MAX_S = 0.2

# What the dialplan accepts as a number, and the characters that it lets through. National and `digits` are bare digits; a
# plus needs `e164`.
_GUARD: Mapping[Presentation, tuple[str, str]] = {
    "national": ("^[0-9]{7,15}$", "0-9"),
    "digits": ("^[0-9]{7,15}$", "0-9"),
    "e164": ("^[+0-9][0-9]{6,15}$", "0-9+"),
}

_PATTERN = re.compile(r"_?[0-9+*#A-Za-z\[\]\-.!]{1,60}")
_TRUNK = re.compile(r"[A-Za-z0-9_${}/@.:+&\-]{1,120}")
_BASE_URL = re.compile(r"https?://[A-Za-z0-9.\-\[\]:]{1,120}")
_ADDRESS = re.compile(r"[A-Za-z0-9.\-]{1,100}:[0-9]{1,5}")
_NAME = re.compile(r"[A-Za-z0-9_.\-]{0,40}")


class DialplanError(RotatorError):
    """A dialplan cannot be written with these options."""


@dataclass(frozen=True, slots=True)
class Hook:
    """The options of one extension pattern.

    `prefix_length` digits of the pattern are the dial prefix and not part of the number. `trunk` is the channel to dial,
    with `{number}` where the number goes. `budget_s` is the longest time the call waits for us. `fastagi` is host:port.
    `keeps_connected_line` adds Dial option I, for PJSIP trunks with trust_id_inbound=yes: without it a late NewCallerid
    shows the agent the trunk at answer instead of at ringing.
    """

    pattern: str = "_91NXXNXXXXXX"
    prefix_length: int = 1
    trunk: str = "${SIPTRUNK}/{number}"
    base_url: str = "http://127.0.0.1:8000"
    budget_s: float = 0.25
    via: Via = "curl"
    fastagi: str = "127.0.0.1:4578"
    key: str = ""
    dialer: str = ""
    presentation: Presentation = "national"
    keeps_connected_line: bool = False

    def __post_init__(self) -> None:
        """Refuse what would break out of its line.

        Raises:
            DialplanError: names the option and says what it may be.
        """
        if not _PATTERN.fullmatch(self.pattern):
            raise DialplanError(f"The pattern {self.pattern!r} is not an extension pattern; write one as _91NXXNXXXXXX")
        if not 0 <= self.prefix_length <= 20:
            raise DialplanError(f"The dial prefix has {self.prefix_length} digits; write a length from 0 to 20")
        if not _TRUNK.fullmatch(self.trunk) or "{number}" not in self.trunk:
            raise DialplanError(
                f"The trunk {self.trunk!r} cannot be dialled; write it with {{number}} in the number's place, for example "
                "PJSIP/{number}@carrier or SIP/carrier/{number}"
            )
        if not _BASE_URL.fullmatch(self.base_url):
            raise DialplanError(f"The address {self.base_url!r} is not one; write it as http://10.0.0.5:8000")
        if not _ADDRESS.fullmatch(self.fastagi):
            raise DialplanError(f"The FastAGI address {self.fastagi!r} is not one; write it as 10.0.0.5:4578")
        if not 0.02 <= self.budget_s <= 5:
            raise DialplanError(f"The time budget of {self.budget_s} s is not between 0.02 and 5 seconds")
        if not _NAME.fullmatch(self.dialer):
            raise DialplanError(f"The dialer name {self.dialer!r} has characters other than letters, digits, _ . and -")

    @property
    def number(self) -> str:
        """The dialplan's word for the number without dial prefix."""
        return f"${{EXTEN:{self.prefix_length}}}" if self.prefix_length else "${EXTEN}"


def hook_lines(hook: Hook) -> list[str]:
    """Return the whole extension, from call_log to Hangup.

    The number is taken from where it is first: the channel variable that AMI set, the AstDB entry under the call code, and
    last the daemon, asked with a time budget. Where none has one, the call keeps the number that VICIdial chose.
    """
    regex, kept = _GUARD[hook.presentation]
    guard = f'${{REGEX("{regex}" ${{ROTATOR_CID}})}}'
    # IF() evaluates both arguments, so the AstDB entry is always deleted, also where the variable won: nothing stays behind.
    steps = [
        f"AGI({CALL_LOG})",
        "Set(ROTATOR_CID=${IF($[${LEN(${ROTATOR_CID})} > 0]?${ROTATOR_CID}:"
        "${DB_DELETE(rotator/${CUT(CALLERID(name), ,1)})})})",
        "GotoIf($[${LEN(${ROTATOR_CID})} > 0]?have)",
        *(_ask_over_curl(hook) if hook.via == "curl" else _ask_over_fastagi(hook)),
    ]
    last = [
        f"ExecIf({guard}?Set(CALLERID(num)=${{FILTER({kept},${{ROTATOR_CID}})}}))",
        f"Dial({hook.trunk.replace('{number}', hook.number)},${{CAMPDTO}},To{'I' if hook.keeps_connected_line else ''})",
        "Hangup()",
    ]
    priorities = ["1", *["n"] * (len(steps) - 1), "n(have)", *["n"] * (len(last) - 1)]
    return [
        f"exten => {hook.pattern},{priority},{step}" for priority, step in zip(priorities, [*steps, *last], strict=True)
    ]


def patterns_for(prefixes: Sequence[str]) -> list[tuple[str, int]]:
    """Return the patterns of North American calls with each dial prefix, with the length of the prefix."""
    return [(f"_{prefix}1NXXNXXXXXX", len(prefix)) for prefix in prefixes]


def render(hooks: Sequence[Hook]) -> str:
    """Return the text for the carrier's Dialplan Entry: what it is, how to undo it, then the lines of each pattern."""
    first = hooks[0]
    needs = (
        "func_curl and res_curl (core show function CURL)"
        if first.via == "curl"
        else "the FastAGI server of ami_rotator (FASTAGI_PORT)"
    )
    # FastAGI: only a daemon that runs keeps the budget; to a host that is not there Asterisk connects for 2 s (res_agi.c).
    wait = _seconds(first.budget_s) if first.via == "curl" else "2"
    header = [
        f"; ami_rotator: caller-IDs for the dialer {first.dialer or '(unnamed)'}, over {first.via}",
        "; Paste into Admin - Carriers - Dialplan Entry in place of the lines of the same pattern; keep a copy of those.",
        f"; Needs {needs}. The context keeps its h extension.",
        "; To undo: put the old lines back and submit. Calls then go out with the caller-ID that VICIdial chose.",
        f"; If ami_rotator is away a call waits {wait} s at most and keeps the caller-ID of VICIdial.",
    ]
    return "\n".join([*header, *(line for hook in hooks for line in hook_lines(hook))]) + "\n"


def _ask_over_curl(hook: Hook) -> list[str]:
    fields = {
        "format": "plain",
        "to": _encoded(hook.number),
        "campaign": _encoded("${CAMPCUST}"),
        "agent": "",
        "code": _encoded("${CUT(CALLERID(name), ,1)}"),
        "uniqueid": _encoded("${UNIQUEID}"),
        "channel": _encoded("${CHANNEL}"),
        **({"dialer": hook.dialer} if hook.dialer else {}),
        **({"key": quote(hook.key, safe="")} if hook.key else {}),
    }
    query = "&".join(f"{name}={value}" for name, value in fields.items())
    return [
        # Without these two CURL() waits 180 s.
        f"Set(CURLOPT(conntimeout)={_seconds(min(hook.budget_s, _CONNECT_MAX_S))})",
        f"Set(CURLOPT(httptimeout)={_seconds(hook.budget_s)})",
        f"Set(ROTATOR_CID=${{CURL({hook.base_url}/next-cid?{query})}})",
    ]


def _ask_over_fastagi(hook: Hook) -> list[str]:
    fields = {
        **({"dialer": hook.dialer} if hook.dialer else {}),
        **({"key": quote(hook.key, safe="")} if hook.key else {}),
    }
    query = "&".join(f"{name}={value}" for name, value in fields.items())
    return [f"AGI(agi://{hook.fastagi}/next-cid{'?' + query if query else ''})"]


def _encoded(expression: str) -> str:
    return f"${{URIENCODE({expression})}}"


def _seconds(value: float) -> str:
    return f"{value:.3f}".rstrip("0").rstrip(".")
