"""
One fault in the middle of an upgrade, and what is left of it: played by ``test_handover_faults``, ``test_swap_faults``
and ``bench.faults``.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from attrs import define, field, frozen

from tests.daemon.small_cloud import PATIENCE_S, SmallCloud
from tests.daemon.traps import Sprung, Traps
from tests.daemon.witnesses import LOST, Pinger, Waiting, Witness, Witnesses

KERNEL_FILE = "cloudd/daemon/_naming.py"
WORD_FILE = "cloudd/words.py"
# By a signal of the fault's, or by the anchor's as it hung.
LOOPS = tuple(
    f"it crashes again and again: last time it {how}"
    for how in ("was killed by SIGKILL", "ended: it did not drop generation")
)
PROCESSES = 5  # anchor, loader, two fronts, agent
# Of the start tree, so that nobody waits long for what never comes.  What runs at the lowest priority, beside other
# lanes of tests on two cores, gets its time all the same.
SHORT_WAITS = {
    "cloudd/daemon/_incoming.py": "BOOT_S, VISIT_S, REHEARSAL_S, MOVE_S, ASK_S, RETURN_S = 40, 4, 7, 7, 3, 4",
    "cloudd/daemon/_inheritance.py": "TRY_S = 20.0",
    "cloudd/daemon/_workers.py": "CHECK_S, SWAP_TIMEOUT_S, COMMIT_TIMEOUT_S = 5.0, 8.0, 4.0",
    "cloudd/daemon/_leaving.py": "KILL_DELAY_S = 1.0",
}
SETTINGS = "[workers]\nfront = 2\nstop_timeout_s = 5\n[upgrade]\nwindow_s = 2\n"
# A fault that comes under supervision needs one that is not over before it comes; it ends it.
SUPERVISED_SETTINGS = SETTINGS.replace("window_s = 2\n", "window_s = 20\n")
# Of what the handlers tell that the new code brings: one that the old code does not read, and the same with its steps.
OTHER_VERSION = "VERSIONS[{!r}] = 2"
OTHER_VERSIONS_WITH_STEPS = """
read = lambda state: state["in"]
told = lambda fields: {"in": fields}
for kind in VERSIONS:
    VERSIONS[kind] = 2
    CONVERTERS.add(kind, 1, up=lambda old: {"in": old}, down=lambda new: new["in"])
