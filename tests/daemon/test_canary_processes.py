"""Bad code on a share of real connections: found out, taken back, and told; connections stay."""

from __future__ import annotations

import http.client
import os
import random
import signal
import socket
import threading
import time
from typing import Any

from tests.daemon.small_cloud import PATIENCE_S
from tests.daemon.test_processes import RunningCase

CONNECTIONS = 24


class Client(threading.Thread):
    """One connection that asks without end, and notes what it gets."""

    def __init__(self, connect: Any, path: str, number: int) -> None:
        super().__init__()
        self._connect = connect
        self._path = path
        self._random = random.Random(number)
        self.stopping = False
        self.answers: list[tuple[int, str]] = []
        self.error: BaseException | None = None

    def run(self) -> None:
        connection = self._connect()
        try:
            while not self.stopping:
                connection.request("GET", self._path)
                answer = connection.getresponse()
                self.answers.append((answer.status, answer.read().decode().split()[0]))
                time.sleep(self._random.uniform(0.02, 0.1))
        except (OSError, http.client.HTTPException) as error:
            self.error = error
        finally:
            connection.close()


class CanaryCase(RunningCase):
    settings = "[workers]\nfront = 2\n[upgrade]\ncanary_period_s = 15\ncanary_min_requests = 20\n"

    def setUp(self) -> None:
        super().setUp()
        self.clients = [
            Client(self.cloud.connect, "/items" if number % 3 else "/other", number) for number in range(CONNECTIONS)
        ]
        self.addCleanup(self.stop_clients)

    def start_clients(self) -> None:
        for client in self.clients:
            client.start()
        self.cloud.wait(lambda: all(client.answers or client.error for client in self.clients), "all have an answer")

    def stop_clients(self) -> None:
        for client in self.clients:
            client.stopping = True
        for client in self.clients:
            if client.is_alive():
                client.join(PATIENCE_S)

    def assertTakenBack(self, outcome: Any, reason: str) -> None:
        """The old code alone serves on all connections, and everybody is told why."""
        self.assertEqual(outcome["result"], "failed", outcome)
        self.assertIn("rolled back by the canary: ", outcome["cause"])
        self.assertGreater(outcome["rollback_s"], 0)
        seen = [len(client.answers) for client in self.clients]
        self.cloud.wait(
            lambda: all(len(client.answers) > before + 2 for client, before in zip(self.clients, seen, strict=True)),
            "all connections go on",
        )
        self.assertEqual([client.error for client in self.clients if client.error], [])
        self.assertEqual({client.answers[-1] for client in self.clients}, {(200, "one")})
        entry = self.cloud.control("GET", "audit")[0]["entries"][-1]
        self.assertEqual((entry["result"], entry["cause"]), ("failed", outcome["cause"]))
        self.assertEqual(entry["canary"], outcome["canary"])
        self.assertIn(f'cloudd_rollbacks_total{{reason="{reason}"}} 1.0', self.cloud.get("/metrics")[1])
        self.cloud.wait(
            lambda: all(len(worker["generations"]) == 1 for worker in self.cloud.status()["workers"]),
            "the new code is gone",
        )

    def upgrade_to(self, word: str) -> Any:
        self.start_clients()
        self.cloud.say(word)
        return self.cloud.upgrade(canary=30)


class BadCodeTests(CanaryCase):
    # Long enough for a machine on which requests take their time: what is bad ends it early.
    settings = "[workers]\nfront = 2\n[upgrade]\ncanary_period_s = 60\ncanary_min_requests = 20\n"

    def test_what_answers_badly(self) -> None:
        """500, 404 and 100 ms more on one route, one after the other on the same connections."""
        self.start_clients()
        for word, reason, words in (
            ("failing", "canary_errors", r"answered 500 in \d+ of \d+ requests \(old code: 0 of \d+\)"),
            ("refusing", "canary_refusals", r"answered 404 in \d+ of \d+ requests \(old code: 0 of \d+\)"),
            ("slow", "canary_latency", r"api (GET items|\*) took 1\d\d ms \(\w+; old code: [\d.]+ ms\), more than"),
        ):
            self.cloud.say(word)
            outcome = self.cloud.upgrade(canary=30)
            self.assertRegex(outcome["cause"], words)
            if word != "slow":
                self.assertIn("api GET items", outcome["cause"])
            self.assertTakenBack(outcome, reason)
        self.stop_clients()
        self.assertEqual([client.error for client in self.clients if client.error], [])

    def test_a_route_that_hangs(self) -> None:
        """No answer on one route: what waits counts too."""
        outcome = self.upgrade_to("hanging")
        self.assertEqual(outcome["result"], "failed", outcome)
        self.assertRegex(outcome["cause"], r"api (GET items|\*) took .* more than")
        self.assertEqual(self.cloud.get("/items")[1].split()[0], "one")
        for client in self.clients:
            client.stopping = True
        self.clients = []  # some wait for an answer that never comes

    def test_a_leak_of_descriptors(self) -> None:
        """One more for each request of a route."""
        outcome = self.upgrade_to("leaking")
        self.assertIn("descriptors more are open", outcome["cause"])
        self.assertTakenBack(outcome, "canary_descriptors")

    def test_a_worker_that_crashes(self) -> None:
        """A request that ends its worker: the host stays with the old code, and the worker comes back with it."""
        outcome = self.upgrade_to("crashing")
        self.assertEqual(outcome["result"], "failed", outcome)
        self.assertRegex(outcome["cause"], "rolled back by the canary: worker front-[12] did not come through it")
        self.assertIn('cloudd_rollbacks_total{reason="canary_crash"} 1.0', self.cloud.get("/metrics")[1])
        self.cloud.wait(
            lambda: all(
                [generation["number"] for generation in worker["generations"]] == [1]
                for worker in self.cloud.status()["workers"]
            ),
            "all workers have the old code",
        )
        self.assertEqual(self.cloud.get("/items")[1].split()[0], "one")


