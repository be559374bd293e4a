"""New servers: the records that one request leaves, and what is refused."""

from __future__ import annotations

import base64
import json
from typing import Any

from sqlalchemy import insert

from cloudd import network as networks
from cloudd.compute import Doing, ServerPasswords, State, Wanted, WantedNetwork
from cloudd.compute.servers._create import host_name_of
from cloudd.database import now_us, tables
from cloudd.network import SecurityGroup

from .cloud import ADMIN, ALICE, BOB, READER
from .servers import GIB, IMAGE, NODE, ServerCase

OTHER_IMAGE = "22222222-2222-4222-8222-222222222222"
NOWHERE = "99999999-9999-4999-8999-999999999999"
HUGE = int("9" * 400)
SHARED_CIDR = "10.9.0.0/24"


class CreateTests(ServerCase):
    async def refuse(self, cause: str, version: str = "", status: int = 400, who: str = ALICE, **more: Any) -> None:
        """A new server with these members is refused, and leaves nothing."""
        name = {400: "badRequest", 403: "forbidden", 409: "conflictingRequest"}[status]
        before = len(self.rows(tables.server))
        message = await self.refused(status, name, who, "POST", "/servers", self.new(**more), version)
        self.assertIn(cause, message)
        self.assertEqual(len(self.rows(tables.server)), before)

    async def test_records(self) -> None:
        """Server, share, action and task, all of one request, and the password sealed."""
        await self.good(200, ALICE, "POST", "/os-keypairs", {"keypair": {"name": "k", "public_key": SSH_KEY}})
        more = {
            "key_name": "k", "metadata": {"role": "web"}, "user_data": base64.b64encode(b"#!").decode(),
            "networks": [{"uuid": self.network_id, "fixed_ip": "10.0.1.9", "tag": "nic"}], "config_drive": "true",
            "adminPass": "secret", "OS-DCF:diskConfig": "AUTO", "accessIPv4": "192.0.2.1", "accessIPv6": "2001:db8::1",
            "availability_zone": "nova", "description": "d", "tags": ["x"],
        }  # fmt: skip
        answer = await self.call(ALICE, "POST", "/servers", self.new("My Web.1", **more), "2.52")
        self.assertEqual(answer.status, 202, answer.text)
        made = answer.json()["server"]
        self.assertEqual((made["adminPass"], made["OS-DCF:diskConfig"]), ("secret", "AUTO"))
        self.assertEqual(made["security_groups"], [{"name": "default"}])
        self.assertEqual(answer.headers["location"], made["links"][0]["href"])
        server = self.row(made["id"])
        self.assertEqual(
            (server.state, server.doing, server.wanted, server.node_id, server.name, server.host_name),
            (State.BUILDING, Doing.SCHEDULING, Wanted.RUNNING, "", "My Web.1", "my-web-1"),
        )
        self.assertEqual((server.key_name, server.key_type, server.public_key), ("k", "ssh", SSH_KEY))
        self.assertEqual(server.networks, (WantedNetwork(network_id=self.network_id, fixed_ip="10.0.1.9", tag="nic"),))
        self.assertEqual((dict(server.items), server.tags, server.description), ({"role": "web"}, ("x",), "d"))
        self.assertEqual((server.config_drive, server.zone, server.user_data), (True, "nova", more["user_data"]))
        self.assertEqual((server.access_ip_v4, server.access_ip_v6), ("192.0.2.1", "2001:db8::1"))
        passwords = ServerPasswords(self.resources.secrets, self.resources.threads)
        self.assertNotIn("secret", server.sealed_password or "")
        self.assertEqual(await passwords.open(server.sealed_password or ""), "secret")
        (share,) = self.rows(tables.server_share)
        self.assertEqual((share.server_id, share.project_id, share.vcpus), (server.id, "p1", 1))
        (action,) = self.rows(tables.server_action)
        (task,) = self.rows(tables.task)
        self.assertEqual((action.server_id, action.action, action.user_id), (server.id, "create", "alice-id"))
        self.assertEqual((task.kind, task.request_id), ("compute.place_servers", action.request_id))
        self.assertEqual(json.loads(task.payload), {"servers": [server.id], "avoid": [], "tries": 0})
        self.assertEqual(action.request_id, answer.headers["x-compute-request-id"])

    async def test_many(self) -> None:
        """Numbered, with one reservation, one task and one password; fewer where the quota has no room for all."""
        made = await self.good(202, ALICE, "POST", "/servers", self.new("m", min_count="2", max_count=3))
        found = sorted(self.rows(tables.server), key=lambda row: row.launch_index)
        self.assertEqual([(row.name, row.host_name) for row in found], [(f"m-{n}", f"m-{n}") for n in (1, 2, 3)])
        self.assertEqual(made["server"]["id"], found[0].id)
        self.assertEqual(len({row.reservation_id for row in found}), 1)
        listed = await self.good(200, ALICE, "GET", "/servers")
        self.assertEqual([each["name"] for each in listed["servers"]], ["m-3", "m-2", "m-1"])
        (task,) = self.rows(tables.task)
        self.assertEqual(json.loads(task.payload)["servers"], [row.id for row in found])
        told = await self.good(202, ALICE, "POST", "/servers", self.new("r", return_reservation_id=True))
        self.assertRegex(told["reservation_id"], "^r-[a-z0-9]{8}$")
        listed = await self.good(200, ALICE, "GET", f"/servers?reservation_id={told['reservation_id']}")
        self.assertEqual([each["name"] for each in listed["servers"]], ["r"])
        await self.good(200, ADMIN, "PUT", "/os-quota-sets/p1", {"quota_set": {"instances": 6}})
        await self.refuse("Quota exceeded for instances: Requested 3", status=403, min_count=3, max_count=5)
        await self.good(202, ALICE, "POST", "/servers", self.new("q", min_count=1, max_count=5))
        self.assertEqual(len([row for row in self.rows(tables.server) if row.name.startswith("q-")]), 2)

    async def test_a_thousand(self) -> None:
        """In a number of statements that does not grow with them."""
        counts = []
        for count in (1, 500):
            statements: list[str] = []
            self.watch_statements(statements)
            await self.good(202, ALICE, "POST", "/servers", self.new("m", min_count=count))
            counts.append(len(statements))
        self.assertLess(counts[1], counts[0] + 10)

    async def test_networks(self) -> None:
        """The one that there is, where none is named; several need a name; ``auto`` and ``none`` from 2.37 on."""
        self.assertEqual(self.row(await self.boot()).networks, (WantedNetwork(network_id=self.network_id),))
        self.assertEqual(len(self.row(await self.boot(version="2.37", networks="auto")).networks), 1)
        self.assertEqual(self.row(await self.boot(version="2.37", networks="none")).networks, ())
        await self.refuse("'networks' is a required property", "2.37")
        await self.refuse("networks", "2.36", networks="auto")
        await self.refuse("networks", "2.37", networks="other")
        second = self.add_network("second", cidr="10.1.0.0/24")
        await self.refuse("Multiple possible networks found", status=409)
        await self.refuse("Multiple possible networks found", "2.37", 409, networks="auto")
        self.assertEqual(self.row(await self.boot(who=BOB)).networks, ())
        await self.refuse("Unable to automatically allocate a network", "2.37", who=BOB, networks="auto")
        both = [{"uuid": second}, {"uuid": self.network_id}]
        self.assertEqual([each.network_id for each in self.row(await self.boot(networks=both)).networks],
                         [second, self.network_id])  # fmt: skip

    async def test_bad_networks(self) -> None:
        """Foreign, without a subnet, external, an address that is taken or elsewhere."""
        bare, outside = self.add_network("bare", cidr=""), self.add_network("out", ADMIN, external=True, cidr="")
        shared = self.add_network("shared", ADMIN, SHARED_CIDR, shared=True)
        port = self.add_port(self.network_id)
        taken = port.fixed_ips[0].ip_address
        cases: list[tuple[str, int, str, list[dict[str, Any]]]] = [
            ("could not be found", 400, BOB, [{"uuid": self.network_id}]),
            ("could not be found", 400, ALICE, [{"uuid": NOWHERE}]),
            ("requires a subnet", 400, ALICE, [{"uuid": bare}]),
            ("external network", 400, ALICE, [{"uuid": outside}]),
            ("already in use", 409, ALICE, [{"uuid": self.network_id, "fixed_ip": taken}]),
            ("not a valid ip address for network", 400, ALICE, [{"uuid": self.network_id, "fixed_ip": "192.0.2.9"}]),
            ("is not an 'ipv4'", 400, ALICE, [{"uuid": self.network_id, "fixed_ip": "10.0.0"}]),
            ("disallowed by policy", 403, ALICE, [{"uuid": shared, "fixed_ip": "10.9.0.9"}]),
            ("is not a 'uuid'", 400, ALICE, [{"uuid": "lan"}]),
            ("network uuid is missing", 400, ALICE, [{}]),
            ("cannot be used with port", 400, ALICE, [{"port": port.id, "fixed_ip": "10.0.0.9"}]),
            ("expected an object", 400, ALICE, ["x"]),  # type: ignore[list-item]
            ("other", 400, ALICE, [{"uuid": shared, "other": 1}]),
        ]  # fmt: skip
        for cause, status, who, given in cases:
            await self.refuse(cause, status=status, who=who, networks=given)
        for version, known in (("2.31", False), ("2.36", True), ("2.37", False), ("2.41", False), ("2.42", True)):
            given = [{"uuid": self.network_id, "tag": "t"}]
            if known:
                await self.boot(version=version, networks=given)
            else:
                await self.refuse("tag", version, networks=given)
        await self.boot(networks=[{"uuid": shared}])

    async def test_ports(self) -> None:
        """A port of one's own, which nobody uses, for one server alone."""
        port = self.add_port(self.network_id)
        given = [{"port": port.id}]
        await self.refuse("Unable to launch multiple instances", networks=given, min_count=2)
        await self.refuse("named twice", networks=given * 2)
        await self.refuse("could not be found", who=BOB, networks=given)
        await self.refuse("another project's", who=ADMIN, networks=given)
        await self.refuse("could not be found", networks=[{"port": NOWHERE}])
        first = await self.boot(networks=given)
        self.assertEqual(self.row(first).networks, (WantedNetwork(port_id=port.id),))
        await self.refuse("is still in use", status=409, networks=given)
        self.place(first)
        self.write(networks.update_port, self.client_access(ADMIN), port.id, {"device_id": first}, None)
        await self.refuse("is still in use", status=409, networks=given)

    async def test_groups(self) -> None:
        """Security groups by name and id, one's own alone; the default one is what ports have anyway."""
        access = self.client_access(ALICE)
        made = [
            self.write(networks.create_group, access, SecurityGroup(id="", project_id="p1", name=name))
            for name in ("web", "twice", "twice")
        ]
        for word in ("web", made[0].id):
            server_id = await self.boot(security_groups=[{"name": word}, {"name": "web"}])
            self.assertEqual(self.row(server_id).security_groups, (made[0].id,))
            shown = (await self.good(200, ALICE, "GET", f"/servers/{server_id}"))["server"]
            self.assertEqual(shown["security_groups"], [{"name": "web"}])
        self.assertEqual(self.row(await self.boot(security_groups=[{"name": "default"}])).security_groups, ())
        await self.refuse("does not exist", security_groups=[{"name": "none"}])
        await self.refuse("does not exist", who=BOB, security_groups=[{"name": made[0].id}])
        await self.refuse("use an ID to be more specific", status=409, security_groups=[{"name": "twice"}])
        await self.refuse("longer than 255", security_groups=[{"name": "x" * 256}])

    async def test_images(self) -> None:
        """One that is there, seen, active, and not too large for the flavor; deleted ones are none."""
        await self.refuse("Can not find requested image", imageRef=NOWHERE)
        await self.refuse("Invalid imageRef provided.", imageRef="debian")
        await self.refuse("Missing imageRef", imageRef="")
        cases: list[tuple[str, dict[str, Any]]] = [
            ("Can not find requested image", {"project_id": "p2", "visibility": "private"}),
            ("is not active", {"status": "queued"}),
            ("Flavor's disk is too small", {"size": 2 * GIB}),
            ("Flavor's disk is too small", {"virtual_size": 2 * GIB}),
            ("smaller than the minimum size", {"min_disk": 2}),
            ("memory is too small", {"min_ram": 193}),
        ]
        for number, (cause, facts) in enumerate(cases):
            image_id = f"3333333{number}-3333-4333-8333-333333333333"
            self.add_image(image_id, **facts)
            await self.refuse(cause, imageRef=image_id)

    async def test_disks(self) -> None:
        """The image may stand among the disks, with numbers as text; volumes and further disks are refused."""
        disk = {
            "uuid": IMAGE, "boot_index": "0", "source_type": "image", "destination_type": "local",
            "delete_on_termination": "true", "volume_size": "5",
        }  # fmt: skip
        for ref in (IMAGE, ""):
            self.assertEqual(self.row(await self.boot(imageRef=ref, block_device_mapping_v2=[disk])).image_id, IMAGE)
        body = self.new(block_device_mapping_v2=[disk | {"boot_index": 0}])
        del body["server"]["imageRef"]
        await self.good(202, ALICE, "POST", "/servers", body)
        cases: list[tuple[str, list[dict[str, Any]]]] = [
            ("no volumes yet", [disk | {"destination_type": "volume"}]),
            ("no volumes yet", [disk | {"source_type": "volume"}]),
            ("no volumes yet", [{"source_type": "blank", "destination_type": "local"}]),
            ("none of image, volume", [disk | {"source_type": "tape"}]),
            ("Boot sequence", [disk | {"boot_index": -1}]),
            ("Boot sequence", [disk | {"boot_index": None}]),
            ("Boot sequence", [disk, disk]),
            ("Boot sequence", [disk | {"uuid": OTHER_IMAGE}]),
            ("boot_index", [disk | {"boot_index": "first"}]),
            ("uuid of the image is missing", [disk | {"uuid": None}]),
            ("delete_on_termination", [disk | {"delete_on_termination": "perhaps"}]),
            ("volume_type", [disk | {"volume_type": "ssd"}]),
            ("source_type", [{"uuid": IMAGE}]),
        ]
        for cause, given in cases:
            await self.refuse(cause, block_device_mapping_v2=given)
        await self.refuse("of volumes", block_device_mapping=[{"volume_id": NOWHERE, "device_name": "vda"}])

    async def test_flavors(self) -> None:
        """One that is there and may be used, without disks that nobody makes."""
        await self.refuse("Flavor 77 could not be found.", flavorRef="77")
        await self.boot(flavorRef=42)
        for name, more in (("swap", {"swap": 1}), ("eph", {"OS-FLV-EXT-DATA:ephemeral": 1}), ("zero", {})):
            flavor = {"name": name, "id": name, "ram": 256, "vcpus": 1, "disk": 0 if name == "zero" else 1, **more}
            await self.good(200, ADMIN, "POST", "/flavors", {"flavor": flavor})
        await self.refuse("ephemeral or a swap disk", flavorRef="swap")
        await self.refuse("ephemeral or a swap disk", flavorRef="eph")
        await self.refuse("zero_disk_flavor", status=403, flavorRef="zero")

    async def test_bad(self) -> None:
        """Each with the member named."""
        million = base64.b64encode(b"x" * 700_000).decode()
        cases: list[tuple[str, dict[str, Any], str]] = [
            ("name", {"name": ""}, ""), ("name", {"name": "x" * 256}, ""), ("name", {"name": " x"}, ""),
            ("name", {"name": 7}, ""), ("name", {"name": "a\nb"}, ""), ("flavorRef", {"flavorRef": None}, ""),
            ("user_data: longer than 65535", {"user_data": million}, ""), ("base64", {"user_data": "!"}, ""),
            ("key_name", {"key_name": "none"}, ""), ("key_name", {"key_name": ""}, ""),
            ("min_count must be <= max_count", {"min_count": 3, "max_count": 2}, ""),
            ("min_count", {"min_count": 0}, ""), ("max_count", {"max_count": "many"}, ""),
            ("at most 1000", {"min_count": 1001}, ""), ("metadata", {"metadata": {"a": 1}}, ""),
            ("is no key", {"metadata": {"a/b": "c"}}, ""), ("longer than 255", {"metadata": {"a": "x" * 256}}, ""),
            ("config_drive", {"config_drive": "perhaps"}, ""), ("diskConfig", {"OS-DCF:diskConfig": "auto"}, ""),
            ("accessIPv4", {"accessIPv4": "2001:db8::1"}, ""), ("accessIPv6", {"accessIPv6": "x"}, ""),
            ("availability zone is not available", {"availability_zone": "moon"}, ""),
            ("description", {"description": "d"}, "2.18"), ("tags", {"tags": ["a"]}, "2.51"),
            ("tags", {"tags": ["a/b"], "networks": "none"}, "2.52"),
            ("at most 50 tags", {"tags": [str(n) for n in range(51)], "networks": "none"}, "2.52"),
            ("personality", {"personality": [], "networks": "none"}, "2.57"),
            ("trusted_image_certificates", {"trusted_image_certificates": ["c"]}, "2.62"),
            ("does not validate certificates", {"trusted_image_certificates": ["c"], "networks": "none"}, "2.63"),
            ("host", {"host": "n1", "networks": "none"}, "2.73"), ("other", {"other": 1}, ""),
        ]  # fmt: skip
        for cause, more, version in cases:
            await self.refuse(cause, version, **more)
        bodies: list[Any] = [{}, [], {"server": []}, {"server": {}}, {**self.new(), "x": 1},
                             {**self.new(), "os:scheduler_hints": []},
                             {**self.new(), "os:scheduler_hints": {"group": 1}},
                             {**self.new(), "os:scheduler_hints": {"group": "g"}},
                             {**self.new(), "os:scheduler_hints": {"x": "y" * 20_000}}]  # fmt: skip
        for body in bodies:
            await self.refused(400, "badRequest", ALICE, "POST", "/servers", body)
        await self.refused(403, "forbidden", READER, "POST", "/servers", self.new())

    async def test_hostile(self) -> None:
        """Whatever a member is, the request is answered for what it is; nothing is an accident."""
        disk = {"uuid": IMAGE, "boot_index": 0, "source_type": "image", "destination_type": "local"}
        members: dict[str, Any] = {
            "name": "s", "flavorRef": "42", "imageRef": IMAGE, "adminPass": "p", "metadata": {"a": "b"},
            "networks": [{"uuid": self.network_id, "fixed_ip": "10.0.0.9", "port": None, "tag": "t"}],
            "OS-DCF:diskConfig": "AUTO", "accessIPv4": "192.0.2.1", "accessIPv6": "::1", "availability_zone": "nova",
            "block_device_mapping": [], "block_device_mapping_v2": [disk], "config_drive": True, "key_name": "k",
            "min_count": 1, "max_count": 1, "return_reservation_id": False, "security_groups": [{"name": "default"}],
            "user_data": "YQ==", "description": "d", "tags": ["t"], "trusted_image_certificates": None, "host": "n",
            "hypervisor_hostname": "n",
        }  # fmt: skip
        odd: tuple[Any, ...] = (
            None, [], {}, 7, -1, 1.5, True, "", "x", "x" * 3_000, "\u2028", HUGE, str(HUGE), [None], [[]], [{}], [HUGE],
            {"a": {}}, {"a": HUGE}, ["x"], [{"name": HUGE}], [{"uuid": HUGE}], [{"uuid": "'--"}], [{"port": "x" * 300}],
            [disk | {"boot_index": HUGE}], [disk | {"volume_size": HUGE}], [disk | {"boot_index": "9" * 400}],
            [{"uuid": self.network_id, "fixed_ip": "%"}], {str(number): "" for number in range(2_000)}, ["t"] * 100_000,
        )  # fmt: skip
        for name in members:
            for value in odd:
                body = {"server": {**members, "key_name": "", "host": "", name: value}}
                for member in ("key_name", "host", "hypervisor_hostname"):
                    if member != name:
                        body["server"].pop(member)
                answer = await self.call(ADMIN, "POST", "/servers", body, "2.79")
                self.assertIn(answer.status, (202, 400, 403, 409), f"{name} {str(value)[:80]}: {answer.text[:300]}")
                own = {"server": {name: value}}
                answer = await self.call(ADMIN, "PUT", f"/servers/{NOWHERE}", own, "2.79")
                self.assertIn(answer.status, (400, 404), f"{name} {str(value)[:80]}: {answer.text[:300]}")
        for hints in odd:
            answer = await self.call(ALICE, "POST", "/servers", {**self.new(), "os:scheduler_hints": hints})
            self.assertIn(answer.status, (202, 400), f"{str(hints)[:80]}: {answer.text[:300]}")

    async def test_files(self) -> None:
        """Up to 2.56, within their limits."""
        content = base64.b64encode(b"hello").decode()
        server_id = await self.boot(personality=[{"path": "/etc/motd", "contents": content}])
        self.assertEqual(self.row(server_id).files, (("/etc/motd", content),))
        many = [{"path": f"/{n}", "contents": content} for n in range(6)]
        large = [{"path": "/x", "contents": base64.b64encode(b"x" * 10_241).decode()}]
        await self.refuse("Personality file limit exceeded", status=403, personality=many)
        await self.refuse("Personality content limit exceeded", status=403, personality=large)
        await self.refuse("base64", personality=[{"path": "/x", "contents": "!"}])
        await self.refuse("metadata items exceeds 128", status=403, metadata={str(number): "" for number in range(129)})

    async def test_group_hint(self) -> None:
        """Joined in the same transaction, within its limit; another project's is none."""
        made = await self.good(200, ALICE, "POST", "/os-server-groups",
                               {"server_group": {"name": "g", "policies": ["affinity"]}})  # fmt: skip
        group_id = made["server_group"]["id"]
        for key in ("os:scheduler_hints", "OS-SCH-HNT:scheduler_hints"):
            body = {**self.new(), key: {"group": group_id, "same_host": ["x"]}}
            server_id = (await self.good(202, ALICE, "POST", "/servers", body))["server"]["id"]
            self.assertEqual(self.row(server_id).hints, {"group": group_id, "same_host": ["x"]})
        shown = await self.good(200, ALICE, "GET", f"/os-server-groups/{group_id}")
        self.assertEqual(len(shown["server_group"]["members"]), 2)
        one = (await self.good(200, ALICE, "GET", f"/servers/{server_id}", None, "2.71"))["server"]
        self.assertEqual(one["server_groups"], [group_id])
        body["server"]["min_count"] = 9
        await self.refused(403, "forbidden", ALICE, "POST", "/servers", body)
        message = await self.refused(400, "badRequest", BOB, "POST", "/servers", {**self.new(), key: body[key]})
        self.assertEqual(message, f"Instance group {group_id} could not be found.")

    async def test_hosts(self) -> None:
        """Named by administrators alone, in the zone or from 2.74 on by a member; it must be there."""
        self.add_host("n1")
        here: dict[str, Any] = {"networks": "none"}
        named: list[tuple[dict[str, Any], str]] = [
            ({"availability_zone": "nova:n1"}, "2.37"), ({"availability_zone": ":n1:n1"}, "2.37"),
            ({"host": "n1"}, "2.74"), ({"hypervisor_hostname": "n1", "host": "n1"}, "2.74"),
        ]  # fmt: skip
        for more, version in named:
            self.assertEqual(self.row(await self.boot(who=ADMIN, version=version, **here, **more)).wanted_host, "n1")
            await self.refuse("Policy doesn't allow", version, 403, **here, **more)
        await self.refuse("could not be found", "2.37", who=ADMIN, availability_zone="nova:n2", **here)
        await self.refuse("could not be found", "2.74", who=ADMIN, host="n1", hypervisor_hostname="n2", **here)
        await self.refuse("mutually", "2.74", who=ADMIN, host="n1", availability_zone="nova:n1", **here)
        await self.refuse("Unable to parse", "2.74", who=ADMIN, availability_zone="a:b:c:d", **here)
        self.add_host("n3", zone="z1")
        self.assertEqual(self.row(await self.boot(availability_zone="z1")).zone, "z1")

    async def test_quota(self) -> None:
        """What is over it is refused, and leaves nothing."""
        await self.good(200, ADMIN, "PUT", "/os-quota-sets/p1", {"quota_set": {"cores": 1}})
        await self.boot()
        await self.refuse("Quota exceeded for cores: Requested 1, but already used 1 of 1 cores", status=403)
        for table in (tables.server_share, tables.server_action, tables.task):
            self.assertEqual(len(self.rows(table)), 1)

    def test_host_names(self) -> None:
        """As Nova makes them."""
        for name, wanted in (
            ("Web Server_1", "web-server-1"), ("a.b", "a-b"), ("\u00e4\u00f6x!", "x"), ("-x-", "x"),
            ("x" * 80, "x" * 63), ("\u4e2d\u6587", "server-id"),
        ):  # fmt: skip
            self.assertEqual(host_name_of(name, "id"), wanted)

    def add_host(self, name: str, zone: str = "") -> None:
        """A host that runs servers."""
        values = {
            "node_id": NODE[:-1] + name[-1], "name": name, "driver": "d", "kind": "k", "hypervisor_version": 1,
            "vcpus": 1, "memory_mib": 1, "disk_gib": 1, "vcpu_ratio": 1.0, "memory_ratio": 1.0, "disk_ratio": 1.0,
            "architecture": "x86_64", "cpu_model": "m", "real": False, "zone": zone, "is_enabled": True,
            "created_us": now_us(), "updated_us": now_us(),
        }  # fmt: skip
        self.write(lambda connection: connection.execute(insert(tables.compute_host).values(**values)))


SSH_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ0T7cVZlZ6bC8uoVX3b0Gq2y9nJ3m1sQvS5xN5rW1aB a"
