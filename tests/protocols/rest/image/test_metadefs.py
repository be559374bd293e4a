"""What stands in namespaces of metadata definitions: objects, properties, tags, resource types."""

from __future__ import annotations

from typing import Any

from cloudd.image import RESOURCE_TYPES, _metadefs

from .cloud import ADMIN, ALICE, BOB
from .test_metadef_namespaces import SPACES, NamespaceCase

N = f"{SPACES}/n"
TEXT = {"title": "T", "type": "string"}
FULL: dict[str, Any] = {
    "title": "T",
    "type": "array",
    "description": "d",
    "operators": ["<in>", "="],
    "default": "x",
    "readonly": True,
    "minimum": 1,
    "maximum": 2.5,
    "enum": ["x", 1],
    "pattern": "^x(",
    "minLength": 0,
    "maxLength": 9,
    "items": {"type": "string", "enum": ["a"]},
    "uniqueItems": True,
    "minItems": 1,
    "maxItems": 2,
    "additionalItems": False,
}


class ObjectTests(NamespaceCase):
    async def test_life(self) -> None:
        """Made, shown, listed, changed, renamed, deleted."""
        await self.space("n")
        body = {"name": "o", "description": "d", "required": ["p"], "properties": {"p": FULL, "q": TEXT}}
        made = await self.good(201, ADMIN, "POST", f"{N}/objects", body)
        self.assertEqual({name: made[name] for name in body}, body)
        self.assertEqual(made["self"], "/v2/metadefs/namespaces/n/objects/o")
        self.assertEqual(made["schema"], "/v2/schemas/metadefs/object")
        self.assertEqual(await self.good(200, ADMIN, "GET", f"{N}/objects/o"), made)
        listed = await self.good(200, ADMIN, "GET", f"{N}/objects")
        self.assertEqual(listed, {"objects": [made], "schema": "/v2/schemas/metadefs/objects"})
        changed = await self.good(200, ADMIN, "PUT", f"{N}/objects/o", {"name": "new"})
        self.assertEqual((changed["required"], changed["properties"], "description" in changed), ([], {}, False))
        self.assertEqual(changed["created_at"], made["created_at"])
        await self.refused(404, ADMIN, "GET", f"{N}/objects/o")
        await self.good(204, ADMIN, "DELETE", f"{N}/objects/new")
        await self.refused(404, ADMIN, "DELETE", f"{N}/objects/new")
        self.assertEqual((await self.good(200, ADMIN, "GET", f"{N}/objects"))["objects"], [])

    async def test_pages(self) -> None:
        """By limit and marker, in either direction."""
        await self.space("n", objects=[{"name": name} for name in "cab"])

        async def names(query: str) -> list[str]:
            found = await self.good(200, ADMIN, "GET", f"{N}/objects?{query}")
            return [each["name"] for each in found["objects"]]

        self.assertEqual(await names("sort_key=name&sort_dir=asc&limit=2"), ["a", "b"])
        self.assertEqual(await names("sort_key=name&sort_dir=asc&limit=2&marker=b"), ["c"])
        self.assertEqual(await names("sort_key=name&marker=b"), ["a"])
        self.assertEqual(await names("marker=b"), ["a"])
        await self.refused(404, ADMIN, "GET", f"{N}/objects?marker=x")
        for query in ("sort_key=content", "limit=x", "sort_dir=x"):
            await self.refused(400, ADMIN, "GET", f"{N}/objects?{query}")


class PropertyTests(NamespaceCase):
    async def test_life(self) -> None:
        """Made, shown, listed by name, changed, renamed, deleted."""
        await self.space("n")
        made = await self.good(201, ADMIN, "POST", f"{N}/properties", {"name": "p", **FULL})
        self.assertEqual(made, {"name": "p", **FULL})
        self.assertEqual(await self.good(200, ADMIN, "GET", f"{N}/properties/p"), made)
        self.assertEqual(await self.good(200, ADMIN, "GET", f"{N}/properties"), {"properties": {"p": FULL}})
        changed = await self.good(200, ADMIN, "PUT", f"{N}/properties/p", {"name": "new", **TEXT})
        self.assertEqual(changed, {"name": "new", **TEXT})
        await self.refused(404, ADMIN, "GET", f"{N}/properties/p")
        await self.refused(400, ADMIN, "PUT", f"{N}/properties/new", TEXT)
        await self.refused(400, ADMIN, "POST", f"{N}/properties", TEXT)
        await self.good(204, ADMIN, "DELETE", f"{N}/properties/new")
        self.assertEqual(await self.good(200, ADMIN, "GET", f"{N}/properties"), {"properties": {}})

    async def test_prefix(self) -> None:
        """Where a resource type has a prefix, names are told and asked for with it."""
        types = [{"name": "image", "prefix": "hw_", "properties_target": "image"}, {"name": "plain"}]
        objects = [{"name": "o", "required": ["q"], "properties": {"q": TEXT}}]
        await self.space("n", resource_type_associations=types, objects=objects, properties={"p": TEXT})
        shown = await self.good(200, ADMIN, "GET", f"{N}?resource_type=image")
        (shown_object,) = shown["objects"]
        self.assertEqual((list(shown["properties"]), list(shown_object["properties"])), (["hw_p"], ["hw_q"]))
        self.assertEqual(shown_object["required"], ["hw_q"])
        for query in ("", "?resource_type=plain", "?resource_type=none"):
            self.assertEqual(list((await self.good(200, ADMIN, "GET", f"{N}{query}"))["properties"]), ["p"])
        found = await self.good(200, ADMIN, "GET", f"{N}/properties/hw_p?resource_type=image")
        self.assertEqual(found["name"], "p")
        for path in (
            "p?resource_type=image",
            "p?resource_type=plain",
            "p?resource_type=none",
            "hw_x?resource_type=image",
        ):
            await self.refused(404, ADMIN, "GET", f"{N}/properties/{path}")


