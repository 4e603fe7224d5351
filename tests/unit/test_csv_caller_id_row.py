from __future__ import annotations

import pytest

from ami_rotator.ledger.caller_id_row import META_BYTES_MAX, read_meta, read_row
from ami_rotator.ledger.csv_export import guarded


@pytest.mark.parametrize(
    "text",
    [
        "5551234567",
        "15551234567",
        "+1 (555) 123-4567",
        " 555.123.4567 ",
        "5551234567.0",
        "'5551234567",
        '="5551234567"',
    ],
)
def test_a_number_is_read_in_every_form_that_spreadsheets_leave_it_in(text: str) -> None:
    assert read_row({"caller_id": text}).caller_id == "+15551234567"


@pytest.mark.parametrize("text", ["hello", "", "123", "5.55123E+09", "555123456", "+1555123456789012345", "0" * 10])
def test_what_is_no_number_is_refused_with_the_column_and_a_reason(text: str) -> None:
    with pytest.raises(ValueError, match=r"^caller_id: "):
        read_row({"caller_id": text})


def test_a_number_that_a_spreadsheet_has_cut_is_named_as_such() -> None:
    with pytest.raises(ValueError, match="lost its last digits in a spreadsheet"):
        read_row({"caller_id": "5,55123E+09"})


def test_an_empty_limit_is_the_default_and_0_is_never() -> None:
    row = read_row({"caller_id": "5551234567", "daily_limit": " ", "hourly_limit": "0"})

    assert (row.daily_limit, row.hourly_limit) == (None, 0)


@pytest.mark.parametrize("text", ["-5", "1.5", "many", "9999999999", "1e3"])
def test_a_limit_that_is_no_count_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^daily_limit: "):
        read_row({"caller_id": "5551234567", "daily_limit": text})


def test_a_limit_that_a_spreadsheet_made_a_fraction_of_is_read() -> None:
    assert read_row({"caller_id": "5551234567", "daily_limit": "100.0"}).daily_limit == 100


def test_the_area_is_the_one_given_else_the_number_s_own() -> None:
    assert read_row({"caller_id": "5551234567", "area_code": "212"}).area_code == "212"
    assert read_row({"caller_id": "15551234567", "area_code": ""}).area_code == "555"
    assert read_row({"caller_id": "+442071234567"}).area_code == "+4420"


@pytest.mark.parametrize("text", ["55", "155", "abc", "5555"])
def test_what_is_no_area_code_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^area_code: "):
        read_row({"caller_id": "5551234567", "area_code": text})


def test_a_carrier_is_one_line_of_text() -> None:
    assert read_row({"caller_id": "5551234567", "carrier": " Big\r\n Carrier "}).carrier == "Big Carrier"
    with pytest.raises(ValueError, match=r"^carrier: "):
        read_row({"caller_id": "5551234567", "carrier": "a\x00b"})
    with pytest.raises(ValueError, match=r"^carrier: "):
        read_row({"caller_id": "5551234567", "carrier": "x" * 101})


@pytest.mark.parametrize("text", ["a b", "a:b", "{main}", "x" * 41])
def test_a_group_that_cannot_be_part_of_a_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"^group: "):
        read_row({"caller_id": "5551234567", "group": text})


def test_every_wrong_column_is_named() -> None:
    with pytest.raises(ValueError, match=r"caller_id: .*; daily_limit: .*; hourly_limit: "):
        read_row({"caller_id": "x", "daily_limit": "-1", "hourly_limit": "y"})


UNSTORABLE = ('{"a": "\\u0000"}', '{"a": "\\ud800"}')
TOO_LONG = '{"a": "' + "x" * META_BYTES_MAX + '"}'


@pytest.mark.parametrize(
    "text", ["{", "[1]", "3", "nope", '{"a": NaN}', '{"a": 1e999}', "[" * 100_000, TOO_LONG, *UNSTORABLE]
)
def test_meta_that_cannot_be_stored_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read_meta(text)


def test_meta_is_kept_as_compact_json() -> None:
    assert read_meta('{"state": "CA", "note": "é"}') == '{"state":"CA","note":"é"}'
    assert read_meta("  ") is None


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "'quoted"])
def test_a_formula_is_guarded_on_the_way_out_and_comes_back_unchanged(text: str) -> None:
    assert guarded(text).startswith("'")
    assert read_row({"caller_id": "5551234567", "carrier": guarded(text)}).carrier == text


@pytest.mark.parametrize(("text", "kept"), [("a", "A"), (" B ", "B"), ("", None)])
def test_attestation_is_a_letter_or_not_known(text: str, kept: str | None) -> None:
    assert read_row({"caller_id": "5551234567", "attestation": text}).attestation == kept


@pytest.mark.parametrize(
    ("text", "kept"),
    [("2026-11-22", "2026-11-22"), ("2026-11-22 00:00:00", "2026-11-22"), ("None", "none"), ("", None)],
)
def test_the_first_day_of_warm_up_is_a_day_none_or_not_said(text: str, kept: str | None) -> None:
    assert read_row({"caller_id": "5551234567", "warmup_from": text}).warmup_from == kept


@pytest.mark.parametrize(
    ("column", "text", "said"),
    [
        ("attestation", "D", "write A, B or C"),
        ("warmup_from", "22/11/2026", "write it as 2026-11-22"),
        ("minute_limit", "two", "write 0 for never"),
    ],
)
def test_what_is_wrong_in_the_columns_of_a_policy_is_said_with_what_to_write(column: str, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_row({"caller_id": "5551234567", column: text})
