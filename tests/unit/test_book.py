"""The book of what a process gave: bounded, and with the ends of the last half minute."""

from __future__ import annotations

import pytest

from ami_rotator.domain.held import HeldCall
from ami_rotator.domain.types import CallKey, Dialer, End, ReservationId
from ami_rotator.pool import book
from ami_rotator.pool.book import Book

BUSY = End("busy", 17)
KEY = CallKey(Dialer("d1"), "V1", "")


def held(name: str, at_ms: int = 1000) -> HeldCall:
    return HeldCall(
        ReservationId(name),
        at_ms,
        "+12125550100",
        "SALES",
        "",
        "",
        "d1",
        f"V{name}",
        "",
        "",
        "",
        "ami",
        "",
        "",
        "",
        False,
    )


def test_an_ended_call_is_still_told_with_its_end_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    kept = Book()
    kept.note(held("a", 1000))
    kept.note(held("b", 2000))
    kept.strike(ReservationId("a"), KEY, BUSY)

    assert [call.reservation for call in kept.calls()] == ["b", "a"]
    assert [call.reservation for call in kept.calls(since_ms=1500)] == ["b"]
    assert [call.reservation for call in kept.live()] == ["b"]
    assert list(kept.ended()) == [(KEY, BUSY, "a")]

    now[0] += 31
    assert list(kept.ended()) == [(KEY, BUSY, "a")], "Redis may be away for longer than half a minute"
    kept.forget_ended()
    assert list(kept.ended()) == []
    assert [call.reservation for call in kept.calls()] == ["b"]


def test_what_another_process_gave_is_ended_once_more_too_and_what_was_shown_is_known() -> None:
    kept = Book()
    kept.note(held("a"))
    kept.note_shown(ReservationId("a"), "17.9", "+12125550100")
    kept.note_shown(ReservationId("never"), "17.9", "+12125550100")
    kept.strike(ReservationId("theirs"), KEY, BUSY)

    assert [(call.trunk, call.shown) for call in kept.live()] == [("17.9", "+12125550100")]
    assert list(kept.ended()) == [(KEY, BUSY, "theirs")]
    assert list(kept.calls()) == list(kept.live())


def test_what_expired_is_forgotten_and_what_is_unknown_is_no_trouble() -> None:
    kept = Book()
    kept.note(held("a"))
    kept.strike(ReservationId("a"))
    kept.strike(ReservationId("never"))

    assert (list(kept.calls()), list(kept.ended())) == ([], [])


def test_both_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "_MOST", 3)
    monkeypatch.setattr(book, "_ENDED_MOST", 2)
    kept = Book()
    for number in range(10):
        kept.note(held(str(number), number))
    for name in ("7", "8", "9"):
        kept.strike(ReservationId(name), KEY, BUSY)

    assert [call for _, _, call in kept.ended()] == ["8", "9"]
    assert [call.reservation for call in kept.calls()] == ["9", "8"]
