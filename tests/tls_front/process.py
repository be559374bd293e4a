"""
A real front process for tests, with the test in the places of anchor and worker.

Everything blocks, with time-outs: the tests that use it are plain functions over real sockets.
"""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cloudd.tls_front import MAX_ORIGIN_BYTES, Origin, receive_message, send_message
from cloudd.tls_front._messages import receive_packet

from . import certificates

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE_S = 60.0


class Control:
    """The anchor's end of a control connection."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(PATIENCE_S)
        self.connection = connection

    def call(self, call: str, descriptors: tuple[int, ...] = (), **fields: Any) -> Any:
        return self.call_with(call, descriptors, **fields)[0]

    def call_with(self, call: str, descriptors: tuple[int, ...] = (), **fields: Any) -> tuple[Any, list[int]]:
        send_message(self.connection, {"call": call, **fields}, descriptors)
        return receive_message(self.connection)


class FrontProcess:
    """
    One front with one face, ``api``; ``remove`` ends it.

    :ivar workers: the workers' end of the channel
    """

    def __init__(self, serve: bool = True) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="cloudd-tls-"))
        self.made = certificates.make(addresses=True)
        self.key, self.certificate = certificates.write(self.folder, self.made)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        self.channel, self.workers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.workers.settimeout(PATIENCE_S)
        self.process, self.control = self.start()
        if serve:
            self.serve({"private_key": self.key, "certificate": self.certificate})

    def start(self, code: str = "abc") -> tuple[subprocess.Popen[bytes], Control]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "cloudd.tls_front", str(self.folder), code, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        theirs.close()
        return process, Control(ours)

    def serve(self, files: dict[str, str], control: Control | None = None) -> Any:
        return (control or self.control).call(
            "serve", (self.listener.fileno(), self.channel.fileno()), faces=[{"name": "api", **files}]
        )

    def status(self) -> Any:
        return self.control.call("status")["faces"]["api"]

    def log(self) -> str:
        return (self.folder / "log").read_text()

    # ---- the client

    def connect(self, timeout_s: float = PATIENCE_S) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s)

    def context(self, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if version is not None:
            if version < ssl.TLSVersion.TLSv1_2:
                context.set_ciphers("ALL:@SECLEVEL=0")
            context.minimum_version = context.maximum_version = version
        return context

    def client(self, name: str | None = None, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        """A connection that has shaken hands."""
        return (context or self.context()).wrap_socket(self.connect(), server_hostname=name, suppress_ragged_eofs=False)

    # ---- the worker

    def take(self) -> tuple[socket.socket, Origin]:
        """A connection as a worker gets it."""
        data, descriptors = receive_packet(self.workers, MAX_ORIGIN_BYTES, 4)
        (descriptor,) = descriptors
        connection = socket.socket(fileno=descriptor)
        connection.settimeout(PATIENCE_S)
        return connection, Origin.decode(data)

    def open(self, **client: Any) -> tuple[ssl.SSLSocket, socket.socket]:
        """Both ends of one connection."""
        there = self.client(**client)
        return there, self.take()[0]

    # ---- the end

    def memory_kib(self) -> int:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1])
        raise AssertionError("no VmRSS")

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def wait(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait until something is so, and give what ``condition`` gave."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            found = condition()
            if found:
                return found
            time.sleep(0.02)
        raise AssertionError(f"waited in vain: {what}\n{self.log()}")

    def remove(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_S)
        for each in (self.listener, self.channel, self.workers, self.control.connection):
            each.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def in_thread(call: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    """Begin ``call`` in a thread; what is given waits for it, and gives or raises what it did."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append((call(*arguments), None))
        except BaseException as error:
            outcome.append((None, error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()

    def result() -> Any:
        thread.join(PATIENCE_S)
        assert outcome, "it does not end"
        value, error = outcome[0]
        if error is not None:
            raise error
        return value

    return result


def read_to_end(connection: socket.socket) -> bytes:
    """All until the end of the stream."""
    parts = []
    while data := connection.recv(65536):
        parts.append(data)
    return b"".join(parts)
