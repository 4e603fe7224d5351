"""The dialers: login, rights, events, CURL and hook in the dialplan, and the clock."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Sequence
from typing import Any

from ami_rotator.ami import actions
from ami_rotator.ami.session import LoginRefusedError, Session
from ami_rotator.ami.tls import client_context, not_trusted
from ami_rotator.doctor.findings import Finding, Patient
from ami_rotator.errors import DialerUnavailableError
from ami_rotator.settings import DialerSettings

_TIMEOUT_S = 5.0
_SKEW_MOST_S = 2.0
_NEEDS_COMMAND = (
    "add command to `write =` of [{user}] for this check, `manager reload`, and take it away again; or on the dialer run:"
    " {cli}"
)


async def dialers(patient: Patient) -> Sequence[Finding]:
    """Check every configured dialer, side by side."""
    configured = patient.settings.all_dialers()
    if not configured:
        return [
            Finding("dialers", "advice", "no dialer is configured: a simulated one dials", "set DIALERS or AMI_HOST")
        ]
    found = await asyncio.gather(*(_dialer(dialer) for dialer in configured))
    return [finding for findings in found for finding in findings]


async def _dialer(dialer: DialerSettings) -> list[Finding]:
    name = f"dialer {dialer.name}"
    where = f"{dialer.host} port {dialer.port}"
    session = Session(
        dialer,
        client_context(dialer),
        ping_interval_s=_TIMEOUT_S,
        timeout_s=_TIMEOUT_S,
        on_event=lambda _: None,
    )
    try:
        await session.open()
        await session.inspect()
        found = [
            Finding(name, "problem", what, fix)
            for what, _, fix in (sentence.partition(". ") for sentence in session.missing_permissions)
        ]
        found += await _clock(session, name)
        found += await _dialplan(session, dialer, name)
    except LoginRefusedError as error:
        return [Finding(name, "problem", str(error), "ami-rotator manager-conf prints the lines for manager.conf")]
    except ssl.SSLCertVerificationError as error:
        what, _, fix = not_trusted(error).partition("; ")
        return [Finding(name, "problem", f"{where}: {what}", fix)]
    except (DialerUnavailableError, OSError, TimeoutError, UnicodeError) as error:
        said = str(error) or "no answer"
        return [
            Finding(
                name,
                "problem",
                f"{where}: {said}",
                "see host and port, `enabled = yes` and bindaddr in manager.conf, and firewalls",
            )
        ]
    finally:
        session.close("checked")
    if not any(finding.level == "problem" for finding in found):
        found.insert(0, Finding(name, "ok", f"{where}, Asterisk {session.version}, mode {dialer.mode}"))
    return found


async def _clock(session: Session, name: str) -> list[Finding]:
    answer = await session.protocol.request(actions.action("Ping"), _TIMEOUT_S)
    stamp = answer.get("Timestamp", "")
    try:
        skew_s = float(stamp) - time.time()
    except ValueError:
        return []
    if abs(skew_s) <= _SKEW_MOST_S:
        return []
    return [
        Finding(
            name,
            "problem",
            f"its clock is {skew_s:+.1f} s from this machine's",
            "run NTP (chrony or systemd-timesyncd) on both",
        )
    ]


async def _dialplan(session: Session, dialer: DialerSettings, name: str) -> list[Finding]:
    if dialer.mode != "hook":
        return []
    curl = await _command(session, "core show function CURL")
    if curl is None:
        fix = _NEEDS_COMMAND.format(user=dialer.username, cli="asterisk -rx 'dialplan show' | grep ROTATOR_CID")
        return [
            Finding(name, "advice", "whether CURL and the hook are in place cannot be seen: no command rights", fix)
        ]
    found = []
    if "CURL" not in curl or "No function" in curl:
        found.append(
            Finding(
                name,
                "problem",
                "Asterisk has no CURL function",
                "load func_curl.so, or print the hook with --via fastagi",
            )
        )
    shown = await _command(session, "dialplan show")
    if shown is not None and "ROTATOR_CID" not in shown:
        fix = (
            f"ami-rotator dialplan --dialer {dialer.name}, put the lines in the carrier entry, and reload the dialplan"
        )
        found.append(Finding(name, "problem", "the hook is not in the dialplan: no number reaches a call", fix))
    return found


async def _command(session: Session, text: str) -> str | None:
    """Return what a CLI command prints; None where the account may not run any."""
    answer: Any = await session.protocol.request(actions.action("Command", Command=text), _TIMEOUT_S)
    first = answer[0] if isinstance(answer, list) else answer
    said = "\n".join(str(value) for value in dict(first).values())
    return None if not first.success and "ermission" in said else said
