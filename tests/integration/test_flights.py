"""Calls that wait at the same moment share a trip to Redis, and nothing else."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from redis.asyncio import Redis
from redis.asyncio.connection import SSLConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from ami_rotator.domain.types import Assignment
from ami_rotator.pool.connect import RedisClient, connect
from ami_rotator.pool.flights import Flights
from ami_rotator.pool.scripts import Script
from ami_rotator.pool.wire import Wire
from tests.support.asterisk_lab import free_port
from tests.support.certificates import new_authority
from tests.support.pool_checks import violations
from tests.support.pool_setup import assign, call, caller_id, make_pool
from tests.support.redis_topologies import node
from tests.support.tcp_proxy import tcp_proxy

_SHARED = """
local answers, at = {}, 1
while ARGV[at] do
  local word = ARGV[at + 2]
  answers[#answers + 1] = word == 'bad' and redis.error_reply('BROKEN it is') or word
  at = at + 2 + ARGV[at + 1]
end
return answers
"""


def flights(redis: RedisClient) -> Flights:
    sha = hashlib.sha1(_SHARED.encode(), usedforsecurity=False).hexdigest()
    shared = Script("shared", _SHARED, sha, 1)
    return Flights(redis, "{test}", shared, shared, tuple)


async def test_a_call_that_asks_as_soon_as_the_flights_have_landed_is_answered(redis_client: Redis) -> None:
    shared = flights(redis_client)

    async def caller(name: int) -> list[str]:
        return [await shared.ask("assign", f"{name}.{turn}") for turn in range(20)]

    async with asyncio.timeout(30):
        for callers in (1, 2, 3, 33, 64, 65):
            answers = await asyncio.gather(*(caller(name) for name in range(callers)))

            assert answers == [[f"{name}.{turn}" for turn in range(20)] for name in range(callers)]


async def test_who_is_told_at_once_and_fails_costs_the_others_nothing(redis_client: Redis) -> None:
    shared = flights(redis_client)
    await shared.ask("assign", "loaded")
    told: list[object] = []

    def fails(answer: object) -> None:
        told.append(answer)
        raise LookupError

    shared.ask_then("assign", ("first",), fails)
    shared.ask_then("assign", ("bad",), told.append)
    answers = [await shared.ask("assign", word) for word in ("third", "fourth")]

    assert answers == ["third", "fourth"]
    assert told[0] == "first"
    assert isinstance(told[1], ResponseError)


async def test_the_error_of_one_call_is_its_own(redis_client: Redis) -> None:
    shared = flights(redis_client)
    words = ["first", "bad", "third", "bad", "fifth"]
    answers = await asyncio.gather(*(shared.ask("assign", word) for word in words), return_exceptions=True)

    assert [answer for answer in answers if isinstance(answer, str)] == ["first", "third", "fifth"]
    assert [type(answer) for answer in answers if not isinstance(answer, str)] == [ResponseError] * 2


async def test_a_word_that_cannot_be_sent_stops_nobody_else(redis_client: Redis) -> None:
    shared = flights(redis_client)
    broken: Any = object()

    for _ in range(5):
        with pytest.raises(TypeError):
            await shared.ask("assign", broken)

    assert await shared.ask("assign", "well") == "well"


async def test_what_is_told_does_not_stand_in_the_way_of_who_waits(redis_client: Redis) -> None:
    shared = flights(redis_client)
    order: list[str] = []

    async def ask(name: str, word: str) -> None:
        order.append(await shared.ask(name, word))

    # With the connection made and both scripts known, what arrives first is what left first.
    await asyncio.gather(shared.ask("assign", "before"), shared.ask("release", "before"))
    await asyncio.gather(*(ask("release", "told") for _ in range(40)), *(ask("assign", "waits") for _ in range(4)))

    assert order.index("waits") <= 16
    assert sorted(order) == ["told"] * 40 + ["waits"] * 4


async def test_a_server_that_is_slow_is_not_asked_again_and_not_waited_for(redis_client: Redis) -> None:
    slow = connect(f"unix://{redis_client.connection_pool.connection_kwargs['path']}", timeout_s=0.5)
    shared = flights(slow)
    assert await shared.ask("assign", "before") == "before"
    await redis_client.client_pause(1500)

    began = time.monotonic()
    answers = await asyncio.gather(*(shared.ask("assign", "x") for _ in range(50)), return_exceptions=True)
    took_s = time.monotonic() - began

    assert {type(answer) for answer in answers} == {TimeoutError}
    assert took_s < 5  # one after the other they would wait 25 s
    await asyncio.sleep(1.6)
    assert await shared.ask("assign", "after") == "after"
    await slow.aclose()


async def test_a_connection_that_is_cut_is_made_anew_for_what_was_asked(redis_client: Redis) -> None:
    shared = flights(redis_client)
    assert await shared.ask("assign", "before") == "before"

    for _ in range(5):
        await redis_client.client_kill_filter(_type="normal", skipme=True)

        assert await asyncio.gather(*(shared.ask("assign", str(n)) for n in range(40))) == [str(n) for n in range(40)]


@pytest.mark.parametrize("lost", ["reset", "closed"])
async def test_an_idle_connection_that_was_lost_is_not_taken_over(redis_client: Redis, lost: str) -> None:
    path = Path(redis_client.connection_pool.connection_kwargs["path"])
    async with tcp_proxy(path) as proxy:
        client = connect(f"redis://127.0.0.1:{proxy.port}", timeout_s=2)
        shared = flights(client)
        for _ in range(3):
            await asyncio.gather(client.ping(), client.ping())  # two that are idle
            if lost == "reset":
                proxy.reset()
            else:
                await redis_client.client_kill_filter(_type="normal", skipme=True)
            await asyncio.sleep(0.05)

            began = time.monotonic()
            answers = await asyncio.gather(*(shared.ask("assign", str(n)) for n in range(40)))

            assert answers == [str(n) for n in range(40)]
            assert time.monotonic() - began < 2  # its time limit
        await client.aclose()


async def test_a_wire_that_is_gone_fails_what_it_is_given_once(redis_client: Redis) -> None:
    connection: Any = await redis_client.connection_pool.get_connection()  # type: ignore[no-untyped-call]
    wire = Wire(connection, 1)
    wire._transport.abort()
    await asyncio.sleep(0.01)
    told: list[tuple[Any, Exception | None]] = []

    wire.send(("PING",), lambda answer, lost: told.append((answer, lost)))
    wire.shut(RedisConnectionError("again"))

    assert [(answer, type(lost)) for answer, lost in told] == [(None, RedisConnectionError)]
    await connection.disconnect(nowait=True)
    await redis_client.connection_pool.release(connection)


@pytest.mark.parametrize("new_loop", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_an_answer_can_be_read_in_the_turn_in_which_it_was_asked_for(
    redis_url: str, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def ask_without_a_turn() -> list[str]:
        client = connect(redis_url)
        shared = flights(client)
        await shared.ask("assign", "before")
        told: list[str] = []

        shared.ask_then("assign", ("asked",), told.append)
        until = time.monotonic() + 5
        while not told and time.monotonic() < until:
            shared.read_answers()
        in_the_same_turn = list(told)

        in_the_next_ones = await asyncio.gather(*(shared.ask("assign", word) for word in "abc"))
        await client.aclose()
        return [*in_the_same_turn, *in_the_next_ones]

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(ask_without_a_turn()) == ["asked", "a", "b", "c"]


async def test_who_is_told_an_answer_does_not_take_those_behind_it_before_the_others(redis_client: Redis) -> None:
    shared = flights(redis_client)
    await shared.ask("assign", "loaded")
    told: list[str] = []

    def looks_again(answer: str) -> None:
        time.sleep(0.02)  # the next answers are there
        shared.read_answers()
        told.append(answer)

    for number in range(30):
        shared.ask_then("assign", (f"{number}",), looks_again)
    assert await shared.ask("assign", "last") == "last"

    assert told == [f"{number}" for number in range(30)]


@pytest.mark.parametrize("new_loop", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_a_connection_that_ended_is_not_read_any_more(
    redis_url: str, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def end_and_read() -> bytes:
        client = connect(redis_url)
        connection: Any = await client.connection_pool.get_connection()  # type: ignore[union-attr]
        wire = Wire(connection, 1)
        wire.send(("CLIENT", "PAUSE", "100"), lambda *_: None)
        wire.send(("PING",), lambda *_: None)
        number = wire._transport.get_extra_info("socket").fileno()
        wire._transport.abort()
        mine, others = socket.socketpair()
        with mine, others:
            # What the system does itself with the next socket: give it the number that has become free.
            os.dup2(others.fileno(), number)
            mine.send(b"somebody else's")

            wire.read_answers()

            left = others.recv(100, socket.MSG_DONTWAIT)
        await connection.disconnect(nowait=True)
        await client.connection_pool.release(connection)  # type: ignore[union-attr]
        await client.aclose()
        return left

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(end_and_read()) == b"somebody else's"


async def test_a_cut_that_is_met_in_the_middle_of_a_turn_is_left_to_the_loop(redis_client: Redis) -> None:
    client = connect(f"unix://{redis_client.connection_pool.connection_kwargs['path']}")
    shared = flights(client)
    assert await shared.ask("assign", "before") == "before"
    told: list[str] = []

    await redis_client.client_kill_filter(_type="normal", skipme=True)
    shared.ask_then("assign", ("after",), told.append)
    shared.read_answers()

    assert await shared.ask("assign", "later") == "later"
    assert told == ["after"]
    await client.aclose()


async def test_over_tls_with_a_password_and_after_a_cut(tmp_path: Path) -> None:
    authority = new_authority(tmp_path, "authority")
    certificate, key, port = tmp_path / "redis.pem", tmp_path / "redis.key", free_port()
    authority.sign("IP:127.0.0.1", certificate, key)
    files = (f"tls-cert-file {certificate}", f"tls-key-file {key}", f"tls-ca-cert-file {authority.certificate}")
    with node(tmp_path, f"tls-port {port}", *files, "tls-auth-clients no", "user rotator on >s3cret ~* &* +@all"):
        client = connect(
            f"rediss://rotator:s3cret@127.0.0.1:{port}/2?ssl_ca_certs={authority.certificate}", timeout_s=2
        )
        shared = flights(client)
        for word in ("first", "x" * 300_000):
            assert await shared.ask("assign", word) == word

            told: list[str] = []
            shared.ask_then("assign", ("encrypted",), told.append)
            time.sleep(0.05)  # noqa: ASYNC251 - in the middle of a turn
            shared.read_answers()
            assert await shared.ask("assign", word) == word
            assert told == ["encrypted"]

            trips: Any = shared._trips
            assert isinstance(trips._wire.connection, SSLConnection)
            await client.client_kill_filter(_type="normal", skipme=True)

            assert await asyncio.gather(*(shared.ask("assign", str(n)) for n in range(40))) == [
                str(n) for n in range(40)
            ]
        await client.aclose()


async def test_many_pools_of_one_client_share_a_connection(redis_client: Redis) -> None:
    client = connect(f"unix://{redis_client.connection_pool.connection_kwargs['path']}")
    many = [flights(client) for _ in range(40)]

    assert await asyncio.gather(*(one.ask("assign", "x") for one in many)) == ["x"] * 40

    mine = [one for one in await client.client_list() if one["cmd"].startswith("evalsha")]
    assert len(mine) == 1
    await client.aclose()


async def test_calls_that_travel_together_get_a_caller_id_each(redis_client: Redis) -> None:
    pool = await make_pool(redis_client, [caller_id(n) for n in range(100)])
    await redis_client.config_resetstat()

    found = await asyncio.gather(*(assign(pool, call(number)) for number in range(1, 65)))

    runs = (await redis_client.info("commandstats"))["cmdstat_fcall"]["calls"]
    given = {item.caller_id for item in found if isinstance(item, Assignment)}
    assert len(given) == 64
    assert runs <= 16  # a run has eight at the most
    assert await violations(redis_client, pool.tag) == []
