"""The ``openstack`` command line against a real daemon: identity, then objects."""

from __future__ import annotations

import json
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from tests.running_cloud import RunningCloud

from .walk import ClientWalk


class Quiet(SimpleHTTPRequestHandler):
    """A folder as a web server, which writes no log."""

    def log_message(self, *args: Any) -> None:
        pass


class OpenStackWalk(ClientWalk):
    program = "openstack"

    def openstack(self, *words: str, login: dict[str, str] | None = None) -> str:
        return self.runs("openstack", *words, environment=login)

    def json(self, *words: str, login: dict[str, str] | None = None) -> Any:
        return json.loads(self.openstack(*words, "-f", "json", login=login))

    def queued(self, name: str) -> Any:
        """An image without data: the command line would send what it reads from its standard input."""
        connection = self.cloud.connect("api")
        token = self.json("token", "issue")["id"]
        body = json.dumps({"name": name, "disk_format": "raw", "container_format": "bare"})
        connection.request("POST", "/image/v2/images", body, {"X-Auth-Token": token})
        answer = connection.getresponse()
        self.assertEqual(answer.status, 201)
        return json.loads(answer.read())

    def ended(self, image_id: str) -> Any:
        """An image whose import has ended."""
        for _ in range(30):
            shown = self.json("image", "show", image_id)
            if shown["status"] in ("active", "queued"):
                return shown
            time.sleep(0.2)
        self.fail(f"the import of {image_id} does not end: {self.cloud.log()[-3000:]}")

    def imported(self, image_id: str) -> Any:
        """The same, with data."""
        shown = self.ended(image_id)
        self.assertEqual(shown["status"], "active", self.cloud.log()[-3000:])
        return shown


