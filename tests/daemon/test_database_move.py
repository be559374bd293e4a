"""Whole daemons that move their records to PostgreSQL under load, and what is left when a process is killed then."""

from __future__ import annotations

import http.client
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
from threading import Thread
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from bench.swap import copy_tree
from cloudd.database import moved_from
from tests.daemon.traps import Traps
from tests.database.choice import DaemonDatabase, new_database
from tests.database.test_backup import all_rows
from tests.event_stream import EventStream
from tests.running_cloud import CHECKOUT, RunningCloud

SETTINGS = "[workers]\nfront = 2\n"
PATIENCE_S = 90.0
RESOURCE = "/identity/v3/users"


class NoDatabase(DaemonDatabase):
    """The daemon begins with a SQLite file, whatever the other tests run on."""

    def enter(self, settings_file: Path) -> None:
        """It stays as it is."""


class Client(Thread):
    """Makes and reads users without a break; each answer is noted."""

    def __init__(self, cloud: RunningCloud, token: str, name: str) -> None:
        super().__init__()
        self._cloud, self._token, self._name = cloud, token, name
        self.made: dict[str, str] = {}  # id -> name
        self.failures: list[Any] = []
        self.longest_s = {"POST": 0.0, "GET": 0.0}
        self.ends = False

    def run(self) -> None:
        client = self._cloud.connect("api")
        while not self.ends:
            name = f"{self._name}-{len(self.made)}"
            user = self._ask(client, "POST", RESOURCE, {"user": {"name": name, "domain_id": "default"}}, 201)
            if user is None:
                return
            self.made[user["user"]["id"]] = name
            found = self._ask(client, "GET", f"{RESOURCE}/{user['user']['id']}", None, 200)
            if found is None or found["user"]["name"] != name:
                self.failures.append(found)
                return
        client.close()

    def _ask(self, client: http.client.HTTPConnection, method: str, path: str, body: Any, status: int) -> Any:
        headers = {"X-Auth-Token": self._token, "Content-Type": "application/json"}
        began = time.monotonic()
        try:
            client.request(method, path, json.dumps(body) if body else None, headers)
            answer = client.getresponse()
            data = answer.read()
        except OSError as error:
            self.failures.append(error)
            return None
        self.longest_s[method] = max(self.longest_s[method], time.monotonic() - began)
        if answer.status != status:
            self.failures.append((method, path, answer.status, data))
            return None
        return json.loads(data)


class MoveCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.url = str(new_database(self, "postgresql", migrated=False))
        self.begin()

    def begin(self, tree: Path = CHECKOUT) -> None:
        """Start the cloud."""
        self.cloud = RunningCloud(SETTINGS, tree)
        self.cloud.database = NoDatabase()
        self.addCleanup(self.cloud.remove)
        self.cloud.start()
        self.file = self.cloud.state / "cloud.sqlite"

    def ask(self, method: str, path: str, headers: dict[str, str], body: Any = None) -> tuple[int, Any, Any]:
        client = self.cloud.connect("api")
        client.request(method, path, json.dumps(body) if body else None, headers)
        answer = client.getresponse()
        data = answer.read()
        client.close()
        return answer.status, answer.headers, json.loads(data) if data else None

    def token(self) -> str:
        """A fresh one of the administrator."""
        name, password = self.cloud.login("cloudd-admin")
        user = {"name": name, "password": password, "domain": {"id": "default"}}
        body = {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}}}
        status, headers, answer = self.ask(
            "POST", "/identity/v3/auth/tokens", {"Content-Type": "application/json"}, body
        )
        self.assertEqual(status, 201, answer)
        return str(headers["X-Subject-Token"])

    def is_valid(self, token: str) -> bool:
        headers = {"X-Auth-Token": token, "X-Subject-Token": token}
        return self.ask("GET", "/identity/v3/auth/tokens", headers)[0] == 200

    def command(self, *words: str) -> list[str]:
        return [str(Path(sys.executable).parent / "cloudctl"), "--state", str(self.cloud.state), "--json", *words]

    def cloudctl(self, *words: str) -> tuple[int, list[Any]]:
        """Exit code, and the lines of its answer."""
        done = subprocess.run(
            self.command(*words),
            cwd=CHECKOUT,
            env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if words[1:] and words[0] == "database" and words[1] == "migrate":
            return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]
        return done.returncode, [json.loads(done.stdout)]

    def migrate(self, *more: str) -> tuple[int, Any]:
        """Exit code and outcome."""
        code, lines = self.cloudctl("database", "migrate", "--to", self.url, "--yes", *more)
        return code, lines[-1]

    def clients(self, count: int) -> list[Client]:
        """That many at work."""
        token = self.token()
        clients = [Client(self.cloud, token, f"c{number}") for number in range(count)]
        for client in clients:
            client.start()
            self.addCleanup(client.join)
            self.addCleanup(setattr, client, "ends", True)
        self.until(lambda: all(len(client.made) > 3 or client.failures for client in clients))
        return clients

    def until(self, reached: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not reached():
            self.assertLess(time.monotonic(), deadline, self.cloud.log())
            time.sleep(0.02)

    def end(self, clients: list[Client], more: int = 10) -> dict[str, str]:
        """After so many more writes of each; what they have made, without a failure."""
        counts = [len(client.made) + more for client in clients]
        self.until(
            lambda: all(
                client.failures or len(client.made) >= count for client, count in zip(clients, counts, strict=True)
            )
        )
        for client in clients:
            client.ends = True
        for client in clients:
            client.join()
            self.assertEqual(client.failures, [], self.cloud.log())
        return {user: name for client in clients for user, name in client.made.items()}

    def users(self, place: Path | str) -> str:
        return "\n".join(all_rows(place)["identity_user"])


class LoadTests(MoveCase):
    def test_moves_under_load(self) -> None:
        """Each acknowledged write is on the server, no request fails, tokens and ids stay."""
        tokens = [self.token() for _ in range(3)]
        code, outcome = self.migrate("--check")
        self.assertEqual((code, outcome["result"]), (0, "unchanged"), outcome)
        self.assertEqual(self.cloudctl("database", "status")[1][0]["kind"], "sqlite")
        clients = self.clients(4)
        code, outcome = self.migrate()
        self.assertEqual((code, outcome["result"]), (0, "committed"), outcome)
        self.assertLess(outcome["pause_s"], 5)
        made = self.end(clients)
        there, here = self.users(self.url), self.users(self.file)
        for user, name in made.items():
            self.assertIn(f"'{user}'", there, name)
        self.assertTrue(any(f"'{user}'" not in here for user in made))
        self.assertTrue(all(self.is_valid(token) for token in tokens))
        self.after_the_move()
        self.cloud.stop()
        self.cloud.start()
        self.assertTrue(all(self.is_valid(token) for token in tokens))
        self.assertIn(f"'{next(iter(made))}'", self.users(self.url))
        self.assertIn("write [database] url", self.health()["cause"])
        self.cloud.settings_file.write_text(f'{SETTINGS}[database]\nurl = "{self.url}"\n')
        self.cloud.stop()
        self.cloud.start()
        self.assertRegex(self.health()["cause"], r"^PostgreSQL at 127.0.0.1:\d+, database cloudd_\w+$")

    def health(self) -> Any:
        part = self.ask("GET", "/health", {})[2]["parts"]["database"]
        self.assertEqual(part["status"], "ok")
        return part

    def after_the_move(self) -> None:
        """What is shown and written down, and that it is not done twice."""
        (status,) = self.cloudctl("database", "status")[1]
        self.assertEqual((status["kind"], len(status["workers"])), ("postgresql", 3))
        self.assertEqual(set(status["workers"].values()), {status["name"]})
        self.assertGreater(status["rows"]["identity_user"], 10)
        entry = self.cloudctl("audit")[1][0]["entries"][-1]
        self.assertEqual((entry["action"], entry["result"]), ("migrate", "committed"))
        self.assertIn("write [database] url", self.health()["cause"])
        code, outcome = self.migrate()
        self.assertEqual((code, outcome["result"]), (1, "refused"), outcome)
        self.assertIn("already", outcome["cause"])

    def test_refused(self) -> None:
        """A server that is not there, a URL with a password: nothing changes, and the audit log has it."""
        for url, cause in (
            ("postgresql://cloudd@127.0.0.1:1/x", "127.0.0.1:1"),
            ("postgresql://cloudd:secret@127.0.0.1/x", "holds a password"),
        ):
            code, lines = self.cloudctl("database", "migrate", "--to", url, "--yes")
            self.assertEqual((code, lines[-1]["result"]), (1, "refused"))
            self.assertIn(cause, lines[-1]["cause"])
        entries = self.cloudctl("audit")[1][0]["entries"]
        self.assertEqual([entry["result"] for entry in entries if entry["action"] == "migrate"], ["refused"] * 2)
        self.assertNotIn("secret", (self.cloud.state / "log" / "audit.log").read_text())
        self.assertIsNone(moved_from(self.file))


class EventTests(MoveCase):
    def test_streams_go_on(self) -> None:
        """Who follows events hears of each change once and in order, and resumes by the numbers of before."""
        admin = self.token()
        path = "/events?all&types=identity.user"
        streams = [EventStream(self.cloud, admin, path, "") for _ in range(3)]
        for stream in streams:
            self.addCleanup(stream.close)
            self.assertEqual(stream.status, 200)
        clients = self.clients(1)
        self.until(lambda: len(clients[0].made) > 10)
        self.assertEqual(self.migrate()[1]["result"], "committed")
        made = list(self.end(clients))
        for stream in streams:
            stream.wait(lambda stream=stream: len(stream.events) >= len(made), "all events")  # type: ignore[misc]
            self.assertEqual([event["data"]["id"] for event in stream.events], made)
        before_the_move = streams[0].events[5]["id"]
        resumed = EventStream(self.cloud, admin, path, before_the_move)
        self.addCleanup(resumed.close)
        resumed.wait(lambda: len(resumed.events) >= len(made) - 6, "the rest")
        self.assertEqual([event["data"]["id"] for event in resumed.events], made[6:])


class KilledTests(MoveCase):
    """Processes end themselves at an exact step: see ``traps``."""

    def begin(self, tree: Path = CHECKOUT) -> None:
        folder = Path(tempfile.mkdtemp(prefix="cloudd-move-"))
        self.addCleanup(shutil.rmtree, folder)
        tree = copy_tree(folder / "tree")
        self.traps = Traps(tree, folder / "traps")
        super().begin(tree)

    def assert_nothing_lost(self, clients: list[Client]) -> None:
        made = self.end(clients)
        there = self.users(self.url)
        self.assertEqual([user for user in made if f"'{user}'" not in there], [])

    def started(self) -> subprocess.Popen[str]:
        """A move in the background."""
        words = self.command("database", "migrate", "--to", self.url, "--yes")
        environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
        running = subprocess.Popen(
            words, cwd=CHECKOUT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.addCleanup(running.wait, 60)
        return running

    def outcome_of(self, running: subprocess.Popen[str]) -> Any:
        output, _ = running.communicate(timeout=120)
        return json.loads(output.splitlines()[-1])

    def mover_stopped_at(self, step: str) -> int:
        self.until(lambda: self.traps.sprung(step))
        sprung = self.traps.sprung(step)
        assert sprung is not None
        return sprung.pid

    def test_mover(self) -> None:
        """Whenever the mover is killed, no request fails and nothing is lost; the next move succeeds."""
        clients = self.clients(2)
        for step in ("move_copy.before", "move_copy.after", "move_decide.before", "move_commit.before"):
            self.traps.set(step, "SIGKILL")
            code, outcome = self.migrate()
            self.assertEqual((code, outcome["result"]), (1, "failed"), (step, outcome))
            self.assertIn("ended before", outcome["cause"])
            self.assertIsNone(moved_from(self.file))
        self.traps.set("move_commit.after", "SIGKILL")
        self.assertEqual(self.migrate()[1]["result"], "failed")
        # Decided, and not yet written down.
        self.traps.set("move_record.before", "SIGKILL")
        code, outcome = self.migrate()
        self.assertEqual((code, outcome["result"]), (0, "committed"), outcome)
        self.assertTrue((self.cloud.state / "database.json").exists())
        self.assert_nothing_lost(clients)

    def test_anchor(self) -> None:
        """A move whose anchor was killed in the pause is tidied up by the next one; workers have served on."""
        clients = self.clients(2)
        self.traps.set("move_commit.before", "SIGSTOP")
        running = self.started()
        mover = self.mover_stopped_at("move_commit.before")
        self.cloud.stop(signal.SIGKILL)
        os.kill(mover, signal.SIGKILL)
        running.communicate(timeout=60)
        self.cloud.start()
        self.until(lambda: self.audited() == ["failed"])  # the control socket answers while it tidies up
        self.assertIsNone(moved_from(self.file))
        # Once more, behind the decision.
        self.traps.clear()
        self.traps.set("move_record.before", "SIGSTOP")
        running = self.started()
        mover = self.mover_stopped_at("move_record.before")
        self.cloud.stop(signal.SIGKILL)
        os.kill(mover, signal.SIGKILL)
        running.communicate(timeout=60)
        self.cloud.start()
        self.until(lambda: self.audited() == ["failed", "committed"])
        self.assertTrue((self.cloud.state / "database.json").exists())
        self.assertFalse((self.cloud.state / "database-move").exists())
        self.assert_nothing_lost(clients)

    def audited(self) -> list[str]:
        entries = self.cloudctl("audit")[1][0]["entries"]
        return [entry["result"] for entry in entries if entry["action"] == "migrate"]

    def test_worker(self) -> None:
        """One that is killed in the pause comes back, and goes on where the others do."""
        clients = self.clients(1)
        (status,) = self.cloudctl("status")[1]
        agent = next(worker["pid"] for worker in status["workers"] if worker["role"] == "agent")
        self.traps.set("move_commit.before", "SIGSTOP")
        running = self.started()
        mover = self.mover_stopped_at("move_commit.before")
        os.kill(agent, signal.SIGKILL)
        time.sleep(0.5)
        os.kill(mover, signal.SIGCONT)
        outcome = self.outcome_of(running)
        self.assertEqual(outcome["result"], "committed", outcome)
        self.until(lambda: self.ask("GET", "/health", {})[0] == 200)
        places = self.cloudctl("database", "status")[1][0]["workers"]
        self.assertEqual((len(places), len(set(places.values()))), (3, 1), places)
        self.assert_nothing_lost(clients)

    def test_mover_hangs_in_the_pause(self) -> None:
        """It is killed before those who wait lose their patience: not one request fails."""
        clients = self.clients(2)
        self.traps.set("move_commit.before", "SIGSTOP")
        code, outcome = self.migrate()
        self.assertEqual((code, outcome["result"]), (1, "failed"), outcome)
        self.assertIsNone(moved_from(self.file))
        self.end(clients)
        self.assertGreater(max(client.longest_s["POST"] for client in clients), 5)
        self.assertLess(max(client.longest_s["GET"] for client in clients), 5)
