"""Hand-overs of real daemons: clients keep their connections, bad code goes back."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from cloudd.daemon._becoming import QUIET_S
from tests.daemon.small_cloud import SmallCloud
from tests.daemon.test_processes import RunningCase

KERNEL_FILE = "cloudd/daemon/_naming.py"


class HandOverCase(RunningCase):
    settings = "[workers]\nfront = 2\n[upgrade]\nwindow_s = 1\n"

    def setUp(self) -> None:
        super().setUp()
        self.connections = [self.cloud.connect() for _ in range(20)]
        for connection in self.connections:
            self.addCleanup(connection.close)
        self.ask_all()
        self.sockets = [connection.sock for connection in self.connections]

    def ask_all(self, path: str = "/") -> set[str]:
        """The words that all connections are answered with."""
        return {self.cloud.get(path, connection)[1].split()[0] for connection in self.connections}

    def change_kernel(self, text: str = "# changed", file: str = KERNEL_FILE) -> None:
        with (self.cloud.tree / file).open("a") as kernel:
            kernel.write(f"\n{text}\n")

    def assertAlive(self, word: str) -> None:
        """Every connection is the one it was, and is answered with that word."""
        self.assertEqual(self.ask_all(), {word})
        self.assertEqual([connection.sock for connection in self.connections], self.sockets)

    def assertNothingLeft(self) -> None:
        """Two fronts, an agent, their loader and the anchor: nobody else runs."""
        run = self.cloud.state / "run"
        self.cloud.wait(lambda: len(self.cloud.processes()) == 5, f"no other processes: {self.cloud.processes()}")
        # A worker that has just been started again is not there at once.
        self.cloud.wait(lambda: len(list(run.iterdir())) == 3, f"no other sockets: {list(run.iterdir())}")
        self.cloud.wait(lambda: self.cloud.health()["status"] == "ok", "all is well")


class GoodCodeTests(HandOverCase):
    def test_there_and_back(self) -> None:
        """A changed kernel module: all connections move; one that cannot follows; a rollback brings all back."""
        before = self.cloud.worker_pids()
        thread, answers = self.held_request()
        self.change_kernel()
        self.cloud.say("two")
        (plan,) = self.cloud.control("POST", "plan", {})
        self.assertEqual(plan["kind"], "hand-over")
        self.assertIn("1 now: the handler of small cannot tell its state", plan["not_exported"])
        outcome = self.cloud.upgrade()
        self.assertEqual((outcome["result"], outcome["how"]), ("committed", "hand-over"), outcome)
        self.assertEqual(outcome["moved"], 20)
        self.assertEqual(sum(outcome["follow"].values()), 1)
        self.assertIn(f"cloudd.{'daemon._naming'}", outcome["changed"])
        self.assertAlive("two")
        leaving = self.cloud.wait(lambda: self.cloud.status()["leaving"], "an old worker is left")
        self.assertEqual([one["requests_running"] for worker in leaving for one in worker["generations"]], [1])
        after = self.cloud.worker_pids().values()
        self.assertTrue(set(before.values()).isdisjoint(after))
        threads = [int(thread) for pid in after for thread in os.listdir(f"/proc/{pid}/task")]
        ours = os.getpriority(os.PRIO_PROCESS, 0)
        self.assertEqual({os.getpriority(os.PRIO_PROCESS, thread) for thread in threads}, {ours})
        self.release()
        thread.join()
        self.assertEqual(answers, [(200, "one")])
        self.assertNothingLeft()
        outcome = self.cloud.control("POST", "rollback")[-1]
        self.assertEqual((outcome["result"], outcome["how"], outcome["moved"]), ("committed", "hand-over", 20), outcome)
        self.assertAlive("one")
        self.assertNothingLeft()

    def test_state_moves_along(self) -> None:
        """What the application keeps in memory is there in the new process."""
        before = self.counts()
        self.change_kernel()
        self.assertEqual(self.cloud.upgrade()["how"], "hand-over")
        for old, new in zip(before, self.counts(), strict=True):
            self.assertGreater(new, old)

    def counts(self) -> list[int]:
        """How many requests the worker of each connection has answered."""
        return [int(self.cloud.get("/", connection)[1].split()[2]) for connection in self.connections]

    def test_restarted_worker_runs_the_new_kernel(self) -> None:
        """A worker that dies long after a hand-over is forked from the new code; a swap goes on from there."""
        self.change_kernel()
        self.assertEqual(self.cloud.upgrade()["how"], "hand-over")
        killed = self.cloud.worker_pids()["agent"]
        os.kill(killed, signal.SIGKILL)
        self.cloud.wait(lambda: self.cloud.worker_pids()["agent"] not in {0, killed}, "the agent is back")
        self.cloud.say("two")
        outcome = self.cloud.upgrade()
        self.assertEqual((outcome["result"], outcome["how"], outcome["generation"]), ("committed", "swap", 3), outcome)
        self.assertAlive("two")

    def test_under_load(self) -> None:
        """Clients that ask without pause see no error while their processes change three times."""
        stop, errors = threading.Event(), list[BaseException]()

        def ask() -> None:
            connection = self.cloud.connect()
            try:
                while not stop.is_set():
                    self.cloud.get("/", connection)
            except (OSError, http.client.HTTPException) as error:
                errors.append(error)
            finally:
                connection.close()

        clients = [threading.Thread(target=ask) for _ in range(8)]
        for client in clients:
            client.start()
        for number in range(3):
            self.change_kernel(f"# {number}")
            self.assertEqual(self.cloud.upgrade()["result"], "committed")
        stop.set()
        for client in clients:
            client.join()
        self.assertEqual(errors, [])
        self.assertAlive("one")
        self.assertNothingLeft()


class NextSelfTests(HandOverCase):
    """After a hand-over the anchor becomes the new code, in the same process."""

    def has_become(self, outcome: Any) -> bool:
        assert self.cloud.process is not None
        environment = Path(f"/proc/{self.cloud.process.pid}/environ").read_bytes()
        return os.fsencode(outcome["new_hash"]) in environment

    def control_session(self) -> socket.socket:
        """A connection to the control socket."""
        session = socket.socket(socket.AF_UNIX)
        self.addCleanup(session.close)
        session.settimeout(20)
        session.connect(str(self.cloud.state / "control.sock"))
        return session

    def test_same_process_other_code(self) -> None:
        """Its number, workers, counts and the start tree stay; what can be done with it too."""
        kept, half = self.control_session(), self.control_session()
        half.sendall(b"GET /v1/status")
        self.change_kernel()
        outcome = self.cloud.upgrade()
        pids = self.cloud.worker_pids()
        self.cloud.wait(lambda: self.has_become(outcome), "the anchor's next self")
        self.assertEqual(self.cloud.get("/health")[0], 200)
        for half_asked, idle in ((False, kept), (True, half)):
            idle.sendall(
                b" HTTP/1.1\r\nHost: x\r\n\r\n" if half_asked else b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n"
            )
            self.assertEqual(idle.recv(15), b"HTTP/1.1 200 OK")
        assert self.cloud.process is not None
        status = self.cloud.status()
        self.assertEqual(status["pid"], self.cloud.process.pid)
        self.assertEqual(self.cloud.worker_pids(), pids)
        self.assertEqual(status["code"]["start_tree"], str(self.cloud.tree))
        self.assertIn('cloudd_swaps_total{result="committed"} 1.0', self.cloud.get("/metrics")[1])
        self.assertAlive("one")
        self.assertNothingLeft()
        self.cloud.say("two")
        self.assertEqual(self.cloud.upgrade()["how"], "swap")
        self.assertAlive("two")
        second = self.cloud.spawn()
        self.assertNotEqual(second.wait(40), 0)
        self.assertIn("another cloudd", self.cloud.log())
        os.kill(status["pid"], signal.SIGTERM)
        self.cloud.wait(lambda: not self.cloud.processes(), "every process has ended")

    def test_another_change_at_once(self) -> None:
        """Whatever becomes of a change that is asked for in the moment after: the anchor becomes the new code."""
        self.change_kernel()
        outcome = self.cloud.upgrade()
        self.assertEqual(outcome["how"], "hand-over")
        self.assertEqual(self.cloud.upgrade()["result"], "unchanged")
        self.cloud.wait(lambda: self.has_become(outcome), "the anchor's next self")
        self.change_kernel("# again")
        self.assertEqual(self.cloud.upgrade()["how"], "hand-over")
        self.cloud.say("two")
        outcome = self.cloud.upgrade()
        self.assertEqual((outcome["result"], outcome["how"]), ("committed", "swap"), outcome)
        self.cloud.wait(lambda: self.has_become(outcome), "the anchor's next self")
        self.assertAlive("two")
        self.assertNothingLeft()

    def test_an_answer_that_nobody_takes(self) -> None:
        """It is waited for, as long as is said in the documents; then its connection is closed, and no other."""
        slow, idle = self.control_session(), self.control_session()
        slow.sendall(b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n" * 400)
        self.change_kernel()
        outcome = self.cloud.upgrade()
        decided = time.monotonic()
        self.cloud.wait(lambda: self.has_become(outcome), "the anchor's next self")
        self.assertGreater(time.monotonic() - decided, QUIET_S - 1)
        answers = bytearray()
        with contextlib.suppress(ConnectionResetError):  # of what the daemon has not read
            while data := slow.recv(1 << 20):
                answers += data
        self.assertIn(answers.count(b"HTTP/1.1 200 OK"), range(1, 400))
        idle.sendall(b"GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertEqual(idle.recv(15), b"HTTP/1.1 200 OK")

    def test_stopped_while_it_becomes(self) -> None:
        """A stop that comes in the middle of the exec ends the workers, too: none waits for another anchor."""
        self.change_kernel()
        self.assertEqual(self.cloud.upgrade()["result"], "committed")
        process = self.cloud.process
        assert process is not None
        self.cloud.wait(lambda: "the anchor becomes" in self.cloud.log(), "the exec")
        process.send_signal(signal.SIGTERM)
        process.wait(60)
        self.cloud.wait(lambda: not self.cloud.processes(), "the end of all processes")
        self.assertNotIn("serving on for", self.cloud.log())

    def test_asked_all_the_time(self) -> None:
        """Who asks the control socket without pause gets an answer to each question, whichever self gives it."""
        stop, errors, answers = threading.Event(), list[BaseException](), list[int]()

        def ask() -> None:
            while not stop.is_set():
                try:
                    answers.append(self.cloud.status()["pid"])
                except (OSError, http.client.HTTPException) as error:
                    errors.append(error)

        callers = [threading.Thread(target=ask) for _ in range(4)]
        for caller in callers:
            caller.start()
        self.change_kernel()
        outcome = self.cloud.upgrade()
        self.cloud.wait(lambda: self.has_become(outcome), "the anchor's next self")
        count = len(answers)
        self.cloud.wait(lambda: len(answers) > count + 8, "answers of the next self")
        stop.set()
        for caller in callers:
            caller.join()
        self.assertEqual(errors, [])
        self.assertEqual(len(set(answers)), 1)

    def test_an_anchor_that_does_not_import(self) -> None:
        """It is tried before anything else is done."""
        self.change_kernel("import nowhere", "cloudd/daemon/_anchor.py")
        outcome = self.cloud.upgrade()
        self.assertEqual(outcome["result"], "failed")
        self.assertIn("its anchor does not import: ModuleNotFoundError", outcome["cause"])
        self.assertAlive("one")
        self.assertNothingLeft()

    def test_an_anchor_that_does_not_start(self) -> None:
        """The old code comes back into the same process, says so, and has all in its hands."""
        self.change_kernel("def prepare(*_):\n    raise RuntimeError('not today')", "cloudd/daemon/_next_anchor.py")
        outcome = self.cloud.upgrade()
        self.assertEqual(outcome["result"], "committed", outcome)
        self.cloud.wait(lambda: self.cloud.words("back to the old"), "the way back")
        self.cloud.wait(lambda: "new code's anchor" in self.cloud.health()["parts"]["code"]["cause"], "the note")
        self.assertAlive("one")
        self.assertEqual(self.cloud.control("POST", "rollback")[-1]["result"], "committed")
        self.assertAlive("one")


class BadCodeTests(HandOverCase):
    """New code that cannot serve changes nothing."""

    def upgrade_fails(self, cause: str) -> Any:
        outcome = self.cloud.upgrade()
        self.assertEqual(outcome["result"], "failed", outcome)
        self.assertIn(cause, outcome["cause"])
        self.assertAlive("one")
        self.assertNothingLeft()
        self.assertEqual(self.cloud.status()["code"]["generation"], 1)
        return outcome

    def test_does_not_import(self) -> None:
        self.change_kernel("import nowhere")
        self.upgrade_fails("cannot")

    def test_exits_at_boot(self) -> None:
        self.change_kernel("import os; os._exit(3)", "cloudd/database/__init__.py")
        self.upgrade_fails("loader ended")

    def test_segfaults_at_boot(self) -> None:
        self.change_kernel("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "cloudd/database/__init__.py")
        self.upgrade_fails("loader ended")

    def test_fails_its_self_check(self) -> None:
        self.change_kernel()
        self.cloud.say("bad")
        self.upgrade_fails("the word is bad")

    def test_cannot_prepare_the_host(self) -> None:
        self.change_kernel()
        self.cloud.say("unprepared")
        self.upgrade_fails("cannot prepare")

    def test_new_snapshot_version_without_a_conversion(self) -> None:
        """Neither side has been touched when that is found."""
        self.change_kernel("VERSION = 99\nHTTP_KINDS = {KIND: 99}", "cloudd/protocols/http/_moving.py")
        self.upgrade_fails("http-connection")

    def test_sick_under_supervision(self) -> None:
        """A part of health that fails under the new code alone has all handed back."""
        self.change_kernel()
        self.cloud.say("sick")
        outcome = self.upgrade_fails("word fails under the new code: the word is sick")
        self.assertIn("handed back in", outcome["cause"])
        self.assertIn('cloudd_rollbacks_total{reason="supervision"} 1.0', self.cloud.get("/metrics")[1])


class TraceTests(HandOverCase):
    """Each part of a request is found with the generation and the worker that it ran in."""

    def parts(self, request_id: str, count: int) -> list[dict[str, Any]]:
        """What is known of a request, once it has that many lines."""

        def found() -> Any:
            requests = self.cloud.control("GET", f"trace?request_id={request_id}")[0]["requests"]
            return requests if len(requests) == count else None

        parts: list[dict[str, Any]] = self.cloud.wait(found, f"{count} lines of {request_id}")
        return parts

    def begin(self, method: str, path: str, size: int = 0) -> tuple[http.client.HTTPConnection, str]:
        """A request whose head was sent, and its id."""
        connection, request_id = self.cloud.connect(), f"req-{uuid.uuid4()}"
        self.addCleanup(connection.close)
        connection.putrequest(method, path)
        connection.putheader("X-OpenStack-Request-ID", request_id)
        connection.putheader("Content-Length", str(size))
        connection.endheaders()
        return connection, request_id

    def test_an_upload_in_two_processes(self) -> None:
        """Half an upload, a hand-over, the rest of the upload."""
        connection, request_id = self.begin("PUT", "/upload", 10)
        connection.send(b"12345")
        self.cloud.get("/", self.connections[0])  # so that the half is there
        self.change_kernel()
        outcome = self.cloud.upgrade()
        self.assertEqual((outcome["result"], outcome["how"]), ("committed", "hand-over"), outcome)
        connection.send(b"67890")
        self.assertEqual(connection.getresponse().read().decode(), f"10 {sum(b'1234567890')}")
        left, ended = self.parts(request_id, 2)
        self.assertEqual((left["generation"], left["moved"], left["status"]), (1, True, 0))
        self.assertEqual((ended["generation"], ended.get("moved", False), ended["status"]), (2, False, 200))
        self.assertEqual((left["received_bytes"], ended["received_bytes"]), (5, 10))
        code = self.cloud.status()["code"]
        self.assertEqual((left["hash"], ended["hash"]), (code["previous_hash"], code["hash"]))

    def test_a_stream_in_two_generations(self) -> None:
        """A swap that it follows: the first part is known while the stream goes on, the second when it has ended."""
        connection, request_id = self.begin("GET", "/stream")
        answer = connection.getresponse()
        self.assertEqual(answer.readline(), b"one from nowhere\n")
        self.cloud.say("two")
        outcome = self.cloud.upgrade()
        self.assertEqual((outcome["result"], outcome["how"]), ("committed", "swap"), outcome)
        while not (heard := answer.readline()).startswith(b"two"):
            self.assertEqual(heard, b"one from nowhere\n")
        self.assertEqual(heard, b"two from one\n")
        (left,) = self.parts(request_id, 1)
        self.assertEqual((left["generation"], left["moved"], left["status"]), (1, True, 200))
        self.assertGreater(left["sent_bytes"], 0)
        connection.sock.close()
        answer.close()
        left, ended = self.parts(request_id, 2)
        self.assertEqual((left["generation"], ended["generation"], left["worker"]), (1, 2, ended["worker"]))
        self.assertGreater(ended["sent_bytes"], left["sent_bytes"])


class WorseAnswersTests(HandOverCase):
    settings = "[workers]\nfront = 2\n[upgrade]\nwindow_s = 20\n"

    def test_errors_on_one_route(self) -> None:
        """New processes that answer 500 where the old ones did not have everything handed back."""
        for _ in range(3):
            self.assertEqual(self.ask_all("/items"), {"one"})
        self.change_kernel()
        self.cloud.say("failing")
        outcomes: list[Any] = []
        thread = threading.Thread(target=lambda: outcomes.append(self.cloud.upgrade()))
        thread.start()
        while thread.is_alive():
            self.assertLessEqual(self.ask_all("/items"), {"one", "failing"})
        self.assertEqual(outcomes[0]["result"], "failed", outcomes)
        self.assertRegex(
            outcomes[0]["cause"], r"api GET items answered 500 in \d+ of \d+ requests \(old code: 0 of \d+\)"
        )
        self.assertIn("handed back in", outcomes[0]["cause"])
        self.assertAlive("one")
        self.assertNothingLeft()


SLOW_ADOPTION = """
import time
_adopt, _adopted = HTTPAdopter.adopt, []

