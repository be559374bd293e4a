# -*- test-case-name: tests.reload.test_handover_machines -*-
"""
The phases of a hand-over as the new process sees them.  Pure: inputs return what is to be done.

``greeting`` → ``ready`` (batches are adopted for a try and taken back) → ``receiving`` (the decision was taken) →
``supervised`` → ``ended``; or, when connections go back, → ``returning`` → ``returned`` (what could not go yet follows)
→ ``ended``.
"""

from __future__ import annotations

from typing import Protocol

from attrs import define
from automat import TypeMachineBuilder

from ._handover_effects import Accept, AllMoved, Effects, Finish, GiveNext, GoingBack, Send, misplaced, nothing
from ._handover_messages import Abort, End, Return, Returned


class NewPhases(Protocol):
    """What can happen to the new process's side."""

    def greeted(self) -> Effects:
        """The old process's snapshots can be read here."""

    def refused(self, cause: str) -> Effects:
        """They cannot."""

    def decided(self) -> Effects:
        """The old process says that the decision was taken."""

    def moved(self) -> Effects:
        """The old process says that all that can move has moved."""

    def return_asked(self, cause: str) -> Effects:
        """The old process wants everything back."""

    def give_back(self, cause: str) -> Effects:
        """The owner hands everything back."""

    def batch_over(self) -> Effects:
        """Another batch may begin."""

    def all_given(self, now: float) -> Effects:
        """All that can go back now has gone."""

    def emptied(self) -> Effects:
        """Nothing is left here at all."""

    def ready(self) -> Effects:
        """Something that had to stay can follow, or has ended."""

    def timed_out(self) -> Effects:
        """The phase's deadline has passed."""

    def other_ended(self) -> Effects:
        """The other process said ``End``."""

    def fail(self, cause: str) -> Effects:
        """It cannot go on."""

    def aborted(self, cause: str) -> Effects:
        """The other process said ``Abort``."""

    def lost(self) -> Effects:
        """The link has ended."""


@define
class NewClock:
    """The deadline of the first phase; the others wait for the old process, whose death ends the link."""

    deadline: float | None


_machine = TypeMachineBuilder(NewPhases, NewClock)
greeting = _machine.state("greeting")
ready = _machine.state("ready")
receiving = _machine.state("receiving")
supervised = _machine.state("supervised")
returning = _machine.state("returning")
returned = _machine.state("returned")
ended = _machine.state("ended")
_alive = (greeting, ready, receiving, supervised, returning, returned)


@greeting.upon(NewPhases.greeted).to(ready)
def _greeted(_: NewPhases, clock: NewClock) -> Effects:
    clock.deadline = None
    return []


@greeting.upon(NewPhases.refused).to(ended)
def _refused(_: NewPhases, clock: NewClock, cause: str) -> Effects:
    clock.deadline = None
    return [Send(Abort(cause)), Finish("refused", cause)]


@greeting.upon(NewPhases.timed_out).to(ended)
def _not_greeted(_: NewPhases, clock: NewClock) -> Effects:
    clock.deadline = None
    return [Send(Abort("no greeting came")), Finish("failed", "the old process did not greet in time")]


@ready.upon(NewPhases.decided).to(receiving)
def _decided(_: NewPhases, __: NewClock) -> Effects:
    return [Accept()]


@receiving.upon(NewPhases.moved).to(supervised)
def _moved(_: NewPhases, __: NewClock) -> Effects:
    return [AllMoved()]


def _return_asked(_: NewPhases, __: NewClock, cause: str) -> Effects:
    return [GoingBack(cause), GiveNext()]


def _give_back(_: NewPhases, __: NewClock, cause: str) -> Effects:
    return [Send(Return(cause)), GoingBack(cause), GiveNext()]


for _state in (receiving, supervised):
    _state.upon(NewPhases.return_asked).to(returning)(_return_asked)
    _state.upon(NewPhases.give_back).to(returning)(_give_back)


