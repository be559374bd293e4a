"""What hand-overs survive: bad new code, and the death or silence of each process at each step."""

from __future__ import annotations

import os
import signal
import socket
from typing import Final

from twisted.trial.unittest import SynchronousTestCase

from tests.daemon.faults import (
    KERNEL_FILE,
    OTHER_VERSION,
    OTHER_VERSIONS_WITH_STEPS,
    SETTINGS,
    SUPERVISED_SETTINGS,
    Fault,
    TrappedCloud,
    play,
    play_end,
    under_supervision,
)
from tests.daemon.witnesses import OTHERS, Witness

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
EXIT = "import os; os._exit(7)"
SEGFAULT = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
HANG = "import time; time.sleep(3600)"
ADOPT = "def _adopt(*_):\n    {}\n\nHTTPAdopter.adopt = _adopt"
RESUME = "def _resume(*_):\n    {}\n\nAdoptedHTTP.resume = _resume"
SILENT = "ended before it answered"
# Killed with kill -9: its connections may die with it, all others live; once they move, only those that cannot yet (the
# requests in flight), or the one that is gone on with in that moment.
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
    Fault("old worker killed while its connections move", HAND_OVER, "new", "forget.before", who=FRONT, loses=FRONT,
          most_lost=OTHERS),
    Fault("old worker killed when the window ends", HAND_OVER, "new", "end_window.before", who=FRONT, loses=FRONT,
          most_lost=OTHERS),
]  # fmt: skip
NEW_KILLED = [
    Fault("new worker killed while it boots", HAND_OVER, "old", "load.before", who=FRONT),
    Fault("new agent killed while it boots", HAND_OVER, "old", "load.after", who="agent"),
    Fault("new worker killed when it is asked to take", HAND_OVER, "old", "take.before", who=FRONT, cause=SILENT),
    Fault("new worker killed in PREPARE", HAND_OVER, "old", "adopt.before", who=FRONT),
    Fault("new worker killed in COMMIT", HAND_OVER, "old", "take_over.before", who=FRONT),
    Fault("new worker killed when it serves", HAND_OVER, "old", "take_over.after", who=FRONT),
    Fault("new agent killed in COMMIT", HAND_OVER, "old", "take_over.before", who="agent"),
    Fault("new worker killed before it resumes one", HAND_OVER, "old", "resume.before", who=FRONT, loses=FRONT,
          most_lost=1),
    Fault("new worker killed after it has resumed one", HAND_OVER, "old", "resume.after", who=FRONT, loses=FRONT,
          most_lost=1),
]  # fmt: skip
ADOPTER = "cloudd/protocols/http/_moving.py"
APPLICATION = "cloudd/application.py"
WORKER = "cloudd/daemon/_worker.py"
BAD_CODE = [
    Fault("does not compile", HAND_OVER, cause="does not compile", appended={KERNEL_FILE: "def f(:"}),
    Fault("raises at import", HAND_OVER, cause="RuntimeError: no", appended={KERNEL_FILE: "raise RuntimeError('no')"}),
    Fault("hangs at import", HAND_OVER, cause="not import within", appended={KERNEL_FILE: HANG}),
    Fault("hangs at boot", HAND_OVER, cause="did not end within", appended={WORKER: HANG}),
    Fault("exits at boot", HAND_OVER, cause="loader ended", appended={WORKER: EXIT}),
    Fault("segfaults at boot", HAND_OVER, cause="loader ended", appended={WORKER: SEGFAULT}),
    Fault("hangs in PREPARE", HAND_OVER, cause="was not adopted within 5 s", appended={ADOPTER: ADOPT.format(HANG)}),
    Fault("exits in PREPARE", HAND_OVER, cause="new process is gone", appended={ADOPTER: ADOPT.format(EXIT)}),
    Fault("raises in PREPARE", HAND_OVER, cause="could not be adopted for a try: ValueError: no",
          appended={ADOPTER: ADOPT.format("raise ValueError('no')")}),
    Fault("exits in COMMIT", HAND_OVER, cause="the old code serves: the new worker", loses="front-1 front-2",
          most_lost=2, appended={ADOPTER: RESUME.format(EXIT)}),
    Fault("raises in COMMIT", HAND_OVER, cause="connections and could not serve them", loses="front-1 front-2",
          appended={ADOPTER: RESUME.format("raise ValueError('no')")}),
    Fault("another version of what moves", HAND_OVER, cause="http-connection",
          appended={ADOPTER: "VERSION = 99\nHTTP_KINDS = {KIND: 99}"}),
    Fault("another version of what an upload or download tells", HAND_OVER,
          cause="small-download: written as version 1, read are only 2",
          appended={APPLICATION: OTHER_VERSION.format("small-download")}),
    Fault("another version of what a stream tells", HAND_OVER,
          cause="small-stream: written as version 1, read are only 2",
          appended={APPLICATION: OTHER_VERSION.format("small-stream")}),
    Fault("sick when it serves", HAND_OVER, cause="the word is sick", word="sick"),
]  # fmt: skip
CONVERTED = [
    Fault("other versions of what handlers tell, with their steps", HAND_OVER, "new",
          appended={APPLICATION: OTHER_VERSIONS_WITH_STEPS}),
    Fault("the same, handed back", HAND_OVER, cause="the word is sick", word="sick",
          appended={APPLICATION: OTHER_VERSIONS_WITH_STEPS}),
]  # fmt: skip
HUNG = [
    Fault("old worker hangs when it is asked to give", HAND_OVER, "old", "give.before", "SIGSTOP", FRONT),
    Fault("old worker hangs in the rehearsal", HAND_OVER, "old", "_ask.before", "SIGSTOP", FRONT),
    Fault("old worker hangs at the decision", HAND_OVER, "new", "decide.before", "SIGSTOP", FRONT),
    Fault("old worker hangs while its connections move", HAND_OVER, "new", "forget.before", "SIGSTOP", FRONT),
    Fault("new worker hangs when it is asked to take", HAND_OVER, "old", "take.before", "SIGSTOP", FRONT),
    Fault("new worker hangs in PREPARE", HAND_OVER, "old", "adopt.before", "SIGSTOP", FRONT),
    Fault("new worker hangs in COMMIT", HAND_OVER, "old", "take_over.before", "SIGSTOP", FRONT),
    Fault("new worker hangs before it resumes one", HAND_OVER, "old", "resume.before", "SIGSTOP", FRONT, loses=FRONT,
          most_lost=1),
    Fault("new agent hangs in COMMIT", HAND_OVER, "old", "take_over.before", "SIGSTOP", "agent"),
]  # fmt: skip
SUPERVISED = [
    Fault("new worker hangs under supervision", HAND_OVER, "old", loses=FRONT, cause="does not answer",
          meanwhile=under_supervision(FRONT, signal.SIGSTOP)),
    Fault("new worker killed under supervision", HAND_OVER, "old", loses=FRONT, cause="killed by SIGKILL",
          meanwhile=under_supervision(FRONT, signal.SIGKILL)),
    Fault("anchor killed under supervision", HAND_OVER, "new", meanwhile=under_supervision("anchor", signal.SIGKILL)),
]  # fmt: skip
GOING_BACK = [
    Fault("anchor killed when it has decided to go back", HAND_OVER, "old", "hand_back.before", word="sick"),
    Fault("anchor killed when it has gone back", HAND_OVER, "old", "hand_back.after", word="sick"),
    Fault("old worker killed when it takes back", HAND_OVER, "old", "take_back.before", who=FRONT, word="sick",
          loses=FRONT),
]  # fmt: skip
HAND_OVER_FAULTS = [  # without SUPERVISED
    *BAD_CODE, *CONVERTED, *HUNG, *GOING_BACK, *ANCHOR_KILLED, *OLD_KILLED, *NEW_KILLED,
]  # fmt: skip


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