class KilledAnchorTests(CanaryCase):
    def test_anchor_killed(self) -> None:
        """The workers serve on and drop the canary by themselves; a restarted daemon has the old code everywhere."""
        self.start_clients()
        self.cloud.say("two")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.cloud.state / "control.sock"))
            client.sendall(b'POST /v1/upgrade HTTP/1.1\r\nHost: c\r\nContent-Length: 13\r\n\r\n{"canary":30}')
            self.cloud.wait(
                lambda: any(client.answers[-1][1] == "two" for client in self.clients), "the canary has requests"
            )
        before = self.cloud.worker_pids()
        self.cloud.say("one")
        assert self.cloud.process is not None
        self.cloud.process.kill()
        self.cloud.process.wait()
        self.cloud.wait(lambda: len(self.cloud.words("generation 2 is dropped")) == 3, "all have dropped it")
        seen = [len(client.answers) for client in self.clients]
        self.cloud.start()
        self.cloud.wait(
            lambda: all(len(client.answers) > count + 2 for client, count in zip(self.clients, seen, strict=True)),
            "all connections go on",
        )
        self.assertEqual(self.cloud.worker_pids(), before)
        self.stop_clients()
        self.assertEqual([client.error for client in self.clients if client.error], [])
        self.assertEqual({client.answers[-1] for client in self.clients}, {(200, "one")})
        self.cloud.wait(
            lambda: all(
                [generation["number"] for generation in worker["generations"]] == [1]
                for worker in self.cloud.status()["workers"]
            ),
            "the new code is gone",
        )
        self.cloud.say("two")
        outcome = self.cloud.upgrade(canary=0)
        self.assertEqual((outcome["result"], outcome["generation"]), ("committed", 3), outcome)


class StreamTests(CanaryCase):
    """Answers without an end go where the others go."""

    settings = "[workers]\nfront = 1\n[upgrade]\ncanary_period_s = 2\ncanary_min_requests = 20\n"

    def open(self) -> http.client.HTTPResponse:
        """A stream; gives its answer, of which lines can be read."""
        connection = self.cloud.connect()
        self.addCleanup(connection.close)
        connection.request("GET", "/stream")
        return connection.getresponse()

    def read_until(self, stream: http.client.HTTPResponse, line: bytes) -> list[bytes]:
        """The lines up to that one."""
        lines = [stream.readline()]
        while lines[-1] != line:
            self.assertLess(len(lines), 2_000)
            lines.append(stream.readline())
        return lines

    def generations(self) -> list[int]:
        return [generation["number"] for generation in self.cloud.status()["workers"][0]["generations"]]

    def test_they_follow_a_commit(self) -> None:
        """On their connections, without a gap; and they keep no old generation alive."""
        streams = [self.open() for _ in range(5)]
        self.cloud.say("two")
        self.assertEqual(self.cloud.upgrade(canary=0)["result"], "committed")
        for stream in streams:
            lines = self.read_until(stream, b"two from one\n")
            self.assertEqual(set(lines[:-1]), {b"one from nowhere\n"})
        self.cloud.wait(lambda: self.generations() == [2], "the old code is gone")
        self.assertEqual(self.cloud.status()["workers"][0]["generations"][0]["connections"], 5)

    def test_they_leave_a_canary_that_is_taken_back(self) -> None:
        """Those that had begun in the new code go on in the old one; the new one is freed."""
        self.cloud.say("failing")
        opened: list[tuple[http.client.HTTPResponse, bytes]] = []
        outcomes: list[Any] = []
        upgrade = threading.Thread(target=lambda: outcomes.append(self.cloud.upgrade(canary=30)))
        upgrade.start()
        while not opened or opened[-1][1] == b"one from nowhere\n":
            self.assertEqual(outcomes, [])
            stream = self.open()
            opened.append((stream, stream.readline()))
        self.start_clients()  # who find out how bad it is
        upgrade.join()
        self.assertTakenBack(outcomes[0], "canary_errors")
        self.assertEqual(opened[-1][1], b"failing from nowhere\n")
        for stream, first in opened:
            last = b"one from failing\n" if first.startswith(b"failing") else b"one from nowhere\n"
            self.read_until(stream, last)


