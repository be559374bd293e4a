"""Who may write a file besides root and the daemon's user."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cloudd.daemon import _writers
from cloudd.daemon._writers import Writers, has_access_list

OWN, COMMON, OTHERS, SYSTEM, UNKNOWN = 1000, 100, 1001, 0, 4711


class Accounts:
    """The users and groups of a small host, as ``pwd`` and ``grp`` tell them."""

    def __init__(self) -> None:
        self.users = [self.user("root", 0, SYSTEM), self.user("ann", 1000, OWN), self.user("bob", 1001, OTHERS)]
        self.members: dict[int, list[str]] = {OWN: [], COMMON: [], OTHERS: [], SYSTEM: []}
        self.names = {OWN: "ann", COMMON: "users", OTHERS: "bob", SYSTEM: "root"}

    @staticmethod
    def user(name: str, uid: int, gid: int) -> Any:
        return SimpleNamespace(pw_name=name, pw_uid=uid, pw_gid=gid)

    def getpwall(self) -> list[Any]:
        return self.users

    def getpwuid(self, uid: int) -> Any:
        return {user.pw_uid: user for user in self.users}[uid]

    def getpwnam(self, name: str) -> Any:
        return {user.pw_name: user for user in self.users}[name]

    def getgrgid(self, gid: int) -> Any:
        return SimpleNamespace(gr_name=self.names[gid], gr_mem=self.members[gid])


class GroupTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.accounts = Accounts()
        self.patch(_writers, "pwd", self.accounts)
        self.patch(_writers, "grp", self.accounts)
        self.path = Path(self.mktemp())
        self.path.touch()

    def others(self, gid: int, mode: int = 0o100664, uid: int = 1000) -> str:
        facts = os.stat_result((mode, 0, 0, 1, uid, gid, 0, 0, 0, 0))
        return Writers(uid).others(self.path, facts)

    def test_private_groups(self) -> None:
        """The group of the daemon's user alone, and root's, are no others; a member that may write anyway is none."""
        for gid in (OWN, SYSTEM):
            self.assertEqual(self.others(gid), "")
        self.accounts.members[OWN] = ["ann", "root"]
        self.assertEqual(self.others(OWN), "")

    def test_groups_with_others(self) -> None:
        """Another user's group, a common one, one that nobody knows: the refusal names group and remedy."""
        for gid, name in ((OTHERS, "bob"), (COMMON, "users")):
            self.assertEqual(self.others(gid), f"may be written by its group {name}: chmod g-w")
        self.accounts.names.pop(COMMON)
        self.assertIn("group 100:", self.others(COMMON))

    def test_members(self) -> None:
        """A private group is private no more when it has another member, of whatever kind, or one that is unknown."""
        for members in (["bob"], ["ann", "bob"], ["nobody knows him"]):
            self.accounts.members[OWN] = members
            self.assertIn("group ann", self.others(OWN))
        self.accounts.members[OWN] = []
        self.accounts.users.append(self.accounts.user("eve", 1002, OWN))
        self.assertIn("group ann", self.others(OWN))

    def test_first_group_of_another_name(self) -> None:
        """The first group that a user shares is not private, though nobody else is known to be in it."""
        self.accounts.users[1] = self.accounts.user("ann", 1000, COMMON)
        self.assertIn("group users", self.others(COMMON))

    def test_a_user_that_the_system_does_not_know(self) -> None:
        """As in some containers: his group is anybody's."""
        self.assertIn("group ann", self.others(OWN, uid=UNKNOWN))
        self.assertEqual(self.others(SYSTEM, uid=UNKNOWN), "")

    def test_modes(self) -> None:
        """Everyone comes first; what the group may only read does no harm; the mode of a link says nothing."""
        self.assertIn("everyone", self.others(OWN, 0o100666))
        self.assertEqual(self.others(COMMON, 0o100644), "")
        self.assertEqual(self.others(COMMON, 0o120777), "")

    def test_access_list(self) -> None:
        """With an access list the bits of the group are those of all whom it names."""
        self.patch(_writers, "has_access_list", lambda path: path == self.path)
        self.assertIn("access list", self.others(OWN))
        self.assertEqual(self.others(OWN, 0o100644), "")


class AccessListTests(SynchronousTestCase):
    def test_found(self) -> None:
        """A list that names another user is seen, where the file system takes one."""
        path = Path(self.mktemp())
        path.touch(mode=0o600)
        self.assertFalse(has_access_list(path))
        self.assertFalse(has_access_list(path / "nowhere"))
        nobody = 0xFFFFFFFF
        entries = [(0x01, 6, nobody), (0x02, 6, 4711), (0x04, 0, nobody), (0x10, 6, nobody), (0x20, 0, nobody)]
        plain = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
        try:
            os.setxattr(path, "system.posix_acl_access", plain)
        except OSError:
            self.assertFalse(has_access_list(path))
        else:
            self.assertTrue(has_access_list(path))
            self.assertTrue(path.stat().st_mode & 0o020)
