"""``cloudctl`` against a daemon in memory, through the control protocol: output and exit codes."""

from __future__ import annotations

import http.client
import json
import os
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

from click.testing import CliRunner, Result
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from cloudd.cli import Exit, _change, _commands, main
from cloudd.cli._client import ControlClient
from cloudd.control import Health
from cloudd.protocols.control import ControlFactory
from tests.control.daemon import DaemonCase, WireConnection


class CommandCase(DaemonCase):
    def setUp(self) -> None:
        super().setUp()
        self.connect: Any = lambda _path, _timeout_s: WireConnection(self.factory)
        self.states: list[Path] = []

        def client(state: Path) -> ControlClient:
            self.states.append(state)
            return ControlClient(state, self.connect)

        self.patch(_commands, "ControlClient", client)

    def run_it(self, *arguments: str, code: int = Exit.OK, answer: str | None = None, terminal: bool = False) -> Result:
        """One ``cloudctl`` that must end with ``code``."""
        with mock.patch.object(_change, "is_terminal", lambda: terminal):
            result = CliRunner().invoke(main, list(arguments), input=answer, catch_exceptions=False)
        self.assertEqual(result.exit_code, code, result.output)
        return result


class LookTests(CommandCase):
    def test_status(self) -> None:
        """Processes, code, generations with their counts, and what holds an old one."""
        output = self.run_it("status").output
        for text in ("0.1.0, process 7", "http://127.0.0.1:5000", self.old.hash[:12], "front-0", "serving", "ending",
                     "not ready", "still held: list of 3 -> class a.B", str(self.start)):  # fmt: skip
            self.assertIn(text, output)
        self.assertNotIn("cloudd.application", output)
        self.assertIn("cloudd.application", self.run_it("status", "--modules").output)

    def test_status_for_programs(self) -> None:
        """With ``--json`` the message itself."""
        found = json.loads(self.run_it("--json", "status").output)
        self.assertEqual((found["code"]["hash"], found["api"]), (self.old.hash, 1))
        self.assertEqual(found["workers"][0]["generations"][1]["connections"], 3)

    def test_health(self) -> None:
        """0 when all is well, else 1 with the cause."""
        self.assertIn("database", self.run_it("health").output)
        part = {"status": "failing", "cause": "the disk is full: remove something"}
        self.host.found_health = Health(status="failing", parts={"store": part})
        self.assertIn("the disk is full", self.run_it("health", code=Exit.REFUSED).output)
        self.assertEqual(json.loads(self.run_it("--json", "health", code=1).output)["parts"]["store"], part)

    def test_audit(self) -> None:
        """Entries as a table, with how they ended; ``--limit`` is kept."""
        self.run_it("rollback", "--yes", code=Exit.REFUSED)
        self.run_it("upgrade", "--yes")
        self.version(2)
        self.run_it("upgrade", "--yes")
        output = self.run_it("audit").output
        for text in ("rollback", "refused", "nothing to go back to", "committed", "root (8)", self.old.hash[:8]):
            self.assertIn(text, output)
        self.assertIn("left out", self.run_it("audit", "--limit", "1").output)
        self.assertEqual(len(json.loads(self.run_it("--json", "audit", "--limit", "1").output)["entries"]), 1)
        self.run_it("audit", "--limit", "0", code=Exit.USAGE)

    def test_the_state_folder(self) -> None:
        """``--state``, then ``$CLOUDD_STATE``."""
        self.run_it("--state", "/some/where", "status")
        self.patch(os, "environ", {"CLOUDD_STATE": "/else/where"})
        self.run_it("status")
        self.assertEqual(self.states, [Path("/some/where"), Path("/else/where")])