class BadCodeTests(FaultCase):
    def test_survived(self) -> None:
        """It does not land."""
        self.survive(BAD_CODE)


class ConvertedTests(FaultCase):
    def test_there_and_back(self) -> None:
        """Streams and downloads go on at their byte, in the new version and handed back to the old one."""
        self.survive(CONVERTED)


class HungTests(FaultCase):
    def test_survived(self) -> None:
        """Who hangs is not waited for; a worker that only slept has lost nothing."""
        self.survive(HUNG)


class SupervisedTests(FaultCase):
    settings = SUPERVISED_SETTINGS

    def test_survived(self) -> None:
        """What befalls a new worker while it is watched has the old code serve again."""
        self.survive(SUPERVISED)


class GoingBackTests(FaultCase):
    def test_survived(self) -> None:
        """What was decided is done without the anchor."""
        self.survive(GOING_BACK)


class EndTests(FaultCase):
    """SIGTERM at every step."""

    def test_before_the_decision(self) -> None:
        """The old code is what the next start has."""
        for step in ("stage.before", "boot.before", "boot.after"):
            play_end(self.started(), step, "old")

    def test_after_the_decision(self) -> None:
        """The new code is what the next start has."""
        for step in ("record.after", "commit.after", "settle.before", "clean.before"):
            play_end(self.started(), step, "new")

    def test_around_the_exec(self) -> None:
        """The anchor hears the signal before or after it becomes other code."""
        for step in ("become.before", "next_anchor.before", "next_anchor.after"):
            play_end(self.started(), step, "new")

    def test_while_going_back(self) -> None:
        """What was decided last is what the next start has."""
        for step in ("hand_back.before", "hand_back.after"):
            play_end(self.started(), step, "old", word="sick")


