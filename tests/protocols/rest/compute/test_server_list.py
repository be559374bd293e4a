"""Lists of servers: filters, order, pages and whose they are."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from cloudd.database import tables
from cloudd.protocols.rest.compute import _server_query as _query

from .cloud import ADMIN, ALICE, BOB, READER
from .servers import IMAGE, ServerCase

SECOND_US = 1_000_000


class ListTests(ServerCase):
    async def names(self, query: str = "", who: str = ALICE, version: str = "") -> list[str]:
        """Of the servers of one list, in order, which both lists agree on."""
        found = await self.good(200, who, "GET", f"/servers{query}", None, version)
        whole = await self.good(200, who, "GET", f"/servers/detail{query}", None, version)
        names = [each["name"] for each in found["servers"]]
        self.assertEqual([each["name"] for each in whole["servers"]], names)
        return names

    async def boot_all(self, *names: str, **more: Any) -> dict[str, str]:
        """Ids by name, made one second after another from 1970 on."""
        ids = {}
        for number, name in enumerate(names):
            ids[name] = await self.boot(name, **more)
            times = {"created_us": number * SECOND_US, "updated_us": number * SECOND_US}
            self.set_row(ids[name], **times)
        return ids

    async def test_order_and_pages(self) -> None:
        """Newest first; by any key; a page knows the next one."""
        ids = await self.boot_all("b", "a", "c")
        self.assertEqual(await self.names(), ["c", "a", "b"])
        self.assertEqual(await self.names("?sort_key=display_name"), ["c", "b", "a"])
        self.assertEqual(await self.names("?sort_key=display_name&sort_dir=asc"), ["a", "b", "c"])
        self.assertEqual(await self.names("?sort_key=vm_state&sort_dir=asc&sort_key=created_at&sort_dir=desc"),
                         ["c", "a", "b"])  # fmt: skip
        for whole in ("", "/detail"):
            path, pages = f"/servers{whole}?limit=2&sort_key=key_name&sort_key=display_name&sort_dir=asc", []
            while path:
                page = await self.good(200, ALICE, "GET", path)
                pages.append([each["name"] for each in page["servers"]])
                links = page.get("servers_links", [])
                path = links[0]["href"].partition("/compute/v2.1")[2] if links else ""
            self.assertEqual(pages, [["a", "b"], ["c"]])
        self.assertEqual(await self.names(f"?marker={ids['a']}"), ["b"])
        self.assertEqual(await self.good(200, ALICE, "GET", "/servers?limit=0"), {"servers": []})
        await self.refused(400, "badRequest", BOB, "GET", f"/servers?marker={ids['a']}")
        for bad in ("marker=none", "limit=-1", "limit=x", "sort_key=host_name", "sort_dir=up", "sort_key=host&x=1",
                    "sort_dir=asc&sort_dir=asc", "sort_key=locked"):  # fmt: skip
            if bad.startswith("sort_key=host&"):
                await self.refused(403, "forbidden", ALICE, "GET", f"/servers?{bad}")
                await self.good(200, ADMIN, "GET", f"/servers?{bad}")
            else:
                await self.refused(400, "badRequest", ALICE, "GET", f"/servers?{bad}")
        for key in ("access_ip_v4", "availability_zone", "config_drive", "image_ref", "launched_at", "progress",
                    "task_state", "terminated_at", "uuid", "power_state", "locked_by"):  # fmt: skip
            self.assertEqual(len(await self.names(f"?sort_key={key}&limit=3&marker={ids['a']}")) < 3, True)

    async def test_whose(self) -> None:
        """The project's; of all or of another one for administrators."""
        await self.boot("mine")
        await self.boot("his", BOB)
        self.assertEqual(await self.names(who=READER), ["mine"])
        self.assertEqual(await self.good(200, ALICE, "GET", "/servers/detail?limit=0"), {"servers": []})
        self.assertEqual(await self.names("?tenant_id=p2"), ["mine"])
        await self.refused(403, "forbidden", ALICE, "GET", "/servers?all_tenants=1")
        await self.refused(400, "badRequest", ADMIN, "GET", "/servers?all_tenants=perhaps")
        for query, names in (
            ("", []), ("?all_tenants=1", ["his", "mine"]), ("?all_tenants", ["his", "mine"]), ("?all_tenants=0", []),
            ("?tenant_id=p2", []), ("?project_id=p2", []), ("?all_tenants=True&project_id=p2", ["his"]),
            ("?all_tenants=1&user_id=alice-id", ["mine"]), ("?all_tenants=0&tenant_id=p2", []),
        ):  # fmt: skip
            self.assertEqual(await self.names(query, ADMIN), names, query)

    async def test_names(self) -> None:
        """A pattern that is found in the name; what could take for ever is refused."""
        await self.boot_all("web-1", "web-2", "db.1", "a+b")
        for pattern, names in (
            ("web", ["web-2", "web-1"]), ("^web-1$", ["web-1"]), ("b.1", ["db.1", "web-1"]), ("b\\.1", ["db.1"]),
            ("^.*b.*1$", ["db.1", "web-1"]), ("^db|2$", ["db.1", "web-2"]), ("a\\+b", ["a+b"]), ("none", []),
        ):  # fmt: skip
            self.assertEqual(sorted(await self.names(f"?name={quote(pattern)}")), sorted(names), pattern)
        for pattern in ("(a+)+$", "a**", "[", "*", "a{9}", "\\1", "x*x*", "\\", "x" * 256, "[z-a]"):
            message = await self.refused(400, "badRequest", ALICE, "GET", f"/servers?name={quote(pattern)}")
            self.assertIn("name", message)

    async def test_filters(self) -> None:
        """For everybody: image, flavor, status, addresses, reservation; for administrators more."""
        ids = await self.boot_all("one", "two", "three")
        self.add_image("22222222-2222-4222-8222-222222222222")
        other = await self.boot("four", imageRef="22222222-2222-4222-8222-222222222222", flavorRef="84")
        self.place(ids["one"], host="n1")
        self.place(ids["two"], host="n2", state="stopped", launch_index=3, key_name="k", config_drive=True)
        port = self.plug(ids["one"], self.network_id)
        self.plug(ids["two"], self.network_id)
        address = port.fixed_ips[0].ip_address
        for query, names in (
            (f"image={IMAGE}", ["one", "three", "two"]), ("image=none", []), ("flavor=84", ["four"]),
            ("flavor=none", []), ("status=active", ["one"]), ("status=ACTIVE&status=SHUTOFF", ["one", "two"]),
            (f"ip={quote(address.replace('.', chr(92) + '.'))}$", ["one"]), ("ip=10.0.", ["one", "two"]),
            ("ip=192.0.2.1", []), ("host=n1", ["four", "one", "three", "two"]),
            ("odd=1", ["four", "one", "three", "two"]),
        ):  # fmt: skip
            self.assertEqual(sorted(await self.names(f"?{query}")), names, query)
        for query, names in (
            ("host=n1", ["one"]), ("node=n2", ["two"]), (f"uuid={other}", ["four"]), ("vm_state=stopped", ["two"]),
            ("task_state=scheduling", ["four", "three"]), ("launch_index=3", ["two"]), ("key_name=k", ["two"]),
            ("config_drive=true", ["two"]), ("power_state=1", ["one", "two"]), ("hostname=^t", ["three", "two"]),
            ("created_at=1970-01-01T00:00:01Z", ["two"]), ("auto_disk_config=true", []), ("ip6=fd", []),
        ):  # fmt: skip
            self.assertEqual(sorted(await self.names(f"?{query}&tenant_id=p1&all_tenants=1", ADMIN)), names, query)
        self.assertEqual(await self.names("?status=odd", version="2.37"), [])
        message = await self.refused(400, "badRequest", ALICE, "GET", "/servers?status=odd", None, "2.38")
        self.assertIn("odd is none of ACTIVE", message)
        await self.refused(400, "badRequest", ADMIN, "GET", "/servers?config_drive=perhaps")
        await self.refused(400, "badRequest", ADMIN, "GET", "/servers?launch_index=x")
        await self.refused(400, "badRequest", ADMIN, "GET", "/servers?created_at=x")

    async def test_strict(self) -> None:
        """From 2.75 on what nobody knows is refused."""
        await self.good(200, ALICE, "GET", "/servers?odd=1", None, "2.74")
        message = await self.refused(400, "badRequest", ALICE, "GET", "/servers?odd=1", None, "2.75")
        self.assertIn("'odd' was unexpected", message)
        await self.refused(400, "badRequest", ALICE, "GET", "/servers/detail?changes-before=x", None, "2.75")
        await self.good(200, ALICE, "GET", "/servers?host=n1&tags=a&locked=true&changes-since=2026-11-20", None, "2.75")

    async def test_hostile(self) -> None:
        """Whatever a parameter is, the list is answered for what it is."""
        await self.boot()
        names = sorted({*_query._known((2, 79))})
        values = (
            "",
            "x",
            "-1",
            "9" * 30,
            "%00",
            "'--",
            "%",
            "1e9",
            "\u00fc\u2601",
            "x" * 300,
            "1970-01-01",
            "true",
            "a,b,,",
        )
        for name in names:
            for value in values:
                for who in (ALICE, ADMIN):
                    path = f"/servers/detail?{quote(name)}={quote(value)}"
                    answer = await self.call(who, "GET", path, None, "2.79")
                    self.assertIn(answer.status, (200, 400, 403), f"{path}: {answer.text[:300]}")

    async def test_changes(self) -> None:
        """``changes-since`` tells those that are gone, too; ``changes-before`` from 2.66 on."""
        ids = await self.boot_all("a", "b", "c")
        await self.good(204, ALICE, "DELETE", f"/servers/{ids['c']}")
        self.set_row(ids["c"], updated_us=2 * SECOND_US)
        self.assertEqual(await self.names(), ["b", "a"])
        for query, version, names in (
            ("changes-since=1970-01-01T00:00:01Z", "2.1", ["c", "b"]),
            ("changes-since=1970-01-01T00:00:01Z&changes-before=1970-01-01T00:00:01Z", "2.66", ["b"]),
            ("changes-before=1970-01-01T00:00:01Z", "2.66", ["b", "a"]),
            ("changes-before=1970-01-01T00:00:01Z", "2.65", ["b", "a"]),
            ("changes-since=2099-01-01", "2.1", []), ("deleted=True", "2.1", ["b", "a"]),
        ):  # fmt: skip
            self.assertEqual(await self.names(f"?{query}", version=version), names, query)
        found = await self.fits("servers", "list_servers_detail", ALICE, "GET",
                                "/servers/detail?changes-since=1970-01-01", "2.79")  # fmt: skip
        self.assertEqual(found["servers"][0]["status"], "DELETED")
        self.assertIsNotNone(found["servers"][0]["OS-SRV-USG:terminated_at"])
        await self.refused(400, "badRequest", ALICE, "GET", "/servers?changes-since=now")
        await self.refused(400, "badRequest", ALICE, "GET",
                           "/servers?changes-since=2020-01-02&changes-before=2020-01-01", None, "2.66")  # fmt: skip
        await self.refused(403, "forbidden", ALICE, "GET", "/servers?status=deleted")
        self.assertEqual(await self.names("?deleted=True&all_tenants=1&tenant_id=p1", ADMIN), ["c"])
        self.assertEqual(await self.names("?status=deleted&all_tenants=1&tenant_id=p1", ADMIN), ["c"])

    async def test_tags_and_locks(self) -> None:
        """Tags from 2.26 on, locks from 2.73 on."""
        ids = {}
        for name, tags in (("x", ["a", "b"]), ("y", ["a"]), ("z", [])):
            ids[name] = await self.boot(name, version="2.52", networks="none", tags=tags)
        self.set_row(ids["y"], locked_by="admin")
        for query, names in (
            ("tags=a", "xy"), ("tags=a,b", "x"), ("tags-any=a,b", "xy"), ("not-tags=a,b", "yz"),
            ("not-tags-any=a,b", "z"), ("tags=a&not-tags=b", "y"), ("locked=true", "y"), ("locked=false", "xz"),
        ):  # fmt: skip
            self.assertEqual(sorted(await self.names(f"?{query}", version="2.73")), list(names), query)
        self.assertEqual(len(await self.names("?tags=none", version="2.25")), 3)
        await self.refused(400, "badRequest", ALICE, "GET", "/servers?locked=perhaps", None, "2.73")
        self.assertEqual((await self.names("?sort_key=locked", version="2.73"))[0], "y")

    async def test_statements(self) -> None:
        """A list costs as many statements for many servers as for one."""
        counts = []
        for more in (1, 30):
            for number in range(more):
                server_id = await self.boot(f"s{number}")
                self.plug(server_id, self.network_id)
                self.place(server_id)
            statements: list[str] = []
            self.watch_statements(statements)
            await self.good(200, ALICE, "GET", "/servers/detail", None, "2.79")
            counts.append(len(statements))
        self.assertEqual(counts[0], counts[1])
        self.assertLess(counts[0], 12)
        self.assertEqual(len(self.rows(tables.server)), 31)