class ChangeTests(CommandCase):
    def test_check_shows_the_plan_and_changes_nothing(self) -> None:
        """A swap and nothing to do are 0, what cannot be done is 1 with its cause."""
        self.assertIn("Nothing to do", self.run_it("upgrade", "--check").output)
        self.version(2)
        output = self.run_it("upgrade", "--check").output
        self.assertIn("A swap is enough: 1 module will be loaded as generation 2", output)
        self.assertIn("cloudd.application", output)
        self.write_tree(self.start, {"reload/__init__.py": "new = 1"})
        self.assertIn("A hand-over to new processes is needed", self.run_it("upgrade", "--check").output)
        self.assertEqual(json.loads(self.run_it("--json", "upgrade", "--check").output)["kernel"], ["reload"])
        shutil.rmtree(self.start / "storage")
        self.assertIn("Refused", self.run_it("upgrade", "--check", code=Exit.REFUSED).output)
        self.assertUnchanged()

    def test_upgrade(self) -> None:
        """The plan, each step, and a clear end."""
        new = self.version(2)
        output = self.run_it("upgrade", "--yes").output
        for text in ("check", "reading the tree", "prepare", "generation 2", "commit", "takes over", "upgrade: done in",
                     new.hash[:12], "1 module changed"):  # fmt: skip
            self.assertIn(text, output)
        self.assertIn("nothing to do", self.run_it("upgrade", "--yes").output.lower())

    def test_upgrade_to_another_tree(self) -> None:
        """A relative path is made absolute here; the daemon says whether it may be loaded."""
        output = self.run_it("upgrade", "--to", "elsewhere", "--yes", code=Exit.REFUSED).output
        self.assertIn(str(Path("elsewhere").absolute()), output)
        self.assertIn("[upgrade] trees", output)

    def test_upgrade_for_programs(self) -> None:
        """JSON lines; the last one is the outcome."""
        self.version(2)
        lines = [json.loads(line) for line in self.run_it("--json", "upgrade", "--yes").output.splitlines()]
        self.assertEqual([line["type"] for line in lines], ["progress"] * 5 + ["outcome"])
        self.assertEqual(lines[-1]["result"], "committed")

    def test_what_cannot_be_done_is_tried_and_written_down(self) -> None:
        """Who asked for code that must not be loaded is seen in the audit log; nobody is asked first."""
        (self.start / "link").symlink_to("/")
        (self.start / "cloudd" / "link.py").symlink_to("/etc/hosts")
        self.assertIn("refused: ", self.run_it("upgrade", code=Exit.REFUSED).output)
        self.run_it("upgrade", "--to", "/elsewhere", code=Exit.REFUSED)
        entries = json.loads(self.run_it("--json", "audit").output)["entries"]
        self.assertEqual([entry["result"] for entry in entries], ["refused", "refused"])
        self.assertUnchanged()

    def test_the_last_line_for_programs_is_always_an_outcome(self) -> None:
        """Also when there is nothing to do."""
        last = json.loads(self.run_it("--json", "upgrade").output.splitlines()[-1])
        self.assertEqual((last["type"], last["result"]), ("outcome", "unchanged"))

    def test_a_failure(self) -> None:
        """1, with the cause, and that all is as before."""
        self.version(2)
        self.workers.errors["prepare"] = RuntimeError("front-0: cloudd.application line 3: KeyError: 'x'")
        output = self.run_it("upgrade", "--yes", code=Exit.REFUSED).output
        self.assertIn("everything is as before", output)
        self.assertIn("KeyError: 'x'", output)

    def test_the_way_and_the_canary(self) -> None:
        """Both are passed on, and the plan says which way it goes, why, and how the code is tried."""
        self.version(2)
        output = self.run_it("upgrade", "--check", "--canary", "7.5").output
        for text in (
            "7.5 % of the connections for up to 10 s",
            "why so",
            "swappable",
            "ends in the code where it began",
        ):
            self.assertIn(text, output)
        self.assertIn("committed at once", self.run_it("upgrade", "--check").output)
        self.assertIn("a hand-over was asked for", self.run_it("upgrade", "--how", "hand-over", "--check").output)
        self.write_tree(self.start, {"reload/__init__.py": "new = 1"})
        output = self.run_it("upgrade", "--how", "swap", code=Exit.REFUSED).output
        self.assertIn("a swap was asked for, but reload changed", output)
        for wrong in (("--canary", "95"), ("--canary", "-1"), ("--canary", "nan"), ("--how", "restart")):
            self.run_it("upgrade", *wrong, code=Exit.USAGE)

    def test_warnings_are_shown(self) -> None:
        """A change that stands with a blemish is 0, and the blemish is told."""
        self.version(2)
        self.workers.silent = ["agent-0"]
        self.assertIn("warning: agent-0 did not confirm", self.run_it("upgrade", "--yes").output)

    def test_asking(self) -> None:
        """Without ``--yes`` a person is asked; where there is none it is wrong usage."""
        self.version(2)
        self.assertIn("--yes", self.run_it("upgrade", code=Exit.USAGE).output)
        self.assertIn("Nothing was changed", self.run_it("upgrade", code=1, answer="n\n", terminal=True).output)
        self.assertUnchanged()
        self.assertIn("done in", self.run_it("upgrade", answer="y\n", terminal=True).output)
        output = self.run_it("rollback", answer="y\n", terminal=True).output
        self.assertIn(f"to {self.old.hash[:12]}?", output)
        self.assertIn("roll back: done in", output)

    def test_a_second_rollback_is_warned_of(self) -> None:
        """It brings back what was rolled back: told in the status, before the question, and at the end."""
        self.version(2)
        self.run_it("upgrade", "--yes")
        self.assertNotIn("warning", self.run_it("rollback", "--yes").output)
        warning = "this brings back the code that was rolled back at 1970-01-01 00:03:20 UTC"
        self.assertIn(f"({warning})", self.run_it("status").output)
        self.assertIn(f"warning: {warning}", self.run_it("upgrade", "--check").output)
        self.assertIn("--yes", self.run_it("rollback", code=Exit.USAGE).output)
        output = self.run_it("rollback", code=1, answer="n\n", terminal=True).output
        question = output.index("Go back from")
        self.assertLess(output.index(f"warning: {warning}"), question)
        self.assertIn(f"warning: {warning}", self.run_it("rollback", "--yes").output)
        self.assertIn(warning, self.run_it("audit").output)
        self.assertNotIn("warning", self.run_it("rollback", "--yes").output)

    def test_a_second_change(self) -> None:
        """Refused with what the first one is doing."""
        self.version(2)
        self.workers.gates["prepare"] = Deferred()
        first = self.upgrade()
        self.assertIn("another change is under way", self.run_it("rollback", "--yes", code=Exit.REFUSED).output)
        self.assertNoResult(first)

    def test_a_tree_that_changes_after_the_plan(self) -> None:
        """What was shown is what is loaded."""
        self.version(2)
        connect, calls = self.connect, []

        def change_after_plan(path: Path, timeout_s: float) -> http.client.HTTPConnection:
            calls.append(path)
            if len(calls) == 2:
                self.version(3)
            found: http.client.HTTPConnection = connect(path, timeout_s)
            return found

        self.connect = change_after_plan
        self.assertIn("since the plan", self.run_it("upgrade", "--yes", code=Exit.REFUSED).output)


