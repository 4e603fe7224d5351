"""VICIdial's caller-ID settings in our words, and the plan that brings them over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ami_rotator.domain.types import E164, Area, Campaign, Group
from ami_rotator.vicidial.settings_import import (
    ImportPlan,
    PresentCallerId,
    PresentState,
    apply_plan,
    make_plan,
    render,
)
from ami_rotator.vicidial.settings_mapping import Unmapped, Wanted, WantedCallerId, map_settings
from ami_rotator.vicidial.settings_read import CidEntry, CidGroup, VicidialCampaign, VicidialList, VicidialSettings

OFF = "---DISABLED---"
SALES = VicidialCampaign("SALES", "0000000000", "N", "EAST", OFF, "9", "")


class _Ours:
    """What we have, changed by plans."""

    def __init__(self) -> None:
        self.state = PresentState(groups=set(), caller_ids={}, campaigns={})
        self.switched_off: set[E164] = set()

    async def create_group(self, group: Group) -> None:
        self.state = replace(self.state, groups={*self.state.groups, group})

    async def add_caller_ids(self, caller_ids: Sequence[WantedCallerId]) -> None:
        new = {item.number: PresentCallerId(item.group, item.area) for item in caller_ids}
        self.state = replace(self.state, caller_ids={**self.state.caller_ids, **new})
        self.switched_off |= {item.number for item in caller_ids if not item.active}

    async def move_caller_id(self, number: E164, group: Group, area: Area) -> None:
        moved = {**self.state.caller_ids, number: PresentCallerId(group, area)}
        self.state = replace(self.state, caller_ids=moved)

    async def set_campaign_groups(self, campaign: Campaign, groups: tuple[Group, ...]) -> None:
        self.state = replace(self.state, campaigns={**self.state.campaigns, campaign: groups})


def _settings(
    entries: Sequence[tuple[str, str, str, str]] = (),
    campaigns: Sequence[VicidialCampaign] = (SALES,),
    groups: Sequence[CidGroup] = (CidGroup("EAST", "AREACODE"), CidGroup("WEST", "AREACODE")),
    lists: Sequence[VicidialList] = (),
) -> VicidialSettings:
    rows = tuple(CidEntry(owner, area, number, active == "Y") for owner, area, number, active in entries)
    return VicidialSettings(tuple(groups), rows, tuple(campaigns), tuple(lists))


def _notes(wanted: Wanted) -> str:
    return "\n".join(f"{item.what}: {item.why}" for item in wanted.unmapped)


def test_a_group_comes_over_with_its_numbers_and_campaign() -> None:
    wanted = map_settings(_settings([("EAST", "212", "2125550100", "Y"), ("EAST", "646", "6465550101", "")]))

    assert wanted.caller_ids == (
        WantedCallerId(E164("+12125550100"), Group("EAST"), Area("212"), True),
        WantedCallerId(E164("+16465550101"), Group("EAST"), Area("646"), False),
    )
    assert wanted.campaigns == {"SALES": ("EAST",)}
    assert wanted.unmapped == ()


def test_a_campaigns_groups_are_in_vicidials_order() -> None:
    campaign = replace(SALES, group="WEST", group_two="EAST", custom_cid="AREACODE", cid="8005550199")
    entries = [
        ("EAST", "212", "2125550100", "Y"),
        ("WEST", "415", "4155550100", "Y"),
        ("SALES", "305", "3055550100", "Y"),
    ]
    wanted = map_settings(_settings(entries, [campaign]))

    assert wanted.campaigns == {"SALES": ("WEST", "EAST", "SALES-AC", "cid-8005550199")}
    assert Area("800") == {item.number: item.area for item in wanted.caller_ids}[E164("+18005550199")]


def test_a_number_in_two_groups_goes_to_the_one_most_campaigns_use() -> None:
    campaigns = [SALES, replace(SALES, id="A", group="WEST"), replace(SALES, id="B", group="WEST")]
    entries = [
        ("EAST", "212", "2125550100", "Y"),
        ("WEST", "212", "2125550100", "Y"),
        ("EAST", "212", "2125550101", "Y"),
    ]
    wanted = map_settings(_settings(entries, campaigns))

    assert {item.number: item.group for item in wanted.caller_ids} == {"+12125550100": "WEST", "+12125550101": "EAST"}
    assert wanted.unmapped == (
        Unmapped("+12125550100 in group EAST", "a caller-ID is in one group here; it goes to WEST"),
    )


def test_a_number_for_several_areas_gets_its_own_or_else_the_first() -> None:
    entries = [
        ("EAST", "646", "2125550100", "Y"),
        ("EAST", "212", "2125550100", "Y"),
        ("EAST", "305", "8005550100", "Y"),
        ("EAST", "78655", "8005550100", "Y"),
    ]
    wanted = map_settings(_settings(entries))

    assert {item.number: item.area for item in wanted.caller_ids} == {"+12125550100": "212", "+18005550100": "305"}
    assert "+12125550100 for area 646 too" in _notes(wanted)
    assert "+18005550100 for area 786 too" in _notes(wanted)


def test_groups_by_state_or_without_areas_get_the_area_of_each_number() -> None:
    groups = [CidGroup("EAST", "STATE"), CidGroup("WEST", "NONE")]
    wanted = map_settings(
        _settings([("EAST", "NY", "2125550100", "Y"), ("WEST", "", "4155550100", "Y")], groups=groups)
    )

    assert {item.area for item in wanted.caller_ids} == {"212", "415"}
    assert "state group EAST" in _notes(wanted)


def test_a_campaign_cid_that_is_in_one_of_its_groups_needs_no_group_of_its_own() -> None:
    wanted = map_settings(_settings([("EAST", "212", "2125550100", "Y")], [replace(SALES, cid="2125550100")]))

    assert wanted.campaigns == {"SALES": ("EAST",)}
    assert wanted.unmapped == ()


def test_a_campaign_cid_that_is_in_a_group_of_others_is_told() -> None:
    campaigns = [replace(SALES, cid="4155550100"), replace(SALES, id="B", group="WEST")]
    entries = [("EAST", "212", "2125550100", "Y"), ("WEST", "415", "4155550100", "Y")]
    wanted = map_settings(_settings(entries, campaigns))

    assert wanted.campaigns == {"SALES": ("EAST",), "B": ("WEST",)}
    assert "number +14155550100 of campaign SALES: it is in group WEST" in _notes(wanted)


def test_one_campaign_cid_of_several_campaigns_is_one_group() -> None:
    campaigns = [
        replace(SALES, id=name, group=OFF, cid=cid) for name, cid in (("A", "8005550199"), ("B", "18005550199"))
    ]
    wanted = map_settings(_settings([], campaigns))

    assert wanted.campaigns == {"A": ("cid-8005550199",), "B": ("cid-8005550199",)}
    assert len(wanted.caller_ids) == 1


def test_caller_ids_of_lists_count_where_all_lists_of_a_campaign_agree() -> None:
    entries = [("EAST", "212", "2125550100", "Y"), ("WEST", "415", "4155550100", "Y")]
    agree = [VicidialList(number, "SALES", "", "WEST", "") for number in ("101", "102")]
    differ = [agree[0], VicidialList("102", "SALES", "3055550100", OFF, "")]

    assert map_settings(_settings(entries, lists=agree)).campaigns == {"SALES": ("WEST", "EAST")}
    mapped = map_settings(_settings(entries, lists=differ))
    assert mapped.campaigns == {"SALES": ("EAST",)}
    assert "caller-ID of list 101 (group WEST)" in _notes(mapped)
    assert "caller-ID of list 102 (3055550100)" in _notes(mapped)


def test_what_cannot_come_over_is_listed_with_the_reason() -> None:
    campaigns = [
        replace(SALES, custom_cid="Y"),
        replace(SALES, id="U", custom_cid="USER_CUSTOM_2", group="GONE"),
        replace(SALES, id="N", group=OFF),
    ]
    entries = [
        ("EAST", "212", "2125550100", "Y"),
        ("EAST", "212", "12", "Y"),
        ("N", "305", "3055550100", "Y"),
        ("OLD", "305", "3055550101", "Y"),
    ]
    notes = _notes(map_settings(_settings(entries, campaigns)))

    for expected in (
        "custom CID of campaign SALES: it takes the number from each lead",
        "USER_CUSTOM_2 of campaign U: it takes the number from each agent",
        "group GONE of campaign U: it has no numbers in VICIdial",
        "number '12' of EAST: it is not a complete phone number",
        "AC-CIDs of campaign N: the campaign does not use them",
        "numbers under OLD: there is no CID group and no campaign of this name",
        "campaign N: it has no caller-ID in VICIdial",
    ):
        assert expected in notes


def test_group_names_that_we_cannot_have_are_changed_without_a_clash() -> None:
    groups = [CidGroup("A B", "AREACODE"), CidGroup("A_B", "AREACODE")]
    entries = [("A B", "212", "2125550100", "Y"), ("A_B", "415", "4155550100", "Y")]
    wanted = map_settings(_settings(entries, [replace(SALES, group="A B")], groups))

    assert {item.group for item in wanted.caller_ids} == {"A_B", "A_B-2"}


def test_dial_prefixes_name_the_campaign_where_it_is_the_only_one() -> None:
    campaigns = [
        SALES,
        replace(SALES, id="B", dial_prefix="8", manual_prefix="9"),
        replace(SALES, id="C", dial_prefix="X"),
    ]
    wanted = map_settings(_settings([], campaigns, lists=[VicidialList("101", "C", "", OFF, "77")]))

    assert wanted.dial_prefixes == {"77": "C", "8": "B", "9": None}


async def test_a_second_plan_is_empty() -> None:
    entries = [("EAST", "212", "2125550100", "Y"), ("EAST", "212", "12", "Y"), ("WEST", "415", "4155550100", "N")]
    wanted = map_settings(_settings(entries, [replace(SALES, group_two="WEST", cid="8005550199")]))
    ours = _Ours()
    first = make_plan(wanted, ours.state)
    await apply_plan(first, ours)
    second = make_plan(wanted, ours.state)

    assert not first.is_empty
    assert second.is_empty
    assert first.unmapped == second.unmapped
    assert ours.switched_off == {"+14155550100"}
    assert ours.state.campaigns == {"SALES": ("EAST", "WEST", "cid-8005550199")}


def test_a_plan_moves_what_stands_elsewhere_and_leaves_the_rest() -> None:
    wanted = map_settings(_settings([("EAST", "212", "2125550100", "N"), ("EAST", "212", "2125550101", "Y")]))
    present = PresentState(
        groups={Group("EAST"), Group("OURS")},
        caller_ids={
            E164("+12125550100"): PresentCallerId(Group("EAST"), Area("212")),
            E164("+12125550101"): PresentCallerId(Group("OURS"), Area("212")),
            E164("+13055550100"): PresentCallerId(Group("OURS"), Area("305")),
        },
        campaigns={Campaign("SALES"): (Group("EAST"),), Campaign("OTHER"): (Group("OURS"),)},
    )
    plan = make_plan(wanted, present)

    assert (plan.new_groups, plan.new_caller_ids, plan.campaigns) == ((), (), ())
    assert [move.after.number for move in plan.moves] == ["+12125550101"]


def test_a_plan_reads_as_text() -> None:
    entries = [("EAST", str(area), f"{area}5550100", "Y" if area % 2 else "N") for area in range(212, 232)]
    wanted = map_settings(_settings([*entries, ("EAST", "1", "12", "Y")]))
    text = render(make_plan(wanted, PresentState()))
    nothing = render(ImportPlan((), (), (), (), {}, ()))

    assert "Groups to create (1): EAST" in text
    assert (
        "EAST: 20, areas 212, 213, 214, 215, 216, 217, 218, 219, 220, 221 and 10 more; 10 of them switched off" in text
    )
    assert "SALES: not set -> EAST" in text
    assert "9: SALES" in text
    assert "number '12' of EAST: it is not a complete phone number" in text
    assert nothing.startswith("Nothing to do")
