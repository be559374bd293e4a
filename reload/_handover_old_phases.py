# -*- test-case-name: tests.reload.test_handover_machines -*-
"""
The phases of a hand-over as the old process sees them.  Pure: inputs return what is to be done.

``greeting`` → ``rehearsing`` (a first batch is adopted and taken back) → ``deciding`` (nothing is frozen while the
owner makes its decision durable: the point of no return) → ``moving`` → ``supervised`` (all that can move has moved,
may come back, and what could not move follows) → ``lingering`` (the window is over, something has still to follow) →
``ended``.
``returning`` comes instead when connections are handed back.
"""

from __future__ import annotations

from typing import Protocol

from attrs import define
from automat import TypeMachineBuilder

from ._handover_effects import (
    AllMoved,
    AskDecision,
    CancelDecision,
    Effects,
    Finish,
    GiveNext,
    GoingBack,
    Rehearse,
    Send,
    misplaced,
    nothing,
)
from ._handover_messages import Abort, Decided, End, Moved, Return


class OldPhases(Protocol):
    """What can happen to the old process's side."""

    def greeted(self) -> Effects:
        """The new process can read what we write."""

    def refused(self, cause: str) -> Effects:
        """It cannot."""

    def rehearsed(self, now: float) -> Effects:
        """A first batch was adopted there, and taken back."""

    def decided(self) -> Effects:
        """The owner's decision is durable."""

    def declined(self, cause: str) -> Effects:
        """The owner decided against it."""

    def batch_over(self) -> Effects:
        """Another batch may begin."""

    def all_given(self, now: float) -> Effects:
        """All that can move now has moved."""

    def emptied(self) -> Effects:
        """Nothing is left here at all."""

    def ready(self) -> Effects:
        """Something that had to stay can follow, or has ended."""

    def ask_back(self, cause: str) -> Effects:
        """The owner wants everything back."""

    def return_announced(self, cause: str) -> Effects:
        """The new process hands everything back."""

    def returned(self) -> Effects:
        """All that could come back has come."""

    def timed_out(self) -> Effects:
        """The phase's deadline has passed."""

    def finish(self) -> Effects:
        """The owner needs the other process no longer."""

    def other_ended(self) -> Effects:
        """The other process said ``End``."""

    def fail(self, cause: str) -> Effects:
        """It cannot go on."""

    def aborted(self, cause: str) -> Effects:
        """The other process said ``Abort``."""

    def lost(self) -> Effects:
        """The link has ended."""


@define
class OldClock:
    """The deadline of the current phase, and how long phases may last (seconds)."""

    decision_s: float
    window_s: float
    deadline: float | None


_machine = TypeMachineBuilder(OldPhases, OldClock)
greeting = _machine.state("greeting")
rehearsing = _machine.state("rehearsing")
deciding = _machine.state("deciding")
moving = _machine.state("moving")
supervised = _machine.state("supervised")
lingering = _machine.state("lingering")
returning = _machine.state("returning")
ended = _machine.state("ended")
_before = (greeting, rehearsing, deciding)
_after = (moving, supervised, lingering, returning)
_alive = (*_before, *_after)
_all = (*_alive, ended)


# ---- before the point of no return


@greeting.upon(OldPhases.greeted).to(rehearsing)
def _greeted(_: OldPhases, clock: OldClock) -> Effects:
    clock.deadline = None
    return [Rehearse()]


@greeting.upon(OldPhases.refused).to(ended)
def _refused(_: OldPhases, clock: OldClock, cause: str) -> Effects:
    clock.deadline = None
    return [Send(Abort(cause)), Finish("refused", cause)]


@greeting.upon(OldPhases.timed_out).to(ended)
def _not_greeted(_: OldPhases, clock: OldClock) -> Effects:
    clock.deadline = None
    return [Send(Abort("no greeting came")), Finish("failed", "the new process did not greet in time")]


@rehearsing.upon(OldPhases.rehearsed).to(deciding)
def _rehearsed(_: OldPhases, clock: OldClock, now: float) -> Effects:
    clock.deadline = now + clock.decision_s
    return [AskDecision()]


@deciding.upon(OldPhases.timed_out).loop()
def _decision_late(_: OldPhases, clock: OldClock) -> Effects:
    clock.deadline = None
    return [CancelDecision()]


@deciding.upon(OldPhases.declined).to(ended)
def _declined(_: OldPhases, clock: OldClock, cause: str) -> Effects:
    clock.deadline = None
    return [Send(Abort(cause)), Finish("declined", cause)]


@deciding.upon(OldPhases.decided).to(moving)
def _decided(_: OldPhases, clock: OldClock) -> Effects:
    clock.deadline = None
    return [Send(Decided()), GiveNext()]


# ---- after it


@moving.upon(OldPhases.all_given).to(supervised)
def _all_given(_: OldPhases, clock: OldClock, now: float) -> Effects:
    clock.deadline = now + clock.window_s
    return [Send(Moved()), AllMoved()]


@supervised.upon(OldPhases.timed_out).to(lingering)
def _window_over(_: OldPhases, clock: OldClock) -> Effects:
    clock.deadline = None
    return [GiveNext()]  # which finds out whether anything is left


