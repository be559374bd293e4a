"""Passwords of servers."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import TestCase

from cloudd.compute import ComputeConflict, ServerPasswords, new_password
from cloudd.identity import create_keys
from tests.protocols.rest.identity.cloud import InlineThreads


class PasswordTests(TestCase):
    def setUp(self) -> None:
        self.secrets = Path(self.mktemp())
        self.secrets.mkdir()

    async def test_kept(self) -> None:
        """What one worker seals another opens, and so does one that has been running since before a new key came."""
        one, other = (ServerPasswords(self.secrets, InlineThreads()) for _ in range(2))
        sealed = await one.seal("geheim \u00e4")
        self.assertNotIn("geheim", sealed)
        self.assertEqual(await other.open(sealed), "geheim \u00e4")
        create_keys(self.secrets / "next")
        (self.secrets / "next" / "1").rename(self.secrets / "servers" / "2")
        newer = await ServerPasswords(self.secrets, InlineThreads()).seal("x")
        self.assertEqual(await other.open(newer), "x")
        self.assertEqual((self.secrets / "servers").stat().st_mode & 0o777, 0o700)

    async def test_lost_keys(self) -> None:
        """Say so."""
        sealed = await ServerPasswords(self.secrets, InlineThreads()).seal("x")
        (self.secrets / "servers" / "1").unlink()
        create_keys(self.secrets / "servers")
        with self.assertRaises(ComputeConflict):
            await ServerPasswords(self.secrets, InlineThreads()).open(sealed)

    def test_new(self) -> None:
        """No two alike."""
        self.assertEqual(len({new_password() for _ in range(100)}), 100)
        self.assertEqual(len(new_password()), 12)
