"""Tokens: issue, show, check, revoke."""

from __future__ import annotations

import re
from typing import Any

from cloudd.protocols.rest.identity import identity_face

from .cloud import CloudTests

TOKENS = "/identity/v3/auth/tokens"
ZULU = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")


class IssueTests(CloudTests):
    """``POST /v3/auth/tokens``."""

    async def test_project_scope(self) -> None:
        """201, the token in its header, exactly Keystone's members in the body."""
        answer = await self.issue("demo", self.first["demo_password"])
        self.assertEqual(answer.status, 201)
        self.assertEqual(answer.headers["content-type"], "application/json")
        self.assertEqual(answer.headers["vary"], "X-Auth-Token")
        self.assertTrue(answer.headers["x-subject-token"])
        token = answer.json()["token"]
        members = "audit_ids catalog expires_at is_domain issued_at methods project roles user"
        self.assertEqual(sorted(token), members.split())
        default = {"id": "default", "name": "Default"}
        self.assertEqual(token["project"], {"id": self.first["demo_project_id"], "name": "demo", "domain": default})
        user = {"id": self.first["demo_user_id"], "name": "demo", "domain": default, "password_expires_at": None}
        self.assertEqual(token["user"], user)
        self.assertEqual({role["name"] for role in token["roles"]}, {"member", "reader"})
        self.assertEqual(token["methods"], ["password"])
        self.assertRegex(token["issued_at"], ZULU)
        self.assertRegex(token["expires_at"], ZULU)

    async def test_request_facts(self) -> None:
        """The access log gets the template and the project."""
        await self.issue("demo", self.first["demo_password"])
        request = self.client.site.requests[-1]
        self.assertEqual((request.route, request.project_id), (TOKENS, self.first["demo_project_id"]))

    async def test_catalog(self) -> None:
        """Every service with its three interfaces, in the members that clients look for."""
        answer = await self.issue("demo", self.first["demo_password"])
        catalog = {service["type"]: service for service in answer.json()["token"]["catalog"]}
        self.assertLessEqual({"identity", "object-store"}, set(catalog))
        for service in catalog.values():
            self.assertEqual(set(service), {"id", "type", "name", "endpoints"})
            self.assertEqual({one["interface"] for one in service["endpoints"]}, {"public", "internal", "admin"})
            for one in service["endpoints"]:
                self.assertEqual(set(one), {"id", "interface", "region", "region_id", "url"})
        self.assertEqual(catalog["identity"]["endpoints"][0]["url"], "http://cloud:5000/identity")
        url = catalog["object-store"]["endpoints"][0]["url"]
        self.assertEqual(url, f"http://cloud:8080/v1/AUTH_{self.first['demo_project_id']}")

    async def test_nocatalog(self) -> None:
        """``?nocatalog`` leaves the catalog out."""
        login = {"user": {"id": self.first["demo_user_id"], "password": self.first["demo_password"]}}
        auth = {
            "identity": {"methods": ["password"], "password": login},
            "scope": {"project": {"id": self.first["demo_project_id"]}},
        }
        answer = await self.client.json("POST", TOKENS + "?nocatalog", {"auth": auth})
        self.assertEqual(answer.status, 201)
        self.assertNotIn("catalog", answer.json()["token"])
        self.assertIn("roles", answer.json()["token"])

    async def test_unscoped(self) -> None:
        """An unscoped token has neither scope, roles nor catalog."""
        answer = await self.issue("demo", self.first["demo_password"], None)
        token = answer.json()["token"]
        self.assertEqual(sorted(token), ["audit_ids", "expires_at", "issued_at", "methods", "user"])

    async def test_domain_scope(self) -> None:
        """A role on a domain gives a token for it."""
        answer = await self.issue("admin", self.first["admin_password"], domain={"id": "default"})
        token = answer.json()["token"]
        self.assertEqual(token["domain"], {"id": "default", "name": "Default"})
        self.assertIn("admin", {role["name"] for role in token["roles"]})
        self.assertNotIn("project", token)

    async def test_rescope(self) -> None:
        """A token gives a token for a project; its expiry and audit chain go on."""
        unscoped = await self.issue("demo", self.first["demo_password"], None)
        auth = {
            "identity": {"methods": ["token"], "token": {"id": unscoped.headers["x-subject-token"]}},
            "scope": {"project": {"id": self.first["demo_project_id"]}},
        }
        answer = await self.client.json("POST", TOKENS, {"auth": auth})
        self.assertEqual(answer.status, 201, answer.text)
        old, new = unscoped.json()["token"], answer.json()["token"]
        self.assertEqual(new["expires_at"], old["expires_at"])
        self.assertEqual(new["audit_ids"][1], old["audit_ids"][0])
        self.assertEqual(sorted(new["methods"]), ["password", "token"])

    async def test_wrong_log_in(self) -> None:
        """Whatever is wrong, the answer is the same 401, which names the place to log in."""
        answers = [
            await self.issue("demo", "wrong"),
            await self.issue("nobody", "wrong"),
            await self.issue("demo", self.first["demo_password"], "admin"),
            await self.issue("demo", self.first["demo_password"], "nowhere"),
            await self.issue("demo", self.first["demo_password"], domain={"id": "default"}),
        ]
        self.assertEqual({answer.status for answer in answers}, {401})
        self.assertEqual(len({answer.body for answer in answers}), 1)
        self.assertEqual(answers[0].headers["www-authenticate"], 'Keystone uri="http://cloud:5000/identity/v3"')
        self.assertEqual(answers[0].json()["error"]["title"], "Unauthorized")

    async def refusal(self, auth: Any) -> tuple[int, str]:
        answer = await self.client.json("POST", TOKENS, {"auth": auth})
        return answer.status, answer.json()["error"]["message"]

    async def test_form(self) -> None:
        """Mistakes of form are 400 and name the member."""
        user = {"name": "demo", "domain": {"id": "default"}, "password": "x"}
        password = {"methods": ["password"], "password": {"user": user}}
        cases: list[tuple[Any, str]] = [
            ({}, "auth.identity is missing."),
            ({"identity": {"methods": []}}, "auth.identity.methods: must not be empty."),
            ({"identity": {"methods": ["password"]}}, "auth.identity.password is missing"),
            ({"identity": {"methods": "password"}}, "auth.identity.methods: expected a list, got a string."),
            (
                {"identity": {"methods": ["password"], "password": {"user": {"name": "demo", "password": "x"}}}},
                "auth.identity.password.user.domain is missing",
            ),
            (
                {"identity": {"methods": ["password"], "password": {"user": {"password": "x"}}}},
                "auth.identity.password.user: give id, or name and domain.",
            ),
            ({"identity": password, "scope": "everything"}, "auth.scope: expected an object"),
            ({"identity": password, "scope": {}}, "auth.scope: give exactly one"),
            (
                {"identity": password, "scope": {"project": {"id": "x"}, "domain": {"id": "y"}}},
                "auth.scope: give exactly one",
            ),
            ({"identity": password, "scope": {"project": {"name": "x"}}}, "auth.scope.project.domain is missing"),
            ({"identity": password, "scope": {"projcet": {"id": "x"}}}, "did you mean project?"),
            (
                {"identity": {"methods": ["application_credential"], "application_credential": {"secret": "x"}}},
                "give id, or name and user",
            ),
            (
                {
                    "identity": {
                        "methods": ["application_credential"],
                        "application_credential": {"secret": "x", "name": "a"},
                    }
                },
                "auth.identity.application_credential.user is missing",
            ),
        ]
        for auth, expected in cases:
            status, message = await self.refusal(auth)
            self.assertEqual(status, 400, message)
            self.assertIn(expected, message)

    async def test_not_offered(self) -> None:
        """Other methods are 401 with those that are offered; other scopes 501."""
        status, message = await self.refusal({"identity": {"methods": ["totp"], "totp": {"user": {}}}})
        self.assertEqual(status, 401)
        self.assertIn("offered: password, token, application_credential", message)
        user = {"id": self.first["demo_user_id"], "password": self.first["demo_password"]}
        password = {"methods": ["password"], "password": {"user": user}}
        for scope in ({"system": {"all": True}}, {"OS-TRUST:trust": {"id": "x"}}):
            status, _ = await self.refusal({"identity": password, "scope": scope})
            self.assertEqual(status, 501)

    async def test_bad_bodies(self) -> None:
        """Bytes that are no JSON, and bodies beyond the limit, are refused and the face goes on."""
        answer = await self.client.request("POST", TOKENS, body=b'{"auth": ')
        self.assertEqual((answer.status, answer.json()["error"]["code"]), (400, 400))
        limit = self.resources.settings.http.max_json_bytes
        answer = await self.client.request("POST", TOKENS, body=b'"' + b"x" * limit + b'"')
        self.assertEqual((answer.status, answer.json()["error"]["title"]), (413, "Request Entity Too Large"))
        answer = await self.client.request("POST", TOKENS)
        self.assertEqual(answer.status, 400)
        await self.log_in()


