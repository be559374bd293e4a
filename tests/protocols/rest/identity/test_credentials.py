"""Application credentials and EC2 credentials."""

from __future__ import annotations

from typing import Any

from .cloud import CloudTests


class ApplicationCredentialTests(CloudTests):
    """``/v3/users/{user_id}/application_credentials``."""

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.demo = await self.log_in("demo")
        self.path = f"/users/{self.first['demo_user_id']}/application_credentials"

    async def create(self, **members: Any) -> dict[str, Any]:
        document = {"application_credential": {"name": "ci", **members}}
        answer = await self.good(201, self.demo, "POST", self.path, document)
        credential: dict[str, Any] = answer["application_credential"]
        return credential

    async def log_in_with(self, credential: dict[str, Any], **instead: Any) -> Any:
        login = {"id": credential["id"], "secret": credential["secret"]} | instead
        identity = {"methods": ["application_credential"], "application_credential": login}
        return await self.client.json("POST", "/identity/v3/auth/tokens", {"auth": {"identity": identity}})

    async def test_life(self) -> None:
        """The secret is in the answer to create and nowhere else."""
        credential = await self.create(description="for CI", expires_at="2999-01-02T03:04:05")
        self.assertTrue(credential.pop("secret"))
        path = f"{self.path}/{credential['id']}"
        self.assertEqual(credential["links"], {"self": f"http://cloud:5000/identity/v3{path}"})
        self.assertEqual(credential["expires_at"], "2999-01-02T03:04:05.000000")
        self.assertEqual(credential["project_id"], self.first["demo_project_id"])
        self.assertEqual(credential["user_id"], self.first["demo_user_id"])
        self.assertFalse(credential["unrestricted"])
        self.assertEqual((await self.good(200, self.demo, "GET", path))["application_credential"], credential)
        for query, expected in (("", [credential]), ("?name=ci", [credential]), ("?name=x", [])):
            found = await self.good(200, self.demo, "GET", self.path + query)
            self.assertEqual(found["application_credentials"], expected)
        await self.good(204, self.demo, "DELETE", path)
        await self.refused(404, self.demo, "GET", path)

    async def test_log_in(self) -> None:
        """By id and by name; the token names the credential; it ends with it."""
        credential = await self.create(roles=[{"name": "reader"}])
        answer = await self.log_in_with(credential)
        self.assertEqual(answer.status, 201, answer.text)
        token = answer.json()["token"]
        self.assertEqual(token["application_credential"], {"id": credential["id"], "restricted": True})
        self.assertEqual([role["name"] for role in token["roles"]], ["reader"])
        self.assertEqual(token["project"]["id"], self.first["demo_project_id"])
        user = {"name": "demo", "domain": {"name": "Default"}}
        by_name = await self.log_in_with({"id": None, "secret": credential["secret"]}, name="ci", user=user)
        self.assertEqual(by_name.status, 201, by_name.text)
        self.assertEqual((await self.log_in_with(credential, secret="wrong")).status, 401)
        await self.good(204, self.demo, "DELETE", f"{self.path}/{credential['id']}")
        await self.refused(401, answer.headers["x-subject-token"], "GET", "/auth/projects")
        self.assertEqual((await self.log_in_with(credential)).status, 401)

    async def test_restricted(self) -> None:
        """A restricted credential makes no further credentials; an unrestricted one does."""
        token = (await self.log_in_with(await self.create())).headers["x-subject-token"]
        document = {"application_credential": {"name": "more"}}
        await self.refused(403, token, "POST", self.path, document)
        free = await self.create(name="free", unrestricted=True)
        token = (await self.log_in_with(free)).headers["x-subject-token"]
        await self.good(201, token, "POST", self.path, document)

    async def test_own_secret(self) -> None:
        """A secret that the client chose is taken."""
        credential = await self.create(secret="chosen")
        self.assertEqual(credential["secret"], "chosen")
        self.assertEqual((await self.log_in_with(credential)).status, 201)

    async def test_what_openstackclient_sends(self) -> None:
        """Nulls mean absent."""
        await self.create(description=None, secret=None, expires_at=None, roles=None, access_rules=None)
        await self.create(name="b", roles=[], unrestricted=False)

    async def test_refusals(self) -> None:
        """Wrong times, foreign roles, taken names, rules, and other people's."""
        await self.create()
        cases: list[tuple[int, dict[str, Any]]] = [
            (400, {"name": "x", "expires_at": "tomorrow"}),
            (400, {"name": "x", "expires_at": "2001-01-01T00:00:00"}),
            (400, {"name": "x", "expires_at": 5}),
            (400, {"name": "x", "roles": [{"name": "admin"}]}),
            (400, {"name": "x", "roles": [{}]}),
            (400, {"name": "x", "roles": "admin"}),
            (400, {"name": ""}),
            (409, {"name": "ci"}),
            (501, {"name": "x", "access_rules": [{"path": "/", "method": "GET", "service": "s"}]}),
        ]
        for status, members in cases:
            await self.refused(status, self.demo, "POST", self.path, {"application_credential": members})
        found = await self.good(200, self.demo, "GET", self.path)
        self.assertEqual(len(found["application_credentials"]), 1)
        other = f"/users/{self.first['admin_user_id']}/application_credentials"
        await self.refused(403, self.demo, "POST", other, {"application_credential": {"name": "x"}})
        await self.refused(403, self.demo, "GET", other)
        rules = await self.good(200, self.demo, "GET", f"/users/{self.first['demo_user_id']}/access_rules")
        self.assertEqual(rules["access_rules"], [])


