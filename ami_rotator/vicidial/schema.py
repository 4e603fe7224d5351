"""Which tables and columns of VICIdial each part needs, and whether they are there.

Names as in VICIdial r3939, extras/MySQL_AST_CREATE_tables.sql (schema 1728). The same lists make the GRANTs: what is not
named here cannot be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from ami_rotator.vicidial.connection import VicidialConnection
from ami_rotator.vicidial.errors import VicidialSchemaError

Part = Literal["feed", "agents", "hopper", "import", "write_back", "push"]
Columns = Mapping[str, tuple[str, ...]]

READS: Mapping[Part, Columns] = MappingProxyType(
    {
        "feed": {
            "vicidial_auto_calls": (
                "auto_call_id",
                "server_ip",
                "campaign_id",
                "status",
                "lead_id",
                "callerid",
                "phone_code",
                "phone_number",
                "call_time",
            )
        },
        "agents": {"vicidial_user_dial_log": ("caller_code", "user")},
        "hopper": {
            "vicidial_hopper": ("hopper_id", "lead_id", "campaign_id", "status", "alt_dial", "priority"),
            "vicidial_list": ("lead_id", "phone_code", "phone_number", "alt_phone", "address3"),
        },
        "import": {
            "vicidial_cid_groups": ("cid_group_id", "cid_group_type"),
            "vicidial_campaign_cid_areacodes": ("campaign_id", "areacode", "outbound_cid", "active"),
            "vicidial_campaigns": (
                "campaign_id",
                "campaign_cid",
                "use_custom_cid",
                "cid_group_id",
                "cid_group_id_two",
                "dial_prefix",
                "manual_dial_prefix",
            ),
            "vicidial_lists": (
                "list_id",
                "campaign_id",
                "active",
                "campaign_cid_override",
                "cid_group_id",
                "dial_prefix",
            ),
        },
        "write_back": {"vicidial_dial_cid_log": ("caller_code", "outbound_cid")},
        "push": {
            "vicidial_cid_groups": ("cid_group_id", "cid_auto_rotate_minutes"),
            "vicidial_campaign_cid_areacodes": ("campaign_id", "areacode", "outbound_cid", "active"),
        },
    }
)
"""What each part reads."""

WRITES: Mapping[Part, Columns] = MappingProxyType(
    {
        "write_back": {"vicidial_dial_cid_log": ("outbound_cid",)},
        "push": {"vicidial_campaign_cid_areacodes": ("active",)},
    }
)
"""What each part writes. Parts that are not named write nothing."""

# A table that grows with the calls is read by key or not at all.
_KEYS: Mapping[Part, Mapping[str, str]] = MappingProxyType(
    {
        "agents": {"vicidial_user_dial_log": "caller_code"},
        "hopper": {"vicidial_list": "lead_id"},
        "write_back": {"vicidial_dial_cid_log": "caller_code"},
    }
)

_COLUMNS_SQL = """
SELECT LOWER(table_name), LOWER(column_name) FROM information_schema.columns
 WHERE table_schema = DATABASE() AND table_name IN ({})"""

_KEYS_SQL = """
SELECT LOWER(table_name), LOWER(column_name) FROM information_schema.statistics
 WHERE table_schema = DATABASE() AND seq_in_index = 1 AND table_name IN ({})"""


async def check_schema(connection: VicidialConnection, part: Part) -> None:
    """Make sure that what a part reads is there, may be read, and has its key.

    Raises:
        VicidialSchemaError: names each missing table, column and key.
        VicidialUnavailableError: the database did not answer.
    """
    missing = await missing_from(connection, part)
    if missing:
        raise VicidialSchemaError(
            f"VICIdial's database at {connection.address} lacks, or does not let this account see: {', '.join(missing)}. "
            "If it is VICIdial's, give the rights: ami-rotator vicidial grants; else check the database name and "
            "VICIdial's version (this was made for schema 1728)"
        )


async def missing_from(connection: VicidialConnection, part: Part) -> list[str]:
    """Return what a part needs and cannot see: `table`, `table.column`, `key on table.column`."""
    needed = READS[part]
    columns = await _pairs(connection, _COLUMNS_SQL, list(needed))
    tables = {table for table, _ in columns}
    missing = [table for table in needed if table not in tables]
    missing += [
        f"{table}.{column}"
        for table, names in needed.items()
        if table in tables
        for column in names
        if (table, column) not in columns
    ]
    keyed = _KEYS.get(part, {})
    if keyed and not missing:
        keys = await _pairs(connection, _KEYS_SQL, list(keyed))
        missing += [f"key on {table}.{column}" for table, column in keyed.items() if (table, column) not in keys]
    return missing


async def _pairs(connection: VicidialConnection, sql: str, tables: Sequence[str]) -> set[tuple[str, str]]:
    found = await connection.rows(sql.format(", ".join(["%s"] * len(tables))), tables)
    return {(str(table), str(column)) for table, column in found}
