"""VICIdial's caller-ID settings as they stand in its database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ami_rotator.vicidial.connection import VicidialConnection
from ami_rotator.vicidial.schema import check_schema

_GROUPS_SQL = "SELECT cid_group_id, cid_group_type FROM vicidial_cid_groups ORDER BY cid_group_id"
_ENTRIES_SQL = """
SELECT campaign_id, areacode, outbound_cid, active FROM vicidial_campaign_cid_areacodes
 ORDER BY campaign_id, areacode, outbound_cid"""
_CAMPAIGNS_SQL = """
SELECT campaign_id, campaign_cid, use_custom_cid, cid_group_id, cid_group_id_two, dial_prefix, manual_dial_prefix
  FROM vicidial_campaigns ORDER BY campaign_id"""
_LISTS_SQL = """
SELECT list_id, campaign_id, campaign_cid_override, cid_group_id, dial_prefix FROM vicidial_lists
 WHERE active = 'Y' ORDER BY list_id"""


@dataclass(frozen=True, slots=True)
class CidGroup:
    """A CID group. `type` is AREACODE, STATE or NONE."""

    id: str
    type: str


@dataclass(frozen=True, slots=True)
class CidEntry:
    """One number of a CID group, or of a campaign's AC-CIDs: `owner` is the group's or the campaign's id."""

    owner: str
    areacode: str
    number: str
    active: bool


@dataclass(frozen=True, slots=True)
class VicidialCampaign:
    """The caller-ID settings of a campaign."""

    id: str
    cid: str
    custom_cid: str
    group: str
    group_two: str
    dial_prefix: str
    manual_prefix: str


@dataclass(frozen=True, slots=True)
class VicidialList:
    """The caller-ID settings of an active list: each one, where set, goes before the campaign's."""

    id: str
    campaign: str
    cid: str
    group: str
    dial_prefix: str


@dataclass(frozen=True, slots=True)
class VicidialSettings:
    """All of them."""

    groups: tuple[CidGroup, ...] = ()
    entries: tuple[CidEntry, ...] = ()
    campaigns: tuple[VicidialCampaign, ...] = ()
    lists: tuple[VicidialList, ...] = ()


async def read_settings(connection: VicidialConnection) -> VicidialSettings:
    """Read them with four queries; the tables are small and written by people.

    Raises:
        VicidialError: the database is away, refuses, or has another schema.
    """
    await connection.open()
    await check_schema(connection, "import")
    return VicidialSettings(
        groups=tuple(CidGroup(*_texts(row)) for row in await connection.rows(_GROUPS_SQL)),
        entries=tuple(
            CidEntry(owner, areacode, number, active == "Y")
            for owner, areacode, number, active in map(_texts, await connection.rows(_ENTRIES_SQL))
        ),
        campaigns=tuple(VicidialCampaign(*_texts(row)) for row in await connection.rows(_CAMPAIGNS_SQL)),
        lists=tuple(VicidialList(*_texts(row)) for row in await connection.rows(_LISTS_SQL)),
    )


def _texts(row: Sequence[Any]) -> list[str]:
    return ["" if value is None else str(value).strip() for value in row]
