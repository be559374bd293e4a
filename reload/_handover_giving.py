# -*- test-case-name: tests.reload.test_handover_machines -*-
"""
The life of one batch at its giver: offered, then given or taken back.  Pure: time is an input, deeds are returned.

Up to ``Commit`` every trouble is a thaw.  From ``Commit`` on the batch is the taker's: a taker that keeps silent must
be ended by someone (``Fence``) before its ledger tells which connections it had not begun to serve; those come back.
"""

from __future__ import annotations

import errno
from typing import Protocol

from attrs import define
from automat import TypeMachineBuilder

from ._handover_effects import BatchOver, Effects, Fail, Fence, Reclaim, Release, Send, SendItems, Thaw
from ._handover_interfaces import Reason
from ._handover_messages import Commit, Committed, Discard, Prepared

Slots = tuple[int, ...]


class Giving(Protocol):
    """What can happen to the giver of a batch."""

    def offer(self, slots: Slots, rehearsal: bool, now: float) -> Effects:
        """These are frozen and told."""

    def rehearsed(self) -> Effects:
        """The taker has adopted a batch that was offered for a try."""

    def prepared(self, refused: dict[int, str], changed: Slots, now: float) -> Effects:
        """The taker has adopted the batch but for ``refused``; ``changed`` slots did not hold still meanwhile."""

    def committed(self) -> Effects:
        """The taker serves the batch."""

    def timed_out(self) -> Effects:
        """The taker did not answer in time."""

    def give_up(self, cause: str) -> Effects:
        """The session ends."""

    def lost(self) -> Effects:
        """The link has ended: the taker is dead, or has dropped all that it does not serve."""


@define
class Batch:
    """
    What the giver knows of the batch under way.

    :ivar number: of the batch, from 1
    :ivar deadline: when ``timed_out`` is due
    """

    prepare_s: float
    commit_s: float
    number: int = 0
    slots: Slots = ()
    rehearsal: bool = False
    deadline: float | None = None
    in_doubt: bool = False

    def take_back(self, cause: str, rehearsal: bool = False) -> Effects:
        """Nothing has happened to anyone.  The ledger first: what is said is true then, whoever dies in between."""
        self.deadline = None
        thaw = Thaw(self.number, self.slots, {})
        return [thaw, Send(Discard(self.number, cause)), BatchOver(self.number, rehearsal)]


_machine = TypeMachineBuilder(Giving, Batch)
_idle = _machine.state("idle")
_offered = _machine.state("offered")  # frozen here, being adopted there
_given = _machine.state("given")  # Commit is on its way: the taker's, as soon as it says so to the ledger


@_idle.upon(Giving.offer).to(_offered)
def _offer(_: Giving, batch: Batch, slots: Slots, rehearsal: bool, now: float) -> Effects:
    batch.number += 1
    batch.slots, batch.rehearsal = slots, rehearsal
    batch.deadline = now + batch.prepare_s
    return [SendItems(batch.number)]


@_offered.upon(Giving.rehearsed).to(_idle)
def _rehearsed(_: Giving, batch: Batch) -> Effects:
    return batch.take_back("rehearsal", rehearsal=True)


@_offered.upon(Giving.prepared).to(_given)
def _prepared(_: Giving, batch: Batch, refused: dict[int, str], changed: Slots, now: float) -> Effects:
    reasons = {slot: (Reason.REFUSED, cause) for slot, cause in refused.items()}
    withdrawn = tuple(slot for slot in changed if slot not in reasons)
    reasons |= dict.fromkeys(withdrawn, (Reason.CHANGED, ""))
    batch.slots = tuple(slot for slot in batch.slots if slot not in reasons)
    batch.deadline = now + batch.commit_s
    batch.in_doubt = True
    return [Thaw(batch.number, tuple(reasons), reasons), Send(Commit(batch.number, withdrawn))]


@_given.upon(Giving.committed).to(_idle)
def _committed(_: Giving, batch: Batch) -> Effects:
    batch.deadline = None
    batch.in_doubt = False
    return [Release(batch.number, batch.slots), BatchOver(batch.number, rehearsal=False)]


# ---- trouble


@_offered.upon(Giving.timed_out).to(_idle)
def _prepare_timed_out(_: Giving, batch: Batch) -> Effects:
    cause = f"batch {batch.number} was not adopted within {batch.prepare_s:g} s"
    return [*batch.take_back(cause), Fail(cause)]


