"""Daemons of one cloud on this machine: one lets the other in over loopback, then both are killed, drained, removed."""

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
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench.swap import copy_tree
from tests.database.choice import new_template
from tests.database.postgres import shared_postgres
from tests.event_stream import ask, log_in
from tests.ports import free_port
from tests.running_cloud import RunningCloud

SETTINGS = """
[workers]
front = 1
[nodes]
name = "{name}"
heartbeat_s = 0.5
lost_s = 3
lease_s = 2
certificate_s = 60
{more}
"""
PATIENCE_S = 60.0


class Ctl:
    """``cloudctl`` on one state folder."""

    def __init__(self, state: Path) -> None:
        self.state = state

    def tried(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).parent / "cloudctl"), "--state", str(self.state), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)

    def run(self, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = self.tried(*words)
        assert done.returncode == code, (words, done.returncode, done.stdout, done.stderr)
        return done

    def json(self, *words: str) -> Any:
        return json.loads(self.run("--json", *words).stdout)

    def node(self, name: str) -> Any:
        return self.json("node", "show", name)

    def health(self) -> Any:
        """What it says, good or bad."""
        return json.loads(self.tried("--json", "health").stdout)

    def becomes_well(self) -> Any:
        """The report, when all is well; before, a busy machine may have let a node wait for a moment."""
        deadline = time.monotonic() + PATIENCE_S
        while (report := self.health())["status"] != "ok":
            assert time.monotonic() < deadline, report
            time.sleep(0.2)
        return report


class AloneTests(SynchronousTestCase):
    def test_one_machine(self) -> None:
        """Without any settings: one node, ready, no listener, and why nobody can join."""
        cloud = RunningCloud("[workers]\nfront = 1\n")
        self.addCleanup(cloud.remove)
        cloud.start()
        ctl = Ctl(cloud.state)
        [node] = wait(lambda: ctl.json("node", "list")["nodes"])
        self.assertEqual((node["state"], node["own"], node["silent"]), ("ready", True, False))
        self.assertLess(node["age_s"], 60)
        self.assertEqual(len(node["hash"]), 64)
        self.assertIn("objects.purge_container", node["payloads"])
        self.assertIn("[nodes] listen", ctl.run("node", "token", code=1).stderr)
        self.assertFalse((cloud.state / "node" / "identity.pem").exists())
        self.assertNotIn("nodes listener", ctl.health()["parts"])
        cloud.stop()
        cloud.start()
        [again] = wait(lambda: ctl.json("node", "list")["nodes"])
        self.assertEqual(again["id"], node["id"])


class NodesCase(SynchronousTestCase):
    """
    A first machine that lets others join; ``build`` starts it.

    :ivar second_more: further settings of the second one
    """

    second_more = ""

    def build(self, more: str = "") -> None:
        self.trees = Path(tempfile.mkdtemp(prefix="cloudd-nodes-"))
        self.addCleanup(shutil.rmtree, self.trees)
        name, self.url = new_template()
        self.addCleanup(shared_postgres().drop, name)
        self.port = free_port()
        listen = f'listen = "tcp:{self.port}:interface=127.0.0.1"\n[database]\nurl = "{self.url}"\n'
        listen += f"[upgrade]\ncanary_percent = 0\nwindow_s = 2\ntrees = {json.dumps([str(self.trees)])}\n{more}"
        self.first = RunningCloud(SETTINGS.format(name="one", more=listen))
        self.addCleanup(self.first.remove)
        self.first.start()
        self.one = Ctl(self.first.state)

    def joined(self, *options: str) -> tuple[RunningCloud, Ctl]:
        """The second machine, which has joined and is running; its own settings say nothing of a database."""
        second = RunningCloud(
            "[workers]\nfront = 1\n[nodes]\nheartbeat_s = 0.5\nlost_s = 3\nlease_s = 2\n" + self.second_more
        )
        second.database.enter = lambda settings_file: None  # type: ignore[method-assign]
        self.addCleanup(second.remove)
        token = self.one.run("node", "token", *options).stdout.strip()
        two = Ctl(second.state)
        two.run("node", "join", token, "--name", "two")
        self.assertEqual(self.one.node("two")["state"], "joining")
        self.token = token
        second.start()
        wait(lambda: self.one.node("two")["state"] == "ready")
        return second, two


class TwoTests(NodesCase):
    second_more = "[objects]\npurge_delay_s = 0\n"

    def setUp(self) -> None:
        self.build("[objects]\npurge_delay_s = 0\n")

    def test_joining(self) -> None:
        """The second is ready, shares users and keys, renews its certificate; the token is of no use again."""
        second, two = self.joined()
        self.assertEqual({node["name"] for node in two.json("node", "list")["nodes"]}, {"one", "two"})
        token, project = log_in(self.first)
        path, headers = "/identity/v3/auth/tokens", {"X-Auth-Token": token, "X-Subject-Token": token}
        self.assertEqual(ask(second, "api", "GET", path, None, headers)[0], 200)
        other = RunningCloud()
        self.addCleanup(other.remove)
        refused = Ctl(other.state).run("node", "join", self.token, "--name", "three", code=1)
        self.assertIn("this token is not good", refused.stderr)
        self.assertFalse((other.state / "node" / "id").exists())
        self.assertIn("belongs to a node already", two.run("node", "join", self.token, code=1).stderr)
        self.assertIn("data of a cloud of its own", self.lone().run("node", "join", self.token, code=1).stderr)
        for file in (second.state / "node").iterdir():
            self.assertEqual(file.stat().st_mode & 0o777, 0o600, file)
        certificate = second.state / "node" / "identity.pem"
        before = certificate.read_text()
        wait(lambda: certificate.read_text() != before, 120)
        two.becomes_well()
        self.assertTrue(project)

    def lone(self) -> Ctl:
        """A folder in which a cloud of its own has been."""
        folder = Path(self.mktemp()).absolute()
        folder.mkdir()
        (folder / "cloud.sqlite").touch()
        return Ctl(folder)

    def test_life(self) -> None:
        """Drained and back, killed and lost, its duties taken over, found again, removed; health says it all."""
        second, two = self.joined()
        self.assertEqual(self.one.run("node", "drain", "two", "--wait").stdout.count("drained"), 1)
        self.assertIn("this node is drained", two.health()["parts"]["nodes"]["cause"])
        second.stop()
        second.start()
        wait(lambda: not self.one.node("two")["silent"])
        self.assertEqual(self.one.node("two")["state"], "drained")
        self.one.run("node", "return", "two")
        wait(lambda: self.one.node("two")["state"] == "ready")

        self.one.run("node", "drain", "one", "--wait")
        wait(lambda: self.duty() == "two")
        self.one.run("node", "return", "one")
        kill_all(second)
        wait(lambda: self.duty() == "one")
        wait(lambda: self.one.node("two")["state"] == "lost")
        health = self.one.becomes_well()
        self.assertIn("two (ready) for", health["parts"]["nodes"]["cause"])
        second.start()
        wait(lambda: self.one.node("two")["state"] == "ready")

        self.assertIn("is ready and at work", self.one.run("node", "remove", "two", "--yes", code=1).stderr)
        self.one.run("node", "remove", "two", "--yes", "--force")
        wait(lambda: two.health()["parts"]["nodes"]["status"] == "failing")
        self.assertEqual([node["name"] for node in self.one.json("node", "list")["nodes"]], ["one"])

    def duty(self) -> str:
        """Who has the one that all nodes want."""
        return str(self.one.json("node", "list")["duties"][0]["node"])

    def test_swapped(self) -> None:
        """New code takes the port over, and issues certificates for who joined under the old."""
        second, two = self.joined()
        tree = copy_tree(self.trees / "new")
        module = tree / "cloudd" / "nodes" / "_admission.py"
        module.write_text(module.read_text() + "\n# other code\n")
        self.one.run("upgrade", "--to", str(tree), "--how", "swap", "--yes")
        certificate = second.state / "node" / "identity.pem"
        before = certificate.read_text()
        wait(lambda: certificate.read_text() != before, 120)
        wait(lambda: self.one.node("one")["hash"] != self.one.node("two")["hash"])
        self.assertEqual(self.one.health()["parts"]["nodes listener"]["status"], "ok")
        two.becomes_well()

    def test_purges(self) -> None:
        """What a node has is deleted there, and by no other; what is deleted with a project goes from both."""
        second, two = self.joined()
        token, project = log_in(self.first)
        for number, cloud in enumerate((self.first, second), 1):
            self.fill(cloud, token, project, "c", number)
        self.one.run("node", "drain", "two", "--wait")
        task = two.json("objects", "purge", project, "c", "--yes")
        self.assertEqual(self.one.json("task", "show", task["id"])["node"], "two")
        self.one.run("objects", "purge", project, "c", "--yes", "--wait")  # by then the first has looked for tasks
        self.assertEqual(self.one.json("task", "show", task["id"])["state"], "queued")
        self.assertEqual(two.health()["parts"]["tasks"]["status"], "ok")
        self.one.run("node", "return", "two")
        done = wait(lambda: self.ended(task["id"]))
        self.assertEqual((done["state"], done["result"]), ("done", {"deleted": 2}))

        for number, cloud in enumerate((self.first, second), 1):
            self.fill(cloud, token, project, "d", number)
        operator, _ = log_in(self.first, "cloudd-admin")
        path = f"/identity/v3/projects/{project}"
        self.assertEqual(ask(self.first, "api", "DELETE", path, None, {"X-Auth-Token": operator})[0], 204)
        tasks = self.one.json("task", "list", "--kind", "objects.purge_account")["tasks"]
        self.assertEqual({each["node"] for each in tasks}, {"one", "two"})
        ended = wait(lambda: all(found := [self.ended(each["id"]) for each in tasks]) and found)
        self.assertEqual({each["node"]: each["result"]["deleted"] for each in ended}, {"one": 1, "two": 2})

    def fill(self, cloud: RunningCloud, token: str, project: str, container: str, number: int) -> None:
        """Make a container with so many objects through one node."""
        for name in (container, *(f"{container}/o{each}" for each in range(number))):
            path = f"/v1/AUTH_{project}/{name}"
            self.assertEqual(ask(cloud, "object", "PUT", path, "x", {"X-Auth-Token": token})[0], 201)

    def ended(self, task_id: str) -> Any:
        found = self.one.json("task", "show", task_id)
        return found if found["state"] in {"done", "failed"} else None

    def test_killed_agent(self) -> None:
        """An agent that is killed listens again: a machine joins through the new one."""
        status = self.one.json("status")
        [agent] = [worker["pid"] for worker in status["workers"] if worker["role"] == "agent"]
        os.kill(agent, signal.SIGKILL)
        token = wait(self.made_token)
        second = RunningCloud()
        self.addCleanup(second.remove)
        wait(lambda: Ctl(second.state).tried("node", "join", token, "--name", "two").returncode == 0)

    def made_token(self) -> str:
        done = self.one.tried("node", "token")
        return done.stdout.strip() if done.returncode == 0 else ""


def wait(condition: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """Until something is so."""
    deadline = time.monotonic() + patience_s
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)
    return found


def kill_all(cloud: RunningCloud) -> None:
    """Every process of a daemon at once, as a power cut would."""
    assert cloud.process is not None
    found = [cloud.process.pid]
    for pid in found:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    for pid in found:
        os.kill(pid, signal.SIGKILL)
    cloud.process.wait(60)
    cloud.process = None
