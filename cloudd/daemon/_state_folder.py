# -*- test-case-name: tests.daemon.test_state_folder -*-
"""
The state folder: what lies where, and who may use it.

The anchor holds ``anchor.lock`` so that no second daemon starts; each worker holds a shared lock on ``workers.lock``,
so that after a kill of the anchor a new one can wait for the last workers of the old one.  Both are POSIX record
locks: they belong to a process, are not inherited, and name their owner.
"""

from __future__ import annotations

import fcntl
import os
import struct
from pathlib import Path

from attrs import frozen

_FLOCK = struct.Struct("hhqqi4x")  # struct flock on 64-bit Linux


class StateFolderError(Exception):
    """The state folder cannot be used; the text says why and what to do."""


@frozen
class StateFolder:
    """The places in one state folder."""

    path: Path

    @property
    def code(self) -> Path:
        """Copies of code trees by hash."""
        return self.path / "code"

    @property
    def secrets(self) -> Path:
        """Key files."""
        return self.path / "secrets"

    @property
    def log(self) -> Path:
        """Access log, audit log, and the daemon's own log when it runs in the background."""
        return self.path / "log"

    @property
    def run(self) -> Path:
        """Where running processes can be met."""
        return self.path / "run"

    @property
    def control_database(self) -> Path:
        return self.path / "cloud.sqlite"

    @property
    def object_index(self) -> Path:
        return self.path / "objects.sqlite"

    @property
    def control_socket(self) -> Path:
        return self.path / "control.sock"

    @property
    def clouds_file(self) -> Path:
        """``clouds.yaml`` for OpenStack clients."""
        return self.path / "clouds.yaml"

    @property
    def s3_file(self) -> Path:
        """Environment for S3 clients."""
        return self.path / "s3.env"

    @property
    def anchor_lock(self) -> Path:
        return self.path / "anchor.lock"

    @property
    def workers_lock(self) -> Path:
        return self.path / "workers.lock"

    def create(self) -> None:
        """
        Make the folder and those in it; safe to call again.

        :raises StateFolderError: it cannot be made or written, or belongs to someone else
        """
        try:
            for folder in (self.path, self.code, self.secrets, self.log, self.run):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            facts = self.path.stat()
            if facts.st_uid != os.geteuid():
                raise StateFolderError(
                    f"the state folder {self.path} belongs to user {facts.st_uid}, cloudd runs as user {os.geteuid()}: "
                    f"run it as that user, or name another folder with --state"
                )
            if facts.st_mode & 0o077:
                self.path.chmod(0o700)
        except OSError as error:
            raise StateFolderError(
                f"the state folder {self.path} cannot be used ({error.strerror}: {error.filename}): "
                f"name another one with --state"
            ) from error


class ProcessLock:
    """
    A lock on a file that ends with its process.

    :param path: made when missing
    :param shared: many processes may hold it at once
    :param descriptor: of a lock that this process holds since before it became other code (exec keeps the lock)
    """

    def __init__(self, path: Path, *, shared: bool, descriptor: int = -1) -> None:
        self._kind = fcntl.F_RDLCK if shared else fcntl.F_WRLCK
        # Never opened twice in one process: closing any descriptor of the file would drop the lock.
        self._descriptor = (
            descriptor if descriptor >= 0 else os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        )

    @property
    def descriptor(self) -> int:
        """The open file that the lock belongs to."""
        return self._descriptor

    def take(self) -> int:
        """
        Take the lock without waiting.

        :return: 0 when it is ours now, else the process id of one who holds it (-1: it was let go while we asked)
        """
        for _attempt in range(3):
            try:
                fcntl.fcntl(self._descriptor, fcntl.F_SETLK, _FLOCK.pack(self._kind, os.SEEK_SET, 0, 0, 0))
            except (BlockingIOError, PermissionError):
                asked = _FLOCK.pack(self._kind, os.SEEK_SET, 0, 0, 0)
                kind, *_rest, holder = _FLOCK.unpack(fcntl.fcntl(self._descriptor, fcntl.F_GETLK, asked))
                if kind != fcntl.F_UNLCK:
                    return int(holder)
            else:
                return 0
        return -1

    def release(self) -> None:
        """Let go; the object is not used again."""
        os.close(self._descriptor)
