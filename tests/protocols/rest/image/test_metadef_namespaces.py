"""Namespaces of metadata definitions: who sees and changes them, and lists of them."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from .cloud import ADMIN, ALICE, BOB, READER, ImageCase

SPACES = "/metadefs/namespaces"
STRANGE = ("a/b", "a%2Fb", "ö ☁", "?x=1&y", "#", "%", "..x", "a;b", "+", "'--", " ")


class NamespaceCase(ImageCase):
    """Base of the tests of metadata definitions."""

    async def space(self, name: str, **members: Any) -> dict[str, Any]:
        """A new namespace."""
        made: dict[str, Any] = await self.good(201, ADMIN, "POST", SPACES, {"namespace": name, **members})
        return made

    async def spaces(self, who: str, query: str = "") -> list[str]:
        """Names of the namespaces that a list shows, in order."""
        found = await self.good(200, who, "GET", f"{SPACES}{query}")
        return [each["namespace"] for each in found["namespaces"]]


class NamespaceTests(NamespaceCase):
    async def test_life(self) -> None:
        """Made, shown, changed, renamed, deleted."""
        answer = await self.call(ADMIN, "POST", SPACES, {"namespace": "OS::A", "visibility": "public"})
        self.assertEqual(answer.status, 201, answer.text)
        self.assertEqual(answer.headers["location"], "http://cloud:5000/image/v2/metadefs/namespaces/OS%3A%3AA")
        made = answer.json()
        times = {made.pop("created_at"), made.pop("updated_at")}
        self.assertRegex(times.pop(), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        expected = {
            "namespace": "OS::A",
            "visibility": "public",
            "protected": False,
            "owner": "p0",
            "self": "/v2/metadefs/namespaces/OS::A",
            "schema": "/v2/schemas/metadefs/namespace",
        }
        self.assertEqual(made, expected)
        wanted = {"namespace": "OS::B", "display_name": "B", "description": "ö", "owner": "p1", "protected": True}
        changed = await self.good(200, ADMIN, "PUT", f"{SPACES}/OS::A", wanted)
        facts = {name: changed[name] for name in (*wanted, "visibility", "self")}
        self.assertEqual(facts, {**wanted, "visibility": "private", "self": "/v2/metadefs/namespaces/OS::B"})
        await self.refused(404, ADMIN, "GET", f"{SPACES}/OS::A")
        self.assertIn("protected", await self.refused(403, ADMIN, "DELETE", f"{SPACES}/OS::B"))
        again = await self.good(200, ADMIN, "PUT", f"{SPACES}/OS::B", {"namespace": "OS::B"})
        self.assertEqual((again["protected"], again["owner"], "display_name" in again), (False, "p0", False))
        await self.good(204, ADMIN, "DELETE", f"{SPACES}/OS::B")
        await self.refused(404, ADMIN, "GET", f"{SPACES}/OS::B")

    async def test_who(self) -> None:
        """Others than administrators see public ones and their project's, and change none."""
        await self.space("open", visibility="public", owner="p1")
        await self.space("mine", owner="p1")
        for who, seen in {
            ADMIN: ["mine", "open"],
            ALICE: ["mine", "open"],
            READER: ["mine", "open"],
            BOB: ["open"],
        }.items():
            self.assertEqual(await self.spaces(who, "?sort_key=namespace&sort_dir=asc"), seen, who)
            for name in ("mine", "open"):
                answer = await self.call(who, "GET", f"{SPACES}/{name}")
                self.assertEqual(answer.status, 200 if name in seen else 404, f"{who} {name}")
        for who in (ALICE, READER, BOB):
            await self.refused(403, who, "POST", SPACES, {"namespace": "x"})
            await self.refused(403, who, "DELETE", f"{SPACES}/open")
            await self.refused(403, who, "PUT", f"{SPACES}/open", {"namespace": "open"})
        await self.refused(404, BOB, "DELETE", f"{SPACES}/mine")
        await self.refused(404, BOB, "PUT", f"{SPACES}/mine", {"namespace": "mine"})
        await self.refused(404, BOB, "GET", f"{SPACES}?marker=mine")

    async def test_lists(self) -> None:
        """Filters, order and pages, each with the way to the next."""
        for number in range(5):
            types = [{"name": f"type{number % 2}"}] if number < 4 else []
            visibility = "public" if number < 3 else "private"
            await self.space(f"n{number}", visibility=visibility, resource_type_associations=types)
        self.assertEqual(await self.spaces(ADMIN), ["n4", "n3", "n2", "n1", "n0"])
        self.assertEqual(await self.spaces(ADMIN, "?visibility=private"), ["n4", "n3"])
        self.assertEqual(await self.spaces(ADMIN, "?resource_types=type0"), ["n2", "n0"])
        self.assertEqual(await self.spaces(ADMIN, "?resource_types=type0,type1&visibility=public"), ["n2", "n1", "n0"])
        self.assertEqual(await self.spaces(ADMIN, "?resource_types=other"), [])
        self.assertEqual(await self.spaces(ADMIN, "?limit=0"), [])
        for key in ("created_at", "display_name", "namespace", "owner", "updated_at", "visibility"):
            seen, path = [], f"{SPACES}?limit=2&sort_key={key}&sort_dir=asc"
            while path:
                page = await self.good(200, ADMIN, "GET", path)
                self.assertEqual(page["first"], f"/v2{SPACES}?limit=2&sort_key={key}&sort_dir=asc")
                self.assertEqual(page["schema"], "/v2/schemas/metadefs/namespaces")
                seen += [each["namespace"] for each in page["namespaces"]]
                path = page.get("next", "").removeprefix("/v2")
            self.assertEqual(sorted(seen), ["n0", "n1", "n2", "n3", "n4"], key)
        (first, *_) = (await self.good(200, ADMIN, "GET", f"{SPACES}?limit=1&sort_key=namespace&sort_dir=asc"))[
            "namespaces"
        ]
        self.assertEqual([each["name"] for each in first["resource_type_associations"]], ["type0"])

    async def test_bad_queries(self) -> None:
        """Each is refused with its parameter."""
        for query in ("limit=-1", "limit=x", "sort_dir=up", "sort_key=id", "visibility=shared", "sort_key="):
            status = 200 if query.endswith("=") else 400
            self.assertEqual((await self.call(ALICE, "GET", f"{SPACES}?{query}")).status, status, query)
        many = ",".join("x" * 101)
        self.assertIn("resource_types", await self.refused(400, ALICE, "GET", f"{SPACES}?resource_types={many}"))
        await self.refused(404, ALICE, "GET", f"{SPACES}?marker=none")

    async def test_names(self) -> None:
        """Of any characters, percent-encoded in paths; two that look alike stay two."""
        for name in STRANGE:
            path = f"{SPACES}/{quote(name, safe='')}"
            made = await self.space(name, tags=[{"name": other} for other in STRANGE])
            self.assertEqual((await self.good(200, ADMIN, "GET", path))["namespace"], name)
            self.assertEqual((await self.good(200, ADMIN, "GET", made["self"].removeprefix("/v2")))["namespace"], name)
            for other in STRANGE:
                shown = await self.good(200, ADMIN, "GET", f"{path}/tags/{quote(other, safe='')}")
                self.assertEqual(shown["name"], other)
                await self.good(204, ADMIN, "DELETE", f"{path}/tags/{quote(other, safe='')}")
            self.assertNotIn("tags", await self.good(200, ADMIN, "GET", path))
        self.assertEqual(sorted(await self.spaces(ADMIN)), sorted(STRANGE))
        for name in STRANGE:
            await self.good(204, ADMIN, "DELETE", f"{SPACES}/{quote(name, safe='')}")
        self.assertEqual(await self.spaces(ADMIN), [])

    async def test_empty_name(self) -> None:
        """An empty name in a path is none: it does not mean all."""
        await self.space("n", tags=[{"name": "t"}])
        for path in (f"{SPACES}/", f"{SPACES}//tags", f"{SPACES}/n/tags/", f"{SPACES}/n/objects/"):
            for method in ("GET", "DELETE"):
                await self.refused(404, ADMIN, method, path)
        await self.refused(404, ADMIN, "GET", f"{SPACES}/n%00")
        self.assertEqual((await self.good(200, ADMIN, "GET", f"{SPACES}/n"))["tags"], [{"name": "t"}])

    async def test_bad_bodies(self) -> None:
        """Each is refused with the place and the cause, and nothing is made."""
        good = {"title": "t", "type": "string"}
        for member, value in (
            ("namespace", ""),
            ("namespace", "n" * 81),
            ("namespace", 1),
            ("namespace", None),
            ("display_name", "n" * 81),
            ("description", "n" * 501),
            ("visibility", "shared"),
            ("protected", "yes"),
            ("owner", "n" * 256),
            ("owner", ""),
            ("nothing", 1),
            ("tags", [{"name": ""}]),
            ("tags", ["x"]),
            ("tags", {}),
            ("objects", [{"description": "no name"}]),
            ("objects", [{"name": "o", "required": ["a", "a"]}]),
            ("objects", [{"name": "o", "properties": {"p": {"title": "t"}}}]),
            ("properties", {"p": {**good, "type": "word"}}),
            ("properties", {"p": {**good, "type": None}}),
            ("properties", {"p": {**good, "minimum": 1 << 70}}),
            ("properties", {"p": {**good, "minLength": -1}}),
            ("properties", {"p": {**good, "default": 1 << 70}}),
            ("properties", {"p": {**good, "default": {"a": {}}}}),
            ("properties", {"p": {**good, "items": {"enum": []}}}),
            ("properties", {"p" * 81: good}),
            ("properties", {"": good}),
            ("resource_type_associations", [{"name": "n", "prefix": "n" * 81}]),
        ):
            message = await self.refused(400, ADMIN, "POST", SPACES, {"namespace": "n", member: value})
            self.assertIn(member, message)
        for member in ("self", "schema", "created_at", "updated_at"):
            self.assertIn(member, await self.refused(403, ADMIN, "POST", SPACES, {"namespace": "n", member: "x"}))
        for body in (b"", b"[]", b"{", b"null", b'{"namespace": "\\u0000"}', b'{"namespace": "\\ud800"}', b"\xff"):
            answer = await self.call(ADMIN, "POST", SPACES, body=body)
            self.assertEqual(answer.status, 400, answer.text)
        self.assertEqual(await self.spaces(ADMIN), [])

    async def test_conflicts(self) -> None:
        """409, and nothing of what was asked for is there."""
        await self.space("n", tags=[{"name": "t"}])
        await self.space("m")
        self.assertIn("already exists", await self.refused(409, ADMIN, "POST", SPACES, {"namespace": "n"}))
        await self.refused(409, ADMIN, "PUT", f"{SPACES}/m", {"namespace": "n"})
        await self.refused(409, ADMIN, "POST", SPACES, {"namespace": "x", "tags": [{"name": "t"}, {"name": "t"}]})
        self.assertEqual(await self.spaces(ADMIN, "?sort_key=namespace"), ["n", "m"])

    async def test_sent_back(self) -> None:
        """What was shown can be sent back by clients; what the namespace holds stays."""
        tags = [{"name": "t"}]
        made = await self.space("n", tags=tags, objects=[{"name": "o"}], resource_type_associations=[{"name": "r"}])
        read_only = ("self", "schema", "created_at", "updated_at")
        sent = {name: value for name, value in made.items() if name not in read_only}
        await self.good(200, ADMIN, "PUT", f"{SPACES}/n", {**sent, "tags": [], "description": "new"})
        shown = await self.good(200, ADMIN, "GET", f"{SPACES}/n")
        self.assertEqual((shown["tags"], shown["description"]), (tags, "new"))
        self.assertEqual(shown["objects"], made["objects"])
        await self.good(204, ADMIN, "DELETE", f"{SPACES}/n")
        again = await self.space("n", **{name: value for name, value in sent.items() if name != "namespace"})
        self.assertEqual([each["name"] for each in again["objects"]], ["o"])
