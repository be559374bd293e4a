"""Bulk delete."""

from __future__ import annotations

import json
from xml.etree import ElementTree

from cloudd.protocols.swift._bulk import Outcome, render

from .face import BOB, READER, FaceCase


class BulkDeleteTests(FaceCase):
    async def delete(self, lines: list[str], token: str = "alice", method: str = "DELETE") -> dict[str, object]:
        headers = {"content-type": "text/plain", "accept": "application/json"}
        body = "\n".join(lines).encode()
        answer = await self.ask(method, f"{self.account}?bulk-delete=1", headers, body=body, token=token)
        self.assertEqual(answer.status, 200)
        found: dict[str, object] = json.loads(answer.body)
        return found

    async def test_deleted(self) -> None:
        """Objects, then their containers; what is not there is counted, names are decoded once."""
        for name in ("a b", "ä", "%25", "dir/x"):
            await self.put_object("c", name, b"x")
        names = [f"/c/{self.quoted(name)}" for name in ("a b", "ä", "%25", "dir/x", "none")]
        outcome = await self.delete(["c", *names, "none/o", "none"])
        self.assertEqual(
            outcome,
            {
                "Number Deleted": 5,
                "Number Not Found": 3,
                "Response Body": "",
                "Response Status": "200 OK",
                "Errors": [],
            },
        )
        self.assertEqual((await self.ask("HEAD", f"{self.account}/c")).status, 404)

    async def test_errors(self) -> None:
        """A container that is not empty and a bad name are named, the rest is done."""
        await self.put_object("c", "o", b"x")
        await self.put_object("c", "kept", b"x")
        outcome = await self.delete(["c", "c/o", "c/%ff"], method="POST")
        self.assertEqual(outcome["Number Deleted"], 1)
        self.assertEqual(outcome["Response Status"], "400 Bad Request")
        self.assertEqual(outcome["Errors"], [["c/%25ff", "412 Precondition Failed"], ["c", "409 Conflict"]])
        self.assertEqual(await self.names("c"), ["kept"])

    async def test_rights(self) -> None:
        """Each name is checked on its own."""
        await self.put_object("c", "o", b"x")
        for token in (BOB, READER):
            outcome = await self.delete(["c/o", "c"], token=token)
            self.assertEqual(outcome["Errors"], [["c/o", "403 Forbidden"], ["c", "403 Forbidden"]])
        self.assertEqual(await self.names("c"), ["o"])

    async def test_bad_requests(self) -> None:
        """Nothing to delete, other types, no length, too many."""
        self.assertEqual((await self.delete([]))["Response Body"], "Invalid bulk delete.")
        path = f"{self.account}?bulk-delete"
        self.assertEqual((await self.ask("DELETE", path)).status, 411)
        headers = {"content-type": "application/json"}
        self.assertEqual((await self.ask("DELETE", path, headers, body=b"[]")).status, 406)
        self.assertEqual((await self.ask("DELETE", path, body=b"c/o\n" * 10_001)).status, 413)


class RenderTests(FaceCase):
    def test_text(self) -> None:
        """Swift's lines, in its order."""
        outcome = Outcome(deleted=2, not_found=1)
        outcome.refuse("c/a b", 409)
        self.assertEqual(
            render("text/plain", outcome).decode(),
            "Number Deleted: 2\nNumber Not Found: 1\nResponse Body: \nResponse Status: 400 Bad Request\n"
            "Errors:\nc/a%20b, 409 Conflict\n",
        )

    def test_xml(self) -> None:
        """Swift's document."""
        outcome = Outcome(deleted=1)
        outcome.refuse("c/<&>", 403)
        root = ElementTree.fromstring(render("application/xml", outcome))
        self.assertEqual(root.tag, "delete")
        self.assertEqual(root.findtext("number_deleted"), "1")
        self.assertEqual(root.findtext("errors/object/status"), "403 Forbidden")