class TagTests(NamespaceCase):
    async def tags(self, query: str = "?sort_key=name&sort_dir=asc") -> list[str]:
        found = await self.good(200, ADMIN, "GET", f"{N}/tags{query}")
        return [each["name"] for each in found["tags"]]

    async def test_life(self) -> None:
        """Made by its path, shown, renamed, deleted."""
        await self.space("n")
        made = await self.good(201, ADMIN, "POST", f"{N}/tags/t")
        self.assertEqual(set(made), {"name", "created_at", "updated_at"})
        self.assertEqual(await self.good(200, ADMIN, "GET", f"{N}/tags/t"), made)
        await self.refused(409, ADMIN, "POST", f"{N}/tags/t")
        await self.refused(400, ADMIN, "POST", f"{N}/tags/{'t' * 81}")
        await self.good(201, ADMIN, "POST", f"{N}/tags/u")
        await self.refused(409, ADMIN, "PUT", f"{N}/tags/t", {"name": "u"})
        self.assertEqual((await self.good(200, ADMIN, "PUT", f"{N}/tags/t", {"name": "new"}))["name"], "new")
        self.assertEqual(await self.tags(), ["new", "u"])
        await self.good(204, ADMIN, "DELETE", f"{N}/tags/new")
        await self.refused(404, ADMIN, "DELETE", f"{N}/tags/new")

    async def test_several(self) -> None:
        """In the place of all, or besides them; an empty list changes nothing."""
        await self.space("n")

        async def put(status: int, *names: str, **headers: Any) -> bool:
            body = {"tags": [{"name": name} for name in names]}
            return (await self.call(ADMIN, "POST", f"{N}/tags", body, **headers)).status == status

        self.assertTrue(await put(201, "a", "b"))
        self.assertTrue(await put(201, "c", "b"))
        self.assertEqual(await self.tags(), ["b", "c"])
        self.assertTrue(await put(201, "d", X_OpenStack_Append="True"))
        self.assertTrue(await put(409, "e", "d", X_OpenStack_Append="true"))
        self.assertTrue(await put(409, "e", "e"))
        self.assertTrue(await put(201))
        self.assertEqual(await self.tags(), ["b", "c", "d"])
        self.assertEqual(await self.tags("?limit=2&marker=d"), ["c", "b"])
        await self.refused(400, ADMIN, "POST", f"{N}/tags", {"tags": [{}]})
        await self.refused(400, ADMIN, "POST", f"{N}/tags", {})
        await self.good(204, ADMIN, "DELETE", f"{N}/tags")
        self.assertEqual(await self.tags(), [])


class ResourceTypeTests(NamespaceCase):
    async def test_life(self) -> None:
        """Those of a new cloud; more by a namespace that is for them."""
        found = await self.good(200, ALICE, "GET", "/metadefs/resource_types")
        self.assertEqual([each["name"] for each in found["resource_types"]], sorted(RESOURCE_TYPES))
        await self.space("n")
        body = {"name": "OS::New", "prefix": "new_", "properties_target": "x"}
        made = await self.good(201, ADMIN, "POST", f"{N}/resource_types", body)
        self.assertEqual({name: made[name] for name in body}, body)
        self.assertEqual((await self.good(201, ADMIN, "POST", f"{N}/resource_types", {"name": "bare"})).keys(),
                         {"name", "created_at", "updated_at"})  # fmt: skip
        await self.refused(409, ADMIN, "POST", f"{N}/resource_types", {"name": "bare"})
        listed = await self.good(200, ADMIN, "GET", f"{N}/resource_types")
        self.assertEqual([each["name"] for each in listed["resource_type_associations"]], ["OS::New", "bare"])
        for who, count in ((ADMIN, 2), (BOB, 0)):
            found = await self.good(200, who, "GET", "/metadefs/resource_types")
            self.assertEqual(len(found["resource_types"]), len(RESOURCE_TYPES) + count, who)
        await self.good(204, ADMIN, "DELETE", f"{N}/resource_types/OS::New")
        await self.refused(404, ADMIN, "DELETE", f"{N}/resource_types/OS::New")
        await self.refused(405, ADMIN, "DELETE", f"{N}/resource_types")