class IdentityAsAdmin(OpenStackWalk):
    cloud_name = "cloudd-admin"

    def test_token_and_catalog(self) -> None:
        """A token can be issued, the catalog names identity and object-store, and a revoked token is refused."""
        token = self.json("token", "issue")
        self.assertTrue(token["id"])
        self.assertRegex(token["expires"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+0000$")
        types = {entry["Type"] for entry in self.json("catalog", "list")}
        self.assertIn("identity", types)
        self.assertIn("object-store", types)
        endpoints = {entry["Service Type"] for entry in self.json("endpoint", "list")}
        self.assertIn("object-store", endpoints)
        self.openstack("token", "revoke", token["id"])

    def test_projects_users_roles(self) -> None:
        """The life of a project, a user and an assignment; the user can log in with the role given."""
        project = self.json("project", "create", "walk-project", "--description", "first")
        self.openstack("project", "set", "walk-project", "--description", "ändert sich")
        self.assertEqual(self.json("project", "show", "walk-project")["description"], "ändert sich")
        self.assertIn("walk-project", {row["Name"] for row in self.json("project", "list")})
        user = self.json("user", "create", "walk-user", "--password", "first-Secret-1", "--email", "u@example.org")
        self.openstack("role", "add", "--project", "walk-project", "--user", "walk-user", "member")
        rows = self.json("role", "assignment", "list", "--user", "walk-user", "--names")
        self.assertEqual([row["Role"] for row in rows], ["member"])
        login = {
            "OS_CLOUD": "",
            "OS_AUTH_URL": self.cloud.url("api") + "/identity/v3",
            "OS_USERNAME": "walk-user",
            "OS_PASSWORD": "first-Secret-1",
            "OS_PROJECT_NAME": "walk-project",
            "OS_USER_DOMAIN_NAME": "Default",
            "OS_PROJECT_DOMAIN_NAME": "Default",
            "OS_IDENTITY_API_VERSION": "3",
        }
        token = self.json("token", "issue", login=login)
        self.assertEqual((token["project_id"], token["user_id"]), (project["id"], user["id"]))
        self.assertIn("403", self.refused("openstack", "user", "create", "nobody", environment=login))
        self.openstack("user", "set", "walk-user", "--password", "second-Secret-2")
        self.assertIn("401", self.refused("openstack", "token", "issue", environment=login))
        login["OS_PASSWORD"] = "second-Secret-2"
        self.json("token", "issue", login=login)
        self.openstack("role", "remove", "--project", "walk-project", "--user", "walk-user", "member")
        self.refused("openstack", "token", "issue", environment=login)
        self.openstack("user", "delete", "walk-user")
        self.openstack("project", "delete", "walk-project")
        self.assertNotIn("walk-project", {row["Name"] for row in self.json("project", "list")})

    def test_roles_and_domains(self) -> None:
        """The four standing roles exist; roles and domains can be made, renamed and removed."""
        names = {row["Name"] for row in self.json("role", "list")}
        self.assertLessEqual({"reader", "member", "manager", "admin"}, names)
        self.openstack("role", "create", "walk-role")
        self.openstack("role", "set", "walk-role", "--name", "walk-role-2")
        self.openstack("role", "delete", "walk-role-2")
        self.openstack("domain", "create", "walk-domain")
        self.assertIn("walk-domain", {row["Name"] for row in self.json("domain", "list")})
        self.openstack("domain", "set", "walk-domain", "--disable")
        self.openstack("domain", "delete", "walk-domain")


class IdentityAsTenant(OpenStackWalk):
    def test_application_credential(self) -> None:
        """A tenant makes an application credential, logs in with it, and it ends when deleted."""
        made = self.json("application", "credential", "create", "walk-app", "--role", "member")
        login = {
            "OS_CLOUD": "",
            "OS_AUTH_TYPE": "v3applicationcredential",
            "OS_AUTH_URL": self.cloud.url("api") + "/identity",
            "OS_APPLICATION_CREDENTIAL_ID": made.get("id") or made["ID"],
            "OS_APPLICATION_CREDENTIAL_SECRET": made.get("secret") or made["Secret"],
        }
        self.json("token", "issue", login=login)
        self.openstack("container", "list", login=login)
        self.assertIn("walk-app", {row["Name"] for row in self.json("application", "credential", "list")})
        self.openstack("application", "credential", "delete", "walk-app")
        self.refused("openstack", "token", "issue", environment=login)

    def test_ec2_credentials(self) -> None:
        """EC2 credentials are made, listed, shown and deleted by their owner."""
        made = self.json("ec2", "credentials", "create")
        self.assertIn(made["access"], {row["Access"] for row in self.json("ec2", "credentials", "list")})
        self.assertEqual(self.json("ec2", "credentials", "show", made["access"])["secret"], made["secret"])
        self.openstack("ec2", "credentials", "delete", made["access"])
        self.assertNotIn(made["access"], {row["Access"] for row in self.json("ec2", "credentials", "list")})

    def test_a_tenant_sees_no_one_else(self) -> None:
        """Listing users or foreign projects is refused."""
        self.assertIn("403", self.refused("openstack", "user", "list"))
        self.assertEqual([row["Name"] for row in self.json("project", "list")], ["demo"])


class Objects(OpenStackWalk):
    def test_containers_and_objects(self) -> None:
        """Create, list, save, show, describe and delete, with awkward names."""
        self.openstack("container", "create", "os walk ü")
        self.assertIn("os walk ü", {row["Name"] for row in self.json("container", "list")})
        tree = self.tree("files", (0, 5, 70_000))
        names = sorted(str(path.relative_to(tree)) for path in tree.rglob("*") if path.is_file())
        for name in names:
            self.openstack("object", "create", "os walk ü", str(tree / name), "--name", name)
        self.assertEqual(sorted(row["Name"] for row in self.json("object", "list", "os walk ü")), names)
        for name in names:
            target = self.folder / "back" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            self.openstack("object", "save", "os walk ü", name, "--file", str(target))
        self.assert_same_tree(tree, self.folder / "back")
        self.openstack("object", "set", "os walk ü", "plain.txt", "--property", "colour=blue")
        self.assertIn("blue", json.dumps(self.json("object", "show", "os walk ü", "plain.txt")))
        self.openstack("container", "set", "os walk ü", "--property", "owner=me")
        self.assertIn("me", json.dumps(self.json("container", "show", "os walk ü")))
        self.assertEqual(str(self.json("object", "store", "account", "show")["Containers"]).isdigit(), True)
        self.refused("openstack", "container", "delete", "os walk ü")
        self.openstack("container", "delete", "--recursive", "os walk ü")
        self.assertNotIn("os walk ü", {row["Name"] for row in self.json("container", "list")})


class Images(OpenStackWalk):
    def test_images(self) -> None:
        """Made from a file, listed, changed, saved with its checksum, tagged and deleted."""
        disk = self.folder / "disk.raw"
        disk.write_bytes(b"\0" * 512 + b"a disk" * 50_000)
        made = self.json(
            "image", "create", "walk image ü", "--file", str(disk), "--disk-format", "raw",
            "--container-format", "bare", "--property", "os_distro=walk", "--tag", "one", "--min-disk", "1",
        )  # fmt: skip
        self.assertEqual((made["status"], made["size"]), ("active", disk.stat().st_size))
        found = self.json("image", "list", "--property", "os_distro=walk")
        self.assertEqual([row["Name"] for row in found], ["walk image ü"])
        self.openstack(
            "image", "set", made["id"], "--name", "walk-2", "--property", "a=b", "--tag", "two", "--min-ram", "64"
        )
        shown = self.json("image", "show", "walk-2")
        self.assertEqual((shown["min_ram"], sorted(shown["tags"])), (64, ["one", "two"]))
        self.assertEqual(shown["properties"]["a"], "b")
        self.openstack("image", "unset", made["id"], "--property", "a", "--tag", "one")
        saved = self.folder / "saved.raw"
        self.openstack("image", "save", "walk-2", "--file", str(saved))
        self.assertEqual(saved.read_bytes(), disk.read_bytes())
        self.openstack("image", "set", "walk-2", "--protected")
        self.assertIn("protected", self.refused("openstack", "image", "delete", "walk-2"))
        self.openstack("image", "set", "walk-2", "--unprotected")
        self.openstack("image", "delete", "walk-2")
        self.assertNotIn("walk-2", {row["Name"] for row in self.json("image", "list")})

    def test_staged_import(self) -> None:
        """Data is staged and imported; a download is refused with its reason where no host is allowed."""
        disk = self.file("import.raw", 300_000)
        formats = ("--disk-format", "raw", "--container-format", "bare")
        made = self.json("image", "create", "walk-import", "--import", "--file", str(disk), *formats)
        self.assertEqual(self.imported(made["id"])["size"], disk.stat().st_size)
        staged = self.queued("walk-stage")
        self.openstack("image", "stage", "walk-stage", "--file", str(disk))
        self.openstack("image", "import", "walk-stage", "--method", "glance-direct")
        self.assertEqual(self.imported(staged["id"])["size"], disk.stat().st_size)
        asked = ("image", "import", "walk-off", "--method", "web-download", "--uri", "http://127.0.0.1/x")
        self.queued("walk-off")
        self.assertIn("web-download", self.refused("openstack", *asked))
        self.assertIn("glance-direct", self.openstack("image", "import", "info"))
        self.openstack("image", "delete", "walk-import", "walk-stage", "walk-off")


class ImageDownloads(OpenStackWalk):
    """On a cloud of its own, which may download from a server of this test."""

    def setUp(self) -> None:
        super().setUp()
        self.origin = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(self.folder)))
        thread = Thread(target=self.origin.serve_forever)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.origin.server_close)
        self.addCleanup(self.origin.shutdown)
        place = f"127.0.0.1:{self.origin.server_address[1]}"
        self.cloud = RunningCloud(f'[images]\nweb_download_hosts = ["{place}"]\n')
        self.addCleanup(self.cloud.remove)
        self.cloud.start()
        self.environment = self.cloud.environment(self.cloud_name)
        self.url = f"http://{place}"

    def test_downloads(self) -> None:
        """Imported from a URL, and queued again where there is nothing; from other hosts nothing comes."""
        disk = self.file("web.raw", 3_000_000)
        made = self.queued("walk-web")
        asked = ("--method", "web-download", "--uri")
        self.openstack("image", "import", "walk-web", *asked, f"{self.url}/web.raw")
        self.assertEqual(self.imported(made["id"])["size"], disk.stat().st_size)
        saved = self.folder / "saved.raw"
        self.openstack("image", "save", "walk-web", "--file", str(saved))
        self.assert_same_file(disk, saved)
        none = self.queued("walk-none")
        self.openstack("image", "import", "walk-none", *asked, f"{self.url}/missing")
        self.assertEqual(self.ended(none["id"])["status"], "queued")
        self.openstack("image", "import", "walk-none", *asked, "http://a.b/")  # it does not look at the answer
        self.assertEqual(self.ended(none["id"])["status"], "queued")


