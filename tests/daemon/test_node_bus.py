"""Two daemons of one cloud that talk over RabbitMQ: what one orders the other does, whatever is replaced or killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any
from unittest import SkipTest

from bench.swap import copy_tree
from tests.event_stream import ask, log_in
from tests.protocols.amqp.broker import PROGRAMS, Broker
from tests.running_cloud import CHECKOUT, RunningCloud

from .test_nodes import Ctl, NodesCase, wait

TASKS = 8


class Caller:
    """A third process on the bus: see ``tests.nodes.caller``."""

    def __init__(self, url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.nodes.caller", url, "caller"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=CHECKOUT,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            text=True,
        )

    def ask(self, do: str, node: str = "", **asked: Any) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps({"do": do, "node": node, **asked}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def end(self) -> None:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


class BusCase(NodesCase):
    def setUp(self) -> None:
        if not PROGRAMS.is_dir():
            raise SkipTest("RabbitMQ is not installed")
        self.broker = Broker()
        self.addCleanup(self.broker.remove)
        self.broker.start()
        self.broker.control("add_user", "cloudd", "say friend")
        self.broker.control("set_permissions", "cloudd", "^cloudd\\.", "^(cloudd\\.|amq\\.default$)", "^cloudd\\.")
        password = Path(self.mktemp()).absolute()
        password.write_text("say friend\n")
        url = f"amqp://cloudd@127.0.0.1:{self.broker.port}?heartbeat=10"
        self.build(f'[messaging]\nurl = "{url}"\npassword_file = "{password}"\n')
        self.second, self.two = self.joined()
        self.ids = {name: self.one.node(name)["id"] for name in ("one", "two")}
        self.caller = Caller(url.replace("cloudd@", "cloudd:say%20friend@"))
        self.addCleanup(self.caller.end)
        wait(lambda: self.live(self.one, "two")["answers"])

    def live(self, ctl: Ctl, name: str) -> Any:
        return ctl.node(name)["live"]

    def tree(self, name: str, module: str) -> tuple[Path, str]:
        """Another tree and its hash."""
        tree = copy_tree(self.trees / name)
        file = tree / module
        file.write_text(file.read_text() + "\n# other code\n")
        found = self.caller.ask("plan", self.ids["one"], tree=str(tree))
        assert "target_hash" in found, found
        return tree, found["target_hash"]


class OrderTests(BusCase):
    def test_orders(self) -> None:
        """A node swaps, goes back and hands over by another's orders, while calls are answered; and it is booked."""
        caller, one = self.caller, self.ids["one"]
        tree, digest = self.tree("swap", "cloudd/nodes/_admission.py")
        order = {"id": "roll-1.one", "tree": str(tree), "expected_hash": digest, "canary": 0.0, "who": "ann"}
        caller.ask("stream", one)
        begun = caller.ask("upgrade", one, order=order)
        self.assertEqual(begun["state"], "running", begun)
        self.assertEqual(caller.ask("upgrade", one, order=order)["began"], begun["began"])
        self.assertIn("id of another order", caller.ask("upgrade", one, order={**order, "who": "bob"})["refused"])
        ended = self.ended(one, "roll-1.one")
        self.assertEqual((ended["result"], ended["how"], ended["new_hash"]), ("committed", "swap", digest), ended)
        self.assertEqual(caller.ask("status", one, order_id="none")["as"], "NoSuchOrder")
        wait(lambda: len(self.generations()) == 1)  # the bus keeps nothing of the old one

        refused = caller.ask("rollback", one, order={"id": "b", "expected_hash": "0" * 64})
        self.assertIn("a rollback would load", refused["refused"])
        caller.ask("rollback", one, order={"id": "roll-1.one.back", "expected_hash": ended["old_hash"], "who": "ann"})
        self.assertEqual(self.ended(one, "roll-1.one.back")["new_hash"], ended["old_hash"])

        tree, digest = self.tree("kernel", "cloudd/daemon/_naming.py")
        caller.ask("upgrade", one, order={"id": "roll-2.one", "tree": str(tree), "expected_hash": digest})
        ended = self.ended(one, "roll-2.one")
        self.assertEqual((ended["result"], ended["how"], ended["new_hash"]), ("committed", "hand-over", digest), ended)
        wait(lambda: f"the anchor becomes {digest[:12]}" in self.first.log())  # its next self reads what it wrote
        again = caller.ask("upgrade", one, order={"id": "roll-2.one", "tree": str(tree), "expected_hash": digest})
        self.assertEqual(again, ended)

        stream = caller.ask("stop")
        self.assertEqual(stream["failed"], [], stream)
        self.assertGreater(stream["answered"], 100, stream)
        entries = self.one.json("audit")["entries"]
        told = [(each["action"], each["result"], each["who"]["user"], each["who"]["origin"]) for each in entries[1:]]
        origin = "order {} over messaging from node caller"
        self.assertEqual(
            told,
            [
                ("upgrade", "committed", "ann", origin.format("roll-1.one")),
                ("rollback", "committed", "ann", origin.format("roll-1.one.back")),
                ("upgrade", "committed", "caller", origin.format("roll-2.one")),
            ],
        )
        shown = self.live(self.two, "one")
        self.assertEqual(shown["status"]["code"]["hash"], digest)

    def generations(self) -> list[Any]:
        """Of the agent's worker."""
        [agent] = [each for each in self.one.json("status")["workers"] if each["role"] == "agent"]
        return list(agent["generations"])

    def ended(self, node: str, order_id: str) -> Any:
        """How it has; its node may not answer for a moment."""

        def look() -> Any:
            status = self.caller.ask("status", node, order_id=order_id)
            return status if status.get("state") == "ended" else None

        return wait(look)


