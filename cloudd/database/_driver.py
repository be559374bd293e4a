# -*- test-case-name: tests.database.test_broken_driver -*-
"""
What differs between databases, and what a call may fail with whichever database it is.

**A server may go away**, a file may not.  A driver tells by ``is_lost`` that it was the connection which ended: what
was under way is undone, and another connection may work.  Only of a commit that is not known; so a driver whose
connections can be lost gives a ``ticket`` before, and tells afterwards, on another connection, what became of it.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol, TypeVar

from ._turn import Turn
from ._version import CommitWatch

Connection = TypeVar("Connection")

Fate = Literal["committed", "undone", "open", "unknown"]
"""Of a transaction whose connection was lost; ``open``: its commit is still under way."""


class DatabaseBusy(Exception):
    """
    Another process held the database too long, or more calls wait than ``WAITING_LIMIT``.

    Nothing of the refused call was written; it may be tried again.
    """


class DatabaseClosed(Exception):
    """The process is stopping: the database takes no more calls."""


class DatabaseAway(Exception):
    """
    The database server cannot be reached, or is no server that may be written to; the text names it and the cause.

    Nothing of the refused call was written; it may be tried again.
    """


class CommitUnknown(Exception):
    """
    The connection was lost while a commit was under way, and whether it counts cannot be told.

    It is not done again, since it may be done already: look before you repeat it.
    """


class Driver(Protocol[Connection]):
    """What differs between databases.  Every method is called in the thread that owns the connection."""

    def connect(self, *, writes: bool) -> Connection: ...

    def close(self, connection: Connection, /) -> None: ...

    def begin(self, connection: Connection, /, *, writes: bool) -> None: ...

    def commit(self, connection: Connection, /) -> None: ...

    def rollback(self, connection: Connection, /) -> None: ...

    def savepoint(self, connection: Connection, /) -> Any: ...

    def release(self, connection: Connection, savepoint: Any, /) -> None: ...

    def undo(self, connection: Connection, savepoint: Any, /) -> None: ...

    def is_busy(self, error: BaseException, /) -> bool: ...

    def turn(self) -> Turn | None:
        """What the writer holds when it begins, and alone for ``tend``; ``None``: the database needs no such thing."""

    def needs_tending(self) -> float | None:
        """``None``: ``tend`` has nothing to do; else how many seconds to try to have the turn alone for it."""

    def tend(self, connection: Connection, /) -> None:
        """After a commit and in the turn alone: what the database needs now and then."""

    def commit_watch(self) -> CommitWatch | None: ...

    def is_lost(self, error: BaseException, /) -> bool:
        """Whether it was the connection that failed: a call that did not come to its commit may run on another one."""

    def ticket(self, connection: Connection, /) -> Any:
        """What ``fate`` needs to know of the transaction that is about to be committed; asked each time, so cheap."""

    def fate(self, connection: Connection, ticket: Any, /) -> Fate:
        """
        What became of a transaction whose commit was not answered.

        :param connection: another one than it was on
        """