class Networks(OpenStackWalk):
    def test_quotas_and_agents(self) -> None:
        """A tenant reads its quota; an administrator changes it, and sees the nodes."""
        self.assertEqual(self.network_limit("networks"), 100)
        admin = {"OS_CLOUD": "cloudd-admin"}
        self.openstack("quota", "set", "--networks", "101", "demo", login=admin)
        self.assertEqual(self.network_limit("networks"), 101)
        self.openstack("quota", "delete", "--network", "demo", login=admin)
        agent, *_others = self.json("network", "agent", "list", login=admin)
        self.assertEqual(self.json("network", "agent", "show", agent["ID"], login=admin)["binary"], "cloudd")
        self.assertIn("[]", self.openstack("network", "agent", "list", "-f", "json", "--host", "x", login=admin))
        self.assertIn("403", self.refused("openstack", "network", "agent", "list"))

    def network_limit(self, resource: str) -> int:
        """Of the tenant's own project."""
        rows = self.json("quota", "show", "--network")
        return int(next(row["Limit"] for row in rows if row["Resource"] == resource))

    def test_networks(self) -> None:
        """A network with a subnet, a port with an address, a group with a rule; changed, found and deleted."""
        network = self.json("network", "create", "walk-net", "--description", "first", "--tag", "walk")
        subnet = self.json(
            "subnet", "create", "walk-sub", "--network", "walk-net", "--subnet-range", "10.7.0.0/24",
            "--dns-nameserver", "9.9.9.9", "--allocation-pool", "start=10.7.0.10,end=10.7.0.20",
        )  # fmt: skip
        self.assertEqual((subnet["gateway_ip"], subnet["network_id"]), ("10.7.0.1", network["id"]))
        group = self.json("security", "group", "create", "walk-group")
        rule = self.json("security", "group", "rule", "create", "walk-group", "--protocol", "tcp",
                         "--dst-port", "22:23", "--remote-ip", "192.0.2.0/24")  # fmt: skip
        self.assertEqual((rule["port_range_min"], rule["port_range_max"]), (22, 23))
        port = self.json("port", "create", "walk-port", "--network", "walk-net", "--security-group", "walk-group",
                         "--fixed-ip", "subnet=walk-sub,ip-address=10.7.0.15")  # fmt: skip
        self.assertEqual(port["fixed_ips"], [{"subnet_id": subnet["id"], "ip_address": "10.7.0.15"}])
        self.assertEqual(port["security_group_ids"], [group["id"]])
        self.openstack("port", "set", "walk-port", "--name", "walk-port-2", "--allowed-address", "ip-address=10.7.0.99")
        self.openstack("network", "set", "walk-net", "--disable")
        self.assertFalse(self.json("network", "show", "walk-net")["admin_state_up"])
        rows = self.json("port", "list", "--network", "walk-net", "--fixed-ip", "ip-address=10.7.0.15")
        self.assertEqual([row["Name"] for row in rows], ["walk-port-2"])
        self.assertIn("walk-net", {row["Name"] for row in self.json("network", "list", "--tags", "walk")})
        self.assertIn("default", {row["Name"] for row in self.json("security", "group", "list")})
        self.assertIn("in use", self.refused("openstack", "network", "delete", "walk-net"))
        for kind, name in (("port", "walk-port-2"), ("subnet", "walk-sub"), ("network", "walk-net")):
            self.openstack(kind, "delete", name)
        self.openstack("security", "group", "rule", "delete", rule["id"])
        self.openstack("security", "group", "delete", "walk-group")
        self.assertNotIn("walk-net", {row["Name"] for row in self.json("network", "list")})


