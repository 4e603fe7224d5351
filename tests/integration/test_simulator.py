"""The pretend Asterisk over a real socket: what a client may rely on, and what the checks see a client do."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from panoramisk import Manager

from ami_rotator.simulator import DAEMON_EVENTS, CallPlan, Fixed, Simulator, SimulatorError, SimulatorOptions
from tests.asterisk.ami_session import AmiRefused, AmiSession, Message

LOGIN = ("rotator", "simulator")
CODE = "V1211200000000000042"

QUICK = CallPlan(
    code=CODE,
    kind="auto",
    campaign="SALES",
    destination="2125550150",
    ring_s=0.02,
    talk_s=0.05,
    redirect_s=0.02,
    call_log_before_s=0.03,
    call_log_after_s=0.03,
)
# Time enough for a client that has to be faster than the dialplan, on a busy machine too.
RACED = replace(QUICK, call_log_before_s=0.3)
MANUAL = replace(RACED, kind="manual", code=CODE.replace("V", "M"))


async def until(condition: Callable[[], bool], timeout_s: float = 5) -> None:
    async with asyncio.timeout(timeout_s):
        while True:
            if condition():
                return
            await asyncio.sleep(0.005)


def setvar(channel: str, variable: str, value: str) -> list[tuple[str, str]]:
    return [("Action", "Setvar"), ("Channel", channel), ("Variable", variable), ("Value", value)]


def dbput(code: str, value: str) -> list[tuple[str, str]]:
    return [("Action", "DBPut"), ("Family", "rotator"), ("Key", code), ("Val", value)]


async def event(session: AmiSession, name: str, **fields: str) -> Message:
    """Wait for an event with these fields."""
    async with asyncio.timeout(5):
        async for found in session.events():
            if found["Event"] == name and fields.items() <= found.items():
                return found
    raise AssertionError(f"the session ended without {name}")


async def ask(session: AmiSession, *headers: tuple[str, str]) -> Message:
    async with asyncio.timeout(5):
        return await session.action(headers)


@asynccontextmanager
async def next_cid(answer: Callable[[web.Request], Awaitable[web.Response]]) -> AsyncIterator[str]:
    """Serve /next-cid; yield its URL."""
    application = web.Application()
    application.router.add_get("/next-cid", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server = site._server
    assert isinstance(server, asyncio.Server)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/next-cid"
    finally:
        await runner.cleanup()


# Protocol


async def test_a_client_is_greeted_logged_in_and_told_that_asterisk_is_up() -> None:
    async with Simulator() as simulator:
        reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
        writer.write(b"Action: Login\r\nActionID: 1\r\nUsername: rotator\r\nSecret: simulator\r\n\r\n")

        text = await asyncio.wait_for(reader.readuntil(b"Fully Booted\r\n\r\n"), 5)
        writer.close()

    assert text.startswith(b"Asterisk Call Manager/5.0.5\r\n")
    assert b"Response: Success\r\nActionID: 1\r\nMessage: Authentication accepted\r\n\r\n" in text


async def test_a_wrong_secret_is_refused_and_the_connection_closed() -> None:
    async with Simulator() as simulator:
        with pytest.raises(AmiRefused, match="Authentication failed"):
            async with AmiSession(simulator.port, "rotator", "wrong"):
                pass
        await until(lambda: simulator.sessions == 0)


async def test_actions_before_the_login_are_refused() -> None:
    async with Simulator() as simulator:
        reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
        writer.write(b"Action: Ping\r\n\r\n")

        text = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        writer.close()

    assert b"Response: Error\r\nMessage: Permission denied" in text


async def test_an_unknown_action_is_an_error_and_a_repeated_one_is_answered_in_order() -> None:
    async with Simulator() as simulator, AmiSession(simulator.port, *LOGIN) as session:
        unknown = await ask(session, ("Action", "Fly"), ("ActionID", "a"))
        ping = await ask(session, ("Action", "Ping"), ("ActionID", "b"))

    assert (unknown["Response"], unknown["ActionID"]) == ("Error", "a")
    assert unknown["Message"].startswith("Invalid/unknown command: Fly.")
    assert (ping["Ping"], ping["ActionID"]) == ("Pong", "b")


async def test_setvar_names_a_channel_that_is_not_there_as_asterisk_does() -> None:
    async with Simulator() as simulator, AmiSession(simulator.port, *LOGIN) as session:
        gone = await ask(session, *setvar("Local/1@default-00000000;2", "ROTATOR_CID", "2125550100"))
        empty = await ask(session, ("Action", "Setvar"), ("Channel", "Local/1@default-00000000;2"))
        everywhere = await ask(session, ("Action", "Setvar"), ("Variable", "X"), ("Value", "1"))

    assert (gone["Response"], gone["Message"]) == ("Error", "No such channel")
    assert (empty["Response"], empty["Message"]) == ("Error", "No variable specified")
    assert (everywhere["Response"], everywhere["Message"]) == ("Success", "Variable Set")


async def test_astdb_answers_as_asterisks_does() -> None:
    async with Simulator() as simulator, AmiSession(simulator.port, *LOGIN) as session:
        keys = (("Family", "rotator"), ("Key", "V1"))
        told = [
            (await ask(session, ("Action", action), *rest))["Message"]
            for action, rest in (
                ("DBGet", keys),
                ("DBPut", (*keys, ("Val", "2125550100"))),
                ("DBGet", keys),
                ("DBDel", keys),
                ("DBDel", keys),
                ("DBPut", (*keys, ("Val", "2125550100"))),
                ("DBDelTree", (("Family", "rotator"),)),
                ("DBDelTree", (("Family", "rotator"),)),
                ("DBPut", (("Family", "rotator"),)),
            )
        ]

    assert told == [
        "Database entry not found",
        "Updated database successfully",
        "Result will follow",
        "Key deleted successfully",
        "Database entry not found",
        "Updated database successfully",
        "Key tree deleted successfully",
        "Database entry not found",
        "No key specified",
    ]


async def test_who_may_not_write_is_told_so_and_does_not_see_the_command() -> None:
    options = SimulatorOptions(write=frozenset({"reporting"}))
    async with Simulator(options) as simulator, AmiSession(simulator.port, *LOGIN) as session:
        put = await ask(session, *dbput(CODE, "2125550100"))
        commands = await ask(session, ("Action", "ListCommands"))

    assert (put["Response"], put["Message"]) == ("Error", "Permission denied")
    assert "CoreShowChannels" in commands
    assert "DBPut" not in commands


async def test_who_may_not_read_system_is_not_told_that_asterisk_is_up() -> None:
    options = SimulatorOptions(read=frozenset({"call"}))
    async with Simulator(options) as simulator, AmiSession(simulator.port, *LOGIN) as session:
        call = simulator.place(QUICK)
        first = await event(session, "Newchannel")
        session.send([("Action", "Events"), ("EventMask", "off")])
        await call

    assert first["Privilege"] == "call,all"


async def test_only_the_filtered_events_are_sent() -> None:
    options = SimulatorOptions(event_filter=DAEMON_EVENTS)
    seen: list[Message] = []
    simulator = Simulator(options)
    async with simulator, AmiSession(simulator.port, *LOGIN) as session:
        await simulator.place(QUICK)
        await simulator.stop()
        async with asyncio.timeout(5):
            seen = [found async for found in session.events()]

    names = {found["Event"] for found in seen}
    assert names == {"FullyBooted", "NewCallerid", "DialBegin", "DialEnd", "Hangup", "VarSet"}
    assert {found["Variable"].lstrip("_") for found in seen if found["Event"] == "VarSet"} == {"CAMPCUST"}


async def test_panoramisk_logs_in_sees_a_call_sets_a_variable_and_lists_channels() -> None:
    events: list[Any] = []
    async with Simulator() as simulator:
        manager = Manager(
            host="127.0.0.1", port=simulator.port, username=LOGIN[0], secret=LOGIN[1], reconnect_timeout=60
        )
        manager.register_event("*", lambda _, found: events.append(found))
        await manager.connect()
        await until(lambda: bool(manager.authenticated))
        call = simulator.place(RACED)
        await until(lambda: any(found.event == "NewCallerid" and found.channel.endswith(";2") for found in events))
        channel = next(
            found.channel for found in events if found.event == "NewCallerid" and found.channel.endswith(";2")
        )

        answer = await manager.send_action(
            {"Action": "Setvar", "Channel": channel, "Variable": "ROTATOR_CID", "Value": "2125550100"}
        )
        channels = await manager.send_action({"Action": "CoreShowChannels"})
        record = await call
        await until(lambda: sum(found.event == "Hangup" for found in events) == 3)
        manager.on_disconnect = lambda *_: None
        manager.close()

    assert answer.success
    shown = [found for found in channels if found.event == "CoreShowChannel"]
    assert {found.channel for found in shown} >= {channel}
    assert channels[-1].event == "CoreShowChannelsComplete"
    assert channels[-1].listitems == str(len(shown))
    assert (record.way, record.presented) == ("variable", "2125550100")


async def test_two_clients_get_the_same_events_and_one_that_leaves_takes_none_with_it() -> None:
    async with Simulator() as simulator, AmiSession(simulator.port, *LOGIN) as stays:
        async with AmiSession(simulator.port, *LOGIN) as leaves:
            call = simulator.place(QUICK)
            first = await event(leaves, "NewCallerid")
        same = await event(stays, "NewCallerid")
        await call
        await event(stays, "Hangup")

    assert first == same


async def test_a_command_shows_what_is_going_on() -> None:
    async with Simulator() as simulator, AmiSession(simulator.port, *LOGIN) as session:
        await ask(session, *dbput(CODE + "9", "2125550100"))
        shown = await ask(session, ("Action", "Command"), ("Command", "database show rotator"))
        unknown = await ask(session, ("Action", "Command"), ("Command", "make coffee"))

    assert shown["Output"] == "1 results found."
    assert unknown["Response"] == "Error"


# The ways a number comes


@pytest.mark.parametrize("plan", [RACED, MANUAL], ids=["auto", "manual"])
async def test_the_variable_on_the_channel_is_presented(plan: CallPlan) -> None:
    async with Simulator() as simulator, AmiSession(simulator.port, *LOGIN) as session:
        call = simulator.place(plan)
        half = ";2" if plan.kind == "auto" else ";1"
        while not (seen := await event(session, "NewCallerid"))["Channel"].endswith(half):
            pass
        session.send(setvar(seen["Channel"], "ROTATOR_CID", "2125550100"))
        began = await event(session, "DialBegin", DestContext="trunkinbound")
        record = await call

    assert (began["Channel"], began["DestConnectedLineNum"]) == (seen["Channel"], "2125550100")
    assert began["DestCallerIDName"] == plan.code
    assert (record.way, record.presented, record.name_kept) == ("variable", "2125550100", True)
    assert (record.channel, record.uniqueid) == (seen["Channel"], seen["Uniqueid"])


async def test_the_entry_in_astdb_is_presented_and_gone_even_where_the_variable_wins() -> None:
    async with Simulator() as simulator, AmiSession(simulator.port, *LOGIN) as session:
        await ask(session, *dbput(CODE, "2125550101"))
        stored = await simulator.place(QUICK)
        await ask(session, *dbput(CODE, "2125550101"))
        call = simulator.place(RACED)
        seen = await event(session, "NewCallerid", Priority="1", ChannelStateDesc="Ring")
        await ask(session, *setvar(seen["Channel"], "ROTATOR_CID", "2125550102"))
        both = await call
        left = await ask(session, ("Action", "DBGet"), ("Family", "rotator"), ("Key", CODE))

    assert (stored.way, stored.presented) == ("astdb", "2125550101")
    assert (both.way, both.presented) == ("variable", "2125550102")
    assert left["Message"] == "Database entry not found"


async def test_the_dialplan_asks_over_http_when_nothing_is_there() -> None:
    asked: list[dict[str, str]] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(dict(request.query))
        return web.Response(text="2125550103\n")

    async with next_cid(answer) as url, Simulator(SimulatorOptions(http_url=url)) as simulator:
        record = await simulator.place(replace(QUICK, campaign="A&B"))

    assert (record.way, record.presented) == ("http", "2125550103")
    assert asked == [
        {
            "format": "plain",
            "to": "12125550150",
            "campaign": "A&B",
            "agent": "",
            "code": CODE,
            "uniqueid": record.uniqueid,
            "channel": record.channel,
        }
    ]


@pytest.mark.parametrize(
    "body",
    ["", "123456", "1234567890123456", "+12125550100", '{"error":"x"}', "2125550100\r\nEvent: Hangup", "x:System(y)"],
)
async def test_a_body_that_is_no_number_leaves_vicidials_own(body: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=body, status=500)

    async with (
        next_cid(answer) as url,
        Simulator(SimulatorOptions(http_url=url)) as simulator,
        AmiSession(simulator.port, *LOGIN) as session,
    ):
        call = simulator.place(replace(QUICK, outcome="busy"))
        first = await event(session, "Hangup")
        record = await call

    assert "Cause" in first, "the body began an event of its own"
    assert (record.way, record.presented) == ("own", "3125550000")
    assert record.guarded == bool(body)


async def test_a_silent_server_costs_the_budget_and_no_more() -> None:
    measured = asyncio.Event()

    async def answer(_: web.Request) -> web.Response:
        await measured.wait()
        return web.Response(text="2125550100")

    async with next_cid(answer) as url, Simulator(SimulatorOptions(http_url=url, http_budget_s=0.1)) as simulator:
        record = await asyncio.wait_for(simulator.place(QUICK), 10)
        measured.set()

    assert record.way == "own"
    assert record.hook_ms is not None
    assert 90 < record.hook_ms < 1000


async def test_nobody_to_ask_leaves_vicidials_own() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/next-cid"
        async with Simulator(SimulatorOptions(http_url=url)) as simulator:
            record = await simulator.place(QUICK)

    assert (record.way, record.presented) == ("own", "3125550000")
    assert simulator.report.own_share == 1.0


async def test_without_a_hook_only_the_number_itself_counts() -> None:
    async with Simulator(SimulatorOptions(mode="direct")) as simulator, AmiSession(simulator.port, *LOGIN) as session:
        await ask(session, *dbput(CODE, "2125550101"))
        ignored = await simulator.place(QUICK)
        call = simulator.place(replace(RACED, destination="2125550160"))
        seen = await event(session, "NewCallerid", Exten="912125550160", ChannelStateDesc="Ring")
        await ask(session, *setvar(seen["Channel"], "CALLERID(num)", "2125550104"))
        record = await call

    assert (ignored.way, ignored.presented) == ("own", "3125550000")
    assert (record.way, record.presented) == ("direct", "2125550104")


# What the checks see


async def test_two_live_calls_with_one_number_are_seen() -> None:
    async with Simulator() as simulator, AmiSession(simulator.port, *LOGIN) as session:
        for code in (CODE, CODE[:-1] + "3"):
            await ask(session, *dbput(code, "2125550100"))
        calls = [simulator.place(QUICK), simulator.place(replace(QUICK, code=CODE[:-1] + "3"))]
        await asyncio.gather(*calls)

    assert simulator.report.duplicates == 1


async def test_the_same_number_one_call_after_the_other_is_fine() -> None:
    async with Simulator() as simulator, AmiSession(simulator.port, *LOGIN) as session:
        for _ in range(2):
            await ask(session, *dbput(CODE, "2125550100"))
            await simulator.place(QUICK)

    assert simulator.report.duplicates == 0
    assert simulator.report.by_way == {"astdb": 2}


async def test_a_changed_name_and_a_setvar_after_the_trunk_are_violations() -> None:
    async with Simulator(SimulatorOptions(grace_s=0.0)) as simulator, AmiSession(simulator.port, *LOGIN) as session:
        call = simulator.place(replace(RACED, talk_s=0.5))
        seen = await event(session, "NewCallerid", ChannelStateDesc="Ring")
        await ask(session, *setvar(seen["Channel"], "CALLERID(name)", "ACME"))
        trunk = await event(session, "DialBegin", DestContext="trunkinbound")
        await ask(session, *setvar(trunk["DestChannel"], "ROTATOR_CID", "2125550100"))
        record = await call

    assert not record.name_kept
    assert simulator.report.name_changes == 1
    assert simulator.report.setvars_after_trunk == 1
    assert simulator.report.violations == 2


async def test_a_failover_call_has_two_trunk_legs_and_presents_once() -> None:
    async with Simulator() as simulator, AmiSession(simulator.port, *LOGIN) as session:
        await ask(session, *dbput(CODE, "2125550100"))
        call = simulator.place(replace(QUICK, failover=True))
        first = await event(session, "DialEnd", DestContext="trunkinbound")
        second = await event(session, "DialBegin", DestContext="trunkinbound")
        record = await call

    assert first["DialStatus"] == "CONGESTION"
    assert (second["DialString"], second["DestConnectedLineNum"]) == ("12125550150@carrier2", "2125550100")
    assert len(record.trunk_uniqueids) == 2
    assert (simulator.report.presented, simulator.report.duplicates) == (1, 0)


async def test_a_call_without_trunk_presents_nothing() -> None:
    async with Simulator() as simulator, AmiSession(simulator.port, *LOGIN) as session:
        call = simulator.place(replace(QUICK, outcome="no_trunk"))
        ended = await event(session, "Hangup")
        record = await call

    assert ended["Cause"] == "3"
    assert (record.presented, record.trunk_uniqueids, record.outcome) == ("", (), "no_trunk")


async def test_the_trunk_talks_on_after_both_local_halves_hung_up() -> None:
    async with Simulator() as simulator, AmiSession(simulator.port, *LOGIN) as session:
        call = simulator.place(replace(QUICK, talk_s=0.6))
        halves = [await event(session, "Hangup"), await event(session, "Hangup")]
        shown = await ask(session, ("Action", "CoreStatus"))
        last = await event(session, "Hangup")
        await call

    assert {half["Channel"][-2:] for half in halves} == {";1", ";2"}
    assert shown["CoreCurrentCalls"] == "1"
    assert last["Channel"].startswith("PJSIP/carrier-")


# Faults


async def test_cut_connections_come_back_and_calls_go_on() -> None:
    async with Simulator() as simulator:
        async with AmiSession(simulator.port, *LOGIN) as session:
            call = simulator.place(replace(QUICK, talk_s=0.3))
            simulator.drop_connections()
            with pytest.raises((AssertionError, ConnectionError)):
                await event(session, "Hangup")
        async with AmiSession(simulator.port, *LOGIN) as session:
            await event(session, "Hangup")
            record = await call

    assert record.outcome == "answered"


async def test_a_frozen_connection_stays_open_and_silent_while_new_ones_are_served() -> None:
    async with Simulator() as simulator, AmiSession(simulator.port, *LOGIN) as frozen:
        simulator.freeze()
        frozen.send([("Action", "Ping")])
        async with AmiSession(simulator.port, *LOGIN) as fresh:
            await simulator.place(QUICK)
            await event(fresh, "Hangup")
            reader, _ = frozen._connected()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(_skip_to(reader, b"Hangup"), 0.1)

            assert simulator.sessions == 2
            assert not reader.at_eof()


async def _skip_to(reader: asyncio.StreamReader, text: bytes) -> None:
    while text not in await reader.readline():
        pass


async def test_a_restart_says_so_cuts_calls_off_and_counts_from_zero() -> None:
    async with Simulator() as simulator, AmiSession(simulator.port, *LOGIN) as session:
        call = simulator.place(replace(QUICK, ring_s=30.0))
        port = simulator.port
        before = await event(session, "DialBegin", DestContext="trunkinbound")
        await asyncio.wait_for(simulator.restart(), 5)
        stopped = await event(session, "Shutdown")
        record = await call
        async with AmiSession(port, *LOGIN) as again:
            shown = await ask(again, ("Action", "CoreStatus"))
            fresh = await simulator.place(QUICK)

    assert stopped["Privilege"] == "system,all"
    assert record.outcome == "cut_off"
    assert shown["CoreCurrentCalls"] == "0"
    assert fresh.channel == before["Channel"]
    assert fresh.uniqueid != before["Uniqueid"]
    assert simulator.report.live == 0


async def test_a_reader_that_never_reads_is_cut_off_and_the_others_are_not() -> None:
    loop = asyncio.get_running_loop()
    async with Simulator(SimulatorOptions(write_timeout_s=0.5)) as simulator:
        reader, writer = await asyncio.open_connection("127.0.0.1", simulator.port)
        writer.write(b"Action: Login\r\nUsername: rotator\r\nSecret: simulator\r\n\r\n")
        reading = asyncio.create_task(_drain(reader))
        with socket.socket() as stuck:
            stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            stuck.setblocking(False)
            await loop.sock_connect(stuck, ("127.0.0.1", simulator.port))
            await loop.sock_sendall(stuck, b"Action: Login\r\nUsername: rotator\r\nSecret: simulator\r\n\r\n")
            running = asyncio.create_task(simulator.run(200))
            await until(lambda: simulator.report.cut_off_readers > 0, 20)
            running.cancel()
        await until(lambda: simulator.sessions == 1)

        assert simulator.report.cut_off_readers == 1
        assert not reading.done()
    await asyncio.wait_for(reading, 5)
    writer.close()


async def _drain(reader: asyncio.StreamReader) -> None:
    while await reader.read(2**20):
        pass


async def test_calls_beyond_the_limit_are_skipped_and_counted() -> None:
    options = SimulatorOptions(
        max_live_calls=3, answer_after_s=Fixed(30.0), reject_after_s=Fixed(30.0), outcomes={"busy": 1.0}
    )
    async with Simulator(options) as simulator:
        await simulator.run(500, 0.2)
        report = simulator.report

    assert report.live == 3
    assert report.not_placed > 20
    assert simulator.report.by_outcome == {"cut_off": 3}


async def test_the_rate_is_the_one_asked_for_and_every_call_ends() -> None:
    options = SimulatorOptions(
        answer_after_s=Fixed(0.05),
        reject_after_s=Fixed(0.02),
        talk_s=Fixed(0.05),
        redirect_after_s=Fixed(0.02),
        auto_timeout_s=0.1,
        manual_timeout_s=0.1,
    )
    async with Simulator(options) as simulator:
        await simulator.run(300, 1.0)

        assert await simulator.drain(5)
        report = simulator.report

    assert 230 < report.placed < 370
    assert (report.finished, report.live, report.not_placed) == (report.placed, 0, 0)
    assert set(report.by_outcome) == set(options.outcomes)
    assert report.by_way == {"own": report.presented}
    assert report.violations == 0


async def test_twenty_in_one_process_keep_apart() -> None:
    simulators = [Simulator(SimulatorOptions(seed=seed)) for seed in range(20)]
    await asyncio.gather(*(simulator.start() for simulator in simulators))
    try:
        await asyncio.gather(*(simulator.place(QUICK) for simulator in simulators))

        assert len({simulator.port for simulator in simulators}) == 20
        assert [simulator.report.placed for simulator in simulators] == [1] * 20
    finally:
        await asyncio.gather(*(simulator.stop() for simulator in simulators))


async def test_a_call_cannot_be_placed_before_the_start() -> None:
    with pytest.raises(SimulatorError, match="start it first"):
        Simulator().place(QUICK)
