"""Servers as rows."""

from __future__ import annotations

from typing import Any

from attrs import evolve, fields_dict
from sqlalchemy import create_engine, event
from twisted.trial.unittest import SynchronousTestCase

from cloudd.compute import (
    AUTO,
    Doing,
    Flavor,
    Interface,
    NoSuchRecord,
    Server,
    ServerListing,
    State,
    Wanted,
    WantedNetwork,
    add_interface,
    add_server,
    change_server,
    listed_servers,
    read_server,
    read_servers,
)
from cloudd.compute.flavors._flavors import add_flavor
from cloudd.compute.servers._rows import add_servers, drop_interface
from cloudd.database.tables import metadata
from cloudd.interfaces.servers import Power
from tests.protocols.swift.face import an_access


class RowTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.engine = create_engine("sqlite://")
        self.addCleanup(self.engine.dispose)
        metadata.create_all(self.engine)
        self.connection = self.engine.connect()
        self.addCleanup(self.connection.close)
        self.flavor = add_flavor(
            self.connection, Flavor(id="", flavor_id="1", name="f", ram_mib=1, vcpus=1, disk_gib=1)
        ).id

    def plain(self, server_id: str) -> Server:
        return Server(id=server_id, project_id="p", user_id="u", name="n", host_name="h", flavor=self.flavor)

    def full(self) -> Server:
        """One in which every attribute that is kept differs from what it is by itself."""
        return evolve(
            self.plain("full"), description="d", flavor_before=self.flavor, image_id="i", image_before="j",
            key_name="k", key_type="ssh", public_key="p", user_data="YQ==", files=(("/a", "YQ=="),), items={"a": "b"},
            hints={"group": "g"}, networks=(WantedNetwork(port_id="p", tag="t"),), security_groups=("s",),
            sealed_password="x", config_drive=True, zone="z", wanted_host="w", disk_config=AUTO, reservation_id="r",
            launch_index=3, access_ip_v4="192.0.2.1", access_ip_v6="::1", locked_by="owner", locked_reason="l",
            state=State.RESIZED, doing=Doing.RESIZE_REVERTING, wanted=Wanted.PAUSED, power=Power.PAUSED, progress=7,
            node_id="n", host="h", tags=("a", "b"), launched_us=5, deleted_us=6,
        )  # fmt: skip

    def test_round_trip(self) -> None:
        """What is written is read."""
        server = self.full()
        add_server(self.connection, server)
        found = read_server(self.connection, "full")
        self.assertGreater(found.created_us, 0)
        self.assertEqual(evolve(found, created_us=0, updated_us=0), server)
        apart = {"id", "project_id", "user_id", "name", "host_name", "flavor", "fault", "interfaces"}
        same = [
            name
            for name in set(fields_dict(Server)) - apart - {"created_us", "updated_us"}
            if getattr(server, name) == getattr(self.plain("full"), name)
        ]
        self.assertEqual(same, [], "the test does not look at these")

    def test_many(self) -> None:
        """In two statements; read in the order of the ids."""
        add_servers(self.connection, [])
        add_servers(self.connection, [evolve(self.plain(f"s{number}"), tags=("t",)) for number in range(1_200)])
        ids = [f"s{number}" for number in (1_100, 5, 600)]
        found = read_servers(self.connection, [*ids, "none"])
        self.assertEqual([(each.id, each.tags) for each in found], [(each, ("t",)) for each in ids])

    def test_changed(self) -> None:
        """By columns; a server that is not there is none."""
        add_server(self.connection, self.plain("s"))
        change_server(self.connection, "s", fault_code=500, fault_message="m", fault_details="d", fault_us=9)
        fault = read_server(self.connection, "s").fault
        assert fault is not None
        self.assertEqual((fault.code, fault.message, fault.details, fault.at_us), (500, "m", "d", 9))
        self.assertRaises(NoSuchRecord, change_server, self.connection, "none", name="x")
        self.assertRaises(NoSuchRecord, read_server, self.connection, "none")

    def test_gone(self) -> None:
        """Rows of those that are gone, with their user data, are not read for a list of those that live."""
        seen: list[tuple[str, Any]] = []

        def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_more: Any) -> None:
            seen.append((statement, parameters))

        event.listen(self.engine, "before_cursor_execute", note)
        alice, root = an_access("alice", "p", "member"), an_access("root", "p0", "admin")
        listed_servers(self.connection, alice, ServerListing(limit=10))
        listed_servers(self.connection, root, ServerListing(limit=10, everyone=True))
        for (statement, parameters), columns in zip(
            list(seen), ("(project_id=? AND deleted_us=?)", "(deleted_us=?)"), strict=True
        ):
            plan = self.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            self.assertIn(columns, plan[0].detail)

    def test_interfaces(self) -> None:
        """In their order."""
        add_server(self.connection, self.plain("s"))
        second, first = Interface(port_id="b", position=1, is_ours=False), Interface(port_id="c", position=0, tag="t")
        add_interface(self.connection, "s", second)
        add_interface(self.connection, "s", first)
        self.assertEqual(read_server(self.connection, "s").interfaces, (first, second))
        for _ in range(2):
            drop_interface(self.connection, "s", "c")
        self.assertEqual(read_server(self.connection, "s").interfaces, (second,))
