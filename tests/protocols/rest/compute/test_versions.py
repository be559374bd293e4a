"""Versions of the API, how they are asked for, and what is not there."""

from __future__ import annotations

from typing import Any, cast

from cloudd.protocols.rest.compute import ABSENT, API_VERSIONS, compute_face
from cloudd.protocols.rest.compute._versions import Members
from tests.http_client import Answer, HTTPClient

from .cloud import ADMIN, ALICE, ComputeCase
from .schemas import faults_of


class DiscoveryTests(ComputeCase):
    async def test_versions(self) -> None:
        """The documents that clients look at first; without a token."""
        for path in ("/compute", "/compute/"):
            answer = await self.client.json("GET", path, None)
            self.assertEqual(faults_of(answer, "versions", "list_versions", "2.1"), [])
            legacy, version = answer.json()["versions"]
            self.assertEqual((legacy["id"], legacy["status"], legacy["version"]), ("v2.0", "SUPPORTED", ""))
            expected = ("v2.1", "CURRENT", "2.79", "2.1")
            self.assertEqual(tuple(version[name] for name in ("id", "status", "version", "min_version")), expected)
        for path in ("/compute/v2.1", "/compute/v2.1/"):
            answer = await self.client.json("GET", path, None)
            self.assertEqual(faults_of(answer, "versions", "get_one_version", "2.1"), [])
            shown = answer.json()["version"]
            self.assertEqual((shown["version"], shown["min_version"]), ("2.79", "2.1"))
            self.assertTrue(shown["links"][0]["href"].endswith("/compute/v2.1/"), shown)

    async def test_legacy(self) -> None:
        """Below v2 all is as below v2.1 in 2.1, whichever version is asked for."""
        for path in ("/compute/v2", "/compute/v2/"):
            answer = await self.client.json("GET", path, None)
            self.assertEqual(faults_of(answer, "versions", "get_one_version", "2.1"), [])
            shown = answer.json()["version"]
            self.assertEqual(shown["id"], "v2.0")
            self.assertTrue(shown["links"][0]["href"].endswith("/compute/v2/"), shown)
        headers = {"X-Auth-Token": ALICE, "OpenStack-API-Version": "compute 2.79"}
        answer = await self.client.json("GET", "/compute/v2/flavors/1", None, headers=headers)
        self.assertEqual((answer.status, answer.headers["openstack-api-version"]), (200, "compute 2.1"))
        self.assertEqual(answer.json(), await self.good(200, ALICE, "GET", "/flavors/1"))
        headers = {"X-Auth-Token": ALICE, "X-OpenStack-Nova-API-Version": "9.9"}
        answer = await self.client.json("GET", "/compute/v2/flavors/none", None, headers=headers)
        self.assertEqual((answer.status, answer.headers["openstack-api-version"]), (404, "compute 2.1"))
        answer = await self.client.json("GET", "/compute/v2x/flavors", None, headers=headers)
        self.assertEqual(answer.status, 404)

    async def test_extensions(self) -> None:
        """What is listed can be asked for one by one, and nothing else."""
        listed = (await self.fits("extensions", "list_extensions", ALICE, "GET", "/extensions", "2.1"))["extensions"]
        for each in listed:
            self.assertEqual((await self.good(200, ALICE, "GET", f"/extensions/{each['alias']}"))["extension"], each)
        await self.refused(404, "itemNotFound", ALICE, "GET", "/extensions/os-none")

    async def test_absent(self) -> None:
        """Known and not served: 501; unknown: 404; without a token: 401; another method: 405."""
        for template in ABSENT:
            await self.refused(501, "notImplemented", ALICE, "GET", template.removeprefix("/v2.1"))
        await self.refused(404, "itemNotFound", ALICE, "GET", "/nothing")
        for path in ("/flavors/", "/os-simple-tenant-usage/", "/os-keypairs/"):
            await self.refused(404, "itemNotFound", ADMIN, "GET", path)
        await self.refused(405, "badMethod", ALICE, "DELETE", "/flavors")
        answer = await self.client.json("GET", "/compute/v2.1/flavors", None)
        self.assertEqual((answer.status, set(answer.json())), (401, {"unauthorized"}))
        self.assertIn("Keystone uri=", answer.headers["www-authenticate"])

    def test_told_to_other_nodes(self) -> None:
        """All minor versions, so that a cloud of mixed code shows what all of it serves."""
        self.assertEqual((API_VERSIONS["compute"][0], API_VERSIONS["compute"][-1]), (1, 79))


