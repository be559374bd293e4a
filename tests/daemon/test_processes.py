"""The real processes: start, swap, crashes, signals and the end, as an operator and a client see them."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import stat
import threading
import time
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from cloudd.control import make_key, read_private_key, write_manifest
from tests.daemon.small_cloud import PATIENCE_S, SmallCloud
from tests.database.choice import on_postgres


class RunningCase(SynchronousTestCase):
    """A daemon that runs."""

    settings = "[workers]\nfront = 2\n"

    def setUp(self) -> None:
        self.cloud = self.make_cloud()
        self.addCleanup(self.cloud.remove)
        self.cloud.start()

    def make_cloud(self) -> SmallCloud:
        """The daemon, not started."""
        return SmallCloud(self.settings)

    def slow_request(self, path: str) -> tuple[threading.Thread, list[object]]:
        """Begin a request in a thread and wait until a worker has it."""
        answers: list[object] = []

        def ask() -> None:
            try:
                answers.append(self.cloud.get(path))
            except (OSError, http.client.HTTPException) as error:
                answers.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        self.cloud.wait(lambda: self.requests_running() >= 1, "the request has begun")
        return thread, answers

    def held_request(self) -> tuple[threading.Thread, list[object]]:
        """One that ends when ``release`` is called."""
        self.flag = self.cloud.state.parent / f"released-{time.monotonic_ns()}"
        return self.slow_request(f"/until/{self.flag.name}")

    def release(self) -> None:
        """Let the last held request end."""
        self.flag.touch()

    def requests_running(self) -> int:
        return sum(
            generation["requests_running"]
            for worker in self.cloud.status()["workers"]
            for generation in worker["generations"]
        )


class ServingTests(RunningCase):
    def test_serves(self) -> None:
        """A request is answered, logged with its facts, and counted over all workers."""
        connection = self.cloud.connect()
        self.addCleanup(connection.close)
        bodies = [self.cloud.get("/hello?token=secret", connection) for _ in range(3)]
        self.assertEqual({(status, body.split()[0]) for status, body in bodies}, {(200, "one")})
        lines = self.cloud.wait(lambda: [line for line in self.cloud.access_lines() if "/hello" in line][2:], "lines")
        fields = lines[0].split()
        self.assertEqual(fields[2:8], ["api", "-", "GET", "/hello", "small", "200"])
        self.assertEqual(fields[11], "1")
        self.assertNotIn("secret", lines[0])
        metrics = self.cloud.get("/metrics")[1]
        self.assertIn('cloudd_requests_total{face="api",method="GET",route="small",status="2xx"} 3.0', metrics)
        self.assertIn('cloudd_worker_ready{name="agent",worker="anchor"} 1.0', metrics)

    def test_host(self) -> None:
        """Code in a worker is told of the host what the control socket tells: status, plan and audit log."""
        for name, told in (("status", self.cloud.status()), ("plan", self.cloud.control("POST", "plan", {})[0])):
            asked = json.loads(self.cloud.get(f"/host/{name}")[1])
            self.assertEqual(asked.keys(), told.keys())
        self.assertEqual(asked, told)
        self.cloud.say("two")
        self.assertEqual(json.loads(self.cloud.get("/host/plan")[1])["swappable"], ["cloudd.words"])
        self.cloud.upgrade()
        status = json.loads(self.cloud.get("/host/status")[1])
        self.assertEqual([worker["generations"][-1]["number"] for worker in status["workers"]], [2, 2, 2])
        audit = json.loads(self.cloud.get("/host/audit/1")[1])
        self.assertEqual(([entry["action"] for entry in audit["entries"]], audit["more"]), (["upgrade"], True))

    def test_notes(self) -> None:
        """One worker's code is told of each step of an upgrade and of its end, by whichever generation serves then."""
        self.cloud.say("two")
        self.cloud.upgrade()
        file = self.cloud.state / "noted"
        self.cloud.wait(lambda: file.exists() and "upgrade.ended" in file.read_text(), "the end is noted")
        notes = [json.loads(line) for line in file.read_text().splitlines()]
        steps = [data["step"] for kind, data in notes if kind == "upgrade.progress"]
        self.assertEqual(steps[:3], ["check", "stage", "prepare"])
        self.assertEqual([data["result"] for kind, data in notes if kind == "upgrade.ended"], ["committed"])

    def test_rates(self) -> None:
        """What all workers answered in the last seconds, also before a swap, with the time it took."""
        answers = [self.cloud.get("/hello")[0] for _ in range(8)]
        self.cloud.say("two")
        self.cloud.upgrade()

        def counted() -> Any:
            rates = json.loads(self.cloud.get("/host/rates")[1])
            return rates if any(sample["all"]["requests"] >= len(answers) for sample in rates["samples"]) else None

        rates = self.cloud.wait(counted, "the requests are counted")
        [route] = rates["routes"]
        self.assertEqual((route["face"], route["route"], route["errors"]), ("api", "small", 0))
        self.assertTrue(0 < route["p50_ms"] <= route["p99_ms"], route)

    def test_first_start(self) -> None:
        """The state folder and credentials are private, and the ready line names them."""
        state = self.cloud.state
        self.assertEqual(stat.S_IMODE(state.stat().st_mode), 0o700)
        files = ["clouds.yaml", "s3.env", "log/access.log", "control.sock"]
        for name in files if on_postgres() else [*files, "cloud.sqlite"]:
            self.assertEqual(stat.S_IMODE((state / name).stat().st_mode) & 0o077, 0, name)
        self.assertIn(
            f'auth_url: "http://127.0.0.1:{self.cloud.port}/identity/v3"', (state / "clouds.yaml").read_text()
        )
        self.assertIn(str(state / "clouds.yaml"), self.cloud.log())
        self.assertTrue((state / "kept").exists())

    def test_no_descriptor_leaks(self) -> None:
        """The loader has its channel and standard streams alone; a front has no lock of the anchor."""
        fronts = self.cloud.worker_pids()
        loader = int((Path("/proc") / str(fronts["front-1"]) / "stat").read_text().rpartition(")")[2].split()[1])
        kept = {os.readlink(path) for path in (Path("/proc") / str(loader) / "fd").iterdir()}
        self.assertFalse([name for name in kept if "lock" in name or "sqlite" in name or "epoll" in name], kept)
        front = {os.readlink(path) for path in (Path("/proc") / str(fronts["front-1"]) / "fd").iterdir()}
        self.assertFalse([name for name in front if "anchor.lock" in name or "control.sock" in name], front)

    def test_second_daemon_is_refused(self) -> None:
        """Another twistd on the same state folder ends at once and says who has it."""
        first = self.cloud.process
        assert first is not None
        second = self.cloud.spawn()
        self.cloud.process = first
        self.assertNotEqual(second.wait(PATIENCE_S), 0)
        self.assertIn(f"another cloudd (process {first.pid}) uses the state folder", self.cloud.log())
        self.assertNotIn("Traceback", self.cloud.log())
        self.assertEqual(self.cloud.get("/")[0], 200)