@_given.upon(Giving.timed_out).loop()
def _commit_timed_out(_: Giving, batch: Batch) -> Effects:
    batch.deadline = None
    return [Fence(f"batch {batch.number} was not confirmed within {batch.commit_s:g} s")]


@_offered.upon(Giving.give_up).to(_idle)
def _given_up(_: Giving, batch: Batch, cause: str) -> Effects:
    return batch.take_back(cause)


@_offered.upon(Giving.lost).to(_idle)
def _lost_before(_: Giving, batch: Batch) -> Effects:
    return batch.take_back("the link has ended")


@_given.upon(Giving.lost).to(_idle)
def _lost_in_doubt(_: Giving, batch: Batch) -> Effects:
    batch.deadline = None
    batch.in_doubt = False
    return [Reclaim(batch.number, batch.slots), BatchOver(batch.number, rehearsal=False)]


# ---- what has no place


@_idle.upon(Giving.rehearsed).loop()
@_given.upon(Giving.rehearsed).loop()
def _rehearsed_misplaced(_: Giving, __: Batch) -> Effects:
    return [Fail("a batch was answered that was not offered")]


@_idle.upon(Giving.prepared).loop()
@_given.upon(Giving.prepared).loop()
def _prepared_misplaced(_: Giving, __: Batch, refused: dict[int, str], changed: Slots, now: float) -> Effects:
    return [Fail("a batch was answered that was not offered")]


@_idle.upon(Giving.committed).loop()
@_offered.upon(Giving.committed).loop()
def _committed_misplaced(_: Giving, __: Batch) -> Effects:
    return [Fail("a batch was confirmed that was not given")]


@_idle.upon(Giving.timed_out).loop()
@_idle.upon(Giving.lost).loop()
def _nothing_under_way(_: Giving, __: Batch) -> Effects:
    return []


@_idle.upon(Giving.give_up).loop()
@_given.upon(Giving.give_up).loop()  # not ours to take back: its own deadline goes on
def _nothing_to_give_up(_: Giving, __: Batch, cause: str) -> Effects:
    return []


_build = _machine.build()


_CLIENT_LEFT = f"[Errno {errno.ENOTCONN}]"  # of an ``OSError``: its client has left; that says nothing of the taker


class Giver:
    """
    The machine, and the checks of what the taker answers.

    :param prepare_s: longest wait for ``Prepared``
    :param commit_s: longest wait for ``Committed``
    """

    def __init__(self, prepare_s: float, commit_s: float) -> None:
        self._batch = Batch(prepare_s, commit_s)
        self.machine: Giving = _build(self._batch)

    @property
    def deadline(self) -> float | None:
        """When ``tick`` does something next."""
        return self._batch.deadline

    @property
    def in_doubt(self) -> bool:
        """Whether a batch was given and not confirmed: the link must stay open."""
        return self._batch.in_doubt

    def prepared(self, answer: Prepared, changed: Slots, now: float) -> Effects:
        """The taker says ``answer``."""
        wrong = self._wrong(answer.batch, tuple(answer.refused))
        if wrong is not None:
            return [Fail(wrong)]
        if self._batch.rehearsal:
            refusals = [cause for cause in answer.refused.values() if _CLIENT_LEFT not in cause]
            if refusals:
                return [
                    Fail(f"{len(refusals)} of {len(self._batch.slots)} could not be adopted for a try: {refusals[0]}")
                ]
            return self.machine.rehearsed()
        return self.machine.prepared(answer.refused, changed, now)

    def committed(self, answer: Committed) -> Effects:
        """The taker says ``answer``."""
        wrong = self._wrong(answer.batch, answer.failed)
        return [Fail(wrong)] if wrong is not None else self.machine.committed()

    def tick(self, now: float) -> Effects:
        """It is ``now``."""
        deadline = self._batch.deadline
        return self.machine.timed_out() if deadline is not None and now >= deadline else []

    def _wrong(self, number: int, slots: Slots) -> str | None:
        if number != self._batch.number:
            return f"an answer came for batch {number} during batch {self._batch.number}"
        unknown = set(slots) - set(self._batch.slots)
        return f"an answer names slots {sorted(unknown)} that were not offered" if unknown else None