def _slow(self, *args):
    _adopted.append(1)
    if len(_adopted) == 8:
        time.sleep(7)
    return _adopt(self, *args)

HTTPAdopter.adopt = _slow
"""


class LostSessionTests(HandOverCase):
    def make_cloud(self) -> SmallCloud:
        """Batches of three, so that some have moved when the session fails."""
        cloud = super().make_cloud()
        side = cloud.tree / "reload" / "_handover_side.py"
        text = side.read_text()
        self.assertEqual(text.count("field(default=64"), 1)
        side.write_text(text.replace("field(default=64", "field(default=3"))
        return cloud

    def test_what_had_moved_comes_back(self) -> None:
        """Two workers that lose each other in the middle: a hand-over of its own brings back what the new one got."""
        self.change_kernel(SLOW_ADOPTION, "cloudd/protocols/http/_moving.py")
        outcome = self.cloud.upgrade()
        self.assertEqual(outcome["result"], "failed", outcome)
        self.assertIn("was not adopted within", outcome["cause"])
        self.assertAlive("one")
        self.assertNothingLeft()


class KilledTests(HandOverCase):
    settings = "[workers]\nfront = 2\n[upgrade]\nwindow_s = 20\n"

    def begin(self) -> tuple[threading.Thread, list[Any]]:
        """Begin a hand-over, and wait for its time of supervision."""
        self.change_kernel()
        self.cloud.say("two")
        outcomes: list[Any] = []

        def upgrade() -> None:
            with contextlib.suppress(OSError, http.client.HTTPException):  # the anchor may be killed
                outcomes.append(self.cloud.upgrade())

        thread = threading.Thread(target=upgrade)
        thread.start()
        self.cloud.wait(
            lambda: (self.cloud.status()["upgrade"] or {"step": ""})["step"] == "supervise", "the supervision"
        )
        return thread, outcomes

    def test_rollback_under_supervision(self) -> None:
        """It takes back what has moved, at once."""
        thread, outcomes = self.begin()
        self.assertAlive("two")
        back = self.cloud.control("POST", "rollback")[-1]
        thread.join()
        self.assertEqual((back["action"], back["result"]), ("rollback", "committed"), back)
        self.assertEqual(outcomes[0]["result"], "failed")
        self.assertAlive("one")
        self.assertNothingLeft()

    def test_second_upgrade_is_refused(self) -> None:
        """With what the first is doing; who asked for the first may leave."""
        thread, _outcomes = self.begin()
        second = self.cloud.upgrade()
        self.assertEqual(second["result"], "busy")
        self.assertIn("supervise", second["cause"])
        self.cloud.control("POST", "rollback")
        thread.join()

    def test_new_agent_killed_under_supervision(self) -> None:
        """Bad code is what dies in its first seconds: everything goes back, and no client notices."""
        thread, outcomes = self.begin()
        os.kill(self.cloud.worker_pids()["agent"], signal.SIGKILL)
        thread.join()
        self.assertEqual(outcomes[0]["result"], "failed", outcomes)
        self.assertIn("the new worker agent was killed by SIGKILL", outcomes[0]["cause"])
        self.assertAlive("one")
        self.assertNothingLeft()

    def test_anchor_killed_under_supervision(self) -> None:
        """The decision stands: the new workers serve, a new anchor finds them, the old ones end."""
        thread, _outcomes = self.begin()
        pids = self.cloud.worker_pids()
        assert self.cloud.process is not None
        self.cloud.process.kill()
        self.cloud.process.wait()
        thread.join()
        self.assertAlive("two")
        self.cloud.start()
        self.assertAlive("two")
        self.assertEqual(self.cloud.worker_pids(), pids)
        self.cloud.wait(lambda: len(self.cloud.processes()) == 5, "the old workers have ended")

    def test_old_worker_killed_under_supervision(self) -> None:
        """It had nothing left: the hand-over ends well."""
        before = self.cloud.worker_pids()
        thread, _outcomes = self.begin()
        os.kill(before["front-1"], signal.SIGKILL)
        time.sleep(0.2)
        self.assertAlive("two")
        back = self.cloud.control("POST", "rollback")[-1]
        thread.join()
        self.assertEqual(back["result"], "committed", back)
        self.cloud.wait(lambda: self.cloud.health()["status"] == "ok", "a new old worker has come")