class HangUpTests(RunningCase):
    def test_settings_and_log_files(self) -> None:
        """SIGHUP: a rotated access log is let go, hot settings are taken, others are named, bad ones refused."""
        cloud = self.cloud
        assert cloud.process is not None
        access = cloud.state / "log" / "access.log"
        cloud.settings_file.write_text('[workers]\nfront = 3\n[log]\naccess_format = "json"\n')
        access.rename(access.with_name("access.log.1"))
        cloud.process.send_signal(signal.SIGHUP)
        cloud.wait(lambda: cloud.words("settings taken: log.access_format"), "the setting is taken")
        self.assertTrue(cloud.words("settings that need a restart: workers.front"))
        cloud.wait(access.exists, "the log is opened anew")
        cloud.get("/after")
        line = cloud.wait(lambda: [line for line in cloud.access_lines() if "/after" in line], "the line")[0]
        self.assertEqual(json.loads(line)["path"], "/after")
        cloud.settings_file.write_text("[nonsense]\n")
        cloud.process.send_signal(signal.SIGHUP)
        cloud.wait(lambda: cloud.words("the settings stay as they are: nonsense"), "the refusal")
        self.assertEqual(cloud.get("/")[0], 200)


class SwapTests(RunningCase):
    def test_swap_on_an_open_connection(self) -> None:
        """The next request on the same connection has the new code; one in flight ends in the old."""
        connection = self.cloud.connect()
        self.addCleanup(connection.close)
        self.assertIn("one", self.cloud.get("/", connection)[1])
        sock = connection.sock
        thread, answers = self.held_request()
        self.cloud.say("two")
        outcome = self.cloud.upgrade()
        self.assertEqual(outcome["result"], "committed", outcome)
        self.assertIn("two", self.cloud.get("/", connection)[1])
        self.assertIs(connection.sock, sock)
        metrics = self.cloud.get("/metrics")[1]
        for sample in ('cloudd_swaps_total{result="committed"} 1.0', "cloudd_swap_seconds_count 1.0",
                       'cloudd_rollbacks_total{reason="prepare"} 0.0'):  # fmt: skip
            self.assertIn(sample, metrics)
        self.assertRegex(metrics, r'cloudd_connections\{face="api",generation="1",worker="front-\d"\} 1\.0')
        self.release()
        thread.join()
        self.assertEqual(answers, [(200, "one")])
        numbers = {worker["generations"][-1]["number"] for worker in self.cloud.status()["workers"]}
        self.assertEqual(numbers, {2})
        self.cloud.wait(
            lambda: all(len(worker["generations"]) == 1 for worker in self.cloud.status()["workers"]),
            "the old generation is freed",
        )
        self.check_traces(outcome)

    def check_traces(self, outcome: Any) -> None:
        """What the host tells of the request that ended in the old code, and of the last one."""
        lines = self.cloud.wait(lambda: [line for line in self.cloud.access_lines() if "/until" in line], "the line")
        lines += [line for line in self.cloud.access_lines() if line.split()[11] == "2"]
        for line, generation, code in ((lines[0], 1, outcome["old_hash"]), (lines[-1], 2, outcome["new_hash"])):
            (trace,) = self.cloud.control("GET", f"trace?request_id={line.split()[1]}")
            (request,) = trace["requests"]
            self.assertEqual((request["generation"], request["hash"]), (generation, code))
            self.assertEqual((request["status"], request["worker"]), (200, line.split()[-1]))

    def test_bad_code_changes_nothing(self) -> None:
        """A module that fails its self-check, or does not import, is refused with its cause."""
        self.cloud.say("bad")
        outcome = self.cloud.upgrade()
        self.assertEqual(outcome["result"], "failed", outcome)
        self.assertIn("the word is bad", outcome["cause"])
        (self.cloud.tree / "cloudd" / "words.py").write_text("import nowhere\n")
        outcome = self.cloud.upgrade()
        self.assertEqual(outcome["result"], "failed", outcome)
        self.assertIn("nowhere", outcome["cause"])
        self.assertIn("one", self.cloud.get("/")[1])

    def test_crashed_worker_boots_the_committed_code(self) -> None:
        """A worker that is killed after a swap comes back with the new code, and a start of the daemon as well."""
        self.cloud.say("two")
        self.assertEqual(self.cloud.upgrade()["result"], "committed")
        before = self.cloud.worker_pids()
        for name in ("front-1", "front-2"):
            os.kill(before[name], signal.SIGKILL)
        self.cloud.wait(
            lambda: all(
                worker["ready"] and worker["pid"] != before["front-1"] for worker in self.cloud.status()["workers"]
            ),
            "the workers are back",
        )
        self.assertIn("two", self.cloud.get("/")[1])
        self.assertTrue(self.cloud.words("worker front-1 was killed by SIGKILL"))

    def test_swap_under_load(self) -> None:
        """Clients that ask without pause see both versions, and no error."""
        stop = threading.Event()
        seen: list[str] = []
        errors: list[BaseException] = []

        def ask() -> None:
            connection = self.cloud.connect()
            try:
                while not stop.is_set():
                    seen.append(self.cloud.get("/", connection)[1].split()[0])
            except (OSError, http.client.HTTPException) as error:
                errors.append(error)
            finally:
                connection.close()

        clients = [threading.Thread(target=ask) for _ in range(8)]
        for client in clients:
            client.start()
        for word in ("two", "three", "four"):
            self.cloud.say(word)
            self.assertEqual(self.cloud.upgrade()["result"], "committed")
            count = len(seen)
            self.cloud.wait(lambda count=count: len(seen) > count + 50, "requests go on")  # type: ignore[misc]
        stop.set()
        for client in clients:
            client.join()
        self.assertEqual(errors, [])
        self.assertEqual(set(seen), {"one", "two", "three", "four"})


