"""Domains and projects."""

from __future__ import annotations

from typing import Any

from .cloud import CloudTests


class ProjectTests(CloudTests):
    """``/v3/projects``."""

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.admin = await self.log_in("admin")
        self.demo = await self.log_in("demo")

    async def create(self, name: str, **more: Any) -> dict[str, Any]:
        answer = await self.good(201, self.admin, "POST", "/projects", {"project": {"name": name, **more}})
        project: dict[str, Any] = answer["project"]
        return project

    async def test_life(self) -> None:
        """Created, shown, changed and deleted, each with Keystone's status and members."""
        project = await self.create("Blue sky ☁", description="d")
        id_ = project["id"]
        expected = {
            "id": id_,
            "name": "Blue sky ☁",
            "domain_id": "default",
            "description": "d",
            "enabled": True,
            "parent_id": "default",
            "is_domain": False,
            "tags": [],
            "options": {},
            "links": {"self": f"http://cloud:5000/identity/v3/projects/{id_}"},
        }
        self.assertEqual(project, expected)
        path = f"/projects/{id_}"
        self.assertEqual((await self.good(200, self.admin, "GET", path))["project"], expected)
        change = {"project": {"name": "Green", "description": None, "enabled": False}}
        changed = (await self.good(200, self.admin, "PATCH", path, change))["project"]
        self.assertEqual(changed, expected | {"name": "Green", "description": "", "enabled": False})
        self.assertIsNone(await self.good(204, self.admin, "DELETE", path))
        message = await self.refused(404, self.admin, "GET", path)
        self.assertEqual(message, f"Could not find project: {id_}.")

    async def test_what_openstackclient_sends(self) -> None:
        """Members that say nothing are taken; an absent domain is that of the token."""
        project = await self.create(
            "a", domain_id=None, parent_id=None, description="", enabled=True, tags=[], options={}, is_domain=False
        )
        self.assertEqual(project["domain_id"], "default")

    async def test_not_offered(self) -> None:
        """What would have to be kept and is not is refused, not forgotten."""
        for extra in ({"tags": ["a"]}, {"options": {"immutable": True}}, {"is_domain": True}):
            await self.refused(501, self.admin, "POST", "/projects", {"project": {"name": "x", **extra}})
        names = [one["name"] for one in (await self.good(200, self.admin, "GET", "/projects"))["projects"]]
        self.assertNotIn("x", names)

    async def test_filters(self) -> None:
        """By name, domain, parent and state; filters on what no project has find nothing."""
        blue, off = await self.create("blue"), await self.create("off", enabled=False)
        child = await self.create("child", parent_id=blue["id"])
        cases = {
            "name=blue": {"blue"},
            "name=BLUE": set(),
            "enabled=false": {"off"},
            "enabled=0": {"off"},
            f"parent_id={blue['id']}": {"child"},
            "domain_id=default": {"admin", "demo", "blue", "off", "child"},
            "domain_id=nowhere": set(),
            "is_domain=true": set(),
            "tags=a": set(),
            "unheard_of=1": {"admin", "demo", "blue", "off", "child"},
        }
        for query, expected in cases.items():
            found = (await self.good(200, self.admin, "GET", f"/projects?{query}"))["projects"]
            self.assertEqual({one["name"] for one in found}, expected, query)
        self.assertEqual(child["parent_id"], blue["id"])
        self.assertFalse(off["enabled"])
        await self.refused(400, self.admin, "GET", "/projects?enabled=perhaps")
        await self.refused(501, self.admin, "GET", "/projects?name__contains=b")

    async def test_pages(self) -> None:
        """Following ``links.next`` gives every project once; ``next`` has the same, for openstacksdk."""
        for number in range(5):
            await self.create(f"p{number}")
        target, seen = "/projects?limit=2", list[str]()
        while True:
            document = await self.good(200, self.admin, "GET", target)
            seen += [one["id"] for one in document["projects"]]
            following = document["links"]["next"]
            if following is None:
                self.assertEqual(set(document), {"projects", "links"})
                break
            self.assertEqual((document["next"], document["truncated"]), (following, True))
            self.assertEqual(len(document["projects"]), 2)
            target = following.removeprefix("http://cloud:5000/identity/v3")
        self.assertEqual((len(seen), len(set(seen))), (7, 7))
        await self.refused(400, self.admin, "GET", "/projects?limit=x")

    async def test_conflict(self) -> None:
        """A name that is taken: 409 with the name, and nothing is changed."""
        await self.create("blue")
        message = await self.refused(409, self.admin, "POST", "/projects", {"project": {"name": "blue"}})
        self.assertIn("blue", message)
        other = await self.create("green")
        await self.refused(409, self.admin, "PATCH", f"/projects/{other['id']}", {"project": {"name": "blue"}})

    async def test_bad_input(self) -> None:
        """400 with the place for each wrong member; nothing is made."""
        cases: list[tuple[Any, str]] = [
            ({"project": {}}, "project.name is missing."),
            ({"project": {"name": ""}}, "project.name: must not be empty."),
            ({"project": {"name": " "}}, "project.name: "),
            ({"project": {"name": "x" * 65}}, "project.name: longer than 64 characters."),
            ({"project": {"name": 1}}, "project.name: expected a string, got an integer."),
            ({"project": {"name": "x", "enabled": "yes"}}, "project.enabled: expected true or false, got a string."),
            ({"project": {"name": "x", "nmae": "y"}}, "project.nmae is not a known member; did you mean name?"),
            ({"project": {"name": "x", "description": "d" * 4097}}, "project.description: longer than"),
            ({"project": {"name": "x", "domain_id": "a b"}}, "project.domain_id"),
            ({"project": {"name": "x"}, "more": 1}, "more is not a known member"),
            ({"project": None}, "project: expected an object, got null."),
            ([], "The JSON body: expected an object, got a list."),
        ]
        for document, expected in cases:
            message = await self.refused(400, self.admin, "POST", "/projects", document)
            self.assertIn(expected, message)
        self.assertEqual(len((await self.good(200, self.admin, "GET", "/projects"))["projects"]), 2)

    async def test_fixed_members(self) -> None:
        """Domain and parent may be repeated, not changed."""
        project = await self.create("blue")
        path = f"/projects/{project['id']}"
        await self.good(200, self.admin, "PATCH", path, {"project": {"domain_id": "default", "is_domain": False}})
        await self.refused(400, self.admin, "PATCH", path, {"project": {"domain_id": "other"}})

    async def test_strange_ids(self) -> None:
        """Ids that cannot be are not found, whatever they try."""
        for id_ in ("x", "x" * 300, "%2e%2e", "a%2Fb", "%E2%98%81", "a%20b", "%25", "';--"):
            message = await self.refused(404, self.admin, "GET", f"/projects/{id_}")
            self.assertTrue(message.startswith("Could not find project: "), message)
        self.assertIn("U+0000", await self.refused(404, self.admin, "GET", "/projects/a%00b"))

    async def test_rights(self) -> None:
        """A member sees the own project and no other, and changes none."""
        own, other = self.first["demo_project_id"], self.first["admin_project_id"]
        await self.good(200, self.demo, "GET", f"/projects/{own}")
        await self.refused(403, self.demo, "GET", f"/projects/{other}")
        await self.refused(403, self.demo, "GET", "/projects/unknown")
        await self.refused(403, self.demo, "GET", "/projects")
        await self.refused(403, self.demo, "POST", "/projects", {"project": {"name": "x"}})
        await self.refused(403, self.demo, "PATCH", f"/projects/{own}", {"project": {"name": "x"}})
        await self.refused(403, self.demo, "DELETE", f"/projects/{own}")

    async def test_disabled_project(self) -> None:
        """Tokens of a disabled project are refused at once."""
        path = f"/projects/{self.first['demo_project_id']}"
        await self.good(200, self.admin, "PATCH", path, {"project": {"enabled": False}})
        await self.refused(401, self.demo, "GET", path)
        self.assertEqual((await self.issue("demo", self.first["demo_password"])).status, 401)

    async def test_tags(self) -> None:
        """The list of tags is there and empty; a tag is not offered."""
        path = f"/projects/{self.first['demo_project_id']}/tags"
        self.assertEqual((await self.good(200, self.demo, "GET", path))["tags"], [])
        await self.refused(501, self.admin, "PUT", f"{path}/blue")