class UnreachableTests(CommandCase):
    def test_no_daemon(self) -> None:
        """3, and what to do, for every reason there can be; with ``--json`` as an object too."""
        for error, word in (
            (FileNotFoundError(2, "no"), "start it, or name another folder"),
            (ConnectionRefusedError(111, "no"), "has ended"),
            (PermissionError(13, "no"), "daemon's own user and root"),
            (TimeoutError("slow"), "does not answer"),
            (OSError(5, "odd"), "cannot be spoken to"),
        ):
            self.connect = self.failing(error)
            self.assertIn(word, self.run_it("status", code=Exit.UNREACHABLE).output)
        found = json.loads(self.run_it("--json", "rollback", "--yes", code=3).stdout)
        self.assertEqual(found["exit"], 3)

    def failing(self, error: OSError) -> Any:
        def connect(_path: Path, _timeout_s: float) -> Any:
            connection = WireConnection(self.factory)
            self.patch(connection, "connect", mock.Mock(side_effect=error))
            return connection

        return connect

    def test_the_daemon_refuses_the_caller(self) -> None:
        """Its words, and 1."""
        self.factory = ControlFactory(self.host, Clock(), lambda _transport: (65_534, 9))
        self.patch(os, "geteuid", lambda: 0)
        self.assertIn("not user 65534", self.run_it("status", code=Exit.REFUSED).output)
        self.assertIn("not user 65534", self.run_it("rollback", "--yes", code=Exit.REFUSED).output)

    def test_a_stream_that_breaks_off(self) -> None:
        """The daemon died in the middle: 3, and where to look."""
        self.version(2)
        self.workers.gates["prepare"] = Deferred()
        self.assertIn("cloudctl status", self.run_it("upgrade", "--yes", code=Exit.UNREACHABLE).output)

    def test_an_answer_that_is_none(self) -> None:
        """Something else listens there."""
        for answer in (b"220 mail.example.org ESMTP\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]",
                       b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\noh"):  # fmt: skip
            self.patch(self.factory, "buildProtocol", lambda _address, answer=answer: Foreign(answer))
            code = Exit.REFUSED if b"500" in answer else Exit.UNREACHABLE
            self.run_it("status", code=code)


class Foreign:
    """A protocol that answers anything with the same bytes."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    def makeConnection(self, transport: Any) -> None:
        transport.write(self._answer)

    def dataReceived(self, data: bytes) -> None:
        """Nothing is read."""

    def connectionLost(self, _reason: object) -> None:
        """Nothing to end."""
