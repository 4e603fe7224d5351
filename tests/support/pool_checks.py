"""What must hold of a pool in Redis at any moment: the rules 1 to 5 of DESIGN.md, read from the keys themselves."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import orjson
from redis.asyncio import Redis

from ami_rotator.domain.types import State

TEST_CLOCK = "local function now_ms(tag) return tonumber(redis.call('GET', 'test-clock:' .. tag)) end"
"""A clock that a test moves, to be loaded in place of Redis' own."""

Record = dict[str, Any]
Members = dict[str, float]
_STATES = frozenset(state.value for state in State)
_BY_PLACE = frozenset({"idle", "warm", "waiting", "resting"})

# The order of the parts in the packed records (lua/include/filing.lua, reservations.lua).
_NUMBER = re.findall(r"\w+", "st sc g leaf lu n mc ml hl dl sl mw mn hw hn dw dn cd cu off ru pl z gen ca me")
_RESERVATION = re.findall(
    r"\w+",
    "cid at held names mw hw dw tk rung g a wm pres dialer code uniqueid why bond seen campaign destination source",
)
# Numbers travel as texts with all their digits: JSON of Lua has 14 of the 17.
_UNPACK = """
local found = {}
for i, name in ipairs(KEYS) do
  local text = redis.call('GET', name)
  local parts = text and cmsgpack.unpack(text)
  for at, part in ipairs(parts or {}) do
    if type(part) == 'number' then parts[at] = {string.format('%.17g', part)} end
  end
  found[i] = parts and cjson.encode(parts) or ''
end
return found
"""


async def violations(redis: Redis, tag: str) -> list[str]:
    """Return every broken rule in plain words; an empty list is a sound pool."""
    sets = await _sets(redis, tag)
    numbers = await records(redis, tag, "number", _NUMBER)
    reservations = await records(redis, tag, "reservation", _RESERVATION)
    live = set(sets.get(f"expiries:{tag}", {}))
    pools = {key.removeprefix(f"pool:{tag}:") for key, members in sets.items() if key.startswith("pool:") and members}
    listed = set(await redis.smembers(f"pools:{tag}"))
    return [
        *_filed_once(numbers, sets),
        *_found_by_place(numbers, sets, tag),
        *_held_as_counted(numbers, [item for name, item in reservations.items() if name in live]),
        *_within_limits(numbers),
        *(f"{name} is listed as live, but is no reservation" for name in sorted(live - set(reservations))),
        *(f"the warm pool {name} has caller-IDs and is not listed" for name in sorted(pools - listed)),
        *_warm_as_pooled(numbers, {k: v for k, v in sets.items() if k.startswith("pool:")}, tag),
    ]


async def numbers_of(redis: Redis, tag: str) -> dict[str, Record]:
    """Return the records of all caller-IDs."""
    return await records(redis, tag, "number", _NUMBER)


async def records(redis: Redis, tag: str, kind: str, parts: list[str]) -> dict[str, Record]:
    """Return all records of a kind, unpacked, by number or id."""
    names = sorted(str(name) for name in await redis.keys(f"{kind}:{tag}:*"))
    texts = await redis.eval(_UNPACK, len(names), *names) if names else []
    return {
        name.removeprefix(f"{kind}:{tag}:"): dict(zip(parts, map(_number_of, orjson.loads(text)), strict=True))
        for name, text in zip(names, texts, strict=True)
        if text
    }


def _number_of(part: Any) -> Any:
    if not isinstance(part, list):
        return part
    value = float(part[0])
    return int(value) if value.is_integer() else value


async def _sets(redis: Redis, tag: str) -> dict[str, Members]:
    kinds = {"pool", "expiries", *_STATES, *(f"{state}-at" for state in _BY_PLACE)}
    keys = [name for name in map(str, await redis.keys(f"*:{tag}*")) if name.split(":", 1)[0] in kinds]
    async with redis.pipeline(transaction=True) as pipe:
        for key in keys:
            pipe.zrange(key, 0, -1, withscores=True)
        values = await pipe.execute()
    return {key: dict(value) for key, value in zip(keys, values, strict=True)}


def places_of(leaf: str) -> list[str]:
    """Return the places of a leaf, the whole group first."""
    return ["", *(part for part in leaf.partition("#")[0].split("|") if part)]


def _filed_once(numbers: Mapping[str, Record], sets: Mapping[str, Members]) -> Iterable[str]:
    stands: dict[str, list[tuple[str, str, float]]] = {cid: [] for cid in numbers}
    for key, members in sets.items():
        kind, _, at = [*key.split(":", 2), ""][:3]
        if kind in _STATES:
            for cid, score in members.items():
                stands.setdefault(cid, []).append((kind, at, score))
    for cid, found in stands.items():
        number = numbers.get(cid)
        if number is None:
            yield f"{cid} stands in {found} but is not in the inventory"
            continue
        right = [(number["st"], f"{number['g']}:{number['leaf']}", number["sc"])]
        if found != right:
            yield f"{cid} says {right} but stands in {found}"


def _found_by_place(numbers: Mapping[str, Record], sets: Mapping[str, Members], tag: str) -> Iterable[str]:
    """Every leaf with members is listed at each of its places, with a bound that is not above its first member."""
    for cid, number in numbers.items():
        state = number["st"]
        if state not in _BY_PLACE:
            continue
        for place in places_of(number["leaf"]):
            bound = sets.get(f"{state}-at:{tag}:{number['g']}:{place}", {}).get(number["leaf"])
            if bound is None or bound > number["sc"]:
                yield f"{cid} ({state}, {number['sc']}) is not found at {number['g']}:{place}: bound {bound}"


def _held_as_counted(numbers: Mapping[str, Record], reservations: Collection[Record]) -> Iterable[str]:
    held = Counter(item["cid"] for item in reservations if item["held"])
    beyond = Counter(item["cid"] for item in reservations if item["held"] and item["why"].startswith("overflow"))
    for cid, number in numbers.items():
        if held[cid] != number["n"]:
            yield f"{cid} counts {number['n']} live calls, but {held[cid]} reservations hold it"
        if held[cid] - beyond[cid] > number["mc"]:
            yield f"{cid} is held by {held[cid]} calls, {number['mc']} allowed"


def _within_limits(numbers: Mapping[str, Record]) -> Iterable[str]:
    for cid, number in numbers.items():
        if number["mn"] > number["ml"] or number["hn"] > number["hl"] or number["dn"] > number["dl"]:
            yield f"{cid} is over its limits: {number}"


def _warm_as_pooled(numbers: Mapping[str, Record], pools: Mapping[str, Members], tag: str) -> Iterable[str]:
    pooled = [(cid, key.removeprefix(f"pool:{tag}:")) for key, members in pools.items() for cid in members]
    says = [(cid, number["pl"]) for cid, number in numbers.items() if number["pl"]]
    warm = [cid for cid, number in numbers.items() if number["st"] == "warm"]
    if sorted(pooled) != sorted(says) or sorted(cid for cid, _ in pooled) != sorted(warm):
        yield f"pools hold {sorted(pooled)}, caller-IDs say {sorted(says)}, warm are {sorted(warm)}"
