"""Two ways to switch an entry of a CID group: VICIdial's Non-Agent API, and its database."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Protocol

import aiohttp

from ami_rotator.vicidial.connection import VicidialConnection
from ami_rotator.vicidial.errors import VicidialError, VicidialRefusedError, VicidialUnavailableError
from ami_rotator.vicidial.schema import check_schema
from ami_rotator.vicidial.settings_read import CidEntry

# A group that VICIdial rotates by itself (each minute, exactly one active) is not ours to switch.
_ENTRIES_SQL = """
SELECT e.campaign_id, e.areacode, e.outbound_cid, e.active
  FROM vicidial_campaign_cid_areacodes e LEFT JOIN vicidial_cid_groups g ON g.cid_group_id = e.campaign_id
 WHERE COALESCE(g.cid_auto_rotate_minutes, 0) = 0 ORDER BY e.campaign_id, e.areacode, e.outbound_cid"""
_SET_SQL = """
UPDATE vicidial_campaign_cid_areacodes SET active = %s WHERE campaign_id = %s AND areacode = %s AND outbound_cid = %s"""

_FUNCTION = "update_cid_group_entry"
_ALL = "---ALL---"
_NO_ENTRIES = "THIS CID GROUP HAS NO ENTRIES"
_GROUP = re.compile(r"[-_0-9A-Za-z]{2,20}")
_AREACODE = re.compile(r"[0-9A-Za-z]{1,9}")
_NUMBER = re.compile(r"[0-9]{4,20}")
_INFO = re.compile(r"\d+\|([^|]*)\|([^|]*)\|([YN]?)\|")


class PushTransport(Protocol):
    """Reads and switches entries."""

    async def entries(self) -> list[CidEntry]:
        """Return all entries that may be switched."""

    async def set_active(self, entry: CidEntry, active: bool) -> None:
        """Switch one entry."""


class SqlTransport:
    """Switches in the database: needs UPDATE on the column `active`."""

    def __init__(self, connection: VicidialConnection) -> None:
        self._connection = connection

    async def entries(self) -> list[CidEntry]:
        """Return all entries but those of groups that VICIdial rotates by itself.

        Raises:
            VicidialError: the database is away, refuses, or has another schema.
        """
        if not self._connection.is_open:
            await self._connection.open()
            await check_schema(self._connection, "push")
        rows = await self._connection.rows(_ENTRIES_SQL)
        return [CidEntry(owner, areacode, number or "", active == "Y") for owner, areacode, number, active in rows]

    async def set_active(self, entry: CidEntry, active: bool) -> None:
        """Switch one entry. Raises as `entries`."""
        await self._connection.change(_SET_SQL, ("Y" if active else "N", entry.owner, entry.areacode, entry.number))


class ApiTransport:
    """Switches by `non_agent_api.php`: needs an API user of level 8 with "Modify Campaigns". Nothing of the database.

    docs/NON-AGENT_API.txt:2828 (r3939). `groups` are the CID groups and campaigns to keep; leave out those that VICIdial
    rotates by itself, which the API does not tell.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        user: str,
        password: str,
        groups: Collection[str],
        limit_s: float = 5,
    ) -> None:
        self._session = session
        self._url = url
        self._account = {"source": "ami_rotator", "user": user, "pass": password, "function": _FUNCTION}
        self._groups = tuple(groups)
        self._limit = aiohttp.ClientTimeout(total=limit_s)

    async def entries(self) -> list[CidEntry]:
        """Return all entries of the groups.

        Raises:
            VicidialUnavailableError: no answer in time.
            VicidialRefusedError: the API said no, and what.
        """
        found: list[CidEntry] = []
        for group in self._groups:
            try:
                found += read_entries(group, await self._ask(stage="INFO", cid_group_id=group, areacode=_ALL))
            except VicidialRefusedError as error:
                if _NO_ENTRIES not in str(error):
                    raise
        return found

    async def set_active(self, entry: CidEntry, active: bool) -> None:
        """Switch one entry. Raises as `entries`.

        The API drops characters it does not like, and takes an empty number for all of them: an entry that would not
        arrive as it is, is refused here.
        """
        fits = _GROUP.fullmatch(entry.owner) and _AREACODE.fullmatch(entry.areacode) and _NUMBER.fullmatch(entry.number)
        if not fits:
            raise VicidialRefusedError(
                f"VICIdial's API cannot name the entry {entry.owner}/{entry.areacode}/{entry.number}; use the database for "
                "it, or write it in VICIdial with digits only"
            )
        await self._ask(
            stage="UPDATE",
            cid_group_id=entry.owner,
            areacode=entry.areacode,
            outbound_cid=entry.number,
            active="Y" if active else "N",
        )

    async def _ask(self, **fields: str) -> str:
        try:
            # By POST, so that the password does not stand in the web server's log.
            async with self._session.post(self._url, data={**self._account, **fields}, timeout=self._limit) as reply:
                text = await reply.text(errors="replace")
        except (TimeoutError, aiohttp.ClientError) as error:
            raise VicidialUnavailableError(
                f"VICIdial's API at {self._url} did not answer ({type(error).__name__}: {error})"
            ) from error
        if reply.status != 200:
            raise VicidialUnavailableError(f"VICIdial's API at {self._url} answered with status {reply.status}")
        refusal = refusal_of(text)
        if refusal:
            raise VicidialRefusedError(f"VICIdial's API refused: {refusal}")
        return text


def refusal_of(text: str) -> str:
    """Return why an answer is no success; empty where it is one."""
    said = [line.strip() for line in text.splitlines() if line.strip().startswith(("SUCCESS:", "ERROR:"))]
    if not said:
        return f"the answer is none of its own: {text.strip()[:100]!r}; is the URL that of non_agent_api.php?"
    if said[0].startswith("SUCCESS:"):
        return ""
    # After the colon or dash come the account's name and what was sent.
    return said[0].removeprefix("ERROR:").split(": |")[0].split(" - ")[0].strip()


def read_entries(group: str, text: str) -> list[CidEntry]:
    """Read the lines of an INFO answer: number, area code, caller-ID, active, description, count."""
    matches: Sequence[re.Match[str] | None] = [_INFO.match(line.strip()) for line in text.splitlines()]
    return [CidEntry(group, match[1], match[2], match[3] == "Y") for match in matches if match]


async def set_all(transport: PushTransport, entries: Collection[CidEntry], active: bool) -> tuple[int, list[str]]:
    """Switch entries one by one; return how many were, and why others were not.

    Where nobody answers it stops: what is left comes in the next round.
    """
    done, refused = 0, []
    for entry in entries:
        try:
            await transport.set_active(entry, active)
            done += 1
        except VicidialError as error:
            refused.append(str(error))
            if isinstance(error, VicidialUnavailableError):
                break
    return done, refused
