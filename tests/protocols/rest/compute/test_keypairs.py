"""Key pairs."""

from __future__ import annotations

from typing import Any, cast

from attrs import evolve
from cryptography import x509
from cryptography.hazmat.primitives import serialization

from cloudd.protocols.rest.compute import compute_face
from tests.http_client import HTTPClient
from tests.protocols.rest.identity.cloud import InlineThreads

from .cloud import ADMIN, ALICE, BOB, READER, ComputeCase

#: A real key, made for these tests.
PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINJp5Grev97Cly9y5njZZBOt32LE1GFh9lYsiwpKMG82 walk@example"
VERSIONS = ("2.1", "2.2", "2.9", "2.10", "2.34", "2.35", "2.79")


class KeypairTests(ComputeCase):
    async def add(self, name: str, who: str = ALICE, version: str = "2.2", **members: Any) -> dict[str, Any]:
        body = {"keypair": {"name": name, "public_key": PUBLIC, **members}}
        found: dict[str, Any] = (await self.good(201, who, "POST", "/os-keypairs", body, version))["keypair"]
        return found

    async def test_each_version(self) -> None:
        """Made, shown, listed and deleted with the members and statuses of each version."""
        for version in VERSIONS:
            body = {"keypair": {"name": "key", "public_key": PUBLIC}}
            made = await self.fits("keypairs", "create_keypair", ALICE, "POST", "/os-keypairs", version, body)
            self.assertNotIn("private_key", made["keypair"])
            shown = await self.fits("keypairs", "get_keypair", ALICE, "GET", "/os-keypairs/key", version)
            self.assertEqual(shown["keypair"]["public_key"], PUBLIC)
            self.assertEqual("type" in shown["keypair"], version != "2.1")
            listed = await self.fits("keypairs", "list_keypairs", ALICE, "GET", "/os-keypairs", version)
            self.assertEqual([each["keypair"]["name"] for each in listed["keypairs"]], ["key"])
            await self.fits("keypairs", "delete_keypair", ALICE, "DELETE", "/os-keypairs/key", version)
            message = await self.refused(404, "itemNotFound", ALICE, "GET", "/os-keypairs/key", None, version)
            self.assertEqual(message, "Keypair key not found for user alice-id")
            await self.refused(404, "itemNotFound", ALICE, "DELETE", "/os-keypairs/key", None, version)

    async def test_generated(self) -> None:
        """A pair whose halves belong together; the private one is told once and kept nowhere."""
        made = (await self.good(201, ALICE, "POST", "/os-keypairs", {"keypair": {"name": "new"}}, "2.2"))["keypair"]
        private = serialization.load_pem_private_key(made["private_key"].encode(), None)
        public = private.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        self.assertEqual(made["public_key"].rpartition(" ")[0], public.decode())
        self.assertTrue(made["private_key"].startswith("-----BEGIN RSA PRIVATE KEY-----"))
        shown = (await self.good(200, ALICE, "GET", "/os-keypairs/new", None, "2.2"))["keypair"]
        self.assertEqual((shown["fingerprint"], shown["public_key"]), (made["fingerprint"], made["public_key"]))
        self.assertNotIn("private_key", shown)

    async def test_x509(self) -> None:
        """A certificate that names its user; it can be given, too."""
        body = {"keypair": {"name": "win", "type": "x509"}}
        made = (await self.good(201, ALICE, "POST", "/os-keypairs", body, "2.2"))["keypair"]
        certificate = x509.load_pem_x509_certificate(made["public_key"].encode())
        self.assertEqual(certificate.subject.rfc4514_string(), "CN=alice-id")
        self.assertEqual((made["type"], len(made["fingerprint"].split(":"))), ("x509", 20))
        again = await self.add("given", public_key=made["public_key"], type="x509")
        self.assertEqual(again["fingerprint"], made["fingerprint"])
        await self.refused(
            400, "badRequest", ALICE, "POST", "/os-keypairs",
            {"keypair": {"name": "x", "type": "x509", "public_key": PUBLIC}}, "2.2",
        )  # fmt: skip

    async def test_owned_by_users(self) -> None:
        """Another user of the same project has its own; administrators see and make all users'."""
        await self.add("key")
        await self.refused(404, "itemNotFound", READER, "GET", "/os-keypairs/key")
        await self.add("key", BOB)
        for query in ("/os-keypairs?user_id=alice-id", "/os-keypairs/key?user_id=alice-id"):
            await self.good(200, ADMIN, "GET", query, None, "2.10")
            message = await self.refused(403, "forbidden", BOB, "GET", query, None, "2.10")
            self.assertIn("os_compute_api:os-keypairs:", message)
        self.assertEqual(len((await self.good(200, ADMIN, "GET", "/os-keypairs?user_id=alice-id"))["keypairs"]), 0)
        made = await self.add("theirs", ADMIN, "2.10", user_id="bob-id")
        self.assertEqual(made["user_id"], "bob-id")
        body = {"keypair": {"name": "x", "public_key": PUBLIC, "user_id": "bob-id"}}
        await self.refused(403, "forbidden", ALICE, "POST", "/os-keypairs", body, "2.10")
        await self.good(204, ADMIN, "DELETE", "/os-keypairs/theirs?user_id=bob-id", None, "2.10")
        await self.refused(403, "forbidden", ALICE, "DELETE", "/os-keypairs/key?user_id=bob-id", None, "2.10")

    async def test_pages(self) -> None:
        """From 2.35 on by name, with a link to the next."""
        for name in ("d", "a", "c", "b", "e"):
            await self.add(name)
        path, found = "/os-keypairs?limit=2", []
        while path:
            page = await self.good(200, ALICE, "GET", path, None, "2.35")
            found.append([each["keypair"]["name"] for each in page["keypairs"]])
            links = page.get("keypairs_links", [])
            path = links[0]["href"].partition("/compute/v2.1")[2] if links else ""
        self.assertEqual(found, [["a", "b"], ["c", "d"], ["e"]])
        self.assertEqual(len((await self.good(200, ALICE, "GET", "/os-keypairs?limit=2"))["keypairs"]), 5)
        for query in ("limit=x", "limit=-1", "marker=none"):
            await self.refused(400, "badRequest", ALICE, "GET", f"/os-keypairs?{query}", None, "2.35")
        await self.good(200, ALICE, "GET", "/os-keypairs?nothing=1", None, "2.74")
        await self.refused(400, "badRequest", ALICE, "GET", "/os-keypairs?nothing=1", None, "2.75")

    async def test_bad(self) -> None:
        """Names, keys and members that are none, and a name that is taken."""
        await self.add("key")
        message = await self.refused(
            409, "conflictingRequest", ALICE, "POST", "/os-keypairs", {"keypair": {"name": "key", "public_key": PUBLIC}}
        )
        self.assertEqual(message, "Key pair 'key' already exists.")
        bad: list[tuple[dict[str, Any], str]] = [
            ({}, "2.1"), ({"name": ""}, "2.1"), ({"name": "x" * 256}, "2.1"), ({"name": "a/b"}, "2.1"),
            ({"name": "ü"}, "2.1"), ({"name": " a"}, "2.1"), ({"name": "a\n"}, "2.1"), ({"name": 5}, "2.1"),
            ({"name": "a", "public_key": ""}, "2.1"), ({"name": "a", "public_key": "ssh-rsa nothing"}, "2.1"),
            ({"name": "a", "public_key": "ssh-rsa"}, "2.1"), ({"name": "a", "public_key": None}, "2.1"),
            ({"name": "a", "type": "ssh"}, "2.1"), ({"name": "a", "type": "pgp"}, "2.2"),
            ({"name": "a", "user_id": "u"}, "2.9"), ({"name": "a", "public_key": "x" * 17_000}, "2.2"),
        ]  # fmt: skip
        for members, version in bad:
            await self.refused(400, "badRequest", ALICE, "POST", "/os-keypairs", {"keypair": members}, version)
        self.assertEqual(len((await self.good(200, ALICE, "GET", "/os-keypairs"))["keypairs"]), 1)

    async def test_generated_only_where_it_can_be_kept(self) -> None:
        """A name that is taken and a quota that is used up are told before a key is made, which takes its time."""
        made: list[Any] = []

        class CountedThreads(InlineThreads):
            def run(self, function: Any, /, *arguments: Any, **named: Any) -> Any:
                made.append(function)
                return super().run(function, *arguments, **named)

        resources = evolve(self.resources, threads=CountedThreads())
        self.client = HTTPClient(compute_face(cast(Any, self.tokens), resources, self.images))
        await self.add("key")
        await self.refused(409, "conflictingRequest", ALICE, "POST", "/os-keypairs", {"keypair": {"name": "key"}})
        await self.good(200, ADMIN, "PUT", "/os-quota-sets/p1", {"quota_set": {"key_pairs": 1}})
        await self.refused(403, "forbidden", ALICE, "POST", "/os-keypairs", {"keypair": {"name": "new"}})
        self.assertEqual(made, [])
        await self.good(200, BOB, "POST", "/os-keypairs", {"keypair": {"name": "new"}})
        self.assertEqual(len(made), 1)

    async def test_quota(self) -> None:
        """A user has as many as its project's quota says, whatever others have."""
        await self.good(200, ADMIN, "PUT", "/os-quota-sets/p1", {"quota_set": {"key_pairs": 1}})
        await self.add("key")
        for members in ({"public_key": PUBLIC}, {}):
            body = {"keypair": {"name": "more", **members}}
            message = await self.refused(403, "forbidden", ALICE, "POST", "/os-keypairs", body)
            self.assertEqual(message, "Quota exceeded, too many key pairs.")
        await self.add("key", READER)
        await self.add("key", BOB)
