"""What follows from a look at a guest: each state with each power, as one table."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from cloudd.compute import Doing, OnHost, State, Wanted
from cloudd.guests._sight import Change, change_of
from cloudd.interfaces.servers import Power, Seen


def server(
    state: State, power: Power = Power.RUNNING, wanted: Wanted = Wanted.RUNNING, doing: Doing | None = None
) -> OnHost:
    return OnHost(id="s", state=state, doing=doing, wanted=wanted, power=power, updated_us=0)


def seen(power: Power) -> Seen:
    return Seen(id="s", name="cloudd-s", power=power)


class ChangeTests(SynchronousTestCase):
    def follows(self, state: State, power: Power) -> State:
        """Of a server that was seen running."""
        change = change_of(server(state), seen(power), resumes=False)
        return state if change is None else change.state

    def test_table(self) -> None:
        """Nova's rules: what a guest does by itself is written down."""
        powers = (Power.RUNNING, Power.PAUSED, Power.OFF, Power.CRASHED, Power.SUSPENDED)
        found = {state: tuple(self.follows(state, power) for power in powers) for state in State}
        active, paused, stopped, suspended = State.ACTIVE, State.PAUSED, State.STOPPED, State.SUSPENDED
        expected = {
            active: (active, active, stopped, stopped, suspended),
            paused: (active, paused, stopped, stopped, paused),
            stopped: (active, stopped, stopped, stopped, stopped),
            suspended: (active, suspended, stopped, stopped, suspended),
            **{each: (each,) * 5 for each in (State.BUILDING, State.RESIZED, State.ERROR, State.DELETED)},
        }
        self.assertEqual(found, expected)

    def test_nothing_new(self) -> None:
        """What is as it was needs no write."""
        self.assertIsNone(change_of(server(State.ACTIVE), seen(Power.RUNNING), resumes=True))

    def test_power_alone(self) -> None:
        """A paused guest of an active server, and that of a server in error."""
        for state in (State.ACTIVE, State.ERROR, State.RESIZED):
            found = change_of(server(state), seen(Power.PAUSED), resumes=False)
            self.assertEqual(found, Change(state, Power.PAUSED))

    def test_no_guest(self) -> None:
        """The state stays, and nobody knows the power."""
        self.assertEqual(change_of(server(State.ACTIVE), None, resumes=True), Change(State.ACTIVE, Power.UNKNOWN))

    def test_somebody_is_at_it(self) -> None:
        """A task, a build or a deletion writes by itself."""
        for busy in (
            server(State.ACTIVE, doing=Doing.REBOOTING),
            server(State.BUILDING),
            server(State.ACTIVE, wanted=Wanted.DELETED),
        ):
            self.assertIsNone(change_of(busy, seen(Power.OFF), resumes=True))

    def test_runs_though_stopped(self) -> None:
        """It is ended only if somebody has stopped the server."""
        stopped = server(State.STOPPED, Power.OFF, Wanted.STOPPED)
        self.assertEqual(
            change_of(stopped, seen(Power.RUNNING), resumes=False), Change(State.STOPPED, Power.RUNNING, "stop")
        )
        fallen = server(State.STOPPED, Power.OFF, Wanted.RUNNING)
        self.assertEqual(change_of(fallen, seen(Power.RUNNING), resumes=False), Change(State.ACTIVE, Power.RUNNING))

    def test_resumes(self) -> None:
        """One that is off and was stopped by nobody is started where the settings say so; a crashed one never."""
        self.assertEqual(
            change_of(server(State.ACTIVE), seen(Power.OFF), resumes=True), Change(State.ACTIVE, Power.OFF, "start")
        )
        stopped = server(State.STOPPED, Power.OFF, Wanted.STOPPED)
        self.assertIsNone(change_of(stopped, seen(Power.OFF), resumes=True))
        self.assertEqual(
            change_of(server(State.ACTIVE), seen(Power.CRASHED), resumes=True), Change(State.STOPPED, Power.CRASHED)
        )
