"""Flavors, who may use them, and their extra specs."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, select

from cloudd import compute as service
from cloudd.compute import FIRST_FLAVORS
from cloudd.database import tables

from .cloud import ADMIN, ALICE, BOB, READER, ComputeCase

VERSIONS = ("2.1", "2.54", "2.55", "2.60", "2.61", "2.74", "2.75", "2.79")


class FlavorCase(ComputeCase):
    async def add(self, name: str, version: str = "2.79", **members: Any) -> dict[str, Any]:
        """A new flavor, made by an administrator."""
        body = {"flavor": {"name": name, "ram": 64, "vcpus": 1, "disk": 0, **members}}
        found: dict[str, Any] = (await self.good(200, ADMIN, "POST", "/flavors", body, version))["flavor"]
        return found

    async def private(self, name: str, *projects: str) -> str:
        """A private flavor for these projects; gives its id."""
        members: dict[str, Any] = {"os-flavor-access:is_public": False}
        flavor = await self.add(name, **members)
        for project in projects:
            body = {"addTenantAccess": {"tenant": project}}
            await self.good(200, ADMIN, "POST", f"/flavors/{flavor['id']}/action", body)
        return str(flavor["id"])

    async def names(self, who: str, query: str = "", path: str = "/flavors") -> list[str]:
        """Of a list."""
        return [each["name"] for each in (await self.good(200, who, "GET", f"{path}?{query}"))["flavors"]]


class FlavorTests(FlavorCase):
    async def test_each_version(self) -> None:
        """Made, shown, listed and deleted with the members of each version."""
        for version in VERSIONS:
            body = {"flavor": {"name": "f", "id": "f", "ram": 64, "vcpus": 1, "disk": 0}}
            made = await self.fits(
                "flavors", "create_update_get_flavor_details", ADMIN, "POST", "/flavors", version, body
            )
            shown = await self.fits("flavors", "create_update_get_flavor_details", ALICE, "GET", "/flavors/f", version)
            self.assertEqual(made, shown)
            flavor, minor = shown["flavor"], int(version[2:])
            self.assertEqual(flavor["swap"], 0 if minor >= 75 else "")
            self.assertEqual(("description" in flavor, "extra_specs" in flavor), (minor >= 55, minor >= 61))
            self.assertEqual([each["rel"] for each in flavor["links"]], ["self", "bookmark"])
            self.assertTrue(flavor["links"][0]["href"].endswith("/compute/v2.1/flavors/f"))
            await self.fits("flavors", "list_flavors", ALICE, "GET", "/flavors", version)
            detail = await self.fits("flavors", "list_flavors_details", ALICE, "GET", "/flavors/detail", version)
            self.assertIn(flavor, detail["flavors"])
            if minor >= 55:
                changed = await self.fits(
                    "flavors", "create_update_get_flavor_details", ADMIN, "PUT", "/flavors/f", version,
                    {"flavor": {"description": "first ☁\nsecond"}},
                )  # fmt: skip
                self.assertEqual(changed["flavor"]["description"], "first ☁\nsecond")
            await self.fits("flavors", "delete_flavor", ADMIN, "DELETE", "/flavors/f", version)
            message = await self.refused(404, "itemNotFound", ALICE, "GET", "/flavors/f", None, version)
            self.assertEqual(message, "Flavor f could not be found.")

    async def test_first_ones(self) -> None:
        """A new cloud has sizes that any host can carry; what was deleted does not come back."""
        self.assertEqual(set(await self.names(ALICE)), {flavor.name for flavor in FIRST_FLAVORS})
        for flavor in FIRST_FLAVORS:
            await self.good(202, ADMIN, "DELETE", f"/flavors/{flavor.flavor_id}")
        self.assertFalse(await self.database.write(service.first_flavors))
        self.assertEqual(await self.names(ADMIN, "is_public=None", "/flavors/detail"), [])

    async def test_deleted_ones_are_told(self) -> None:
        """By our own id, when another one has the API's id long since."""
        await self.add("old", id="7", ram=100)
        access = self.client_access(ALICE)
        old = await self.database.read(service.one_flavor, access, "7")
        await self.good(202, ADMIN, "DELETE", "/flavors/7")
        await self.add("old", id="7", ram=200)
        new = await self.database.read(service.one_flavor, access, "7")
        self.assertEqual((new.ram_mib, new.deleted), (200, False))
        told = await self.database.read(service.flavor_record, old.id)
        self.assertEqual((told.ram_mib, told.name, told.deleted), (100, "old", True))
        await self.good(202, ADMIN, "DELETE", "/flavors/7")
        await self.refused(404, "itemNotFound", ADMIN, "DELETE", "/flavors/7")

    async def test_values(self) -> None:
        """Numbers may come as text and truth values as words; an id is made where none is given."""
        flavor = await self.add(
            "all", id=None, ram="128", vcpus="2", disk="3", swap="4", rxtx_factor="1.5", description=None,
            **{"OS-FLV-EXT-DATA:ephemeral": "5", "os-flavor-access:is_public": "False"},
        )  # fmt: skip
        self.assertEqual(len(flavor.pop("id")), 36)
        del flavor["links"]
        expected = {
            "name": "all", "ram": 128, "vcpus": 2, "disk": 3, "swap": 4, "rxtx_factor": 1.5, "description": None,
            "OS-FLV-EXT-DATA:ephemeral": 5, "os-flavor-access:is_public": False, "OS-FLV-DISABLED:disabled": False,
            "extra_specs": {},
        }  # fmt: skip
        self.assertEqual(flavor, expected)
        self.assertEqual((await self.add("by number", id=1234))["id"], "1234")

    async def test_bad_values(self) -> None:
        good = {"name": "x", "ram": 1, "vcpus": 1, "disk": 1}
        bad: list[dict[str, Any]] = [
            {"name": ""}, {"name": "x" * 256}, {"name": " x"}, {"name": "a\tb"}, {"name": None}, {"ram": 0},
            {"ram": -1}, {"ram": "x"}, {"ram": 1.5}, {"ram": 2**31}, {"ram": "9" * 30}, {"vcpus": 0}, {"disk": -1},
            {"disk": True}, {"swap": -1}, {"rxtx_factor": 0}, {"rxtx_factor": "x"}, {"rxtx_factor": 1e39},
            {"id": ""}, {"id": "a/b"}, {"id": " a"}, {"id": "x" * 256}, {"id": "ü"}, {"more": 1},
            {"os-flavor-access:is_public": "perhaps"}, {"OS-FLV-EXT-DATA:ephemeral": -1}, {"description": "x" * 65_536},
            {"description": "a\u0007"},
        ]  # fmt: skip
        for members in bad:
            await self.refused(400, "badRequest", ADMIN, "POST", "/flavors", {"flavor": {**good, **members}}, "2.79")
        for name in good:
            body = {"flavor": {key: value for key, value in good.items() if key != name}}
            await self.refused(400, "badRequest", ADMIN, "POST", "/flavors", body)
        updates: list[dict[str, Any]] = [{}, {"description": None, "name": "x"}]
        for members in updates:
            await self.refused(400, "badRequest", ADMIN, "PUT", "/flavors/1", {"flavor": members}, "2.79")

    async def test_taken(self) -> None:
        """Names and ids are given once."""
        await self.add("one", id="one")
        for members, words in (({"name": "one", "id": "2x"}, "name one"), ({"name": "two", "id": "one"}, "ID one")):
            body = {"flavor": {"ram": 1, "vcpus": 1, "disk": 1, **members}}
            message = await self.refused(409, "conflictingRequest", ADMIN, "POST", "/flavors", body)
            self.assertEqual(message, f"Flavor with {words} already exists.")

    async def test_rights(self) -> None:
        """Only administrators change something."""
        body = {"flavor": {"name": "x", "ram": 1, "vcpus": 1, "disk": 1}}
        for who in (ALICE, READER):
            for method, path, document in (
                ("POST", "/flavors", body),
                ("PUT", "/flavors/1", {"flavor": {"description": "d"}}),
                ("DELETE", "/flavors/1", None),
                ("GET", "/flavors/1/os-flavor-access", None),
                ("POST", "/flavors/1/action", {"addTenantAccess": {"tenant": "p1"}}),
                ("POST", "/flavors/1/os-extra_specs", {"extra_specs": {}}),
                ("PUT", "/flavors/1/os-extra_specs/a", {"a": "b"}),
                ("DELETE", "/flavors/1/os-extra_specs/a", None),
            ):
                message = await self.refused(403, "forbidden", who, method, path, document, "2.79")
                self.assertIn("Policy doesn't allow os_compute_api:os-flavor-", message)

    async def test_lists(self) -> None:
        """Filters, order and pages."""
        await self.add("big", id="zz", ram=4096, disk=40, vcpus=8)
        await self.add("wide", id="yy", ram=64, disk=40, description="d")
        for query, names in {
            "minRam=4000": ["big"],
            "minDisk=40": ["wide", "big"],
            "minRam=4000&minDisk=50": [],
            "sort_key=memory_mb&sort_dir=desc&limit=1": ["big"],
            "sort_key=name&limit=2": ["big", "m1.micro"],
            "sort_key=vcpus&sort_dir=desc&limit=1": ["big"],
            "sort_key=description&sort_dir=desc&limit=1": ["wide"],
            "marker=yy": ["big"],
            "marker=yy&sort_key=memory_mb&minDisk=2": ["m1.small", "big"],
            "unknown=1&minDisk=40&limit=0": ["wide", "big"],
        }.items():
            self.assertEqual(await self.names(ALICE, query), names, query)
        for query in ("minRam=x", "minDisk=-1", "sort_key=x", "sort_dir=up", "limit=-1", "limit=x", "marker=none"):
            await self.refused(400, "badRequest", ALICE, "GET", f"/flavors?{query}")
        await self.refused(400, "badRequest", ADMIN, "GET", "/flavors?is_public=perhaps")
        await self.refused(400, "badRequest", ALICE, "GET", "/flavors?unknown=1", None, "2.75")

    async def test_pages(self) -> None:
        """By the links, both ways round, none left out and none twice."""
        for number in range(5):
            await self.add(f"f{number}", ram=64 if number % 2 else 32)
        whole = await self.names(ALICE, "sort_key=memory_mb")
        for kind in ("/flavors", "/flavors/detail"):
            for direction in ("asc", "desc"):
                path, found = f"{kind}?limit=2&sort_key=memory_mb&sort_dir={direction}", []
                while path:
                    page = await self.good(200, ALICE, "GET", path)
                    found += [each["name"] for each in page["flavors"]]
                    links = page.get("flavors_links", [])
                    path = links[0]["href"].partition("/compute/v2.1")[2] if links else ""
                self.assertEqual(found, whole if direction == "asc" else whole[::-1])


