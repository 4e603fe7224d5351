"""Redis behind Sentinels and as a Cluster: every script passes, and a failover under load gives no number twice."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ReadOnlyError

from ami_rotator.domain.types import Area, Campaign, Dialer, End, Group, ReservationId
from ami_rotator.errors import PoolUnavailableError, SettingsError
from ami_rotator.ledger.database import Database
from ami_rotator.pool.connect import RedisClient, connect
from ami_rotator.pool.redis_pool import WarmOrder
from ami_rotator.pool.scripts import load_scripts
from tests.chaos.sizes import IS_LONG, sized
from tests.chaos.test_redis_reply_lost import CASES, Step, prepared
from tests.support.pool_checks import violations
from tests.support.pool_load import Call, Load, Stores, fill_inventory, ledger, running, stores, until
from tests.support.redis_topologies import Cluster, Node, Sentinels, cluster, node, sentinels
from tests.support.tcp_proxy import TcpProxy, tcp_proxy

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600 if IS_LONG else 240)]


@pytest.fixture(scope="module")
def three_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster")) as one:
        yield one


@pytest.fixture
async def on_cluster(three_nodes: Cluster) -> AsyncIterator[RedisClient]:
    client = connect(three_nodes.url, timeout_s=2)
    yield client
    await client.aclose()


@pytest.mark.parametrize(("name", "what", "before", "act"), CASES, ids=[f"{c[0]}: {c[1]}" for c in CASES])
async def test_every_script_passes_on_a_cluster(
    on_cluster: RedisClient, name: str, what: str, before: Step, act: Step
) -> None:
    pool = await prepared(on_cluster, before)

    await act(pool)


async def test_what_is_no_script_passes_on_a_cluster_too(on_cluster: RedisClient, database: Database) -> None:
    """Inventory, policies, snapshot, live calls, the ledger's consumer: for inventories in slots of each node."""
    for _ in range(4):
        part = stores(on_cluster, database, uuid.uuid4().hex[:12])
        async with database.connection() as connection:
            await connection.execute("TRUNCATE caller_ids, calls")
        await fill_inventory(database, 10)
        await part.sync.sync()
        await part.sync.sync()
        load = Load([part], 0)
        call = await load.place()
        assert call is not None
        await part.pool.confirm(call.key, call.number, "17.5")
        assert [live.reservation for live in await part.pool.live_calls(Dialer("d1"))] == [call.reservation]
        assert (await part.pool.snapshot()).live == 1
        await part.pool.warm(WarmOrder(Campaign("SALES"), Area("212"), [Group("default")], 2))
        await part.pool.demand(5)
        await part.pool.ping()
        await part.pool.release(call.key, End("answered"))
        assert await part.outbox.drain()
        assert await ledger(database) == {call.reservation: (call.number, "answered")}


async def test_a_cluster_node_that_dies_under_load(tmp_path: Path, database: Database) -> None:
    with cluster(tmp_path) as nodes:
        client = connect(nodes.url)
        part = stores(client, database, uuid.uuid4().hex[:12])
        await fill_inventory(database, 100)
        await part.sync.sync()
        load = Load([part], workers=10)
        took_s = []
        async with running(part, every_s=0.5), load.running():
            for _ in range(sized(1, 5)):
                await asyncio.sleep(1)
                primary = await asyncio.to_thread(nodes.primary_of, f"epoch:{part.pool.tag}")
                await asyncio.to_thread(primary.kill)
                took_s.append(await _served_again(load))
                await asyncio.sleep(2)
                if IS_LONG:
                    await asyncio.to_thread(primary.start_again)
                    await asyncio.to_thread(nodes.wait_until_whole)
        assert await part.outbox.drain(20)
        await client.aclose()
    print(
        f"cluster: {len(load.calls)} calls, served again after {[round(s, 1) for s in took_s]} s, {dict(load.misses)}"
    )
    assert load.faults == []
    assert max(took_s) < 30
    assert {call.reservation for call in load.calls} <= (await ledger(database)).keys()


