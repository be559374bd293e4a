"""Interfaces and security groups of servers."""

from __future__ import annotations

import uuid
from typing import Any

from cloudd import network
from cloudd.compute import State
from cloudd.compute.servers._rows import drop_interface

from .server_cloud import ADMIN, ALICE, BOB, HOST, NODE, READER, ServerCase

VERSIONS = ("2.1", "2.48", "2.49", "2.69", "2.70", "2.79")


class InterfaceTests(ServerCase):
    def port(self, net: network.Network, who: str = ALICE, **values: Any) -> network.Port:
        """A port that a tenant has made."""
        access = self.client_access(who)
        with self.database.engine.begin() as connection:
            wanted = network.Port(
                id="", project_id=access.project_id or "", network_id=net.id, mac_address="", **values
            )  # fmt: skip
            return network.create_port(connection, access, wanted, None, frozenset())

    async def attach(self, server_id: str, who: str = ALICE, version: str = "2.1", **members: Any) -> dict[str, Any]:
        """A new interface."""
        body = {"interfaceAttachment": members}
        path = f"/servers/{server_id}/os-interface"
        made = await self.fits("interfaces", "get_create_interfaces", who, "POST", path, version, body)
        found: dict[str, Any] = made["interfaceAttachment"]
        return found

    async def refusal(self, status: int, name: str, server_id: str, who: str = ALICE, **members: Any) -> str:
        """Why there is no new interface."""
        body, path = {"interfaceAttachment": members}, f"/servers/{server_id}/os-interface"
        return await self.refused(status, name, who, "POST", path, body, "2.49")

    async def test_of_a_network(self) -> None:
        """A port is made for the server, bound to its host, and goes with it; the host has a task."""
        net, server_id = self.net(), self.add(State.PAUSED)
        made = await self.attach(server_id, net_id=net.id, fixed_ips=[{"ip_address": "10.0.0.77"}])
        self.assertEqual((made["net_id"], made["fixed_ips"][0]["ip_address"]), (net.id, "10.0.0.77"))
        (port,) = self.ports()
        self.assertEqual((port.id, port.device_id, port.device_owner, port.host), (made["port_id"], server_id,
                                                                                  "compute:nova", HOST))  # fmt: skip
        self.assertEqual((port.project_id, len(port.security_group_ids)), ("p1", 1))
        (interface,) = self.row(server_id).interfaces
        self.assertEqual((interface.port_id, interface.position, interface.is_ours), (port.id, 0, True))
        payload = {"server_id": server_id, "port_id": port.id}
        self.assertEqual(self.tasks(), [("compute.attach_interface", NODE, payload)])
        self.assertEqual(self.history(server_id), [("attach_interface", "alice-id", "p1")])
        self.assertEqual((self.poked, self.row(server_id).doing), (1, None))

    async def test_of_a_port(self) -> None:
        """It is bound, though tenants may not say to which host, and stays the tenant's."""
        port, server_id = self.port(self.net()), self.add()
        made = await self.attach(server_id, port_id=port.id)
        self.assertEqual((made["port_id"], made["mac_addr"]), (port.id, port.mac_address))
        (bound,) = self.ports()
        self.assertEqual((bound.device_id, bound.host, bound.fixed_ips), (server_id, HOST, port.fixed_ips))
        self.assertFalse(self.row(server_id).interfaces[0].is_ours)

    async def test_of_the_one_network(self) -> None:
        """Where nothing is named; none and several are no answer."""
        server_id = self.add()
        self.assertIn("none are available", await self.refusal(400, "badRequest", server_id))
        net = self.net()
        self.assertEqual((await self.attach(server_id))["net_id"], net.id)
        self.net(ADMIN, "10.9.0.0/24", shared=True)
        self.assertIn("Multiple possible networks", await self.refusal(400, "badRequest", server_id))

    async def test_shown(self) -> None:
        """In order, with a tag from 2.70 on; one that was deleted behind the server's back is not there."""
        net, server_id = self.net(), self.add()
        first = await self.attach(server_id, version="2.70", net_id=net.id, tag="front")
        self.assertEqual(first["tag"], "front")
        second = await self.attach(server_id, net_id=net.id)
        path = f"/servers/{server_id}/os-interface"
        for version in VERSIONS:
            for who in (READER, ADMIN):
                found = await self.fits("interfaces", "list_interfaces", who, "GET", path, version)
                shown = found["interfaceAttachments"]
                self.assertEqual([each["port_id"] for each in shown], [first["port_id"], second["port_id"]])
                self.assertEqual([each.get("tag", "-") for each in shown],
                                 ["front", None] if version in ("2.70", "2.79") else ["-", "-"])  # fmt: skip
            one = await self.fits(
                "interfaces", "get_create_interfaces", READER, "GET", f"{path}/{second['port_id']}", version
            )
            self.assertEqual(one["interfaceAttachment"], shown[1])
        with self.database.engine.begin() as connection:
            network.drop_port(connection, self.client_access(ALICE), first["port_id"])
        found = await self.good(200, ALICE, "GET", path)
        self.assertEqual(len(found["interfaceAttachments"]), 1)
        await self.refused(404, "itemNotFound", ALICE, "GET", f"{path}/{first['port_id']}")

    async def test_detach(self) -> None:
        """Once it is attached; ordered once, however often it is asked for; its rows stay until it is done."""
        server_id = self.add()
        made = await self.attach(server_id, net_id=self.net().id)
        path = f"/servers/{server_id}/os-interface/{made['port_id']}"
        self.assertIn("is being attached", await self.refused(409, "conflictingRequest", ALICE, "DELETE", path))
        self.forget_tasks()
        for version in VERSIONS[:2]:
            await self.fits("interfaces", "delete_interface", ALICE, "DELETE", path, version)
        payload = {"server_id": server_id, "port_id": made["port_id"]}
        self.assertEqual(self.tasks(), [("compute.detach_interface", NODE, payload)])
        self.assertEqual(len(self.row(server_id).interfaces), 1)
        with self.database.engine.begin() as connection:
            drop_interface(connection, server_id, made["port_id"])
        await self.refused(404, "itemNotFound", ALICE, "DELETE", path)
        self.assertEqual({each[0] for each in self.history(server_id)}, {"attach_interface", "detach_interface"})

    async def test_rights_and_states(self) -> None:
        """Another project's server is not there, readers only read; locked and busy ones keep what they have."""
        net, server_id = self.net(), self.add()
        made = await self.attach(server_id, net_id=net.id)
        path = f"/servers/{server_id}/os-interface"
        for method, own in (
            ("GET", path),
            ("GET", f"{path}/{made['port_id']}"),
            ("DELETE", f"{path}/{made['port_id']}"),
        ):
            await self.refused(404, "itemNotFound", BOB, method, own)
        await self.refusal(404, "itemNotFound", server_id, BOB, net_id=net.id)
        await self.refusal(403, "forbidden", server_id, READER, net_id=net.id)
        await self.refused(403, "forbidden", READER, "DELETE", f"{path}/{made['port_id']}")
        self.write(server_id, locked_by="admin")
        self.assertIn("is locked", await self.refusal(409, "conflictingRequest", server_id, net_id=net.id))
        self.write(server_id, locked_by=None, task_state="rebooting")
        self.assertIn("task_state rebooting", await self.refusal(409, "conflictingRequest", server_id, net_id=net.id))
        self.write(server_id, task_state=None, state="suspended")
        await self.refused(409, "conflictingRequest", ALICE, "DELETE", f"{path}/{made['port_id']}")

    async def test_what_cannot_be_had(self) -> None:
        """Ports and addresses of others, networks without a subnet, ids that are none; nothing is left behind."""
        net, server_id = self.net(), self.add()
        used = self.port(net, device_id="other")
        foreign = self.port(self.net(BOB, "10.8.0.0/24"), BOB)
        bare = self.net(cidr="")
        nobody = str(uuid.uuid4())
        for status, name, members in (
            (404, "itemNotFound", {"port_id": nobody}), (404, "itemNotFound", {"port_id": foreign.id}),
            (404, "itemNotFound", {"net_id": nobody}), (404, "itemNotFound", {"net_id": foreign.network_id}),
            (409, "conflictingRequest", {"port_id": used.id}), (400, "badRequest", {"net_id": bare.id}),
            (409, "conflictingRequest",
             {"net_id": net.id, "fixed_ips": [{"ip_address": used.fixed_ips[0].ip_address}]}),
            (400, "badRequest", {"net_id": net.id, "fixed_ips": [{"ip_address": "10.200.0.1"}]}),
        ):  # fmt: skip
            await self.refusal(status, name, server_id, **members)
        self.assertEqual(await self.refusal(400, "badRequest", server_id, ADMIN, port_id=foreign.id),
                         f"Port {foreign.id} not usable for instance {server_id}.")  # fmt: skip
        self.assertEqual((self.row(server_id).interfaces, self.tasks(), len(self.ports())), ((), [], 2))

    async def test_bad(self) -> None:
        """400 with what is wrong."""
        net, server_id = self.net(), self.add()
        for members in (
            {"port_id": "x"}, {"net_id": "x"}, {"net_id": net.id, "port_id": net.id}, {"x": 1}, {"net_id": 1},
            {"fixed_ips": [{"ip_address": "10.0.0.9"}]}, {"net_id": net.id, "fixed_ips": [{"ip_address": "x"}]},
            {"net_id": net.id, "fixed_ips": []}, {"net_id": net.id, "fixed_ips": [{"subnet_id": net.id}]},
            {"net_id": net.id, "tag": "a,b"}, {"net_id": net.id, "tag": ""}, {"net_id": net.id, "tag": "x" * 61},
        ):  # fmt: skip
            await self.refusal(400, "badRequest", server_id, **members)
        path, body = f"/servers/{server_id}/os-interface", {"interfaceAttachment": {"net_id": net.id, "tag": "a"}}
        await self.refused(400, "badRequest", ALICE, "POST", path, body, "2.48")
        await self.refused(400, "badRequest", ALICE, "POST", path, {})

    async def test_quota(self) -> None:
        """403 when the project has as many ports as it may."""
        net, server_id = self.net(), self.add()
        with self.database.engine.begin() as connection:
            network.set_quota(connection, self.client_access(ADMIN), "p1", {"port": 0})
        await self.refusal(403, "forbidden", server_id, net_id=net.id)


