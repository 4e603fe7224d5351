"""The pages of the inventory: find, page, change, import, and one caller-ID."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
from aiohttp import FormData
from redis.asyncio import Redis

from ami_rotator.ledger.database import Database
from ami_rotator.settings import Settings
from tests.support.pages_rig import PagesRig, pages_rig

FILL = """
INSERT INTO caller_ids (caller_id, area, group_name, carrier)
SELECT '+1' || (200 + i % 700) || lpad((5000000 + i)::text, 7, '0'), (200 + i % 700)::text,
    CASE i % 3 WHEN 0 THEN 'default' ELSE 'sales' END, 'carrier' || i % 5
FROM generate_series(0, $1 - 1) AS i
"""
# Days are those of the time zone of the limits.
TODAY = f"now() AT TIME ZONE '{Settings.model_fields['timezone'].default}'"


@pytest.fixture
async def at(database: Database, redis_client: Redis) -> AsyncIterator[PagesRig]:
    async with pages_rig(database, redis_client) as rig:
        await rig.sign_in()
        yield rig


async def fill(database: Database, count: int) -> None:
    async with database.connection() as connection:
        await connection.execute("INSERT INTO groups (name) VALUES ('sales')")
        await connection.execute(FILL, count, timeout=60)
        await connection.execute("ANALYZE caller_ids")


def numbers(text: str) -> list[str]:
    return re.findall(r'<th scope="row"><a href="/caller-ids/(\d+)">', text)


async def test_the_empty_inventory_says_what_to_do(at: PagesRig) -> None:
    text = await at.page("/caller-ids")

    assert "Import a CSV file" in text
    assert "<details" in text


async def test_pages_follow_each_other_without_a_gap_in_every_order(at: PagesRig, database: Database) -> None:
    await fill(database, 130)
    for sort in ("number", "-number", "area", "-carrier", "created"):
        path, seen = f"/caller-ids?sort={sort}", list[str]()
        while path:
            text = await at.page(path)
            seen += numbers(text)
            following = re.search(r'rel="next" href="([^"]+)"', text)
            path = following[1].replace("&amp;", "&") if following else ""

        assert len(seen) == len(set(seen)) == 130, sort


async def test_a_filter_shows_what_it_says_and_no_more(at: PagesRig, database: Database) -> None:
    await fill(database, 100)
    text = await at.page("/caller-ids?group=default&carrier=carrier0")

    assert "7 caller-IDs match" in text
    assert len(numbers(text)) == 7
    assert "No caller-ID matches" in await at.page("/caller-ids?search=9999999999")


async def test_a_broken_cursor_leads_to_the_first_page(at: PagesRig, database: Database) -> None:
    await fill(database, 3)
    assert len(numbers(await at.page("/caller-ids?after=nonsense"))) == 3


async def test_switching_off_asks_once_and_then_does_it(at: PagesRig, database: Database) -> None:
    await fill(database, 5)
    chosen = [f"+{number}" for number in numbers(await at.page("/caller-ids"))[:2]]
    form = [("number", chosen[0]), ("number", chosen[1]), ("action", "disable"), ("which", "ticked")]
    _, text = await at.post("/caller-ids", form)

    assert "2 caller-IDs: switch off?" in text
    assert await disabled(database) == []
    _, text = await at.post("/caller-ids", [*form, ("sure", "yes")])
    assert "2 caller-IDs were switched off." in text
    assert await disabled(database) == chosen


async def disabled(database: Database) -> list[str]:
    async with database.connection() as connection:
        rows = await connection.fetch("SELECT caller_id FROM caller_ids WHERE switch = 'disabled' ORDER BY caller_id")
    return [row["caller_id"] for row in rows]


async def test_all_that_match_can_be_moved_and_given_limits(at: PagesRig, database: Database) -> None:
    await fill(database, 90)
    form = {"which": "all", "group": "default", "sure": "yes"}
    _, text = await at.post("/caller-ids", {**form, "action": "limits", "hourly_limit": "12", "daily_limit": ""})
    assert "The limits of 30 caller-IDs were set." in text
    _, text = await at.post("/caller-ids", {**form, "action": "move", "to_group": "new-one"})

    assert "30 caller-IDs were moved." in text
    async with database.connection() as connection:
        assert await connection.fetchval(
            "SELECT count(*) FROM caller_ids WHERE group_name = 'new-one' AND hourly_limit = 12 AND daily_limit IS NULL"
        ) == 30  # fmt: skip


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"action": "disable"}, "No caller-ID was chosen"),
        ({"number": "+12125550100"}, "Nothing to do was chosen"),
        ({"number": "+12125550100", "action": "limits", "hourly_limit": "many"}, "is a whole number"),
        ({"number": "+12125550100", "action": "move", "to_group": "a b"}, "cannot name a group"),
    ],
)
async def test_a_form_that_cannot_be_done_says_why(at: PagesRig, form: dict[str, str], said: str) -> None:
    status, text = await at.post("/caller-ids", {"which": "ticked", **form})

    assert status == 400
    assert said in text


async def test_a_file_is_looked_at_row_by_row_before_it_is_imported(at: PagesRig, database: Database) -> None:
    file = "caller_id,group,daily_limit\n2125550100,sales,100\n12,sales,1\n2125550101,sales,many\n2125550100,sales,5\n"
    form = FormData()
    form.add_field("file", file.encode(), filename="numbers.csv", content_type="text/csv")
    status, text = await at.post("/caller-ids/import", form)

    assert status == 200
    assert "What would come of numbers.csv" in text
    for expected in ("not a phone number", "is not a whole number", "is on line 2 already"):
        assert expected in text
    assert "The inventory is empty" in await at.page("/caller-ids")
    waiting = re.search(r'name="file" value="([0-9a-f]+)"', text)
    assert waiting is not None
    _, text = await at.post("/caller-ids/import/now", {"file": waiting[1]})
    assert "1 rows of the file were imported." in text
    assert numbers(text) == ["12125550100"]
    status, text = await at.post("/caller-ids/import/now", {"file": waiting[1]})
    assert (status, "Choose it again" in text) == (400, True)


@pytest.mark.parametrize("content", [b"", b"name,phone\nx,y\n", b"PK\x03\x04 not a csv"])
async def test_a_file_that_is_none_says_what_to_do(at: PagesRig, content: bytes) -> None:
    form = FormData()
    form.add_field("file", content, filename="numbers.csv")
    status, text = await at.post("/caller-ids/import", form)

    assert status == 400
    assert "That could not be done" in text
    assert "/tmp" not in text


async def test_a_made_up_file_name_opens_nothing(at: PagesRig) -> None:
    status, _ = await at.post("/caller-ids/import/now", {"file": "../../etc/passwd"})

    assert status == 400


async def test_what_is_exported_can_be_imported(at: PagesRig, database: Database) -> None:
    await fill(database, 20)
    text = await at.page("/caller-ids/export.csv")

    assert text.startswith("caller_id,")
    assert len(text.splitlines()) == 21


async def test_one_caller_id_is_added_changed_and_switched_and_its_history_says_so(at: PagesRig) -> None:
    _, text = await at.post("/caller-ids/add", {"number": "(212) 555-0100", "group": "sales"})
    assert "The caller-ID was added." in text
    form = {"group": "sales", "area": "212", "carrier": "Bandwidth", "attestation": "A", "daily_limit": "80"}
    await at.post("/caller-ids/12125550100", form)
    await at.post("/caller-ids/12125550100/switch", {"action": "rest", "hours": "24"})
    text = await at.page("/caller-ids/12125550100")

    for expected in ("Bandwidth", "Rests until", "daily limit", "admin-token", "<ins>resting</ins>"):
        assert expected in text
    status, text = await at.post("/caller-ids/add", {"number": "2125550100"})
    assert (status, "in the inventory already" in text) == (400, True)


async def test_a_number_that_is_not_ours_is_not_found(at: PagesRig) -> None:
    status, text = await at.get("/caller-ids/12125550199")

    assert (status, "is not in the inventory" in text) == (404, True)


async def test_a_day_and_a_month_are_drawn_with_their_tables(at: PagesRig, database: Database) -> None:
    await at.post("/caller-ids/add", {"number": "2125550100"})
    async with database.connection() as connection:
        for table, value in (("usage_hourly", "date_trunc('hour', now())"), ("usage_daily", TODAY)):
            await connection.execute(
                f"INSERT INTO {table} VALUES ({value}, '+12125550100', 'SALES', 40, 0, 40, 0, 36, 9, 0, 0, 0, 0, 0, 0, 0, 0)"
            )
    text = await at.page("/caller-ids/12125550100")

    assert "40 calls in 30 days, 22 % answered" in text
    assert "25 %" in text
    assert "<td>40</td><td>9</td><td>22 %</td>" in text
    assert text.count("<polyline") == 1
