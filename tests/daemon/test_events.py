"""The event stream of a real cloud: over sockets, several workers, swaps, hand-overs, restarts and kills."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench.swap import copy_tree
from tests.event_stream import EventStream, ask, log_in
from tests.running_cloud import RunningCloud

SETTINGS = "[workers]\nfront = 2\n[upgrade]\nwindow_s = 0.5\ntrees = {trees}\n"


class EventsCase(SynchronousTestCase):
    """A cloud, its tenant and its administrator."""

    def setUp(self) -> None:
        self.trees = Path(tempfile.mkdtemp(prefix="cloudd-events-"))
        self.addCleanup(shutil.rmtree, self.trees)
        self.cloud = RunningCloud(SETTINGS.format(trees=json.dumps([str(self.trees)])))
        self.addCleanup(self.cloud.remove)
        self.cloud.start()
        self.token, self.project = log_in(self.cloud)
        self.admin, _ = log_in(self.cloud, "cloudd-admin")

    def stream(self, token: str = "", path: str = "/events?types=container", last_id: str = "") -> EventStream:
        stream = EventStream(self.cloud, token or self.token, path, last_id)
        self.addCleanup(stream.close)
        self.assertEqual(stream.status, 200)
        return stream

    def make(self, name: str) -> None:
        """A container of the tenant's."""
        headers = {"X-Auth-Token": self.token, "Content-Length": "0"}
        status, _, body = ask(self.cloud, "object", "PUT", f"/v1/AUTH_{self.project}/{name}", None, headers)
        self.assertEqual(status, 201, body)

    def tree(self, number: int) -> Path:
        """A copy of the code with another docstring in a swappable module."""
        tree = copy_tree(self.trees / str(number))
        module = tree / "cloudd" / "events" / "_position.py"
        module.write_text(f"# {number}\n{module.read_text()}")
        return tree


class StreamTests(EventsCase):
    def test_objects_and_identity(self) -> None:
        """Changes of every kind reach whom they concern, through whichever worker, and nobody else."""
        streams = [self.stream(path="/events") for _ in range(4)]
        admins = [self.stream(self.admin, "/events?all"), self.stream(self.admin, "/events")]
        self.make("box")
        headers = {"X-Auth-Token": self.token}
        path = f"/v1/AUTH_{self.project}/box/cat"
        self.assertEqual(ask(self.cloud, "object", "PUT", path, "data", headers)[0], 201)
        self.assertEqual(ask(self.cloud, "object", "DELETE", path, None, headers)[0], 204)
        user = {"user": {"name": "eve", "domain_id": "default"}}
        fields = {"X-Auth-Token": self.admin, "Content-Type": "application/json"}
        self.assertEqual(ask(self.cloud, "api", "POST", "/identity/v3/users", json.dumps(user), fields)[0], 201)
        expected = ["container.created", "object.created", "object.deleted"]
        for stream in streams:
            stream.wait(lambda stream=stream: len(stream.events) >= 3, "three events")  # type: ignore[misc]
            self.assertEqual([event["event"] for event in stream.events], expected)
        admins[0].wait(lambda: len(admins[0].events) >= 4, "four events")
        self.assertEqual(
            sorted(event["event"] for event in admins[0].events), sorted([*expected, "identity.user.created"])
        )
        self.assertEqual(admins[1].events, [])
        self.assertEqual(streams[0].events[1]["data"]["size"], 4)

    def test_resumed_in_any_worker(self) -> None:
        """A client that breaks off anywhere and comes back with its last id has each event once."""
        heard: list[str] = []
        last = self.stream().last_id
        for number in range(12):
            stream = self.stream(last_id=last) if last else self.stream()
            self.make(f"box{number}")
            if number % 3:
                stream.wait(lambda stream=stream: stream.events, "an event")  # type: ignore[misc]
            stream.close()
            heard += stream.names("container.created")
            last = stream.last_id
        final = self.stream(last_id=last)
        final.wait(lambda: len(heard) + len(final.events) >= 12, "the rest")
        self.assertEqual(heard + final.names("container.created"), [f"box{number}" for number in range(12)])

    def test_stop(self) -> None:
        """When the daemon stops its streams end in order and do not hold it up; afterwards they are resumed."""
        stream = self.stream()
        self.make("before")
        stream.wait(lambda: stream.events, "an event")
        began = time.monotonic()
        self.cloud.stop()
        self.assertLess(time.monotonic() - began, 10)
        stream.wait(lambda: stream.ended, "the end")
        self.assertEqual(stream.ended, "in order")
        self.cloud.start()
        self.make("after")
        again = self.stream(last_id=stream.last_id)
        again.wait(lambda: again.events, "what came later")
        self.assertEqual(again.names("container.created"), ["after"])

    def test_killed_worker(self) -> None:
        """A killed worker's clients resume in another one."""
        streams = [self.stream() for _ in range(8)]
        self.make("one")
        for stream in streams:
            stream.wait(lambda stream=stream: stream.events, "an event")  # type: ignore[misc]
        cloudctl = [str(Path(sys.executable).parent / "cloudctl"), "--state", str(self.cloud.state), "--json", "status"]
        status = json.loads(subprocess.run(cloudctl, capture_output=True, check=True).stdout)
        pid = next(worker["pid"] for worker in status["workers"] if worker["name"] == "front-1")
        os.kill(pid, signal.SIGKILL)
        self.make("two")
        for stream in streams:
            stream.wait(lambda stream=stream: stream.ended or len(stream.events) == 2, "two")  # type: ignore[misc]
            if stream.ended:
                again = self.stream(last_id=stream.last_id)
                again.wait(lambda again=again: again.events, "what was missed")  # type: ignore[misc]
                self.assertEqual(again.names("container.created"), ["two"])


