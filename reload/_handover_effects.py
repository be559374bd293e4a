"""
What the machines of a hand-over want done.  The machines are pure: inputs return a list of these, in order.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from attrs import frozen

from ._handover_interfaces import Reason
from ._handover_messages import Message, Prepare


@frozen
class Send:
    """Send a message without descriptors."""

    message: Message


@frozen
class SendItems:
    """Write ``OFFERED`` into the ledger for the whole batch, then send it with its descriptors."""

    batch: int


@frozen
class Thaw:
    """Write ``TAKEN_BACK`` for each slot, then thaw them.  ``reasons``: why one stays for longer."""

    batch: int
    slots: tuple[int, ...]
    reasons: dict[int, tuple[Reason, str]]


@frozen
class Release:
    """The taker serves these."""

    batch: int
    slots: tuple[int, ...]


@frozen
class Reclaim:
    """The taker is gone after ``Commit``: thaw what it had not resumed by the ledger, release what it had."""

    batch: int
    slots: tuple[int, ...]


@frozen
class Adopt:
    """Adopt the things of one part of a batch, paused; remember which are refused."""

    part: Prepare


@frozen
class AnswerPrepared:
    """Tell the giver that the batch is adopted, and what of it was refused."""

    batch: int


@frozen
class Resume:
    """Discard ``withdrawn``; write ``RESUMED`` for each of the others, resume it; answer ``Committed``."""

    batch: int
    withdrawn: tuple[int, ...]


@frozen
class Drop:
    """Discard all that is adopted and not resumed."""

    batch: int


@frozen
class TakeOrphans:
    """The giver is gone: resume what it had not taken back by the ledger, discard what it had."""

    batch: int


@frozen
class BatchOver:
    """The giver may begin another batch.  ``rehearsal``: one that was adopted for a try."""

    batch: int
    rehearsal: bool


@frozen
class Fence:
    """
    The other process must end, or close its end of the link, before anyone can tell who serves the batch.

    Until then the batch is frozen here.
    """

    cause: str


@frozen
class Fail:
    """The session cannot go on."""

    cause: str


@frozen
class Rehearse:
    """Offer a first batch which is taken back once it was adopted."""


@frozen
class AskDecision:
    """Ask the owner for its durable decision."""


@frozen
class CancelDecision:
    """The decision takes too long: cancel it.  Its owner's answer counts all the same."""


@frozen
class GiveNext:
    """Offer the next batch, or say that there is none."""


@frozen
class Accept:
    """New side: the decision was taken; begin to accept on the listening sockets."""


@frozen
class AllMoved:
    """All that could go has gone; more may follow."""


@frozen
class GoingBack:
    """The other direction begins."""

    cause: str


@frozen
class Finish:
    """The session is over: close the link once no batch is in doubt."""

    ending: str
    cause: str = ""


@frozen
class Close:
    """Close the link, unless a batch is in doubt."""


Effect: TypeAlias = (
    Send
    | SendItems
    | Thaw
    | Release
    | Reclaim
    | Adopt
    | AnswerPrepared
    | Resume
    | Drop
    | TakeOrphans
    | BatchOver
    | Fence
    | Fail
    | Rehearse
    | AskDecision
    | CancelDecision
    | GiveNext
    | Accept
    | AllMoved
    | GoingBack
    | Finish
    | Close
)
Effects: TypeAlias = list[Effect]


def nothing(*_: Any, **__: Any) -> Effects:
    """For an input that means nothing in a state."""
    return []


def misplaced(*_: Any, **__: Any) -> Effects:
    """For a message of the other process that has no place in a state."""
    return [Fail("a message came that has no place in this phase")]
