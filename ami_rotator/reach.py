"""Whether a dialer on another machine can ask this daemon for a caller-ID."""

from __future__ import annotations

from ipaddress import ip_address

from ami_rotator.settings import DialerSettings, Settings


def why_not_asked(settings: Settings, dialer: DialerSettings) -> str:
    """Return what keeps the dialplan of a dialer from asking, or an empty text. Names of hosts are not looked up."""
    if _is_loopback(dialer.host):
        return ""
    if _is_loopback(settings.api_host):
        return f"the daemon listens on {settings.api_host}, where {dialer.host} cannot ask it"
    try:
        address = ip_address(dialer.host)
    except ValueError:
        return ""
    if not any(address in network for network in settings.next_cid_networks):
        return f"{dialer.host} is not in NEXT_CID_NETWORKS, so its questions are refused"
    return ""


def what_to_do(dialer: DialerSettings) -> str:
    """Return the settings that let a dialer ask."""
    return (
        f"set API_HOST to an address of this machine that {dialer.host} reaches, and put {dialer.host} into"
        " NEXT_CID_NETWORKS (docs/vicidial-integration.md)"
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
