"""Whatever a body holds, the answer is a success or the API's own refusal, and a refusal leaves no row."""

from __future__ import annotations

import json
import random
from copy import deepcopy
from typing import Any

from sqlalchemy import func, select

from cloudd.database.tables import metadata

from .cloud import CloudTests

JUNK: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    10**30,
    "",
    " ",
    "x" * 70_000,
    "\N{SNOWMAN}",
    "\ud800",
    "a\0b",
    "../../etc/passwd",
    "'; DROP TABLE identity_user; --",
    "2026-13-45T99:99:99",
    [],
    [[[[]]]],
    {},
    {"id": {"id": []}},
    ["default"] * 50,
]


class BadInputTests(CloudTests):
    """Every route that takes a body."""

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.random = random.Random(20261120)
        self.admin = await self.log_in("admin")
        self.demo = await self.log_in("demo")

    def bodies(self) -> list[tuple[str, str, str, Any]]:
        """Token, method, path and a good body."""
        user, project = self.first["demo_user_id"], self.first["demo_project_id"]
        place = {"id": project, "name": "demo", "domain": {"id": "default", "name": "Default"}}
        who = {"id": user, "name": "demo", "domain": {"id": "default"}, "password": "wrong"}
        methods = {
            "methods": ["password", "token", "application_credential"],
            "password": {"user": who},
            "token": {"id": self.demo},
            "application_credential": {"name": "n", "secret": "s", "user": {"id": user}},
        }
        credential = {"name": "c", "roles": [{"id": "x", "name": "reader"}], "expires_at": "2999-01-01T00:00:00"}
        return [
            (self.admin, "POST", "/auth/tokens", {"auth": {"identity": methods, "scope": {"project": place}}}),
            (self.admin, "POST", "/domains", {"domain": {"name": "d", "description": "x", "enabled": True}}),
            (self.admin, "POST", "/projects", {"project": {"name": "p", "domain_id": "default", "parent_id": None}}),
            (self.admin, "PATCH", f"/projects/{project}", {"project": {"description": "x", "enabled": True}}),
            (self.admin, "POST", "/users", {"user": {"name": "u", "email": "e", "default_project_id": project}}),
            (self.admin, "PATCH", f"/users/{user}", {"user": {"description": "x", "email": None}}),
            (self.demo, "POST", f"/users/{user}/password", {"user": {"password": "a", "original_password": "b"}}),
            (self.admin, "POST", "/roles", {"role": {"name": "r", "description": "x"}}),
            (self.demo, "POST", f"/users/{user}/application_credentials", {"application_credential": credential}),
            (self.demo, "POST", f"/users/{user}/credentials/OS-EC2", {"tenant_id": "x"}),
        ]

    async def test_spoilt_documents(self) -> None:
        """A member replaced by junk, added or taken away: never an accident, never a row of a refused call."""
        tried = refused = 0
        for token, method, path, good in self.bodies():
            for _ in range(40):
                spoilt = self.spoil(deepcopy(good))
                before = self.rows()
                body = json.dumps(spoilt).encode("utf-8", "surrogatepass")
                headers = {"X-Auth-Token": token}
                answer = await self.client.request(method, f"/identity/v3{path}", headers=headers, body=body)
                tried += 1
                about = f"{method} {path} {str(spoilt)[:300]}: {answer.text[:300]}"
                self.assertTrue(answer.status < 500 or answer.status == 501, about)
                if answer.status >= 400:
                    refused += 1
                    self.assertEqual(answer.json()["error"]["code"], answer.status, about)
                    self.assertLess(len(answer.body), 1000, about)
                    self.assertEqual(self.rows(), before, about)
        self.assertGreater(refused, tried // 2)
        self.assertEqual(self.flushLoggedErrors(), [])
        await self.good(200, self.admin, "GET", "/users")

    async def test_spoilt_bytes(self) -> None:
        """Bytes cut, changed and doubled."""
        for token, method, path, good in self.bodies():
            body = json.dumps(good).encode()
            for _ in range(20):
                at, to = sorted(self.random.sample(range(len(body)), 2))
                choices = [body[:at], body[:at] + b"\xff" + body[at:], body[:to] + body[at:], body[:at] + body[to:]]
                headers = {"X-Auth-Token": token}
                data = self.random.choice(choices)
                answer = await self.client.request(method, f"/identity/v3{path}", headers=headers, body=data)
                self.assertTrue(answer.status < 500 or answer.status == 501, f"{data!r}: {answer.text}")
        self.assertEqual(self.flushLoggedErrors(), [])

    def spoil(self, document: Any) -> Any:
        """One change at a random place."""
        places = list(self.places(document))
        holder, key = self.random.choice(places)
        match self.random.randrange(4):
            case 0:
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[f"{key}x"] = self.random.choice(JUNK)
            case _:
                holder[key] = self.random.choice(JUNK)
        return document

    def places(self, node: Any) -> Any:
        """Every container with each of its keys."""
        keys = list(node) if isinstance(node, dict) else range(len(node))
        for key in keys:
            yield node, key
            if isinstance(node[key], dict | list):
                yield from self.places(node[key])

    def rows(self) -> dict[str, int]:
        """How many rows each table has, but for revocations."""
        with self.database.engine.begin() as connection:
            return {
                table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in metadata.sorted_tables
                if table.name != "identity_revocation"
            }
