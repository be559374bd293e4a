"""Imports as tasks, for administrators."""

from __future__ import annotations

from typing import Any

import jsonschema  # type: ignore[import-untyped]

from .cloud import ADMIN, ALICE, FORMATS, READER, ImageCase

URL = "https://images.example.org/disk"


class TaskTests(ImageCase):
    sources = ("images.example.org",)

    def wanted(self, url: str = URL, **properties: Any) -> dict[str, Any]:
        image = {"name": "by task", **FORMATS, **properties}
        given = {"import_from": url, "import_from_format": "raw", "image_properties": image}
        return {"type": "import", "input": given}

    async def begun(self) -> dict[str, Any]:
        task: dict[str, Any] = await self.good(201, ADMIN, "POST", "/tasks", self.wanted())
        return task

    async def test_life(self) -> None:
        """A new image is imported; its task is told, alone and in a list."""
        answer = await self.call(ADMIN, "POST", "/tasks", self.wanted(visibility="public", os_distro="debian"))
        self.assertEqual(answer.status, 201, answer.text)
        task = answer.json()
        self.assertEqual(answer.headers["location"], f"http://cloud:5000/image/v2/tasks/{task['id']}")
        self.assertEqual((task["status"], task["result"], task["owner"]), ("pending", None, "p0"))
        self.assertEqual(task["input"]["import_req"], {"method": {"name": "web-download", "uri": URL}})
        image = await self.good(200, ALICE, "GET", f"/images/{task['image_id']}")
        facts = {name: image[name] for name in ("name", "status", "visibility", "os_distro", "os_glance_import_task")}
        self.assertEqual(
            facts,
            {
                "name": "by task",
                "status": "importing",
                "visibility": "public",
                "os_distro": "debian",
                "os_glance_import_task": task["id"],
            },
        )
        self.assertEqual(await self.good(200, ADMIN, "GET", task["self"].removeprefix("/v2")), task)
        listed = await self.good(200, ADMIN, "GET", "/tasks")
        self.assertEqual([each["id"] for each in listed["tasks"]], [task["id"]])
        jsonschema.validate(task, await self.good(200, ALICE, "GET", "/schemas/task"))
        jsonschema.validate(listed, await self.good(200, ALICE, "GET", "/schemas/tasks"))
        self.assertIn("by themselves", await self.refused(405, ADMIN, "DELETE", f"/tasks/{task['id']}"))

    async def test_pages(self) -> None:
        """By status, in either order, in pages."""
        ids = [(await self.begun())["id"] for _ in range(3)]

        async def seen(query: str) -> list[str]:
            found: list[str] = []
            path = f"/tasks?{query}"
            while path:
                page = await self.good(200, ADMIN, "GET", path)
                found += [each["id"] for each in page["tasks"]]
                path = page.get("next", "").removeprefix("/v2")
            return found

        self.assertEqual(await seen("limit=2&sort_dir=asc"), ids)
        self.assertEqual(await seen("limit=1&status=pending&type=import"), ids[::-1])
        self.assertEqual(sorted(await seen("limit=2&sort_key=updated_at")), sorted(ids))
        self.assertEqual(await seen("status=success"), [])
        for query in ("status=x", "type=x", "sort_key=x", "sort_dir=x", "limit=x", "limit=-1", "marker=x"):
            await self.refused(400, ADMIN, "GET", f"/tasks?{query}")

    async def test_refused(self) -> None:
        """Each with its cause; no image stays behind."""
        for url in ("http://10.0.0.1/", "ftp://images.example.org/", "x", ""):
            await self.refused(400, ADMIN, "POST", "/tasks", self.wanted(url))
        await self.refused(400, ADMIN, "POST", "/tasks", self.wanted(disk_format="word"))
        self.assertIn("disk_format", await self.refused(409, ADMIN, "POST", "/tasks", self.wanted(disk_format=None)))
        await self.refused(400, ADMIN, "POST", "/tasks", {**self.wanted(), "type": "export"})
        await self.refused(400, ADMIN, "POST", "/tasks", {"type": "import"})
        self.assertEqual(await self.names(ADMIN), [])
        await self.refused(404, ADMIN, "GET", "/tasks/x")

    async def test_too_many(self) -> None:
        """As many as a project may have; the image of one that is refused is not made, be it protected or not."""
        most = self.resources.settings.images.open_imports
        for _ in range(most):
            await self.begun()
        self.assertIn(str(most), await self.refused(409, ADMIN, "POST", "/tasks", self.wanted(protected=True)))
        self.assertEqual(len(await self.names(ADMIN)), most)

    async def test_who(self) -> None:
        """Others than administrators see none, not even their own, by this way."""
        task = await self.begun()
        for who in (ALICE, READER):
            await self.refused(403, who, "GET", "/tasks")
            await self.refused(403, who, "GET", f"/tasks/{task['id']}")
            await self.refused(403, who, "POST", "/tasks", self.wanted())


class OffTests(ImageCase):
    async def test_off(self) -> None:
        """Where nothing may be downloaded it is said so."""
        given = {"import_from": URL, "image_properties": FORMATS}
        message = await self.refused(400, ADMIN, "POST", "/tasks", {"type": "import", "input": given})
        self.assertIn("web_download_hosts", message)
