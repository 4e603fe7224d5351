"""What must hold of a pool in Redis at any moment: the rules 1 to 5 of DESIGN.md, read from the keys themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from redis.asyncio import Redis

from ami_rotator.domain.types import State

TEST_CLOCK = "local function now_ms() return tonumber(redis.call('GET', 'test-clock:' .. KEYS[1])) end"
"""A clock that a test moves, to be loaded in place of Redis' own."""

Hash = dict[str, str]
Members = dict[str, float]
_STATES = frozenset(state.value for state in State)


async def violations(redis: Redis, tag: str) -> list[str]:
    """Return every broken rule in plain words; an empty list is a sound pool."""
    hashes, sets = await _read(redis, tag)
    callers = {key.rsplit(":", 1)[-1]: value for key, value in hashes.items() if key.startswith("caller:")}
    reservations = {key.rsplit(":", 1)[-1]: value for key, value in hashes.items() if key.startswith("reservation:")}
    live = sets.get(f"expiries:{tag}", {})
    return [
        *_filed_once(callers, sets),
        *_held_as_counted(callers, reservations.values()),
        *_within_limits(callers),
        *_live_as_listed(reservations, live),
        *_warm_as_pooled(callers, {k: v for k, v in sets.items() if k.startswith("pool:")}, tag),
    ]


async def _read(redis: Redis, tag: str) -> tuple[dict[str, Hash], dict[str, Members]]:
    kinds = ("caller", "reservation", "pool", "expiries", *_STATES)
    names = [str(name) for name in await redis.keys(f"*:{tag}*")]
    keys = [name for name in names if name.split(":", 1)[0] in kinds]
    async with redis.pipeline(transaction=True) as pipe:
        for key in keys:
            if key.startswith(("caller:", "reservation:")):
                pipe.hgetall(key)
            else:
                pipe.zrange(key, 0, -1, withscores=True)
        values = await pipe.execute()
    hashes: dict[str, Hash] = {k: v for k, v in zip(keys, values, strict=True) if isinstance(v, dict) and v}
    sets: dict[str, Members] = {k: {m: float(s) for m, s in v} for k, v in zip(keys, values, strict=True) if isinstance(v, list)}
    return hashes, sets


def _filed_once(callers: dict[str, Hash], sets: dict[str, Members]) -> Iterable[str]:
    places: dict[str, list[tuple[str, str, str, float]]] = {cid: [] for cid in callers}
    for key, members in sets.items():
        kind, _, place = [*key.split(":", 2), ""][:3]
        if kind in _STATES:
            group, _, area = place.partition(":")
            for cid, score in members.items():
                places.setdefault(cid, []).append((kind, group, area, score))
    for cid, found in places.items():
        caller = callers.get(cid)
        if caller is None:
            yield f"{cid} stands in {found} but is not in the inventory"
            continue
        score = float(caller["sc"])
        right = {(caller["st"], caller["g"], "", score), (caller["st"], caller["g"], caller["a"], score)}
        if len(found) != 2 or set(found) != right:
            yield f"{cid} says {sorted(right)} but stands in {sorted(found)}"


def _held_as_counted(callers: dict[str, Hash], reservations: Iterable[Hash]) -> Iterable[str]:
    held = Counter(item["cid"] for item in reservations if item["held"] == "1")
    for cid, caller in callers.items():
        if held[cid] != int(caller["n"]):
            yield f"{cid} counts {caller['n']} live calls, but {held[cid]} reservations hold it"
        if held[cid] > int(caller["mc"]):
            yield f"{cid} is held by {held[cid]} calls, {caller['mc']} allowed"


def _within_limits(callers: dict[str, Hash]) -> Iterable[str]:
    for cid, caller in callers.items():
        if int(caller["hn"]) > int(caller["hl"]) or int(caller["dn"]) > int(caller["dl"]):
            yield f"{cid} is over its limits: {caller}"


def _live_as_listed(reservations: dict[str, Hash], live: Members) -> Iterable[str]:
    really = {identity for identity, item in reservations.items() if item["st"] == "live"}
    if really != set(live):
        yield f"live reservations {sorted(really)} but expiries has {sorted(live)}"


def _warm_as_pooled(callers: dict[str, Hash], pools: dict[str, Members], tag: str) -> Iterable[str]:
    pooled = [(cid, key.removeprefix(f"pool:{tag}:")) for key, members in pools.items() for cid in members]
    says = [(cid, caller["pl"]) for cid, caller in callers.items() if caller["pl"]]
    warm = [cid for cid, caller in callers.items() if caller["st"] == "warm"]
    if sorted(pooled) != sorted(says) or sorted(cid for cid, _ in pooled) != sorted(warm):
        yield f"pools hold {sorted(pooled)}, caller-IDs say {sorted(says)}, warm are {sorted(warm)}"
