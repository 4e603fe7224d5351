"""Where VICIdial's database is: a MySQL URL, or its parts."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, cast
from urllib.parse import parse_qsl, unquote

from ami_rotator.errors import SettingsError

Tls = Literal["off", "on", "verify"]

_EXAMPLE = "mysql://rotator:password@10.0.0.5:3306/asterisk"
_PORT = 3306
_SCHEMES = frozenset({"mysql", "mariadb"})
_OPTIONS = ("socket", "tls", "tls_ca")
_HOST = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.%]+)\]|(?P<name>[^:\[\]]*))(?::(?P<port>\d+))?")


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """One MySQL or MariaDB database and the account for it.

    `socket` is a path that replaces host and port. `tls`: off, on (encrypted, any certificate), verify (`tls_ca` is a
    file, else the system's authorities).
    """

    host: str = "127.0.0.1"
    port: int = _PORT
    user: str = "rotator"
    password: str = field(default="", repr=False)
    name: str = "asterisk"
    socket: str = ""
    tls: Tls = "off"
    tls_ca: str = ""

    def __str__(self) -> str:
        """Name the database without its password."""
        return f"{self.user}@{self.socket or f'{self.host}:{self.port}'}/{self.name}"


def parse_database_url(url: str) -> DatabaseAddress:
    """Read `mysql://user:password@host:port/name?tls=verify&tls_ca=/path`; `mariadb://` is the same.

    User, password and name may be percent-encoded. A password with `@`, `/`, `?`, `#` or `:` is understood as it is: the
    last `@` ends it.

    Raises:
        SettingsError: says what is wrong; never with the password in it.
    """
    scheme, separator, rest = url.strip().partition("://")
    if not separator or scheme.lower() not in _SCHEMES:
        raise SettingsError(f"VICIDIAL_DATABASE_URL does not begin with mysql://; write for example {_EXAMPLE}")
    account, _, place = rest.rpartition("@")
    user, _, password = account.partition(":")
    place, _, query = place.partition("?")
    where, _, name = place.partition("/")
    match = _HOST.fullmatch(where)
    if match is None:
        raise SettingsError(
            f"VICIDIAL_DATABASE_URL has no readable host and port after the last @; write for example {_EXAMPLE}"
        )
    port = int(match["port"] or _PORT)
    if not 1 <= port <= 65535:
        raise SettingsError(f"VICIDIAL_DATABASE_URL has the port {port}; write one from 1 to 65535")
    if not user or not name:
        missing = "user" if not user else "database name"
        raise SettingsError(f"VICIDIAL_DATABASE_URL names no {missing}; write for example {_EXAMPLE}")
    options = _options(query)
    return DatabaseAddress(
        host=match["v6"] or unquote(match["name"]) or "127.0.0.1",
        port=port,
        user=unquote(user),
        password=unquote(password),
        name=unquote(name),
        socket=options.get("socket", ""),
        tls=cast(Tls, options.get("tls", "verify" if "tls_ca" in options else "off")),
        tls_ca=options.get("tls_ca", ""),
    )


def _options(query: str) -> dict[str, str]:
    options = dict(parse_qsl(query, keep_blank_values=True))
    for option in options:
        if option not in _OPTIONS:
            raise SettingsError(
                f"VICIDIAL_DATABASE_URL has the option {option!r}, which is not known; known are {', '.join(_OPTIONS)}"
            )
    if options.get("tls", "off") not in ("off", "on", "verify"):
        raise SettingsError(
            "VICIDIAL_DATABASE_URL has another tls than off, on or verify; write for example ?tls=verify"
        )
    return options
