"""Roles, implications and assignments."""

from __future__ import annotations

from typing import Any

from .cloud import CloudTests


class RoleTests(CloudTests):
    """``/v3/roles``."""

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.admin = await self.log_in("admin")
        roles = (await self.good(200, self.admin, "GET", "/roles"))["roles"]
        self.roles = {role["name"]: role["id"] for role in roles}

    async def test_life(self) -> None:
        """Created, found by name, changed and deleted."""
        document: Any = {"role": {"name": "operator", "description": None, "options": {}}}
        role = (await self.good(201, self.admin, "POST", "/roles", document))["role"]
        path = f"/roles/{role['id']}"
        expected = {
            "id": role["id"],
            "name": "operator",
            "domain_id": None,
            "description": "",
            "options": {},
            "links": {"self": f"http://cloud:5000/identity/v3{path}"},
        }
        self.assertEqual(role, expected)
        found = (await self.good(200, self.admin, "GET", "/roles?name=operator"))["roles"]
        self.assertEqual(found, [expected])
        changed = await self.good(200, self.admin, "PATCH", path, {"role": {"name": "op"}})
        self.assertEqual(changed["role"]["name"], "op")
        await self.good(204, self.admin, "DELETE", path)
        await self.refused(404, self.admin, "GET", path)

    async def test_refusals(self) -> None:
        """Taken names, the four fixed ones, roles of a domain, and callers without the right."""
        await self.refused(409, self.admin, "POST", "/roles", {"role": {"name": "member"}})
        await self.refused(403, self.admin, "DELETE", f"/roles/{self.roles['admin']}")
        await self.refused(501, self.admin, "POST", "/roles", {"role": {"name": "x", "domain_id": "default"}})
        self.assertEqual((await self.good(200, self.admin, "GET", "/roles?domain_id=default"))["roles"], [])
        demo = await self.log_in("demo")
        await self.refused(403, demo, "POST", "/roles", {"role": {"name": "x"}})
        await self.good(200, demo, "GET", "/roles")

    async def test_implied(self) -> None:
        """The chain admin, manager, member, reader, in its three forms."""
        rules = (await self.good(200, self.admin, "GET", "/role_inferences"))["role_inferences"]
        pairs = {rule["prior_role"]["name"]: [one["name"] for one in rule["implies"]] for rule in rules}
        self.assertEqual(pairs, {"admin": ["manager"], "manager": ["member"], "member": ["reader"]})
        path = f"/roles/{self.roles['admin']}/implies"
        rule = (await self.good(200, self.admin, "GET", path))["role_inference"]
        self.assertEqual([one["name"] for one in rule["implies"]], ["manager"])
        one = await self.good(200, self.admin, "GET", f"{path}/{self.roles['manager']}")
        self.assertEqual(one["role_inference"]["implies"]["name"], "manager")
        await self.refused(404, self.admin, "GET", f"{path}/{self.roles['reader']}")
        none = await self.good(200, self.admin, "GET", f"/roles/{self.roles['reader']}/implies")
        self.assertEqual(none["role_inference"]["implies"], [])