class ComputeAsTenant(OpenStackWalk):
    def test_keypairs(self) -> None:
        """Given and generated; listed, shown with the public key, and deleted."""
        made = self.folder / "made.pem"
        self.openstack("keypair", "create", "walk-key", "--private-key", str(made))
        self.assertIn("PRIVATE KEY", made.read_text())
        public = self.folder / "walk.pub"
        public.write_text(self.openstack("keypair", "show", "walk-key", "--public-key"))
        given = self.json("keypair", "create", "walk-given", "--public-key", str(public))
        rows = {row["Name"]: row["Fingerprint"] for row in self.json("keypair", "list")}
        self.assertEqual(rows["walk-key"], rows["walk-given"])
        self.assertEqual(self.json("keypair", "show", "walk-given")["fingerprint"], given["fingerprint"])
        self.assertIn("already exists", self.refused("openstack", "keypair", "create", "walk-key"))
        self.openstack("keypair", "delete", "walk-key", "walk-given")
        self.assertEqual([row for row in self.json("keypair", "list") if row["Name"].startswith("walk")], [])

    def test_flavors(self) -> None:
        """A fresh cloud has some; a tenant makes none."""
        rows = {row["Name"]: row for row in self.json("flavor", "list")}
        self.assertEqual((rows["m1.tiny"]["RAM"], rows["m1.tiny"]["VCPUs"]), (512, 1))
        self.assertEqual(self.json("flavor", "show", "m1.nano")["ram"], 192)
        self.assertIn("403", self.refused("openstack", "flavor", "create", "x", "--ram", "64", "--disk", "1"))

    def test_server_groups(self) -> None:
        """Made with a rule, listed, shown by name and deleted."""
        self.openstack("server", "group", "create", "walk-group", "--policy", "anti-affinity",
                       "--rule", "max_server_per_host=2")  # fmt: skip
        shown = self.json("server", "group", "show", "walk-group")
        self.assertEqual((shown["policy"], shown["rules"]), ("anti-affinity", {"max_server_per_host": 2}))
        self.openstack("server", "group", "create", "walk-near", "--policy", "soft-affinity")
        rows = {row["Name"]: row["Policy"] for row in self.json("server", "group", "list")}
        self.assertEqual((rows["walk-group"], rows["walk-near"]), ("anti-affinity", "soft-affinity"))
        self.openstack("server", "group", "delete", "walk-group", "walk-near")
        self.assertNotIn("walk-group", {row["Name"] for row in self.json("server", "group", "list")})

    def test_quotas_and_zones(self) -> None:
        """What the project may have, has, and where."""
        limits = {row["Name"]: row["Value"] for row in self.json("limits", "show", "--absolute")}
        self.assertEqual((limits["total_cores"], limits["total_cores_used"]), (20, 0))
        quota = {row["Resource"]: row["Limit"] for row in self.json("quota", "show", "--compute")}
        self.assertEqual((quota["cores"], quota["key-pairs"]), (20, 100))
        zones = self.json("availability", "zone", "list", "--compute")
        self.assertEqual([(row["Zone Name"], row["Zone Status"]) for row in zones], [("nova", "available")])
        self.assertIn("403", self.refused("openstack", "quota", "set", "demo", "--cores", "1"))
        self.openstack("usage", "show")