class DomainTests(CloudTests):
    """``/v3/domains``."""

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.admin = await self.log_in("admin")

    async def test_life(self) -> None:
        """Created, filtered, changed; deleted only when disabled, with all that is in it."""
        document = {"domain": {"name": "corp", "description": "d"}}
        domain = (await self.good(201, self.admin, "POST", "/domains", document))["domain"]
        path = f"/domains/{domain['id']}"
        expected = {
            "id": domain["id"],
            "name": "corp",
            "description": "d",
            "enabled": True,
            "tags": [],
            "options": {},
            "links": {"self": f"http://cloud:5000/identity/v3{path}"},
        }
        self.assertEqual(domain, expected)
        self.assertEqual((await self.good(200, self.admin, "GET", path))["domain"], expected)
        found = (await self.good(200, self.admin, "GET", "/domains?name=corp"))["domains"]
        self.assertEqual(found, [expected])
        project = {"project": {"name": "p", "domain_id": domain["id"]}}
        project_id = (await self.good(201, self.admin, "POST", "/projects", project))["project"]["id"]
        await self.refused(403, self.admin, "DELETE", path)
        changed = await self.good(200, self.admin, "PATCH", path, {"domain": {"enabled": False}})
        self.assertFalse(changed["domain"]["enabled"])
        self.assertEqual(len((await self.good(200, self.admin, "GET", "/domains?enabled=true"))["domains"]), 1)
        await self.good(204, self.admin, "DELETE", path)
        await self.refused(404, self.admin, "GET", path)
        await self.refused(404, self.admin, "GET", f"/projects/{project_id}")

    async def test_refusals(self) -> None:
        """Taken names, unknown ids, wrong members, and members without the right."""
        await self.refused(409, self.admin, "POST", "/domains", {"domain": {"name": "Default"}})
        await self.refused(404, self.admin, "GET", "/domains/Default")
        await self.refused(400, self.admin, "POST", "/domains", {"domain": {"name": "x", "enabled": None}})
        await self.refused(501, self.admin, "POST", "/domains", {"domain": {"name": "x", "tags": ["t"]}})
        demo = await self.log_in("demo")
        await self.refused(403, demo, "GET", "/domains")
        await self.refused(403, demo, "POST", "/domains", {"domain": {"name": "x"}})
