"""One server: shown, changed, deleted, and by whom."""

from __future__ import annotations

import json
from typing import Any

from cloudd.compute import Doing, State, Wanted
from cloudd.database import tables
from cloudd.nodes import _rows

from .cloud import ADMIN, ALICE, BOB, READER
from .servers import NODE, ServerCase

NONE = "99999999-9999-4999-8999-999999999999"


class ServerTests(ServerCase):
    async def test_update(self) -> None:
        """Name, description, addresses for access and disk configuration; nothing else."""
        server_id = await self.boot()
        own = f"/servers/{server_id}"
        body = {"name": "new", "accessIPv4": "192.0.2.1", "accessIPv6": "2001:db8::1", "OS-DCF:diskConfig": "AUTO"}
        shown = (await self.good(200, ALICE, "PUT", own, {"server": body}))["server"]
        self.assertEqual({name: shown[name] for name in body}, body)
        self.assertEqual(self.row(server_id).host_name, "s")
        self.assertEqual([row.name for row in self.rows(tables.server_share)], ["new"])
        for text in ("two\nlines", None, ""):
            shown = (await self.good(200, ALICE, "PUT", own, {"server": {"description": text}}, "2.19"))["server"]
            self.assertEqual(shown["description"], text)
        await self.good(200, ALICE, "PUT", own, {"server": {}})
        bad = [
            {"name": ""}, {"name": " x"}, {"name": None}, {"accessIPv4": "x"}, {"accessIPv6": "192.0.2.1"},
            {"OS-DCF:diskConfig": "x"}, {"description": "in 2.18"}, {"imageRef": "x"},
        ]  # fmt: skip
        for members in bad:
            await self.refused(400, "badRequest", ALICE, "PUT", own, {"server": members}, "2.18")
        await self.refused(400, "badRequest", ALICE, "PUT", own, {"server": {"description": "x" * 256}}, "2.19")

    async def test_isolation(self) -> None:
        """Another project's servers are not there; readers only read; administrators may all."""
        server_id = await self.boot()
        own = f"/servers/{server_id}"
        changes: list[tuple[str, str, Any]] = [
            ("PUT", own, {"server": {"name": "x"}}), ("DELETE", own, None),
            ("POST", f"{own}/metadata", {"metadata": {"a": "b"}}), ("PUT", f"{own}/metadata", {"metadata": {}}),
            ("PUT", f"{own}/metadata/a", {"meta": {"a": "b"}}), ("DELETE", f"{own}/metadata/a", None),
            ("PUT", f"{own}/tags", {"tags": []}), ("DELETE", f"{own}/tags", None), ("PUT", f"{own}/tags/a", None),
            ("DELETE", f"{own}/tags/a", None),
        ]  # fmt: skip
        looks = ["", "/metadata", "/metadata/a", "/tags", "/tags/a", "/ips", "/ips/lan", "/os-security-groups"]
        for path, who in ((own, BOB), (f"/servers/{NONE}", ALICE), (f"/servers/{'x' * 300}", ALICE)):
            for look in looks:
                await self.refused(404, "itemNotFound", who, "GET", path + look, None, "2.26")
            for method, whole, body in changes:
                answer = await self.refused(404, "itemNotFound", who, method, whole.replace(own, path), body, "2.26")
                self.assertIn("could not be found", answer)
        for method, path, body in changes:
            await self.refused(403, "forbidden", READER, method, path, body, "2.26")
        await self.good(200, READER, "GET", own)
        await self.good(200, ADMIN, "PUT", own, {"server": {"name": "x"}})
        await self.good(204, ADMIN, "DELETE", own)

    async def test_delete_unplaced(self) -> None:
        """One that no host has is gone at once, with its share, its group and its claims."""
        group = {"server_group": {"name": "g", "policies": ["affinity"]}}
        group_id = (await self.good(200, ALICE, "POST", "/os-server-groups", group))["server_group"]["id"]
        body = {**self.new(), "os:scheduler_hints": {"group": group_id}}
        server_id = (await self.good(202, ALICE, "POST", "/servers", body))["server"]["id"]
        await self.good(204, ALICE, "DELETE", f"/servers/{server_id}")
        for method in ("GET", "DELETE"):
            message = await self.refused(404, "itemNotFound", ALICE, method, f"/servers/{server_id}")
            self.assertEqual(message, f"Instance {server_id} could not be found.")
        server = self.row(server_id)
        self.assertEqual((server.state, server.doing, server.wanted), (State.DELETED, None, Wanted.DELETED))
        self.assertIsNotNone(server.deleted_us)
        (share,) = self.rows(tables.server_share)
        self.assertIsNotNone(share.released_us)
        self.assertEqual(self.rows(tables.server_group_member), [])
        actions = [(row.action, row.server_id) for row in self.rows(tables.server_action)]
        self.assertEqual(sorted(actions), [("create", server_id), ("delete", server_id)])
        self.assertEqual([row.kind for row in self.rows(tables.task)], ["compute.place_servers"])

    async def test_delete_placed(self) -> None:
        """The host that has it is ordered to delete it, once; whatever it was doing."""
        server_id = await self.boot()
        self.place(server_id, task_state="rebooting")
        for _ in range(2):
            await self.good(204, ALICE, "DELETE", f"/servers/{server_id}")
        server = self.row(server_id)
        self.assertEqual((server.state, server.doing, server.wanted), (State.ACTIVE, Doing.DELETING, Wanted.DELETED))
        (task,) = self.rows(tables.task, tables.task.c.kind == "compute.delete_server")
        self.assertEqual((task.node_id, task.resource, json.loads(task.payload)),
                         (NODE, server_id, {"server_id": server_id}))  # fmt: skip
        (action,) = self.rows(tables.server_action, tables.server_action.c.action == "delete")
        self.assertEqual(action.request_id, task.request_id)
        shown = (await self.good(200, ALICE, "GET", f"/servers/{server_id}"))["server"]
        self.assertEqual((shown["status"], shown["OS-EXT-STS:task_state"]), ("ACTIVE", "deleting"))

    async def test_delete_from_removed_node(self) -> None:
        """Nobody could do it there any more: it is gone at once, and so is the port that was made for it."""
        server_id = await self.boot()
        self.place(server_id)
        port = self.plug(server_id, self.network_id)
        self.write(_rows.enter, NODE, "n1", ["agents"], "ready", "tests")
        self.write(lambda connection: connection.execute(tables.node.update().values(state="removed")))
        await self.good(204, ALICE, "DELETE", f"/servers/{server_id}")
        server = self.row(server_id)
        self.assertEqual((server.state, server.interfaces), (State.DELETED, ()))
        self.assertEqual(self.rows(tables.port, tables.port.c.id == port.id), [])
        self.assertEqual(self.rows(tables.task, tables.task.c.kind == "compute.delete_server"), [])

    async def test_locked(self) -> None:
        """What is locked only administrators delete."""
        server_id = await self.boot()
        self.place(server_id, locked_by="owner", locked_reason="r")
        own = f"/servers/{server_id}"
        shown = (await self.good(200, ALICE, "GET", own, None, "2.73"))["server"]
        self.assertEqual((shown["locked"], shown["locked_reason"]), (True, "r"))
        message = await self.refused(409, "conflictingRequest", ALICE, "DELETE", own)
        self.assertEqual(message, f"Instance {server_id} is locked")
        await self.refused(409, "conflictingRequest", ALICE, "POST", f"{own}/metadata", {"metadata": {"a": "b"}})
        await self.good(200, ALICE, "PUT", own, {"server": {"name": "x"}})
        await self.good(204, ADMIN, "DELETE", own)

    async def test_what_is_gone_under_it(self) -> None:
        """Image, flavor and key may be deleted: the server is shown as it was made."""
        flavor = {"name": "f", "id": "f", "ram": 256, "vcpus": 1, "disk": 1}
        await self.good(200, ADMIN, "POST", "/flavors", {"flavor": flavor})
        server_id = await self.boot(flavorRef="f")
        await self.good(202, ADMIN, "DELETE", "/flavors/f")
        self.write(lambda connection: connection.execute(tables.image.delete()))
        for version in ("2.1", "2.47"):
            shown = (await self.good(200, ALICE, "GET", f"/servers/{server_id}", None, version))["server"]
            self.assertEqual(shown["flavor"].get("id", "f"), "f")
        await self.refused(400, "badRequest", ALICE, "POST", "/servers", self.new())

    async def test_absent(self) -> None:
        """What servers have in Nova and not here says so."""
        server_id = await self.boot()
        for path in ("os-volume_attachments", "os-volume_attachments/x", "remote-consoles", "topology"):
            await self.refused(501, "notImplemented", ALICE, "GET", f"/servers/{server_id}/{path}")
