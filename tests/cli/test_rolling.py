"""``cloudctl upgrade --rolling`` and what belongs to it, against a daemon in memory."""

from __future__ import annotations

import json
from typing import Any

from cloudd.cli import Exit, _rolling
from cloudd.interfaces.application import OperationRefused

from .test_commands import CommandCase

NEW, OLD = "1" * 64, "0" * 64
RELEASE = {"id": "r", "new_hash": NEW, "state": "open", "nodes": 2}


def plan(*causes: str) -> dict[str, Any]:
    node = {"id": "a", "name": "[b]one", "state": "ready", "own": True, "hash": OLD, "target_hash": NEW, "kind": "swap",
            "reason": "two modules"}  # fmt: skip
    away = {"id": "b", "name": "two", "state": "lost", "hash": OLD}
    return {
        "target_hash": NEW, "nodes": [node, away], "causes": list(causes), "warnings": ["two is away"], "parallel": 1
    }  # fmt: skip


def status(state: str, *nodes: tuple[str, str], **facts: Any) -> dict[str, Any]:
    return {
        "id": "t-1", "action": "upgrade", "state": state, "step": "roll", "who": "ann", "target_hash": NEW,
        "progress": 1, "total": 2, "release": RELEASE,
        "nodes": [{"id": name, "name": name, "state": each, "before": OLD} for name, each in nodes], **facts,
    }  # fmt: skip


class RollingCase(CommandCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(_rolling, "LOOK_S", 0.0)
        self.answers: dict[str, list[Any]] = {}
        operate = self.host.operate

        def next_answer(call: str, arguments: Any) -> Any:
            found = self.answers.get(call)
            if found:
                self.host.operations[call] = found.pop(0)
            return operate(call, arguments)

        self.patch(self.host, "operate", next_answer)
        self.host.operations["rolling.plan"] = plan()
        self.answers["rolling.upgrade"] = [status("queued")]


class UpgradeTests(RollingCase):
    def test_good(self) -> None:
        """The plan, each node's states as they change, and the end with the next step."""
        self.answers["rolling.status"] = [
            status("running", ("one", "ordered"), ("two", "away")),
            OperationRefused("the agent is not there: this node is upgraded itself"),
            status("running", ("one", "settling"), ("two", "away")),
            status("done", ("one", "done"), ("two", "away")),
        ]
        output = self.run_it("upgrade", "--rolling", "--to", "/srv/new", "--settle", "1m", "--parallel", "3",
                             "--yes").output  # fmt: skip
        for text in ("to 111111111111, one node at a time", "[b]one (this)", "two modules", "is left out",
                     "warning: two is away", "one: ordered", "one: settling", "one: done", "two was left out",
                     "cloudctl finalize"):  # fmt: skip
            self.assertIn(text, output)
        call, asked = next(each for each in self.host.operated if each[0] == "rolling.upgrade")
        self.assertEqual((asked["tree"], asked["expected_hash"], asked["settle_s"], asked["parallel"]),
                         ("/srv/new", NEW, 60.0, 3))  # fmt: skip
        self.assertIn("root", asked["who"])
        self.assertEqual(call, "rolling.upgrade")

    def test_failed(self) -> None:
        self.answers["rolling.status"] = [status("failed", ("one", "back"), step="undo", cause="node one: it burns")]
        output = self.run_it("upgrade", "--rolling", "--yes", code=Exit.REFUSED).output
        self.assertIn("failed: node one: it burns", output)

    def test_refused(self) -> None:
        """What stands against it is shown, and nothing is asked for."""
        self.host.operations["rolling.plan"] = plan("node two is draining")
        output = self.run_it("upgrade", "--rolling", "--yes", code=Exit.REFUSED).output
        self.assertIn("refused: node two is draining", output)
        self.assertNotIn("rolling.upgrade", [call for call, _ in self.host.operated])

    def test_check(self) -> None:
        self.assertIn("two modules", self.run_it("upgrade", "--rolling", "--check").output)
        self.assertEqual([call for call, _ in self.host.operated], ["rolling.plan"])

    def test_asks(self) -> None:
        output = self.run_it("upgrade", "--rolling", answer="n\n", terminal=True, code=Exit.REFUSED).output
        self.assertIn("Upgrade all nodes?", output)
        self.assertNotIn("rolling.upgrade", [call for call, _ in self.host.operated])

    def test_for_programs(self) -> None:
        """A line for each change, the last one is the outcome."""
        done = status("done", ("one", "done"))
        self.answers["rolling.status"] = [status("queued"), status("running", ("one", "ordered")), done]
        lines = self.run_it("--json", "upgrade", "--rolling", "--yes").output.splitlines()
        self.assertEqual([json.loads(line)["state"] for line in lines], ["queued", "running", "done"])

    def test_the_daemon_stays_away(self) -> None:
        """It is not waited for without end; the change goes on without this command."""
        self.patch(_rolling, "PATIENCE_S", -1.0)
        self.host.operations["rolling.status"] = OperationRefused("nobody answers")
        output = self.run_it("upgrade", "--rolling", "--yes", code=Exit.UNREACHABLE).output
        self.assertIn("the change goes on", output)


class RollbackTests(RollingCase):
    def test_good(self) -> None:
        self.answers["rolling.status"] = [status("done"), status("done", ("one", "back"), action="rollback")]
        self.answers["rolling.rollback"] = [status("running", action="rollback")]
        output = self.run_it("rollback", "--rolling", "--yes").output
        self.assertIn("All nodes that were upgraded run the code that they had", output)

    def test_no_way_back(self) -> None:
        self.host.operations["rolling.status"] = {"release": None}
        self.host.operations["rolling.rollback"] = OperationRefused("there is no upgrade that can be gone back from")
        output = self.run_it("rollback", "--rolling", "--yes", code=Exit.REFUSED).output
        self.assertIn("no upgrade that can be gone back from", output)


class StatusTests(RollingCase):
    def test_views(self) -> None:
        self.host.operations["rolling.status"] = status(
            "running", ("one", "failed"), ("two", "returning"), step="undo", cause=""
        )
        output = self.run_it("status", "--rolling").output
        for text in ("going back after a failure to 111111111111: running, 1 of 2 nodes, for ann", "returning",
                     "way back until"):  # fmt: skip
            self.assertIn(text, output)
        self.host.operations["rolling.status"] = {"release": None}
        self.assertIn("no rolling change yet", self.run_it("status", "--rolling").output)

    def test_follows(self) -> None:
        self.answers["rolling.status"] = [status("running", ("one", "ordered")), status("done", ("one", "done"))]
        self.assertIn("one: done", self.run_it("status", "--rolling", "--watch").output)


class FinalizeTests(RollingCase):
    def test_good(self) -> None:
        ready = {"hash": NEW, "steps": ["0007_names"], "causes": [], "nothing": False, "done": False}
        self.answers["rolling.finalize"] = [ready, {**ready, "done": True}]
        output = self.run_it("finalize", "--yes").output
        self.assertIn("111111111111 would be final; from the tables go: 0007_names", output)
        self.assertIn("111111111111 is final", output)
        self.assertEqual([asked["check"] for _, asked in self.host.operated], [True, False])

    def test_refused(self) -> None:
        self.host.operations["rolling.finalize"] = {"causes": ["node two is away"]}
        self.assertIn("node two is away", self.run_it("finalize", "--yes", code=Exit.REFUSED).output)
        self.assertEqual([asked["check"] for _, asked in self.host.operated], [True])

    def test_nothing(self) -> None:
        self.host.operations["rolling.finalize"] = {"nothing": True}
        self.assertIn("nothing is to be made final", self.run_it("finalize").output)