class ComputeAsAdmin(OpenStackWalk):
    cloud_name = "cloudd-admin"

    def test_flavors(self) -> None:
        """Made private, given to a project and taken from it, described, with properties, and deleted."""
        made = self.json(
            "flavor", "create", "walk-flavor", "--ram", "64", "--disk", "1", "--vcpus", "2", "--private",
            "--property", "hw:cpu_policy=shared", "--description", "first",
        )  # fmt: skip
        self.assertEqual((made["ram"], made["vcpus"], made["description"]), (64, 2, "first"))
        self.assertNotIn("walk-flavor", {row["Name"] for row in self.json("flavor", "list")})
        self.assertIn("walk-flavor", {row["Name"] for row in self.json("flavor", "list", "--all")})
        self.openstack("flavor", "set", "walk-flavor", "--project", "demo", "--description", "second")
        self.openstack("flavor", "set", "walk-flavor", "--property", "a=b")
        shown = self.json("flavor", "show", "walk-flavor")
        self.assertEqual(shown["description"], "second")
        self.assertEqual(shown["properties"], {"a": "b", "hw:cpu_policy": "shared"})
        self.assertEqual(len(shown["access_project_ids"]), 1)
        self.openstack("flavor", "unset", "walk-flavor", "--property", "a", "--project", "demo")
        self.assertEqual(self.json("flavor", "show", "walk-flavor")["properties"], {"hw:cpu_policy": "shared"})
        self.openstack("flavor", "delete", "walk-flavor")
        self.assertNotIn("walk-flavor", {row["Name"] for row in self.json("flavor", "list", "--all")})

    def test_quotas(self) -> None:
        """Set for a project, and as before when deleted."""
        self.openstack("project", "create", "walk-quota")
        self.openstack("quota", "set", "walk-quota", "--cores", "7", "--instances", "3")
        rows = {row["Resource"]: row["Limit"] for row in self.json("quota", "show", "--compute", "walk-quota")}
        self.assertEqual((rows["cores"], rows["instances"]), (7, 3))
        self.openstack("quota", "delete", "--compute", "walk-quota")
        rows = {row["Resource"]: row["Limit"] for row in self.json("quota", "show", "--compute", "walk-quota")}
        self.assertEqual(rows["cores"], 20)
        self.openstack("project", "delete", "walk-quota")

    def test_hosts(self) -> None:
        """A node, of perhaps several, and an aggregate that it is put into."""
        row, *_others = self.json("compute", "service", "list")
        self.assertEqual((row["Binary"], row["Zone"], row["Status"]), ("cloudd-agent", "internal", "enabled"))
        host, *_others = self.json("hypervisor", "list")
        self.assertEqual(self.json("aggregate", "list"), [])
        made = self.json("aggregate", "create", "walk", "--zone", "z1", "--property", "filter_tenant_id=p")
        self.assertEqual((made["name"], made["availability_zone"]), ("walk", "z1"))
        self.assertEqual(self.json("aggregate", "show", "walk")["properties"], {"filter_tenant_id": "p"})
        added = self.json("aggregate", "add", "host", "walk", host["Hypervisor Hostname"])
        self.assertEqual(added["hosts"], [host["Hypervisor Hostname"]])
        zones = self.json("availability", "zone", "list", "--compute")
        self.assertIn("z1", {row["Zone Name"] for row in zones})
        self.openstack("aggregate", "remove", "host", "walk", host["Hypervisor Hostname"])
        self.openstack("aggregate", "delete", "walk")
        self.assertEqual(self.json("usage", "list"), [])
        zones = self.json("availability", "zone", "list", "--compute", "--long")
        self.assertIn("nova", {row["Zone Name"] for row in zones})