class FaultTests(BusCase):
    def test_tasks_begin_elsewhere_at_once(self) -> None:
        """A task that becomes due by a call to one node begins on the other, and not when that looks next."""
        self.delete_projects()
        tasks = self.one.json("task", "list", "--kind", "objects.purge_account")["tasks"]
        ages = []
        for task in [each for each in tasks if each["node"] == "two"]:
            due = self.one.json("task", "retry", task["id"])
            self.assertEqual(due["state"], "queued")
            ages.append(wait(partial(self.done, task["id"]))["updated"] - due["updated"])
        self.assertEqual(len(ages), TASKS)
        self.assertLess(sum(ages), TASKS / 4, ages)  # looking each second alone takes twice that

    def delete_projects(self) -> None:
        """So many, whose objects are to be purged in an hour, by each node."""
        token, _ = log_in(self.first, "cloudd-admin")
        headers, path = {"X-Auth-Token": token, "Content-Type": "application/json"}, "/identity/v3/projects"
        for number in range(TASKS):
            body = json.dumps({"project": {"name": f"p{number}", "domain_id": "default"}})
            status, _headers, answer = ask(self.first, "api", "POST", path, body, headers)
            self.assertEqual(status, 201, answer)
            project = json.loads(answer)["project"]["id"]
            self.assertEqual(ask(self.first, "api", "DELETE", f"{path}/{project}", None, headers)[0], 204)

    def done(self, task_id: str) -> Any:
        task = self.one.json("task", "show", task_id)
        return task if task["state"] == "done" else None

    def container(self) -> tuple[str, str]:
        token, project = log_in(self.first)
        path = f"/v1/AUTH_{project}/c"
        self.assertEqual(ask(self.first, "object", "PUT", path, None, {"X-Auth-Token": token})[0], 201)
        return project, "c"

    def test_faults(self) -> None:
        """An agent that is killed answers again; a broker that is away is told of, and missed by nobody for long."""
        [agent] = [each["pid"] for each in self.two.json("status")["workers"] if each["role"] == "agent"]
        os.kill(agent, signal.SIGKILL)
        wait(lambda: self.live(self.one, "two")["answers"])

        self.broker.stop()
        part = wait(lambda: self.messaging(self.first, "failing"))
        self.assertIn("since 20", part["cause"])
        self.assertIn("no messages go out", part["cause"])
        live = self.live(self.one, "two")
        self.assertFalse(live["answers"])
        self.assertIn("it does not answer (", live["cause"])
        task = self.one.json("objects", "purge", *self.container(), "--yes")
        wait(lambda: self.done(task["id"]))

        self.broker.start()
        began = time.monotonic()
        wait(lambda: self.live(self.one, "two")["answers"] and self.live(self.two, "one")["answers"], 15)
        self.assertLess(time.monotonic() - began, 8)  # 5, and cloudctl's own time
        wait(lambda: self.messaging(self.first, "ok") and self.messaging(self.second, "ok"), 15)
        with urllib.request.urlopen(self.first.url("api") + "/metrics", timeout=30) as answer:
            served = [line for line in answer.read().decode().splitlines() if line.startswith("cloudd_messages_served")]
        self.assertTrue(any('topic="node"' in line and 'how="done"' in line for line in served), served)

    def messaging(self, cloud: RunningCloud, status: str) -> Any:
        """The part of ``/health``, where that is its status."""
        part = Ctl(cloud.state).tried("--json", "health")
        found = json.loads(part.stdout)["parts"]["messaging"]
        return found if found["status"] == status else None