class GoodCodeTests(CanaryCase):
    settings = "[workers]\nfront = 2\n[upgrade]\ncanary_period_s = 2\ncanary_min_requests = 20\n"

    def test_compared_and_committed(self) -> None:
        """A connection sees one version until the commit, and the status shows who has which."""
        self.start_clients()
        self.cloud.say("two")
        lines: list[Any] = []
        upgrade = threading.Thread(target=lambda: lines.extend(self.cloud.control("POST", "upgrade", {"canary": 30})))
        upgrade.start()
        self.cloud.wait(self.connections_in_canary, "the canary has connections")
        (busy,) = [line for line in self.cloud.control("POST", "upgrade", {}) if line["type"] == "outcome"]
        self.assertEqual(busy["result"], "busy")
        self.assertIn("canary: 30 % of the connections", busy["cause"])
        upgrade.join()
        self.assertEqual(lines[-1]["result"], "committed", lines[-1])
        self.assertIn("judged by comparison: 30 % of the connections", lines[-1]["canary"])
        self.cloud.wait(lambda: all(client.answers[-1][1] == "two" for client in self.clients), "all have it")
        self.stop_clients()
        self.assertEqual([client.error for client in self.clients if client.error], [])
        sequences = [[word for _status, word in client.answers] for client in self.clients]
        for words in sequences:
            self.assertEqual(words, sorted(words), "once new, always new")
        early = {words.index("two") for words in sequences}
        self.assertGreater(max(early) - min(early), 5, "some had it before others")

    def connections_in_canary(self) -> int:
        """How many connections the status shows in the canary."""
        return sum(
            generation["connections"]
            for worker in self.cloud.status()["workers"]
            for generation in worker["generations"]
            if generation["state"] == "canary"
        )

    def canary_runs(self) -> bool:
        """Whether the status shows an upgrade in that step."""
        return bool((self.cloud.status()["upgrade"] or {}).get("step") == "canary")

    def test_little_traffic(self) -> None:
        """With nearly no requests the self-checks decide, and that is said."""
        self.cloud.say("two")
        outcome = self.cloud.upgrade(canary=5)
        self.assertEqual(outcome["result"], "committed", outcome)
        self.assertRegex(
            outcome["canary"],
            r"^judged by self-checks: (\d+ requests? w\w+ too few|there were no requests) to compare$",
        )

    def test_an_agent_that_is_killed(self) -> None:
        """A worker without connections that dies meanwhile comes back, and takes the new code with the others."""
        self.cloud.say("two")
        outcomes: list[Any] = []
        upgrade = threading.Thread(target=lambda: outcomes.append(self.cloud.upgrade(canary=5)))
        upgrade.start()
        self.cloud.wait(self.canary_runs, "the canary runs")
        os.kill(self.cloud.worker_pids()["agent"], signal.SIGKILL)
        upgrade.join()
        self.assertEqual((outcomes[0]["result"], outcomes[0]["warnings"]), ("committed", []), outcomes)
        numbers = [worker["generations"][-1]["number"] for worker in self.cloud.status()["workers"]]
        self.assertEqual(numbers, [2, 2, 2])

    def test_a_client_of_the_control_socket_that_leaves(self) -> None:
        """The canary goes on, and the status shows it."""
        self.cloud.say("two")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(self.cloud.state / "control.sock"))
            client.sendall(b'POST /v1/upgrade HTTP/1.1\r\nHost: c\r\nContent-Length: 12\r\n\r\n{"canary":5}')
            self.cloud.wait(self.canary_runs, "the canary runs")
        self.cloud.wait(lambda: "two" in self.cloud.get("/")[1] and not self.cloud.status()["upgrade"], "it is done")
        self.assertEqual(self.cloud.control("GET", "audit")[0]["entries"][-1]["result"], "committed")
