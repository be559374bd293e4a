"""Servers as each version shows them, against tempest's schemas."""

from __future__ import annotations

from typing import Any

from cloudd.compute import Doing, State, status_of

from .cloud import ADMIN, ALICE, READER
from .schemas import minor_of, minors_of
from .servers import IMAGE, ServerCase

VERSIONS = ("2.1", "2.2", "2.3", "2.8", "2.9", "2.15", "2.16", "2.18", "2.19", "2.25", "2.26", "2.36", "2.37", "2.46",
            "2.47", "2.51", "2.52", "2.56", "2.57", "2.62", "2.63", "2.70", "2.71", "2.72", "2.73", "2.74", "2.75",
            "2.79")  # fmt: skip
KIND = "servers"


class ViewTests(ServerCase):
    async def test_each_version(self) -> None:
        """Made, shown, listed, changed and deleted with the members of each version, for tenants and administrators."""
        self.assertLessEqual({each for each in minors_of(KIND) if each <= 79 and each != 6},
                             {minor_of(each) for each in VERSIONS} | {45, 48, 54, 58, 59})  # fmt: skip
        for version in VERSIONS:
            more: dict[str, Any] = {"networks": [{"uuid": self.network_id}]}
            body = self.new("v", metadata={"a": "b"}, config_drive=True, **more)
            made = await self.fits(KIND, "create_server_with_admin_pass", ALICE, "POST", "/servers", version, body)
            own = f"/servers/{made['server']['id']}"
            self.plug(made["server"]["id"], self.network_id)
            self.place(made["server"]["id"], launched_us=1_000_000)
            for who in (READER, ADMIN):
                await self.fits(KIND, "get_server", who, "GET", own, version)
            every = "?all_tenants=1"
            await self.fits(KIND, "list_servers_detail", ADMIN, "GET", f"/servers/detail{every}", version)
            await self.fits(KIND, "list_servers", ALICE, "GET", "/servers?limit=1", version)
            await self.fits(KIND, "update_server", ALICE, "PUT", own, version, {"server": {"name": "w"}})
            await self.fits(KIND, "list_addresses", ALICE, "GET", f"{own}/ips", version)
            await self.fits(KIND, "list_addresses_by_network", ALICE, "GET", f"{own}/ips/lan", version)
            self.set_row(made["server"]["id"], node_id=None)
            await self.fits(KIND, "delete_server", ALICE, "DELETE", own, version)

    async def test_members(self) -> None:
        """What stands in them."""
        server_id = await self.boot("web 1", version="2.52", networks=[{"uuid": self.network_id}], tags=["b", "a"])
        port = self.plug(server_id, self.network_id)
        self.place(server_id, launched_us=1_000_000, created_us=0, updated_us=61_000_000)
        shown = (await self.good(200, ADMIN, "GET", f"/servers/{server_id}", None, "2.79"))["server"]
        (address,) = shown["addresses"]["lan"]
        self.assertEqual(
            address,
            {"version": 4, "addr": port.fixed_ips[0].ip_address, "OS-EXT-IPS:type": "fixed",
             "OS-EXT-IPS-MAC:mac_addr": port.mac_address},
        )  # fmt: skip
        expected = {
            "name": "web 1", "status": "ACTIVE", "tenant_id": "p1", "user_id": "alice-id", "progress": 0,
            "created": "1970-01-01T00:00:00Z", "updated": "1970-01-01T00:01:01Z", "tags": ["a", "b"], "locked": False,
            "OS-SRV-USG:launched_at": "1970-01-01T00:00:01.000000", "OS-SRV-USG:terminated_at": None,
            "OS-EXT-STS:power_state": 1, "OS-EXT-STS:vm_state": "active", "OS-EXT-STS:task_state": None,
            "OS-EXT-AZ:availability_zone": "nova", "OS-EXT-SRV-ATTR:host": "n1", "key_name": None,
            "OS-EXT-SRV-ATTR:hostname": "web-1", "config_drive": "", "OS-DCF:diskConfig": "MANUAL",
            "security_groups": [{"name": "default"}], "server_groups": [], "locked_reason": None,
            "host_status": "UNKNOWN",
        }  # fmt: skip
        self.assertEqual({name: shown[name] for name in expected}, expected)
        self.assertEqual(shown["flavor"]["original_name"], "m1.nano")
        self.assertEqual(shown["image"]["id"], IMAGE)
        self.assertEqual(len(shown["hostId"]), 56)
        plain = (await self.good(200, ALICE, "GET", f"/servers/{server_id}", None, "2.1"))["server"]
        self.assertEqual(plain["flavor"]["id"], "42")
        self.assertFalse([name for name in plain if name.startswith("OS-EXT-SRV-ATTR") or name == "host_status"])

    async def test_fault(self) -> None:
        """Told in state ERROR, its details to administrators."""
        server_id = await self.boot()
        fault = {"fault_code": 500, "fault_message": "No valid host was found.", "fault_details": "d", "fault_us": 0}
        self.set_row(server_id, state="error", task_state=None, **fault)
        for who, details in ((ALICE, None), (ADMIN, "d")):
            shown = (await self.fits(KIND, "get_server", who, "GET", f"/servers/{server_id}", "2.1"))["server"]
            self.assertEqual((shown["status"], shown["fault"]["code"]), ("ERROR", 500))
            self.assertEqual(shown["fault"].get("details"), details)
            self.assertNotIn("progress", shown)
        self.place(server_id)
        self.assertNotIn("fault", (await self.good(200, ADMIN, "GET", f"/servers/{server_id}"))["server"])

    async def test_others_ports(self) -> None:
        """A port that merely names a server as its device is not the server's."""
        server_id = await self.boot()
        self.add_port(self.network_id, device_id=server_id)
        self.assertEqual(await self.good(200, ALICE, "GET", f"/servers/{server_id}/ips"), {"addresses": {}})
        self.plug(server_id, self.network_id)
        shown = await self.good(200, ALICE, "GET", f"/servers/{server_id}/ips")
        self.assertEqual(len(shown["addresses"]["lan"]), 1)

    async def test_statuses(self) -> None:
        """Words as Nova's; a filter by a word finds those that show it, and no others."""
        servers = {}
        for state in State:
            for doing in (None, *Doing):
                if state is not State.DELETED:
                    servers[state, doing] = await self.boot()
        for (state, doing), server_id in servers.items():
            self.set_row(server_id, state=state.value, task_state=doing.value if doing else None)
        by_word: dict[str, set[str]] = {}
        for server_id in servers.values():
            by_word.setdefault(status_of(self.row(server_id)), set()).add(server_id)
        self.assertEqual(
            set(by_word),
            {"BUILD", "ACTIVE", "REBOOT", "HARD_REBOOT", "REBUILD", "RESIZE", "PAUSED", "SUSPENDED", "SHUTOFF",
             "VERIFY_RESIZE", "REVERT_RESIZE", "ERROR"},
        )  # fmt: skip
        for word, ids in by_word.items():
            found = await self.good(200, ALICE, "GET", f"/servers?status={word.lower()}")
            self.assertEqual({each["id"] for each in found["servers"]}, ids, word)
        self.assertEqual(await self.good(200, ALICE, "GET", "/servers?status=odd"), {"servers": []})
