"""The metadata service of a real daemon: its own port, at an address that may come later, for who has an address."""

from __future__ import annotations

import http.client
import json
import sqlite3
from collections.abc import Callable
from typing import Any

import psycopg
from attrs import evolve
from sqlalchemy import Connection, create_engine, update
from twisted.trial.unittest import SynchronousTestCase

from cloudd.compute import Interface, add_interface, add_server, one_flavor
from cloudd.database import tables
from cloudd.network import Network, Port, Subnet, WantedIP, create_network, create_port, create_subnet
from tests.daemon.test_nodes import wait
from tests.database.choice import on_postgres
from tests.metadata.guest import ALICE, SERVER
from tests.ports import free_port
from tests.protocols.swift.face import an_access
from tests.running_cloud import RunningCloud

GUEST = "127.0.0.5"


class MetadataCloud(RunningCloud):
    """One with a metadata service, whose guests are addresses of the loopback."""

    def __init__(self) -> None:
        super().__init__("[workers]\nfront = 2\n")
        self.ports["metadata"] = free_port()

    def ask(self, path: str, source: str = GUEST) -> tuple[int, bytes]:
        """As a guest with that address."""
        connection = http.client.HTTPConnection(
            self.address, self.ports["metadata"], timeout=30, source_address=(source, 0)
        )
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def transact(self, act: Callable[[Connection], Any]) -> Any:
        """What ``act`` gives, in a transaction of another process in the daemon's database."""
        if on_postgres():
            engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(self.database.url))
        else:
            file = self.state / "cloud.sqlite"
            engine = create_engine("sqlite://", creator=lambda: sqlite3.connect(file, timeout=30))
        try:
            with engine.begin() as connection:
                return act(connection)
        finally:
            engine.dispose()


class MetadataTests(SynchronousTestCase):
    def test_from_nobody_to_somebody(self) -> None:
        """An address is nobody's until a server of this node has it, and then every worker knows it at once."""
        cloud = MetadataCloud()
        self.addCleanup(cloud.remove)
        cloud.start()
        self.assertEqual(cloud.ask("/")[0], 200)
        wait(lambda: cloud.transact(lambda connection: connection.execute(tables.node.select()).all()))
        self.assertEqual(cloud.ask("/openstack")[0], 404)  # before the node is written it is 503: ask again
        node_id = (cloud.state / "node" / "id").read_text().strip()
        cloud.transact(lambda connection: _make_guest(connection, node_id))
        for _ in range(8):  # on connections of their own, so by either worker
            status, body = cloud.ask("/openstack/latest/meta_data.json")
            self.assertEqual((status, json.loads(body)["hostname"]), (200, "web"))
        self.assertEqual(cloud.ask("/openstack", "127.0.0.6")[0], 404)


def _make_guest(connection: Any, node_id: str) -> None:
    name = connection.execute(tables.node.select().where(tables.node.c.id == node_id)).one().name
    network = create_network(connection, ALICE, Network(id="", project_id="p1"))
    subnet = Subnet(id="", project_id="p1", network_id=network.id, ip_version=4, cidr="127.0.0.0/24")
    create_subnet(
        connection, an_access("root", "p0", "admin"), subnet, frozenset()
    )  # of addresses that a test can ask from
    wanted = Port(id="", project_id="p1", network_id=network.id, mac_address="")
    port = create_port(connection, ALICE, wanted, [WantedIP(ip_address=GUEST)], frozenset())
    table = tables.port
    connection.execute(update(table).where(table.c.id == port.id).values(host=name, device_id=SERVER.id))
    members = {"flavor": one_flavor(connection, ALICE, "1").id, "node_id": node_id, "host": name}
    add_server(connection, evolve(SERVER, **members))
    add_interface(connection, SERVER.id, Interface(port_id=port.id, position=0))
