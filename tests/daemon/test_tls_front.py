"""The anchor's side of TLS: what it says of it, the process that it keeps running, and the whole daemon with it."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from cloudd.daemon import _tls_front, _tls_front_link
from cloudd.daemon._listening import ListenError, bind_all
from cloudd.daemon._tls_front import FrontFailed, TLSFront, front_code
from cloudd.daemon._tls_front_link import find_fronts
from cloudd.daemon._tls_health import SOON_S, tls_metrics, tls_part
from cloudd.tls_front import MAX_ORIGIN_BYTES, PROTOCOL, Origin, receive_message, send_message, socket_name
from cloudd.tls_front._messages import receive_packet
from reload import Boundaries, CodeTree
from tests.daemon.small_cloud import PATIENCE_S, SmallCloud
from tests.ports import free_port
from tests.running_cloud import CHECKOUT
from tests.tls_front import certificates

NOW = 1_800_000_000.0


def certificate(days: float, face: str = "api", name: str = "DEFAULT") -> dict[str, Any]:
    return {"face": face, "name": name, "path": f"/tls/{name}.pem", "expires": NOW + days * 86_400}


def told(*known: dict[str, Any], problems: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"certificates": list(known), "problems": list(problems), "faces": {}, "draining": False}


class HealthTests(SynchronousTestCase):
    def part(self, status: Any, faces: tuple[str, ...] = ("api",)) -> tuple[str, str]:
        part = tls_part(status, "was killed by SIGKILL", faces, NOW)
        return part["status"], part["cause"]

    def test_good(self) -> None:
        """All is well with certificates that are good for more than 14 days."""
        self.assertEqual(self.part(told(certificate(SOON_S / 86_400 + 1))), ("ok", ""))

    def test_soon(self) -> None:
        """One that expires soon, or a file that cannot be used, is told, and does not take the host out of service."""
        status, cause = self.part(told(certificate(3), problems=("/tls/new.pem: broken",)))
        self.assertEqual(status, "ok")
        self.assertIn("/tls/DEFAULT.pem expires on", cause)
        self.assertIn("in 3.0 days", cause)
        self.assertIn("/tls/new.pem: broken", cause)

    def test_bad(self) -> None:
        """An expired certificate, a face without one, and a front that does not run are failures."""
        for status, words in (
            (told(certificate(-1)), "/tls/DEFAULT.pem has expired on"),
            (told(problems=("/tls/a.pem: broken",)), "no certificate for api, which accepts nothing: /tls/a.pem"),
            (None, "was killed by SIGKILL"),
        ):
            found, cause = self.part(status)
            self.assertEqual(found, "failing")
            self.assertIn(words, cause)

    def test_metrics(self) -> None:
        """Counts are summed over the front that accepts and those that drain."""
        face = {
            "connections": 2,
            "handshakes": {"TLSv1.3": 5},
            "failures": {"timed out": 1},
            "received_bytes": 10,
            "sent_bytes": 20,
        }
        first = {**told(certificate(1)), "faces": {"api": face}}
        old = {**told(), "faces": {"api": face}, "draining": True}
        samples = [
            (name, labels, value)
            for family in tls_metrics([first, old], restarts=3)
            for name, labels, value in family["samples"]
        ]
        for expected in (
            ("cloudd_tls_connections", {"face": "api"}, 4),
            ("cloudd_tls_received_bytes_total", {"face": "api"}, 20),
            ("cloudd_tls_sent_bytes_total", {"face": "api"}, 40),
            ("cloudd_tls_handshakes_total", {"face": "api", "version": "TLSv1.3"}, 10),
            ("cloudd_tls_handshake_failures_total", {"face": "api", "reason": "timed out"}, 2),
            ("cloudd_tls_certificate_expiry_seconds", {"face": "api", "name": "DEFAULT"}, NOW + 86_400),
            ("cloudd_tls_fronts", {"state": "serving"}, 1),
            ("cloudd_tls_fronts", {"state": "draining"}, 1),
            ("cloudd_tls_certificate_problems", {}, 0),
            ("cloudd_tls_front_restarts_total", {}, 3),
        ):
            self.assertIn(expected, samples)


class FrontCase(TestCase):
    """One ``TLSFront`` with the face ``api``, in a reactor that runs; the test is the worker."""

    timeout = 150
    processes = 1

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="cloudd-front-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.run_folder = self.folder / "run"
        self.run_folder.mkdir()
        self.made = certificates.make()
        key, self.certificate = certificates.write(self.folder, self.made)
        self.files = f"privateKey={key}:certKey={self.certificate}"
        self.tree = self.make_tree("tree")
        self.port = 0
        self.front = self.make_front(self.processes)
        self.addCleanup(self.stop)

    def make_tree(self, name: str, more: str = "") -> CodeTree:
        tree = self.folder / name
        shutil.copytree(CHECKOUT / "cloudd" / "tls_front", tree / "cloudd" / "tls_front")
        shutil.copy(CHECKOUT / "cloudd" / "__init__.py", tree / "cloudd")
        with (tree / "cloudd" / "tls_front" / "_front.py").open("a") as file:
            file.write(more)
        return CodeTree.scan(tree, Boundaries(("cloudd",), ()))

    def make_front(self, processes: int = 1) -> TLSFront:
        endpoints = {"api": f"ssl:{self.port}:interface=127.0.0.1:{self.files}", "object": "", "s3": ""}
        front = TLSFront(reactor, self.run_folder, endpoints, processes)
        front.find()
        bound = bind_all(endpoints, front.held)
        self.port = bound["api"].getsockname()[1]
        self.worker = front.take(bound, {})["api"]
        self.worker.settimeout(PATIENCE_S)
        self.addCleanup(self.worker.close)
        front.start(self.tree, 5.0, 600.0, self.log_descriptor(), os.environ)
        return front

    def log_descriptor(self) -> int:
        descriptor = os.open(self.folder / "log", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self.addCleanup(os.close, descriptor)
        return descriptor

    def kill_anchor(self) -> None:
        """Let go of everything, as a process does that is killed."""
        front = self.front
        front._stopping = True
        for link in front._serving:
            link._path = self.folder / "none"  # a dead anchor removes nothing
            link._finish("has lost its anchor")
        for each in (*front._listeners.values(), *front._channels.values()):
            each.close()

    async def stop(self) -> None:
        await self.front.stop(2.0)
        self.assertEqual(list(self.run_folder.iterdir()), [])

    async def open(self) -> tuple[ssl.SSLSocket, socket.socket]:
        """A client, and the worker's end of its connection."""
        client = await deferToThread(self.connect)
        _data, (descriptor,) = await deferToThread(receive_packet, self.worker, MAX_ORIGIN_BYTES, 1)
        worker = socket.socket(fileno=descriptor)
        worker.settimeout(PATIENCE_S)
        self.addCleanup(client.close)
        self.addCleanup(worker.close)
        return client, worker

    def connect(self) -> ssl.SSLSocket:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context.wrap_socket(socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S))

    async def talk(self, client: ssl.SSLSocket, worker: socket.socket) -> None:
        """Both directions work."""
        client.sendall(b"ping")
        self.assertEqual(await deferToThread(worker.recv, 10), b"ping")
        worker.sendall(b"pong")
        self.assertEqual(await deferToThread(client.recv, 10), b"pong")

    async def wait(self, condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            self.assertLess(time.monotonic(), deadline, (self.folder / "log").read_text())
            await deferLater(reactor, 0.02)

    async def pids(self) -> list[int]:
        """Process ids of the fronts, the one that accepts first."""
        return [status["pid"] for status in await self.front.status()]


class FrontTests(FrontCase):
    async def test_serves(self) -> None:
        """A client's connection reaches the worker; health, status and metrics tell of it."""
        client, worker = await self.open()
        await self.talk(client, worker)
        self.assertEqual(await self.front.health(), {"tls": {"status": "ok", "cause": ""}})
        (status,) = await self.front.status()
        self.assertEqual(status["faces"]["api"]["connections"], 1)
        samples = [sample for family in await self.front.metrics() for sample in family["samples"]]
        self.assertIn(["cloudd_tls_connections", {"face": "api"}, 1], samples)

    async def test_crash(self) -> None:
        """A front that is killed is started again, and its port never refuses a client."""
        client, _worker = await self.open()
        (before,) = await self.pids()
        os.kill(before, signal.SIGKILL)
        self.assertEqual(await deferToThread(self.read_quietly, client), b"")
        client, worker = await self.open()
        await self.talk(client, worker)
        (after,) = await self.pids()
        self.assertNotEqual(after, before)
        self.assertEqual(self.front.restarts, 1)
        self.assertEqual((await self.front.health())["tls"]["status"], "ok")

    def read_quietly(self, client: ssl.SSLSocket) -> bytes:
        with contextlib.suppress(OSError):
            return client.recv(1)
        return b""

    async def test_replace(self) -> None:
        """With other code a new front accepts, and the old one keeps its connections until they end."""
        old_client, old_worker = await self.open()
        (before,) = await self.pids()
        await self.front.replace(self.make_tree("same"))
        self.assertEqual(await self.pids(), [before])
        await self.front.replace(self.make_tree("other", "\n# other code\n"))
        after, draining = await self.pids()
        self.assertEqual(draining, before)
        client, worker = await self.open()
        await self.talk(client, worker)
        await self.talk(old_client, old_worker)
        statuses = await self.front.status()
        self.assertEqual([status["faces"]["api"]["connections"] for status in statuses], [1, 1])
        self.assertEqual([status["draining"] for status in statuses], [False, True])
        old_client.close()
        old_worker.close()
        await self.wait(lambda: len(list(self.run_folder.iterdir())) == 1)
        self.assertEqual(await self.pids(), [after])
        await self.talk(client, worker)

    async def test_replace_by_bad_code(self) -> None:
        """A new front that does not start changes nothing."""
        client, worker = await self.open()
        (before,) = await self.pids()
        self.patch(_tls_front, "REPLACE_TIMEOUT_S", 3.0)
        for text in ("\nthis is no python\n", "\nraise SystemExit(3)\n", "\nwhile True: pass\n"):
            tree = self.make_tree(f"bad{len(text)}", text)
            error = await self.assertFailure(self.ensure(self.front.replace(tree)), FrontFailed)
            self.assertIn("new TLS front", str(error))
            self.assertEqual(await self.pids(), [before])
        await self.talk(client, worker)
        other, other_worker = await self.open()
        await self.talk(other, other_worker)

    def ensure(self, coroutine: Any) -> Deferred[Any]:
        return Deferred.fromCoroutine(coroutine)

    async def test_stop_while_replacing(self) -> None:
        """A stop in the middle of it leaves no process behind."""
        replacing = self.ensure(self.front.replace(self.make_tree("other", "\n# other code\n")))
        await self.front.stop(1.0)
        await self.assertFailure(replacing, FrontFailed)
        await self.wait(lambda: not list(self.run_folder.iterdir()))

    async def test_reload(self) -> None:
        """Certificates are read again when told so; broken ones are told in health."""
        certificates.write(self.folder, certificates.make(days=3))
        self.front.reload()
        await self.front.status()
        self.assertIn("expires on", (await self.front.health())["tls"]["cause"])
        Path(self.certificate).write_text("broken")
        self.front.reload()
        await self.front.status()
        self.assertIn("stays in use", (await self.front.health())["tls"]["cause"])

    async def test_stop(self) -> None:
        """A stop waits for connections as long as it is told, and then ends them."""
        client, worker = await self.open()
        stopping = self.ensure(self.front.stop(3.0))
        self.assertFalse(stopping.called)
        await self.talk(client, worker)
        await self.wait(self.is_refused)
        await stopping
        self.assertEqual(await deferToThread(self.read_quietly, client), b"")

    async def test_of_another_version(self) -> None:
        """A front that speaks another version gives its port away and keeps its connections."""
        client, worker = await self.open()
        (before,) = await self.pids()
        self.patch(_tls_front_link, "PROTOCOL", PROTOCOL + 1)
        (found,) = find_fronts(self.run_folder, self.fail)
        self.assertFalse(found.speaks)
        self.kill_anchor()
        self.front = self.make_front()
        other, other_worker = await self.open()
        await self.talk(other, other_worker)
        await self.talk(client, worker)
        self.assertEqual((await self.pids())[1:], [before])
        for each in (*found.held["api"], found._control):
            each.close()
        os.close(found._pidfd)

    async def test_does_not_serve(self) -> None:
        """A front that is found and will not serve keeps what it has; another one takes new clients."""
        client, worker = await self.open()
        (before,) = await self.pids()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
            stranger.connect(str(self.run_folder / socket_name(before)))
            send_message(stranger, {"call": "stop", "timeout_s": None})
            await deferToThread(receive_message, stranger)
        (seat,) = self.front._seats
        assert seat.current is not None
        self.front._use(seat, seat.current)
        await self.wait(lambda: len(list(self.run_folder.iterdir())) == 2)
        other, other_worker = await self.open()
        await self.talk(other, other_worker)
        await self.talk(client, worker)
        self.assertEqual((await self.pids())[1:], [before])
        self.assertEqual(self.front.restarts, 1)

    def is_refused(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 5).close()
        except ConnectionRefusedError:
            return True
        return False

    async def test_hang(self) -> None:
        """A front that does not answer is told in health."""
        (pid,) = await self.pids()
        os.kill(pid, signal.SIGSTOP)
        self.addCleanup(os.kill, pid, signal.SIGCONT)
        part = (await self.front.health())["tls"]
        os.kill(pid, signal.SIGCONT)
        self.assertEqual(part["status"], "failing")
        self.assertIn("does not answer", part["cause"])
        self.assertEqual((await self.front.health())["tls"]["status"], "ok")


class SeveralTests(FrontCase):
    processes = 3

    async def test_share(self) -> None:
        """Several fronts share the port; one that is killed is replaced while the others serve."""
        before = await self.ready()
        pairs = [await self.open() for _ in range(20)]
        counts = [status["faces"]["api"]["connections"] for status in await self.front.status()]
        self.assertEqual(sum(counts), 20)
        os.kill(before[0], signal.SIGKILL)
        for _ in range(10):
            await self.talk(*await self.open())
        await self.ready()
        self.assertEqual((await self.pids())[1:], before[1:])
        self.assertEqual(self.front.restarts, 1)
        self.assertEqual((await self.front.health())["tls"]["status"], "ok")
        for client, worker in pairs:
            client.close()
            worker.close()

    async def ready(self) -> list[int]:
        while len(pids := await self.pids()) != self.processes:
            await deferLater(reactor, 0.02)
        return pids

    async def test_replace(self) -> None:
        """All are replaced together, or none."""
        before = await self.ready()
        with self.assertRaises(FrontFailed):
            await self.front.replace(self.make_tree("bad", "\nraise SystemExit(3)\n"))
        self.assertEqual(await self.pids(), before)
        client, worker = await self.open()
        await self.front.replace(self.make_tree("other", "\n# other code\n"))
        after = (await self.pids())[: self.processes]
        self.assertTrue(set(after).isdisjoint(before))
        await self.talk(client, worker)
        await self.talk(*await self.open())
        await self.wait(lambda: len(list(self.run_folder.iterdir())) == self.processes + 1)

    async def test_found(self) -> None:
        """A new anchor that wants fewer of them keeps some, and the others end with their connections."""
        before = await self.ready()
        worker_end = self.worker
        pairs = [await self.open() for _ in range(12)]
        self.kill_anchor()
        endpoints = {"api": f"ssl:{self.port}:interface=127.0.0.1:{self.files}"}
        self.front = TLSFront(reactor, self.run_folder, endpoints, 1)
        self.front.find()
        given = self.front.take(bind_all(endpoints, self.front.held), {"api": worker_end})
        self.assertIs(given["api"], worker_end)
        self.front.start(self.tree, 5.0, 600.0, self.log_descriptor(), os.environ)
        worker_end.setblocking(True)
        worker_end.settimeout(PATIENCE_S)
        await self.talk(*await self.open())
        for pair in pairs:
            await self.talk(*pair)
        self.assertIn((await self.pids())[0], before)
        for client, worker in pairs:
            client.close()
            worker.close()
        await self.wait(lambda: len(list(self.run_folder.iterdir())) == 1)


class CodeTests(SynchronousTestCase):
    def test_front_code(self) -> None:
        """It changes with the front's files and with no others."""
        files = {"cloudd/__init__.py": "a", "cloudd/tls_front/_relay.py": "b", "cloudd/daemon/_anchor.py": "c"}
        code = front_code(CodeTree(Path("/x"), files))
        for name in ("cloudd/daemon/_anchor.py", "cloudd/__init__.py"):  # the version is there
            self.assertEqual(front_code(CodeTree(Path("/y"), {**files, name: "d"})), code)
        self.assertNotEqual(front_code(CodeTree(Path("/x"), {**files, "cloudd/tls_front/_relay.py": "e"})), code)

    def test_bad_certificate(self) -> None:
        """It is found before anything runs, with the endpoint, the file and what to do."""
        front = TLSFront(None, Path("/nowhere"), {"api": "ssl:0:privateKey=/nowhere/k.pem", "s3": "tcp:0"})
        error = self.assertRaises(ListenError, front.check)
        self.assertIn("listen.api", str(error))
        self.assertIn("/nowhere/k.pem", str(error))


class DaemonTests(SynchronousTestCase):
    """The whole daemon with TLS on its API port."""

    def setUp(self) -> None:
        self.cloud = SmallCloud("[workers]\nfront = 2\nstop_timeout_s = 5\n")
        self.addCleanup(self.cloud.remove)
        self.made = certificates.make(addresses=True)
        key, self.certificate = certificates.write(self.cloud.folder, self.made)
        self.endpoint = f"ssl:{self.cloud.port}:interface=127.0.0.1:privateKey={key}:certKey={self.certificate}"
        self.cloud.start(api=self.endpoint)

    def connect(self) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=self.certificate)
        connection = http.client.HTTPSConnection("127.0.0.1", self.cloud.port, timeout=PATIENCE_S, context=context)
        self.addCleanup(connection.close)
        return connection

    def get(self, path: str, connection: http.client.HTTPSConnection | None = None) -> tuple[int, str]:
        return self.cloud.get(path, connection or self.connect())

    def front_pid(self) -> int:
        (path,) = (self.cloud.state / "run").glob("tls-front-*.sock")
        return int(path.stem.rpartition("-")[2])

    def kill(self, pid: int) -> None:
        """Kill a process, and wait until the anchor has reaped it; nobody is refused meanwhile."""
        os.kill(pid, signal.SIGKILL)
        socket.create_connection(("127.0.0.1", self.cloud.port), timeout=PATIENCE_S).close()
        self.cloud.wait(lambda: not Path(f"/proc/{pid}").exists(), "the front is reaped")

    def test_curl(self) -> None:
        """curl verifies the certificate, keeps its connection, and is named in the access log."""
        url = f"https://127.0.0.1:{self.cloud.port}"
        command = ["curl", "--fail", "--silent", "--show-error", "--cacert", self.certificate]
        command += ["--write-out", "%{num_connects} %{local_port} %{ssl_verify_result}\n"]
        command += ["--output", "/dev/null", f"{url}/hello", "--output", "/dev/null", f"{url}/again"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=True)
        first, second = done.stdout.splitlines()
        port = first.split()[1]
        self.assertEqual((first, second), (f"1 {port} 0", f"0 {port} 0"))
        self.cloud.wait(lambda: len(self.cloud.access_lines()) == 2, "access lines")
        for line in self.cloud.access_lines():
            self.assertIn(f" 127.0.0.1:{port} ", line)
        self.assertEqual(self.cloud.status()["urls"], {"api": url})

    def test_tcp_clients_are_refused(self) -> None:
        """Plain HTTP at the TLS port reaches no worker and is told so; nobody can claim an address there."""
        for said in (b"", Origin("192.0.2.1", 1, "192.0.2.2", 2).encode()):
            with socket.create_connection(("127.0.0.1", self.cloud.port), timeout=PATIENCE_S) as client:
                client.sendall(said + b"GET /hello HTTP/1.1\r\nHost: x\r\n\r\n")
                answer = client.recv(1000)
                self.assertEqual(answer.endswith(b"use https:// in its address\n"), not said, answer)
                self.assertNotIn(b"200", answer)
        self.assertEqual(self.get("/hello")[0], 200)
        self.cloud.wait(lambda: len(self.cloud.access_lines()) == 1, "one access line")

    def test_swap(self) -> None:
        """A connection over TLS outlives swaps of the code; the front's process stays."""
        connection = self.connect()
        pid = self.front_pid()
        self.assertTrue(self.get("/", connection)[1].startswith("one "))
        port = connection.sock.getsockname()[1]
        for word in ("two", "three"):
            self.cloud.say(word)
            self.assertEqual(self.cloud.upgrade()["result"], "committed")
            self.assertTrue(self.get("/", connection)[1].startswith(f"{word} "))
        self.assertEqual(connection.sock.getsockname()[1], port)
        self.assertEqual(self.front_pid(), pid)

    def test_hand_over(self) -> None:
        """A connection over TLS outlives a hand-over to new processes, idle or inside an upload; the front stays."""
        connection = self.connect()
        self.get("/", connection)
        half = self.connect()
        half.putrequest("PUT", "/upload")
        half.putheader("Content-Length", "4")
        half.endheaders()
        half.send(b"ab")
        ports = [each.sock.getsockname()[1] for each in (connection, half)]
        pid, workers = self.front_pid(), self.cloud.worker_pids()
        with (self.cloud.tree / "cloudd" / "daemon" / "_naming.py").open("a") as kernel:
            kernel.write("\n# changed\n")
        self.cloud.say("two")
        outcome = self.cloud.upgrade()
        self.assertEqual((outcome["result"], outcome["how"]), ("committed", "hand-over"), outcome)
        self.assertTrue(set(workers.values()).isdisjoint(self.cloud.worker_pids().values()))
        self.assertTrue(self.get("/", connection)[1].startswith("two "))
        half.send(b"cd")
        self.assertEqual(half.getresponse().status, 200)
        self.assertEqual([each.sock.getsockname()[1] for each in (connection, half)], ports)
        self.assertEqual(self.front_pid(), pid)
        self.assertTrue(self.get("/")[1].startswith("two "))

    def test_front_of_other_code(self) -> None:
        """An upgrade that changes the front says so; the old front keeps its connections, a new one takes others."""
        connection = self.connect()
        self.get("/", connection)
        pid = self.front_pid()
        with (self.cloud.tree / "cloudd" / "tls_front" / "_loop.py").open("a") as code:
            code.write("\n# changed\n")
        (plan,) = self.cloud.control("POST", "plan", {})
        self.assertIn("cloudd.tls_front._loop", plan["kernel"])
        self.assertTrue(any("over TLS" in text for text in plan["not_exported"]), plan)
        outcome = self.cloud.upgrade()
        self.assertEqual((outcome["result"], outcome["warnings"]), ("committed", []), outcome)
        self.assertEqual(self.get("/hello")[0], 200)
        self.assertEqual(len(list((self.cloud.state / "run").glob("tls-front-*"))), 2)
        self.assertEqual(self.get("/", connection)[0], 200)
        connection.close()
        self.cloud.wait(
            lambda: len(list((self.cloud.state / "run").glob("tls-front-*"))) == 1, "the old front has ended"
        )
        self.assertNotEqual(self.front_pid(), pid)
        self.kill(self.front_pid())
        self.assertEqual(self.get("/hello")[0], 200)

    def test_front_killed_in_the_exec(self) -> None:
        """A front that dies while the anchor replaces itself is replaced and reaped, and its port refuses nobody."""
        pid = self.front_pid()
        with (self.cloud.tree / "cloudd" / "daemon" / "_naming.py").open("a") as kernel:
            kernel.write("\n# changed\n")
        self.assertEqual(self.cloud.upgrade()["result"], "committed")
        self.cloud.wait(lambda: self.cloud.words("the anchor becomes"), "the exec")
        self.kill(pid)
        self.assertEqual(self.get("/hello")[0], 200)
        self.assertNotEqual(self.front_pid(), pid)

    def test_new_certificate(self) -> None:
        """After SIGHUP new clients get the new certificate, and connections that are open go on."""
        connection = self.connect()
        self.get("/", connection)
        old = self.certificate
        certificates.write(self.cloud.folder, certificates.make(addresses=True))
        assert self.cloud.process is not None
        self.cloud.process.send_signal(signal.SIGHUP)

        def is_new() -> bool:
            try:
                return self.get("/")[0] == 200  # it trusts the new one alone
            except ssl.SSLError:
                return False

        self.cloud.wait(is_new, "the new certificate")
        self.assertEqual(self.get("/", connection)[0], 200)
        self.assertEqual(old, self.certificate)

    def test_front_killed(self) -> None:
        """The anchor starts another front; clients that come meanwhile wait for it."""
        connection = self.connect()
        self.get("/", connection)
        pid = self.front_pid()
        self.kill(pid)
        self.assertEqual(self.get("/")[0], 200)
        self.assertNotEqual(self.front_pid(), pid)
        health = self.get("/health")
        self.assertEqual(health[0], 200, health[1])
        self.assertIn("cloudd_tls_front_restarts_total 1.0", self.get("/metrics")[1])

    def test_anchor_killed(self) -> None:
        """The front outlives its anchor and serves the next one; the port never refuses a client."""
        pid = self.front_pid()
        connection = self.connect()
        self.get("/", connection)
        port = connection.sock.getsockname()[1]
        refused: list[Exception] = []
        stop = threading.Event()

        def knock() -> None:
            while not stop.is_set():
                try:
                    socket.create_connection(("127.0.0.1", self.cloud.port), timeout=PATIENCE_S).close()
                except OSError as error:
                    refused.append(error)
                time.sleep(0.01)

        thread = threading.Thread(target=knock)
        thread.start()
        try:
            self.cloud.stop(signal.SIGKILL)
            self.cloud.start(api=self.endpoint)
            self.assertEqual(self.get("/hello")[0], 200)
            self.assertEqual(self.get("/", connection)[0], 200)
            self.assertEqual(connection.sock.getsockname()[1], port)
        finally:
            stop.set()
            thread.join()
        self.assertEqual(refused, [])
        self.assertEqual(self.front_pid(), pid)
        self.assertEqual(self.get("/health")[0], 200)
        # It is no child of this anchor, which has to notice its end all the same.
        os.kill(pid, signal.SIGKILL)
        self.assertEqual(self.get("/hello")[0], 200)
        self.assertNotEqual(self.front_pid(), pid)

    def test_anchor_and_front_killed(self) -> None:
        """A new anchor starts a new front, and the workers that it finds serve that one's clients."""
        before = self.cloud.worker_pids()
        pid = self.front_pid()
        self.cloud.stop(signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
        self.cloud.start(api=self.endpoint)
        self.assertEqual(self.get("/hello")[0], 200)
        self.assertEqual(self.cloud.worker_pids(), before)
        self.assertNotEqual(self.front_pid(), pid)

    def test_hung_front_is_found(self) -> None:
        """A front that does not answer the next anchor is killed, and another one takes its place."""
        before = self.cloud.worker_pids()
        pid = self.front_pid()
        os.kill(pid, signal.SIGSTOP)
        self.cloud.stop(signal.SIGKILL)
        self.cloud.start(api=self.endpoint)
        self.assertEqual(self.get("/hello")[0], 200)
        self.assertEqual(self.cloud.worker_pids(), before)
        self.assertNotEqual(self.front_pid(), pid)
        self.assertTrue(self.cloud.words(f"the TLS front {pid} does not answer and is killed"))

    def test_all_killed(self) -> None:
        """Without anchor and workers the front ends by itself."""
        pids = [pid for pid in self.cloud.processes() if pid != self.front_pid()]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.cloud.wait(lambda: not self.cloud.processes(), "no process left")

    def test_stop(self) -> None:
        """A request over TLS that is under way ends before the daemon does; idle connections do not hold it up."""
        idle = self.connect()
        self.get("/", idle)
        answers: list[tuple[int, str]] = []
        released = self.cloud.state.parent / "released"
        thread = threading.Thread(target=lambda: answers.append(self.get(f"/until/{released.name}")))
        thread.start()
        self.cloud.wait(
            lambda: sum(
                generation["requests_running"]
                for worker in self.cloud.status()["workers"]
                for generation in worker["generations"]
            ),
            "the request has begun",
        )
        opened: Any = idle.sock
        opened.suppress_ragged_eofs = False
        assert self.cloud.process is not None
        self.cloud.process.terminate()
        released.touch()
        self.cloud.process.wait(60)
        thread.join()
        self.assertEqual(answers, [(200, "one")])
        self.assertEqual(opened.recv(1), b"")  # with a close_notify: it was not cut
        self.assertEqual(self.cloud.processes(), [])
        self.assertEqual(list((self.cloud.state / "run").iterdir()), [])

    def test_bad_certificate(self) -> None:
        """A start with files that cannot be used ends with the cause."""
        self.cloud.stop()
        Path(self.certificate).write_text("nothing")
        process = self.cloud.spawn(api=self.endpoint)
        self.assertEqual(process.wait(PATIENCE_S), 1)
        self.assertIn("cert.pem: there is no certificate in this file", self.cloud.log())
        self.assertEqual(self.cloud.processes(), [])

    def test_without_tls(self) -> None:
        """After a change to endpoints without TLS workers listen elsewhere, and the front that is left is ended."""
        before = self.cloud.worker_pids()
        self.cloud.stop(signal.SIGKILL)
        self.cloud.port = free_port()
        self.cloud.start(api=f"tcp:{self.cloud.port}:interface=127.0.0.1")
        self.assertEqual(self.cloud.worker_pids(), before)
        self.cloud.wait(lambda: not list((self.cloud.state / "run").glob("tls-front-*")), "no front")
        (status,) = self.cloud.control("GET", "health")
        self.assertNotIn("tls", status["parts"])
        self.assertEqual(self.cloud.get("/hello")[0], 200)
