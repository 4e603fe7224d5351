"""Speak enough AMI to place calls and to look at events; nothing of the product is used here."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from types import TracebackType

Message = dict[str, str]


class AmiRefused(Exception):
    """Asterisk refused the login."""


class AmiSession:
    """Hold one AMI connection; enter it with ``async with`` to log in, leave it to log off.

    One task at a time may wait in action() or events().
    """

    def __init__(self, port: int, username: str, secret: str, *, login_timeout_s: float = 10.0) -> None:
        self._port = port
        self._username = username
        self._secret = secret
        self._login_timeout_s = login_timeout_s
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def __aenter__(self) -> AmiSession:
        async with asyncio.timeout(self._login_timeout_s):
            self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**20)
            await self._reader.readline()  # the banner
            try:
                headers = [("Action", "Login"), ("Username", self._username), ("Secret", self._secret)]
                response = await self.action(headers)
                if response.get("Response") != "Success":
                    raise AmiRefused(response.get("Message", "no reason given"))
            except BaseException:
                self._writer.close()
                raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        writer = self._connected()[1]
        with contextlib.suppress(OSError, TimeoutError):
            writer.write(b"Action: Logoff\r\n\r\n")
            writer.close()
            async with asyncio.timeout(2):
                await writer.wait_closed()

    async def action(self, headers: Iterable[tuple[str, str]]) -> Message:
        """Send one action, without ActionID as VICIdial does, and return its response; events before it are dropped."""
        _, writer = self._connected()
        writer.write("".join(f"{name}: {value}\r\n" for name, value in headers).encode() + b"\r\n")
        await writer.drain()
        async for message in self._messages():
            if "Response" in message:
                return message
        raise ConnectionError("Asterisk closed the AMI session without a response")

    async def events(self) -> AsyncIterator[Message]:
        """Yield events as they arrive, until Asterisk closes the session."""
        async for message in self._messages():
            if "Event" in message:
                yield message

    def send(self, headers: Iterable[tuple[str, str]]) -> None:
        """Send one action and leave its response for events() to pass over."""
        writer = self._connected()[1]
        writer.write("".join(f"{name}: {value}\r\n" for name, value in headers).encode() + b"\r\n")

    async def _messages(self) -> AsyncIterator[Message]:
        reader, _ = self._connected()
        message: Message = {}
        while line := await reader.readline():
            text = line.decode(errors="replace").rstrip("\r\n")
            if text:
                name, _, value = text.partition(":")
                message[name] = value.removeprefix(" ")
            elif message:
                yield message
                message = {}

    def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is None or self._writer is None:
            raise RuntimeError("the AMI session is not entered")
        return self._reader, self._writer
