"""What tests of servers have: an image, a network of ``p1`` with a subnet, and ways to servers in any state."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event, insert, select, update

from cloudd import network as networks
from cloudd.compute import Interface, Server, add_interface, read_server
from cloudd.compute.quotas._limits import set_limits
from cloudd.database import now_us, tables
from cloudd.network import Network, Port, Subnet

from .cloud import ADMIN, ALICE, ComputeCase

IMAGE = "11111111-1111-4111-8111-111111111111"
NODE = "0" * 31 + "1"
GIB = 1 << 30


class ServerCase(ComputeCase):
    """``ALICE`` has one network, ``lan``, and may have 1,000 servers."""

    def setUp(self) -> None:
        super().setUp()
        with self.database.engine.begin() as connection:
            set_limits(connection, "", "", {"instances": 1_000, "cores": -1, "ram": -1})
        self.add_image(IMAGE)
        self.network_id = self.add_network("lan")

    def add_image(self, image_id: str, project_id: str = "p1", **facts: Any) -> None:
        """One that has data."""
        values = {
            "id": image_id, "project_id": project_id, "name": "i", "status": "active", "visibility": "public",
            "disk_format": "qcow2", "container_format": "bare", "size": 1024, "min_disk": 0, "min_ram": 0,
            "protected": False, "hidden": False,
        }  # fmt: skip
        times = {"created_us": now_us(), "updated_us": now_us()}
        with self.database.engine.begin() as connection:
            connection.execute(insert(tables.image).values(**{**values, **facts, **times}))

    def add_network(self, name: str, who: str = ALICE, cidr: str = "10.0.0.0/22", **facts: Any) -> str:
        """Id of one; an empty ``cidr``: without a subnet."""
        access = self.client_access(who)
        project_id = access.project_id or ""
        with self.database.engine.begin() as connection:
            wanted = Network(id="", project_id=project_id, name=name, **facts)
            made = networks.create_network(connection, self.client_access(ADMIN), wanted)
            if cidr:
                subnet = Subnet(id="", project_id=project_id, network_id=made.id, ip_version=4, cidr=cidr)
                networks.create_subnet(connection, access, subnet, frozenset())
        return made.id

    def add_port(self, network_id: str, who: str = ALICE, **facts: Any) -> Port:
        """One without a device."""
        access = self.client_access(who)
        with self.database.engine.begin() as connection:
            wanted = Port(id="", project_id=access.project_id or "", network_id=network_id, mac_address="", **facts)
            return networks.create_port(connection, access, wanted, None, frozenset())

    def plug(self, server_id: str, network_id: str, position: int = 0) -> Port:
        """A port that the server has, made for it."""
        port = self.add_port(network_id, device_id=server_id, device_owner="compute:nova")
        with self.database.engine.begin() as connection:
            add_interface(connection, server_id, Interface(port_id=port.id, position=position))
        return port

    def new(self, name: str = "s", **more: Any) -> dict[str, Any]:
        """A body."""
        return {"server": {"name": name, "flavorRef": "42", "imageRef": IMAGE, **more}}

    async def boot(self, name: str = "s", who: str = ALICE, version: str = "", **more: Any) -> str:
        """Id of a server that was accepted."""
        made = await self.good(202, who, "POST", "/servers", self.new(name, **more), version)
        return str(made["server"]["id"])

    def set_row(self, server_id: str, **values: Any) -> None:
        """As what builds servers would leave it."""
        with self.database.engine.begin() as connection:
            connection.execute(update(tables.server).where(tables.server.c.id == server_id).values(**values))

    def place(self, server_id: str, **values: Any) -> None:
        """It is active on a host."""
        settled = {"state": "active", "task_state": None, "node_id": NODE, "host": "n1", "power": 1}
        self.set_row(server_id, **{**settled, **values})

    def row(self, server_id: str) -> Server:
        """The server's record."""
        with self.database.engine.begin() as connection:
            return read_server(connection, server_id)

    def rows(self, table: Any, *conditions: Any) -> list[Any]:
        """Rows of any table."""
        with self.database.engine.begin() as connection:
            return list(connection.execute(select(table).where(*conditions)))

    def write(self, function: Any, *arguments: Any) -> Any:
        """A function of a service, in a transaction."""
        with self.database.engine.begin() as connection:
            return function(connection, *arguments)

    def watch_statements(self, into: list[str]) -> None:
        """Note what is executed from now on."""

        def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
            into.append(statement)

        event.listen(self.database.engine, "before_cursor_execute", note)
        self.addCleanup(event.remove, self.database.engine, "before_cursor_execute", note)