class SignedTests(RunningCase):
    def setUp(self) -> None:
        self.cloud = SmallCloud()
        self.cloud.is_lent = False
        self.addCleanup(self.cloud.remove)
        self.key_file = self.cloud.folder / "key.pem"
        public_key = make_key(self.key_file)
        with self.cloud.settings_file.open("a") as settings:
            settings.write(f'[upgrade]\npublic_key = "{public_key}"\n')
        self.cloud.start()

    def test_only_signed_code_is_loaded(self) -> None:
        """The start needs no signature, an upgrade does; a worker that starts anew boots the signed copy."""
        cloud = self.cloud
        cloud.say("two")
        for signed in (False, True):
            outcome = cloud.upgrade()
            self.assertEqual((outcome["result"], cloud.get("/")[1][:3]), ("refused", "one"), outcome)
            self.assertEqual([path.name for path in (cloud.state / "code").iterdir() if len(path.name) == 64],
                             [outcome["old_hash"]])  # fmt: skip
            key = read_private_key(self.key_file) if signed else None
            write_manifest(cloud.tree, key)
        outcome = cloud.upgrade()
        self.assertEqual((outcome["result"], outcome["manifest"]), ("committed", "fits, signed"), outcome)
        killed = cloud.worker_pids()["front-1"]
        os.kill(killed, signal.SIGKILL)
        (serving,) = cloud.wait(
            lambda: [
                worker["generations"]
                for worker in cloud.status()["workers"]
                if worker["name"] == "front-1" and worker["ready"] and worker["pid"] != killed
            ],
            "the worker is back",
        )
        self.assertEqual([generation["hash"] for generation in serving], [outcome["new_hash"]])


