"""A client that sends slowly is cut off, and nobody else waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator

import pytest

from ami_rotator.http import slow
from ami_rotator.stopping import serving
from tests.support.http_rig import TOKEN, Desk, Inventory, State, make_deps

ALLOWED = f"Authorization: Bearer {TOKEN}\r\nSec-Fetch-Site: same-origin\r\n"
_LIMIT_S = 0.5
# It is cut off long before this; a busy machine may take its time.
_WAIT_S = 20.0


@contextlib.asynccontextmanager
async def _served() -> AsyncIterator[int]:
    """Serve as the daemon does; yields the port."""
    listening = socket.create_server(("127.0.0.1", 0))
    async with serving(make_deps(Desk(), Inventory(), State(), {}), listening):
        yield listening.getsockname()[1]


async def _cut_off(port: int, head: bytes) -> bytes:
    """Send a byte every tenth of a second after this, until the server closes; return the first line of what it said."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def trickle() -> None:
        writer.write(head)
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.1)

    sending = asyncio.create_task(trickle())
    said = b""
    try:
        async with asyncio.timeout(_WAIT_S):
            said = await reader.readline()
            await reader.read()
    except ConnectionError:
        pass
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.close()
    return said


@pytest.mark.parametrize("head", [b"GET /next-cid?to=2125550", b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Slow: "])
async def test_a_head_that_does_not_come_to_its_end_is_cut_off_and_others_are_served_meanwhile(
    monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    monkeypatch.setattr(slow, "IDLE_S", _LIMIT_S)
    async with _served() as port:
        began = time.monotonic()
        slow_ones = [asyncio.create_task(_cut_off(port, head)) for _ in range(50)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /livez HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = await asyncio.wait_for(reader.read(), _WAIT_S)
        writer.close()
        said = await asyncio.gather(*slow_ones)

    assert answer.startswith(b"HTTP/1.1 200")
    assert set(said) == {b""}
    assert time.monotonic() - began >= _LIMIT_S


@pytest.mark.parametrize("path", ["/add-number", "/sign-in", "/api/v1/sign-in"])
async def test_a_body_that_does_not_come_to_its_end_is_408_and_cut_off(
    monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(slow, "BODY_S", _LIMIT_S)
    kind = "application/x-www-form-urlencoded" if path == "/sign-in" else "application/json"
    async with _served() as port:
        head = f"POST {path} HTTP/1.1\r\nHost: a\r\n{ALLOWED}Content-Type: {kind}\r\n"
        said = await _cut_off(port, f'{head}Content-Length: 9000\r\n\r\n{{"caller_id": "'.encode())

    assert said == b"HTTP/1.1 408 Request Timeout\r\n"


async def test_a_body_that_comes_late_but_in_time_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow, "BODY_S", 10.0)
    body = b'{"caller_id": "2125550100"}'
    async with _served() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = f"POST /add-number HTTP/1.1\r\nHost: a\r\n{ALLOWED}Content-Length: {len(body)}\r\n\r\n".encode()
        for piece in (head, body[:9], body[9:]):
            writer.write(piece)
            await asyncio.sleep(0.1)
        said = await asyncio.wait_for(reader.readline(), _WAIT_S)
        writer.close()

    assert said == b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "head",
    [b"GET /next-cid?to=%s HTTP/1.1\r\nHost: a\r\n\r\n", b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Long: %s\r\n\r\n"],
)
async def test_a_query_or_a_header_that_is_too_long_is_refused(head: bytes) -> None:
    async with _served() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head % (b"2" * 9000))
        said = await asyncio.wait_for(reader.readline(), _WAIT_S)
        writer.close()

    assert b" 400 " in said
