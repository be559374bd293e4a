"""
Two daemons of one cloud that are upgraded one after the other by one command, and taken back; PostgreSQL, RabbitMQ.

Clients talk to both all the while.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from tests.running_cloud import RunningCloud

from .test_node_bus import BusCase
from .test_nodes import Ctl, wait

BROKEN = """
        if node_id_of(self._resources) == "{}":
            raise ValueError("it cannot work on two")
"""


class Clients:
    """One connection to each node, which asks without a break until ``end``."""

    def __init__(self, *clouds: RunningCloud) -> None:
        self.answered, self.failed, self._going = 0, [], True  # type: ignore[var-annotated]
        self._threads = [threading.Thread(target=self._ask, args=(cloud,), daemon=True) for cloud in clouds]
        for thread in self._threads:
            thread.start()

    def _ask(self, cloud: RunningCloud) -> None:
        connection = cloud.connect("api")
        while self._going:
            try:
                connection.request("GET", "/identity/v3")
                answer = connection.getresponse()
                answer.read()
                if answer.status != 200:
                    self.failed.append(str(answer.status))
                self.answered += 1
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(repr(error))
                connection = cloud.connect("api")

    def end(self) -> None:
        self._going = False
        for thread in self._threads:
            thread.join(30)


class RollingTests(BusCase):
    def setUp(self) -> None:
        self.second_more = "[upgrade]\ncanary_percent = 0\nwindow_s = 2\ntrees = [{}]\n"
        super().setUp()
        self.ctls = {"one": self.one, "two": self.two}

    def joined(self, *options: str) -> tuple[RunningCloud, Ctl]:
        self.second_more = self.second_more.format(json.dumps(str(self.trees)))
        return super().joined(*options)

    def hashes(self) -> dict[str, str]:
        return {name: ctl.json("status")["code"]["hash"] for name, ctl in self.ctls.items()}

    def begin(self, ctl: Ctl, *words: str) -> subprocess.Popen[str]:
        """A command that runs beside the test."""
        command = [str(Path(sys.executable).parent / "cloudctl"), "--state", str(ctl.state), "--json", *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(process.kill)  # nothing, where it has ended
        return process

    def outcome(self, process: subprocess.Popen[str], code: int = 0) -> Any:
        """Its last line."""
        output, errors = process.communicate(timeout=150)
        self.assertEqual(process.returncode, code, output[-2000:] + errors)
        return json.loads(output.splitlines()[-1])

    def test_there_and_back(self) -> None:
        """Its controller is killed in the middle; then both go back, up again, and the way back is closed."""
        old = self.hashes()
        tree, digest = self.tree("new", "cloudd/nodes/_admission.py")
        command = ("upgrade", "--rolling", "--to", str(tree), "--settle", "3s", "--yes")
        clients = Clients(self.first, self.second)
        self.addCleanup(clients.end)
        rolling = self.begin(self.two, *command)
        self.kill_controller()
        done = self.outcome(rolling)
        self.assertEqual({node["state"] for node in done["nodes"]}, {"done"}, done)
        self.assertEqual(set(self.hashes().values()), {digest})

        seen = self.one.json("status", "--rolling")
        self.assertEqual((seen["state"], seen["release"]["state"]), ("done", "open"))
        self.assertEqual(seen["progress"], 2)
        back = self.outcome(self.begin(self.one, "rollback", "--rolling", "--yes"))
        self.assertEqual((back["state"], back["release"]["state"]), ("done", "back"))
        self.assertEqual(self.hashes(), old)

        self.outcome(self.begin(self.one, *command[:-2], "0s", "--yes"))
        self.assertEqual(set(self.hashes().values()), {digest})
        clients.end()
        self.assertEqual(clients.failed, [])
        self.assertGreater(clients.answered, 100)
        wait(lambda: self.one.tried("finalize", "--check").returncode == 0)
        self.assertIn("is final", self.two.run("finalize", "--yes").stdout)
        refused = self.one.run("rollback", "--rolling", "--yes", code=1)
        self.assertIn("no upgrade that can be gone back from", refused.stderr)

    def kill_controller(self) -> None:
        """The agent that leads the change, when the first node has the new code and is looked at."""

        def owner() -> int:
            found = self.one.json("status", "--rolling")
            if not any(node["state"] == "settling" for node in found.get("nodes", [])):
                return 0
            run_by = re.search(r"process ([0-9]+)", self.one.json("task", "show", found["id"])["owner"])
            return int(run_by[1]) if run_by else 0

        os.kill(wait(owner), signal.SIGKILL)

    def test_one_fails(self) -> None:
        """Code that cannot work on one of them: whichever came first, both have the old code afterwards."""
        old = self.hashes()
        tree, _ = self.tree("bad", "cloudd/nodes/_admission.py")
        file = tree / "cloudd" / "application.py"
        head = "    async def _self_check(self) -> None:\n"
        self.assertIn(head, file.read_text())
        file.write_text(file.read_text().replace(head, head + BROKEN.format(self.ids["two"])))
        self.assertIn("one", self.one.run("upgrade", "--rolling", "--check", "--to", str(tree)).stdout)
        failed = self.outcome(
            self.begin(self.one, "upgrade", "--rolling", "--to", str(tree), "--settle", "0s", "--yes"), 1
        )
        self.assertIn("node two: ", failed["cause"])
        self.assertIn("it cannot work on two", failed["cause"])
        self.assertEqual(self.hashes(), old)
        self.assertEqual(failed["release"]["state"], "back")

    def test_who_answers_for_health(self) -> None:
        """The node's own id, by which an address of a load balancer is told apart."""
        connection = self.first.connect("api")
        connection.request("GET", "/health")
        answer = connection.getresponse()
        answer.read()
        self.assertEqual(answer.headers["X-Cloudd-Node"], self.ids["one"])