@pytest.mark.parametrize("how", ["kill", pytest.param("freeze", marks=pytest.mark.thorough)])
async def test_a_sentinel_failover_under_load(tmp_path: Path, database: Database, how: str) -> None:
    with sentinels(tmp_path) as servers:
        client = connect(servers.url)
        part = stores(client, database, uuid.uuid4().hex[:12])
        await fill_inventory(database, 100)
        await part.sync.sync()
        load = Load([part], workers=10)
        took_s = []
        async with running(part, every_s=0.5), load.running():
            for _ in range(sized(1, 5)):
                await asyncio.sleep(1)
                primary = await asyncio.to_thread(servers.primary)
                await asyncio.to_thread(primary.kill if how == "kill" else primary.freeze)
                took_s.append(await _served_again(load))
                await asyncio.sleep(1)
                if how == "freeze":
                    primary.thaw()
                elif IS_LONG:
                    await asyncio.to_thread(primary.start_again)
                if how == "freeze" or IS_LONG:
                    await asyncio.to_thread(_until_replica, servers, primary.port)
            await asyncio.sleep(1)
        assert await part.outbox.drain(20)
        direct = Redis(port=(await asyncio.to_thread(servers.primary)).port, decode_responses=True)
        broken = await violations(direct, part.pool.tag)
        await direct.aclose()
        await client.aclose()
    print(f"{how}: {len(load.calls)} calls, served again after {[round(s, 1) for s in took_s]} s, {dict(load.misses)}")
    assert load.faults == []
    assert max(took_s) < 30
    assert broken == []
    assert {call.reservation for call in load.calls} <= (await ledger(database)).keys()


@dataclass(frozen=True, slots=True)
class Moved:
    """What such a failover needs."""

    load: Load
    parts: list[Stores]
    proxy: TcpProxy
    primary: Node
    replica: Node

    def cut_off(self) -> None:
        """Let the replica have all until now, and nothing from here on."""
        with self.primary.client() as client:
            assert client.wait(1, 10_000) == 1
        self.replica.ask("REPLICAOF", "NO", "ONE")

    def take_over(self) -> None:
        """Let the replica be the one that the daemons talk to."""
        self.proxy.target = ("127.0.0.1", self.replica.port)
        self.proxy.reset()


@asynccontextmanager
async def moved_away(folder: Path, database: Database, count: int) -> AsyncIterator[Moved]:
    """Two daemons on a primary, and a replica that they can be moved to without what comes after it was cut off."""
    with node(folder) as primary, node(folder, f"replicaof 127.0.0.1 {primary.port}") as replica:
        await fill_inventory(database, count)
        async with tcp_proxy(("127.0.0.1", primary.port)) as proxy:
            clients = [connect(f"redis://127.0.0.1:{proxy.port}", timeout_s=5) for _ in range(2)]
            inventory = uuid.uuid4().hex[:12]
            parts = [stores(client, database, inventory, name) for client, name in zip(clients, "ab", strict=True)]
            for part in parts:
                await part.sync.sync()
            yield Moved(Load(parts, 0), parts, proxy, primary, replica)
            for client in clients:
                await client.aclose()