class CircumstanceTests(FaultCase):
    def hand_over(self, cloud: TrappedCloud) -> None:
        cloud.word = cloud.write_new_code(HAND_OVER, {}, "")
        outcome = cloud.upgrade()
        self.assertEqual((outcome["result"], outcome["how"]), ("committed", HAND_OVER), outcome)

    def test_three_generations_of_processes(self) -> None:
        """A request that cannot move ends where it began, while its host goes on to the second and third code."""
        cloud = self.started()
        connections = [Witness(cloud) for _ in range(8)]
        slow = cloud.connect()
        released = cloud.state.parent / "released"
        slow.request("GET", f"/until/{released.name}")
        began = cloud.word
        self.hand_over(cloud)
        self.hand_over(cloud)
        self.assertEqual([wrong for each in connections if (wrong := each.check(cloud.word))], [])
        released.touch()
        self.assertEqual(slow.getresponse().read().decode(), began)
        cloud.wait(cloud.is_clean, "nothing is left over")
        self.assertEqual(cloud.get("/", slow)[1].split()[0], cloud.word)
        for each in connections:
            each.end()
        slow.close()

    def test_a_front_in_a_crash_loop(self) -> None:
        """It has nothing to give; its place is taken by a worker of the new code."""
        cloud = self.started()
        for _ in range(5):
            pid = cloud.wait(lambda: cloud.worker_pids()[FRONT], "it runs")
            os.kill(pid, signal.SIGKILL)
            cloud.wait(lambda pid=pid: cloud.worker_pids()[FRONT] != pid, "it has ended")  # type: ignore[misc]
        others = [each for each in [Witness(cloud) for _ in range(6)] if each.pid == cloud.worker_pids()["front-2"]]
        self.hand_over(cloud)
        cloud.wait(cloud.is_settled, "all workers are ready")
        self.assertEqual(cloud.health()["status"], "ok")
        self.assertEqual([wrong for each in others if (wrong := each.check(cloud.word))], [])
        for each in others:
            each.end()
        cloud.wait(cloud.is_clean, "nothing is left over")

    def test_an_exec_that_fails(self) -> None:
        """The anchor works on as what it is, and says so; the next hand-over tries again."""
        cloud = self.started()
        cloud.traps.set("become.before", "ENOSPC", "anchor")
        self.hand_over(cloud)
        cause = cloud.wait(lambda: cloud.health()["parts"]["anchor"]["cause"], "the anchor says so")
        self.assertIn("could not become the code of its workers: [Errno 28] No space left on device", cause)
        self.assertEqual(cloud.health()["status"], "ok")
        cloud.say("swapped")
        self.assertEqual((cloud.upgrade()["result"], cloud.get("/")[1].split()[0]), ("committed", "swapped"))
        self.assertEqual(len(cloud.control("GET", "audit?limit=9")[0]["entries"]), 3)
        self.hand_over(cloud)
        cloud.wait(lambda: not cloud.health()["parts"]["anchor"]["cause"], "it has become the new code")
        cloud.wait(cloud.is_settled, "all is well")

    def test_a_client_of_the_control_socket_that_leaves(self) -> None:
        """The hand-over goes on; the status shows it, a second one is refused with what the first is doing."""
        cloud = self.started()
        word = cloud.write_new_code(HAND_OVER, {}, "")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(cloud.state / "control.sock"))
            client.sendall(b'POST /v1/upgrade HTTP/1.1\r\nHost: c\r\nContent-Length: 12\r\n\r\n{"canary":0}')
            cloud.wait(lambda: cloud.status()["upgrade"], "it has begun")
        second = cloud.upgrade()
        self.assertEqual(second["result"], "busy", second)
        self.assertIn("another change is under way: ", second["cause"])
        cloud.wait(lambda: not cloud.status()["upgrade"] and cloud.get("/")[1].split()[0] == word, "it is done")
        cloud.wait(cloud.is_clean, "nothing is left over")
