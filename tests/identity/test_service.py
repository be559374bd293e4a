"""Identity as one thing."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from cloudd.identity import InvalidToken, Unauthorized
from tests.identity.house import House


class TokenLifeTests(TestCase):
    async def test_login_verify_revoke(self) -> None:
        """A token that was issued is served from the cache, verified elsewhere, and refused once revoked."""
        house = await House.built(self)
        identity = house.worker()
        issued = await house.demo(identity)
        self.assertEqual(issued.access.project_name, "demo")
        self.assertEqual(issued.access.role_names, {"member", "reader"})
        self.assertLess(len(issued.token), 256)
        self.assertEqual(await identity.authenticate_token(issued.token), issued.access)
        self.assertIs(identity.cached(issued.token), await identity.authenticate_token(issued.token))
        await identity.revoke(issued.access, issued.token)
        self.assertIsNone(identity.cached(issued.token))
        with self.assertRaises(InvalidToken):
            await identity.authenticate_token(issued.token)

    async def test_wrong_password(self) -> None:
        house = await House.built(self)
        identity = house.worker()
        with self.assertRaises(Unauthorized):
            await identity.authenticate(house.password_login("demo", password="wrong"))

    async def test_ec2(self) -> None:
        house = await House.built(self)
        found = await house.worker().ec2_access(house.login["ec2_access"])
        self.assertEqual(found.secret, house.login["ec2_secret"])
        self.assertEqual(found.access.project_id, house.login["demo_project_id"])

    async def test_tempauth(self) -> None:
        house = await House.built(self)
        identity = house.worker()
        by_password = await identity.tempauth("demo:demo", house.login["demo_password"])
        by_key = await identity.tempauth(house.login["ec2_access"], house.login["ec2_secret"])
        for issued in (by_password, by_key):
            access = await house.worker().authenticate_token(issued.token)
            self.assertEqual(access.project_id, house.login["demo_project_id"])
