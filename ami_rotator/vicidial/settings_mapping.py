"""VICIdial's caller-ID settings in our words: groups, caller-IDs, campaigns. Pure.

VICIdial chooses in this order (AST_VDauto_dial.pl:2099-2336): list group, list CID, campaign group, second group, AC-CIDs,
campaign CID. A campaign's groups come out in that order. What has no counterpart is listed with the reason.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ami_rotator.domain.campaign import is_group_name
from ami_rotator.domain.numbers import area_of, parse_number
from ami_rotator.domain.types import E164, Area, Campaign, Group
from ami_rotator.vicidial.settings_read import CidEntry, VicidialCampaign, VicidialList, VicidialSettings

_SINGLE = "cid:"
_NONE = frozenset({"", "---DISABLED---", "---NONE---", "DISABLED"})


@dataclass(frozen=True, slots=True)
class WantedCallerId:
    """A caller-ID as VICIdial has it. `active` counts when it is added; later each side keeps its own switch."""

    number: E164
    group: Group
    area: Area
    active: bool


@dataclass(frozen=True, slots=True)
class Unmapped:
    """Something that has no counterpart here, and why."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """What VICIdial's settings come to. `dial_prefixes` is for the dialers' setting of that name."""

    caller_ids: tuple[WantedCallerId, ...]
    campaigns: Mapping[Campaign, tuple[Group, ...]]
    dial_prefixes: Mapping[str, Campaign | None]
    unmapped: tuple[Unmapped, ...]

    def groups(self) -> list[Group]:
        """Return all groups that are named."""
        named = {item.group for item in self.caller_ids} | {group for some in self.campaigns.values() for group in some}
        return sorted(named)


def map_settings(settings: VicidialSettings, region: str = "US") -> Wanted:
    """Map all of it. `region` is the country of numbers without a country code."""
    return _Mapping(settings, region).result()


@dataclass(slots=True)
class _Candidate:
    """A group that is to be, with its numbers: each with the area codes it stands under."""

    group: Group
    areas_count: bool
    numbers: dict[E164, list[CidEntry]] = field(default_factory=dict)


class _Mapping:
    def __init__(self, settings: VicidialSettings, region: str) -> None:
        self._settings = settings
        self._region = region
        self._unmapped: dict[Unmapped, None] = {}
        self._candidates: dict[str, _Candidate] = {}
        self._chains: dict[Campaign, tuple[str, ...]] = {}
        self._homes: dict[E164, str] = {}

    def result(self) -> Wanted:
        self._read_entries()
        for campaign in self._settings.campaigns:
            chain = self._chain(campaign)
            if chain:
                self._chains[Campaign(campaign.id)] = chain
        caller_ids = self._place()
        kept = {item.group for item in caller_ids}
        campaigns = {
            campaign: tuple(
                dict.fromkeys(self._candidates[key].group for key in self._with_numbers(campaign, chain, kept))
            )
            for campaign, chain in self._chains.items()
        }
        return Wanted(
            caller_ids=tuple(sorted(caller_ids, key=lambda item: (item.group, item.number))),
            campaigns={campaign: groups for campaign, groups in campaigns.items() if groups},
            dial_prefixes=self._dial_prefixes(),
            unmapped=tuple(self._unmapped),
        )

    def _read_entries(self) -> None:
        types = {group.id: group.type for group in self._settings.groups}
        customs = {campaign.id: campaign.custom_cid for campaign in self._settings.campaigns}
        for entry in self._settings.entries:
            if entry.owner in types:
                kind = types[entry.owner]
                if kind == "STATE":
                    self._note(f"state group {entry.owner}", "its numbers are matched by their own area, not by state")
                self._add(f"group:{entry.owner}", entry.owner, kind == "AREACODE", entry)
            elif customs.get(entry.owner) == "AREACODE":
                self._add(f"ac:{entry.owner}", f"{entry.owner}-AC", True, entry)
            elif entry.owner in customs:
                self._note(f"AC-CIDs of campaign {entry.owner}", "the campaign does not use them")
            else:
                self._note(f"numbers under {entry.owner}", "there is no CID group and no campaign of this name")

    def _add(self, key: str, name: str, areas_count: bool, entry: CidEntry) -> None:
        number = parse_number(entry.number, self._region)
        if number is None:
            self._note(f"number {entry.number!r} of {name}", "it is not a complete phone number")
            return
        if key not in self._candidates:
            self._candidates[key] = _Candidate(self._name(name), areas_count)
        self._candidates[key].numbers.setdefault(number, []).append(entry)

    def _chain(self, campaign: VicidialCampaign) -> tuple[str, ...]:
        """Return the keys of the groups a campaign chooses from, in order."""
        if campaign.custom_cid == "Y":
            self._note(f"custom CID of campaign {campaign.id}", "it takes the number from each lead")
        elif campaign.custom_cid.startswith("USER_CUSTOM"):
            self._note(f"{campaign.custom_cid} of campaign {campaign.id}", "it takes the number from each agent")
        keys = self._keys_of_lists(campaign.id)
        keys += self._keys_of_group(campaign.group, campaign.id) + self._keys_of_group(campaign.group_two, campaign.id)
        if f"ac:{campaign.id}" in self._candidates:
            keys.append(f"ac:{campaign.id}")
        keys += self._keys_of_number(campaign.cid, f"campaign {campaign.id}")
        if not keys:
            self._note(f"campaign {campaign.id}", "it has no caller-ID in VICIdial; it uses the group `default`")
        return tuple(dict.fromkeys(keys))

    def _keys_of_lists(self, campaign: str) -> list[str]:
        """Return the groups of a campaign's lists, where all of its active lists agree: we choose by campaign."""
        lists = [item for item in self._settings.lists if item.campaign == campaign]
        own = [item for item in lists if item.group not in _NONE or self._has_number(item.cid)]
        if not own:
            return []
        if len({(item.group, item.cid) for item in lists}) > 1:
            for item in own:
                self._note(f"caller-ID of list {item.id} ({_shown(item)})", f"the other lists of {campaign} differ")
            return []
        return self._keys_of_group(own[0].group, campaign) + self._keys_of_number(own[0].cid, f"lists of {campaign}")

    def _keys_of_group(self, group: str, campaign: str) -> list[str]:
        if group in _NONE:
            return []
        if f"group:{group}" not in self._candidates:
            self._note(f"group {group} of campaign {campaign}", "it has no numbers in VICIdial")
            return []
        return [f"group:{group}"]

    def _has_number(self, cid: str) -> bool:
        return bool(cid.strip("0")) and parse_number(cid, self._region) is not None

    def _keys_of_number(self, cid: str, of: str) -> list[str]:
        """Return the group of a single number; it is shared by all that show the same one."""
        if not self._has_number(cid):
            if cid.strip("0"):
                self._note(f"number {cid!r} of {of}", "it is not a complete phone number")
            return []
        number = parse_number(cid, self._region)
        key = f"{_SINGLE}{number}"
        entry = CidEntry(owner="", areacode="", number=cid, active=True)
        if key not in self._candidates:
            self._add(key, f"cid-{cid.lstrip('+')}", False, entry)
        return [key]

    def _place(self) -> list[WantedCallerId]:
        """Put each number into one group: of those that have it, the one most campaigns use; single numbers last."""
        uses = Counter(key for chain in self._chains.values() for key in chain)
        places: dict[E164, list[str]] = {}
        for key, candidate in self._candidates.items():
            for number in candidate.numbers:
                places.setdefault(number, []).append(key)
        found = []
        for number, keys in places.items():
            keys.sort(key=lambda key: (key.startswith(_SINGLE), -uses[key], key))
            first = self._candidates[keys[0]]
            self._homes[number] = keys[0]
            for key in keys[1:]:
                if not key.startswith(_SINGLE):
                    self._note(
                        f"{number} in group {self._candidates[key].group}",
                        f"a caller-ID is in one group here; it goes to {first.group}",
                    )
            found.append(self._caller_id(number, first))
        return found

    def _with_numbers(self, campaign: Campaign, chain: Sequence[str], kept: Collection[Group]) -> Iterator[str]:
        """Yield the groups of a campaign that have got a number; say of the others why they have none."""
        for key in chain:
            candidate = self._candidates[key]
            if candidate.group in kept:
                yield key
            elif not key.startswith(_SINGLE):
                self._note(f"group {candidate.group} of campaign {campaign}", "all its numbers are in other groups")
            else:
                number = next(iter(candidate.numbers))
                home = self._homes[number]
                if home not in chain:
                    self._note(
                        f"number {number} of campaign {campaign}",
                        f"it is in group {self._candidates[home].group}, which the campaign does not use; VICIdial still "
                        "shows it where no other is free",
                    )

    def _caller_id(self, number: E164, candidate: _Candidate) -> WantedCallerId:
        entries = candidate.numbers[number]
        area = area_of(number)
        if candidate.areas_count and number.startswith("+1"):
            areas = list(dict.fromkeys(entry.areacode[:3] for entry in entries if re.match(r"\d{3}", entry.areacode)))
            area = area if area in areas or not areas else Area(areas[0])
            for other in areas:
                if other != area:
                    self._note(f"{number} for area {other} too", f"a caller-ID has one area here; it gets {area}")
        return WantedCallerId(number, candidate.group, area, any(entry.active for entry in entries))

    def _name(self, text: str) -> Group:
        """Make a group's name of VICIdial's, not one that another group has got."""
        name = text if is_group_name(text) else re.sub(r"[^A-Za-z0-9_.\-]", "_", text)[:40] or "group"
        taken = {candidate.group for candidate in self._candidates.values()}
        number = 2
        unique = name
        while unique in taken:
            unique = f"{name[:36]}-{number}"
            number += 1
        return Group(unique)

    def _dial_prefixes(self) -> dict[str, Campaign | None]:
        users: dict[str, set[str]] = {}
        for campaign, prefix in _prefixes(self._settings.campaigns, self._settings.lists):
            digits = "" if "x" in prefix.lower() else prefix
            if digits and not digits.isdigit():
                self._note(f"dial prefix {prefix!r} of campaign {campaign}", "it is not digits")
            elif digits:
                users.setdefault(digits, set()).add(campaign)
        return {
            prefix: Campaign(next(iter(campaigns))) if len(campaigns) == 1 else None
            for prefix, campaigns in sorted(users.items())
        }

    def _note(self, what: str, why: str) -> None:
        self._unmapped[Unmapped(what, why)] = None


def _prefixes(campaigns: Sequence[VicidialCampaign], lists: Sequence[VicidialList]) -> Iterable[tuple[str, str]]:
    for campaign in campaigns:
        yield campaign.id, campaign.dial_prefix
        yield campaign.id, campaign.manual_prefix
    for item in lists:
        yield item.campaign, item.dial_prefix


def _shown(item: VicidialList) -> str:
    return item.cid if item.group in _NONE else f"group {item.group}"