class ValidateTests(CloudTests):
    """``GET``, ``HEAD`` and ``DELETE`` of ``/v3/auth/tokens``."""

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.admin = await self.log_in("admin")
        self.demo = await self.log_in("demo")

    async def test_own(self) -> None:
        """A token shows itself, in the members it was issued with."""
        issued = await self.issue("demo", self.first["demo_password"])
        token = issued.headers["x-subject-token"]
        answer = await self.call(token, "GET", "/auth/tokens", X_Subject_Token=token)
        self.assertEqual((answer.status, answer.json()), (200, issued.json()))
        self.assertEqual(answer.headers["x-subject-token"], token)
        self.assertEqual(answer.headers["vary"], "X-Auth-Token")

    async def test_cached_and_asked_agree(self) -> None:
        """The direct handler and the klein route give the same answer."""
        direct = await self.call(self.admin, "GET", "/auth/tokens", X_Subject_Token=self.demo)
        fresh = type(self.identity)(self.resources)
        fresh.start({})
        self.addCleanup(fresh.retire)
        self.client.site.handler = identity_face(fresh, self.resources)
        routed = await self.call(self.admin, "GET", "/auth/tokens", X_Subject_Token=self.demo)
        again = await self.call(self.admin, "GET", "/auth/tokens", X_Subject_Token=self.demo)
        self.assertEqual((routed.status, routed.body), (200, direct.body))
        self.assertEqual(again.body, direct.body)
        self.assertEqual({request.route for request in self.client.site.requests[-3:]}, {TOKENS})

    async def test_head(self) -> None:
        """HEAD is GET without the body."""
        get = await self.call(self.admin, "GET", "/auth/tokens", X_Subject_Token=self.demo)
        head = await self.call(self.admin, "HEAD", "/auth/tokens", X_Subject_Token=self.demo)
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertEqual(head.headers["content-length"], get.headers["content-length"])

    async def test_nocatalog(self) -> None:
        """With and without catalog are kept apart."""
        for query, expected in (("", True), ("?nocatalog", False), ("", True), ("?nocatalog", False)):
            document = await self.good(200, self.admin, "GET", "/auth/tokens" + query, X_Subject_Token=self.demo)
            self.assertEqual("catalog" in document["token"], expected)

    async def test_rights(self) -> None:
        """Another user's token is shown to an administrator, not to a member."""
        await self.good(200, self.admin, "GET", "/auth/tokens", X_Subject_Token=self.demo)
        message = await self.refused(403, self.demo, "GET", "/auth/tokens", X_Subject_Token=self.admin)
        self.assertIn("identity:validate_token", message)

    async def test_no_token(self) -> None:
        """401 when nobody asks, 404 when nothing is asked about or it is no token."""
        for headers in ({}, {"X-Auth-Token": "rubbish"}, {"X-Auth-Token": self.demo + "x"}):
            answer = await self.client.request("GET", TOKENS, headers=headers | {"X-Subject-Token": self.demo})
            self.assertEqual(answer.status, 401, answer.text)
            self.assertIn("www-authenticate", answer.headers)
        await self.refused(404, self.admin, "GET", "/auth/tokens")
        message = await self.refused(404, self.admin, "GET", "/auth/tokens", X_Subject_Token="gAAAAArubbish")
        self.assertTrue(message.startswith("Could not find token: "))

    async def test_two_tokens_in_one_header(self) -> None:
        """A repeated header is no token."""
        headers = [("X-Auth-Token", self.demo), ("X-Auth-Token", self.admin)]
        answer = await self.client.request("GET", "/identity/v3/users", headers=headers)
        self.assertEqual(answer.status, 401)

    async def test_revoke(self) -> None:
        """204; then the token is refused as asker and unknown as subject, at once in this worker."""
        await self.good(200, self.admin, "GET", "/auth/tokens", X_Subject_Token=self.demo)
        await self.good(204, self.demo, "DELETE", "/auth/tokens", X_Subject_Token=self.demo)
        await self.refused(401, self.demo, "GET", "/auth/projects")
        await self.refused(404, self.admin, "GET", "/auth/tokens", X_Subject_Token=self.demo)
        self.assertEqual((await self.call(self.admin, "HEAD", "/auth/tokens", X_Subject_Token=self.demo)).status, 404)
        await self.refused(404, self.admin, "DELETE", "/auth/tokens", X_Subject_Token=self.demo)

    async def test_revoke_of_another(self) -> None:
        """A member cannot revoke an administrator's token; the other way round they can."""
        await self.refused(403, self.demo, "DELETE", "/auth/tokens", X_Subject_Token=self.admin)
        await self.good(204, self.admin, "DELETE", "/auth/tokens", X_Subject_Token=self.demo)

    async def test_expired(self) -> None:
        """After its lifetime a token is no longer one."""
        self.clock.advance(self.resources.settings.identity.token_lifetime_s + 1)
        message = await self.refused(401, self.demo, "GET", "/auth/projects")
        self.assertIn("expired", message)

    async def test_database_gone(self) -> None:
        """Nobody is let in while tokens cannot be checked: 503, with when to come again."""
        self.clock.advance(60)
        self.database.failing = OSError("disk gone")
        answer = await self.call(self.demo, "GET", "/auth/projects")
        self.assertEqual(answer.status, 503)
        self.assertIn("retry-after", answer.headers)
        self.database.failing = None


class ScopeTests(CloudTests):
    """What a token could be asked for, and its catalog."""

    async def test_projects_and_domains(self) -> None:
        """Unscoped is enough to ask; only what has a role shows up."""
        token = await self.log_in("demo", None)
        document = await self.good(200, token, "GET", "/auth/projects")
        self.assertEqual([one["name"] for one in document["projects"]], ["demo"])
        self.assertIsNone(document["links"]["next"])
        self.assertEqual((await self.good(200, token, "GET", "/auth/domains"))["domains"], [])
        self.assertEqual((await self.good(200, token, "GET", "/auth/system"))["system"], [])
        admin = await self.log_in("admin", None)
        document = await self.good(200, admin, "GET", "/auth/domains")
        self.assertEqual([one["id"] for one in document["domains"]], ["default"])

    async def test_catalog(self) -> None:
        """The catalog of the token's own scope; an unscoped one has none."""
        token = await self.log_in("demo")
        document = await self.good(200, token, "GET", "/auth/catalog")
        self.assertIn("object-store", [service["type"] for service in document["catalog"]])
        await self.refused(403, await self.log_in("demo", None), "GET", "/auth/catalog")
