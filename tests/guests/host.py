"""A host with a simulated hypervisor, records to build servers of, and what a scheduler would have written."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field
from sqlalchemy import Connection, insert, select

from cloudd.compute import (
    Doing,
    Flavor,
    Server,
    Share,
    State,
    Wanted,
    WantedNetwork,
    add_server,
    change_server,
    read_server,
    reserve,
)
from cloudd.database import now_us, tables
from cloudd.drivers import SimulatedDriver
from cloudd.guests import Means, NoConfigDrives, NoDataPlane, NoImageFiles
from cloudd.guests._means import _access
from cloudd.identity import Access
from cloudd.image import Image, NoSuchImage
from cloudd.interfaces.servers import Power
from cloudd.network import Network, Subnet, create_network, create_subnet
from cloudd.tasks import Form, submit

NODE, HOST = "node-1", "host-1"
PROJECT, USER = "project", "user"
SMALL = Flavor(id="small", flavor_id="test-1", name="small", ram_mib=64, vcpus=1, disk_gib=1)
BIG = Flavor(id="big", flavor_id="test-2", name="big", ram_mib=128, vcpus=2, disk_gib=2)
REQUEST = "req-1"


def member() -> Access:
    """Of the project."""
    return _access(
        Server(id="", project_id=PROJECT, user_id=USER, name="", host_name="", flavor=""), ("member", "reader")
    )


def administrator() -> Access:
    """Who may reset states."""
    return _access(
        Server(id="", project_id=PROJECT, user_id="root", name="", host_name="", flavor=""),
        ("admin", "member", "reader"),
    )


def furnish(connection: Connection) -> str:
    """Flavors, and a network with a subnet; its id."""
    for flavor in (SMALL, BIG):
        size = {"ram_mib": flavor.ram_mib, "vcpus": flavor.vcpus, "disk_gib": flavor.disk_gib, "ephemeral_gib": 0}
        rest = {
            "swap_mib": 0,
            "rxtx_factor": 1.0,
            "is_public": True,
            "disabled": False,
            "created_us": 1,
            "updated_us": 1,
        }
        names = {"id": flavor.id, "flavor_id": flavor.flavor_id, "name": flavor.name}
        connection.execute(insert(tables.flavor).values(**names, **size, **rest))
    network = create_network(connection, member(), Network(id="", project_id=PROJECT, name="net"))
    subnet = Subnet(id="", project_id=PROJECT, network_id=network.id, ip_version=4, cidr="10.0.0.0/16")
    create_subnet(connection, member(), subnet, frozenset())
    return network.id


def place(connection: Connection, /, server_id: str, **facts: Any) -> None:
    """A server as its API and the scheduler leave it: placed here, with its claim and share, and an action."""
    values: dict[str, Any] = {
        "name": "s",
        "host_name": "s",
        "flavor": SMALL.id,
        "state": State.BUILDING,
        "doing": Doing.SPAWNING,
        "node_id": NODE,
        "host": HOST,
        "networks": (),
        **facts,
    }
    add_server(connection, Server(id=server_id, project_id=PROJECT, user_id=USER, **values))
    if connection.execute(select(tables.server_share).where(tables.server_share.c.server_id == server_id)).first():
        return
    reserve(connection, PROJECT, USER, [Share(server_id, 1, 64, 1, "s", "small")])
    claim(connection, server_id, "server", SMALL)
    act(connection, server_id, "create")


def claim(connection: Connection, server_id: str, purpose: str, flavor: Flavor) -> None:
    size = {"vcpus": flavor.vcpus, "memory_mib": flavor.ram_mib, "disk_gib": flavor.disk_gib}
    row = {"server_id": server_id, "node_id": NODE, "purpose": purpose, "created_us": now_us(), **size}
    connection.execute(insert(tables.server_claim).values(**row))


def grown(connection: Connection, server_id: str) -> None:
    """A resize from small to big was ordered."""
    change_server(connection, server_id, flavor="big", flavor_before="small")
    claim(connection, server_id, "resize", BIG)


def act(connection: Connection, server_id: str, action: str, request_id: str = REQUEST) -> None:
    """Somebody has asked for it."""
    who = {"project_id": PROJECT, "user_id": USER, "started_us": now_us(), "updated_us": now_us()}
    ids = {"id": uuid.uuid4().hex, "server_id": server_id, "request_id": request_id}
    connection.execute(insert(tables.server_action).values(**ids, action=action, **who))


def order(connection: Connection, /, form: Form, server_id: str, doing: Doing | None = None, **payload: Any) -> str:
    """As the API does: the task, and what is being done, in one transaction."""
    if doing is not None:
        wanted = {"wanted": Wanted.DELETED.value} if doing is Doing.DELETING else {}
        change_server(connection, server_id, task_state=doing.value, **wanted)
    facts: dict[str, Any] = {
        "project_id": PROJECT,
        "resource": server_id,
        "request_id": REQUEST,
    }  # of any node: a walk has one
    return submit(connection, form, {"server_id": server_id, **payload}, **facts)


@define(eq=False)
class Plugs:
    """Taps that are files of a folder, so that any process sees what is plugged."""

    _folder: Path

    async def plug(self, port_ids: Sequence[str]) -> Mapping[str, str]:
        self._folder.mkdir(exist_ok=True)
        for port_id in port_ids:
            (self._folder / port_id).touch()
        return {port_id: f"tap{port_id[:8]}" for port_id in port_ids}

    async def unplug(self, port_ids: Sequence[str]) -> None:
        for port_id in port_ids:
            (self._folder / port_id).unlink(missing_ok=True)

    @property
    def plugged(self) -> int:
        return len(list(self._folder.iterdir())) if self._folder.exists() else 0


@define(eq=False)
class ImageRecords:
    """Of one image."""

    async def get(self, access: Access, image_id: str) -> Image:
        if image_id != "image":
            raise NoSuchImage(image_id)
        return Image(id="image", project_id=PROJECT, size=1000)


@define(eq=False)
class Kept:
    """
    Data of images, as files of a folder.

    :ivar then: done when one was kept
    """

    _folder: Path
    then: Callable[[], Awaitable[None]] | None = None

    async def keep(self, image_id: str, file: Path) -> None:
        self._folder.mkdir(exist_ok=True)
        (self._folder / image_id).write_bytes(file.read_bytes())
        if self.then is not None:
            await self.then()

    async def drop(self, image_id: str) -> None:
        (self._folder / image_id).unlink(missing_ok=True)

    async def delete(self, image_id: str) -> None:
        await self.drop(image_id)


@define(eq=False)
class TestHost:
    """
    One process's view of the host below a folder.

    :ivar driver: as kinds see it, started when it is asked for
    """

    reactor: Any
    folder: Path
    database: Any
    threads: Any
    driver: Any = field(init=False)
    plugs: Any = field(init=False)
    kept: Any = field(init=False)
    images: Any = field(init=False, factory=ImageRecords)
    seen: list[Any] = field(init=False, factory=list)
    _started: bool = field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self.driver = SimulatedDriver(self.reactor, self.folder / "guests", self.threads)
        self.plugs, self.kept = Plugs(self.folder / "taps"), Kept(self.folder / "kept")

    async def ready_driver(self) -> Any:
        if not self._started:
            self._started = True
            await self.driver.start(self.seen.append)
        return self.driver

    async def node_id(self) -> str:
        return NODE

    def means(self) -> Means:
        return Means(
            reactor=self.reactor,
            database=self.database,
            threads=self.threads,
            node_id=self.node_id,
            driver=self.ready_driver,
            images=self.images,
            plugging=self.plugs,
            image_files=NoImageFiles(),
            drives=NoConfigDrives(),
            snapshots=self.kept,
            patience_s=1.0,
            folder=self.folder / "snapshots",
        )


_TABLES = ("ports", "port_addresses", "server_interfaces", "server_claims")


def counted(connection: Connection) -> dict[str, int]:
    """What might be left over."""
    return {each: connection.exec_driver_sql(f"SELECT count(*) FROM {each}").scalar_one() for each in _TABLES}


def told(connection: Connection, server_id: str) -> dict[str, Any]:
    """A server, its size and its history, as plain data."""
    server = read_server(connection, server_id)
    events = connection.exec_driver_sql("SELECT name, result FROM server_events ORDER BY name, result").all()
    released = connection.exec_driver_sql("SELECT count(*) FROM server_shares WHERE released_us IS NOT NULL").scalar()
    return {
        "state": server.state,
        "doing": server.doing,
        "wanted": server.wanted,
        "power": Power(server.power).name,
        "flavors": [server.flavor, server.flavor_before],
        "host": server.host,
        "fault": None if server.fault is None else server.fault.message,
        "interfaces": len(server.interfaces),
        "launched": server.launched_us is not None,
        "deleted": server.deleted_us is not None,
        "events": [list(each) for each in events],
        "released": released,
        **counted(connection),
    }


WITH_NETWORK = "with network"


def one_interface(network_id: str) -> tuple[WantedNetwork, ...]:
    return (WantedNetwork(network_id=network_id),)


__all__ = [
    "BIG",
    "HOST",
    "NODE",
    "SMALL",
    "NoDataPlane",
    "TestHost",
    "act",
    "claim",
    "furnish",
    "order",
    "place",
    "told",
]