class AccessTests(FlavorCase):
    async def test_private(self) -> None:
        """Seen and found by the projects that were given it, and by administrators."""
        flavor_id = await self.private("secret", "p1")
        for who, sees in ((ALICE, True), (READER, True), (BOB, False)):
            self.assertEqual("secret" in await self.names(who), sees)
            self.assertEqual("secret" in await self.names(who, "is_public=None", "/flavors/detail"), sees)
            answer = await self.call(who, "GET", f"/flavors/{flavor_id}")
            self.assertEqual(answer.status, 200 if sees else 404)
            specs = await self.call(who, "GET", f"/flavors/{flavor_id}/os-extra_specs")
            self.assertEqual(specs.status, 200 if sees else 404)
        self.assertNotIn("secret", await self.names(ADMIN))
        self.assertEqual(await self.names(ADMIN, "is_public=False"), ["secret"])
        self.assertIn("secret", await self.names(ADMIN, "is_public=none"))
        for word, found in (("f", ["secret"]), ("off", ["secret"]), ("N", ["secret"]), ("y", []), ("T", [])):
            names = await self.names(ADMIN, f"is_public={word}&minDisk=0&minRam=1")
            self.assertEqual([name for name in names if not name.startswith("m1.")], found, word)
        await self.refused(400, "badRequest", BOB, "GET", f"/flavors?marker={flavor_id}")

    async def test_given_and_taken(self) -> None:
        """The list tells who may use it."""
        flavor_id = await self.private("secret")
        path, action = f"/flavors/{flavor_id}/os-flavor-access", f"/flavors/{flavor_id}/action"
        kind, name = "flavors_access", "add_remove_list_flavor_access"
        self.assertEqual(await self.fits(kind, name, ADMIN, "GET", path, "2.1"), {"flavor_access": []})
        body: dict[str, Any] = {"addTenantAccess": {"tenant": "p1"}}
        found = await self.fits(kind, name, ADMIN, "POST", action, "2.1", body)
        self.assertEqual(found, {"flavor_access": [{"flavor_id": flavor_id, "tenant_id": "p1"}]})
        await self.refused(409, "conflictingRequest", ADMIN, "POST", action, body)
        self.assertEqual(await self.fits(kind, name, ADMIN, "GET", path, "2.1"), found)
        body = {"removeTenantAccess": {"tenant": "p1"}}
        self.assertEqual(await self.fits(kind, name, ADMIN, "POST", action, "2.1", body), {"flavor_access": []})
        await self.refused(404, "itemNotFound", ADMIN, "POST", action, body)

        def give_to_one_that_is_gone(connection: Connection) -> None:
            record = connection.execute(
                select(tables.flavor.c.id).where(tables.flavor.c.flavor_id == flavor_id)
            ).scalar_one()
            connection.execute(tables.flavor_access.insert().values(flavor=record, project_id="gone"))

        await self.database.write(give_to_one_that_is_gone)
        body = {"removeTenantAccess": {"tenant": "gone"}}
        self.assertEqual(await self.fits(kind, name, ADMIN, "POST", action, "2.1", body), {"flavor_access": []})

    async def test_refused(self) -> None:
        """Public flavors, projects that are none, and actions that are none."""
        await self.refused(404, "itemNotFound", ADMIN, "GET", "/flavors/1/os-flavor-access")
        body: dict[str, Any] = {"addTenantAccess": {"tenant": "p1"}}
        await self.refused(409, "conflictingRequest", ADMIN, "POST", "/flavors/1/action", body)
        await self.refused(404, "itemNotFound", ADMIN, "POST", "/flavors/none/action", body)
        body = {"addTenantAccess": {"tenant": "none"}}
        message = await self.refused(400, "badRequest", ADMIN, "POST", "/flavors/1/action", body)
        self.assertEqual(message, "Project ID none is not a valid project.")
        bad: list[dict[str, Any]] = [
            {}, {"addTenantAccess": None}, {"addTenantAccess": {}}, {"addTenantAccess": {"tenant": 1}}, {"other": {}},
            {"addTenantAccess": {"tenant": "p1", "x": 1}}, {"addTenantAccess": {"tenant": "p1"}, "other": {}},
        ]  # fmt: skip
        for document in bad:
            await self.refused(400, "badRequest", ADMIN, "POST", "/flavors/1/action", document)