class UpgradeTests(EventsCase):
    def follow(self, how: str) -> None:
        """Streams over four upgrades, with events before, between and while they run."""
        streams = [self.stream() for _ in range(6)]
        host = self.stream(self.admin, "/events?all&types=upgrade")
        trees = [self.tree(0), self.tree(1)]
        made = []
        for number in range(4):
            self.make(f"{number}-before")
            done: list[str] = []
            with subprocess.Popen(
                [
                    str(Path(sys.executable).parent / "cloudctl"), "--state", str(self.cloud.state), "upgrade",
                    "--yes", "--canary", "0", "--how", how, "--to", str(trees[number % 2]),
                ],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            ) as upgrade:  # fmt: skip
                while upgrade.poll() is None:
                    done.append(f"{number}-during-{len(done)}")
                    self.make(done[-1])
                    time.sleep(0.02)
                assert upgrade.stdout is not None
                self.assertEqual(upgrade.returncode, 0, upgrade.stdout.read())
            self.assertGreater(len(done), 3)
            made += [f"{number}-before", *done]
        self.make("end")
        made.append("end")
        for stream in streams:
            stream.wait(lambda stream=stream: "end" in stream.names("container.created"), "all")  # type: ignore[misc]
            self.assertEqual(stream.names("container.created"), made)
            self.assertEqual(stream.ended, "")
            numbers = [int(event["id"].partition(".o")[2]) for event in stream.events]
            self.assertEqual(numbers, list(range(numbers[0], numbers[0] + len(made))), "ids have no gap")
        ended = [event["data"] for event in host.events if event["event"] == "upgrade.ended"]
        self.assertEqual([each["result"] for each in ended], ["committed"] * 4, host.events)
        self.assertEqual(host.ended, "")
        # Of the control events a stream sees some; each comes once and in order.
        numbers = [int(event["id"].partition(".")[0][1:]) for event in host.events]
        self.assertEqual(numbers, sorted(set(numbers)))

    def test_swaps(self) -> None:
        """A stream stays on its connection, sees each event once, and none is left in older code."""
        self.follow("swap")
        cloudctl = [str(Path(sys.executable).parent / "cloudctl"), "--state", str(self.cloud.state), "--json", "status"]
        status = json.loads(subprocess.run(cloudctl, capture_output=True, check=True).stdout)
        running = [
            (each["state"], each["requests_running"])
            for worker in status["workers"]
            for each in worker["generations"]
            if each["requests_running"]
        ]
        self.assertEqual({state for state, _ in running}, {"serving"})
        self.assertEqual(sum(count for _, count in running), 7)

    def test_hand_overs(self) -> None:
        """The same into other processes."""
        self.follow("hand-over")
        # A daemon that is stopped while its anchor execs leaves its workers waiting for the next one.
        log = self.cloud.folder / "daemon.log"
        deadline = time.monotonic() + 60
        while log.read_text().count("workers of an earlier anchor serve on") < 4 and time.monotonic() < deadline:
            time.sleep(0.2)
