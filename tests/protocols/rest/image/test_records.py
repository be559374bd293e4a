"""Images, tags and actions."""

from __future__ import annotations

from .cloud import ADMIN, ALICE, BOB, FORMATS, READER, ImageCase


class RecordTests(ImageCase):
    async def test_life(self) -> None:
        """Created, shown, changed and deleted, with Glance's members."""
        image = await self.made(name="Blue ☁", os_distro="debian", tags=["b", "a"], min_ram=64, **FORMATS)
        id_ = image["id"]
        self.assertRegex(id_, "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
        self.assertRegex(image["created_at"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        times = {name: image[name] for name in ("created_at", "updated_at")}
        expected = {
            "id": id_, "name": "Blue ☁", "status": "queued", "visibility": "shared", "protected": False,
            "os_hidden": False, "owner": "p1", "disk_format": "raw", "container_format": "bare", "size": None,
            "virtual_size": None, "min_disk": 0, "min_ram": 64, "checksum": None, "os_hash_algo": None,
            "os_hash_value": None, "tags": ["a", "b"], "self": f"/v2/images/{id_}", "file": f"/v2/images/{id_}/file",
            "schema": "/v2/schemas/image", "os_distro": "debian", **times,
        }  # fmt: skip
        self.assertEqual(image, expected)
        self.assertEqual(await self.good(200, READER, "GET", f"/images/{id_}"), expected)
        changed = await self.patch_image(200, id_, {"op": "replace", "path": "/name", "value": "Green"})
        self.assertEqual(changed["name"], "Green")
        self.assertIsNone(await self.good(204, ALICE, "DELETE", f"/images/{id_}"))
        message = await self.refused(404, ALICE, "GET", f"/images/{id_}")
        self.assertEqual(message, f"No image found with ID {id_}")

    async def test_chosen_id(self) -> None:
        """A client may choose it, once."""
        id_ = "0f8fad5b-d9cb-469f-a165-70867728950e"
        self.assertEqual((await self.made(id=id_))["id"], id_)
        self.assertIn("already exists", await self.refused(409, ALICE, "POST", "/images", {"id": id_}))
        self.assertIn("UUID", await self.refused(400, ALICE, "POST", "/images", {"id": "x"}))

    async def test_refused(self) -> None:
        """Values that an image cannot have, and what is not the client's to say."""
        for status, members in (
            (400, {"name": 7}), (400, {"visibility": "mine"}), (400, {"min_disk": -1}), (400, {"x": 7}),
            (403, {"status": "active"}), (403, {"locations": []}), (403, {"owner": "p2"}),
            (403, {"visibility": "public"}),
        ):  # fmt: skip
            await self.refused(status, ALICE, "POST", "/images", members)
        await self.refused(400, ALICE, "POST", "/images", [1])
        await self.refused(403, READER, "POST", "/images", {})
        answer = await self.client.json("GET", "/image/v2/images", None)
        self.assertEqual(answer.status, 401)

    async def test_path_with_nul(self) -> None:
        """PostgreSQL would not even look for it."""
        for path in ("/images/%00", "/images/x%00/file", "/images/x/tags/%00"):
            self.assertIn("U+0000", await self.refused(404, ALICE, "DELETE", path))

    async def test_patch_type(self) -> None:
        """An update has a media type of its own."""
        image = await self.made()
        message = await self.refused(415, ALICE, "PATCH", f"/images/{image['id']}", [])
        self.assertIn("application/openstack-images-v2.1-json-patch", message)
        await self.patch_image(409, image["id"], {"op": "replace", "path": "/x", "value": "1"})

    async def test_first_patch_type(self) -> None:
        """The one that was first is read too."""
        image = await self.made()
        self.media_type = "application/openstack-images-v2.0-json-patch"
        changed = await self.patch_image(
            200, image["id"], {"replace": "/name", "value": "n"}, {"add": "/x", "value": ""}
        )
        self.assertEqual((changed["name"], changed["x"]), ("n", ""))
        for step in ({"op": "add", "path": "/y", "value": "1"}, {"add": "/y", "remove": "/y", "value": "1"}, {}):
            await self.patch_image(400, image["id"], step)

    async def test_no_id(self) -> None:
        """A path that ends where an id is due is not the list."""
        for method in ("GET", "DELETE", "PATCH"):
            await self.refused(404, ALICE, method, "/images/")

    async def test_others(self) -> None:
        """A project's own images are its own; public ones are seen by all and changed by none."""
        image, public = await self.made(visibility="private"), await self.made(ADMIN, visibility="public", name="pub")
        for method in ("GET", "DELETE"):
            await self.refused(404, BOB, method, f"/images/{image['id']}")
            await self.good(200 if method == "GET" else 204, ALICE, method, f"/images/{image['id']}")
        await self.good(200, BOB, "GET", f"/images/{public['id']}")
        await self.refused(403, BOB, "DELETE", f"/images/{public['id']}")
        await self.patch_image(403, public["id"], {"op": "add", "path": "/x", "value": "1"}, who=BOB)
        await self.refused(403, READER, "DELETE", f"/images/{public['id']}")

    async def test_publish(self) -> None:
        """Only administrators do, and only they give an image away."""
        image = await self.made()
        public = {"op": "replace", "path": "/visibility", "value": "public"}
        self.assertIn("publicize", await self.patch_image(403, image["id"], public))
        away = {"op": "replace", "path": "/owner", "value": "p2"}
        await self.patch_image(403, image["id"], away)
        changed = await self.patch_image(200, image["id"], public, away, who=ADMIN)
        self.assertEqual((changed["visibility"], changed["owner"]), ("public", "p2"))

    async def test_protected(self) -> None:
        image = await self.made(protected=True)
        self.assertIn("protected", await self.refused(403, ALICE, "DELETE", f"/images/{image['id']}"))
        await self.patch_image(200, image["id"], {"op": "replace", "path": "/protected", "value": False})
        await self.good(204, ALICE, "DELETE", f"/images/{image['id']}")

    async def test_tags(self) -> None:
        image = await self.made()
        path = f"/images/{image['id']}"
        for tag in ("b", "a", "a"):
            await self.good(204, ALICE, "PUT", f"{path}/tags/{tag}")
        self.assertEqual((await self.good(200, ALICE, "GET", path))["tags"], ["a", "b"])
        await self.good(204, ALICE, "DELETE", f"{path}/tags/a")
        await self.refused(404, ALICE, "DELETE", f"{path}/tags/a")
        await self.refused(400, ALICE, "PUT", f"{path}/tags/{'x' * 256}")
        await self.refused(404, BOB, "PUT", f"{path}/tags/c")

    async def test_deactivated(self) -> None:
        """By its owners: the record is seen, the data is for administrators alone."""
        image = await self.filled(b"data", visibility="public", who=ADMIN)
        await self.refused(403, ALICE, "POST", f"/images/{image['id']}/actions/deactivate")
        image = await self.filled(b"data")
        path = f"/images/{image['id']}"
        await self.refused(403, READER, "POST", f"{path}/actions/deactivate")
        await self.refused(404, BOB, "POST", f"{path}/actions/deactivate")
        for who in (ALICE, ADMIN):
            await self.good(204, who, "POST", f"{path}/actions/deactivate")
        self.assertEqual((await self.good(200, ALICE, "GET", path))["status"], "deactivated")
        await self.refused(403, ALICE, "GET", f"{path}/file")
        self.assertEqual((await self.call(ADMIN, "GET", f"{path}/file")).body, b"data")
        await self.good(204, ADMIN, "POST", f"{path}/actions/reactivate")
        self.assertEqual((await self.call(ALICE, "GET", f"{path}/file")).body, b"data")
        queued = await self.made()
        await self.refused(409, ADMIN, "POST", f"/images/{queued['id']}/actions/deactivate")


class ListTests(ImageCase):
    async def test_who_sees_what(self) -> None:
        """One's own, public ones, and communities' where they are asked for."""
        await self.made(name="own", visibility="private")
        await self.made(BOB, name="his", visibility="private")
        await self.made(BOB, name="club", visibility="community")
        await self.made(ADMIN, name="pub", visibility="public")
        await self.made(name="hidden", os_hidden=True)
        self.assertEqual(await self.names(ALICE), ["pub", "own"])
        self.assertEqual(await self.names(BOB), ["pub", "club", "his"])
        self.assertEqual(await self.names(ADMIN), ["pub", "his", "own"])
        self.assertEqual(await self.names(ALICE, "?visibility=community"), ["club"])
        self.assertEqual(await self.names(ALICE, "?visibility=private"), ["own"])
        self.assertEqual(await self.names(ALICE, "?visibility=all"), ["pub", "club", "own"])
        self.assertEqual(await self.names(ADMIN, "?visibility=all"), ["pub", "club", "his", "own"])
        self.assertEqual(await self.names(ALICE, "?os_hidden=true"), ["hidden"])

    async def test_filters(self) -> None:
        """Members, properties, tags, several values, comparisons."""
        first = await self.filled(b"12345", name="a,b", os="debian", tags=["x", "y"])
        second = await self.made(name="b", os="plan9", min_ram=10, tags=["x"], protected=True)
        for query, names in {
            "?name=b": ["b"],
            "?status=active": ["a,b"],
            "?os=debian": ["a,b"],
            "?nothing=1": [],
            "?tag=x": ["b", "a,b"],
            "?tag=x&tag=y": ["a,b"],
            "?size_min=5": ["a,b"],
            "?size_max=4": [],
            "?size=5": ["a,b"],
            "?min_ram=10": ["b"],
            "?protected=true": ["b"],
            "?disk_format=in:raw,qcow2": ["a,b"],
            "?name=in:%22a,b%22,c": ["a,b"],
            f"?id=in:{first['id']},{second['id']}": ["b", "a,b"],
            "?created_at=gte:2020-01-01T00:00:00Z": ["b", "a,b"],
            "?created_at=lt:2020-01-01T00:00:00": [],
            "?owner=p1&sort=name:asc": ["a,b", "b"],
            "?owner=p2": [],
        }.items():
            self.assertEqual(await self.names(ALICE, query), names, query)

    async def test_pages(self) -> None:
        """In any order, each image once."""
        for number in range(5):
            await self.made(name=f"n{number % 2}", min_disk=number)
        for order in ("", "&sort=name:asc,created_at:desc", "&sort_key=name&sort_dir=desc", "&sort_dir=asc"):
            every = [image["id"] for image in (await self.good(200, ALICE, "GET", f"/images?{order[1:]}"))["images"]]
            seen, path = [], f"/images?limit=2{order}"
            while path:
                page = await self.good(200, ALICE, "GET", path)
                self.assertEqual(page["schema"], "/v2/schemas/images")
                seen += [image["id"] for image in page["images"]]
                path = page.get("next", "").removeprefix("/v2")
            self.assertEqual(seen, every, order)
        self.assertEqual(len((await self.good(200, ALICE, "GET", "/images?limit=0"))["images"]), 0)

    async def test_bad_queries(self) -> None:
        for query in (
            "?limit=-1", "?limit=x", "?sort_key=x", "?sort=name:up", "?sort=name&sort_key=id", "?visibility=x",
            "?member_status=x", "?created_at=foo:2020", "?created_at=yesterday", "?min_ram=x", "?protected=7",
            "?os_hidden=7", "?id=in:", "?name=in:%22a", "?sort_dir=asc&sort_dir=asc&sort_key=id", "?size_min=x",
        ):  # fmt: skip
            await self.refused(400, ALICE, "GET", f"/images{query}")
        await self.refused(404, ALICE, "GET", "/images?marker=none")