async def test_a_replica_gives_nothing_out_before_each_daemon_has_said_what_it_gave(
    tmp_path: Path, database: Database
) -> None:
    async with moved_away(tmp_path, database, 4) as at:
        first = await at.load.place(at.parts[0])
        at.cut_off()
        short = given(await at.load.place(at.parts[0]))
        await at.load.end(short)
        unknown = [await at.load.place(part) for part in at.parts]
        at.take_over()

        early = await at.load.place(at.parts[0])
        with pytest.raises(PoolUnavailableError, match="brought back"):
            await at.parts[0].pool.release(given(unknown[1]).key, End("answered"))
        done = await asyncio.gather(*(part.sync.sync() for part in at.parts))
        await asyncio.gather(*(part.sync.sync() for part in at.parts))
        after = [await at.load.place(part) for part in at.parts]

        assert (early, at.load.misses) == (None, {"unavailable": 1, "none_free": 1})
        assert sorted(text.partition(" in ")[0] for text in done) == [
            "3 reservations brought back",
            "another daemon makes up for what Redis lost",
        ]
        assert [call is not None for call in after] == [True, False]
        assert at.load.faults == []
        for call in (first, *unknown):
            assert await at.parts[0].pool.release(given(call).key, End("answered")) == given(call).number
        for part in at.parts:
            assert await part.outbox.drain()
        recorded = await ledger(database)
    assert {given(call).reservation for call in (first, short, *unknown, after[0])} == set(recorded)
    assert recorded[short.reservation] == (short.number, "answered")


async def test_a_former_primary_that_is_back_gives_nothing_of_what_was_given_meanwhile(
    tmp_path: Path, database: Database
) -> None:
    """It never stopped, and is whole by what it knows itself: as where Sentinels named another one for some seconds."""
    async with moved_away(tmp_path, database, 3) as at:
        part = at.parts[0]
        await part.sync.sync()
        first = given(await at.load.place(part))
        at.cut_off()
        at.take_over()
        await part.sync.sync()
        meanwhile = given(await at.load.place(part))
        at.proxy.target = ("127.0.0.1", at.primary.port)
        at.proxy.reset()

        early = await at.load.place(part)
        await part.sync.take_over.check()
        late = given(await at.load.place(part))

        assert (early, at.load.misses) == (None, {"unavailable": 1})
        assert len({first.number, meanwhile.number, late.number}) == 3
        assert at.load.faults == []
        for call in (first, meanwhile, late):
            assert await part.pool.release(call.key, End("answered")) == call.number
        assert await part.outbox.drain()
        recorded = await ledger(database)
    assert {call.reservation for call in (first, meanwhile, late)} == set(recorded)


async def test_a_daemon_whose_postgresql_hangs_leaves_its_book_in_time(tmp_path: Path, database: Database) -> None:
    async with moved_away(tmp_path, database, 2) as at:
        at.cut_off()
        call = given(await at.load.place(at.parts[1]))
        at.take_over()

        # Its sync waits for PostgreSQL, and nobody else of it may work at the inventory meanwhile.
        async with at.parts[1].sync._turn:
            await asyncio.gather(at.parts[0].sync.sync(), at.parts[1].sync.take_over.check())
        await at.parts[0].sync.take_over.check()  # where the other one opened it, this one sees so now

        assert given(await at.load.place(at.parts[0])).number != call.number
        assert at.load.faults == []


async def test_a_daemon_that_has_no_postgresql_opens_a_redis_that_was_started_again(
    tmp_path: Path, database: Database
) -> None:
    async with moved_away(tmp_path, database, 2) as at:
        call = given(await at.load.place(at.parts[0]))
        at.cut_off()
        at.take_over()
        client = connect(f"redis://127.0.0.1:{at.replica.port}")
        async with Database.open("postgresql://postgres@127.0.0.1:1/none", timeout_s=1) as none:
            late = stores(client, none, at.parts[0].pool.tag.strip("{}"))
            await late.sync.take_over.check()

            assert given(await at.load.place(late)).number != call.number
        await client.aclose()


async def test_a_number_whose_end_and_next_call_a_replica_lacks_stays_with_that_call(
    tmp_path: Path, database: Database
) -> None:
    async with moved_away(tmp_path, database, 1) as at:
        before = given(await at.load.place(at.parts[0]))
        at.cut_off()
        await at.load.end(before)
        now = given(await at.load.place(at.parts[1]))
        at.take_over()

        await asyncio.gather(*(part.sync.sync() for part in at.parts))
        await asyncio.gather(*(part.sync.sync() for part in at.parts))  # the other one sees that it is open
        # What a comparison with the dialer does: the call before is not up any more.
        await at.parts[0].pool.release(before.key, End("unknown"), ReservationId(before.reservation))
        assert await at.load.place() is None
        await at.load.end(now)

        assert given(await at.load.place()).number == before.number
        assert at.load.faults == []
        direct = Redis(port=at.replica.port, decode_responses=True)
        broken = await violations(direct, at.parts[0].pool.tag)
        await direct.aclose()
    assert broken == []