class SecurityGroupTests(ServerCase):
    def group(self, name: str, who: str = ALICE) -> str:
        """Id of a new one."""
        access = self.client_access(who)
        with self.database.engine.begin() as connection:
            wanted = network.SecurityGroup(id="", project_id=access.project_id or "", name=name)
            return network.create_group(connection, access, wanted).id

    async def test_all_ports(self) -> None:
        """By name or id, on each of its ports."""
        net, server_id, web = self.net(), self.add(), self.group("web")
        for _ in range(2):
            body = {"interfaceAttachment": {"net_id": net.id}}
            await self.good(200, ALICE, "POST", f"/servers/{server_id}/os-interface", body)
        before = [each.security_group_ids for each in self.ports()]
        for name in ("web", web):
            await self.act(202, server_id, {"addSecurityGroup": {"name": name}})
        self.assertTrue(all(web in each.security_group_ids for each in self.ports()))
        await self.act(202, server_id, {"removeSecurityGroup": {"name": "web"}})
        self.assertEqual([each.security_group_ids for each in self.ports()], before)
        await self.act(202, server_id, {"removeSecurityGroup": {"name": "default"}})
        self.assertEqual({each.security_group_ids for each in self.ports()}, {()})

    async def test_refused(self) -> None:
        """404 for one that is none, or that it has not; 409 for a name that several have."""
        server_id, web = self.add(), self.group("web")
        self.group("his", BOB)
        path = f"/servers/{server_id}/action"
        for name, group in (("addSecurityGroup", "none"), ("addSecurityGroup", "his"), ("removeSecurityGroup", web)):
            await self.refused(404, "itemNotFound", ALICE, "POST", path, {name: {"name": group}})
        self.group("web")
        cause = await self.conflict(server_id, {"addSecurityGroup": {"name": "web"}})
        self.assertIn("Multiple security groups", cause)

    async def test_before_there_are_ports(self) -> None:
        """They are noted for its ports; the default one alone is what is noted as nothing."""
        server_id, web = self.add(State.BUILDING), self.group("web")
        with self.database.engine.begin() as connection:
            default = network.default_of(connection, "p1")
        for _ in range(2):
            await self.act(202, server_id, {"addSecurityGroup": {"name": "web"}})
            self.assertEqual(self.row(server_id).security_groups, (default, web))
        await self.act(202, server_id, {"removeSecurityGroup": {"name": "default"}})
        self.assertEqual(self.row(server_id).security_groups, (web,))
        self.assertIn("has no ports yet", await self.conflict(server_id, {"removeSecurityGroup": {"name": "web"}}))
        await self.act(202, server_id, {"addSecurityGroup": {"name": "default"}})
        await self.act(202, server_id, {"removeSecurityGroup": {"name": web}})
        self.assertEqual(self.row(server_id).security_groups, ())

    async def test_ports_without_security(self) -> None:
        """400: no port can have a group."""
        net, server_id = self.net(), self.add()
        with self.database.engine.begin() as connection:
            network.update_network(connection, self.client_access(ADMIN), net.id, {"port_security_enabled": False})
        body = {"interfaceAttachment": {"net_id": net.id}}
        await self.good(200, ALICE, "POST", f"/servers/{server_id}/os-interface", body)
        self.group("web")
        self.assertIn("port_security_enabled", await self.bad(server_id, {"addSecurityGroup": {"name": "web"}}))
