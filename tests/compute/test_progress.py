"""What becomes of servers: settled, failed, gone, and noted in their history."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select
from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from cloudd.compute import (
    EVENT_ERROR,
    EVENT_SUCCESS,
    HostReport,
    Interface,
    State,
    Wanted,
    add_interface,
    change_server,
    driver_of,
    fail,
    flavor_record,
    gone,
    is_reported,
    keep_resize,
    note_event,
    on_host,
    read_server,
    report_host,
    report_trouble,
    servers_on,
    settle,
    size_back,
    were_deleted,
)
from cloudd.database import open_control_database, tables
from cloudd.interfaces.servers import Power
from cloudd.network import Port, create_port
from tests.database.choice import new_database
from tests.guests.host import BIG, NODE, PROJECT, REQUEST, claim, furnish, member, place

SERVER = "0a9b7d0e-6a3f-4d21-9a7c-000000000001"


def rows(connection: Connection, table: Any, *names: str) -> list[Any]:
    found = connection.execute(select(*(table.c[name] for name in names)).order_by(*(table.c[name] for name in names)))
    return [tuple(row) for row in found]


class ProgressCase(TestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        self.database = open_control_database(new_database(self), reactor=reactor, threads=1)
        self.addCleanup(self.database.close)
        self.network_id = await self.database.write(furnish)
        await self.database.write(lambda c: place(c, SERVER))

    async def write(self, function: Any, *args: Any, **facts: Any) -> Any:
        return await self.database.write(lambda c: function(c, *args, **facts))

    async def server(self) -> Any:
        return await self.database.read(read_server, SERVER)


class StateTests(ProgressCase):
    async def test_settled(self) -> None:
        """It is launched once, and a fault of before is over."""
        await self.write(fail, SERVER, 500, "why", "details")
        failed = await self.server()
        self.assertEqual((failed.state, failed.fault.code, failed.fault.details), (State.ERROR, 500, "details"))
        self.assertGreater(failed.fault.at_us, 0)
        await self.write(settle, SERVER, State.ACTIVE, Power.RUNNING, wanted=Wanted.RUNNING.value)
        first = await self.server()
        self.assertEqual(
            (first.state, first.doing, first.power, first.fault), (State.ACTIVE, None, Power.RUNNING, None)
        )
        await self.write(settle, SERVER, State.ACTIVE, Power.RUNNING)
        self.assertEqual((await self.server()).launched_us, first.launched_us)

    async def test_gone(self) -> None:
        """All that it held is free, a port of the tenant's is only let go, and nothing brings it back."""
        for is_ours in (True, False):
            port = Port(
                id="", project_id=PROJECT, network_id=self.network_id, mac_address="", device_id=SERVER, host="h"
            )
            made = await self.write(create_port, member(), port, None, frozenset())
            await self.write(add_interface, SERVER, Interface(port_id=made.id, position=0, is_ours=is_ours))
        for _ in range(2):
            await self.write(gone, SERVER)
        await self.write(settle, SERVER, State.ACTIVE, Power.RUNNING)
        server = await self.server()
        self.assertEqual((server.state, server.wanted, server.interfaces), (State.DELETED, Wanted.DELETED, ()))
        read = self.database.read
        self.assertEqual(await read(rows, tables.port, "id", "device_id", "host"), [(made.id, "", "")])
        self.assertEqual(await read(rows, tables.server_claim, "server_id"), [])
        ((released,),) = await read(rows, tables.server_share, "released_us")
        self.assertGreater(released, 0)
        self.assertEqual(await read(were_deleted, [SERVER, "other"]), {SERVER})

    async def test_gone_with_its_host(self) -> None:
        """One whose host was removed leaves no port either, and a port of the tenant's is free again."""
        for is_ours in (True, False):
            port = Port(
                id="", project_id=PROJECT, network_id=self.network_id, mac_address="", device_id=SERVER, host="h"
            )
            made = await self.write(create_port, member(), port, None, frozenset())
            await self.write(add_interface, SERVER, Interface(port_id=made.id, position=0, is_ours=is_ours))
        for _ in range(2):
            await self.write(gone, SERVER)
        self.assertEqual((await self.server()).state, State.DELETED)
        read = self.database.read
        self.assertEqual(await read(rows, tables.port, "id", "device_id", "host"), [(made.id, "", "")])
        self.assertEqual(await read(rows, tables.server_interface, "port_id"), [])
        self.assertEqual(await read(rows, tables.server_claim, "server_id"), [])

    async def test_gone_when_a_port_names_another_device(self) -> None:
        """Its project may write any device there; the host lets go of it all the same, unless another server has it."""
        port = Port(id="", project_id=PROJECT, network_id=self.network_id, mac_address="", device_id="mine", host="h")
        ports = [await self.write(create_port, member(), port, None, frozenset()) for _ in range(2)]
        for made in ports:
            await self.write(add_interface, SERVER, Interface(port_id=made.id, position=0, is_ours=False))
        await self.write(place, "another")
        await self.write(add_interface, "another", Interface(port_id=ports[1].id, position=0, is_ours=False))
        await self.write(gone, SERVER)
        found = dict(await self.database.read(rows, tables.port, "id", "host"))
        self.assertEqual([found[made.id] for made in ports], ["", "h"])

    async def test_gone_when_a_port_was_given_away(self) -> None:
        """One that was made for it, and that its project has given to another server since, stays that one's."""
        port = Port(
            id="", project_id=PROJECT, network_id=self.network_id, mac_address="", device_id="another", host="h"
        )
        made = await self.write(create_port, member(), port, None, frozenset())
        await self.write(place, "another")
        for server_id, is_ours in ((SERVER, True), ("another", False)):
            await self.write(add_interface, server_id, Interface(port_id=made.id, position=0, is_ours=is_ours))
        await self.write(gone, SERVER)
        read = self.database.read
        found = await read(rows, tables.port, "id", "device_id", "host")
        self.assertEqual(found, [(made.id, "another", "h")])
        self.assertEqual(await read(rows, tables.server_interface, "server_id"), [("another",)])

    async def test_sizes(self) -> None:
        """A resize that is kept keeps the new claim; one that is taken back the old one, with its share."""
        await self.write(claim, SERVER, "resize", BIG)
        for _ in range(2):
            await self.write(keep_resize, SERVER)
        names = ("purpose", "vcpus")
        self.assertEqual(await self.database.read(rows, tables.server_claim, *names), [("server", 2)])
        await self.write(claim, SERVER, "resize", BIG)
        big = await self.database.read(flavor_record, "big")
        await self.write(size_back, SERVER, big)
        self.assertEqual(await self.database.read(rows, tables.server_claim, *names), [("server", 2)])
        self.assertEqual(await self.database.read(rows, tables.server_share, "vcpus", "ram_mib"), [(2, 128)])


