from __future__ import annotations

import asyncio
import io
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from ami_rotator.ledger.csv_export import export_csv
from ami_rotator.ledger.csv_import import ImportOptions, ImportReport, import_csv
from ami_rotator.ledger.csv_rows import CsvFileError
from ami_rotator.ledger.database import Database
from tests.support.services import every_postgresql

HEADER = "caller_id,carrier,area_code,daily_limit,hourly_limit,meta_json"


async def load(database: Database, path: Path, text: str, **options: Any) -> ImportReport:
    path.write_text(text)
    return await import_csv(path, database, ImportOptions(**options))


async def stored(database: Database) -> dict[str, dict[str, Any]]:
    async with database.connection() as connection:
        rows = await connection.fetch(
            "SELECT caller_id, carrier, area, group_name, daily_limit, hourly_limit, meta, switch::text FROM caller_ids"
        )
    return {row["caller_id"]: {key: row[key] for key in row.keys() if key != "caller_id"} for row in rows}  # noqa: SIM118


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "numbers.csv"


def counts(report: ImportReport) -> tuple[int, int, int, int, int]:
    return report.added, report.updated, report.unchanged, report.duplicates, report.errors


@every_postgresql
async def test_good_rows_are_stored_and_each_bad_one_is_named_by_its_line(database: Database, path: Path) -> None:
    report = await load(
        database,
        path,
        f"\ufeff{HEADER}\n"
        '5551234567,Verizon,555,1000,100,"{""state"": ""CA""}"\n'
        "hello,Verizon,555,,,\n"
        "\n"
        "+1 (212) 555-0100,,,,0,\n"
        "2125550101,,21,-5,,\n"
        "2125550102,AT&T,,,,{bad json\n",
    )

    assert counts(report) == (3, 0, 0, 0, 2)
    assert [(problem.line, problem.kind) for problem in report.problems] == [(3, "error"), (6, "error"), (7, "warning")]
    assert "area_code" in report.problems[1].reason
    assert "daily_limit" in report.problems[1].reason
    assert (await stored(database)) == {
        "+15551234567": _row(carrier="Verizon", area="555", daily_limit=1000, hourly_limit=100, meta={"state": "CA"}),
        "+12125550100": _row(area="212", hourly_limit=0),
        "+12125550102": _row(carrier="AT&T", area="212"),
    }


def _row(**values: Any) -> dict[str, Any]:
    empty: dict[str, Any] = {
        "carrier": "",
        "group_name": "default",
        "daily_limit": None,
        "hourly_limit": None,
        "meta": {},
        "switch": "active",
    }
    return empty | values


async def test_of_a_number_that_is_there_twice_the_first_row_counts(database: Database, path: Path) -> None:
    report = await load(database, path, f"{HEADER}\n5551234567,First,,,,\n2125550100,,,,,\n15551234567,Second,,,,\n")

    assert counts(report) == (2, 0, 0, 1, 0)
    assert report.problems[0].line == 4
    assert "line 2" in report.problems[0].reason
    assert (await stored(database))["+15551234567"]["carrier"] == "First"


async def test_importing_again_changes_nothing(database: Database, path: Path) -> None:
    text = f'{HEADER},group\n5551234567,A,,10,,"{{""a"": 1.50}}",west\n2125550100,,,,,,\n'
    first = await load(database, path, text)
    async with database.connection() as connection:
        before = await connection.fetch("SELECT * FROM caller_ids ORDER BY caller_id")

    second = await load(database, path, text)

    assert counts(first) == (2, 0, 0, 0, 0)
    assert first.new_groups == ("west",)
    assert counts(second) == (0, 0, 2, 0, 0)
    assert second.new_groups == ()
    async with database.connection() as connection:
        assert await connection.fetch("SELECT * FROM caller_ids ORDER BY caller_id") == before


async def test_a_number_that_is_there_gets_the_values_of_the_file(database: Database, path: Path) -> None:
    await load(database, path, f'{HEADER},group,switch\n5551234567,A,999,10,5,"{{""a"": 1}}",west,disabled\n')

    report = await load(database, path, f"{HEADER}\n5551234567,B,,,7,\n")

    assert counts(report) == (0, 1, 0, 0, 0)
    # An empty cell is the default, a column that the file does not have is left alone.
    expected = _row(carrier="B", area="555", group_name="west", hourly_limit=7, switch="disabled")
    assert (await stored(database))["+15551234567"] == expected


