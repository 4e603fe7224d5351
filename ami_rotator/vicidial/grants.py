"""The rights that the account needs in VICIdial's database, column by column, and whether it has them: no fewer, no more."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ami_rotator.vicidial.connection import VicidialConnection
from ami_rotator.vicidial.errors import VicidialRefusedError
from ami_rotator.vicidial.schema import READS, WRITES, Columns, Part, missing_from

_GRANT = re.compile(r"GRANT (?P<what>.+?) ON (?P<where>\S+) TO ", re.IGNORECASE)
_ONE = re.compile(r"(?P<privilege>[A-Z][A-Z ]*[A-Z])(?: \((?P<columns>[^)]*)\))?")
_CONNECTIONS_MOST = 20

READING_PARTS: tuple[Part, ...] = ("feed", "agents", "hopper", "import")
"""What is read where neither write-back nor push is on."""

_MEANS: Mapping[Part, str] = {
    "feed": "calls are not known before Asterisk has them",
    "agents": "the agent of a manual call is not known",
    "hopper": "warm numbers follow past demand only",
    "import": "settings cannot be imported",
    "write_back": "VICIdial's reports keep the number it chose itself",
    "push": "VICIdial's CID groups are not switched",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with the account's rights, what follows from it, and the statement or step that mends it."""

    level: Literal["problem", "advice"]
    what: str
    fix: str


def grants_sql(
    database: str, user: str, host: str, password: str = "<password>", parts: Collection[Part] = READING_PARTS
) -> list[str]:
    """Return the statements that make the account, for a database administrator to run. `host` is where we connect from."""
    account = f"{_text(user)}@{_text(host)}"
    return [
        f"CREATE USER IF NOT EXISTS {account} IDENTIFIED BY {_text(password)} "
        f"WITH MAX_USER_CONNECTIONS {_CONNECTIONS_MOST};",
        *_grants("SELECT", _together(READS, parts), database, account),
        *_grants("UPDATE", _together(WRITES, parts), database, account),
    ]


async def check_grants(connection: VicidialConnection, parts: Collection[Part]) -> list[Finding]:
    """Compare the rights of the connected account with those that the parts need; nothing found is an empty list.

    Raises:
        VicidialError: the database is away or does not let the account in.
    """
    await connection.open()
    rows = await connection.rows("SHOW GRANTS")
    held = [right for row in rows for right in read_grant(str(row[0]))]
    address = connection.address
    account = str((await connection.rows("SELECT CURRENT_USER()"))[0][0])
    user, _, host = account.rpartition("@")
    quoted = f"{_text(user)}@{_text(host)}"
    findings = []
    for part in parts:
        missing = await missing_from(connection, part) or await _unreadable(connection, READS[part])
        if missing:
            fix = " ".join(_grants("SELECT", READS[part], address.name, quoted))
            findings.append(Finding("problem", f"cannot read {', '.join(missing)}: {_MEANS[part]}", fix))
        for table, columns in WRITES.get(part, {}).items():
            if not all(_may_update(held, address.name, table, column) for column in columns):
                fix = " ".join(_grants("UPDATE", {table: columns}, address.name, quoted))
                findings.append(Finding("problem", f"cannot change {table}.{', '.join(columns)}: {_MEANS[part]}", fix))
    allowed = _together(WRITES, parts)
    findings += [_too_much(right, quoted) for right in held if not _is_needed(right, address.name, allowed)]
    return findings


async def _unreadable(connection: VicidialConnection, columns: Columns) -> list[str]:
    """Return the tables that cannot be read: a column is visible with any right on it, to write for example."""
    found = []
    for table, names in columns.items():
        try:
            await connection.rows(f"SELECT {', '.join(names)} FROM {table} LIMIT 0")
        except VicidialRefusedError:
            found.append(table)
    return found


@dataclass(frozen=True, slots=True)
class Right:
    """One right as SHOW GRANTS tells it. `database` and `table` are `*` for all; no columns means all."""

    privilege: str
    database: str
    table: str
    columns: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Write it as in a GRANT."""
        columns = f" ({', '.join(self.columns)})" if self.columns else ""
        return f"{self.privilege}{columns} ON {_place(self.database, self.table)}"


def read_grant(line: str) -> list[Right]:
    """Read one line of SHOW GRANTS; a role or a proxy is none."""
    match = _GRANT.match(line)
    if match is None:
        return []
    database, _, table = match["where"].rpartition(".")
    names = [name.strip("`").replace("\\_", "_").replace("``", "`") for name in (database, table)]
    return [
        Right(one["privilege"].upper(), names[0], names[1], _names(one["columns"]))
        for one in _ONE.finditer(match["what"])
    ]


def _names(columns: str | None) -> tuple[str, ...]:
    return tuple(name.strip().strip("`") for name in columns.split(",")) if columns else ()


def _may_update(held: Sequence[Right], database: str, table: str, column: str) -> bool:
    return any(
        right.privilege in ("UPDATE", "ALL PRIVILEGES")
        and right.database in ("*", database)
        and right.table in ("*", table)
        and (not right.columns or column in right.columns)
        for right in held
    )


def _is_needed(right: Right, database: str, allowed: Columns) -> bool:
    """Tell whether a right is harmless (to read this database) or one that was asked for."""
    if right.privilege == "USAGE" or (right.privilege == "SELECT" and right.database == database):
        return True
    columns = set(allowed.get(right.table, ()))
    return (
        right.privilege == "UPDATE"
        and right.database == database
        and bool(right.columns)
        and columns >= {*right.columns}
    )


def _too_much(right: Right, account: str) -> Finding:
    return Finding(
        "advice",
        f"the account may do more than it needs: {right}",
        f"REVOKE {right} FROM {account};",
    )


def _together(lists: Mapping[Part, Columns], parts: Collection[Part]) -> dict[str, tuple[str, ...]]:
    """Join the columns of parts, each named once."""
    found: dict[str, dict[str, None]] = {}
    for part in parts:
        for table, columns in lists.get(part, {}).items():
            found.setdefault(table, {}).update(dict.fromkeys(columns))
    return {table: tuple(columns) for table, columns in found.items()}


def _grants(privilege: str, columns: Columns, database: str, account: str) -> list[str]:
    return [
        f"GRANT {privilege} ({', '.join(names)}) ON {_place(database, table)} TO {account};"
        for table, names in columns.items()
    ]


def _place(database: str, table: str) -> str:
    return ".".join("*" if name == "*" else "`" + name.replace("`", "``") + "`" for name in (database, table))


def _text(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"