class EC2CredentialTests(CloudTests):
    """``/v3/users/{user_id}/credentials/OS-EC2``."""

    async def test_life(self) -> None:
        """Created with its secret, listed, shown, deleted."""
        demo = await self.log_in("demo")
        user_id, project_id = self.first["demo_user_id"], self.first["demo_project_id"]
        path = f"/users/{user_id}/credentials/OS-EC2"
        made = (await self.good(201, demo, "POST", path, {"tenant_id": project_id}))["credential"]
        link = f"http://cloud:5000/identity/v3{path}/{made['access']}"
        self.assertEqual(
            made,
            {
                "access": made["access"],
                "secret": made["secret"],
                "tenant_id": project_id,
                "user_id": user_id,
                "trust_id": None,
                "links": {"self": link},
            },
        )
        listed = (await self.good(200, demo, "GET", path))["credentials"]
        self.assertEqual({one["access"] for one in listed}, {made["access"], self.first["ec2_access"]})
        self.assertIn(made, listed)
        self.assertEqual((await self.good(200, demo, "GET", f"{path}/{made['access']}"))["credential"], made)
        self.assertEqual((await self.identity.ec2_access(made["access"])).secret, made["secret"])
        await self.good(204, demo, "DELETE", f"{path}/{made['access']}")
        await self.refused(404, demo, "GET", f"{path}/{made['access']}")

    async def test_refusals(self) -> None:
        """Other people's, projects without a role, wrong members."""
        demo = await self.log_in("demo")
        path = f"/users/{self.first['demo_user_id']}/credentials/OS-EC2"
        other = f"/users/{self.first['admin_user_id']}/credentials/OS-EC2"
        await self.refused(403, demo, "GET", other)
        await self.refused(403, demo, "POST", other, {"tenant_id": self.first["demo_project_id"]})
        await self.refused(403, demo, "POST", path, {"tenant_id": self.first["admin_project_id"]})
        self.assertIn("did you mean tenant_id?", await self.refused(400, demo, "POST", path, {"tenantid": "x"}))
        await self.refused(400, demo, "POST", path, {"tenant_id": None})
        await self.refused(404, demo, "DELETE", f"{path}/unknown")
