"""What hand-overs survive: bad new code, and the death or silence of each process at each step."""

from __future__ import annotations

from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.daemon.faults import SETTINGS, Fault, TrappedCloud, play

HAND_OVER: Final = "hand-over"

ANCHOR_KILLED = [
    Fault("anchor killed while the tree is staged", HAND_OVER, "old", "stage.before"),
    Fault("anchor killed before the new code boots", HAND_OVER, "old", "boot.before"),
    Fault("anchor killed when the new code has booted", HAND_OVER, "old", "boot.after"),
    Fault("anchor killed after the rehearsal", HAND_OVER, "old", "rehearse.after"),
    Fault("anchor killed before the record", HAND_OVER, "old", "record.before"),
    Fault("anchor killed after the record", HAND_OVER, "new", "record.after"),
    Fault("anchor killed after the commit", HAND_OVER, "new", "commit.after"),
    Fault("anchor killed at the end of the window", HAND_OVER, "new", "settle.before"),
    Fault("anchor killed while it cleans", HAND_OVER, "new", "clean.before"),
    Fault("anchor killed before its exec", HAND_OVER, "new", "become.before"),
    Fault("anchor killed after its exec", HAND_OVER, "new", "next_anchor.before"),
]

FRONT = "front-1"
SILENT = "ended before it answered"
# Killed with kill -9: its connections may die with it, all others live.
OLD_KILLED = [
    Fault(
        "old worker killed when it is asked to give",
        HAND_OVER,
        "old",
        "give.before",
        who=FRONT,
        loses=FRONT,
        cause=SILENT,
    ),
    Fault("old worker killed in the rehearsal", HAND_OVER, "old", "_ask.before", who=FRONT, loses=FRONT),
    Fault("old worker killed after the rehearsal", HAND_OVER, "old", "_ask.after", who=FRONT, loses=FRONT),
    Fault("old worker killed when it hears of the decision", HAND_OVER, "new", "decide.before", who=FRONT, loses=FRONT),
    Fault("old worker killed when it has decided", HAND_OVER, "new", "decide.after", who=FRONT, loses=FRONT),
    Fault("old worker killed while its connections move", HAND_OVER, "new", "forget.before", who=FRONT, loses=FRONT),
    Fault("old worker killed when all has moved", HAND_OVER, "new", "_given.before", who=FRONT, loses=FRONT),
]
NEW_KILLED = [
    Fault("new worker killed while it boots", HAND_OVER, "old", "load.before", who=FRONT),
    Fault("new agent killed while it boots", HAND_OVER, "old", "load.after", who="agent"),
    Fault("new worker killed when it is asked to take", HAND_OVER, "old", "take.before", who=FRONT, cause=SILENT),
    Fault("new worker killed in PREPARE", HAND_OVER, "old", "adopt.before", who=FRONT),
    Fault("new worker killed in COMMIT", HAND_OVER, "old", "take_over.before", who=FRONT),
    Fault("new worker killed when it serves", HAND_OVER, "old", "take_over.after", who=FRONT),
    Fault("new agent killed in COMMIT", HAND_OVER, "old", "take_over.before", who="agent"),
    Fault("new worker killed before it resumes one", HAND_OVER, "old", "resume.before", who=FRONT, loses=FRONT),
    Fault("new worker killed after it has resumed one", HAND_OVER, "old", "resume.after", who=FRONT, loses=FRONT),
]
HAND_OVER_FAULTS = [*ANCHOR_KILLED, *OLD_KILLED, *NEW_KILLED]


class FaultCase(SynchronousTestCase):
    """Plays faults one after the other on one daemon; each leaves it whole."""

    settings = SETTINGS

    def setUp(self) -> None:
        self.cloud: TrappedCloud | None = None

    def tearDown(self) -> None:
        if self.cloud is not None:
            self.cloud.remove()

    def started(self) -> TrappedCloud:
        if self.cloud is None:
            self.cloud = TrappedCloud(self.settings)
            self.cloud.start()
        return self.cloud

    def survive(self, faults: list[Fault]) -> None:
        """Play all of them, also after one that was not survived; tell which."""
        failed = []
        for fault in faults:
            try:
                played = play(self.started(), fault)
                if played.wrong:
                    raise AssertionError("\n".join(played.wrong))
            except AssertionError as error:
                failed.append(f"{fault.name}: {error}")
                self.tearDown()
                self.cloud = None
        self.assertEqual(failed, [], "\n".join(failed))


class AnchorKilledTests(FaultCase):
    def test_killed(self) -> None:
        """The workers serve on, do what was decided, and a restarted anchor finds them."""
        self.survive(ANCHOR_KILLED)


class OldWorkerTests(FaultCase):
    def test_killed(self) -> None:
        """What it served may die with it, nothing else does; the host does what was decided."""
        self.survive(OLD_KILLED)


class NewWorkerTests(FaultCase):
    def test_killed(self) -> None:
        """The old code serves; only what the new worker had begun to serve may die with it."""
        self.survive(NEW_KILLED)
