# -*- test-case-name: tests.daemon.test_writers -*-
"""
Who may write a file besides root and one user, going by its mode, its group and its access list.

A umask of 002 leaves files writable by their group.  Where users have private groups (Debian's and Red Hat's way) that
is the user again; any other group may get members at any time, so it is refused whether it has some now or not.
"""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path

_ACCESS_LIST = "system.posix_acl_access"  # acl(5); for a file with one, the mode's bits of the group are its mask


class Writers:
    """
    What is trusted: root, and the user ``uid``.  Looks each group up once; make a new one for each check.
    """

    def __init__(self, uid: int) -> None:
        self._trusted = {0, uid}
        self._private: dict[int, bool] = {}

    def others(self, path: Path, facts: os.stat_result) -> str:
        """
        :param facts: what ``lstat`` said of ``path``
        :return: who else may write it by its mode, and what to do about that; empty: nobody
        """
        if stat.S_ISLNK(facts.st_mode):
            return ""  # its mode says nothing
        if facts.st_mode & stat.S_IWOTH:
            return "may be written by everyone: chmod o-w"
        if facts.st_mode & stat.S_IWGRP:
            if has_access_list(path):
                return "may be written by others by its access list: setfacl -b, or chmod g-w"
            if not self._is_private(facts.st_gid):
                return f"may be written by its group {_name_of(facts.st_gid)}: chmod g-w"
        return ""

    def _is_private(self, gid: int) -> bool:
        if gid not in self._private:
            self._private[gid] = any(is_private_group(gid, uid, self._trusted) for uid in self._trusted)
        return self._private[gid]


def is_private_group(gid: int, uid: int, trusted: set[int]) -> bool:
    """
    Whether a group is the private one of user ``uid``: it has his name, is his first group, and has no other members.

    :param trusted: users who are no others
    """
    try:
        user, group = pwd.getpwuid(uid), grp.getgrgid(gid)
        if user.pw_gid != gid or user.pw_name != group.gr_name:
            return False
        if not {pwd.getpwnam(member).pw_uid for member in group.gr_mem} <= trusted:
            return False
    except KeyError:  # somebody or something that the system does not know
        return False
    return {other.pw_uid for other in pwd.getpwall() if other.pw_gid == gid} <= trusted


def has_access_list(path: Path) -> bool:
    """Whether a file says more of who may do what than its mode does."""
    try:
        os.getxattr(path, _ACCESS_LIST, follow_symlinks=False)
    except OSError:
        return False  # there is none (ENODATA), or the file system knows none
    return True


def _name_of(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
