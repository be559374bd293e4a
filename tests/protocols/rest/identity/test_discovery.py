"""Version discovery: where every client begins."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cloudd.protocols.rest.identity import identity_face
from tests.http_client import HTTPClient

from .cloud import CloudTests

VERSION = {
    "id": "v3.14",
    "status": "stable",
    "updated": "2020-04-07T00:00:00Z",
    "links": [{"rel": "self", "href": "http://cloud:5000/identity/v3/"}],
    "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
}


class DiscoveryTests(CloudTests):
    """``/``, ``/identity`` and ``/identity/v3``."""

    async def ask(self, path: str, method: str = "GET") -> Any:
        return await self.client.request(method, path)

    async def test_list(self) -> None:
        """300 with a choice of one, with and without a slash at the end, and at the root of the port."""
        for path in ("/identity", "/identity/", "/"):
            answer = await self.ask(path)
            self.assertEqual((answer.status, answer.json()), (300, {"versions": {"values": [VERSION]}}), path)
            self.assertEqual(answer.headers["content-type"], "application/json")

    async def test_version(self) -> None:
        """200 with the version."""
        for path in ("/identity/v3", "/identity/v3/"):
            answer = await self.ask(path)
            self.assertEqual((answer.status, answer.json()), (200, {"version": VERSION}), path)

    async def test_mixed_cloud(self) -> None:
        """The newest version that every live node serves is shown, wherever versions are."""
        asked = []

        def served(name: str, ours: Sequence[int]) -> tuple[int, int]:
            asked.append((name, max(ours)))
            return 0, 13

        self.client = HTTPClient(identity_face(self.identity, self.resources, served))
        for path in ("/identity", "/"):
            [version] = (await self.ask(path)).json()["versions"]["values"]
            self.assertEqual(version["id"], "v3.13")
        self.assertEqual((await self.ask("/identity/v3")).json()["version"]["id"], "v3.13")
        self.assertEqual(set(asked), {("api.identity.v3", 14)})

    async def test_head(self) -> None:
        """HEAD gives the head of GET."""
        get, head = await self.ask("/identity/v3"), await self.ask("/identity/v3", "HEAD")
        self.assertEqual((head.status, head.body), (200, b""))
        self.assertEqual(head.headers["content-length"], get.headers["content-length"])

    async def test_request_id(self) -> None:
        """Every answer has an id; the client's own is kept."""
        own = "req-0f0c6d0e-5ed6-4d2f-9d1e-1f7f60e6a1b2"
        answer = await self.client.request("GET", "/identity/v3", headers={"X-OpenStack-Request-ID": own})
        self.assertEqual(answer.headers["x-openstack-request-id"], own)
        self.assertRegex((await self.ask("/identity/nothing")).headers["x-openstack-request-id"], "^req-")


class NowhereTests(CloudTests):
    """Paths and methods that no route has."""

    async def fault(self, method: str, path: str, status: int) -> Any:
        answer = await self.client.request(method, path)
        self.assertEqual(answer.status, status, f"{method} {path}: {answer.text}")
        self.assertEqual(answer.headers["content-type"], "application/json")
        self.assertEqual(answer.headers["vary"], "X-Auth-Token")
        error = answer.json()["error"]
        self.assertEqual(set(error), {"code", "message", "title"})
        return answer

    async def test_unknown_paths(self) -> None:
        """404 in the API's form, whatever the path tries."""
        for path in (
            "/identity/v2.0/tokens",
            "/identity/v3/nothing",
            "/identityx",
            "/nothing",
            "//",
            "//identity/v3",
            "/identity//v3",
            "/identity/v3/../v3",
            "/identity/%2e%2e/identity/v3",
            "/identity/v3%2Fauth/tokens",
            "/identity/v3/auth%00/tokens",
            "/identity/v3/users/a/b/c/d",
        ):
            await self.fault("GET", path, 404)

    async def test_path_that_is_not_utf8(self) -> None:
        """400 in the API's form, encoded or not."""
        await self.fault("GET", "/identity/v3/users/%ff", 400)
        await self.fault("GET", "/identity/v3/users/%c3%28", 400)
        await self.fault("GET", "/%ff", 400)

    async def test_methods(self) -> None:
        """405 with the methods that the path has."""
        answer = await self.fault("PATCH", "/identity/v3/auth/tokens", 405)
        self.assertEqual(answer.headers["allow"], "DELETE, GET, HEAD, POST")
        answer = await self.fault("DELETE", "/identity/v3", 405)
        self.assertEqual(answer.headers["allow"], "GET, HEAD")
        await self.fault("POST", "/", 405)
        await self.fault("PUT", "/identity/v3/users", 405)

    async def test_route_names_are_bounded(self) -> None:
        """A path that nobody has is one label, not one per path."""
        await self.fault("GET", "/identity/v3/nothing", 404)
        self.assertEqual(self.client.site.requests[-1].route, "unknown")

    async def test_absent(self) -> None:
        """What the API has and cloudd has not: 501 by every method, at and below its path, and named."""
        for path in ("/groups", "/groups/x/users", "/OS-TRUST/trusts", "/domains/x/config/identity", "/system/users/x"):
            for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
                await self.fault(method, f"/identity/v3{path}", 501)
        answer = await self.fault("GET", "/identity/v3/groups", 501)
        self.assertIn("Groups", answer.json()["error"]["message"])

    async def test_token_first(self) -> None:
        """Without a token nothing is read or looked up: 401, also for a body that is wrong."""
        answer = await self.client.request("POST", "/identity/v3/projects", body=b"{")
        self.assertEqual(answer.status, 401)
        self.assertIn("X-Auth-Token", answer.json()["error"]["message"])
