"""The lab itself: without a hook, a real Asterisk presents what VICIdial asked for, and every call ends."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from tests.asterisk.ami_session import AmiSession
from tests.asterisk.vicidial_lab import vicidial_lab
from tests.support.asterisk_lab import SECRET, DialerOptions
from tests.support.call_log_agi import CallLogAgi, between_ms, spread_ms
from tests.support.sip_carrier import ANSWER, OUTCOMES, RING_FOREVER, SipCarrier
from tests.support.vicidial_dialer import PlannedCall

# The first use of the root may have to build it.
pytestmark = [pytest.mark.asterisk, pytest.mark.timeout(1200)]

OWN_NUMBER = "3125550000"
CANCELLED = 487


async def test_without_a_hook_every_call_carries_vicidials_own_number(asterisk_root: Path) -> None:
    areas = ["212", "312", "415", "646"]
    planned = [
        PlannedCall(
            "V" if position // 10 % 2 == 0 else "M",
            f"{areas[position % 4]}555{position:02d}{position % 10:02d}",
            campaign=f"CAMP{position % 3}",
            timeout_s=2,
        )
        for position in range(40)
    ]
    call_log = CallLogAgi(before_ms=spread_ms(4, 140), after_ms=between_ms(1, 4), manual_timeout_s=2)

    async with vicidial_lab(asterisk_root, carrier=SipCarrier(talk_s=0.8), call_log=call_log) as lab:
        call_log.campaigns = lab.dialer.campaigns
        placed = await lab.dialer.run(planned, rate_per_s=15)
        await lab.settle()

        seen = lab.carrier.calls
        assert {call.code for call in placed} == {call.from_name for call in seen}
        assert Counter(call.from_number for call in seen) == {OWN_NUMBER: 40}
        assert lab.carrier.live() == []
        assert await lab.asterisk.channels() == []
        assert {f"1{call.destination}": _expected_status(call) for call in planned} == {
            call.destination: call.status for call in seen
        }
        assert {call.code: call.planned.campaign for call in placed} == {
            request.code: request.campaign for request in call_log.starts() if request.channel.startswith("Local/")
        }
        answered = {call.code for call in placed if _expected_status(call.planned) == ANSWER}
        answered_auto = {code for code in answered if code.startswith("V")}
        assert len(answered_auto) == len(set(lab.dialer.redirected))
        manual = {call.code for call in placed if call.planned.kind == "M"}
        assert answered_auto | manual == {call.code for call in placed if call.response == "Success"}
        assert lab.carrier.live_duplicates() > 0
        assert lab.carrier.live_duplicates(ignoring={OWN_NUMBER}) == 0


async def test_an_answered_auto_dialled_call_goes_on_without_its_local_halves(asterisk_root: Path) -> None:
    async with vicidial_lab(asterisk_root, carrier=SipCarrier(talk_s=None)) as lab:
        placed = await lab.dialer.place("V", "2125550100")
        channels = await lab.asterisk.wait_channels(1)

        assert placed.response == "Success"
        assert channels[0].startswith("PJSIP/carrier-")
        assert len(lab.carrier.live()) == 1

        lab.carrier.hang_up_all()
        await lab.settle()


async def test_hook_lines_change_what_is_presented(asterisk_root: Path) -> None:
    hook = [
        "n,Set(CHOSEN=${DB_DELETE(rotator/${CUT(CALLERID(name), ,1)})})",
        'n,ExecIf(${REGEX("^[0-9]{7,15}$" ${CHOSEN})}?Set(CALLERID(num)=${FILTER(0-9,${CHOSEN})}))',
    ]
    async with vicidial_lab(asterisk_root, options=DialerOptions(hook_lines=hook)) as lab:

        async def leave_a_number(code: str) -> None:
            async with AmiSession(lab.asterisk.ami_port, "rotator", SECRET) as session:
                put = {"Action": "DBPut", "Family": "rotator", "Key": code, "Val": "2125559999"}
                assert (await session.action(put.items()))["Response"] == "Success"

        lab.dialer.before_originate = lambda call: leave_a_number(call.code)
        placed = [await lab.dialer.place("V", "2125550101"), await lab.dialer.place("M", "2125550103")]
        await lab.settle()

        assert [(call.code, "2125559999") for call in placed] == [
            (call.from_name, call.from_number) for call in lab.carrier.calls
        ]
        assert await lab.asterisk.database() == {}
        assert "CURL" in await lab.asterisk.cli("core show function CURL")


async def test_two_dialers_run_at_once_and_one_survives_the_others_crash(asterisk_root: Path) -> None:
    async with (
        vicidial_lab(asterisk_root, carrier=SipCarrier(talk_s=None)) as first,
        vicidial_lab(asterisk_root, carrier=SipCarrier(talk_s=None), first_lead_id=900_000) as second,
    ):
        await asyncio.gather(first.dialer.place("M", "2125550100"), second.dialer.place("M", "2125550100"))
        await first.carrier.wait_for_calls(1)
        await second.carrier.wait_for_calls(1)
        await first.asterisk.restart(crash=True)

        assert await first.asterisk.channels() == []
        assert len(first.carrier.live()) == 1
        assert len(await second.asterisk.channels()) == 3

        first.carrier.forget_all()
        assert first.carrier.live() == []


async def test_a_stopped_dialer_hangs_up_its_calls_and_keeps_its_database(asterisk_root: Path) -> None:
    async with vicidial_lab(asterisk_root, carrier=SipCarrier(talk_s=None)) as lab:
        await lab.dialer.place("M", "2125550100")
        await lab.asterisk.cli("database put rotator V1 2125559999")
        await lab.carrier.wait_for_calls(1)
        await lab.asterisk.restart()
        await lab.dialer.connect()
        placed = await lab.dialer.place("V", "2125550101")

        assert [call.ended_by for call in lab.carrier.calls] == ["dialer", "carrier"]
        assert placed.response == "Error"
        assert await lab.asterisk.database() == {"V1": "2125559999"}


def _expected_status(call: PlannedCall) -> int:
    outcome = OUTCOMES[call.destination[-2:]]
    return CANCELLED if outcome == RING_FOREVER else outcome
