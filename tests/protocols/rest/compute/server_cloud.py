"""A cloud with a host, a network and an image, and servers as rows: what tests of servers' routes speak to."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, cast

from attrs import evolve
from sqlalchemy import Connection, insert, select, update

from cloudd import compute as service
from cloudd import network
from cloudd.compute import Flavor, Server, Share, State
from cloudd.database import now_us, tables
from cloudd.image import Image, image_record
from cloudd.image import _rows as image_rows
from cloudd.nodes import _rows as node_rows
from cloudd.protocols.rest.compute import compute_face
from tests.http_client import HTTPClient

from .cloud import ADMIN, ALICE, BOB, READER, ComputeCase

__all__ = ["ADMIN", "ALICE", "BOB", "NODE", "READER", "ServerCase"]

NODE = "0" * 31 + "7"
HOST = "n7"
IMAGE = "11111111-1111-4111-8111-111111111111"


def add_host(connection: Connection, node_id: str, name: str, **values: Any) -> None:
    """A node that runs servers, as it would say of itself."""
    node_rows.enter(connection, node_id, name, ["agents"], "ready", "tests")
    beat = node_rows.Beat(
        version="1",
        code_hash="c",
        generation=1,
        payloads={},
        load={"up_s": 266_735, "load1": 0.5},
        beat_s=60.0,
        address="10.1.2.3:5005",
    )
    node_rows.beat(connection, node_id, beat)
    row: dict[str, Any] = {
        "node_id": node_id, "name": name, "driver": "simulated", "kind": "simulated", "hypervisor_version": 1_000_000,
        "vcpus": 8, "memory_mib": 16_384, "disk_gib": 100, "vcpu_ratio": 1.0, "memory_ratio": 1.0, "disk_ratio": 1.0,
        "architecture": "x86_64", "cpu_model": "qemu64", "real": False, "is_enabled": True,
    }  # fmt: skip
    connection.execute(insert(tables.compute_host).values(**row | values, created_us=now_us(), updated_us=now_us()))


def claim(connection: Connection, server_id: str, flavor: Flavor, purpose: str = "server") -> None:
    """A claim on the one host."""
    row: dict[str, Any] = {
        "server_id": server_id, "node_id": NODE, "purpose": purpose, "vcpus": flavor.vcpus,
        "memory_mib": flavor.ram_mib, "disk_gib": flavor.disk_gib,
    }  # fmt: skip
    connection.execute(insert(tables.server_claim).values(**row, created_us=now_us()))


class ServerCase(ComputeCase):
    """
    Base of the tests.  ``poked``: how often tasks were to begin.
    """

    def setUp(self) -> None:
        super().setUp()
        self.poked = 0
        images = evolve(self.resources.settings.images, quota_images=3)
        settings = evolve(self.resources.settings, images=images)
        self.resources = evolve(self.resources, settings=settings)
        face = compute_face(cast(Any, self.tokens), self.resources, self.images, poke=self._poke)
        self.client = HTTPClient(face)
        with self.database.engine.begin() as connection:
            add_host(connection, NODE, HOST)
            image = Image(
                id=IMAGE, project_id="p1", name="debian", status="active", disk_format="qcow2", min_ram=64,
                container_format="bare", size=1_000_000, virtual_size=2_000_000, properties={"os_distro": "debian"},
            )  # fmt: skip
            image_rows.create(connection, image)

    def _poke(self) -> None:
        self.poked += 1

    # ---- rows

    def flavor(self, flavor_id: str = "1") -> Flavor:
        """One by its id in the API."""
        with self.database.engine.begin() as connection:
            return service.one_flavor(connection, self.client_access(ADMIN), flavor_id)

    def add(self, state: State = State.ACTIVE, who: str = ALICE, flavor: str = "1", **values: Any) -> str:
        """Id of a new server that has run once on the one host."""
        access = self.client_access(who)
        size = self.flavor(flavor)
        server = Server(
            id=str(uuid.uuid4()), project_id=access.project_id or "", user_id=access.user_id, name="s", host_name="s",
            flavor=size.id, image_id=IMAGE, state=state, node_id=NODE, host=HOST, launched_us=1,
        )  # fmt: skip
        server = evolve(server, **values)
        with self.database.engine.begin() as connection:
            service.add_server(connection, server)
            service.reserve(
                connection, server.project_id, server.user_id,
                [Share(server.id, size.vcpus, size.ram_mib, size.disk_gib, server.name, size.name)],
            )  # fmt: skip
            if server.node_id:
                claim(connection, server.id, size)
        return server.id

    def row(self, server_id: str) -> Server:
        """As it is now."""
        with self.database.engine.begin() as connection:
            return service.read_server(connection, server_id)

    def write(self, server_id: str, **columns: Any) -> None:
        """Another state of its row."""
        with self.database.engine.begin() as connection:
            service.change_server(connection, server_id, **columns)

    def tasks(self) -> list[tuple[str, str | None, dict[str, Any]]]:
        """Kind, node and payload of those that were ordered, oldest first."""
        columns = tables.task.c
        with self.database.engine.begin() as connection:
            rows = connection.execute(select(tables.task).order_by(columns.created_us)).all()
        return [(row.kind, row.node_id, json.loads(row.payload)) for row in rows]

    def forget_tasks(self) -> None:
        """For the next order."""
        with self.database.engine.begin() as connection:
            connection.execute(tables.task.delete())

    def end_task(self, result: Mapping[str, Any] | None = None, cause: str = "") -> None:
        """The one task that was ordered has ended."""
        values = {"state": "failed" if cause else "done", "cause": cause, "result": json.dumps(result or {})}
        with self.database.engine.begin() as connection:
            connection.execute(update(tables.task).values(values))

    def history(self, server_id: str) -> list[tuple[str, str, str]]:
        """Action, user and project of each, oldest first."""
        columns = tables.server_action.c
        with self.database.engine.begin() as connection:
            query = select(tables.server_action).where(columns.server_id == server_id).order_by(columns.started_us)
            return [(row.action, row.user_id, row.project_id) for row in connection.execute(query)]

    def image(self, image_id: str) -> Image:
        """As administrators see it."""
        with self.database.engine.begin() as connection:
            return image_record(connection, self.client_access(ADMIN), image_id)

    # ---- calls

    async def act(self, status: int, server_id: str, body: Any, who: str = ALICE, version: str = "") -> Any:
        """An action that must have this status; gives its JSON, or None for an empty body."""
        return await self.good(status, who, "POST", f"/servers/{server_id}/action", body, version)

    async def conflict(self, server_id: str, body: Any, who: str = ALICE) -> str:
        """An action that must be refused with 409; gives why."""
        return await self.refused(409, "conflictingRequest", who, "POST", f"/servers/{server_id}/action", body)

    async def bad(self, server_id: str, body: Any, who: str = ALICE, version: str = "") -> str:
        """An action that must be refused with 400; gives why."""
        return await self.refused(400, "badRequest", who, "POST", f"/servers/{server_id}/action", body, version)

    def net(self, who: str = ALICE, cidr: str = "10.0.0.0/24", **values: Any) -> network.Network:
        """A network with a subnet."""
        access = self.client_access(who)
        project_id = access.project_id or ""
        with self.database.engine.begin() as connection:
            made = network.create_network(connection, access, network.Network(id="", project_id=project_id, **values))
            if cidr:
                subnet = network.Subnet(id="", project_id=project_id, network_id=made.id, ip_version=4, cidr=cidr)
                network.create_subnet(connection, access, subnet, frozenset())
            return network.one_network(connection, access, made.id)

    def ports(self, who: str = ADMIN, ids: Sequence[str] | None = None) -> list[network.Port]:
        """All ports, or some."""
        listing = network.Listing(filters={} if ids is None else {"id": list(ids)})
        with self.database.engine.begin() as connection:
            return network.listed_ports(connection, self.client_access(who), listing)
