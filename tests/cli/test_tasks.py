"""``cloudctl task`` and ``objects purge`` against a daemon in memory."""

from __future__ import annotations

import json
import time
from typing import Any

from cloudd.cli import Exit, _tasks
from cloudd.interfaces.application import OperationRefused

from .test_commands import CommandCase

TASK_ID = "f" * 32


def facts(**changes: Any) -> dict[str, Any]:
    """A task as the application tells it."""
    return {
        "id": TASK_ID,
        "kind": "objects.purge_container",
        "state": "running",
        "created": time.time() - 7_300,
        "updated": time.time() - 5,
        "resource": "AUTH_p/[red]box",
        "progress": 500,
        **changes,
    }


class TaskTests(CommandCase):
    def test_list(self) -> None:
        """A line each, with its age and how far it is, and the cause below; the filters reach the application."""
        failed = facts(state="failed", cause="StoreFull: the disk is full", progress=3, total=9)
        self.host.operations["tasks.list"] = {"tasks": [facts(), failed, facts(cancelled="by me")], "more": True}
        output = self.run_it("task", "list", "--state", "failed", "--kind", "a.b", "--project", "p&q").output
        for text in (TASK_ID, "running", "AUTH_p/[red]box", "2 h old, 500 so far", "3 of 9", "the disk is full",
                     "will end: by me", "older ones were left out"):  # fmt: skip
            self.assertIn(text, output)
        asked = {"state": "failed", "kind": "a.b", "project_id": "p&q", "limit": 50}
        self.assertEqual(self.host.operated, [("tasks.list", asked)])
        self.assertEqual(len(json.loads(self.run_it("--json", "task", "list").output)["tasks"]), 3)
        self.host.operations["tasks.list"] = {"tasks": [], "more": False}
        self.assertIn("there are none", self.run_it("task", "list").output)
        self.run_it("task", "list", "--state", "odd", code=Exit.USAGE)

    def test_show(self) -> None:
        """All facts, and 1 for a task that has failed."""
        self.host.operations["tasks.show"] = facts(payload={"container": "box"}, owner="host process 7", waits_s=3.5)
        output = self.run_it("task", "show", TASK_ID).output
        for text in ("container: box", "host process 7", "lease ends in", "3.5 s", "2 h ago"):
            self.assertIn(text, output)
        self.host.operations["tasks.show"] = facts(state="failed", cause="why")
        self.assertIn("why", self.run_it("task", "show", TASK_ID, code=Exit.REFUSED).output)

    def test_cancel_and_retry(self) -> None:
        """The application is told who asks; its refusals are shown."""
        for verb in ("cancel", "retry"):
            self.host.operated.clear()
            self.host.operations[f"tasks.{verb}"] = facts(cancelled="cancelled by root (process 8)")
            self.assertIn("cancelled by root", self.run_it("task", verb, TASK_ID).output)
            arguments = {"task_id": TASK_ID, "who": "root (process 8)"}
            self.assertEqual(self.host.operated, [(f"tasks.{verb}", arguments)])
            self.host.operations[f"tasks.{verb}"] = OperationRefused("it is done already")
            self.assertIn("it is done already", self.run_it("task", verb, TASK_ID, code=Exit.REFUSED).output)


class PurgeTests(CommandCase):
    def setUp(self) -> None:
        super().setUp()
        self.host.operations["objects.purge"] = facts(state="queued")

    def test_ordered(self) -> None:
        """The task is shown; the order has a request id of its own."""
        self.assertIn(TASK_ID, self.run_it("objects", "purge", "p", "box", "--yes").output)
        [(call, arguments)] = self.host.operated
        self.assertEqual((call, arguments["project_id"], arguments["container"]), ("objects.purge", "p", "box"))
        self.assertRegex(arguments["request_id"], "^req-[0-9a-f-]{36}$")

    def test_nobody_can_be_asked(self) -> None:
        """Without --yes nothing is deleted by a script."""
        self.assertIn("--yes", self.run_it("objects", "purge", "p", "box", code=Exit.USAGE).output)
        self.assertEqual(self.host.operated, [])

    def test_backup(self) -> None:
        """One without a file is ordered from the daemon, likewise."""
        self.patch(_tasks, "LOOK_S", 0)
        self.host.operations["backups.make"] = facts(kind="backups.back_up", state="queued")
        self.host.operations["tasks.show"] = facts(state="done", result={"file": "/b/1"})
        self.assertIn("backups.back_up", self.run_it("backup").output)
        self.assertIn("file: /b/1", self.run_it("backup", "--wait").output)
        self.assertIn("--config", self.run_it("backup", "--config", "x", code=Exit.USAGE).output)

    def test_wait(self) -> None:
        """It is looked at until it ends; 1 when it failed."""
        self.patch(_tasks, "LOOK_S", 0)
        self.host.operations["tasks.show"] = facts(state="done", result={"deleted": 7})
        self.assertIn("deleted: 7", self.run_it("objects", "purge", "p", "box", "--yes", "--wait").output)
        self.host.operations["tasks.show"] = facts(state="failed", cause="why")
        self.run_it("objects", "purge", "p", "box", "--yes", "--wait", code=Exit.REFUSED)
