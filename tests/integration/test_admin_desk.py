"""The administrators' functions on real stores: what they do to the inventory, and that it works in the pool at once."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from ami_rotator.admin.caller_ids import Target
from ami_rotator.admin.changes import CallerIdChanges, NewCallerIdBody, SwitchChanges
from ami_rotator.admin.errors import ConflictError, InvalidError, NotFoundError
from ami_rotator.domain.types import E164, Assignment, ReservationId, State
from ami_rotator.errors import PoolUnavailableError
from ami_rotator.ledger.audit import AuditFilter
from ami_rotator.ledger.caller_id_list import CallerIdFilter, Sort
from ami_rotator.ledger.database import Database
from ami_rotator.ledger.paging import START, Cursor, CursorError
from tests.support.admin_desk import ANNA, Bench, bench_without_stores, make_bench
from tests.support.pool_setup import assign, call


@pytest.fixture
async def bench(database: Database, redis_client: Redis) -> Bench:
    return make_bench(database, redis_client)


async def fill(
    bench: Bench, count: int = 25, *, area: str = "212", group: str = "default", carrier: str = "Acme"
) -> None:
    async with bench.database.transaction() as connection:
        await connection.execute("INSERT INTO groups (name) VALUES ($1) ON CONFLICT DO NOTHING", group)
        await connection.execute(
            "INSERT INTO caller_ids (caller_id, area, group_name, carrier)"
            " SELECT '+1' || $1 || (5550000 + i), $1, $2, $3 FROM generate_series(1, $4) AS i",
            area, group, carrier, count,
        )  # fmt: skip
    await bench.sync()


async def all_numbers(bench: Bench, wanted: CallerIdFilter, sort: Sort, state: State | None = None) -> list[str]:
    found: list[str] = []
    after = START
    for _ in range(100):
        page = await bench.desk.caller_ids.page(wanted, sort=sort, after=after, limit=7, state=state)
        found += [item.record.number for item in page.items]
        after = page.following
        if not after:
            return found
    raise AssertionError("the pages do not end")


@pytest.mark.parametrize("sort", ["number", "-number", "area", "-area", "group", "-carrier", "created", "-created"])
async def test_pages_in_any_order_show_each_caller_id_once(bench: Bench, sort: Sort) -> None:
    await fill(bench, 20, area="212")
    await fill(bench, 13, area="646", group="east", carrier="Bell")

    found = await all_numbers(bench, CallerIdFilter(), sort)

    assert len(found) == 33
    assert len(set(found)) == 33
    assert not sort.endswith("number") or found == sorted(found, reverse=sort.startswith("-"))


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        (CallerIdFilter(search="646555"), 13),
        (CallerIdFilter(search="(646) 555-0007"), 1),
        (CallerIdFilter(search="0007"), 2),
        (CallerIdFilter(search="bel"), 13),
        (CallerIdFilter(search="100%"), 0),
        (CallerIdFilter(group="east"), 13),
        (CallerIdFilter(area="212", carrier="Acme"), 20),
        (CallerIdFilter(switch="disabled"), 0),
    ],
)
async def test_filters_find_what_they_say(bench: Bench, wanted: CallerIdFilter, count: int) -> None:
    await fill(bench, 20, area="212")
    await fill(bench, 13, area="646", group="east", carrier="Bell")

    assert len(await all_numbers(bench, wanted, "number")) == count
    assert await bench.desk.caller_ids.count(wanted) == count


async def test_a_state_of_the_pool_is_a_filter_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await fill(bench, 30)
    for code in range(1, 4):
        assert isinstance(await assign(bench.pool, call(code)), Assignment)

    for named_max in (5000, 0):  # few are named to the database, of many the inventory is walked
        monkeypatch.setattr("ami_rotator.admin.caller_ids._NAMED_MAX", named_max)
        assert len(await all_numbers(bench, CallerIdFilter(), "number", State.IN_USE)) == 3
        assert len(await all_numbers(bench, CallerIdFilter(), "-number", State.IDLE)) == 27
    assert await bench.desk.caller_ids.count(CallerIdFilter(), State.IDLE) == 27


async def test_one_caller_id_shows_its_use_against_its_limits(bench: Bench) -> None:
    await fill(bench, 1)
    await assign(bench.pool, call(1))

    found = await bench.desk.caller_ids.get(E164("+12125550001"))

    assert found.standing is not None
    assert (found.standing.state, found.standing.live_calls) == (State.IN_USE, 1)
    assert (found.standing.used_this_hour, found.standing.hourly_limit) == (1, 100)
    assert (found.standing.used_today, found.standing.daily_limit) == (1, 1000)


async def test_a_disabled_caller_id_leaves_the_pool_at_once(bench: Bench) -> None:
    await fill(bench, 2)

    report = await bench.desk.caller_ids.edit(
        ANNA, Target((E164("+12125550001"), E164("+19995550000"))), SwitchChanges(switch="disabled")
    )

    assert (report.done, report.missing, report.is_in_pool) == (("+12125550001",), ("+19995550000",), True)
    given = await assign(bench.pool, call(1))
    assert isinstance(given, Assignment)
    assert given.caller_id == "+12125550002"
    found = await bench.desk.caller_ids.get(E164("+12125550001"))
    assert found.standing is not None
    assert found.standing.state is State.DISABLED


async def test_a_change_for_all_that_a_filter_finds(bench: Bench) -> None:
    await fill(bench, 20, area="212")
    await fill(bench, 13, area="646")

    changes = CallerIdChanges(group="west", daily_limit=50, hourly_limit=None)
    report = await bench.desk.caller_ids.edit(ANNA, Target(matching=CallerIdFilter(area="646")), changes)

    assert len(report.done) == 13
    moved = await bench.desk.caller_ids.page(CallerIdFilter(group="west"), limit=50)
    assert {(item.record.daily_limit, item.record.area) for item in moved.items} == {(50, "646")}
    assert await bench.desk.caller_ids.count(CallerIdFilter(group="default")) == 20


async def test_a_rest_ends_by_itself_or_by_enabling(bench: Bench) -> None:
    await fill(bench, 1)
    number = E164("+12125550001")
    until = 4_000_000_000_000

    await bench.desk.caller_ids.edit(ANNA, Target((number,)), SwitchChanges(switch="resting", resting_until_ms=until))
    resting = await bench.desk.caller_ids.get(number)
    await bench.desk.caller_ids.edit(ANNA, Target((number,)), SwitchChanges(switch="active"))
    active = await bench.desk.caller_ids.get(number)

    assert (resting.record.switch, resting.record.resting_until_ms) == ("resting", until)
    assert (active.record.switch, active.record.resting_until_ms) == ("active", 0)


async def test_adding_twice_conflicts_and_nonsense_is_refused_with_the_fix(bench: Bench) -> None:
    added = await bench.desk.caller_ids.add(ANNA, NewCallerIdBody(number="(212) 555-0142", group="east"))

    assert added == "+12125550142"
    with pytest.raises(ConflictError, match="in the inventory already"):
        await bench.desk.caller_ids.add(ANNA, NewCallerIdBody(number="2125550142"))
    with pytest.raises(InvalidError, match="write 5551234567"):
        await bench.desk.caller_ids.add(ANNA, NewCallerIdBody(number="hello"))
    with pytest.raises(NotFoundError):
        await bench.desk.caller_ids.get(E164("+12125550143"))


async def test_import_and_export(bench: Bench, tmp_path: Path) -> None:
    file = tmp_path / "new.csv"
    file.write_text("caller_id,carrier\n2125550001,Acme\nhello,Acme\n2125550002,Bell\n")

    dry = await bench.desk.caller_ids.import_file(ANNA, file, dry_run=True)
    assert (dry.added, dry.errors, await bench.desk.caller_ids.count(CallerIdFilter())) == (2, 1, 0)
    assert (await bench.desk.audit(AuditFilter(kind="caller_id"))).entries == ()

    await bench.desk.caller_ids.import_file(ANNA, file, dry_run=False)
    target = io.StringIO()

    assert await bench.desk.caller_ids.export(target) == 2
    assert target.getvalue().splitlines()[1].startswith("2125550001,Acme,212,")
    assert {(e.actor, e.action) for e in (await bench.desk.audit(AuditFilter())).entries if e.kind == "caller_id"} == {
        ("anna", "added")
    }


async def test_removed_caller_ids_are_gone_from_the_pool(bench: Bench) -> None:
    await fill(bench, 3)

    report = await bench.desk.caller_ids.remove(ANNA, [E164("+12125550001"), E164("+12125550009")])

    assert (report.done, report.missing) == (("+12125550001",), ("+12125550009",))
    assert await bench.desk.inspection.standings([E164("+12125550001")]) == {}


@pytest.mark.parametrize("cursor", ["x", "!!", "W10", "WzEsMl0", "WyJhIl0", "WyJcdTAwMDAiLCJhIl0"])
@pytest.mark.parametrize("sort", ["number", "created"])
async def test_a_cursor_of_another_list_is_refused(bench: Bench, cursor: str, sort: Sort) -> None:
    with pytest.raises(CursorError):
        await bench.desk.caller_ids.page(CallerIdFilter(), sort=sort, after=Cursor(cursor))


async def test_without_redis_lists_show_the_inventory_and_edits_are_kept(database: Database) -> None:
    async with bench_without_stores() as away:
        bench = make_bench(database, away.redis)
        async with database.transaction() as connection:
            await connection.execute("INSERT INTO caller_ids (caller_id, area) VALUES ('+12125550001', '212')")

        page = await bench.desk.caller_ids.page(CallerIdFilter())
        report = await bench.desk.caller_ids.edit(
            ANNA, Target((E164("+12125550001"),)), SwitchChanges(switch="disabled")
        )

        assert [item.standing for item in page.items] == [None]
        assert (len(report.done), report.is_in_pool) == (1, False)
        with pytest.raises(PoolUnavailableError):
            await bench.desk.caller_ids.page(CallerIdFilter(), state=State.IDLE)


async def test_a_campaign_is_saved_whole_and_changed_in_part(bench: Bench) -> None:
    await bench.desk.campaigns.save(ANNA, "SALES", {"groups": ["east", "west"], "rungs": ["area", "any"], "weight": 3})
    saved = await bench.desk.campaigns.save(ANNA, "SALES", {"sticky_days": 30}, keep=True)

    found = await bench.desk.campaigns.get("SALES")
    assert (found.groups, found.weight, found.sticky_days) == (("east", "west"), 3, 30)
    assert "Group east has no caller-IDs yet" in saved.warnings[0]
    assert [group.settings.name for group in await bench.desk.campaigns.groups()] == ["default", "east", "west"]

    await bench.desk.campaigns.remove(ANNA, "SALES")
    with pytest.raises(NotFoundError, match="group default"):
        await bench.desk.campaigns.get("SALES")


@pytest.mark.parametrize(
    ("values", "field", "fix"),
    [
        ({"groups": []}, "groups", "name at least one"),
        ({"groups": ["a b"]}, "groups", "use letters"),
        ({"groups": ["a", "a"]}, "groups", "name each group once"),
        ({"rungs": []}, "rungs", "name at least one rung"),
        ({"rungs": ["moon"]}, "rungs.0", "should be"),
        ({"rungs": ["area", "area"]}, "rungs", "name each once"),
        ({"rungs": ["area", "next_group"]}, "next_groups", "name a group"),
        ({"weight": 0}, "weight", "from 1 to 1,000"),
        ({"exhaustion": "overflow"}, "overflow_percent", "write the share"),
        ({"distinct_max": 3}, "distinct_days", "set both"),
        ({"timezone": "Mars"}, "timezone", "America/New_York"),
        ({"colour": 1}, "colour", "leave it out"),
        ({"daily_limit": -1}, "daily_limit", "from 0"),
        ({"weight": "many"}, "weight", "integer"),
    ],
)
async def test_what_is_wrong_with_a_policy_is_said_with_the_fix(
    bench: Bench, values: dict[str, Any], field: str, fix: str
) -> None:
    with pytest.raises(InvalidError) as error:
        await bench.desk.campaigns.save(ANNA, "SALES", values)

    assert [problem.field for problem in error.value.problems] == [field]
    assert fix in error.value.problems[0].message
    assert await bench.desk.campaigns.list() == ()


async def test_a_group_is_saved_and_nonsense_refused(bench: Bench) -> None:
    await bench.desk.campaigns.save_group(ANNA, "east", {"max_concurrent": 2, "hourly_limit": 0, "warmup": "20, 30"})

    group = (await bench.desk.campaigns.group("east")).settings
    assert (group.max_concurrent, group.hourly_limit, group.warmup) == (2, 0, "20,30")
    with pytest.raises(InvalidError, match="warm-up curve"):
        await bench.desk.campaigns.save_group(ANNA, "east", {"warmup": "fast!"})


async def test_a_reservation_can_be_ended_by_hand(bench: Bench) -> None:
    await fill(bench, 1)
    given = await assign(bench.pool, call(7))
    assert isinstance(given, Assignment)

    (live,) = await bench.desk.reservations.list()
    assert (live.id, live.caller_id, live.code) == (given.reservation, given.caller_id, f"V{7:019d}")
    await bench.desk.reservations.release(ANNA, given.reservation)

    assert await bench.desk.reservations.live() == 0
    (entry,) = (await bench.desk.audit(AuditFilter(kind="reservation"))).entries
    assert (entry.actor, entry.action, entry.target, entry.address) == ("anna", "released", live.id, "192.0.2.7")
    with pytest.raises(NotFoundError):
        await bench.desk.reservations.release(ANNA, ReservationId(given.reservation))
    assert len((await bench.desk.audit(AuditFilter(kind="reservation"))).entries) == 1
