"""A caller-ID in the words that the script `put` reads."""

from __future__ import annotations

from ami_rotator.domain.caller_id import CallerId


def words_of(item: CallerId) -> tuple[str | int, ...]:
    """Return the fourteen words of a caller-ID."""
    return (
        item.number,
        leaf_of(item),
        item.group,
        item.minute_limit,
        item.hourly_limit,
        item.daily_limit,
        item.soft_daily_limit,
        item.cooldown_s,
        item.max_concurrent,
        "" if item.switch == "active" else item.switch,
        item.resting_until_ms,
        item.timezone,
        item.carrier,
        "" if item.meta_json == "{}" else item.meta_json,
    )


def leaf_of(item: CallerId) -> str:
    """Return what is looked for together with this caller-ID: `area|place|place#attestation` (lua/include/filing.lua)."""
    leaf = "|".join((item.area, *item.places))
    return f"{leaf}#{item.attestation}" if item.attestation else leaf