class CrashTests(RunningCase):
    def test_crash_loop_is_visible(self) -> None:
        """A worker that crashes again and again is named by health, with the way it ended."""
        for _ in range(6):
            try:
                self.cloud.get("/exit/9")
            except (OSError, http.client.HTTPException):
                pass
            else:
                self.fail("the worker lives")
            time.sleep(0.05)
        health = self.cloud.wait(
            lambda: (found := self.cloud.health())["status"] == "failing" and found, "health notices"
        )
        causes = [part["cause"] for name, part in health["parts"].items() if name.startswith("worker front")]
        self.assertTrue([cause for cause in causes if "ended with status 9" in cause], causes)

    def test_loader_is_replaced(self) -> None:
        """Without its loader the host serves on, and the next restart of a worker brings a new loader."""
        pids = self.cloud.worker_pids()
        loader = int((Path("/proc") / str(pids["agent"]) / "stat").read_text().rpartition(")")[2].split()[1])
        os.kill(loader, signal.SIGKILL)
        self.cloud.wait(lambda: self.cloud.words("the loader has ended"), "the anchor notices")
        self.assertEqual(self.cloud.get("/")[0], 200)
        os.kill(pids["agent"], signal.SIGKILL)
        self.cloud.wait(
            lambda: (
                all(worker["ready"] for worker in self.cloud.status()["workers"])
                and self.cloud.worker_pids()["agent"] != pids["agent"]
            ),
            "the agent is back",
        )
        self.assertEqual(self.cloud.health()["status"], "ok")

    def test_killed_anchor_with_a_stopped_worker(self) -> None:
        """A worker that cannot be met loses its place to a new one, and ends when it wakes up."""
        assert self.cloud.process is not None
        pid = self.cloud.worker_pids()["front-1"]
        os.kill(pid, signal.SIGSTOP)
        self.cloud.process.kill()
        self.cloud.process.wait()
        self.cloud.start()
        self.assertNotEqual(self.cloud.worker_pids()["front-1"], pid)
        os.kill(pid, signal.SIGCONT)
        self.cloud.wait(lambda: pid not in self.cloud.processes(), "the straggler has ended")
        self.assertEqual(self.cloud.get("/")[0], 200)

    def test_killed_anchor(self) -> None:
        """After kill -9 of the anchor its workers serve on; a new daemon finds them, and no connection is lost."""
        connections = [self.cloud.connect() for _ in range(10)]
        for connection in connections:
            self.addCleanup(connection.close)
            self.cloud.get("/", connection)
        sockets = [connection.sock for connection in connections]
        pids = self.cloud.worker_pids()
        thread, answers = self.held_request()
        assert self.cloud.process is not None
        self.cloud.process.kill()
        self.cloud.process.wait()
        self.assertEqual(self.cloud.get("/")[0], 200)
        self.cloud.start()
        self.assertEqual(self.cloud.worker_pids(), pids)
        self.assertEqual({self.cloud.get("/", connection)[0] for connection in connections}, {200})
        self.assertEqual([connection.sock for connection in connections], sockets)
        self.release()
        thread.join()
        self.assertEqual(answers, [(200, "one")])
        self.cloud.say("two")
        self.assertEqual(self.cloud.upgrade()["result"], "committed")
        self.assertEqual({self.cloud.get("/", connection)[1][:3] for connection in connections}, {"two"})
        self.cloud.stop()
        self.cloud.wait(lambda: not self.cloud.processes(), "every process has ended")

    def test_killed_anchor_whose_successor_cannot_start(self) -> None:
        """Its workers serve on until one can: it was not asked to end them."""
        self.cloud.say("two")
        self.assertEqual(self.cloud.upgrade()["result"], "committed")
        pids = self.cloud.worker_pids()
        record = self.cloud.state / "code" / "committed.json"
        decided = record.read_bytes()
        work = record.with_name(".committed.json.new")
        assert self.cloud.process is not None
        self.cloud.process.kill()
        self.cloud.process.wait()
        for damage, mend, words in (
            (lambda: record.write_text("{"), lambda: record.write_bytes(decided), "committed.json is damaged"),
            (work.mkdir, work.rmdir, "Is a directory"),
        ):
            damage()
            self.assertEqual(self.cloud.spawn().wait(PATIENCE_S), 1)
            self.assertEqual(len(self.cloud.words(f"cloudd cannot start: .*{words}.*; 3 workers .* serve on")), 1)
            self.assertEqual(self.cloud.get("/")[0], 200)
            mend()
        self.cloud.start()
        self.assertEqual(self.cloud.worker_pids(), pids)
        self.assertEqual(self.cloud.get("/")[0], 200)

    def test_killed_anchor_that_nobody_replaces(self) -> None:
        """Workers without an anchor end after ``workers.orphan_timeout_s``."""
        self.cloud.stop()
        self.cloud.settings_file.write_text("[workers]\nfront = 2\norphan_timeout_s = 0.5\n")
        self.cloud.start()
        assert self.cloud.process is not None
        self.cloud.process.kill()
        self.cloud.process.wait()
        self.cloud.wait(lambda: not self.cloud.processes(), "every process has ended")
        self.cloud.start()
        self.assertEqual(self.cloud.get("/")[0], 200)


