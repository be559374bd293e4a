"""What swaps survive: new code that is bad in any way before it serves, and the death of each process at each step."""

from __future__ import annotations

from typing import Final

from tests.daemon.faults import OTHER_VERSION, OTHER_VERSIONS_WITH_STEPS, Fault
from tests.daemon.test_handover_faults import APPLICATION, EXIT, FRONT, HANG, SEGFAULT, FaultCase

SWAP: Final = "swap"
WORDS = "cloudd/words.py"
APART = "tried in a process of its own, it"
SELF_CHECK = "async def _check(self):\n    {}\n\nSmall.self_check = _check"

BAD_CODE = [
    Fault("does not compile", SWAP, cause="does not compile", appended={WORDS: "def f(:"}),
    Fault("raises at import", SWAP, cause="cloudd.words line", appended={WORDS: "raise RuntimeError('no')"}),
    Fault("fails its self-check", SWAP, cause="the word is bad", word="bad"),
    Fault("hangs at import", SWAP, cause="did not", appended={WORDS: HANG}),
    Fault("exits at import", SWAP, cause=f"{APART} ended with status 7", appended={WORDS: EXIT}),
    Fault("segfaults at import", SWAP, cause=f"{APART} was killed by SIGSEGV", appended={WORDS: SEGFAULT}),
    Fault(
        "exits in its self-check", SWAP, cause=f"{APART} ended with status 7",
        appended={APPLICATION: SELF_CHECK.format(EXIT)},
    ),
    Fault(
        "blocks in its self-check", SWAP, cause=f"{APART} ended: it did not end",
        appended={APPLICATION: SELF_CHECK.format(HANG)},
    ),
    Fault(
        "its self-check does not end", SWAP, cause=f"{APART} ended: it did not end",
        appended={APPLICATION: SELF_CHECK.format("await Deferred()")},
    ),
    Fault(
        "hangs when it starts", SWAP, cause=f"{APART} ended: it did not end",
        appended={APPLICATION: "def _start(self, state):\n    import time\n    time.sleep(3600)\nSmall.start = _start"},
    ),
    Fault(
        "another version of what an upload or download tells", SWAP,
        cause="small-download: written as version 1, read are only 2",
        appended={APPLICATION: OTHER_VERSION.format("small-download")},
    ),
    Fault(
        "another version of what a stream tells", SWAP, cause="small-stream: written as version 1, read are only 2",
        appended={APPLICATION: OTHER_VERSION.format("small-stream")},
    ),
]  # fmt: skip
CONVERTED = [
    Fault("other versions of what handlers tell, with their steps", SWAP, "new",
          appended={APPLICATION: OTHER_VERSIONS_WITH_STEPS}),
]  # fmt: skip
ANCHOR_KILLED = [
    Fault("anchor killed while the tree is staged", SWAP, "old", "stage.after"),
    Fault("anchor killed before PREPARE", SWAP, "old", "check_apart.before"),
    Fault("anchor killed in PREPARE", SWAP, "old", "swap_prepare.before"),
    Fault("anchor killed after PREPARE", SWAP, "old", "swap_prepare.after"),
    Fault("anchor killed before the record", SWAP, "old", "record.before"),
    Fault("anchor killed after the record", SWAP, "new", "record.after"),
    Fault("anchor killed in COMMIT", SWAP, "new", "swap_commit.before"),
    Fault("anchor killed after COMMIT", SWAP, "new", "clean.before"),
]
WORKER_KILLED = [
    Fault("checking process killed", SWAP, "old", "load.before", who="check", cause=f"{APART} was killed by SIGKILL"),
    Fault("worker killed in PREPARE", SWAP, "old", "load.before", who=FRONT, loses=FRONT),
    Fault("worker killed after PREPARE", SWAP, "old", "load.after", who=FRONT, loses=FRONT),
    Fault("worker killed in COMMIT", SWAP, "new", "switch.before", who=FRONT, loses=FRONT),
    Fault("worker killed after COMMIT", SWAP, "new", "switch.after", who=FRONT, loses=FRONT),
    Fault("agent killed in COMMIT", SWAP, "new", "switch.before", who="agent"),
]
# The first time that front-1 starts the new code.
HANGS_IN_START = """
import os, time
from cloudd.interfaces import _traps

def _start(self, state, start=Small.start):
    mark = self.resources.settings.state / f"hung-{WORD}"
    if _traps.who == "front-1" and not mark.exists():
        mark.touch()
        time.sleep(3600)
    start(self, state)

Small.start = _start
"""
HUNG = [
    Fault("worker hangs in PREPARE", SWAP, "old", "load.before", "SIGSTOP", FRONT, cause="prepare: no answer",
          loses=FRONT, wakes=False),
    Fault("worker hangs in COMMIT", SWAP, "new", "switch.before", "SIGSTOP", FRONT, cause="did not confirm",
          loses=FRONT, wakes=False),
    Fault("hangs when it starts in COMMIT", SWAP, "new", cause="did not confirm", loses=FRONT,
          appended={APPLICATION: HANGS_IN_START}),
]  # fmt: skip
DISK_FULL = [
    Fault(
        "disk full while staging",
        SWAP,
        "old",
        "write_copy.before",
        "ENOSPC",
        cause="could not be copied: No space left on device",
    ),
    Fault("disk full at the record", SWAP, "old", "record.before", "ENOSPC", cause="could not be recorded"),
]
SWAP_FAULTS = [*BAD_CODE, *CONVERTED, *ANCHOR_KILLED, *WORKER_KILLED, *HUNG, *DISK_FULL]


class BadCodeTests(FaultCase):
    def test_survived(self) -> None:
        """Nothing of it serves, no connection notices, and the cause is told."""
        self.survive(BAD_CODE)


class ConvertedTests(FaultCase):
    def test_there_and_back(self) -> None:
        """Streams follow into the new version, and into the old one again; downloads end where they began."""
        self.survive(CONVERTED)


class AnchorTests(FaultCase):
    def test_killed(self) -> None:
        """The workers serve on, do what was decided, and a restarted anchor finds them."""
        self.survive(ANCHOR_KILLED)


class WorkerTests(FaultCase):
    def test_killed(self) -> None:
        """Only its own connections die; before the decision nobody gets the new code, after it all do."""
        self.survive(WORKER_KILLED)


class HungTests(FaultCase):
    def test_survived(self) -> None:
        """Who hangs is ended, also where it hears no signal; another worker has what was decided for."""
        self.survive(HUNG)


class DiskTests(FaultCase):
    def test_full(self) -> None:
        """Refused with the cause; nothing half made is left."""
        self.survive(DISK_FULL)