async def test_columns_that_the_file_does_not_have_are_left_alone(database: Database, path: Path) -> None:
    await load(database, path, f'{HEADER},group\n5551234567,A,999,10,5,"{{""a"": 1}}",west\n')

    report = await load(database, path, "CallerID\n5551234567\n")

    assert counts(report) == (0, 0, 1, 0, 0)


async def test_meta_that_cannot_be_read_leaves_the_old_one(database: Database, path: Path) -> None:
    await load(database, path, f'{HEADER}\n5551234567,,,,,"{{""a"": 1}}"\n')

    report = await load(database, path, f"{HEADER}\n5551234567,,,,,oops\n")

    assert (report.unchanged, report.warnings) == (1, 1)
    assert (await stored(database))["+15551234567"]["meta"] == {"a": 1}


async def test_a_dry_run_counts_the_same_and_stores_nothing(database: Database, path: Path) -> None:
    text = f"{HEADER},group\n5551234567,A,,,,,west\nbad,,,,,,\n"

    report = await load(database, path, text, dry_run=True)

    assert counts(report) == (1, 0, 0, 0, 1)
    assert report.new_groups == ("west",)
    assert await stored(database) == {}
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM groups") == 1


async def test_an_import_that_is_cut_off_stores_nothing(database: Database, path: Path) -> None:
    path.write_text(f"{HEADER}\n" + "".join(f"212555{n:04},,,,,\n" for n in range(5000)))
    arrived = asyncio.Event()

    async def run() -> None:
        await import_csv(path, database, on_progress=lambda done, _: arrived.set() if done else None)

    task = asyncio.create_task(run())
    await asyncio.wait_for(arrived.wait(), 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await stored(database) == {}


async def test_a_file_that_breaks_half_way_stores_nothing(database: Database, path: Path) -> None:
    with pytest.raises(CsvFileError):
        await load(database, path, f"{HEADER}\n5551234567,,,,,\n{'x' * 1_000_001}")

    assert await stored(database) == {}


@every_postgresql
async def test_what_is_exported_imports_without_a_change(database: Database, path: Path) -> None:
    await load(
        database,
        path,
        f"{HEADER},group,switch\n"
        '5551234567,=1+1,212,0,,"{""a"": ""x,""}",-west,resting\n'
        '+442071234567,"\'quoted, ""name""",,,9,,,disabled\n'
        "2125550100,@home,,,,,,\n",
    )
    before = await stored(database)
    exported = io.StringIO(newline="")

    written = await export_csv(database, exported)
    again = await load(database, path, exported.getvalue())

    assert written == 3
    assert counts(again) == (0, 0, 3, 0, 0)
    cells = [cell for line in exported.getvalue().splitlines() for cell in line.split(",")]
    assert [cell for cell in cells if cell.strip('"')[:1] in ("=", "+", "-", "@")] == []
    async with database.transaction() as connection:
        await connection.execute("DELETE FROM caller_ids")
    await load(database, path, exported.getvalue())
    assert await stored(database) == before


def write_many(path: Path, rows: int) -> None:
    """Write a file of which one row in a hundred is bad."""
    with path.open("w") as file:
        file.write(HEADER + "\n")
        for n in range(rows):
            number = "oops" if n % 100 == 0 else f"{200 + n // 10_000:03}555{n % 10_000:04}"
            file.write(f'{number},Verizon,,1000,100,"{{""state"": ""CA""}}"\n')


@pytest.mark.thorough
@pytest.mark.alone
async def test_100000_rows_take_less_than_30_s_and_again_change_nothing(database: Database, path: Path) -> None:
    write_many(path, 100_000)
    began = time.monotonic()

    report = await import_csv(path, database)
    took_s = time.monotonic() - began
    again = await import_csv(path, database)

    assert counts(report) == (99_000, 0, 0, 0, 1_000)
    assert [problem.line for problem in report.problems] == list(range(2, 100_002, 100))
    assert took_s < 30
    assert counts(again) == (0, 0, 99_000, 0, 1_000)


@pytest.mark.thorough
async def test_memory_does_not_grow_with_the_file(database: Database, path: Path) -> None:
    write_many(path, 20_000)
    tracemalloc.start()

    await import_csv(path, database)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 6_000_000  # a file of 1 MB, 60 MB as Python objects