"""
EXEC_S = 5.5  # by then an anchor has become what it has to: `NEXT_SELF_S` and `QUIET_S` of `_becoming`

Code = Literal["old", "new"]


@frozen
class Fault:
    """
    :param name: in a few words, for a table
    :param how: ``swap`` or ``hand-over``
    :param serves: whose code serves in the end
    :param step: at which a process finds the trap, see ``traps``; empty: the new code itself is bad
    :param action: of the trap
    :param who: name of the process that finds it
    :param cause: words that the outcome or the daemon's log has
    :param loses: names of the workers whose connections may die with them
    :param most_lost: how many connections in all, where that is fewer than these workers have
    :param appended: file of the new tree -> lines at its end
    :param word: what the new code says, where that makes it bad
    :param meanwhile: called when the trap has gone off, before the outcome; gives when the fault was, if that was later
    :param canary: percentage of connections
    :param wakes: whether a process that the trap has stopped goes on when the outcome is known
    """

    name: str
    how: Literal["swap", "hand-over"]
    serves: Code = "old"
    step: str = ""
    action: str = "SIGKILL"
    who: str = ""
    cause: str = ""
    loses: str = ""
    most_lost: int | None = None
    appended: dict[str, str] = field(factory=dict)
    word: str = ""
    meanwhile: Callable[[TrappedCloud], Sprung] | None = None
    canary: float = 0
    wakes: bool = True


@define
class Played:
    """
    What came of it.

    :ivar outcome: None: the anchor was killed before it could tell
    :ivar rollback_s: from the fault until it was known everywhere which code serves; 0: bad code never served
    :ivar answered_s: from the fault to the last answer of code that does not serve in the end
    :ivar pause_s: longest that a client waited which asks every 2 ms
    :ivar lost: connections that did not live, each with what went wrong
    :ivar wrong: of these, the ones that nothing excuses
    """

    fault: Fault
    outcome: Any = None
    rollback_s: float = 0.0
    answered_s: float = 0.0
    pause_s: float = 0.0
    pauses: int = 0
    lost: list[str] = field(factory=list)
    wrong: list[str] = field(factory=list)


class TrappedCloud(SmallCloud):
    """A small cloud whose processes find traps."""

    def __init__(self, settings: str = SETTINGS) -> None:
        super().__init__(settings)
        self.traps = Traps(self.tree, self.folder / "traps")
        for name, lines in SHORT_WAITS.items():
            self._append(name, lines)
        self._clean = {name: (self.tree / name).read_text() for name in self._files()}
        self._changes = 0
        self.word = "w0"
        self.say(self.word)

    def _files(self) -> list[str]:
        return [
            str(path.relative_to(self.tree))
            for path in self.tree.rglob("*.py")
            if str(path.relative_to(self.tree)) != WORD_FILE
        ]

    def write_new_code(self, how: str, appended: dict[str, str], word: str) -> str:
        """Change the tree; gives what it says."""
        self.mend()
        self._changes += 1
        fresh = word or f"w{self._changes}"
        self.say(fresh)
        if how == "hand-over":
            self._append(KERNEL_FILE, f"# change {self._changes}")
        for name, lines in appended.items():
            self._append(name, lines)
        return fresh

    def _append(self, name: str, lines: str) -> None:
        with (self.tree / name).open("a") as file:
            file.write(f"\n\n{lines}\n")

    def mend(self) -> None:
        """Take away what was appended."""
        for name, text in self._clean.items():
            if (self.tree / name).read_text() != text:
                (self.tree / name).write_text(text)

    def running(self) -> list[int]:
        """Generations that workers run, once all is quiet: no change under way, nobody not ready."""
        status = self.status()
        workers = status["workers"]
        if status["upgrade"] or len(workers) != 3 or not all(worker["ready"] for worker in workers):
            return []
        return [worker["generations"][-1]["number"] for worker in workers]

    def is_settled(self) -> bool:
        """Every worker runs what was decided for, and all is well."""
        try:
            numbers = set(self.running())
            decided = self.status()["code"]["generation"]
            return numbers == {decided} and self.is_healthy()
        except LOST:
            return False

    def status(self) -> Any:
        """What is asked in the moment of the anchor's exec is asked again."""
        try:
            return super().status()
        except LOST:
            time.sleep(0.5)
            return super().status()

    def is_healthy(self) -> bool:
        """All parts do well; a worker that one fault after the other has ended is not blamed for it."""
        failing = [part["cause"] for part in self.health()["parts"].values() if part["status"] != "ok"]
        return all(cause.startswith(LOOPS) for cause in failing)

    def leftovers(self) -> list[str]:
        """Processes and files that should not be there."""
        found = [] if len(self.processes()) == PROCESSES else [f"processes {self.described()}"]
        run = sorted(path.name for path in (self.state / "run").iterdir())
        pids = set(self.worker_pids().values())
        found += [name for name in run if name not in {f"worker-{pid}.sock" for pid in pids}]
        code = self.status()["code"]
        copies = {code["hash"], code["previous_hash"], code["started_from"], self._anchors_copy(), "committed.json"}
        found += [path.name for path in (self.state / "code").iterdir() if path.name not in copies]
        return found

    def _anchors_copy(self) -> str:
        """Name of the folder that the anchor runs from: swaps leave it behind."""
        environment = Path(f"/proc/{self.status()['pid']}/environ").read_bytes().split(b"\0")
        (path,) = [line for line in environment if line.startswith(b"PYTHONPATH=")]
        return Path(path.decode()).name

    def is_clean(self) -> bool:
        """Nothing is left over."""
        try:
            return not self.leftovers()
        except LOST:  # the anchor becomes other code
            return False

    def described(self) -> list[str]:
        """All processes, in words."""
        found = []
        for pid in self.processes():
            with contextlib.suppress(OSError):
                words = (Path("/proc") / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found.append(f"{pid} {(Path('/proc') / str(pid) / 'comm').read_text().strip()} {words[:60]}")
        return found


class _Asking(threading.Thread):
    """Asks for an upgrade, and waits for its outcome, or for the death of the anchor."""

    def __init__(self, cloud: TrappedCloud, canary: float) -> None:
        super().__init__(daemon=True)
        self._cloud = cloud
        self._canary = canary
        self.outcome: Any = None
        self.ended_at = 0.0

    def run(self) -> None:
        with contextlib.suppress(OSError, http.client.HTTPException, IndexError, ValueError):
            told = self._cloud.upgrade(self._canary)
            self.outcome = told if told.get("type") == "outcome" else None
        self.ended_at = time.monotonic()


def play(cloud: TrappedCloud, fault: Fault) -> Played:
    """
    Upgrade with that fault, and look what became of everybody.

    :raises AssertionError: it did not end as it should; connections that were lost are told, not raised
    """
    played = Played(fault)
    old = cloud.word
    before = cloud.status()["code"]
    excused = {pid for name, pid in cloud.worker_pids().items() if name in fault.loses.split()}
    with Witnesses(cloud) as witnesses:
        new = cloud.write_new_code(fault.how, fault.appended, fault.word)
        cloud.traps.clear()
        if fault.step.startswith(("become", "next_anchor")):
            time.sleep(EXEC_S)  # an exec that the fault before has left to come would spring the trap
        if fault.step:
            cloud.traps.set(fault.step, fault.action, fault.who)
        fault_at, sprung = time.monotonic(), None
        asking = _Asking(cloud, fault.canary)
        asking.start()
        if fault.step:
            sprung = _wait_for_trap(cloud, fault.step, asking)
            fault_at = sprung.at
        if fault.meanwhile is not None:
            sprung = fault.meanwhile(cloud)
            fault_at = sprung.at
        asking.join(PATIENCE_S)
        assert not asking.is_alive(), f"no outcome\n{cloud.log()}"
        if sprung is not None and fault.wakes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(sprung.pid, signal.SIGCONT)  # one that was stopped wakes up
        played.outcome = asking.outcome
        _start_again(cloud)
        word = new if fault.serves == "new" else old
        cloud.wait(cloud.is_settled, "it has settled")
        cloud.wait(lambda: _everywhere(cloud, word), f"{word} serves, not {new}, after {asking.outcome}")
        cloud.word = word
        if sprung is None:  # the code itself is the fault, from its first answer on
            fault_at = witnesses.pinger.first_at.get(new, asking.ended_at)
        played.rollback_s = round(max(0.0, (asking.ended_at if asking.outcome else time.monotonic()) - fault_at), 3)
        _judge(played, witnesses.check(word), excused)
        witnesses.pinger.end()
        _measure(played, witnesses.pinger, fault_at, word, excused)
        _count(played)
    _look_after(cloud, played, before)
    return played


def _wait_for_trap(cloud: TrappedCloud, step: str, asking: _Asking) -> Sprung:
    """Until it goes off, which may be after the outcome; what became of an upgrade that did not come by is told."""
    try:
        sprung: Sprung = cloud.wait(lambda: cloud.traps.sprung(step), f"a trap at {step}")
    except AssertionError as error:
        raise AssertionError(f"asked for until then: {asking.is_alive()}; outcome: {asking.outcome}\n{error}") from None
    return sprung


def _everywhere(cloud: TrappedCloud, word: str) -> bool:
    """Eight newcomers are answered by it."""
    return {cloud.get("/")[1].split()[0] for _ in range(8)} == {word}


def _start_again(cloud: TrappedCloud) -> None:
    """A killed anchor is started again; its workers have served on."""
    assert cloud.process is not None
    died = threading.Event()
    for _ in range(20):
        if cloud.process.poll() is not None:
            died.set()
            break
        time.sleep(0.01)
    if died.is_set():
        assert cloud.get("/")[0] == 200
        cloud.start()


def _judge(played: Played, wrong: dict[Witness, str], excused: set[int]) -> None:
    for each, text in wrong.items():
        played.lost.append(text)
        if each.pid not in excused:
            played.wrong.append(text)


def _count(played: Played) -> None:
    most = played.fault.most_lost
    if most is not None and len(played.lost) > most:
        played.wrong.append(f"{len(played.lost)} connections were lost, and not {most} at most: {played.lost}")


def _measure(played: Played, pinger: Pinger, fault_at: float, word: str, excused: set[int]) -> None:
    others = [at for said, at in pinger.last_at.items() if said != word]
    played.answered_s = round(max([0.0, *(at - fault_at for at in others)]), 3)
    played.pause_s = round(pinger.longest_s, 4)
    if pinger.losses:
        text = f"pinger: lost {pinger.losses} times"
        played.lost.append(text)
        if pinger.pid not in excused:
            played.wrong.append(text)
    played.wrong += [text for text in pinger.last_at if text.startswith("status")]


def _look_after(cloud: TrappedCloud, played: Played, before: Any) -> None:
    """The version is known, nothing is left over, the cause is told, and the next upgrade works."""
    fault, outcome, after = played.fault, played.outcome, cloud.status()["code"]
    if fault.serves == "old":
        assert after["hash"] == before["hash"], (outcome, after)
    else:
        assert after["hash"] != before["hash"], (outcome, after)
    if outcome is not None:
        expected = "failed" if fault.serves == "old" else "committed"
        assert outcome["result"] in {expected, "refused"}, outcome
        text = "; ".join([outcome["cause"], *outcome["warnings"]])
        assert fault.cause in text, f"{fault.cause!r} is not in {text!r}"
    else:
        assert fault.cause in cloud.log(), fault.cause
    cloud.traps.clear()
    cloud.wait(lambda: len(cloud.processes()) == PROCESSES, "nobody else runs")  # while code is in use its copy stays
    cloud.wait(
        lambda: all(len(worker["generations"]) == 1 for worker in cloud.status()["workers"]), "older code was freed"
    )
    _wait_until_clean(cloud)
    cloud.word = cloud.write_new_code("swap", {}, "")
    outcome = cloud.upgrade()
    assert outcome["result"] == "committed", outcome
    assert _everywhere(cloud, cloud.word)
    _wait_until_clean(cloud)


def _wait_until_clean(cloud: TrappedCloud) -> None:
    try:
        cloud.wait(cloud.is_clean, "nothing is left over")
    except AssertionError as error:
        raise AssertionError(f"left over: {cloud.leftovers()}\n{error}") from None


def under_supervision(name: str, sign: signal.Signals) -> Callable[[TrappedCloud], Sprung]:
    """Send a signal to that new worker, or the anchor, while it is supervised."""

    def send(cloud: TrappedCloud) -> Sprung:
        cloud.wait(lambda: (cloud.status()["upgrade"] or {"step": ""})["step"] == "supervise", "the supervision")
        assert cloud.process is not None
        pid = cloud.process.pid if name == "anchor" else cloud.worker_pids()[name]
        os.kill(pid, sign)
        return Sprung(name, pid, time.monotonic())

    return send


def play_end(cloud: TrappedCloud, step: str, serves: Code, word: str = "") -> None:
    """
    SIGTERM to the anchor at that step of a hand-over: the requests in flight are answered, every process ends in order,
    and the next start has the code that was decided for.
    """
    old = cloud.word
    waiting = [Waiting(cloud) for _ in range(2)]
    new = cloud.write_new_code("hand-over", {}, word)
    cloud.traps.clear()
    cloud.traps.set(step, "SIGTERM", "anchor")
    asking = _Asking(cloud, 0)
    asking.start()
    _wait_for_trap(cloud, step, asking)
    for each in waiting:
        each.release()
    assert cloud.process is not None
    cloud.process.wait(PATIENCE_S)
    asking.join(PATIENCE_S)
    wrong = [text for each in waiting if (text := answered(each))]
    for each in waiting:
        each.end()
    assert not wrong, wrong
    cloud.wait(lambda: not cloud.processes(), f"every process has ended: {cloud.described()}")
    left = [path.name for path in (cloud.state / "run").iterdir()]
    assert not left and not (cloud.state / "control.sock").exists(), left
    cloud.mend()
    cloud.say("w0")
    cloud.traps.clear()
    cloud.start()
    cloud.word = new if serves == "new" else old
    cloud.wait(cloud.is_settled, "it has settled")
    assert _everywhere(cloud, cloud.word), (cloud.word, cloud.get("/"))


def answered(waiting: Waiting) -> str:
    """What is wrong with the answer of a request that was in flight when the daemon was told to end."""
    try:
        return waiting.go_on()
    except LOST as error:
        return f"lost: {type(error).__name__}: {error}"
