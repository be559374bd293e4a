# -*- test-case-name: tests.tls_front.test_control -*-
"""
The process: its faces, its control socket, and when it ends.

It ends when it was told to (``stop``, SIGTERM) and the last connection has ended, and by itself when nobody is left
who could want it: all workers and the anchor have closed the channels, and nobody has spoken to it for ``ORPHAN_S``.
Until then it waits, since a new anchor may come and bring new channels; clients wait meanwhile in the kernel's queue.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ._certificates import CertificateError, CertificateFiles, CertificateStore
from ._face import Face
from ._loop import IN, Loop
from ._messages import PROCESS_NAME, PROTOCOL, close_descriptors, receive_message, send_message, socket_name

ORPHAN_S = 10.0
LOOK_S = 3.0  # how often certificate files are looked at
STOP_S = 30.0
MOST_CERTIFICATES = 200  # named in one status
_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


class Front:
    """
    One front.

    :param path: of the control socket; made here, mode 0600
    :param code: what ``hello`` says of the code
    """

    def __init__(self, path: Path, code: str) -> None:
        self.loop = Loop(lambda: say(f"a call failed:\n{traceback.format_exc()}"))
        self.faces: dict[str, Face] = {}
        self._path = path
        self._code = code
        self._controls: set[socket.socket] = set()
        self._silent_since = self.loop.now  # nobody speaks to us
        self._began = time.time()
        self._stop_timeout_s = STOP_S
        self._draining = False
        self._until: float | None = None
        self._looked = self.loop.now
        self._listener = self._bind()
        self._calls: dict[str, Callable[[dict[str, Any], list[int]], tuple[dict[str, Any], list[int]]]] = {
            "hello": self._hello,
            "serve": self._serve,
            "status": self._status,
            "reload": self._reload,
            "stop": self._stop,
        }

    def run(self, first: socket.socket | None = None) -> None:
        """
        Serve until the end.

        :param first: a control connection that is open already
        """
        self.loop.watch(self._listener.fileno(), IN, self._accept)
        if first is not None:
            self._take(first)
        self.loop.later(1.0, self._sweep)
        self.loop.run()
        self._path.unlink(missing_ok=True)

    def stop(self, timeout_s: float | None) -> None:
        """Accept no more, and end with the last connection, or after ``timeout_s``; a second call may shorten that."""
        self._draining = True
        for face in self.faces.values():
            face.stop()
        if timeout_s is not None:
            until = self.loop.now + timeout_s
            self._until = until if self._until is None else min(self._until, until)
        self._check_drained()

    def terminate(self) -> None:
        """SIGTERM."""
        self.stop(self._stop_timeout_s)

    # ---- the control socket

    def _bind(self) -> socket.socket:
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        previous = os.umask(0o177)
        try:
            self._path.unlink(missing_ok=True)  # of an earlier process with our number
            listener.bind(str(self._path))
        finally:
            os.umask(previous)
        listener.listen(8)
        listener.setblocking(False)
        return listener

    def _accept(self, _events: int) -> None:
        try:
            connection, _address = self._listener.accept()
        except OSError:
            return
        _pid, uid, _gid = _CREDENTIALS.unpack(
            connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        if uid in {0, os.geteuid()}:
            self._take(connection)
        else:
            say(f"refused user {uid} at the control socket")
            connection.close()

    def _take(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._controls.add(connection)
        self.loop.watch(connection.fileno(), IN, lambda _events: self._answer(connection))

    def _answer(self, connection: socket.socket) -> None:
        try:
            message, descriptors = receive_message(connection)
        except BlockingIOError:
            return
        except (EOFError, OSError):
            self._leave(connection)
            return
        except ValueError as error:
            self._reply(connection, {"error": f"this is no message: {error}"}, [])
            return
        try:
            call = self._calls[message["call"]]
            answer, along = call(message, descriptors)
        except Exception as error:
            close_descriptors(descriptors)
            say(f"the call {message.get('call')!r} failed:\n{traceback.format_exc()}")
            answer, along = {"error": f"{type(error).__name__}: {error}"}, []
        self._reply(connection, answer, along)
        self._check_drained()

    def _reply(self, connection: socket.socket, answer: dict[str, Any], along: list[int]) -> None:
        try:
            send_message(connection, answer, along)
        except OSError:
            self._leave(connection)

    def _leave(self, connection: socket.socket) -> None:
        self._controls.discard(connection)
        self.loop.close(connection)
        self._silent_since = self.loop.now

    # ---- the calls

    def _hello(self, _message: dict[str, Any], _descriptors: list[int]) -> tuple[dict[str, Any], list[int]]:
        served = {name: face.sockets for name, face in self.faces.items() if face.sockets}
        answer = {
            "pid": os.getpid(),
            "protocol": PROTOCOL,
            "code": self._code,
            "draining": self._draining,
            "faces": list(served),
        }
        return answer, [each.fileno() for sockets in served.values() for each in sockets]

    def _serve(self, message: dict[str, Any], descriptors: list[int]) -> tuple[dict[str, Any], list[int]]:
        if self._draining:
            raise ValueError("this front is stopping")
        wanted = message["faces"]
        if len(descriptors) != 2 * len(wanted):
            raise ValueError(f"{len(wanted)} faces need two descriptors each, {len(descriptors)} came")
        self._stop_timeout_s = float(message.get("stop_timeout_s", STOP_S))
        for number, told in enumerate(wanted):
            files = CertificateFiles(**{field: str(told.get(field, "")) for field in CertificateFiles._fields})
            face = self.faces.get(told["name"])
            if face is None:
                face = self.faces[told["name"]] = Face(told["name"], self.loop, CertificateStore(files))
            elif face.store.files != files:
                face.store = CertificateStore(files)
            try:
                face.store.load()
            except CertificateError as error:
                say(f"{face.name}: {error}")
            listener, channel = (socket.socket(fileno=each) for each in descriptors[2 * number : 2 * number + 2])
            face.serve(listener, channel)
        for name in self.faces.keys() - {told["name"] for told in wanted}:
            self.faces[name].stop()
        return {"problems": self._problems()}, []

    def _status(self, _message: dict[str, Any], _descriptors: list[int]) -> tuple[dict[str, Any], list[int]]:
        certificates = [
            {"face": face.name, "name": each.name, "path": each.path, "expires": each.expires}
            for face in self.faces.values()
            for each in face.store.certificates
        ]
        certificates.sort(key=lambda told: float(told["expires"]))  # type: ignore[arg-type]
        faces = {
            face.name: {
                "connections": len(face.relays),
                "accepted": face.accepted,
                "handshakes": dict(face.handshakes),
                "failures": dict(face.failures.most_common(40)),
                "received_bytes": face.received,
                "sent_bytes": face.sent,
            }
            for face in self.faces.values()
        }
        answer = {
            "pid": os.getpid(),
            "began": self._began,
            "draining": self._draining,
            "faces": faces,
            "certificate_count": len(certificates),
            "certificates": certificates[:MOST_CERTIFICATES],
            "problems": self._problems(),
        }
        return answer, []

    def _reload(self, _message: dict[str, Any], _descriptors: list[int]) -> tuple[dict[str, Any], list[int]]:
        self._look(at_once=True)
        return {"problems": self._problems()}, []

    def _stop(self, message: dict[str, Any], _descriptors: list[int]) -> tuple[dict[str, Any], list[int]]:
        timeout_s = message.get("timeout_s")
        self.stop(None if timeout_s is None else float(timeout_s))
        return {}, []

    def _problems(self) -> list[str]:
        """What is wrong with certificate files, a sentence each."""
        return [text for face in self.faces.values() for text in face.store.problems.values()][:MOST_CERTIFICATES]

    # ---- time

    def _sweep(self) -> None:
        self.loop.later(1.0, self._sweep)
        for face in self.faces.values():
            face.sweep()
        if self.loop.now - self._looked >= LOOK_S:
            self._look()
        self._check_drained()
        self._check_orphaned()

    def _look(self, at_once: bool = False) -> None:
        self._looked = self.loop.now
        for face in self.faces.values():
            for note in face.store.look(at_once):
                say(f"{face.name}: {note}")
            face.listen()

    def _check_drained(self) -> None:
        if not self._draining:
            return
        if self._until is not None and self.loop.now >= self._until:
            for face in self.faces.values():
                face.cut_off()
        if not any(face.relays for face in self.faces.values()):
            # What is under way on the control socket, the answer to ``stop``, was sent before.
            self.loop.stop()

    def _check_orphaned(self) -> None:
        alone = not self._controls and all(face.is_orphaned for face in self.faces.values())
        if alone and self.loop.now - self._silent_since > ORPHAN_S:
            say("nobody is left to work for: ending")
            self.stop(0)


def say(text: str) -> None:
    """A line of the log."""
    with contextlib.suppress(OSError):  # nobody reads it
        os.write(2, f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} [tls-front {os.getpid()}] {text}\n".encode())


def main(arguments: list[str]) -> int:
    """
    ``python -P -m cloudd.tls_front FOLDER CODE [DESCRIPTOR]``: the run folder, what ``hello`` says of the code, and a
    control connection that is open already.
    """
    folder, code, *rest = arguments
    first = socket.socket(fileno=int(rest[0])) if rest else None
    with contextlib.suppress(OSError):
        Path("/proc/self/comm").write_text(PROCESS_NAME, encoding="ascii")
    os.umask(0o077)
    front = Front(Path(folder) / socket_name(os.getpid()), code)
    if first is not None:
        first.set_inheritable(False)
    wake, waker = socket.socketpair()
    for end in (wake, waker):
        end.setblocking(False)

    def woken(_events: int) -> None:
        if signal.SIGTERM in wake.recv(64):
            front.terminate()

    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)  # SIGINT of a terminal is for the anchor, which tells us
    signal.signal(signal.SIGTERM, lambda *_: None)
    signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
    front.loop.watch(wake.fileno(), IN, woken)
    front.run(first)
    return 0
