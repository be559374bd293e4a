"""Connections through a real front process: handshakes, bytes both ways, slow and leaving peers, ends."""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import signal
import socket
import ssl
import struct
import subprocess
import time
import warnings

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from . import certificates
from .process import PATIENCE_S, FrontProcess, in_thread, read_to_end

BULK = 24 << 20
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.front = FrontProcess()
        self.addCleanup(self.front.remove)

    def still_serves(self) -> None:
        client, worker = self.front.open()
        client.sendall(b"ping")
        self.assertEqual(worker.recv(10), b"ping")
        worker.sendall(b"pong")
        self.assertEqual(client.recv(10), b"pong")
        client.close()
        self.assertEqual(worker.recv(10), b"")
        worker.close()

    def answer(self, worker: socket.socket, data: bytes) -> None:
        worker.sendall(data)
        worker.close()

    def settled(self) -> None:
        """Nothing is left of any connection."""
        self.front.wait(lambda: not self.front.status()["connections"], "no connections")


class HandshakeTests(Case):
    def test_versions(self) -> None:
        """TLS 1.2 and 1.3 are spoken, with forward secrecy and http/1.1; older ones are not."""
        for version in VERSIONS:
            context = self.front.context(version)
            context.set_alpn_protocols(["h2", "http/1.1"])
            client = self.front.client(context=context)
            worker, origin = self.front.take()
            self.assertEqual(client.version(), origin.version)
            self.assertEqual(client.selected_alpn_protocol(), "http/1.1")
            cipher = client.cipher()
            assert cipher is not None
            self.assertEqual(cipher[0], origin.cipher)
            self.assertRegex(cipher[0], "^(ECDHE-|TLS_)")
            client.close()
            worker.close()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old = self.front.context(ssl.TLSVersion.TLSv1_1)
        self.assertRaises((ssl.SSLError, ConnectionError), self.front.client, context=old)
        self.front.wait(lambda: self.front.status()["failures"], "a failed handshake")
        self.assertEqual(self.front.status()["handshakes"], {"TLSv1.2": 1, "TLSv1.3": 1})

    def test_old_ciphers(self) -> None:
        """A client that has only ciphers without forward secrecy, or CBC ones, is turned away."""
        for cipher in ("AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-SHA"):
            context = self.front.context(ssl.TLSVersion.TLSv1_2)
            context.set_ciphers(cipher)
            self.assertRaises((ssl.SSLError, ConnectionError), self.front.client, context=context)

    def test_openssl(self) -> None:
        """OpenSSL's own client verifies the certificate, and resumes its session."""
        session = self.front.folder / "session"
        for option, line in (("-sess_out", "New, TLSv1.2"), ("-sess_in", "Reused, TLSv1.2")):
            command = [
                "openssl",
                "s_client",
                "-connect",
                f"127.0.0.1:{self.front.port}",
                "-tls1_2",
                option,
                str(session),
            ]
            command += ["-CAfile", self.front.certificate, "-verify_return_error", "-verify_ip", "127.0.0.1"]
            said = subprocess.run(command, input=b"Q\n", capture_output=True, timeout=PATIENCE_S, check=False)
            self.assertIn(b"Verify return code: 0 (ok)", said.stdout, said.stderr)
            self.assertIn(line.encode(), said.stdout)
            self.front.take()[0].close()

    def test_resumption_over_a_renewal(self) -> None:
        """A session's ticket is good for another connection, also after the certificate was replaced."""
        context = self.front.context(ssl.TLSVersion.TLSv1_3)
        client = self.front.client(context=context)
        worker, _origin = self.front.take()
        worker.sendall(b"x")
        self.assertEqual(client.recv(1), b"x")  # with the tickets before it
        certificates.write(self.front.folder, certificates.make())
        self.front.control.call("reload")
        again = context.wrap_socket(self.front.connect(), session=client.session)
        self.assertTrue(again.session_reused)
        for each in (client, worker, again, self.front.take()[0]):
            each.close()

    def test_origin(self) -> None:
        """A worker learns who the client is, where it connected, and which name it asked for."""
        client = self.front.client(name="Cloud.example.org")
        worker, origin = self.front.take()
        self.assertEqual((origin.host, origin.port), client.getsockname())
        self.assertEqual((origin.our_host, origin.our_port), client.getpeername())
        self.assertEqual(origin.name, "Cloud.example.org")
        client.close()
        worker.close()

    def test_origin_of_version_6(self) -> None:
        """A client that comes by IPv6 is named so."""
        try:
            listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
        except OSError as error:
            raise SkipTest(f"this host has no IPv6: {error}") from None
        self.front.listener.close()
        self.front.listener = listener
        self.front.serve({"private_key": self.front.key, "certificate": self.front.certificate})
        plain = socket.create_connection(self.front.listener.getsockname()[:2], timeout=PATIENCE_S)
        client = self.front.context().wrap_socket(plain)
        worker, origin = self.front.take()
        self.assertEqual((origin.host, origin.port), client.getsockname()[:2])
        self.assertEqual((origin.our_host, origin.our_port), client.getpeername()[:2])
        client.close()
        worker.close()

    def test_garbage(self) -> None:
        """Whatever comes in the place of a ClientHello ends that connection alone, and reaches no worker."""
        chance = random.Random(7)
        pieces = [
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01\x40\x00" + bytes(20000),
            b"\x80\x2e\x01\x00\x02",
            b"\0" * 400,
        ]
        pieces += [chance.randbytes(chance.randrange(1, 4000)) for _ in range(30)]
        hello = self.hello()
        pieces += [hello[:at] + bytes([hello[at] ^ 0xFF]) + hello[at + 1 :] for at in range(0, len(hello), 41)]
        for piece in pieces:
            # The front may have had enough at any moment.
            with self.front.connect() as client, contextlib.suppress(OSError):
                client.sendall(piece)
                client.shutdown(socket.SHUT_WR)
                read_to_end(client)
        self.still_serves()
        self.settled()

    def test_garbage_after_the_handshake(self) -> None:
        """Bytes that do not decrypt end the connection, at the worker too, and no other one."""
        chance = random.Random(8)
        for version in VERSIONS:
            for size in (1, 5, 100, 20_000):
                client, worker = self.front.open(context=self.front.context(version))
                with socket.socket(fileno=client.detach()) as raw, contextlib.suppress(OSError):
                    raw.sendall(b"\x17\x03\x03\x00\x40" + chance.randbytes(size))
                    raw.shutdown(socket.SHUT_WR)
                    read_to_end(raw)
                with contextlib.suppress(ConnectionError):
                    self.assertEqual(read_to_end(worker), b"")
                worker.close()
        self.still_serves()
        self.settled()

    def test_new_keys(self) -> None:
        """A client that changes its keys in the middle (TLS 1.3) is understood; one that renegotiates (1.2) is not."""
        for option, command, goes_on in (("-tls1_3", "K", True), ("-tls1_3", "k", True), ("-tls1_2", "R", False)):
            client = subprocess.Popen(
                ["openssl", "s_client", "-connect", f"127.0.0.1:{self.front.port}", option],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                worker, _origin = self.front.take()
                assert client.stdin is not None
                got = b""
                for line in ("before", command, "after"):
                    with contextlib.suppress(*([] if goes_on else [BrokenPipeError])):
                        client.stdin.write(line.encode() + b"\n")
                        client.stdin.flush()
                    if line != command and (line == "before" or goes_on):
                        while not got.endswith(line.encode() + b"\n"):
                            data = worker.recv(100)
                            self.assertTrue(data, (option, command, got))
                            got += data
                    time.sleep(0.1)  # it takes a command only as a whole read
                if not goes_on:
                    self.assertNotIn(b"after", read_to_end(worker))
            finally:
                client.kill()
                client.communicate()
            worker.close()
        self.settled()

    def hello(self) -> bytes:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        speaker = self.front.context().wrap_bio(incoming, outgoing)
        self.assertRaises(ssl.SSLWantReadError, speaker.do_handshake)
        return outgoing.read()

    def test_slow_hello(self) -> None:
        """A ClientHello may come byte by byte; clients that say nothing do not keep others waiting."""
        silent = [self.front.connect() for _ in range(50)]
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        speaker = self.front.context().wrap_bio(incoming, outgoing)
        self.assertRaises(ssl.SSLWantReadError, speaker.do_handshake)
        with self.front.connect() as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for byte in outgoing.read():
                client.send(bytes([byte]))
            while True:
                try:
                    speaker.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    incoming.write(client.recv(65536))
            client.sendall(outgoing.read())
            self.front.take()[0].close()
        self.still_serves()
        for each in silent:
            each.close()
        self.settled()


class NameTests(Case):
    def test_names(self) -> None:
        """Each client gets the certificate of the name that it asks for, and ticks off the chain by it."""
        folder = self.front.folder / "names"
        folder.mkdir()
        made = {name: certificates.make(name) for name in ("www.example.org", "_.example.net", "DEFAULT")}
        for name, each in made.items():
            certificates.write_pair(folder, name, each)
        self.assertEqual(self.front.serve({"names": str(folder)}), {"problems": []})
        for asked, expected in (
            ("www.example.org", "www.example.org"),
            ("a.example.net", "_.example.net"),
            ("unknown.test", "DEFAULT"),
            (None, "DEFAULT"),
        ):
            for version in VERSIONS:
                client = self.front.client(name=asked, context=self.front.context(version))
                self.assertEqual(self.pem(client), made[expected].certificate, asked)
                client.close()
                self.front.take()[0].close()
        (folder / "DEFAULT.pem").unlink()
        self.front.control.call("reload")
        for asked in ("unknown.test", None):
            error = self.assertRaises(ssl.SSLError, self.front.client, name=asked)
            self.assertIn("UNRECOGNIZED_NAME", str(error).upper())

    def pem(self, client: ssl.SSLSocket) -> bytes:
        der = client.getpeercert(binary_form=True)
        assert der is not None
        return ssl.DER_cert_to_PEM_cert(der).encode()

    def test_renewal(self) -> None:
        """A new certificate is taken without a word, and connections that are open go on with theirs."""
        client, worker = self.front.open()
        fresh = certificates.make(days=7)
        certificates.write(self.front.folder, fresh)

        def is_new() -> bool:
            with self.front.client() as other:
                self.front.take()[0].close()
                return self.pem(other) == fresh.certificate

        self.front.wait(is_new, "the new certificate")
        client.sendall(b"still")
        self.assertEqual(worker.recv(10), b"still")
        worker.sendall(b"here")
        self.assertEqual(client.recv(10), b"here")
        self.assertEqual(self.pem(client), self.front.made.certificate)
        client.close()
        worker.close()

    def test_broken_renewal(self) -> None:
        """A certificate that is broken changes nothing but what status and log say."""
        (self.front.folder / "cert.pem").write_text("broken")
        (problem,) = self.front.control.call("reload")["problems"]
        self.assertIn("cert.pem", problem)
        self.assertEqual(self.front.control.call("status")["problems"], [problem])
        self.assertIn(problem, self.front.log())
        with self.front.client() as client:
            self.front.take()[0].close()
            self.assertEqual(self.pem(client), self.front.made.certificate)
        certificates.write(self.front.folder, certificates.make())
        self.assertEqual(self.front.control.call("reload")["problems"], [])

    def test_none_at_first(self) -> None:
        """Without any certificate clients wait in the queue; they are served when there is one."""
        folder = self.front.folder / "none"
        folder.mkdir()
        (problem,) = self.front.serve({"names": str(folder)})["problems"]
        client = self.front.connect()
        certificates.write_pair(folder, "DEFAULT", certificates.make())
        secure = self.front.context().wrap_socket(client)
        self.front.take()[0].close()
        secure.close()
        self.assertIn(str(folder), problem)


class BytesTests(Case):
    def test_bulk(self) -> None:
        """Much data both ways at once, in pieces of any size, arrives as it was sent."""
        for version in VERSIONS:
            client, worker = self.front.open(context=self.front.context(version))
            up, down = os.urandom(BULK), os.urandom(BULK)
            sending = [in_thread(self.send_all, worker, down), in_thread(self.receive, worker, BULK)]
            # One thread for the client: an SSLSocket is not for two.
            got = self.exchange(client, up, BULK)
            self.assertEqual(got, hashlib.sha256(down).digest())
            sending[0]()
            self.assertEqual(sending[1](), hashlib.sha256(up).digest())
            client.close()
            worker.close()
        self.settled()

    def send_all(self, connection: socket.socket, data: bytes) -> None:
        chance = random.Random(9)
        at = 0
        while at < len(data):
            size = chance.choice((1, 100, 5000, 16384, 16385, 200_000, 1_000_000))
            connection.sendall(data[at : at + size])
            at += size

    def receive(self, connection: socket.socket, size: int) -> bytes:
        digest = hashlib.sha256()
        while size:
            data = connection.recv(min(size, 300_000))
            self.assertTrue(data)
            digest.update(data)
            size -= len(data)
        return digest.digest()

    def exchange(self, client: ssl.SSLSocket, up: bytes, size: int) -> bytes:
        """Send and receive at the same time; the digest of what came."""
        client.setblocking(False)
        digest = hashlib.sha256()
        sent = 0
        deadline = time.monotonic() + PATIENCE_S
        while sent < len(up) or size:
            self.assertLess(time.monotonic(), deadline)
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                sent += client.send(up[sent : sent + 50_000]) if sent < len(up) else 0
            try:
                data = client.recv(100_000) if size else b""
                digest.update(data)
                size -= len(data)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                time.sleep(0.0005)
        client.setblocking(True)
        return digest.digest()

    def test_slow_readers(self) -> None:
        """Who does not read makes the other side wait; the front's memory does not grow with what is sent."""
        self.still_serves()
        pairs = [self.front.open() for _ in range(20)]
        before = self.front.memory_kib()
        for client, worker in pairs:
            client.setblocking(False)
            worker.setblocking(False)
        total = 0
        quiet = 0
        data = bytes(262_144)
        while quiet < 20:
            moved = 0
            for client, worker in pairs:
                for sender in (client, worker):
                    with contextlib.suppress(BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                        moved += sender.send(data)
            total += moved
            quiet = 0 if moved else quiet + 1
            time.sleep(0.01)
        self.assertGreater(total, 20 * 500_000)
        grown = self.front.memory_kib() - before
        self.assertLess(grown, 20 * 2 * 64 + 20 * 80 + 4096, f"{total} bytes were taken")
        self.still_serves()  # the others are not held up
        for client, worker in pairs:
            client.close()
            worker.close()
        self.settled()

    def test_slow_reader_gets_all(self) -> None:
        """A worker that closes after its answer leaves nothing behind: a slow client gets all of it."""
        client, worker = self.front.open()
        data = os.urandom(6 << 20)
        sent = in_thread(self.answer, worker, data)
        got = bytearray()
        for _ in range(40):
            got += client.recv(5000)
            time.sleep(0.005)
        got += read_to_end(client)
        sent()
        self.assertEqual(hashlib.sha256(got).digest(), hashlib.sha256(data).digest())
        client.close()
        self.settled()

    def test_many(self) -> None:
        """Hundreds of connections at once, each with its own bytes; nothing is left of them."""
        descriptors = self.front.descriptors()
        pairs = []
        for _ in range(200):
            client = self.front.client()
            worker, origin = self.front.take()
            self.assertEqual(origin.port, client.getsockname()[1])
            pairs.append((client, worker))
        for number, (client, _worker) in enumerate(pairs):
            client.sendall(b"%d" % number)
        for number, (_client, worker) in enumerate(pairs):
            self.assertEqual(worker.recv(10), b"%d" % number)
            worker.sendall(b"-%d" % number)
        for number, (client, worker) in enumerate(pairs):
            self.assertEqual(client.recv(10), b"-%d" % number)
            (client if number % 2 else worker).close()
        for client, worker in pairs:
            client.close()
            worker.close()
        self.settled()
        self.front.wait(lambda: self.front.descriptors() == descriptors, "closed descriptors")


class EndTests(Case):
    def test_client_ends_first(self) -> None:
        """After the client's close_notify the worker reads the end, and its answer still arrives."""
        for version in VERSIONS:
            client, worker = self.front.open(context=self.front.context(version))
            client.sendall(b"question")
            self.close_notify(client)
            self.assertEqual(read_to_end(worker), b"question")
            answer = os.urandom(1 << 20)
            sent = in_thread(self.answer, worker, answer)
            # Its own reading end is open: it gets all, and the front's close_notify.
            self.assertEqual(self.read_after(client), answer)
            sent()
            client.close()
        self.settled()

    def close_notify(self, client: ssl.SSLSocket) -> None:
        client.setblocking(False)
        with contextlib.suppress(ssl.SSLWantReadError):
            client.unwrap()
        client.setblocking(True)

    def read_after(self, client: ssl.SSLSocket) -> bytes:
        parts = []
        while True:
            try:
                data = client.recv(65536)
            except ssl.SSLZeroReturnError:
                break
            if not data:
                break
            parts.append(data)
        return b"".join(parts)

    def test_worker_closes(self) -> None:
        """What a worker wrote before it closed arrives, and then a close_notify: no truncation."""
        for version in VERSIONS:
            client, worker = self.front.open(context=self.front.context(version))
            worker.sendall(b"answer" * 10_000)
            worker.close()
            self.assertEqual(read_to_end(client), b"answer" * 10_000)  # raises SSLEOFError without close_notify
            client.close()
        self.settled()

    def test_worker_refuses_a_sender(self) -> None:
        """A client that goes on sending while the worker only shuts its side down still reads the answer."""
        client, worker = self.front.open()
        client.settimeout(2)
        with contextlib.suppress(TimeoutError, ssl.SSLError, ConnectionError):
            for _ in range(200):
                client.sendall(bytes(100_000))  # until all buffers are full
        worker.sendall(b"HTTP/1.1 413 too much\r\n\r\n")
        worker.shutdown(socket.SHUT_WR)
        client.settimeout(PATIENCE_S)
        self.assertEqual(client.recv(100), b"HTTP/1.1 413 too much\r\n\r\n")
        self.assertEqual(client.recv(100), b"")
        client.close()
        read_to_end(worker)
        worker.close()
        self.settled()

    def test_client_vanishes(self) -> None:
        """A client that resets, or closes without close_notify, ends at the worker; also while bytes wait for it."""
        for reset in (True, False):
            for waiting in (False, True):
                client, worker = self.front.open()
                if waiting:
                    worker.setblocking(False)
                    with contextlib.suppress(BlockingIOError):
                        while True:
                            worker.send(bytes(100_000))
                    worker.settimeout(PATIENCE_S)
                raw = socket.socket(fileno=client.detach())
                if reset:
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                raw.close()
                with contextlib.suppress(ConnectionError):
                    self.assertEqual(read_to_end(worker), b"")
                worker.close()
        self.settled()

    def test_last_words(self) -> None:
        """What a client sent before it left without close_notify reaches the worker, also if both come at once."""
        for size in (100, 16_384, 32_768, 49_152):
            client, worker = self.front.open()
            worker.sendall(b"x")
            self.assertEqual(client.recv(1), b"x")  # and tickets before it: with bytes unread, its kernel would reset
            os.kill(self.front.process.pid, signal.SIGSTOP)
            client.sendall(bytes(size))
            socket.socket(fileno=client.detach()).close()
            os.kill(self.front.process.pid, signal.SIGCONT)
            self.assertEqual(len(read_to_end(worker)), size)
            worker.close()
        self.settled()

    def test_waiting_client_leaves(self) -> None:
        """Clients wait while no worker takes them; one that leaves meanwhile does no harm."""
        clients: list[ssl.SSLSocket] = []
        context = self.front.context()
        with contextlib.suppress(TimeoutError):
            while len(clients) < 2000:
                clients.append(context.wrap_socket(self.front.connect(1.0), suppress_ragged_eofs=False))
                clients[-1].settimeout(PATIENCE_S)
        self.assertLess(len(clients), 2000, "there is no bound")
        for client in clients[::2]:
            raw = socket.socket(fileno=client.detach())
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raw.close()
        for client in clients[1::2]:
            client.sendall(b"x")
        answered = 0
        while answered < len(clients[1::2]):
            worker, _origin = self.front.take()
            with contextlib.suppress(ConnectionError):
                if worker.recv(1):
                    answered += 1
            worker.close()
        for client in clients[1::2]:
            self.assertEqual(client.recv(1), b"")
            client.close()
        self.settled()
