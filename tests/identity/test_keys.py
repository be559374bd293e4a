"""Folders of keys: made once, rotated by adding a file."""

from __future__ import annotations

from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken
from twisted.internet.defer import succeed
from twisted.trial.unittest import TestCase

from cloudd.identity import IdentityUnavailable
from cloudd.identity._keys import Keys, create_keys, load_keys


class AtOnce:
    """``Threads`` that runs where it stands."""

    def run(self, function, /, *args, **kwargs):  # type: ignore[no-untyped-def]
        return succeed(function(*args, **kwargs))


class KeyTests(TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())

    def add(self, name: str) -> None:
        (self.folder / name).write_bytes(Fernet.generate_key())

    def test_made_once(self) -> None:
        """The first key is private to its owner, and a second call keeps it."""
        create_keys(self.folder)
        key = (self.folder / "1").read_bytes()
        create_keys(self.folder)
        self.assertEqual([file.name for file in self.folder.iterdir()], ["1"])
        self.assertEqual((self.folder / "1").read_bytes(), key)
        self.assertEqual((self.folder / "1").stat().st_mode & 0o777, 0o600)
        self.assertEqual(self.folder.stat().st_mode & 0o777, 0o700)

    def test_rotation(self) -> None:
        """The highest number seals, all open; other files in the folder are no keys."""
        create_keys(self.folder)
        old = load_keys(self.folder)
        for name in ("0", "2", "10", "README", ".new-1"):
            self.add(name)
        new = load_keys(self.folder)
        self.assertEqual([number for number, _ in new.marks], [10, 2, 1, 0])
        staged = Fernet((self.folder / "0").read_bytes())
        self.assertEqual(new.fernet.decrypt(staged.encrypt(b"x")), b"x")
        self.assertEqual(new.fernet.decrypt(old.fernet.encrypt(b"x")), b"x")
        with self.assertRaises(InvalidToken):
            old.fernet.decrypt(new.fernet.encrypt(b"x"))
        newest = Fernet((self.folder / "10").read_bytes())
        self.assertEqual(newest.decrypt(new.fernet.encrypt(b"x")), b"x")

    def test_unreadable(self) -> None:
        """No folder, no key and a broken key each say so."""
        self.assertRaises(IdentityUnavailable, load_keys, self.folder)
        self.folder.mkdir()
        self.assertRaises(IdentityUnavailable, load_keys, self.folder)
        (self.folder / "1").write_text("no key")
        self.assertRaises(IdentityUnavailable, load_keys, self.folder)

    async def test_read_again(self) -> None:
        """Keys are kept until they are read again; a change is told."""
        create_keys(self.folder)
        keys = Keys(self.folder, AtOnce())
        first = await keys.ring()
        self.assertFalse(await keys.read_again())
        self.assertIs(await keys.ring(), first)
        self.add("2")
        self.assertIs(await keys.ring(), first)
        self.assertTrue(await keys.read_again())
        self.assertEqual(len((await keys.ring()).marks), 2)