class RightsTests(NamespaceCase):
    kinds = {
        "objects": {"name": "x"},
        "properties": {"name": "x", **TEXT},
        "tags": {"tags": [{"name": "x"}]},
        "resource_types": {"name": "x"},
    }

    async def test_who(self) -> None:
        """What stands in a namespace is seen by who sees that, and changed by administrators."""
        await self.space("n", owner="p1")
        for kind, body in self.kinds.items():
            await self.good(201, ADMIN, "POST", f"{N}/{kind}", body)
            await self.good(200, ALICE, "GET", f"{N}/{kind}")
            await self.refused(403, ALICE, "POST", f"{N}/{kind}", body)
            await self.refused(403, ALICE, "DELETE", f"{N}/{kind}/x")
            for method in ("GET", "POST"):
                await self.refused(404, BOB, method, f"{N}/{kind}", body)
            await self.refused(404, BOB, "DELETE", f"{N}/{kind}/x")
            if kind != "resource_types":
                await self.good(200, ALICE, "GET", f"{N}/{kind}/x")
                await self.refused(404, BOB, "GET", f"{N}/{kind}/x")
                await self.refused(403, ALICE, "DELETE", f"{N}/{kind}")
                changed = {"name": "x", **(TEXT if kind == "properties" else {})}
                await self.refused(403, ALICE, "PUT", f"{N}/{kind}/x", changed)
                await self.refused(404, BOB, "PUT", f"{N}/{kind}/x", changed)

    async def test_protected(self) -> None:
        """What a protected namespace holds is not deleted; more may come."""
        await self.space("n", protected=True)
        for kind, body in self.kinds.items():
            await self.good(201, ADMIN, "POST", f"{N}/{kind}", body)
            await self.refused(403, ADMIN, "DELETE", f"{N}/{kind}/x")
            if kind != "resource_types":
                await self.refused(403, ADMIN, "DELETE", f"{N}/{kind}")
        await self.refused(403, ADMIN, "POST", f"{N}/tags", {"tags": [{"name": "y"}]})
        shown = await self.good(200, ADMIN, "GET", N)
        held = [shown[name] for name in ("objects", "properties", "tags", "resource_type_associations")]
        self.assertEqual([len(each) for each in held], [1, 1, 1, 1])

    async def test_all_deleted(self) -> None:
        """All of one kind, and nothing else; with the namespace everything."""
        await self.space("n")
        await self.space("m", tags=[{"name": "x"}])
        for kind, body in self.kinds.items():
            await self.good(201, ADMIN, "POST", f"{N}/{kind}", body)
        await self.good(204, ADMIN, "DELETE", f"{N}/objects")
        shown = await self.good(200, ADMIN, "GET", N)
        self.assertEqual(set(shown) & {"objects", "properties", "tags"}, {"properties", "tags"})
        await self.good(204, ADMIN, "DELETE", N)
        await self.space("n")
        self.assertNotIn("tags", await self.good(200, ADMIN, "GET", N))
        self.assertIn("tags", await self.good(200, ADMIN, "GET", f"{SPACES}/m"))

    async def test_bounds(self) -> None:
        """A namespace does not grow without end; what is too much is not kept."""
        await self.space("n")
        body = {"tags": [{"name": f"t{number}"} for number in range(1_000)]}
        await self.good(201, ADMIN, "POST", f"{N}/tags", body)
        await self.refused(409, ADMIN, "POST", f"{N}/tags/more")
        await self.good(200, ADMIN, "PUT", f"{N}/tags/t0", {"name": "renamed"})
        self.patch(_metadefs, "MAX_CONTENT", 8_000)
        large = {"name": "large", **TEXT, "description": "x" * 3_000}
        await self.refused(409, ADMIN, "POST", f"{N}/objects", {"name": "o", "properties": {"p": large, "q": large}})
        await self.good(201, ADMIN, "POST", f"{N}/properties", large)
        await self.refused(409, ADMIN, "PUT", f"{N}/properties/large", {**large, "title": "x" * 3_000})
        self.assertEqual((await self.good(200, ADMIN, "GET", f"{N}/properties/large"))["title"], "T")
        self.assertNotIn("objects", await self.good(200, ADMIN, "GET", N))