@lingering.upon(OldPhases.emptied).to(ended)
def _emptied(_: OldPhases, __: OldClock) -> Effects:
    return [Send(End()), Finish("moved")]


def _give_next(_: OldPhases, __: OldClock) -> Effects:
    return [GiveNext()]


for _state in (moving, supervised, lingering):
    _state.upon(OldPhases.batch_over).loop()(_give_next)
    _state.upon(OldPhases.ready).loop()(_give_next)

    @_state.upon(OldPhases.ask_back).to(returning)
    def _ask_back(_: OldPhases, clock: OldClock, cause: str) -> Effects:
        clock.deadline = None
        return [Send(Return(cause)), GoingBack(cause)]

    @_state.upon(OldPhases.return_announced).to(returning)
    def _return_announced(_: OldPhases, clock: OldClock, cause: str) -> Effects:
        clock.deadline = None
        return [GoingBack(cause)]


@returning.upon(OldPhases.returned).loop()
def _returned(_: OldPhases, __: OldClock) -> Effects:
    return [AllMoved()]


@returning.upon(OldPhases.other_ended).to(ended)
def _return_ended(_: OldPhases, __: OldClock) -> Effects:
    return [Finish("returned")]


@returning.upon(OldPhases.finish).to(ended)
def _finish_return(_: OldPhases, __: OldClock) -> Effects:
    return [Send(End()), Finish("returned")]


@supervised.upon(OldPhases.finish).to(ended)
@lingering.upon(OldPhases.finish).to(ended)
def _finish(_: OldPhases, clock: OldClock) -> Effects:
    clock.deadline = None
    return [Send(End()), Finish("moved")]


# ---- ends at any time


def _fail(_: OldPhases, clock: OldClock, cause: str) -> Effects:
    clock.deadline = None
    return [Send(Abort(cause)), Finish("failed", cause)]


def _fail_deciding(machine: OldPhases, clock: OldClock, cause: str) -> Effects:
    return [CancelDecision(), *_fail(machine, clock, cause)]


def _aborted(_: OldPhases, clock: OldClock, cause: str) -> Effects:
    clock.deadline = None
    return [CancelDecision(), Finish("aborted", cause)]


def _lost(_: OldPhases, clock: OldClock) -> Effects:
    clock.deadline = None
    return [CancelDecision(), Finish("lost", "the new process is gone")]


for _state in _alive:
    _state.upon(OldPhases.fail).to(ended)(_fail_deciding if _state is deciding else _fail)
    _state.upon(OldPhases.aborted).to(ended)(_aborted)
    _state.upon(OldPhases.lost).to(ended)(_lost)


# ---- what means nothing in a phase, and what has no place in it


def _elsewhere() -> None:
    """
    Messages of the other process that come too early or twice are violations; late ones cross with ours and mean
    nothing, as does all that reaches an ended session.
    """
    alive_but = lambda *states: [state for state in _alive if state not in states]  # noqa: E731
    for state in alive_but(greeting):
        state.upon(OldPhases.greeted).loop()(misplaced)
        state.upon(OldPhases.refused).loop()(misplaced)
    for state in alive_but(moving, supervised, lingering, returning):
        state.upon(OldPhases.return_announced).loop()(misplaced)
        state.upon(OldPhases.ask_back).loop()(nothing)
    for state in alive_but(returning):
        state.upon(OldPhases.returned).loop()(misplaced)
        state.upon(OldPhases.other_ended).loop()(misplaced)
    returning.upon(OldPhases.return_announced).loop()(nothing)
    returning.upon(OldPhases.ask_back).loop()(nothing)
    for state in alive_but(rehearsing):
        state.upon(OldPhases.rehearsed).loop()(nothing)
    for state in alive_but(deciding):
        state.upon(OldPhases.decided).loop()(nothing)
        state.upon(OldPhases.declined).loop()(nothing)
    for state in alive_but(greeting, deciding, supervised):
        state.upon(OldPhases.timed_out).loop()(nothing)
    for state in alive_but(moving, supervised, lingering):
        state.upon(OldPhases.batch_over).loop()(nothing)
        state.upon(OldPhases.ready).loop()(nothing)
    for state in alive_but(moving):
        state.upon(OldPhases.all_given).loop()(nothing)
    for state in alive_but(lingering):
        state.upon(OldPhases.emptied).loop()(nothing)
    for state in alive_but(supervised, lingering, returning):
        state.upon(OldPhases.finish).loop()(nothing)
    for happening in (
        OldPhases.greeted,
        OldPhases.refused,
        OldPhases.rehearsed,
        OldPhases.decided,
        OldPhases.declined,
        OldPhases.batch_over,
        OldPhases.all_given,
        OldPhases.emptied,
        OldPhases.ready,
        OldPhases.ask_back,
        OldPhases.return_announced,
        OldPhases.returned,
        OldPhases.timed_out,
        OldPhases.finish,
        OldPhases.other_ended,
        OldPhases.fail,
        OldPhases.aborted,
        OldPhases.lost,
    ):
        ended.upon(happening).loop()(nothing)


_elsewhere()
_build = _machine.build()


def old_phases(clock: OldClock) -> OldPhases:
    """The machine, at its beginning."""
    return _build(clock)