async def test_a_replica_is_left_at_its_first_answer(tmp_path: Path, database: Database) -> None:
    """Whether it has the epoch of another server or, a primary until now, its own: its client must look for the primary."""
    async with moved_away(tmp_path, database, 2) as at:
        at.proxy.target = ("127.0.0.1", at.replica.port)
        at.proxy.reset()
        with pytest.raises(PoolUnavailableError, match="ReadOnlyError"):
            await at.parts[0].sync.sync()
        assert await at.load.place() is None
        at.cut_off()
        await at.parts[0].sync.sync()
        at.replica.ask("CONFIG", "SET", "replica-serve-stale-data", "yes")
        at.replica.ask("REPLICAOF", "127.0.0.1", "1")

        client = connect(f"redis://127.0.0.1:{at.replica.port}")
        flights = stores(client, database, at.parts[0].pool.tag.strip("{}")).pool._flights
        asked = ("EVALSHA", flights._assigning.sha, 1, at.parts[0].pool.tag, *flights._zone(), *ASKED)
        outcome = asyncio.get_running_loop().create_future()
        flights._trips.send(asked, lambda _, lost: outcome.set_result(lost))
        assert isinstance(await outcome, ReadOnlyError)
        await client.aclose()


ASKED = ("assign", 14, "id", 60_000, "SALES", "", "x", "d1", "V1", "", "", "", "ami", "", "area\tdefault\t212", "")


async def test_a_connection_that_broke_asks_the_sentinels_again(tmp_path: Path) -> None:
    """The one that was primary may be back under its old address, empty, before it is told that it is not any more."""
    with node(tmp_path) as former, node(tmp_path) as primary:
        client = connect("redis+sentinel://127.0.0.1:1/calls")
        assert isinstance(client, Redis)
        pool: Any = client.connection_pool
        named = [former.port]

        async def named_by_sentinels() -> tuple[str, int]:
            return "127.0.0.1", named[-1]

        pool.get_master_address = named_by_sentinels
        connection = await pool.get_connection()
        before = connection.port
        await connection.disconnect()
        named.append(primary.port)
        await connection.send_packed_command(connection.pack_command("PING"))

        assert await connection.read_response() == "PONG"
        assert (before, connection.port) == (former.port, primary.port)
        await pool.release(connection)
        await client.aclose()


def given(call: Call | None) -> Call:
    """Return a call that got its number."""
    assert call is not None
    return call


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://",
        "redis+sentinel://h:1",
        "redis+sentinel://h:x/s",
        "redis+cluster://h/3",
        "http://h",
        "redis+x://h",
    ],
)
def test_a_url_that_cannot_be_used_says_what_to_write(url: str) -> None:
    with pytest.raises(SettingsError, match=r"redis\+sentinel://HOST"):
        connect(url)


def test_scripts_take_one_key_the_tag_so_that_all_of_an_inventory_is_in_one_slot() -> None:
    assert {script.keys for script in load_scripts().values()} == {1}


async def _served_again(load: Load) -> float:
    """Wait until calls that began after a timeout from now are served; return how long it took."""
    began = time.monotonic()

    async def serves() -> bool:
        return sum(at > began + 0.6 for at in load.assigned_at_s[-50:]) >= 3

    return await until(serves, 60)


def _until_replica(servers: Sentinels, port: int) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        one = next(node for node in servers.nodes if node.port == port)
        if one.client().info("replication")["role"] == "slave":
            return
        time.sleep(0.1)
    raise TimeoutError("the old primary did not become a replica")