@returning.upon(NewPhases.all_given).to(returned)
def _all_given(_: NewPhases, __: NewClock, now: float) -> Effects:
    return [Send(Returned()), AllMoved()]


@returned.upon(NewPhases.emptied).to(ended)
def _emptied(_: NewPhases, __: NewClock) -> Effects:
    return [Send(End()), Finish("returned")]


def _give_next(_: NewPhases, __: NewClock) -> Effects:
    return [GiveNext()]


for _state in (returning, returned):
    _state.upon(NewPhases.batch_over).loop()(_give_next)
    _state.upon(NewPhases.ready).loop()(_give_next)


# ---- ends at any time


def _other_ended(_: NewPhases, __: NewClock) -> Effects:
    return [Finish("moved")]


def _other_ended_return(_: NewPhases, __: NewClock) -> Effects:
    return [Finish("returned")]


def _fail(_: NewPhases, clock: NewClock, cause: str) -> Effects:
    clock.deadline = None
    return [Send(Abort(cause)), Finish("failed", cause)]


def _aborted(_: NewPhases, clock: NewClock, cause: str) -> Effects:
    clock.deadline = None
    return [Finish("aborted", cause)]


def _lost(_: NewPhases, clock: NewClock) -> Effects:
    clock.deadline = None
    return [Finish("lost", "the old process is gone")]


for _state in _alive:
    _state.upon(NewPhases.fail).to(ended)(_fail)
    _state.upon(NewPhases.aborted).to(ended)(_aborted)
    _state.upon(NewPhases.lost).to(ended)(_lost)


# ---- what means nothing in a phase, and what has no place in it


def _elsewhere() -> None:
    """As in the old process: early messages are violations, those that cross with ours mean nothing."""
    alive_but = lambda *states: [state for state in _alive if state not in states]  # noqa: E731
    for state in alive_but(greeting):
        state.upon(NewPhases.greeted).loop()(misplaced)
        state.upon(NewPhases.refused).loop()(misplaced)
        state.upon(NewPhases.timed_out).loop()(nothing)
    for state in alive_but(ready):
        state.upon(NewPhases.decided).loop()(misplaced)
    for state in (greeting, ready, supervised):
        state.upon(NewPhases.moved).loop()(misplaced)
    for state in (returning, returned):
        state.upon(NewPhases.moved).loop()(nothing)
        state.upon(NewPhases.return_asked).loop()(nothing)
        state.upon(NewPhases.give_back).loop()(nothing)
        state.upon(NewPhases.other_ended).to(ended)(_other_ended_return)
    for state in (greeting, ready):
        state.upon(NewPhases.return_asked).loop()(misplaced)
        state.upon(NewPhases.give_back).loop()(nothing)
    for state in (greeting, ready, receiving):
        state.upon(NewPhases.other_ended).loop()(misplaced)
    supervised.upon(NewPhases.other_ended).to(ended)(_other_ended)
    for state in alive_but(returning, returned):
        state.upon(NewPhases.batch_over).loop()(nothing)
        state.upon(NewPhases.ready).loop()(nothing)
    for state in alive_but(returning):
        state.upon(NewPhases.all_given).loop()(nothing)
    for state in alive_but(returned):
        state.upon(NewPhases.emptied).loop()(nothing)
    for happening in (
        NewPhases.greeted,
        NewPhases.refused,
        NewPhases.decided,
        NewPhases.moved,
        NewPhases.return_asked,
        NewPhases.give_back,
        NewPhases.batch_over,
        NewPhases.all_given,
        NewPhases.emptied,
        NewPhases.ready,
        NewPhases.timed_out,
        NewPhases.other_ended,
        NewPhases.fail,
        NewPhases.aborted,
        NewPhases.lost,
    ):
        ended.upon(happening).loop()(nothing)


_elsewhere()
_build = _machine.build()


def new_phases(clock: NewClock) -> NewPhases:
    """The machine, at its beginning."""
    return _build(clock)