class StopTests(RunningCase):
    settings = "[workers]\nfront = 2\nstop_timeout_s = 6\n"

    def test_requests_in_flight_end(self) -> None:
        """SIGTERM: the port is closed to newcomers, a slow request gets its answer, then all end with success."""
        idle = self.cloud.connect()
        self.cloud.get("/", idle)
        thread, answers = self.held_request()
        assert self.cloud.process is not None and idle.sock is not None
        self.cloud.process.send_signal(signal.SIGTERM)
        idle.sock.settimeout(PATIENCE_S)
        self.assertEqual(idle.sock.recv(1), b"")
        time.sleep(0.2)  # the other worker closes its port as well
        self.assertTrue(thread.is_alive())
        self.assertRaises(ConnectionRefusedError, self.cloud.get, "/")
        self.release()
        thread.join()
        self.assertEqual(answers, [(200, "one")])
        self.assertIn(self.cloud.process.wait(PATIENCE_S), {0, -signal.SIGTERM})
        self.assertEqual(self.cloud.processes(), [])
        with self.assertRaises(OSError):
            self.cloud.get("/")

    def test_the_wait_is_bounded(self) -> None:
        """A request that never ends is cut after ``stop_timeout_s``."""
        thread, answers = self.slow_request("/stuck")
        self.cloud.stop()
        thread.join()
        self.assertNotIsInstance(answers[0], tuple)
        self.assertEqual(self.cloud.processes(), [])

    def test_signal_to_all(self) -> None:
        """SIGTERM to all, as systemd's ``KillMode=control-group`` does: requests in flight end all the same."""
        thread, answers = self.held_request()
        for pid in self.cloud.processes():
            os.kill(pid, signal.SIGTERM)
        self.release()
        assert self.cloud.process is not None
        self.cloud.process.wait(PATIENCE_S)
        thread.join()
        self.assertEqual(answers, [(200, "one")])
        self.assertEqual(self.cloud.processes(), [])

    def test_interrupt(self) -> None:
        """SIGINT to the anchor, as from a terminal, ends it in order as well."""
        self.cloud.stop(signal.SIGINT)
        self.assertEqual(self.cloud.processes(), [])
        self.assertNotIn("Traceback", self.cloud.log())


