"""The administrators' desk, for pages: they are only there where it is."""

from __future__ import annotations

from aiohttp import web

from ami_rotator.admin.desk import AdminDesk
from ami_rotator.errors import LedgerUnavailableError
from ami_rotator.http.deps import DEPS


def desk_of(request: web.Request) -> AdminDesk:
    """Return the desk.

    Raises:
        LedgerUnavailableError: this server was started without one.
    """
    desk = request.app[DEPS].desk
    if desk is None:
        raise LedgerUnavailableError("This server was started without its stores. Start it with a database.")
    return desk