class SpecTests(FlavorCase):
    async def test_specs(self) -> None:
        """Set, shown in bodies from 2.61 on, changed one by one, and taken away."""
        path, kind = "/flavors/1/os-extra_specs", "flavors_extra_specs"
        body = {"extra_specs": {"hw:cpu_policy": "shared", "number": 7}}
        made = await self.fits(kind, "set_get_flavor_extra_specs", ADMIN, "POST", path, "2.1", body)
        self.assertEqual(made, {"extra_specs": {"hw:cpu_policy": "shared", "number": "7"}})
        self.assertEqual(await self.fits(kind, "set_get_flavor_extra_specs", ALICE, "GET", path, "2.1"), made)
        shown = (await self.good(200, ALICE, "GET", "/flavors/1", None, "2.61"))["flavor"]
        self.assertEqual(shown["extra_specs"], made["extra_specs"])
        one = await self.fits(
            kind, "set_get_flavor_extra_specs_key", ADMIN, "PUT", f"{path}/number", "2.1", {"number": "8"}
        )
        self.assertEqual(one, {"number": "8"})
        self.assertEqual(
            await self.fits(kind, "set_get_flavor_extra_specs_key", ALICE, "GET", f"{path}/number", "2.1"), one
        )
        await self.fits(kind, "unset_flavor_extra_specs", ADMIN, "DELETE", f"{path}/number", "2.1")
        for method in ("GET", "DELETE"):
            message = await self.refused(404, "itemNotFound", ADMIN, method, f"{path}/number")
            self.assertEqual(message, "Flavor 1 has no extra specs with key number.")

    async def test_bad_specs(self) -> None:
        path = "/flavors/1/os-extra_specs"
        bad: list[dict[str, Any]] = [
            {}, {"extra_specs": []}, {"extra_specs": {"a/b": "x"}}, {"extra_specs": {"": "x"}},
            {"extra_specs": {"a": None}}, {"extra_specs": {"a": True}}, {"extra_specs": {"a": {}}},
            {"extra_specs": {"a": "x" * 256}}, {"extra_specs": {"a" * 256: "x"}}, {"extra_specs": {}, "more": 1},
            {"extra_specs": {f"k{number}": "x" for number in range(300)}},
        ]  # fmt: skip
        for body in bad:
            await self.refused(400, "badRequest", ADMIN, "POST", path, body)
        for body in ({}, {"b": "x"}, {"a": "x", "b": "x"}, {"a": None}):
            await self.refused(400, "badRequest", ADMIN, "PUT", f"{path}/a", body)
        await self.refused(404, "itemNotFound", ADMIN, "POST", "/flavors/none/os-extra_specs", {"extra_specs": {}})
        self.assertEqual(await self.good(200, ALICE, "GET", path), {"extra_specs": {}})
