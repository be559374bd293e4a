"""``cloudctl node`` against a daemon in memory, and joining without one."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any
from unittest import mock

from cloudd.cli import Exit, _nodes
from cloudd.interfaces.application import OperationRefused
from cloudd.joining import JoinAnswer, JoinFailed, JoinToken

from .test_commands import CommandCase

NODE_ID = "a" * 32
TOKEN = JoinToken("192.0.2.1:5010", "f" * 64, "b" * 32, "5" * 64)


def facts(**changes: Any) -> dict[str, Any]:
    """A node as the application tells it."""
    return {
        "id": NODE_ID,
        "name": "[red]one",
        "state": "ready",
        "roles": ["api", "tasks"],
        "version": "0.1.0",
        "hash": "c" * 64,
        "generation": 4,
        "payloads": {"objects.purge": [1, 2]},
        "load": {"load1": 0.5, "cores": 2, "tasks": 3},
        "age_s": 3.2,
        "certificate": time.time() + 7_300,
        "own": True,
        **changes,
    }


class NodeTests(CommandCase):
    def test_list(self) -> None:
        """A line each with what was said last, who has which duty; removed ones only when they are asked for."""
        lost = facts(name="two", state="lost", own=False, age_s=7_300.0, silent=True)
        never = facts(name="three", state="joining", own=False, age_s=None, load={}, hash="", silent=True)
        gone = facts(name="four", state="removed", own=False)
        duties = [
            {"name": "nodes.upkeep", "node": "two", "owner": "host process 7", "ends_s": 3.0},
            {"name": "objects.sweep", "node": "", "owner": "", "ends_s": 0.0},
        ]
        self.host.operations["nodes.list"] = {"nodes": [facts(), lost, never, gone], "duties": duties}
        output = self.run_it("node", "list").output
        for text in ("[red]one (this one)", "api,tasks", "0.50 of 2", "3 s ago", "2 h ago", "lost", "joining, silent",
                     "never", "duty nodes.upkeep: two (host process 7)", "objects.sweep: nobody now"):  # fmt: skip
            self.assertIn(text, output)
        self.assertNotIn("four", output)
        self.assertIn("four", self.run_it("node", "list", "--all").output)
        self.assertEqual(len(json.loads(self.run_it("--json", "node", "list").output)["nodes"]), 3)

    def live(self, **changes: Any) -> dict[str, Any]:
        """What a node says of itself, as the application tells it."""
        code = {"start_tree": "/t", "started_from": "d" * 64, "hash": "c" * 64, "previous_hash": "", "generation": 4,
                "since": 1.0}  # fmt: skip
        change = {"type": "progress", "step": "canary", "text": "5 % of the connections"}
        status = {"version": "0.1.0", "started_at": 1.0, "code": code, "upgrade": change}
        parts = {"disk": {"status": "failing", "cause": "[bold]full"}, "tasks": {"status": "ok", "cause": ""}}
        health = {"status": "failing", "parts": parts}
        facts = {
            "id": NODE_ID,
            "name": "[red]one",
            "answers": True,
            "took_ms": 3.25,
            "status": status,
            "health": health,
        }
        return {**facts, **changes}

    def test_live(self) -> None:
        """What nodes say themselves, or why one says nothing; a daemon of before there was such a question as well."""
        self.host.operations["nodes.show"] = facts()
        self.host.operations["nodes.live"] = {"nodes": [self.live()]}
        output = self.run_it("node", "show", "one").output
        for text in ("answers in 3.2 ms: code cccccccccccc, generation 4", "under way: canary: 5 % of the connections",
                     "disk fails: [bold]full"):  # fmt: skip
            self.assertIn(text, output)
        self.assertNotIn("tasks fails", output)
        self.assertEqual(self.host.operated[-1], ("nodes.live", {"node": NODE_ID}))
        found = json.loads(self.run_it("--json", "node", "show", "one").output)
        self.assertEqual(found["live"]["status"]["upgrade"]["step"], "canary")

        del self.host.operations["nodes.live"]
        self.assertIn("the code that runs has no nodes.live", self.run_it("node", "show", "one").output)

        silent = self.live(id="b" * 32, name="two", answers=False, cause="it does not answer", status=None, health=None)
        well = self.live(health={"status": "ok", "parts": {}})
        self.host.operations["nodes.list"] = {"nodes": [facts(), facts(id="b" * 32, name="two", own=False)]}
        self.assertNotIn("answers", self.run_it("node", "list").output)
        self.host.operations["nodes.live"] = {"nodes": [well, silent]}
        output = self.run_it("node", "list", "--live").output
        for text in ("answers in", "ok", "answer"):
            self.assertIn(text, output)
        nodes = json.loads(self.run_it("--json", "node", "list", "--live").output)["nodes"]
        self.assertEqual([each["live"]["answers"] for each in nodes], [True, False])

    def test_live_of_other_code(self) -> None:
        """A node whose answer cannot be read here is told of with the cause, and hides no other one."""
        odd = self.live(id="b" * 32, name="two", status={"version": 2})
        self.host.operations["nodes.list"] = {"nodes": [facts(), facts(id="b" * 32, name="two", own=False)]}
        self.host.operations["nodes.live"] = {"nodes": [self.live(), odd]}
        nodes = json.loads(self.run_it("--json", "node", "list", "--live").output)["nodes"]
        self.assertEqual([each["live"]["answers"] for each in nodes], [True, False])
        self.assertIn("cannot be read here: Expected `str`, got `int`", nodes[1]["live"]["cause"])

    def test_show(self) -> None:
        """All facts; a name with anything in it reaches the application."""
        self.host.operations["nodes.show"] = facts(state="drained", state_s=130.0, state_by="root (process 8)")
        output = self.run_it("node", "show", "a&b=c d").output
        for text in (NODE_ID, "drained for 2 min, by root (process 8)", "generation 4", "objects.purge: 1, 2", "2 h"):
            self.assertIn(text, output)
        asked = [("nodes.show", {"node": "a&b=c d"}), ("nodes.live", {"node": NODE_ID})]
        self.assertEqual(self.host.operated, asked)

    def test_changes(self) -> None:
        """The application is told who asks; its refusals are shown."""
        who = "root (process 8)"
        for verb, state, options in (
            ("drain", "draining", ()),
            ("return", "ready", ()),
            ("remove", "removed", ("--yes",)),
        ):
            self.host.operated.clear()
            self.host.operations[f"nodes.{verb}"] = facts(state=state)
            self.assertIn(state, self.run_it("node", verb, "one", *options).output)
            [(call, arguments)] = self.host.operated
            self.assertEqual((call, arguments["node"], arguments["who"]), (f"nodes.{verb}", "one", who))
            self.host.operations[f"nodes.{verb}"] = OperationRefused("it is at work")
            self.assertIn("it is at work", self.run_it("node", verb, "one", *options, code=Exit.REFUSED).output)
        self.host.operations["nodes.remove"] = facts(state="removed")
        self.run_it("node", "remove", "one", "--yes", "--force")
        self.assertTrue(self.host.operated[-1][1]["force"])
        self.run_it("node", "remove", "one", code=Exit.USAGE)

    def test_wait(self) -> None:
        """``--wait`` looks until nothing runs; a node that was returned meanwhile is no success."""
        self.patch(_nodes, "time", mock.Mock(sleep=lambda _: None, time=time.time))
        for state, code in (("drained", Exit.OK), ("ready", Exit.REFUSED)):
            self.host.operations["nodes.drain"] = facts(state="draining")
            self.host.operations["nodes.show"] = facts(state=state)
            self.assertIn(state, self.run_it("node", "drain", "one", "--wait", code=code).output)

    def test_token(self) -> None:
        """The word alone is printed where a script reads; roles and times go to the application."""
        made: dict[str, Any] = {
            "token": "cloudd1-" + "x" * 300,
            "roles": ["api"],
            "valid_s": 900.0,
            "address": "192.0.2.1:5010",
        }
        self.host.operations["nodes.token"] = made
        output = self.run_it("node", "token", "--roles", "api, compute", "--valid", "15m").output
        self.assertIn(made["token"] + "\n", output)
        arguments = {"who": "root (process 8)", "roles": ["api", "compute"], "valid_s": 900.0}
        self.assertEqual(self.host.operated, [("nodes.token", arguments)])
        self.assertEqual(json.loads(self.run_it("--json", "node", "token").output)["token"], made["token"])
        for odd in ("1", "1w", "-1h", "h", "1.5h"):
            self.run_it("node", "token", "--valid", odd, code=Exit.USAGE)


class JoinTests(CommandCase):
    def setUp(self) -> None:
        super().setUp()
        self.asked: list[Any] = []
        self.answer: Any = JoinAnswer(node_id=NODE_ID, name="two", roles=["api"], certificate="", authority="")
        self.patch(_nodes, "join", self.join)
        self.empty = str(Path(self.mktemp()).absolute())

    def join(self, token: JoinToken, folder: Any, **facts: Any) -> Any:
        self.asked.append((token, folder.state, facts))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def test_joined(self) -> None:
        """With no daemon there; what to do next is told."""
        output = self.run_it("--state", self.empty, "node", "join", TOKEN.text(), "--name", "two").output
        self.assertIn(f"This machine is node two (api).  Start it: twistd -n cloudd --state {self.empty}", output)
        [(token, state, facts)] = self.asked
        self.assertEqual((token, str(state), facts["name"], facts["again"]), (TOKEN, self.empty, "two", False))
        found = json.loads(self.run_it("--json", "--state", self.empty, "node", "join", TOKEN.text()).output)
        self.assertEqual(found, {"id": NODE_ID, "name": "two", "roles": ["api"]})

    def test_refused(self) -> None:
        """A word that is no token, a folder that is in use or is not, and whatever the other side says."""
        self.run_it("--state", self.empty, "node", "join", "nonsense", code=Exit.USAGE)
        again = ("--state", self.empty, "node", "join", TOKEN.text(), "--again")
        self.assertIn("belongs to no node yet", self.run_it(*again, code=Exit.REFUSED).output)
        self.assertEqual(self.asked, [])
        self.answer = JoinFailed("nobody answers")
        output = self.run_it("--state", self.empty, "node", "join", TOKEN.text(), code=Exit.REFUSED).output
        self.assertIn("nobody answers", output)