class AssignmentTests(CloudTests):
    """Grants and ``/v3/role_assignments``."""

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.admin = await self.log_in("admin")
        roles = (await self.good(200, self.admin, "GET", "/roles"))["roles"]
        self.roles = {role["name"]: role["id"] for role in roles}
        self.user = self.first["demo_user_id"]
        self.project = self.first["demo_project_id"]

    async def assigned(self, query: str = "", token: str = "") -> list[dict[str, Any]]:
        document = await self.good(200, token or self.admin, "GET", f"/role_assignments?{query}")
        found: list[dict[str, Any]] = document["role_assignments"]
        return found

    async def test_grant(self) -> None:
        """PUT 204 twice, HEAD and GET 204, in the lists, DELETE 204 and then 404; on projects and domains."""
        for place in (f"/projects/{self.first['admin_project_id']}", "/domains/default"):
            path = f"{place}/users/{self.user}/roles"
            grant = f"{path}/{self.roles['reader']}"
            await self.refused(404, self.admin, "GET", grant)
            self.assertEqual((await self.call(self.admin, "HEAD", grant)).status, 404)
            for _ in range(2):
                self.assertIsNone(await self.good(204, self.admin, "PUT", grant))
            self.assertEqual((await self.call(self.admin, "HEAD", grant)).status, 204)
            await self.good(204, self.admin, "GET", grant)
            roles = (await self.good(200, self.admin, "GET", path))["roles"]
            self.assertEqual([role["name"] for role in roles], ["reader"])
            await self.good(204, self.admin, "DELETE", grant)
            await self.refused(404, self.admin, "DELETE", grant)

    async def test_unknown_parts(self) -> None:
        """404 names the part that is not there."""
        for project, user, role, kind in (
            ("x", self.user, self.roles["reader"], "project"),
            (self.project, "x", self.roles["reader"], "user"),
            (self.project, self.user, "x", "role"),
        ):
            message = await self.refused(404, self.admin, "PUT", f"/projects/{project}/users/{user}/roles/{role}")
            self.assertEqual(message, f"Could not find {kind}: x.")

    async def test_form(self) -> None:
        """One assignment with ids, and with names."""
        link = f"http://cloud:5000/identity/v3/projects/{self.project}/users/{self.user}/roles/{self.roles['member']}"
        [found] = await self.assigned(f"user.id={self.user}")
        expected = {
            "role": {"id": self.roles["member"]},
            "user": {"id": self.user},
            "scope": {"project": {"id": self.project}},
            "links": {"assignment": link},
        }
        self.assertEqual(found, expected)
        [found] = await self.assigned(f"user.id={self.user}&include_names")
        default = {"id": "default", "name": "Default"}
        self.assertEqual(found["role"], {"id": self.roles["member"], "name": "member"})
        self.assertEqual(found["user"], {"id": self.user, "name": "demo", "domain": default})
        self.assertEqual(found["scope"], {"project": {"id": self.project, "name": "demo", "domain": default}})
        [found] = await self.assigned("scope.domain.id=default&include_names=1")
        self.assertEqual(found["scope"], {"domain": {"id": "default", "name": "Default"}})

    async def test_filters(self) -> None:
        """Each filter narrows; those on what nobody has find nothing."""
        cases = {
            "": 3,
            f"user.id={self.user}": 1,
            f"role.id={self.roles['admin']}": 2,
            f"role.id={self.roles['reader']}": 0,
            f"scope.project.id={self.project}": 1,
            "scope.domain.id=default": 1,
            f"user.id={self.user}&effective": 2,
            f"user.id={self.user}&effective=0": 1,
            f"user.id={self.user}&effective&role.id={self.roles['reader']}": 1,
            "group.id=x": 0,
            "scope.system=all": 0,
            "scope.OS-INHERIT:inherited_to=projects": 0,
        }
        for query, expected in cases.items():
            self.assertEqual(len(await self.assigned(query)), expected, query)
        await self.refused(501, self.admin, "GET", "/role_assignments?include_subtree")

    async def test_rights(self) -> None:
        """A member sees the own assignments and gives none away."""
        demo = await self.log_in("demo")
        self.assertEqual(len(await self.assigned(f"user.id={self.user}", demo)), 1)
        await self.refused(403, demo, "GET", "/role_assignments")
        grant = f"/projects/{self.project}/users/{self.user}/roles/{self.roles['admin']}"
        await self.refused(403, demo, "PUT", grant)

    async def test_takes_effect(self) -> None:
        """A role that is taken away is gone from the token that had it."""
        demo = await self.log_in("demo")
        grant = f"/projects/{self.project}/users/{self.user}/roles"
        await self.good(204, self.admin, "PUT", f"{grant}/{self.roles['admin']}")
        await self.good(200, demo, "GET", "/projects")
        await self.good(204, self.admin, "DELETE", f"{grant}/{self.roles['admin']}")
        await self.refused(403, demo, "GET", "/projects")
        await self.good(204, self.admin, "DELETE", f"{grant}/{self.roles['member']}")
        await self.refused(401, demo, "GET", "/projects")
