"""What has come on an AMI connection can be taken in the middle of a turn of the loop, in its order."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path

import pytest
import uvloop

from ami_rotator.ami.dialer import AmiDialer
from ami_rotator.ami.events import Event
from ami_rotator.ami.protocol import AmiProtocol
from ami_rotator.clock import SystemClock
from ami_rotator.settings import DialerSettings
from tests.support.certificates import new_authority
from tests.support.dialer_rig import until

BANNER = b"Asterisk Call Manager/5.0.4\r\n"
UNWANTED = b"Event: Newstate\r\nChannel: PJSIP/x\r\n\r\n"


def hangup(number: int) -> bytes:
    return f"Event: Hangup\r\nUniqueid: {number}\r\n\r\n".encode()


@contextlib.asynccontextmanager
async def connected(on_event: Callable[[Event], None]) -> AsyncIterator[tuple[AmiProtocol, socket.socket]]:
    """Connect a protocol to a socket that plays Asterisk."""
    ours, asterisk = socket.socketpair()
    with asterisk:
        loop = asyncio.get_running_loop()
        _, protocol = await loop.create_connection(lambda: AmiProtocol(on_event, 1.0), sock=ours)
        asterisk.sendall(BANNER)
        await protocol.banner
        yield protocol, asterisk
        protocol.shut("the end")
        await asyncio.sleep(0)


@pytest.fixture(params=[uvloop.new_event_loop, asyncio.new_event_loop])
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[object, object, None]], None]:
    """Run on the loop of the daemon, and on asyncio's own."""

    def run_on_loop(work: Coroutine[object, object, None]) -> None:
        with asyncio.Runner(loop_factory=request.param) as runner:
            runner.run(work)

    return run_on_loop


def test_what_has_come_is_handed_over_in_the_same_turn(run: Callable[[Coroutine[object, object, None]], None]) -> None:
    async def check() -> None:
        events: list[str] = []
        async with connected(lambda event: events.append(event["Uniqueid"])) as (protocol, asterisk):
            assert protocol.catch_up()
            asterisk.sendall(hangup(1) + UNWANTED + hangup(2)[:20])

            assert protocol.catch_up()
            assert events == ["1"]

            asterisk.sendall(hangup(2)[20:] + hangup(3))
            assert protocol.catch_up()
            assert protocol.catch_up()
            asterisk.sendall(hangup(4))
            await until(lambda: len(events) == 4)
            assert events == ["1", "2", "3", "4"]

    run(check())


@pytest.mark.parametrize("answered", [False, True])
def test_who_catches_up_within_an_event_gets_those_behind_it_in_their_order(
    run: Callable[[Coroutine[object, object, None]], None], answered: bool
) -> None:
    async def check() -> None:
        events: list[str] = []
        seen_at_the_first: list[str] = []

        def on_event(event: Event) -> None:
            events.append(event["Uniqueid"])
            if event["Uniqueid"] == "1":
                asterisk.sendall(hangup(4))
                assert protocol.catch_up()
                seen_at_the_first.extend(events)

        async with connected(on_event) as (protocol, asterisk):
            answer = b""
            if answered:
                pong = protocol.request({"Action": "Ping"}, 1.0)
                sent = asterisk.recv(1000).decode()
                number = sent.partition("ActionID: ")[2].partition("\r\n")[0]
                answer = f"Response: Success\r\nActionID: {number}\r\nPing: Pong\r\n\r\n".encode()
            asterisk.sendall(hangup(1) + hangup(2) + answer + hangup(3))
            await until(lambda: len(events) == 4)
            assert seen_at_the_first == ["1", "2", "3", "4"]
            assert events == seen_at_the_first
            if answered:
                assert (await pong).success

    run(check())


def test_what_had_no_room_is_taken_too(run: Callable[[Coroutine[object, object, None]], None]) -> None:
    async def check() -> None:
        events: list[str] = []

        def on_event(event: Event) -> None:
            events.append(event["Uniqueid"])
            if event["Uniqueid"] == "1":
                asterisk.sendall(hangup(2))  # comes while what was read is handed over

        async with connected(on_event) as (protocol, asterisk):
            asterisk.sendall(hangup(1))
            assert protocol.catch_up()
            assert events == ["1", "2"]

    run(check())


def test_a_flood_and_the_end_are_left_to_the_loop(run: Callable[[Coroutine[object, object, None]], None]) -> None:
    async def check() -> None:
        events: list[str] = []

        def on_event(event: Event) -> None:
            events.append(event["Uniqueid"])
            if len(events) < 10:
                asterisk.sendall(hangup(len(events) + 1))

        async with connected(on_event) as (protocol, asterisk):
            asterisk.sendall(hangup(1))
            assert not protocol.catch_up()
            assert len(events) == 4
            await until(lambda: len(events) == 10)
            assert events == [str(number) for number in range(1, 11)]
            assert protocol.catch_up()

            asterisk.shutdown(socket.SHUT_WR)
            assert not protocol.catch_up()
            assert not protocol.lost.done()
            async with asyncio.timeout(5):
                assert await protocol.lost == "Asterisk closed the connection"
            assert protocol.catch_up()

    run(check())


async def test_a_dialer_without_a_connection_has_said_all() -> None:
    dialer = AmiDialer(
        DialerSettings.model_validate({"name": "d1", "secret": "secret"}),
        ping_interval_s=1.0,
        timeout_s=1.0,
        clock=SystemClock(),
        on_event=lambda _: None,
        on_up=lambda: None,
        on_down=lambda _: None,
    )

    assert dialer.catch_up()


def test_what_is_encrypted_is_left_to_the_loop(
    run: Callable[[Coroutine[object, object, None]], None], tmp_path: Path
) -> None:
    authority = new_authority(tmp_path, "authority")
    authority.sign("DNS:localhost", tmp_path / "dialer.pem", tmp_path / "dialer.key")
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.load_cert_chain(tmp_path / "dialer.pem", tmp_path / "dialer.key")

    async def check() -> None:
        events: list[str] = []
        loop = asyncio.get_running_loop()
        ours, peer = socket.socketpair()
        greeted = loop.run_in_executor(None, lambda: theirs.wrap_socket(peer, server_side=True))
        _, protocol = await loop.create_connection(
            lambda: AmiProtocol(lambda event: events.append(event["Uniqueid"]), 1.0),
            sock=ours,
            ssl=ssl.create_default_context(cafile=str(authority.certificate)),
            server_hostname="localhost",
        )
        with await greeted as asterisk:
            asterisk.sendall(BANNER)
            await protocol.banner
            assert protocol.catch_up()

            asterisk.sendall(hangup(1))
            assert not protocol.catch_up()
            assert events == []

            await until(lambda: events == ["1"])
            assert protocol.catch_up()
            protocol.shut("the end")
            await asyncio.sleep(0)

    run(check())
