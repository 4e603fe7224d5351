"""The page Dialers: how each connection is, what its account may do, and the lines to copy to the dialer."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from aiohttp import web

from ami_rotator.ami.dialer_state import DialerState
from ami_rotator.ami.stanza import manager_conf
from ami_rotator.dialplan import DialplanError, Hook, patterns_for, render
from ami_rotator.http.pages.frame import Frame, frame_of, page, shown
from ami_rotator.http.pages.words import ago
from ami_rotator.settings import DialerSettings

_EVERYWHERE = frozenset({"0.0.0.0", "::"})


@dataclass(frozen=True, slots=True)
class DialerLook:
    """A dialer. `hook` are lines for its dialplan; `problem` why there are none."""

    name: str
    state: DialerState
    shown_state: str
    address: str
    mode: str
    mode_says: str
    since: str
    lag: str
    prefixes: tuple[tuple[str, str], ...]
    hook: str
    manager: str
    problem: str


_MODES = {
    "hook": "sets a variable that the dialplan applies",
    "direct": "sets the number itself, without a change of the dialplan",
    "observe": "decides and records, sets nothing",
    "push": "VICIdial chooses; its caller-ID groups are switched and counted",
}


@shown()
async def dialers(request: web.Request) -> web.Response:
    """Show all dialers."""
    frame = frame_of(request)
    now_ms = frame.deps.clock.wall_ms()
    looks = [look_of(frame, request, settings, state, now_ms) for settings, state in frame.pages.dialers()]
    return page(request, "dialers.html", {"dialers": looks})


def look_of(
    frame: Frame, request: web.Request, settings: DialerSettings, state: DialerState, now_ms: int
) -> DialerLook:
    """Return one dialer as the page shows it."""
    host = frame.deps.settings.api_host
    asked = request.host.rpartition(":")[0] or request.host if host in _EVERYWHERE else host
    shown_host = f"[{asked}]" if ":" in asked and not asked.startswith("[") else asked
    hook, problem = "", ""
    try:
        hook = render(
            [
                Hook(
                    pattern=pattern,
                    prefix_length=length,
                    base_url=f"http://{shown_host}:{frame.deps.settings.api_port}",
                    budget_s=frame.deps.settings.answer_budget_ms / 1000,
                    # A key is a secret: it is not on a page. `ami-rotator dialplan` prints it.
                    key="WRITE_NEXT_CID_KEY_HERE" if frame.deps.settings.next_cid_key else "",
                    dialer=settings.name,
                    presentation=frame.presentation,
                )
                for pattern, length in patterns_for(tuple(settings.dial_prefixes))
            ]
        )
    except DialplanError as error:
        problem = str(error)
    return DialerLook(
        name=settings.name,
        state=state,
        shown_state="down" if state.status in ("refused", "untrusted") else state.status,
        address=f"{settings.host}:{settings.port}",
        mode=settings.mode,
        mode_says=_MODES.get(settings.mode, ""),
        since=ago(state.since_ms, now_ms) if state.since_ms else "",
        lag="–" if state.lag_ms is None else f"{state.lag_ms:.1f} ms",
        prefixes=tuple(
            (prefix or "none", campaign or "several") for prefix, campaign in settings.dial_prefixes.items()
        ),
        hook=hook,
        manager=manager_conf(settings.username, "WRITE_A_LONG_SECRET_HERE", permit=_permit(asked)),
        problem=problem,
    )


def _permit(host: str) -> str:
    try:
        address = ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return "127.0.0.1/255.255.255.255"
    return f"{address}/255.255.255.255" if address.version == 4 else f"{address}/128"
