"""Accounts."""

from __future__ import annotations

import json

from .face import FaceCase


class AccountTests(FaceCase):
    async def test_empty(self) -> None:
        """A project's account is there before anything is in it."""
        answer = await self.ask("HEAD", self.account)
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.assertEqual(answer.header("x-account-container-count"), "0")
        self.assertEqual(answer.header("x-account-bytes-used"), "0")
        self.assertEqual((await self.ask("GET", self.account)).status, 204)
        answer = await self.ask("GET", f"{self.account}?format=json")
        self.assertEqual((answer.status, answer.body), (200, b"[]"))

    async def test_counts(self) -> None:
        """Counts are those of all containers."""
        await self.put_object("a", "1", b"12345")
        await self.put_object("b", "2", b"12")
        answer = await self.ask("GET", f"{self.account}?format=json")
        rows = json.loads(answer.body)
        self.assertEqual([(row["name"], row["count"], row["bytes"]) for row in rows], [("a", 1, 5), ("b", 1, 2)])
        self.assertEqual(answer.header("x-account-container-count"), "2")
        self.assertEqual(answer.header("x-account-object-count"), "2")
        self.assertEqual(answer.header("x-account-bytes-used"), "7")
        self.assertEqual(answer.header("x-account-storage-policy-policy-0-bytes-used"), "7")
        self.assertRegex(answer.header("x-timestamp"), r"^\d{10}\.\d{5}$")

    async def test_paging(self) -> None:
        """Containers are listed in pages, from both ends."""
        for name in ("a", "b", "c", "d"):
            await self.put_container(name)

        async def names(query: str) -> list[str]:
            return (await self.ask("GET", f"{self.account}?{query}")).body.decode().split()

        self.assertEqual(await names("limit=2"), ["a", "b"])
        self.assertEqual(await names("limit=2&marker=b"), ["c", "d"])
        self.assertEqual(await names("end_marker=c"), ["a", "b"])
        self.assertEqual(await names("prefix=c"), ["c"])
        self.assertEqual(await names("reverse=true&limit=1"), ["d"])
        self.assertEqual(await names("limit=0"), [])
        self.assertEqual((await self.ask("GET", f"{self.account}?limit=10001")).status, 412)

    async def test_metadata(self) -> None:
        """POST sets and removes, PUT does too, others' names stay."""
        self.assertEqual((await self.ask("POST", self.account, {"x-account-meta-a": "1"})).status, 204)
        self.assertEqual((await self.ask("PUT", self.account, {"x-account-meta-b": "ä".encode()})).status, 202)
        answer = await self.ask("HEAD", self.account)
        self.assertEqual((answer.header("x-account-meta-a"), answer.header("x-account-meta-b")), ("1", "ä"))
        await self.ask("POST", self.account, {"x-remove-account-meta-a": "x"})
        answer = await self.ask("HEAD", self.account)
        self.assertNotIn("x-account-meta-a", answer.headers)
        self.assertEqual(answer.header("x-account-meta-b"), "ä")

    async def test_metadata_grows_to_its_limit(self) -> None:
        """The limit holds for what is kept together, not only for one request."""
        for number in range(3):
            headers = {f"x-account-meta-{number}-{index}": "1" for index in range(30)}
            self.assertEqual((await self.ask("POST", self.account, headers)).status, 204)
        self.assertEqual((await self.ask("POST", self.account, {"x-account-meta-more": "1"})).status, 400)
        self.assertNotIn("x-account-meta-more", (await self.ask("HEAD", self.account)).headers)