class NegotiationTests(ComputeCase):
    async def asked(self, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.json("GET", "/compute/v2.1/flavors", None, headers={"X-Auth-Token": ALICE, **named})

    async def test_found(self) -> None:
        """By both headers, of which the newer counts more; other services' versions are none of ours."""
        cases: list[tuple[dict[str, str], str]] = [
            ({}, "2.1"),
            ({"OpenStack_API_Version": "compute 2.61"}, "2.61"),
            ({"OpenStack_API_Version": "Compute Latest"}, "2.79"),
            ({"OpenStack_API_Version": "volume 3.71, compute 2.10"}, "2.10"),
            ({"OpenStack_API_Version": "volume 3.71"}, "2.1"),
            ({"X_OpenStack_Nova_API_Version": "2.15"}, "2.15"),
            ({"X_OpenStack_Nova_API_Version": "latest"}, "2.79"),
            ({"OpenStack_API_Version": "compute 2.5", "X_OpenStack_Nova_API_Version": "2.15"}, "2.5"),
            ({"OpenStack_API_Version": "volume 3.1", "X_OpenStack_Nova_API_Version": "2.15"}, "2.15"),
        ]
        for headers, version in cases:
            answer = await self.asked(**headers)
            self.assertEqual(answer.status, 200, (headers, answer.text))
            self.assertEqual(answer.headers["openstack-api-version"], f"compute {version}", headers)
            self.assertEqual(answer.headers["x-openstack-nova-api-version"], version)
            for name in ("OpenStack-API-Version", "X-OpenStack-Nova-API-Version"):
                self.assertIn(name, answer.headers["vary"])

    async def test_refused(self) -> None:
        """406 beyond what is served, 400 for what is no version; both tell what to ask for."""
        for version in ("2.80", "2.999", "1.1", "3.0", "2.0"):
            answer = await self.asked(OpenStack_API_Version=f"compute {version}")
            self.assertEqual((answer.status, set(answer.json())), (406, {"computeFault"}), version)
            self.assertIn("Minimum is 2.1 and maximum is 2.79.", answer.text)
            self.assertIn("OpenStack-API-Version", answer.headers["vary"])
        for version in ("2", "2.x", "2.01", "two", "2.1.1", "-2.1", "9999999999.1"):
            answer = await self.asked(X_OpenStack_Nova_API_Version=version)
            self.assertEqual((answer.status, set(answer.json())), (400, {"badRequest"}), version)
        self.assertEqual((await self.asked(OpenStack_API_Version="compute")).status, 400)

    async def test_cloud_of_mixed_code(self) -> None:
        """As long as a node serves less, nobody is shown or given more."""
        face = compute_face(cast(Any, self.tokens), self.resources, self.images, lambda _name, ours: (min(ours), 50))
        client = HTTPClient(face)
        shown = (await client.json("GET", "/compute/v2.1")).json()["version"]
        self.assertEqual((shown["min_version"], shown["version"]), ("2.1", "2.50"))
        for version, status, told in (
            ("latest", 200, "compute 2.50"),
            ("2.50", 200, "compute 2.50"),
            ("2.51", 406, ""),
        ):
            headers = {"X-Auth-Token": ALICE, "OpenStack-API-Version": f"compute {version}"}
            answer = await client.json("GET", "/compute/v2.1/flavors", None, headers=headers)
            self.assertEqual((answer.status, answer.headers.get("openstack-api-version", "")), (status, told))

    async def test_refusals_tell_their_version(self) -> None:
        """Also where the call itself is refused."""
        answer = await self.call(ALICE, "GET", "/flavors/none", version="2.55")
        self.assertEqual((answer.status, answer.headers["openstack-api-version"]), (404, "compute 2.55"))

    async def test_route_of_later_versions(self) -> None:
        """Before its version a route is not there."""
        body = {"flavor": {"description": "d"}}
        message = await self.refused(404, "itemNotFound", ADMIN, "PUT", "/flavors/1", body, "2.54")
        self.assertEqual(message, "API version 2.54 is not supported on this method.")
        await self.good(200, ADMIN, "PUT", "/flavors/1", body, "2.55")

    def test_members(self) -> None:
        """From the first to the last version that has them."""
        members = Members(since={"new": (2, 10)}, until={"old": (2, 9)})
        whole: dict[str, Any] = {"new": 1, "old": 2, "always": 3}
        self.assertEqual(set(members.shown((2, 9), whole)), {"old", "always"})
        self.assertEqual(set(members.shown((2, 10), whole)), {"new", "always"})
        self.assertEqual(members.strange((2, 9), whole), ["new"])


class BodyTests(ComputeCase):
    async def test_bad_bodies(self) -> None:
        """What is no object, what is under another name, or has members that are none, is refused with its place."""
        bad: list[tuple[Any, str]] = [
            ([], "expected an object"),
            ({}, "'flavor' is a required property"),
            ({"flavor": {}, "more": 1}, "'more' was unexpected"),
            ({"flavor": []}, "flavor. expected an object"),
            ({"flavor": {"name": "x"}}, "ram is missing"),
            ({"flavor": {"name": "x", "ram": 1, "vcpus": 1, "disk": 1, "more": 1, "two": 2}}, "'more', 'two' were"),
            ({"flavor": {"name": "x", "ram": 1, "vcpus": 1, "disk": 1, "description": "d"}}, "'description' was"),
            ({"flavor": {"name": 7, "ram": 1, "vcpus": 1, "disk": 1}}, "name: expected a string"),
        ]
        for body, cause in bad:
            self.assertIn(cause, await self.refused(400, "badRequest", ADMIN, "POST", "/flavors", body))
        answer = await self.client.request(
            "POST", "/compute/v2.1/flavors", headers={"X-Auth-Token": ADMIN}, body=b"{" * 70_000
        )
        self.assertIn(answer.status, (400, 413))