class HistoryTests(ProgressCase):
    async def events(self) -> list[Any]:
        found: list[Any] = await self.database.read(rows, tables.server_event, "name", "result", "details")
        return found

    async def test_event(self) -> None:
        """One that ends is the one that had begun, and an error is told with the action."""
        for result, details in ((None, None), (None, None), (EVENT_ERROR, "why")):
            await self.write(note_event, SERVER, REQUEST, "do", host="h", result=result, details=details)
        self.assertEqual(await self.events(), [("do", "Error", "why")])
        self.assertEqual(await self.database.read(rows, tables.server_action, "message"), [("Error",)])
        await self.write(note_event, SERVER, REQUEST, "do", host="h", result=EVENT_SUCCESS)
        self.assertEqual(len(await self.events()), 2)

    async def test_without_an_action(self) -> None:
        """What nobody has asked for has no history."""
        await self.write(note_event, SERVER, "another request", "do", result=EVENT_SUCCESS)
        self.assertEqual(await self.events(), [])


class HostTests(ProgressCase):
    def report(self, **facts: Any) -> HostReport:
        values = {"node_id": NODE, "name": "h", "driver": "simulated", "kind": "S", "hypervisor_version": 1, "vcpus": 2,
                  "memory_mib": 3, "disk_gib": 4, "vcpu_ratio": 1.0, "memory_ratio": 1.0, "disk_ratio": 1.0,
                  "architecture": "x86_64", "cpu_model": "c", "real": False, "notes": ("n",)}  # fmt: skip
        return HostReport(**{**values, **facts})

    async def test_report(self) -> None:
        """What operators have set stays."""
        first = self.report()
        self.assertFalse(await self.database.read(is_reported, first))
        await self.write(report_host, first)
        self.assertTrue(await self.database.read(is_reported, first))
        await self.database.write(lambda c: c.execute(tables.compute_host.update().values(is_enabled=False)).rowcount)
        await self.write(report_host, self.report(vcpus=9))
        await self.write(report_trouble, NODE, "it burns")
        found = await self.database.read(rows, tables.compute_host, "vcpus", "is_enabled", "trouble", "notes")
        self.assertEqual(found, [(9, False, "it burns", '["n"]')])

    async def test_trouble_of_nobody(self) -> None:
        """A node that never ran servers has nothing to say."""
        await self.write(report_trouble, NODE, "it burns")
        self.assertEqual(await self.database.read(rows, tables.compute_host, "node_id"), [])

    async def test_on_host(self) -> None:
        """Those that it has, until they are gone; and by what they run."""
        read = self.database.read
        await self.write(report_host, self.report())
        (found,) = await read(servers_on, NODE)
        self.assertEqual((found.id, found), (SERVER, await read(on_host, SERVER, NODE)))
        self.assertEqual((await read(servers_on, "other"), await read(driver_of, NODE)), ([], "simulated"))
        await self.write(change_server, SERVER, node_id="other")
        self.assertEqual((await read(on_host, SERVER, NODE), await read(driver_of, NODE)), (None, ""))
