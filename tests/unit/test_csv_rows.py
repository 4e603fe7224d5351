from __future__ import annotations

from pathlib import Path

import pytest

from ami_rotator.ledger.csv_rows import CELL_LINES_MAX, CsvFileError, RawRow, open_csv

HEADER = "caller_id,carrier,area_code,daily_limit,hourly_limit,meta_json\n"


def read(path: Path, content: bytes | str) -> list[RawRow]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    file = open_csv(path)
    try:
        return list(file.rows())
    finally:
        file.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "numbers.csv"


def test_rows_carry_the_line_they_start_on_past_blank_lines_and_cells_of_several_lines(path: Path) -> None:
    rows = read(path, HEADER + '\n5551234567,A,,,,\n,,,,,\n5551234568,"two\nlines",,,,\n\n\n5551234569,B,,,,\n')

    assert [(row.line, row.values["caller_id"]) for row in rows] == [
        (3, "5551234567"),
        (5, "5551234568"),
        (9, "5551234569"),
    ]
    assert rows[1].values["carrier"] == "two\nlines"


@pytest.mark.parametrize(
    ("encoding", "delimiter"),
    [("utf-8", ","), ("utf-8-sig", ","), ("utf-8-sig", ";"), ("utf-16", "\t"), ("utf-16-le", ","), ("cp1252", ";")],
)
def test_files_of_spreadsheets_are_read_whatever_their_encoding_and_delimiter(
    path: Path, encoding: str, delimiter: str
) -> None:
    text = f"CallerID{delimiter}Carrier{delimiter}Daily Limit\r\n5551234567{delimiter}Télé{delimiter}10\r\n"

    rows = read(path, text.encode(encoding))

    assert dict(rows[0].values) == {"caller_id": "5551234567", "carrier": "Télé", "daily_limit": "10"}


def test_the_separator_line_of_a_spreadsheet_is_no_header(path: Path) -> None:
    rows = read(path, "sep=;\ncaller_id;carrier\n5551234567;A\n")

    assert [(row.line, row.values["carrier"]) for row in rows] == [(3, "A")]


def test_a_quote_that_is_never_closed_costs_its_own_row_only(path: Path) -> None:
    good = "".join(f"55512345{n},B,,,,\n" for n in range(10, 10 + CELL_LINES_MAX * 2))

    rows = read(path, HEADER + '5551234567,"never closed,,,,\n' + good)

    assert [row.line for row in rows if row.problem] == [2]
    assert "never closed" in rows[0].problem
    assert [row.line for row in rows if not row.problem] == list(range(3, 3 + CELL_LINES_MAX * 2))


def test_json_without_quotes_around_it_is_a_problem_of_its_row_that_says_what_to_do(path: Path) -> None:
    rows = read(path, HEADER + '5551234567,A,555,1,1,{"a":1,"b":2}\n5551234568,A,555,1,1,"{""a"":1}"\n')

    assert "put quotes around" in rows[0].problem
    assert rows[1].values["meta_json"] == '{"a":1}'


def test_short_rows_leave_the_missing_cells_out(path: Path) -> None:
    assert dict(read(path, HEADER + "5551234567\n")[0].values) == {"caller_id": "5551234567"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"5551234567,Verizon\n", "must name the columns"),
        (b"caller_id,CallerID\n", "two columns 'caller_id'"),
        (b"PK\x03\x04rest of a zip", "is a spreadsheet"),
        (b"caller_id\n" + b"5" * 1_000_001, "more than 1,000,000 characters"),
    ],
)
def test_a_file_that_is_none_of_ours_is_refused_with_the_reason(path: Path, content: bytes, said: str) -> None:
    with pytest.raises(CsvFileError, match=said):
        read(path, content)


def test_a_missing_file_is_refused_with_the_reason(path: Path) -> None:
    with pytest.raises(CsvFileError, match="No such file"):
        open_csv(path)
