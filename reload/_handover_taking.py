# -*- test-case-name: tests.reload.test_handover_machines -*-
"""
The life of one batch at its taker: collected, held, then resumed or dropped.  Pure, as ``_handover_giving``.

Nothing is served before ``Commit``, with one exception: when the giver has died, its ledger tells what it had not taken
back, and that is served here, since nobody else can.
"""

from __future__ import annotations

from typing import Protocol

from attrs import define
from automat import TypeMachineBuilder

from ._handover_effects import Adopt, AnswerPrepared, Drop, Effects, Fail, Resume, TakeOrphans
from ._handover_messages import MAX_BATCH, Commit, Discard, Prepare


class Taking(Protocol):
    """What can happen to the taker of a batch."""

    def part(self, part: Prepare, now: float) -> Effects:
        """A part of a batch, not its last."""

    def last_part(self, part: Prepare, now: float) -> Effects:
        """The last part of a batch."""

    def commit(self, message: Commit) -> Effects:
        """The batch is ours."""

    def discard(self) -> Effects:
        """The giver goes on with the batch."""

    def timed_out(self) -> Effects:
        """The giver has been silent for too long."""

    def give_up(self) -> Effects:
        """The session ends."""

    def lost(self) -> Effects:
        """The link has ended: the giver is dead, or goes on with what it has marked so."""


@define
class Held:
    """What the taker knows of the batch under way."""

    hold_s: float
    number: int = 0
    slots: tuple[int, ...] = ()
    deadline: float | None = None

    def take(self, part: Prepare, now: float) -> Effects:
        """Adopt one part."""
        if part.batch != self.number:
            self.number, self.slots = part.batch, ()
        self.slots += tuple(item.slot for item in part.items)
        self.deadline = now + self.hold_s
        return [Adopt(part)]


_machine = TypeMachineBuilder(Taking, Held)
_idle = _machine.state("idle")
_collecting = _machine.state("collecting")
_held = _machine.state("held")  # all adopted, paused, and said so


@_idle.upon(Taking.part).to(_collecting)
@_collecting.upon(Taking.part).loop()
def _part(_: Taking, held: Held, part: Prepare, now: float) -> Effects:
    return held.take(part, now)


@_idle.upon(Taking.last_part).to(_held)
@_collecting.upon(Taking.last_part).to(_held)
def _last_part(_: Taking, held: Held, part: Prepare, now: float) -> Effects:
    return [*held.take(part, now), AnswerPrepared(held.number)]


@_held.upon(Taking.commit).to(_idle)
def _commit(_: Taking, held: Held, message: Commit) -> Effects:
    held.deadline = None
    return [Resume(held.number, message.withdrawn)]


@_collecting.upon(Taking.discard).to(_idle)
@_held.upon(Taking.discard).to(_idle)
@_collecting.upon(Taking.give_up).to(_idle)
@_held.upon(Taking.give_up).to(_idle)
def _drop(_: Taking, held: Held) -> Effects:
    held.deadline = None
    return [Drop(held.number)]


@_collecting.upon(Taking.timed_out).to(_idle)
@_held.upon(Taking.timed_out).to(_idle)
def _timed_out(_: Taking, held: Held) -> Effects:
    held.deadline = None
    return [Drop(held.number), Fail(f"batch {held.number} was offered and neither given nor taken back")]


@_collecting.upon(Taking.lost).to(_idle)
@_held.upon(Taking.lost).to(_idle)
def _lost(_: Taking, held: Held) -> Effects:
    held.deadline = None
    return [TakeOrphans(held.number)]


# ---- what has no place


@_held.upon(Taking.part).loop()
@_held.upon(Taking.last_part).loop()
def _part_misplaced(_: Taking, held: Held, part: Prepare, now: float) -> Effects:
    return [Fail(f"batch {part.batch} was offered while batch {held.number} is held")]


@_idle.upon(Taking.commit).loop()
@_collecting.upon(Taking.commit).loop()
def _commit_misplaced(_: Taking, __: Held, message: Commit) -> Effects:
    return [Fail(f"batch {message.batch} was given and is not held here")]


@_idle.upon(Taking.discard).loop()
def _discard_misplaced(_: Taking, __: Held) -> Effects:
    return [Fail("a batch was taken back that is not held here")]


@_idle.upon(Taking.timed_out).loop()
@_idle.upon(Taking.give_up).loop()
@_idle.upon(Taking.lost).loop()
def _nothing_under_way(_: Taking, __: Held) -> Effects:
    return []


_build = _machine.build()


class Taker:
    """
    The machine, and the checks of what the giver says.

    :param hold_s: longest that a batch is held paused for a giver that keeps silent
    """

    def __init__(self, hold_s: float) -> None:
        self._held = Held(hold_s)
        self.machine: Taking = _build(self._held)

    @property
    def deadline(self) -> float | None:
        """When ``tick`` does something next."""
        return self._held.deadline

    def prepare(self, part: Prepare, now: float) -> Effects:
        """The giver offers ``part``."""
        held = self._held
        if held.deadline is not None and part.batch != held.number:
            return [Fail(f"batch {part.batch} was offered during batch {held.number}")]
        if held.deadline is None and part.batch <= held.number:
            return [Fail(f"batch {part.batch} was offered after batch {held.number}")]
        slots = [item.slot for item in part.items]
        known = held.slots if part.batch == held.number else ()
        if len(set(slots)) != len(slots) or set(slots) & set(known) or len(slots) > MAX_BATCH:
            return [Fail(f"batch {part.batch} has one slot twice")]
        return self.machine.last_part(part, now) if part.last else self.machine.part(part, now)

    def commit(self, message: Commit) -> Effects:
        """The giver says ``message``."""
        unknown = set(message.withdrawn) - set(self._held.slots)
        if message.batch != self._held.number or unknown:
            return [Fail(f"batch {message.batch} was given, and not held here as it was")]
        return self.machine.commit(message)

    def discard(self, message: Discard) -> Effects:
        """The giver says ``message``."""
        if message.batch != self._held.number:
            return [Fail(f"batch {message.batch} was taken back and is not held here")]
        return self.machine.discard()

    def tick(self, now: float) -> Effects:
        """It is ``now``."""
        deadline = self._held.deadline
        return self.machine.timed_out() if deadline is not None and now >= deadline else []
