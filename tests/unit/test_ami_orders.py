"""Actions that nobody waits for: each failure is told once, and why."""

from __future__ import annotations

import asyncio
import re

from ami_rotator.ami import actions
from ami_rotator.ami.orders import Orders

CHANNEL = "Local/912125550150@default-00000001;2"
SETVAR = actions.setvar(CHANNEL, "ROTATOR_CID", "3125551234")


def identity_of(sent: bytes) -> bytes:
    """Return the ActionID that was written."""
    found = re.search(rb"\r\nActionID: (\S+)\r\n\r\n\Z", sent)
    assert found
    return found[1]


def answer(identity: bytes, *lines: bytes) -> bytes:
    """Return a response, without its blank line."""
    return b"\r\n".join((lines[0], b"ActionID: " + identity, *lines[1:]))


async def test_what_is_done_is_told_of_to_nobody() -> None:
    orders, told = Orders(5), list[str]()
    first, second = (identity_of(orders.add(SETVAR, told.append)) for _ in range(2))

    assert first != second
    assert orders.take(answer(first, b"Response: Success", b"Message: Variable Set"))
    assert orders.take(answer(second, b"Response: Success"))
    assert not orders
    assert told == []


async def test_a_refusal_is_told_in_asterisks_words() -> None:
    orders, told = Orders(5), list[str]()
    identity = identity_of(orders.add(SETVAR, told.append))

    assert orders.take(answer(identity, b"Response: Error", b"Message: No such channel"))

    assert told == ["No such channel"]
    assert not orders.take(answer(identity, b"Response: Error", b"Message: No such channel"))
    assert told == ["No such channel"]


async def test_what_is_no_response_to_one_of_ours_is_left() -> None:
    orders, told = Orders(5), list[str]()
    identity = identity_of(orders.add(SETVAR, told.append))

    assert not orders.take(answer(identity, b"Event: VarSet", b"Value: Response: Success"))
    assert not orders.take(answer(b"action/1/1", b"Response: Success"))
    assert not orders.take(answer(identity + b"1", b"Response: Success"))
    assert orders


async def test_what_is_not_answered_in_time_is_given_up_and_what_is_newer_is_not() -> None:
    orders, told = Orders(0.2), list[str]()
    orders.add(SETVAR, told.append)
    await asyncio.sleep(0.12)
    newer = identity_of(orders.add(actions.db_put("rotator", "V1", "312"), told.append))
    await asyncio.sleep(0.12)

    assert told == ["Asterisk did not answer Setvar within 0.2 s"]
    assert orders.take(answer(newer, b"Response: Success"))
    await asyncio.sleep(0.15)
    assert len(told) == 1
    orders.add(SETVAR, told.append)  # its time is counted anew
    await asyncio.sleep(0.1)
    assert len(told) == 1
    await asyncio.sleep(0.15)
    assert len(told) == 2


async def test_all_are_given_up_with_their_connection() -> None:
    orders, told = Orders(0.05), list[str]()
    for _ in range(3):
        orders.add(SETVAR, told.append)

    orders.fail("not answered: the connection broke")
    await asyncio.sleep(0.1)

    assert told == ["not answered: the connection broke"] * 3


async def test_an_order_is_one_block_with_its_fields() -> None:
    sent = Orders(5).add(SETVAR, print)

    assert sent.startswith(b"Action: Setvar\r\n")
    assert sent.count(b"\r\n\r\n") == 1
    assert b"\r\nVariable: ROTATOR_CID\r\nValue: 3125551234\r\nActionID: " in sent
