"""Users and their passwords."""

from __future__ import annotations

from typing import Any

from .cloud import CloudTests


class UserTests(CloudTests):
    """``/v3/users``."""

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.admin = await self.log_in("admin")

    async def create(self, name: str, **more: Any) -> dict[str, Any]:
        answer = await self.good(201, self.admin, "POST", "/users", {"user": {"name": name, **more}})
        user: dict[str, Any] = answer["user"]
        return user

    async def test_life(self) -> None:
        """Created, shown, changed and deleted; the password is nowhere in an answer."""
        user = await self.create("zoë", password="geheim-1", email="z@example.org", description="d")
        path = f"/users/{user['id']}"
        expected = {
            "id": user["id"],
            "name": "zoë",
            "domain_id": "default",
            "enabled": True,
            "password_expires_at": None,
            "options": {},
            "email": "z@example.org",
            "description": "d",
            "links": {"self": f"http://cloud:5000/identity/v3{path}"},
        }
        self.assertEqual(user, expected)
        self.assertEqual((await self.good(200, self.admin, "GET", path))["user"], expected)
        change = {"user": {"email": None, "description": "", "default_project_id": self.first["demo_project_id"]}}
        changed = (await self.good(200, self.admin, "PATCH", path, change))["user"]
        gone = {name: value for name, value in expected.items() if name not in ("email", "description")}
        self.assertEqual(changed, gone | {"default_project_id": self.first["demo_project_id"]})
        await self.good(204, self.admin, "DELETE", path)
        await self.refused(404, self.admin, "GET", path)

    async def test_old_name_of_the_project(self) -> None:
        """``project_id`` of old clients is the default project, unless that is given by its own name."""
        project_id = self.first["demo_project_id"]
        for given in ({"project_id": project_id}, {"project_id": "other", "default_project_id": project_id}):
            body = {"user": {"name": f"u{len(given)}", **given}}
            made = (await self.good(201, self.admin, "POST", "/users", body))["user"]
            self.assertEqual(made["default_project_id"], project_id)
            self.assertNotIn("project_id", made)
        await self.refused(400, self.admin, "POST", "/users", {"user": {"name": "v", "project_id": 7}})

    async def test_lookup_by_name(self) -> None:
        """As clients do: the name as an id is a clean 404, then the filter finds it."""
        user = await self.create("a name+with%signs")
        await self.refused(404, self.admin, "GET", "/users/a%20name%2Bwith%25signs")
        found = await self.good(200, self.admin, "GET", "/users?name=a+name%2Bwith%25signs&domain_id=default")
        self.assertEqual([one["id"] for one in found["users"]], [user["id"]])
        self.assertEqual((await self.good(200, self.admin, "GET", "/users?enabled=false"))["users"], [])

    async def test_log_in_follows(self) -> None:
        """A user can log in by the password, no longer when disabled, again by a new one."""
        user = await self.create("u", password="one")
        path = f"/users/{user['id']}"
        token = (await self.issue("u", "one", None)).headers["x-subject-token"]
        await self.good(200, self.admin, "PATCH", path, {"user": {"enabled": False}})
        await self.refused(401, token, "GET", "/auth/projects")
        self.assertEqual((await self.issue("u", "one", None)).status, 401)
        await self.good(200, self.admin, "PATCH", path, {"user": {"enabled": True, "password": "two"}})
        self.assertEqual((await self.issue("u", "one", None)).status, 401)
        self.clock.advance(1)
        self.assertEqual((await self.issue("u", "two", None)).status, 201)

    async def test_own_password(self) -> None:
        """The owner changes it with the original one; all earlier tokens are refused."""
        token, user_id = await self.log_in("demo"), self.first["demo_user_id"]
        path = f"/users/{user_id}/password"
        change = {"user": {"password": "new one", "original_password": "wrong"}}
        await self.refused(401, token, "POST", path, change)
        change["user"]["original_password"] = self.first["demo_password"]
        await self.refused(403, self.admin, "POST", path, change)
        self.assertIsNone(await self.good(204, token, "POST", path, change))
        await self.refused(401, token, "GET", f"/users/{user_id}")
        self.clock.advance(1)
        await self.log_in("demo", password="new one")
        await self.refused(400, self.admin, "POST", f"/users/{self.first['admin_user_id']}/password", {"user": {}})

    async def test_rights(self) -> None:
        """A member sees the own record and no other."""
        demo = await self.log_in("demo")
        await self.good(200, demo, "GET", f"/users/{self.first['demo_user_id']}")
        await self.refused(403, demo, "GET", f"/users/{self.first['admin_user_id']}")
        await self.refused(403, demo, "GET", "/users/demo")
        await self.refused(403, demo, "GET", "/users?name=demo")
        await self.refused(403, demo, "POST", "/users", {"user": {"name": "x"}})

    async def test_projects(self) -> None:
        """The projects with a role: of oneself, and of others for an administrator."""
        user_id = self.first["demo_user_id"]
        demo = await self.log_in("demo")
        for token in (demo, self.admin):
            document = await self.good(200, token, "GET", f"/users/{user_id}/projects")
            self.assertEqual([one["name"] for one in document["projects"]], ["demo"])
        await self.refused(403, demo, "GET", f"/users/{self.first['admin_user_id']}/projects")
        self.assertEqual((await self.good(200, demo, "GET", f"/users/{user_id}/groups"))["groups"], [])

    async def test_bad_input(self) -> None:
        """400 with the place; a password is never repeated in a refusal."""
        cases: list[tuple[Any, str]] = [
            ({"user": {"password": "geheim"}}, "user.name is missing."),
            ({"user": {"name": "x", "password": 7}}, "user.password: expected a string or null, got an integer."),
            ({"user": {"name": "x", "passwrd": "geheim"}}, "did you mean password?"),
            ({"user": {"name": "x", "domain_id": ""}}, "user.domain_id: must not be empty."),
            ({"user": {"name": "x" * 256}}, "user.name: longer than 255 characters."),
        ]
        for document, expected in cases:
            message = await self.refused(400, self.admin, "POST", "/users", document)
            self.assertIn(expected, message)
            self.assertNotIn("geheim", message)
        await self.refused(409, self.admin, "POST", "/users", {"user": {"name": "demo"}})
        await self.refused(404, self.admin, "POST", "/users", {"user": {"name": "x", "domain_id": "nowhere"}})
        options = {"user": {"name": "x", "options": {"ignore_password_expiry": True}}}
        await self.refused(501, self.admin, "POST", "/users", options)