class SecondSignalTests(RunningCase):
    settings = "[workers]\nfront = 2\nstop_timeout_s = 600\n"

    def test_hastens(self) -> None:
        """A second SIGTERM cuts what is in flight, and nobody waits for ``stop_timeout_s``."""
        thread, _answers = self.slow_request("/stuck")
        assert self.cloud.process is not None
        self.cloud.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        self.cloud.process.send_signal(signal.SIGTERM)
        self.cloud.process.wait(PATIENCE_S)
        thread.join()


class StartTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.cloud = SmallCloud()
        self.addCleanup(self.cloud.remove)

    def test_port_in_use(self) -> None:
        """The port's owner is not disturbed; the message names the endpoint and the remedy."""
        with socket.socket() as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            other.bind(("127.0.0.1", self.cloud.port))
            other.listen()
            self.assertNotEqual(self.cloud.spawn().wait(PATIENCE_S), 0)
        self.assertIn("something listens there already", self.cloud.log())
        for noise in ("Traceback", "direct cause"):
            self.assertNotIn(noise, self.cloud.log())

    def test_application_that_cannot_prepare(self) -> None:
        """The daemon ends with status 1 and the cause, and leaves no process."""
        self.cloud.say("unprepared")
        self.assertEqual(self.cloud.spawn().wait(PATIENCE_S), 1)
        self.assertIn("cannot prepare", self.cloud.log())
        self.cloud.wait(lambda: not self.cloud.processes(), "every process has ended")

    def test_signal_while_starting(self) -> None:
        """SIGTERM at any moment of the start ends all of it, and the next start works."""
        for delay_s in (0.35, 0.5, 0.7, 0.9, 1.1):
            process = self.cloud.spawn()
            time.sleep(delay_s)
            process.send_signal(signal.SIGTERM)
            process.wait(PATIENCE_S)
            self.cloud.wait(lambda: not self.cloud.processes(), "every process has ended")
        self.assertNotIn("Traceback", self.cloud.log())
        self.cloud.start()

    def test_bad_settings(self) -> None:
        """A misspelt key is refused with the nearest name, and nothing is made."""
        self.cloud.is_lent = False
        self.cloud.settings_file.write_text("[workers]\nfronts = 2\n")
        self.assertEqual(self.cloud.spawn().wait(PATIENCE_S), 1)
        self.assertIn("workers.fronts: there is no such key; did you mean workers.front?", self.cloud.log())
        self.assertFalse(self.cloud.state.exists())

    def test_what_a_killed_anchor_left_is_removed(self) -> None:
        """Copies that were half made go at the next start, whoever has that process number now."""
        code = self.cloud.state / "code"
        for name in (f".staging-{os.getpid()}-0a", ".bad-1-0b"):
            (code / name).mkdir(parents=True)
        self.cloud.state.chmod(0o700)
        self.cloud.start()
        self.assertEqual([path.name for path in code.iterdir() if path.name.startswith(".")], [])

    def test_background(self) -> None:
        """As a daemon: twistd's pidfile, logs in files, a hand-over, an end by signal."""
        pidfile = self.cloud.folder / "pid"
        self.cloud.settings_file.write_text("[upgrade]\nwindow_s = 0\n")
        started = self.cloud.spawn(f"--pidfile={pidfile}", f"--logfile={self.cloud.folder / 'twistd.log'}")
        self.assertEqual(started.wait(PATIENCE_S), 0)
        self.cloud.wait(lambda: "ready:" in (self.cloud.folder / "twistd.log").read_text(), "it is ready")
        self.assertEqual(self.cloud.get("/")[0], 200)
        pid = int(pidfile.read_text())
        (self.cloud.tree / "cloudd" / "daemon" / "_naming.py").open("a").write("\n# changed\n")
        self.assertEqual(self.cloud.upgrade()["how"], "hand-over")
        log = self.cloud.folder / "twistd.log"
        self.cloud.wait(lambda: "workers of an earlier anchor serve on" in log.read_text(), "the anchor's next self")
        self.assertEqual(self.cloud.get("/")[0], 200)
        self.assertEqual(int(pidfile.read_text()), pid)
        os.kill(pid, signal.SIGTERM)
        self.cloud.wait(lambda: not pidfile.exists() and not self.cloud.processes(), "it has ended")
        self.assertTrue((self.cloud.state / "log" / "cloudd.log").exists())

    def test_systemd(self) -> None:
        """systemd hears READY=1 and STOPPING=1."""
        address = self.cloud.folder / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(str(address))
            listener.settimeout(20)
            process = self.cloud.spawn(environment={"NOTIFY_SOCKET": str(address)})
            self.assertIn(b"READY=1", listener.recv(1000))
            process.send_signal(signal.SIGTERM)
            self.assertEqual(listener.recv(1000), b"STOPPING=1")
            process.wait(PATIENCE_S)

    def test_unix_socket(self) -> None:
        """A face on a unix socket serves through all workers, and the socket's name goes with the daemon alone."""
        path = self.cloud.folder / "api.sock"
        self.cloud.settings_file.write_text("[upgrade]\nwindow_s = 0\n")
        self.cloud.start(f"unix:{path}:mode=660")
        self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o660)
        for _ in range(3):
            self.assertIn(b"200 OK", self.ask(path))
        os.kill(self.cloud.worker_pids()["front-1"], signal.SIGTERM)
        self.cloud.wait(lambda: self.cloud.words("worker front-1 ended"), "a worker has ended")
        self.assertIn(b"200 OK", self.ask(path))
        with socket.socket(socket.AF_UNIX) as kept:
            kept.settimeout(20)
            kept.connect(str(path))
            kept.sendall(b"GET / HTTP")
            with (self.cloud.tree / "cloudd" / "daemon" / "_naming.py").open("a") as kernel:
                kernel.write("\n# changed\n")
            self.assertEqual(self.cloud.upgrade()["moved"], 1)
            kept.sendall(b"/1.1\r\nHost: x\r\n\r\n")
            self.assertEqual(kept.recv(15), b"HTTP/1.1 200 OK")
        self.cloud.stop()
        self.assertFalse(path.exists())

    def ask(self, path: Path) -> bytes:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(str(path))
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = b""
            while received := client.recv(1000):
                answer += received
            return answer

    def test_folded_into_one(self) -> None:
        """One front and no agent: a single worker does all."""
        self.cloud.settings_file.write_text("[workers]\nfront = 1\nagent = false\n")
        self.cloud.start()
        self.assertEqual(
            [(worker["name"], worker["role"]) for worker in self.cloud.status()["workers"]], [("front-1", "all")]
        )
