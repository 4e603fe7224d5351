"""What has come on a connection and is not read yet, for who must know of it in the middle of a turn of the loop."""

from __future__ import annotations

import asyncio
import os
import select

_MOST_BYTES = 64 * 1024


class Unread:
    """The bytes that wait on a transport's socket.

    A loop that has much to do takes its sockets one after the other. What ends a connection is left to the transport, and
    so is what TLS must decrypt.
    """

    def __init__(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._socket = transport.get_extra_info("socket")
        self._is_plain = transport.get_extra_info("sslcontext") is None
        self._poll = select.poll()  # a third of what it takes to read where nothing is
        if self._socket is not None and not transport.is_closing():
            self._poll.register(self._socket.fileno(), select.POLLIN)

    def is_there(self) -> bool:
        """Tell whether there is something, be it the end of the connection."""
        # Of one that is closing the file's number may be another's already.
        return not self._transport.is_closing() and bool(self._poll.poll(0))

    def take(self) -> bytes:
        """Return the next bytes, which the transport will not see; empty where there are none, or not for us to read."""
        if not self._is_plain or not self.is_there():
            return b""
        try:
            return os.read(self._socket.fileno(), _MOST_BYTES)
        except OSError:
            return b""
