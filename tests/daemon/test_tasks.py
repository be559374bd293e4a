"""Tasks of a real cloud: purges that go on through swaps, hand-overs, restarts and kills of whoever does them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench.swap import copy_tree
from tests.event_stream import ask, log_in
from tests.running_cloud import RunningCloud

SETTINGS = """
[workers]
front = 1
[upgrade]
window_s = 0.5
canary_percent = 0
canary_period_s = 4
trees = {trees}
[tasks]
lease_s = 2
[objects]
purge_delay_s = 1
"""
COUNT = 100
DELETE = "await self.store.delete_objects(account, container, names)"
DELETE_LISTED = "await store.delete_objects(listed.account, container, names, listed.until_us)"
REST = """

async def rest() -> None:
    from pathlib import Path

    from twisted.internet import reactor, task

    for _ in range(20):
        if Path({slow!r}).exists():
            await task.deferLater(reactor, 0.05)
"""
PATIENCE_S = 60.0


class PurgeTests(SynchronousTestCase):
    """
    The code is this checkout's with small pages and, while ``self.slow`` exists, a rest of a second after each: a purge
    can be interrupted however long the interruption takes to come.
    """

    def setUp(self) -> None:
        self.trees = Path(tempfile.mkdtemp(prefix="cloudd-tasks-"))
        self.addCleanup(shutil.rmtree, self.trees)
        self.slow = self.trees / "slow"
        self.made = 0
        self.cloud = RunningCloud(SETTINGS.format(trees=json.dumps([str(self.trees)])), tree=self.tree())
        self.addCleanup(self.cloud.remove)
        self.cloud.start()
        self.token, self.project = log_in(self.cloud)

    def tree(self) -> Path:
        """A copy of the code with slow purges, another one each time."""
        self.made += 1
        tree = copy_tree(self.trees / str(self.made))
        for name, delete in (("_purge.py", DELETE), ("_bulk.py", DELETE_LISTED)):
            module = tree / "cloudd" / "objects" / name
            source = module.read_text()
            for text, slower in (
                ("PAGE = 500", f"PAGE = 2  # {self.made}"),
                (delete, f"{delete}\n            await rest()"),
            ):
                self.assertEqual(source.count(text), 1)
                source = source.replace(text, slower)
            module.write_text(source + REST.format(slow=str(self.slow)))
        return tree

    def cloudctl(self, *words: str) -> Any:
        """What a command says as JSON, of a stream the last line; it must succeed."""
        command = [str(Path(sys.executable).parent / "cloudctl"), "--state", str(self.cloud.state), "--json", *words]
        environment = {**os.environ, "PYTHONPATH": str(self.cloud.tree)}
        ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        self.assertEqual(ran.returncode, 0, f"{ran.stdout}\n{ran.stderr}\n{self.cloud.log()}")
        return json.loads(ran.stdout if words[0] != "upgrade" else ran.stdout.splitlines()[-1])

    def request(self, method: str, path: str, token: str = "") -> int:
        headers = {"X-Auth-Token": token or self.token, "Content-Length": "0"}
        status, _, _ = ask(self.cloud, "object", method, path, None, headers)
        return status

    def fill(self, container: str, count: int = COUNT) -> None:
        account = f"/v1/AUTH_{self.project}/{container}"
        self.assertEqual(self.request("PUT", account), 201)
        for number in range(count):
            self.assertEqual(self.request("PUT", f"{account}/o{number:04d}"), 201)

    def purge(self, container: str) -> str:
        task_id: str = self.cloudctl("objects", "purge", self.project, container, "--yes")["id"]
        return task_id

    def begun_purge(self, container: str) -> str:
        """One that goes on slowly, and has done a page."""
        self.slow.touch()
        task_id = self.purge(container)
        task = self.until(task_id, lambda task: task["progress"] > 0)
        self.assertEqual(task["state"], "running", "it was over before it could be interrupted")
        return task_id

    def task(self, task_id: str) -> Any:
        return self.cloudctl("task", "show", task_id)

    def until(self, task_id: str, condition: Callable[[Any], bool]) -> Any:
        deadline = time.monotonic() + PATIENCE_S
        while not condition(task := self.task(task_id)):
            self.assertLess(time.monotonic(), deadline, f"{task}\n{self.cloud.log()}")
        return task

    def agent(self) -> Any:
        return next(worker for worker in self.cloudctl("status")["workers"] if worker["name"] == "agent")

    def interrupted(self, container: str, interrupt: Callable[[], object]) -> Any:
        """A purge in the middle of which something happens; gives how long it took afterwards."""
        self.fill(container)
        task_id = self.begun_purge(container)
        interrupt()
        self.slow.unlink()
        after = self.until(task_id, lambda task: task["state"] not in {"queued", "running"})
        self.assertEqual((after["state"], after["result"], after["cause"]), ("done", {"deleted": COUNT}, ""))
        self.assertEqual(self.request("GET", f"/v1/AUTH_{self.project}/{container}"), 404)
        return after

    def test_interrupted(self) -> None:
        """By a swap, a hand-over, a kill and a restart: each purge ends once, with all objects counted."""
        self.interrupted("swap", lambda: self.upgrade("swap"))
        self.interrupted("hand-over", lambda: self.upgrade("hand-over"))
        self.interrupted("kill", lambda: os.kill(self.agent()["pid"], signal.SIGKILL))
        self.interrupted("restart", self.restart)
        found = self.cloudctl("task", "list")["tasks"]
        self.assertEqual([task["state"] for task in found], ["done"] * 4)
        deadline = time.monotonic() + PATIENCE_S
        while len(generations := self.agent()["generations"]) > 1 and time.monotonic() < deadline:
            self.assertEqual([generation["holders"] for generation in generations], [[]] * len(generations))
        self.assertEqual(len(generations), 1)

    def test_bulk_deletion(self) -> None:
        """Its client waits, whatever happens to who deletes, and is told of each object once."""
        self.fill("many", 30)
        self.slow.touch()
        names = "".join(f"many/o{number:04d}\n" for number in range(31))
        headers = {"X-Auth-Token": self.token, "Content-Type": "text/plain", "Accept": "application/json"}
        with ThreadPoolExecutor(1) as pool:
            path = f"/v1/AUTH_{self.project}?bulk-delete"
            answer = pool.submit(ask, self.cloud, "object", "POST", path, names, headers)
            deadline = time.monotonic() + PATIENCE_S
            while not any(task["progress"] for task in self.cloudctl("task", "list", "--state", "running")["tasks"]):
                self.assertLess(time.monotonic(), deadline, self.cloud.log())
            os.kill(self.agent()["pid"], signal.SIGKILL)
            self.slow.unlink()
            status, _, body = answer.result(PATIENCE_S)
        self.assertEqual(status, 200)
        outcome = json.loads(body)
        self.assertEqual((outcome["Number Deleted"], outcome["Number Not Found"], outcome["Errors"]), (30, 1, []))

    def upgrade_in_canary(self, tree: Path) -> Any:
        """An upgrade with a canary that lasts 4 s and more, as JSON; it may fail."""
        command = [str(Path(sys.executable).parent / "cloudctl"), "--state", str(self.cloud.state), "--json"]
        ran = subprocess.run(
            [*command, "upgrade", "--to", str(tree), "--canary", "50", "--yes"],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": str(self.cloud.tree)},
        )
        return json.loads(ran.stdout.splitlines()[-1])

    def test_on_trial(self) -> None:
        """In a canary new code does the purges: bad code is found out by them, and harms none; good code ends them."""
        self.fill("box")
        task_id = self.begun_purge("box")
        bad = self.tree()
        module = bad / "cloudd" / "objects" / "_purge.py"
        module.write_text(module.read_text().replace(DELETE, "raise ValueError('bad code')"))
        outcome = self.upgrade_in_canary(bad)
        self.assertEqual(outcome["result"], "failed", outcome)
        self.assertIn("tasks of the kind objects.purge_container failed in 3 of 3 attempts", outcome["cause"])
        self.assertIn("the last one with: ValueError: bad code", outcome["cause"])
        self.slow.unlink()
        after = self.until(task_id, lambda task: task["state"] not in {"queued", "running"})
        self.assertEqual((after["state"], after["result"], after["cause"]), ("done", {"deleted": COUNT}, ""))
        self.fill("crate")
        second = self.begun_purge("crate")
        outcome = self.upgrade_in_canary(self.tree())
        self.assertEqual(outcome["result"], "committed", outcome)
        self.assertRegex(outcome["canary"], r"; tasks of (\d+) of \1 kinds went over: \d ended, 0 failed, 1 running$")
        self.assertIn(f"generation {outcome['generation']}", self.task(second)["owner"])
        self.slow.unlink()
        after = self.until(second, lambda task: task["state"] not in {"queued", "running"})
        self.assertEqual((after["state"], after["result"]), ("done", {"deleted": COUNT}))

    def upgrade(self, how: str) -> None:
        outcome = self.cloudctl("upgrade", "--to", str(self.tree()), "--how", how, "--yes")
        self.assertEqual((outcome["result"], outcome["how"]), ("committed", how))

    def restart(self) -> None:
        self.cloud.stop()
        self.cloud.start()

    def test_cancelled_and_tried_again(self) -> None:
        """A cancelled purge has failed and leaves the rest; another try goes on. Health tells of it, and is well."""
        self.fill("box")
        task_id = self.begun_purge("box")
        self.assertEqual(self.cloudctl("task", "cancel", task_id)["id"], task_id)
        task = self.until_failed(task_id)
        self.assertIn("cancelled by", task["cause"])
        self.assertEqual(self.request("GET", f"/v1/AUTH_{self.project}/box"), 200)
        deadline = time.monotonic() + PATIENCE_S
        while "1 failed" not in (part := self.cloudctl("health")["parts"]["tasks"])["cause"]:
            self.assertLess(time.monotonic(), deadline)
        self.assertEqual(part["status"], "ok")
        self.slow.unlink()
        self.cloudctl("task", "retry", task_id)
        done = self.until(task_id, lambda task: task["state"] == "done")
        self.assertEqual(done["result"], {"deleted": COUNT})

    def until_failed(self, task_id: str) -> Any:
        """``task show`` exits with 1 then."""
        deadline = time.monotonic() + PATIENCE_S
        while not (found := self.cloudctl("task", "list", "--state", "failed")["tasks"]):
            self.assertLess(time.monotonic(), deadline)
        self.assertEqual([task["id"] for task in found], [task_id])
        return found[0]

    def test_deleted_project(self) -> None:
        """What a deleted project had in the store goes, with nobody asking for it."""
        self.fill("one", 5)
        self.fill("two", 0)
        token, _ = log_in(self.cloud, "cloudd-admin")
        path, headers = f"/identity/v3/projects/{self.project}", {"X-Auth-Token": token}
        self.assertEqual(ask(self.cloud, "api", "DELETE", path, None, headers)[0], 204)
        deadline = time.monotonic() + PATIENCE_S
        while not (found := self.cloudctl("task", "list", "--state", "done")["tasks"]):
            self.assertLess(time.monotonic(), deadline)
        self.assertEqual((found[0]["kind"], found[0]["project_id"]), ("objects.purge_account", self.project))
        self.assertEqual(self.task(found[0]["id"])["result"], {"deleted": 5})
        for container in ("one", "two"):
            self.assertEqual(self.request("GET", f"/v1/AUTH_{self.project}/{container}", token), 404)
