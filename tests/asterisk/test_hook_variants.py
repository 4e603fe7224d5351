"""Every form of the hook on a real Asterisk, with a daemon that only answers: what is asked and what goes out."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ami_rotator.dialplan import Hook, hook_lines
from ami_rotator.domain.types import E164, Miss
from ami_rotator.http.fastagi import start_fastagi
from tests.asterisk.vicidial_lab import VicidialLab, vicidial_lab
from tests.support.asterisk_lab import DialerOptions
from tests.support.http_rig import ASSIGNMENT, Desk, Inventory, State, make_deps, rig
from tests.support.sip_carrier import SipCarrier
from tests.support.vicidial_dialer import PlannedCall

pytestmark = [pytest.mark.asterisk, pytest.mark.timeout(1200)]

OWN_NUMBER = "3125550000"
TRUNK = "PJSIP/{number}@carrier"
CALLS = [PlannedCall("V" if n % 2 else "M", f"21255501{10 + n}", timeout_s=3) for n in range(6)]
# More than the default: what is tested is the way, not how busy the machine is.
BUDGET_S = 2.0


@contextlib.asynccontextmanager
async def lab_over_curl(root: Path, hook: Hook, **options: Any) -> AsyncIterator[tuple[VicidialLab, Desk]]:
    options.setdefault("answer_budget_ms", int(BUDGET_S * 1000))
    async with rig(dialers=("lab",), **options) as at:
        chosen = replace(hook, base_url=at.url, trunk=TRUNK, dialer="lab", budget_s=BUDGET_S)
        lines = DialerOptions(carrier_entry=hook_lines(chosen))
        async with vicidial_lab(root, options=lines, carrier=SipCarrier(talk_s=0.3)) as lab:
            yield lab, at.desk


async def place(lab: VicidialLab) -> tuple[set[str], Counter[str], set[str]]:
    """Place the calls; return their codes, the numbers that went out, and the names that went out with them."""
    placed = await lab.dialer.run(CALLS, rate_per_s=10)
    await lab.settle()
    seen = lab.carrier.calls
    return {call.code for call in placed}, Counter(c.from_number for c in seen), {c.from_name for c in seen}


@pytest.mark.parametrize(("presentation", "shown"), [("e164", "+15551234567"), ("digits", "15551234567")])
async def test_curl_puts_the_number_on_every_call_in_each_presentation(
    asterisk_root: Path, presentation: Any, shown: str
) -> None:
    hook = Hook(presentation=presentation, key="a b&c;d,e")
    async with lab_over_curl(asterisk_root, hook, presentation=presentation, next_cid_key=hook.key) as (lab, desk):
        codes, numbers, names = await place(lab)

    assert numbers == {shown: len(CALLS)}
    assert names == codes
    assert {call.key.code for call in desk.asked} == codes
    assert {call.key.dialer for call in desk.asked} == {"lab"}
    assert {call.campaign for call in desk.asked} == {"TESTCAMP"}
    assert {call.dialled for call in desk.asked} == {f"1{call.destination}" for call in CALLS}
    assert len({call.key.uniqueid for call in desk.asked}) == len(CALLS)


@pytest.mark.parametrize("answer", [Miss("none_free"), ASSIGNMENT._replace(caller_id=E164("+1'x"))])
async def test_what_is_no_number_leaves_the_call_as_it_was(asterisk_root: Path, answer: Any) -> None:
    async with lab_over_curl(asterisk_root, Hook()) as (lab, desk):
        desk.answer = answer
        codes, numbers, names = await place(lab)

    assert numbers == {OWN_NUMBER: len(CALLS)}
    assert names == codes
    assert len(desk.asked) == len(CALLS)


async def test_a_json_error_body_is_not_let_through(asterisk_root: Path) -> None:
    # Without format=plain every error is JSON, with quotes: the guard alone must stop it.
    async with rig(dialers=("lab",), next_cid_key="not-known-to-the-hook") as at:
        lines = hook_lines(Hook(base_url=at.url, trunk=TRUNK, budget_s=BUDGET_S))
        lines = [line.replace("format=plain&", "") for line in lines]
        async with vicidial_lab(
            asterisk_root, options=DialerOptions(carrier_entry=lines), carrier=SipCarrier(talk_s=0.3)
        ) as lab:
            codes, numbers, names = await place(lab)

    assert numbers == {OWN_NUMBER: len(CALLS)}
    assert names == codes


async def test_fastagi_puts_the_number_on_every_call(asterisk_root: Path) -> None:
    desk = Desk()
    options = {"answer_budget_ms": int(BUDGET_S * 1000), "next_cid_key": "a b&c"}
    server = await start_fastagi(make_deps(desk, Inventory(), State(), options, ("lab", "other")))
    port = server.sockets[0].getsockname()[1]
    hook = Hook(via="fastagi", fastagi=f"127.0.0.1:{port}", key="a b&c", dialer="lab", trunk=TRUNK)
    lines = DialerOptions(carrier_entry=hook_lines(hook))
    async with server, vicidial_lab(asterisk_root, options=lines, carrier=SipCarrier(talk_s=0.3)) as lab:
        codes, numbers, names = await place(lab)

    assert numbers == {"5551234567": len(CALLS)}
    assert names == codes
    assert {call.key.code for call in desk.asked} == codes
    assert {(call.key.dialer, call.campaign) for call in desk.asked} == {("lab", "TESTCAMP")}


async def test_fastagi_that_is_away_or_has_nothing_leaves_the_call_as_it_was(asterisk_root: Path) -> None:
    desk = Desk(Miss("none_free"))
    server = await start_fastagi(make_deps(desk, Inventory(), State(), {}, ("lab",)))
    port = server.sockets[0].getsockname()[1]
    lines = hook_lines(Hook(via="fastagi", fastagi=f"127.0.0.1:{port}", dialer="lab", trunk=TRUNK))
    async with vicidial_lab(
        asterisk_root, options=DialerOptions(carrier_entry=lines), carrier=SipCarrier(talk_s=0.3)
    ) as lab:
        await place(lab)
        asked = len(desk.asked)
        server.close()
        await server.wait_closed()
        _, numbers, _ = await place(lab)

    assert asked == len(desk.asked) == len(CALLS)
    assert numbers == {OWN_NUMBER: 2 * len(CALLS)}
