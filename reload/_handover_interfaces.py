# -*- test-case-name: tests.reload.test_handover_exchange -*-
"""
What an application brings to a hand-over: things that can move, and a place where they are adopted.

Words: the **giver** has a connection, the **taker** gets it.  A movable is **frozen** while it is offered; the giver
then either **thaws** it (nothing has happened) or **releases** it (the taker serves it).  A connection is *served* by
one process at any time, though both hold a descriptor of it for a moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum

from attrs import frozen
from zope.interface import Attribute, Interface

from ._snapshot import Snapshot


class HandoverError(Exception):
    """Base of what can go wrong in a hand-over."""


class BadFrame(HandoverError):
    """The other process sent bytes that are no frame of this protocol, or too many."""


class ProtocolViolation(HandoverError):
    """The other process sent a message that has no place here; the hand-over ends."""


class Incompatible(HandoverError):
    """The two processes cannot read each other's state.  Nothing has been touched; each cause names a kind."""

    def __init__(self, causes: Sequence[str]) -> None:
        super().__init__("; ".join(causes))
        self.causes = tuple(causes)


class Reason(Enum):
    """
    Why a connection stays with its process for now; the value is the sentence for the operator.

    ``BUSY``, ``OUTPUT`` and ``TOO_LARGE`` pass by themselves: the application says ``ready(movable)`` when they have.
    """

    BUSY = "the application's work on it cannot be told as data; it follows when that work has ended"
    OUTPUT = "what it has still to send cannot be told as data; it follows when that is sent"
    TOO_LARGE = "its snapshot is larger than a message may be; it follows when it has become smaller"
    CLOSING = "it is being closed"
    TRANSPORT = "its transport cannot be moved (TLS inside the process, for example); it ends here"
    CHANGED = "it changed again and again while it was offered"
    REFUSED = "the other process could not adopt it"
    FAILED = "freezing it or taking its snapshot raised an error; the log has it"


class NotMovable(HandoverError):
    """This movable stays for now; see ``Reason``."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason, self.detail = reason, detail


@frozen
class Offer:
    """
    All that another process needs to go on with one thing.

    :param descriptors: open descriptors, the connection's first; they stay the giver's until ``release``
    """

    snapshot: Snapshot
    descriptors: tuple[int, ...]


class IMovable(Interface):
    """
    Something that can go to another process.  Equal (``==``) movables are the same thing.

    After ``freeze`` nothing is read, written or closed, and the application does nothing by itself (timers are held),
    until exactly one of ``thaw`` and ``release`` is called.
    """

    def freeze() -> None:
        """Stop at once, in a way that can be undone.  :raises NotMovable: not now; nothing has changed"""

    def offer() -> Offer:
        """
        State and descriptors, of a frozen movable.  Changes nothing: a ``thaw`` may follow.

        :raises NotMovable: not now; ``thaw`` follows
        """

    def changed() -> bool:
        """Whether a frozen movable is no longer what ``offer`` told, since the application did not hold still."""

    def thaw() -> None:
        """Go on as if nothing had happened, here."""

    def release() -> None:
        """
        The other process serves it: close the descriptors without shutdown(2), forget it, tell the application's
        client-facing code nothing (no ``connectionLost``).
        """


class IAdopted(Interface):
    """One thing that was adopted and is not served here yet."""

    def resume() -> None:
        """From now on it is served here."""

    def discard() -> None:
        """The giver goes on with it: close our descriptors without shutdown(2), as if we had never had it."""


class IAdopter(Interface):
    """Where movables arrive."""

    versions: Mapping[str, int] = Attribute("For each kind that is taken the version of its snapshots.")

    def adopt(snapshot: Snapshot, descriptors: Sequence[int]) -> IAdopted:
        """
        Make a thing out of its snapshot, not served yet: nothing is read, written or told to the application's clients.

        :param snapshot: of a kind in ``versions`` and of that version
        :param descriptors: the adopted thing's own when this returns; when it raises, the caller closes them
        :raises Exception: anything, for example ``OSError`` (ENOTCONN: the client has left).  The giver keeps it.
        """
