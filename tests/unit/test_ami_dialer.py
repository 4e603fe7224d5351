"""The connection to a dialer, against a server that misbehaves in every way that Asterisk and networks do."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from ami_rotator.ami.dialer import AmiDialer
from ami_rotator.ami.events import Event
from ami_rotator.clock import SystemClock
from ami_rotator.errors import DialerActionError, DialerUnavailableError
from ami_rotator.settings import DialerSettings

COMMANDS = (
    "Setvar",
    "DBPut",
    "DBDel",
    "DBDelTree",
    "DBGetTree",
    "CoreShowChannels",
    "CoreSettings",
    "Ping",
    "ListCommands",
)
CHANNEL = "Local/912125550100@default-00000000;2"


def block(*lines: str) -> bytes:
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


class Server:
    """Speak AMI as Asterisk does; each switch is one way not to."""

    def __init__(self) -> None:
        self.actions: list[dict[str, str]] = []
        self.connections = 0
        self.banner = b"Asterisk Call Manager/5.0.4\r\n"
        self.secret = "secret"
        self.is_silent = False
        self.unanswered: set[str] = set()
        self.commands: tuple[str, ...] = COMMANDS
        self.unknown: tuple[str, ...] = ()
        self.sends_varset = True
        self.channels: list[list[str]] = []
        self.list_items: int | None = None
        self.port = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self.drop()
            await self._server.wait_closed()

    def drop(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def send(self, data: bytes) -> None:
        for writer in self._writers:
            writer.write(data)

    def named(self, name: str) -> list[dict[str, str]]:
        return [action for action in self.actions if action["Action"] == name]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        writer.write(self.banner)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                action = dict(line.split(": ", 1) for line in lines if line)
                self.actions.append(action)
                if not self.is_silent and action["Action"] not in self.unanswered:
                    writer.write(self._answer(action))
                if action["Action"] == "Logoff":
                    break
        self._writers.discard(writer)
        writer.close()

    def _answer(self, action: dict[str, str]) -> bytes:
        name, number = action["Action"], f"ActionID: {action['ActionID']}"
        refused = block("Response: Error", number, "Message: Permission denied")
        if name == "Login":
            if action["Secret"] != self.secret:
                return block("Response: Error", number, "Message: Authentication failed")
            return block("Response: Success", number, "Message: Authentication accepted")
        if name == "Logoff":
            return block("Response: Goodbye", number, "Message: Thanks for all the fish.")
        if name in self.unknown:
            text = f"Message: Invalid/unknown command: {name}. Use Action: ListCommands to show available commands."
            return block("Response: Error", number, text)
        if name not in self.commands:
            return refused
        if name == "ListCommands":
            return block(
                "Response: Success", number, *(f"{command}: Does it.  (Priv: call,all)" for command in self.commands)
            )
        if name == "CoreSettings":
            return block("Response: Success", number, "AsteriskVersion: 16.28.0")
        if name == "CoreShowChannels":
            rows = [block("Event: CoreShowChannel", number, *row) for row in self.channels]
            said = len(rows) if self.list_items is None else self.list_items
            end = block("Event: CoreShowChannelsComplete", number, "EventList: Complete", f"ListItems: {said}")
            return (
                block("Response: Success", number, "EventList: start", "Message: Channels will follow")
                + b"".join(rows)
                + end
            )
        if name == "DBGetTree":
            rows = [block("Event: DBGetTreeResponse", f"Key: /rotator/V{row}", "Val: 312", number) for row in (1, 2)]
            end = block("Event: DBGetTreeComplete", number, "EventList: Complete", "ListItems: 2")
            return (
                block("Response: Success", number, "EventList: start", "Message: Result will follow")
                + b"".join(rows)
                + end
            )
        if name == "DBDel" and action["Key"] == "absent":
            return block("Response: Error", number, "Message: Database entry could not be deleted")
        varset = b""
        if name == "Setvar" and "Channel" not in action and self.sends_varset:
            varset = block("Event: VarSet", "Channel: none", f"Variable: {action['Variable']}", "Value: 1")
        return block("Response: Success", number) + varset


class Run:
    """One dialer under test, and what it called."""

    def __init__(self, server: Server, **options: Any) -> None:
        self.log: list[str] = []
        self.events: list[Event] = []
        settings = {"name": "d1", "port": server.port, "username": "rotator", "secret": "secret"}
        times = {"ping_interval_s": 5.0, "timeout_s": 1.0, "backoff_first_s": 0.02, "backoff_most_s": 0.05}
        self.dialer = AmiDialer(
            DialerSettings.model_validate({**settings, **options.pop("settings", {})}),
            clock=SystemClock(),
            on_event=options.pop("on_event", self._on_event),
            on_up=lambda: self.log.append("up"),
            on_down=lambda reason: self.log.append(f"down {reason}"),
            **{**times, **options},
        )
        self.task = asyncio.create_task(self.dialer.run())

    def _on_event(self, event: Event) -> None:
        self.events.append(event)
        self.log.append(event.name)

    async def until(self, condition: Callable[[], object], within_s: float = 5.0) -> None:
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, self.dialer.state
            await asyncio.sleep(0.002)

    async def until_up(self) -> None:
        await self.until(lambda: self.dialer.state.status == "up" and self.dialer.state.version == "16.28.0")

    async def stop(self) -> None:
        await self.dialer.close()
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    running = Server()
    await running.start()
    yield running
    await running.stop()


@pytest.fixture
async def start(server: Server) -> AsyncIterator[Callable[..., Run]]:
    runs: list[Run] = []

    def begin(**options: Any) -> Run:
        runs.append(Run(server, **options))
        return runs[-1]

    yield begin
    for run in runs:
        await run.stop()


async def test_it_logs_in_says_what_it_found_and_logs_off(server: Server, start: Callable[..., Run]) -> None:
    run = start()
    await run.until_up()
    await run.until(lambda: server.named("Setvar"))

    await run.stop()

    assert run.log == ["up", "down 127.0.0.1 port " + f"{server.port}: Asterisk closed the connection"]
    assert [action["Action"] for action in server.actions][-1] == "Logoff"
    assert run.task.done()
    assert run.dialer.state.missing_permissions == ()
    assert run.dialer.state.status == "down"


async def test_a_server_without_banner_is_not_up_and_is_tried_again(server: Server, start: Callable[..., Run]) -> None:
    server.banner = b""
    run = start(timeout_s=0.05)

    await run.until(lambda: server.connections >= 2)

    assert "no AMI banner within 0.05 s" in run.dialer.state.detail
    assert run.log == []
    assert server.actions == []  # the secret is not told to something that is no Asterisk


async def test_a_server_that_is_not_asterisk_never_gets_the_secret(server: Server, start: Callable[..., Run]) -> None:
    server.banner = b"SSH-2.0-OpenSSH_9.2\r\n"
    run = start()

    await run.until(lambda: server.connections >= 2)

    assert "not an Asterisk Manager Interface" in run.dialer.state.detail
    assert server.actions == []


async def test_a_refused_login_is_never_up_and_is_tried_again_slowly(server: Server, start: Callable[..., Run]) -> None:
    server.secret = "another"
    run = start(refused_retry_s=0.3)
    await run.until(lambda: run.dialer.state.status == "refused")
    refused_ms = run.dialer.state.since_ms

    assert "Authentication failed" in run.dialer.state.detail
    assert "manager.conf" in run.dialer.state.detail
    run.dialer.setvar(CHANNEL, "ROTATOR_CID", "3125551234")
    assert run.dialer.state.failed_actions == 1
    assert server.connections == 1

    server.secret = "secret"
    await run.until_up()
    assert run.dialer.state.since_ms - refused_ms >= 290  # by the dialer's own account: whoever looks sees it later
    assert server.named("Setvar") == [action for action in server.named("Setvar") if "Channel" not in action]


async def test_a_half_open_connection_is_noticed_within_two_ping_intervals(
    server: Server, start: Callable[..., Run]
) -> None:
    run = start(ping_interval_s=0.2)
    await run.until_up()
    await run.until(lambda: run.dialer.state.lag_ms is not None)
    server.is_silent = True
    silent_at = time.monotonic()

    await run.until(lambda: run.log[-1].startswith("down"))

    assert time.monotonic() - silent_at < 2 * 0.2 + 0.4
    assert "nothing came for 0.4 s" in run.log[-1]
    server.is_silent = False
    await run.until(lambda: run.log[-1] == "up")


async def test_a_connection_that_answers_pings_stays(server: Server, start: Callable[..., Run]) -> None:
    # Silence for two intervals ends a connection: long enough for a busy machine.
    run = start(ping_interval_s=0.3)
    await run.until(lambda: len(server.named("Ping")) >= 4)

    assert run.log == ["up"]
    assert server.connections == 1


async def test_actions_that_were_not_answered_are_not_sent_again(server: Server, start: Callable[..., Run]) -> None:
    run = start()
    await run.until_up()
    server.unanswered = {"Setvar", "DBPut"}
    run.dialer.setvar(CHANNEL, "ROTATOR_CID", "3125551234")
    waiting = asyncio.create_task(run.dialer.db_put("rotator", "V1", "3125551234"))
    await run.until(lambda: len(server.named("DBPut")) == 1)

    server.drop()
    with pytest.raises(DialerUnavailableError, match="not answered: "):
        await waiting
    server.unanswered = set()
    await run.until(lambda: run.log[-1] == "up")
    await run.until(lambda: len(server.named("ListCommands")) == 2)
    assert await run.dialer.channels() == []

    assert len(server.named("DBPut")) == 1
    assert [action["Value"] for action in server.named("Setvar") if "Channel" in action] == ["3125551234"]
    assert run.dialer.state.failed_actions == 2
    assert run.dialer.state.reconnects == 1


async def test_an_unanswered_action_fails_in_time_and_leaves_nothing(server: Server, start: Callable[..., Run]) -> None:
    run = start(timeout_s=0.05)
    await run.until_up()
    server.unanswered = {"CoreShowChannels", "Setvar"}
    for _ in range(100):
        run.dialer.setvar(CHANNEL, "ROTATOR_CID", "3125551234")

    with pytest.raises(DialerUnavailableError, match=r"did not answer CoreShowChannels within 0\.05 s"):
        await run.dialer.channels()
    await run.until(lambda: run.dialer.state.failed_actions == 101)

    assert run.dialer._session is not None
    assert run.dialer._session.protocol.responses == {}
    assert not run.dialer._session.protocol._orders


async def test_five_thousand_events_at_once_arrive_in_order(server: Server, start: Callable[..., Run]) -> None:
    run = start()
    await run.until_up()
    server.send(b"".join(block("Event: Hangup", f"Uniqueid: 1.{number}", "Cause: 16") for number in range(5000)))

    await run.until(lambda: len(run.events) == 5000)

    assert [event["Uniqueid"] for event in run.events] == [f"1.{number}" for number in range(5000)]
    assert run.dialer.state.dropped == 0


async def test_a_slow_handler_does_not_turn_events_around(server: Server, start: Callable[..., Run]) -> None:
    seen: list[str] = []

    def slow(event: Event) -> None:
        if event.name == "DialBegin":
            time.sleep(0.0005)
        seen.append(f"{event.name} {event['DestUniqueid'] or event['Uniqueid']}")

    run = start(on_event=slow)
    await run.until_up()
    pairs = [
        (block("Event: DialBegin", f"DestUniqueid: 1.{n}"), block("Event: Hangup", f"Uniqueid: 1.{n}"))
        for n in range(1000)
    ]
    server.send(b"".join(part for pair in pairs for part in pair))

    await run.until(lambda: len(seen) == 2000)

    assert seen == [line for n in range(1000) for line in (f"DialBegin 1.{n}", f"Hangup 1.{n}")]


async def test_while_events_wait_for_their_turn_not_all_that_the_dialer_said_is_taken(
    server: Server, start: Callable[..., Run]
) -> None:
    seen: list[str] = []
    took_all: list[bool] = []

    def on_event(event: Event) -> None:
        seen.append(event["Uniqueid"])
        if event["Uniqueid"] == "1.0":
            took_all.append(run.dialer.catch_up())

    run = start(on_event=on_event)
    await run.until_up()
    assert run.dialer.catch_up()
    server.send(b"".join(block("Event: Hangup", f"Uniqueid: 1.{number}") for number in range(5000)))

    await run.until(lambda: len(seen) == 5000)

    assert seen == [f"1.{number}" for number in range(5000)]
    assert took_all == [False]
    assert run.dialer.catch_up()


async def test_events_beyond_the_queue_are_dropped_and_counted(server: Server, start: Callable[..., Run]) -> None:
    run = start(queue_size=10)
    await run.until_up()
    before = run.dialer.state.events
    server.send(b"".join(block("Event: Hangup", f"Uniqueid: 1.{number}") for number in range(500)))

    await run.until(lambda: run.dialer.state.events == before + 500)
    await run.until(lambda: run.dialer.state.queue_length == 0)

    assert run.dialer.state.dropped == 500 - len(run.events)
    assert run.dialer.state.dropped > 0


async def test_a_handler_that_raises_does_not_stop_the_next(server: Server, start: Callable[..., Run]) -> None:
    seen: list[str] = []

    def handle(event: Event) -> None:
        seen.append(event["Uniqueid"])
        if event["Uniqueid"] == "1.0":
            raise RuntimeError("a mistake of ours")

    run = start(on_event=handle)
    await run.until_up()
    server.send(block("Event: Hangup", "Uniqueid: 1.0") + block("Event: Hangup", "Uniqueid: 1.1"))

    await run.until(lambda: seen == ["1.0", "1.1"])
    assert run.dialer.state.handler_errors == 1


async def test_what_arrived_before_the_end_is_handled_before_the_end(server: Server, start: Callable[..., Run]) -> None:
    run = start()
    await run.until_up()
    server.send(b"".join(block("Event: Hangup", f"Uniqueid: 1.{number}") for number in range(700)))
    await server.stop()

    await run.until(lambda: run.log[-1].startswith("down"))

    assert run.log[1:-1] == ["Hangup"] * 700
    await server.start()
    await run.until(lambda: run.log[-1] == "up")


async def test_a_shutdown_is_handed_on(server: Server, start: Callable[..., Run]) -> None:
    run = start()
    await run.until_up()
    server.send(block("Event: Shutdown", "Shutdown: Cleanly"))

    await run.until(lambda: run.log == ["up", "Shutdown"])


@pytest.mark.parametrize("poison", [f"{CHANNEL}\r\nAction: Originate", "a\nb", "a\0b"])
async def test_a_line_break_writes_nothing(server: Server, start: Callable[..., Run], poison: str) -> None:
    run = start()
    await run.until_up()
    await run.until(lambda: server.named("Setvar"))
    before = len(server.actions)

    with pytest.raises(ValueError):
        run.dialer.setvar(poison, "ROTATOR_CID", "3125551234")
    with pytest.raises(ValueError):
        run.dialer.set_caller_id_number(CHANNEL, poison)
    with pytest.raises(ValueError):
        await run.dialer.db_put("rotator", poison, "3125551234")
    run.dialer.setvar(CHANNEL, "ROTATOR_CID", "3125551234")
    await run.until(lambda: len(server.actions) > before)

    assert [action["Action"] for action in server.actions[before:]] == ["Setvar"]


async def test_the_channels_are_listed_whole(server: Server, start: Callable[..., Run]) -> None:
    server.channels = [
        [f"Channel: {CHANNEL}", "Uniqueid: 1.1", "ChanVariable: A=1", "ChanVariable: B=2"],
        ["Channel: x", "Uniqueid: 1.2"],
    ]
    run = start()
    await run.until_up()

    rows = await run.dialer.channels()

    assert [(row["Channel"], row["Uniqueid"]) for row in rows] == [(CHANNEL, "1.1"), ("x", "1.2")]
    assert rows[0].channel_variables == ("A=1", "B=2")
    assert run.events == []


async def test_a_list_of_channels_that_is_not_whole_is_an_error(server: Server, start: Callable[..., Run]) -> None:
    server.channels = [["Channel: x", "Uniqueid: 1.2"]]
    server.list_items = 2
    run = start()
    await run.until_up()

    with pytest.raises(DialerActionError, match="not whole: 1 came, 2 were announced"):
        await run.dialer.channels()


async def test_astdb_is_written_listed_and_cleaned(server: Server, start: Callable[..., Run]) -> None:
    run = start()
    await run.until_up()

    await run.dialer.db_put("rotator", "V1", "3125551234")
    assert await run.dialer.db_keys("rotator") == ["V1", "V2"]
    assert await run.dialer.db_del("rotator", "V1")
    assert not await run.dialer.db_del("rotator", "absent")
    assert await run.dialer.db_del_tree("rotator")

    assert run.dialer.state.failed_actions == 0


async def test_an_action_that_this_asterisk_lacks_is_no_failed_one(server: Server, start: Callable[..., Run]) -> None:
    server.unknown = ("DBGetTree",)
    run = start()
    await run.until_up()
    with pytest.raises(DialerActionError, match="unknown command: DBGetTree"):
        await run.dialer.db_keys("rotator")

    assert run.dialer.state.failed_actions == 0


async def test_an_account_with_too_few_rights_is_told_what_is_missing(
    server: Server, start: Callable[..., Run]
) -> None:
    server.commands = ("Ping", "ListCommands", "CoreSettings", "Setvar")
    server.sends_varset = False
    run = start(timeout_s=0.1)
    await run.until_up()
    await run.until(lambda: run.dialer.state.missing_permissions)

    missing = " | ".join(run.dialer.state.missing_permissions)

    assert len(run.dialer.state.missing_permissions) == 4
    assert "CoreShowChannels is not allowed" in missing
    assert "Add system to `write =` of [rotator] in manager.conf" in missing
    assert "Add dialplan to `read =` of [rotator]" in missing
    with pytest.raises(DialerActionError, match="Permission denied"):
        await run.dialer.db_del("rotator", "V1")


async def test_campaigns_without_any_call_tell_that_call_events_are_missing(
    server: Server, start: Callable[..., Run]
) -> None:
    run = start()
    await run.until_up()
    server.send(block("Event: VarSet", f"Channel: {CHANNEL}", "Variable: _CAMPCUST", "Value: SALES") * 20)

    await run.until(lambda: run.dialer.state.missing_permissions)

    assert "events of class call do not arrive" in run.dialer.state.missing_permissions[0]


async def test_observing_sets_nothing(server: Server, start: Callable[..., Run]) -> None:
    run = start(settings={"mode": "observe"})
    await run.until_up()
    assert await run.dialer.channels() == []

    assert server.named("Setvar") == []


async def test_without_a_connection_actions_fail_at_once(server: Server, start: Callable[..., Run]) -> None:
    await server.stop()
    run = start()
    await run.until(lambda: run.dialer.state.status == "down" and run.dialer.state.reconnects)

    assert "refused; is Asterisk running" in run.dialer.state.detail
    with pytest.raises(DialerUnavailableError, match="d1 is not connected"):
        await run.dialer.channels()
    run.dialer.setvar(CHANNEL, "ROTATOR_CID", "3125551234")
    assert run.dialer.state.failed_actions == 2


async def test_a_block_without_end_and_garbage_do_not_end_the_connection(
    server: Server, start: Callable[..., Run]
) -> None:
    run = start()
    await run.until_up()
    server.send(b"\xff" * 200_000 + b"\r\n\r\n" + block("no colon", "Response: Odd", "ActionID: none"))
    server.send(block("Event: Hangup", "Uniqueid: 1.1"))

    await run.until(lambda: run.events)

    assert run.dialer.state.oversized == 1
    assert run.log == ["up", "Hangup"]


async def test_a_response_that_says_things_twice_fails_its_action_only(
    server: Server, start: Callable[..., Run]
) -> None:
    run = start(timeout_s=0.2)
    await run.until_up()
    server.unanswered = {"DBPut"}
    waiting = asyncio.create_task(run.dialer.db_put("rotator", "V1", "3125551234"))
    await run.until(lambda: server.named("DBPut"))
    number = f"ActionID: {server.named('DBPut')[0]['ActionID']}"
    server.send(block("Response: Success", number, number, "Message: a"))

    with pytest.raises(DialerUnavailableError):
        await waiting
    assert run.dialer.state.status == "up"
    assert await run.dialer.channels() == []


async def test_starting_and_stopping_a_hundred_times_leaves_no_task(server: Server) -> None:
    before = asyncio.all_tasks()
    for _ in range(10):
        runs = [Run(server) for _ in range(10)]
        await asyncio.sleep(0)
        for run in runs[:5]:
            await run.until(lambda run=run: run.dialer.state.status == "up")  # type: ignore[misc]
        await asyncio.gather(*(run.stop() for run in runs))

    own = {task for task in asyncio.all_tasks() - before if "_serve" not in repr(task)}
    assert own == set()
