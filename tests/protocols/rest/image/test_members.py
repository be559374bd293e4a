"""Sharing images."""

from __future__ import annotations

from .cloud import ADMIN, ALICE, BOB, ImageCase


class MemberTests(ImageCase):
    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.image = await self.made(name="lent")
        self.path = f"/images/{self.image['id']}"

    async def test_life(self) -> None:
        """Shared, seen, accepted, listed, and taken away again."""
        await self.refused(404, BOB, "GET", self.path)
        member = await self.good(200, ALICE, "POST", f"{self.path}/members", {"member": "p2"})
        facts = {name: member[name] for name in ("image_id", "member_id", "status", "schema")}
        self.assertEqual(
            facts,
            {"image_id": self.image["id"], "member_id": "p2", "status": "pending", "schema": "/v2/schemas/member"},
        )
        await self.good(200, BOB, "GET", self.path)
        self.assertEqual(await self.names(BOB), [])
        self.assertEqual(await self.names(BOB, "?member_status=pending&visibility=shared"), ["lent"])
        accepted = await self.good(200, BOB, "PUT", f"{self.path}/members/p2", {"status": "accepted"})
        self.assertEqual(accepted["status"], "accepted")
        self.assertEqual(await self.names(BOB), ["lent"])
        listed = await self.good(200, ALICE, "GET", f"{self.path}/members")
        self.assertEqual([each["member_id"] for each in listed["members"]], ["p2"])
        await self.good(204, ALICE, "DELETE", f"{self.path}/members/p2")
        await self.refused(404, BOB, "GET", self.path)

    async def test_refused(self) -> None:
        """Each for its reason."""
        members = f"{self.path}/members"
        await self.good(200, ALICE, "POST", members, {"member": "p2"})
        await self.refused(409, ALICE, "POST", members, {"member": "p2"})
        await self.refused(400, ALICE, "POST", members, {"member": ""})
        await self.refused(400, ALICE, "POST", members, {"who": "p2"})
        await self.refused(403, BOB, "POST", members, {"member": "p3"})
        await self.refused(403, BOB, "DELETE", f"{members}/p2")
        await self.refused(403, ALICE, "PUT", f"{members}/p2", {"status": "accepted"})
        await self.refused(400, BOB, "PUT", f"{members}/p2", {"status": "perhaps"})
        await self.refused(404, ALICE, "GET", f"{members}/p3")
        await self.refused(404, ALICE, "DELETE", f"{members}/p3")
        private = await self.made(visibility="private")
        await self.refused(403, ALICE, "POST", f"/images/{private['id']}/members", {"member": "p2"})

    async def test_who_sees_members(self) -> None:
        """The owner all of them, a member itself."""
        for project in ("p2", "p3"):
            await self.good(200, ALICE, "POST", f"{self.path}/members", {"member": project})
        for who, seen in {ALICE: ["p2", "p3"], ADMIN: ["p2", "p3"], BOB: ["p2"]}.items():
            listed = await self.good(200, who, "GET", f"{self.path}/members")
            self.assertEqual([each["member_id"] for each in listed["members"]], seen, who)
        await self.refused(404, BOB, "GET", f"{self.path}/members/p3")
