"""What waits on a connection can be looked at, and never what waits on another one."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

import pytest
import uvloop

from ami_rotator.unread import Unread


@pytest.mark.parametrize("loop_factory", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_of_a_connection_that_closes_nothing_is_read_nor_of_who_has_its_file_number_then(
    loop_factory: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def check() -> None:
        ours, peer = socket.socketpair()
        number = ours.fileno()
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
        unread = Unread(transport)
        nothing = (unread.is_there(), unread.take())
        peer.send(b"answer")
        found = (unread.is_there(), unread.take())
        peer.send(b"late")
        transport.abort()
        while_closing = (unread.is_there(), unread.take())
        async with asyncio.timeout(5):
            while ours.fileno() != -1:  # noqa: ASYNC110 - closed by the loop, which tells nobody
                await asyncio.sleep(0)

        with contextlib.ExitStack() as others:
            sockets: list[socket.socket] = []
            while number not in [other.fileno() for other in sockets]:
                for other in socket.socketpair():
                    sockets.append(others.enter_context(other))
                sockets[-1].send(b"of others")
                sockets[-2].send(b"of others")
            after = (unread.is_there(), unread.take())
        peer.close()

        assert nothing == (False, b"")
        assert found == (True, b"answer")
        assert while_closing == after == (False, b"")

    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(check())
